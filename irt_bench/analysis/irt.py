"""Tables of a fit: abilities with their ranks, and item parameters.

The posterior is a data set with ``ability`` of dimensions (chain, draw, model) and item parameters of dimensions
(chain, draw, item), with labels. Tables use all draws, ranks at most `RANK_DRAWS` evenly spaced ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench.analysis.abilities import abilities_given_items, ties
from irt_bench.analysis.classical import MIN_MODELS, NEAR_ZERO, correlate_with_rest, maximise_marginal_likelihood
from irt_bench.analysis.curves import BLOCK_CELLS
from irt_bench.analysis.intervals import correlation_interval
from irt_bench.analysis.labelled_draws import ASYMPTOTES, draws_of, evenly_spaced, match_labels, population_of
from irt_bench.arrays import slices
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.inference.draws import cell_chances
from irt_bench.irt_models.item_regression import EFFECT, ITEM_COVARIATE, ITEM_REGRESSION
from irt_bench.irt_models.logistic import Logistic
from irt_bench.irt_models.model import SCORE_MODEL, Beta, IRTModel
from irt_bench.irt_models.populations import GROUP, GROUP_EFFECT_SD, GROUP_MEAN, GROUP_SD, POPULATION, Groups
from irt_bench.irt_models.raters import SEVERITY
from irt_bench.names import (
    ABILITY,
    CHAIN,
    DIFFICULTY,
    DIMENSION,
    DISCRIMINATION,
    DRAW,
    INTERCEPT,
    INTERVAL,
    ITEM,
    LOADING,
    MODEL,
    POINT,
    RATER,
    THRESHOLD,
)
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts

RANK_DRAWS = 1000
MIN_DRAWS = 2  # one draw has no spread
PROBABILITIES_BY = ("cell", "model", "item")
LIKELIHOOD_COLUMNS = ("difficulty_ml", "difficulty_ml_se", "discrimination_ml", "discrimination_ml_se")
MAX_LIKELIHOOD_ITEMS = 500  # whose joint information is inverted, some seconds
ITEM_FLAGS = ("no_information", "slope_from_prior")
MAX_FIRST = 20  # models sharing first place whose draws are compared with all others
TINY = np.finfo(np.float64).tiny  # avoids division by the sd of equal draws


def ability_table(posterior: xr.Dataset, counts: Responses | None = None) -> pd.DataFrame:
    """Tabulate ability, rank and accuracy of each model, in the order of the posterior; see `irt_bench.Fit.abilities`.

    `counts`, the responses behind it, give ``accuracy``, ``n_items`` and abilities without Monte Carlo error.

    Returns
    -------
    pd.DataFrame
        Indexed by model, in the order of the posterior: ``ability`` (posterior mean, in sds of the calibration
        sample), ``ability_sd, ability_q05, ability_q95, accuracy`` (in [0, 1]), ``n_items`` (observed),
        ``relative_ability`` and its ``_sd, _q05, _q95`` (in sds from the mean of these models), ``rank, rank_q05,
        rank_q95, p_first_abler`` (posterior probability that the model of rank 1 is abler; NaN for itself, 0.5 for
        models that share its rank). Rank 1 is the ablest; ties share their mean rank. Models without answers have the
        prior's ability, and neither a relative ability nor a rank.

    Raises
    ------
    AnalysisError
        If labels do not match, a draw is not finite, or there are fewer than two draws.

    Notes
    -----
    All abilities share the uncertainty of the location and scale of these models on the scale on which models are N(0,
    1). ``relative_ability`` is free of it. Compare models by ``relative_ability``, ranks, or ``p_first_abler``.

    With `counts` and item parameters, ``ability`` and its interval are those of `score_models`: the posterior given
    each draw of the items, integrated over the population of abilities and averaged over the draws (Rao-Blackwell
    [1]_). Models with equal responses, of one population, therefore have equal abilities and share ranks; in the 1PL
    also models with equal numbers of correct responses. The draws of ability, shifted and scaled to these means and
    sds, give statistics of several models at once. Without `counts` everything comes from the draws, and equal models
    differ by Monte Carlo error.

    ``rank`` orders the posterior means. Its limits are quantiles over draws of the rank *within a draw*, hence hold for
    the models taken together [2]_. They need not be symmetric about ``rank``: the ablest cannot rank higher.

    References
    ----------
    .. [1] Gelfand, Smith, Sampling-based approaches to calculating marginal densities, 1990,
       DOI 10.1080/01621459.1990.10476213.
    .. [2] Goldstein, Spiegelhalter, League tables and their limitations, 1996, DOI 10.2307/2983325.
    """
    counts = None if counts is None else as_counts(counts)
    if DIMENSION in posterior[ABILITY].dims:
        parts = {
            name: tabulate_abilities(model_abilities(posterior[[ABILITY]].sel({DIMENSION: name}), counts), counts)
            for name in posterior[DIMENSION].to_numpy()
        }
        return pd.DataFrame(pd.concat(parts, names=[DIMENSION]).swaplevel().loc[posterior[MODEL].to_index()])
    return tabulate_abilities(model_abilities(posterior, counts), counts)


def tabulate_abilities(found: ModelAbilities, counts: ResponseCounts | None) -> pd.DataFrame:
    """Make the table of `ability_table` from `ModelAbilities`."""
    table, draws, tie_group = found
    n_draws = len(draws.drawn)
    if counts is not None:
        order = match_labels(counts.models.index, table.index, MODEL, "the responses", "the posterior")
        table["accuracy"] = counts.accuracy().to_numpy()[order]
        table["n_items"] = counts.asked.sum(axis=1)[order]
    known = np.ones(len(table), dtype=bool) if counts is None else (table["n_items"] > 0).to_numpy()
    if not known.any():
        raise AnalysisError(f"none of the {len(table):,} models has an answer; abilities are those of the prior.")
    places = np.flatnonzero(known)
    mean, sd = _moments_over_models(draws, places)
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN where all models are equal in a draw
        relative = summarise_blocks(
            lambda block: (draws.of(models=places[block]) - mean) / sd, "relative_ability", table.index[known], n_draws
        )
    relative["rank"] = table[ABILITY][known].rank(ascending=False)
    first = np.flatnonzero(relative["rank"] == relative["rank"].min())
    ranks, below = _ranks_and_share_below(draws, places, first)
    in_draws = summarise(ranks, "rank", relative.index)
    relative[["rank_q05", "rank_q95"]] = in_draws[["rank_q05", "rank_q95"]]
    relative["p_first_abler"] = below
    return table.join(relative.groupby(tie_group[known]).transform("mean"))


class RescaledDraws(NamedTuple):
    """Draws of abilities, (draw, model), shifted and scaled where they are looked at: a copy of all may not fit."""

    drawn: npt.NDArray[np.floating]
    found: npt.NDArray[np.floating] | None = None  # (model,), their means; None: taken as they are
    target: npt.NDArray[np.floating] | None = None  # (model,)
    scale: npt.NDArray[np.floating] | None = None  # (model,)

    def of(self, *, rows: Any = slice(None), models: Any = slice(None)) -> npt.NDArray[np.floating]:
        """Give some draws of some models."""
        part = self.drawn[rows][:, models]
        if self.found is None or self.target is None or self.scale is None:
            return np.asarray(part)
        return np.asarray(self.target[models] + (part - self.found[models]) * self.scale[models])


class ModelAbilities(NamedTuple):
    """Abilities of the models of a fit, in the order of its posterior."""

    table: pd.DataFrame  # indexed by model: ability, with _sd, _q05 and _q95
    draws: RescaledDraws  # with the means and sds of the table
    tie_group: npt.NDArray[np.intp]  # (model,), equal where posteriors are equal


def model_abilities(posterior: xr.Dataset, counts: ResponseCounts | None) -> ModelAbilities:
    """Abilities given the items where possible, else from the draws; see `ability_table`."""
    draws, labels = draws_of(posterior, ABILITY, MODEL)
    _need_spread(draws)
    unknown = DIFFICULTY not in posterior or DISCRIMINATION not in posterior or SCORE_MODEL in posterior.attrs
    if counts is None or unknown:
        return ModelAbilities(summarise(draws, ABILITY, labels), RescaledDraws(draws), np.arange(len(labels)))
    order = match_labels(counts.models.index, labels, MODEL, "the responses", "the posterior")
    table = abilities_given_items(counts, posterior).iloc[order].set_axis(labels)
    tie_group = ties(table[ABILITY].to_numpy(), table[f"{ABILITY}_sd"].to_numpy())
    parts = (draws[:, block].astype(np.float64) for block in slices(len(labels), BLOCK_CELLS // len(draws)))
    mean, sd = np.concatenate([[part.mean(axis=0), part.std(axis=0, ddof=1)] for part in parts], axis=1)
    scale = table[f"{ABILITY}_sd"].to_numpy() / np.maximum(sd, TINY)
    rescaled = RescaledDraws(draws, mean, table[ABILITY].to_numpy(), scale)
    return ModelAbilities(table, rescaled, tie_group)


def _moments_over_models(
    draws: RescaledDraws, models: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """Mean and sd over some models within each draw, (draw, 1) each."""
    found = []
    for rows in slices(len(draws.drawn), BLOCK_CELLS // len(models)):
        part = draws.of(rows=rows, models=models)
        mean = part.mean(axis=1, keepdims=True)
        found.append((mean, (part - mean).std(axis=1, keepdims=True)))
    mean, sd = (np.concatenate(each) for each in zip(*found, strict=True))
    return mean, sd


def _ranks_and_share_below(
    draws: RescaledDraws, models: npt.NDArray[np.intp], first: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Ranks of some models within draws, (draw, model), and shares of draws in which each is below the first of them.

    Models that share first place get a share of 0.5.
    """
    rows = evenly_spaced(len(draws.drawn), RANK_DRAWS)
    some = first[evenly_spaced(len(first), MAX_FIRST)]
    ranks, below = np.empty((len(rows), len(models)), np.float32), np.zeros(len(models))
    for at, row in enumerate(rows):
        values = draws.of(rows=[row], models=models)[0]
        ranks[at] = _rank(values)
        below += (values[some, None] > values).sum(axis=0)
    share = below / (len(rows) * len(some))
    share[first] = np.nan if len(first) == 1 else 0.5
    return ranks, share


