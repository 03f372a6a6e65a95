"""Scoring with frozen items: abilities of new models from their answers and item parameters fitted on others.

The new answers do not move the items: every draw of the item parameters gives each model a posterior of ability, and
the draws count alike. Models are scored one by one; which others are scored beside them does not matter.
"""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench.analysis.ability_density import Cells, Nodes, choose_nodes, mixture_density, moments
from irt_bench.analysis.ability_modes import find_modes
from irt_bench.analysis.labelled_draws import ItemParameters, item_draws, thin
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, ResponsesWarning, check_range, unknown_choice
from irt_bench.names import ABILITY, CHAIN, DIFFICULTY, DISCRIMINATION, DRAW, MODEL
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts

Method = Literal["eap", "map"]
METHODS: tuple[Method, ...] = get_args(Method)
LEAST_DRAWS = 200  # of the item parameters, where all take too long: their spread is then known to 5%
MOST_WORK = 1_000_000  # (models + items) x draws, or models x items / 50 x draws: one second
CELLS_ALIKE = 50  # cells whose curves are multiplied with answers in the time of one curve
TIE = 1e-4  # posterior sds: abilities closer than this are one, as those of equal answers
SCORE_COLUMNS = ("ability", "ability_sd", "ability_q05", "ability_q95")
FURTHEST_OUT = 1_000.0  # of item parameters: no data tell them from less, and nodes become too many
NO_PARAMETER = 1e9  # beyond it a file is damaged; flat posteriors draw thousands
MODEL_BLOCK = 256
PRIOR_SDS = (0.1, 10.0)  # beyond them a prior decides all, or posteriors reach further than nodes are laid


def score_models(
    counts: Responses,
    posterior: xr.Dataset,
    *,
    method: Method = "eap",
    n_draws: int | None = None,
    nodes: npt.ArrayLike | None = None,
    prior_sd: float = 1.0,
) -> pd.DataFrame:
    """Estimate the abilities of models from their answers to items whose parameters are known.

    Parameters
    ----------
    counts : ResponseCounts, or what `as_counts` takes
        Right answers and trials of shape (model, item); k of n trials and cells never asked are fine.
    posterior : xr.Dataset
        Item parameters of dimensions (chain, draw, item), joined by label. Items that only the posterior has were not
        asked; its own models are not looked at.
    method : {"eap", "map"}
        Posterior mean over draws of the items, or the mode at the items' posterior means.
    n_draws : int, optional
        Draws of the items behind "eap", evenly spaced. By default all, or as many of them as take about a second,
        at least 200, moved so that the means of slopes and intercepts stay those of all draws. "map" uses the mean of
        all.
    nodes : array of shape (node,), optional
        Increasing abilities to integrate over, instead of those chosen to fit ("eap" only): to repeat other software.
    prior_sd : float
        Sd of the prior N(0, prior_sd^2) of ability. The default, that of the fit, suits models of the population that
        the fit's are from; 3 suits models far abler or weaker, whose abilities it does not pull towards 0.

    Returns
    -------
    pd.DataFrame
        Indexed by model: ``ability, ability_sd, ability_q05, ability_q95``, on the scale of the fit, and ``n_items``
        (asked). Nothing here is random: the same draws and answers give the same numbers, and models with the same
        answers have the same.

    Raises
    ------
    AnalysisError
        If an item is not in the fit, answers are not counts, or an option is out of range.

    Warns
    -----
    ResponsesWarning
        If models have no answers: they get the prior. If `prior_sd` is 1 and models lie, with their whole 90% interval,
        beyond all those of the fit: their intervals cover less than 90%, the more so the fewer models were fitted.

    Notes
    -----
    Ability has the prior N(0, prior_sd^2), so models with all answers right or wrong have finite abilities.

    *EAP* [1]_. Mean, sd and quantiles of the mixture of the posteriors under each draw of the items; the uncertainty
    of the items is part of ``ability_sd``. Departs from [1]_ in its nodes: a posterior narrower than the distance of
    fixed nodes snaps to one of them, which happens from some 500 items on. Nodes here reach over all posteriors ([-6,
    6], the prior's own range, or what the answers leave of it or go beyond it) and lie at most a third of the smallest
    sd apart that the items' information allows. The log-likelihood is smooth on the scale of 1 / discrimination,
    however narrow the posterior: it is evaluated on nodes fit for that, and brought to the others by quintic splines.

    *MAP* [2]_. Newton's method from the highest of a row of nodes, kept between the neighbours of that node; so the
    highest mode is found where guessing and slips make several. ``ability_sd`` is 1 / sqrt(curvature) there, prior
    included, and the interval is mode -+ 1.645 sd: both leave the uncertainty of the items out.

    References
    ----------
    .. [1] Bock, Mislevy, Adaptive EAP estimation of ability in a microcomputer environment, 1982,
       DOI 10.1177/014662168200600405.
    .. [2] Samejima, Estimation of latent ability using a response pattern of graded scores, 1969,
       DOI 10.1007/BF03372160.
    """
    counts = as_counts(counts)
    own_nodes = _check(counts, method, n_draws, nodes)
    check_range(AnalysisError, "prior_sd", prior_sd, *PRIOR_SDS)
    silent = ~counts.asked.any(axis=1)
    if silent.any():
        warnings.warn(
            f"{int(silent.sum())} models have no answers and get the prior, mean 0 and sd {prior_sd:g}; first: "
            f"{counts.models.index[int(silent.argmax())]!r}.",
            ResponsesWarning,
            stacklevel=2,
        )
    # ability = prior_sd x u with u ~ N(0, 1): items of difficulty / prior_sd and discrimination x prior_sd.
    factors = {DIFFICULTY: 1 / prior_sd, DISCRIMINATION: prior_sd}
    scaled = posterior.assign({name: posterior[name] * by for name, by in factors.items() if name in posterior})
    own_nodes = None if own_nodes is None else own_nodes / prior_sd
    table = prior_sd * abilities_given_items(counts, scaled, method=method, n_draws=n_draws, nodes=own_nodes)
    if prior_sd == 1:
        _warn_of_models_beyond(table, posterior)
    table["n_items"] = counts.asked.sum(axis=1)
    return table