def _rank(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Rank from the largest down; ties share their mean rank."""
    order = np.argsort(-values)
    if (np.diff(values[order]) == 0).any():
        return pd.Series(values).rank(ascending=False).to_numpy()
    ranks = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    return ranks


def item_table(posterior: xr.Dataset, counts: Responses | None = None) -> pd.DataFrame:
    """Tabulate the parameters of each item; `counts`, the responses, give ``n_models`` and ``flags``.

    Returns
    -------
    pd.DataFrame
        Indexed by item, in the order of the posterior: for ``difficulty``, ``discrimination`` and, where the model
        has them, ``guessing`` and ``upper_asymptote`` the posterior mean, ``_sd``, ``_q05`` and ``_q95``;
        ``n_models`` (with a response); ``flags``, of `ITEM_FLAGS`, joined by ';'. Of a model with several abilities
        ``discrimination`` is MDISC, the root of the sum of the squared loadings, ``difficulty`` MDIFF, minus the
        ``intercept`` over MDISC (Reckase 1985, DOI 10.1177/014662168500900409); for loadings see `loading_table`.
        Of a model of ordered scores also ``threshold_1, threshold_2, ...``, NaN beyond an item's steps.

    Raises
    ------
    AnalysisError
        If labels do not match, a draw is not finite, or there are fewer than two draws.

    Notes
    -----
    ``no_information``: all responses are correct, all are incorrect, or fewer than three models responded. Apart from
    the sign of the difficulty, the parameters are those of the prior. They are skewed, so their medians are reported,
    not means. ``slope_from_prior``: the responses do not show that abler models do better, since the 90% interval of
    the item-rest correlation includes 0 or the correlation is below 0.05. A log-normal prior keeps the discrimination
    positive all the same, with an interval away from 0 where the slopes of the other items are similar. With one slope
    for all items, or with loadings of either sign, no item is flagged.
    """
    counts = None if counts is None else as_counts(counts)
    posterior = _with_multidimensional_parameters(posterior)
    parts = []
    others = [name for name in (*ASYMPTOTES, INTERCEPT) if name in posterior]
    if SCORE_MODEL in posterior.attrs:
        others = [str(name) for name, array in posterior.items() if array.dims == (CHAIN, DRAW, ITEM)]
    for name in dict.fromkeys((DIFFICULTY, DISCRIMINATION, *others)):
        draws, labels = draws_of(posterior, name, ITEM)
        _need_spread(draws)
        parts.append(summarise(draws, name, labels))
    for point in posterior[POINT].to_numpy() if THRESHOLD in posterior else ():
        at = posterior[THRESHOLD].sel({POINT: point}).transpose(CHAIN, DRAW, ITEM).to_numpy()
        parts.append(summarise(at.reshape(-1, len(labels)), f"{THRESHOLD}_{point}", labels))
    table = pd.concat(parts, axis=1)
    if counts is not None:
        order = match_labels(counts.items.index, labels, ITEM, "the responses", "the posterior")
        table["n_models"] = counts.asked.sum(axis=0)[order]
        one_slope = table[DISCRIMINATION].nunique() == 1 or LOADING in posterior
        raised = _item_flags(counts, shared_slope=one_slope)[:, order]
        table["flags"] = [";".join(name for name, up in zip(ITEM_FLAGS, item, strict=True) if up) for item in raised.T]
        for name in (DIFFICULTY, DISCRIMINATION):
            draws, _ = draws_of(posterior, name, ITEM)
            table.loc[raised[0], name] = np.median(draws[:, raised[0]], axis=0)
    return table


def population_table(posterior: xr.Dataset) -> pd.DataFrame:
    """Tabulate the populations that abilities come from; see `irt_bench.Fit.populations`.

    Raises
    ------
    AnalysisError
        If abilities come from one population, N(0, 1).
    """
    population = population_of(posterior)
    if population is None:
        raise AnalysisError("abilities come from one population, N(0, 1); fit a model with population=Groups(column).")
    if isinstance(population, Groups):
        parts = [
            summarise(draws_of(posterior, site, GROUP)[0], name, pd.Index(population.labels, name=GROUP))
            for site, name in ((GROUP_MEAN, "mean"), (GROUP_SD, "sd"))
        ]
        table = parts[0].join(parts[1])
        table["n_models"] = population.sizes
        table["reference"] = table.index == population.reference
        return table
    k = len(population.covariates)
    every = [draws_of(posterior, site, dim)[0] for site, dim in population.dims.items()]
    terms, kinds = [*population.covariates, *population.labels], ["covariate"] * k + ["group"] * len(population.labels)
    if population.group is not None:
        every.append(posterior[GROUP_EFFECT_SD].to_numpy().reshape(-1, 1))
        terms, kinds = [*terms, "sd of groups"], [*kinds, "sd"]
    table = summarise(np.hstack(every), "effect", pd.Index(terms, name="term"))
    table["kind"] = kinds
    for name, values in (("covariate_mean", population.means), ("covariate_sd", population.sds)):
        table[name] = [*values, *[np.nan] * (len(terms) - k)]
    return table


def item_effect_table(posterior: xr.Dataset) -> pd.DataFrame:
    """Tabulate effects of covariates of the items, per sd of a number, on difficulty and log discrimination.

    Raises
    ------
    AnalysisError
        If items are not regressed on covariates.
    """
    names = [name for name in (f"{DIFFICULTY}{EFFECT}", f"log_{DISCRIMINATION}{EFFECT}") if name in posterior]
    if not names:
        raise AnalysisError("the model has no regression of items; fit one with item_regression=ItemRegression([...]).")
    drawn = {name: draws_of(posterior, name, ITEM_COVARIATE) for name in names}
    return pd.concat([summarise(draws, name, labels) for name, (draws, labels) in drawn.items()], axis=1)


def rater_table(posterior: xr.Dataset) -> pd.DataFrame:
    """Tabulate severities of raters, which sum to zero, indexed by rater, with ``_sd``, ``_q05`` and ``_q95``.

    Raises
    ------
    AnalysisError
        If the model has no raters.
    """
    if SEVERITY not in posterior:
        raise AnalysisError("the model has no raters; fit the model 'mfrm' to a long table with a column 'rater'.")
    draws, labels = draws_of(posterior, SEVERITY, RATER)
    return summarise(draws, SEVERITY, labels)


def tables_of_model(posterior: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Tabulate what only some models have, by name: populations, effects of items' covariates, raters, loadings."""
    made = {
        "populations": (POPULATION in posterior.attrs, population_table),
        "item_effects": (ITEM_REGRESSION in posterior.attrs, item_effect_table),
        "raters": (SEVERITY in posterior, rater_table),
        "loadings": (LOADING in posterior, loading_table),
    }
    return {name: tabulate(posterior) for name, (there, tabulate) in made.items() if there}


def probability_table(
    irt_model: IRTModel, posterior: xr.Dataset, counts: ResponseCounts, *, by: str = "cell", seed: int = 0
) -> pd.DataFrame:
    """Tabulate chances of right answers by cell, model or item; see `irt_bench.Fit.probabilities`.

    `seed` is of the chances of cells whose trials are correlated.

    Raises
    ------
    AnalysisError
        If `by` is not known.
    """
    if by not in PROBABILITIES_BY:
        raise AnalysisError(unknown_choice("by", by, PROBABILITIES_BY))
    chances = cell_chances(irt_model, posterior, counts, seed=seed)
    models = pd.Index(counts.models.index.astype(str), name=MODEL)
    items = pd.Index(counts.items.index.astype(str), name=ITEM)
    axes = {"cell": (), "model": (1,), "item": (0,)}[by]
    index = {"cell": pd.MultiIndex.from_product([models, items]), "model": models, "item": items}[by]
    draws = chances.mean(axis=tuple(axis + 1 for axis in axes)).reshape(len(chances), -1)
    shares, asked = np.nan_to_num(counts.proportions()).sum(axis=axes), counts.asked.sum(axis=axes)
    table = summarise(draws, "probability", index)
    table["observed"] = np.divide(shares, asked, out=np.full(np.shape(shares), np.nan), where=asked > 0).ravel()
    table["n_trials"] = counts.trials.sum(axis=axes).ravel()
    return table


def maximum_likelihood_items(counts: ResponseCounts, irt_model: IRTModel) -> pd.DataFrame:
    """Estimate items of a 1PL or 2PL by marginal maximum likelihood, abilities N(0, 1) integrated out on a grid.

    A 3PL is taken with known guessing. Priors are left aside.

    Returns
    -------
    pd.DataFrame
        Indexed by item: ``difficulty_ml``, ``discrimination_ml`` and their standard errors ``_se``; NaN of items that
        all or no models solved, whose estimates are infinite, and difficulties of items with a slope near 0.

    Raises
    ------
    AnalysisError
        If the model is another, or there are more than `MAX_LIKELIHOOD_ITEMS` items.

    Notes
    -----
    Marginal likelihood of Bock & Aitkin [1]_, its maximum by L-BFGS with the gradient of their E-step (Fisher's
    identity). Standard errors from the observed information (Louis [2]_), to first order for difficulties.

    References
    ----------
    .. [1] Bock, Aitkin, Marginal maximum likelihood estimation of item parameters, 1981, DOI 10.1007/BF02293801.
    .. [2] Louis, Finding the observed information matrix when using the EM algorithm, 1982,
       DOI 10.1111/j.2517-6161.1982.tb01203.x.
    """
    if not isinstance(irt_model, Logistic) or irt_model.population is not None or irt_model.upper_share is not None:
        raise AnalysisError("maximum likelihood estimates items of a 1pl or 2pl of one population; fit such a model.")
    if isinstance(irt_model.guessing, Beta):
        raise AnalysisError("maximum likelihood needs known guessing, such as ThreePL(guessing=0.25).")
    right, wrong = counts.correct.sum(axis=0), (counts.trials - counts.correct).sum(axis=0)
    used = np.flatnonzero((right > 0) & (wrong > 0))
    if not 0 < len(used) <= MAX_LIKELIHOOD_ITEMS:
        raise AnalysisError(
            f"{len(used)} items have right and wrong answers; maximum likelihood takes 1 to {MAX_LIKELIHOOD_ITEMS}."
        )
    guessing = np.broadcast_to(irt_model.known_parameters(counts.n_items).get("guessing", 0.0), counts.n_items)[used]
    part = counts.take(items=used)
    slope, intercept, covariance = maximise_marginal_likelihood(
        part.correct, part.trials, guessing, shared_slope=irt_model.shared_slope
    )
    table = pd.DataFrame(np.nan, index=counts.items.index, columns=list(LIKELIHOOD_COLUMNS))
    n = len(used)
    gradient = np.stack([-1 / slope, intercept / slope**2], axis=1)  # of b = -d / a
    at = np.arange(n)
    blocks = covariance[np.stack([at, at + n])[:, None], np.stack([at, at + n])].transpose(2, 0, 1)
    difficulty_se = np.sqrt(np.einsum("jp,jpq,jq->j", gradient, blocks, gradient))
    slope_se = np.sqrt(blocks[:, 1, 1])
    flat = np.abs(slope) < slope_se / 2
    found = np.where(flat, np.nan, -intercept / slope), np.where(flat, np.nan, difficulty_se), slope, slope_se
    table.iloc[used] = np.stack(found, axis=1)
    return table


def loading_table(posterior: xr.Dataset) -> pd.DataFrame:
    """Tabulate the loadings of each item that the model does not leave out; see `irt_bench.Fit.loadings`.

    Raises
    ------
    AnalysisError
        If the model has one ability.
    """
    if LOADING not in posterior:
        raise AnalysisError("the model has one ability, and no loadings; items() has its discriminations.")
    parts = {}
    for name in posterior[DIMENSION].to_numpy():
        draws, labels = draws_of(posterior[[LOADING]].sel({DIMENSION: name}), LOADING, ITEM)
        table = summarise(draws, LOADING, labels)
        parts[name] = table[draws.any(axis=0)]
    found = pd.concat(parts, names=[DIMENSION]).swaplevel()
    every = pd.MultiIndex.from_product([labels, list(parts)], names=[ITEM, DIMENSION])
    return pd.DataFrame(found.reindex(every[every.isin(found.index)]))


def _with_multidimensional_parameters(posterior: xr.Dataset) -> xr.Dataset:
    """Add MDISC, the length of an item's loadings, and MDIFF, minus intercept over it, as its two parameters."""
    if LOADING not in posterior:
        return posterior
    length = np.sqrt((posterior[LOADING] ** 2).sum(DIMENSION))
    found: xr.Dataset = posterior.assign({DISCRIMINATION: length, DIFFICULTY: -posterior[INTERCEPT] / length})
    return found


def _item_flags(counts: ResponseCounts, *, shared_slope: bool) -> npt.NDArray[np.bool_]:
    """Whether each of `ITEM_FLAGS` applies, (flag, item)."""
    shares, asked = np.nan_to_num(counts.proportions()), counts.asked
    right, wrong = counts.correct.sum(axis=0), (counts.trials - counts.correct).sum(axis=0)
    nothing = (right == 0) | (wrong == 0) | (asked.sum(axis=0) < MIN_MODELS)
    if shared_slope:
        return np.stack([nothing, np.zeros_like(nothing)])
    rest = correlate_with_rest(shares, asked)
    shown = (correlation_interval(*rest).lower > 0) & (rest.correlation >= NEAR_ZERO)
    return np.stack([nothing, ~shown & ~nothing])


def _need_spread(draws: npt.NDArray[np.floating]) -> None:
    if len(draws) < MIN_DRAWS:
        raise AnalysisError(f"there is {len(draws)} draw; at least {MIN_DRAWS} are needed for a spread.")


def summarise(draws: npt.NDArray[np.floating], name: str, labels: pd.Index) -> pd.DataFrame:
    """Mean, sd and interval limits of each column."""
    return summarise_blocks(lambda block: draws[:, block], name, labels, len(draws))


def summarise_blocks(
    columns: Callable[[slice], npt.NDArray[np.floating]], name: str, labels: pd.Index, n_draws: int
) -> pd.DataFrame:
    """Give the same in blocks of columns, since quantiles copy their input."""
    found = np.empty((4, len(labels)))
    for block in slices(len(labels), BLOCK_CELLS // n_draws):
        part = columns(block).astype(np.float64)
        found[:, block] = part.mean(axis=0), part.std(axis=0, ddof=1), *np.quantile(part, INTERVAL, axis=0)
    return pd.DataFrame(dict(zip((name, f"{name}_sd", f"{name}_q05", f"{name}_q95"), found, strict=True)), index=labels)