def _warn_of_models_beyond(table: pd.DataFrame, posterior: xr.Dataset) -> None:
    """Name models whose interval lies beyond the abilities of all models of the fit, where it holds any."""
    if ABILITY not in posterior:
        return
    fitted = posterior[ABILITY].mean([CHAIN, DRAW])
    low, high = float(fitted.min()), float(fitted.max())
    beyond = (table["ability_q05"] > high) | (table["ability_q95"] < low)
    if beyond.any():
        warnings.warn(
            f"{int(beyond.sum())} of {len(table)} models lie beyond the abilities of all models of the fit, {low:.2f} "
            f"to {high:.2f}; first: {table.index[int(beyond.to_numpy().argmax())]!r}. The prior N(0, 1) pulls them "
            "towards those, and their intervals cover less than 90%: score such models with prior_sd=3.",
            ResponsesWarning,
            stacklevel=3,
        )


def abilities_given_items(
    counts: ResponseCounts,
    posterior: xr.Dataset,
    *,
    method: Method = "eap",
    n_draws: int | None = None,
    nodes: FloatArray | None = None,
) -> pd.DataFrame:
    """Posteriors of abilities given draws of the items, `SCORE_COLUMNS` by model; as `score_models`, unchecked."""
    drawn, mean = _join_items(counts, posterior, n_draws)
    found = np.empty((len(SCORE_COLUMNS), counts.n_models))
    # Models alike in accuracy lie side by side, so that the nodes of a block need not reach far.
    order = np.argsort(counts.accuracy().to_numpy(), kind="stable")
    for block in (order[start : start + MODEL_BLOCK] for start in range(0, counts.n_models, MODEL_BLOCK)):
        cells = Cells(counts.correct[block], counts.trials[block])
        if method == "map":
            found[:, block] = find_modes(cells, mean)
        else:
            chosen = choose_nodes(cells, mean) if nodes is None else Nodes(nodes, nodes, None)
            found[:, block] = moments(mixture_density(cells, drawn, chosen), chosen.integrated)
    table = pd.DataFrame(found.T, columns=list(SCORE_COLUMNS), index=counts.models.index.rename(MODEL))
    return table.groupby(ties(found[0], found[1])).transform("mean")


def ties(ability: FloatArray, ability_sd: FloatArray) -> npt.NDArray[np.intp]:
    """Give each model the number of its group, where a group is of models whose posteriors are the same.

    They are where answers are, and in the 1PL where as many are right. Abilities that differ by less than `TIE`
    posterior sds, and sds that differ by as little, differ by rounding.
    """
    near = np.zeros(len(ability), dtype=np.intp)
    for values in (ability, ability_sd):  # first by ability, then by sd within those
        order = np.lexsort((values, near))
        step = (np.diff(values[order]) > TIE * ability_sd[order][1:]) | (np.diff(near[order]) > 0)
        near[order] = np.concatenate([[0], np.cumsum(step)])
    return near


def _check(counts: ResponseCounts, method: str, n_draws: int | None, nodes: npt.ArrayLike | None) -> FloatArray | None:
    """Refuse options out of range, and return the caller's nodes."""
    if method not in METHODS:
        raise AnalysisError(unknown_choice("method", method, METHODS))
    if counts.measure != "correct":
        raise AnalysisError(
            f"the responses are measured as {counts.measure!r}; scoring needs right answers out of a number of trials."
        )
    if (n_draws is not None and n_draws < 1) or counts.n_models < 1:
        raise AnalysisError(f"n_draws is {n_draws} and there are {counts.n_models} models; at least 1 is needed.")
    if nodes is None:
        return None
    own = np.asarray(nodes, dtype=np.float64)
    if own.ndim != 1 or len(own) < 2 or not np.isfinite(own).all() or (np.diff(own) <= 0).any():
        raise AnalysisError(f"nodes have shape {own.shape}; at least two finite, increasing abilities are needed.")
    return own


def _join_items(
    counts: ResponseCounts, posterior: xr.Dataset, n_draws: int | None
) -> tuple[ItemParameters, ItemParameters]:
    """Draws, shape (draw, item), and means, shape (item,), of the parameters of the items in `counts`, in its order.

    Draws that lie far out, where few answers leave a long tail, are drawn in.
    """
    every, labels = item_draws(posterior, np.iinfo(np.int64).max)
    labels, wanted = labels.astype("str"), counts.items.index.astype("str")
    wild = np.any([(np.abs(values) > NO_PARAMETER).mean(axis=0) > 0.5 for values in every], axis=0)
    if wild.any():
        raise AnalysisError(
            f"{int(wild.sum())} items have parameters beyond {NO_PARAMETER:,.0f}; first: "
            f"{labels[int(wild.argmax())]!r}. Was the file of the fit or subset damaged?"
        )
    positions = labels.get_indexer(wanted)
    if (positions < 0).any():
        raise AnalysisError(
            f"{int((positions < 0).sum())} of the {len(wanted)} items of the responses are not among the {len(labels)} "
            f"of the fit; first: {wanted[int((positions < 0).argmax())]!r}. Leave them out with counts.take(items=...)."
        )
    every = ItemParameters(*(np.clip(v[:, positions], -FURTHEST_OUT, FURTHEST_OUT) for v in every))
    mean = ItemParameters(*(values.mean(axis=0) for values in every))
    return thin(every, _affordable_draws(counts, every) if n_draws is None else n_draws), mean


def _affordable_draws(counts: ResponseCounts, items: ItemParameters) -> int:
    """Draws of the items that take about a second, at least `LEAST_DRAWS`."""
    simple = not items.guessing.any() and bool((items.upper_asymptote == 1).all())
    same_trials = bool((counts.trials == counts.trials[:1]).all())
    work = counts.n_models + counts.n_items
    if not (simple and same_trials):
        work += counts.n_models * counts.n_items // CELLS_ALIKE
    return max(MOST_WORK // work, LEAST_DRAWS)
