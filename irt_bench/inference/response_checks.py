"""Named checks of every fit against its responses: implied scores, what each model was asked, repeated answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy
import xarray as xr

from irt_bench import names
from irt_bench.arrays import Array, distinct_rows
from irt_bench.inference.convergence import Check, judge
from irt_bench.inference.draws import cell_chances
from irt_bench.irt_models.logistic import Logistic, OnePL
from irt_bench.irt_models.model import IRTModel, ScoreModel
from irt_bench.irt_models.multidimensional import Multidimensional
from irt_bench.responses.counts import ResponseCounts

MODEL_CHECKS: Final = (
    "missing_pattern",
    "overdispersion",
    "overlap",
)  # of the IRT model; the others may be inference's fault

MAX_CELLS: Final = 500_000  # whose chances are computed, at each of a few draws: hundredths of a second
MEAN_DRAWS: Final = 4  # Monte Carlo error of an expected score: half a binomial standard error at most
# Ours. Simulated right fits of 12 to 400 models reached 3 standard errors, broken ones 0.35 and 100 of them. Of real
# data, 1 of 600 models reached 5.1 (a model that the IRT model misses, as `person_fit` reports), the others 4.
SCORE_LIMIT, SCORE_ERRORS = 0.05, 5.0
ODD_MODELS: Final = 0.02  # share of the models that may be off by twice as much
ORDER_SOURCE: Final = "none; the number of right answers is sufficient (Andersen 1977, doi:10.1007/BF02293746)"
SCORE_SOURCE: Final = "ours: 5 binomial standard errors and 0.05, twice that for 2% of the models"

MIN_MODELS: Final = 10
MAX_MODELS, MAX_ITEMS = 500, 2_000  # drawn at random beyond: a tenth of a second
PERMUTATIONS: Final = 199
MEDIUM: Final = 0.24  # correlation between two equal groups half a standard deviation apart, and the outcome
PATTERN_SOURCE: Final = "0.24, half an sd between two groups (Cohen 1988, section 3.2), and all of 199 permutations"

MIN_COMMON: Final = 30.0  # models: a correlation has a standard error of 1 / sqrt(30) = 0.18
OVERLAP_SOURCE: Final = "ours: 30 models know a correlation to 0.18"

SAMPLED_CELLS, SAMPLED_DRAWS = 50_000, 20
TOO_WIDE: Final = 1.1  # ours: intervals 5% too narrow
NORMAL_LIMIT: Final = 3.09  # 0.1%, one-sided
DISPERSION_SOURCE: Final = "1.1, ours, and 3.09 null standard errors (0.1%; Tarone 1979, doi:10.1093/biomet/66.3.585)"


def response_checks(
    irt_model: IRTModel, posterior: xr.Dataset, counts: ResponseCounts, *, seed: int
) -> tuple[Check, ...]:
    """Check draws against the responses they were made from."""
    rng = np.random.default_rng([seed, len(counts.models)])
    # NaN is looked for in a copy of all draws.
    ability = posterior[names.ABILITY].mean((names.CHAIN, names.DRAW), skipna=False).to_numpy()
    several = names.LOADING in posterior
    ability = ability[:, 0] if several else ability  # the general one, or the one that items load on most
    missing = missing_pattern_check(_about_populations(irt_model, posterior, counts, ability), counts, rng)
    if isinstance(irt_model, ScoreModel):
        reason = "scores are no right answers of independent trials"
        return score_model_check(irt_model, posterior, counts), missing, _not_applicable("overdispersion", reason)
    if not several and not {names.DIFFICULTY, names.DISCRIMINATION} <= set(posterior.data_vars):
        reason = f"{irt_model.name!r} reports no difficulty and discrimination"
        return _not_applicable("expected_scores", reason), missing, _not_applicable("overdispersion", reason)
    one_slope = isinstance(irt_model, OnePL) and irt_model.population is None  # else a score is not all there is
    return (
        expected_score_check(irt_model, posterior, counts, rng),
        *overlap_check(irt_model, counts),
        *((score_order_check(ability, counts),) if one_slope else ()),
        missing,
        overdispersion_check(irt_model, posterior, counts, rng),
    )


def _about_populations(irt_model: IRTModel, posterior: xr.Dataset, counts: ResponseCounts, ability: Array) -> Array:
    """Abilities, in sds from the mean of their group or what covariates predict where the model has populations."""
    population = irt_model.population if isinstance(irt_model, Logistic) else None
    if population is None:
        return ability
    means = {name: posterior[name].mean((names.CHAIN, names.DRAW)).to_numpy() for name in population.dims}
    mean, sd = population.prior_of(counts.models, means)
    return np.asarray((ability - mean) / sd)


def overlap_check(irt_model: IRTModel, counts: ResponseCounts) -> tuple[Check, ...]:
    """Check that enough models answered items of several groups or dimensions to put these on one scale.

    Notes
    -----
    How far the abilities that two groups of items ask for go together is known from the models that answered both, a
    correlation with a standard error of about 1 / sqrt(n). Groups may be linked by way of others: what counts is the
    weakest link of the strongest chain, an edge of the maximum spanning tree.
    """
    if not isinstance(irt_model, Multidimensional) or irt_model.rotates:
        return ()
    pattern = irt_model.pattern(counts.n_items)
    own = ~pattern.all(axis=0)
    taken = (counts.asked.astype(np.int64) @ pattern[:, own].astype(np.int64)) > 0
    answering = taken.any(axis=1)
    if taken.shape[1] < 2 or taken[answering].all():
        return (_not_applicable("overlap", "all models answered items of all groups"),)
    common = taken.T.astype(np.int64) @ taken
    tree = scipy.sparse.csgraph.minimum_spanning_tree(-np.triu(common, 1).astype(float)).tocoo()
    labels = np.array(irt_model.dimension_names)[own]
    weakest = int(np.argmax(tree.data)) if len(tree.data) else 0
    linked = len(tree.data) == taken.shape[1] - 1
    value = float(-tree.data[weakest]) if linked else 0.0
    message = f"{value:.0f} models link the groups of items at the weakest place"
    if linked:
        message += f", between {labels[tree.row[weakest]]} and {labels[tree.col[weakest]]}"
    if value < MIN_COMMON:
        message += ": how abilities in one go with those in the other is mostly the prior; let more models take both"
    return (judge("overlap", value >= MIN_COMMON, value, MIN_COMMON, message, source=OVERLAP_SOURCE),)


def expected_score_check(
    irt_model: IRTModel, posterior: xr.Dataset, counts: ResponseCounts, rng: np.random.Generator
) -> Check:
    """Check that each model's expected score over the items it was asked is close to the score it has.

    Notes
    -----
    At the mode of a 1PL a model's residuals add up to its ability over the slope, and those of a 2PL do, weighted by
    the slopes: scores are reproduced up to the prior's pull, whatever else is wrong with the model.
    """
    items = _some(np.flatnonzero(counts.asked.any(axis=0)), max(MAX_CELLS // counts.n_models, 1), rng)
    trials = counts.trials[:, items]
    n_asked = (trials > 0).sum(axis=1)
    expected, variance = np.zeros((2, counts.n_models))
    dispersion = float(posterior[names.DISPERSION].mean()) if names.DISPERSION in posterior else 0.0
    share = np.divide(trials > 0, np.maximum(n_asked, 1)[:, None], dtype=np.float32)
    for chance in _few_chances(irt_model, posterior, MEAN_DRAWS, items):
        expected += (chance * share).sum(axis=1) / MEAN_DRAWS
        effect = 1 + np.maximum(trials - 1, 0) * dispersion
        variance += (chance * (1 - chance) * share**2 / np.maximum(trials, 1) * effect).sum(axis=1) / MEAN_DRAWS
    score = (counts.correct[:, items] / np.maximum(trials, 1) * share).sum(axis=1)
    return _scores_held(expected, score, variance, counts)


def _scores_held(expected: Array, score: Array, variance: Array, counts: ResponseCounts) -> Check:
    """Hold the scores of models against expected ones."""
    limit = np.maximum(SCORE_ERRORS * np.sqrt(variance), SCORE_LIMIT)
    beyond = np.abs(score - expected) / limit
    odd = np.argsort(-beyond, kind="stable")[: int(ODD_MODELS * counts.n_models)]
    limit[odd] *= 2
    beyond[odd] /= 2
    worst, off = int(np.argmax(beyond)), int((beyond > 1).sum())
    message = (
        f"model {counts.models.index[worst]}: expected score {expected[worst]:.3f}, observed {score[worst]:.3f}"
        f" ({off} models beyond their limits)"
    )
    message += "; another method, or an IRT model that fits, is needed" if off else ""
    gap = float(np.abs(score - expected)[worst])
    return judge("expected_scores", not gap > limit[worst], gap, float(limit[worst]), message, source=SCORE_SOURCE)


def score_model_check(irt_model: ScoreModel, posterior: xr.Dataset, counts: ResponseCounts) -> Check:
    """Check that expected scores of models over their items are close to those they have, for a model of scores.

    Notes
    -----
    A share of a range with mean P varies by P (1 - P) at most, that of a right answer.
    """
    most = max(MEAN_DRAWS, min(MAX_CELLS // max(counts.correct.size, 1), SAMPLED_DRAWS))
    expected = cell_chances(irt_model, posterior, counts, most=most).mean(axis=0)
    share = counts.asked / np.maximum(counts.asked.sum(axis=1), 1)[:, None]
    variance = (expected * (1 - expected) * share**2).sum(axis=1)
    return _scores_held((expected * share).sum(axis=1), np.nan_to_num(counts.accuracy()), variance, counts)


def score_order_check(ability: Array, counts: ResponseCounts) -> Check:
    """Check that the abilities of a 1PL follow the scores of models that were asked the same.

    Notes
    -----
    The number of right answers is sufficient for ability [1]_: of two models the one with more has the larger posterior
    mean. Scores closer than one standard error of their difference are not compared: posterior means of draws may
    differ in order there.

    References
    ----------
    .. [1] Andersen, Sufficient statistics and latent trait models, 1977, DOI 10.1007/BF02293746.
    """
    trials = distinct_rows(counts.trials)
    patterns, kind, size = np.unique(trials, axis=0, return_inverse=True, return_counts=True)
    most = kind.ravel() == int(np.where(patterns.any(axis=1), size, 0).argmax())
    alike = np.flatnonzero(np.broadcast_to(most, counts.n_models) if len(trials) == 1 else most)
    n = float(counts.trials[alike[0]].sum())
    if len(alike) < 2 or n == 0:
        return _not_applicable("score_order", "no two models were asked the same")
    share = counts.correct[alike].sum(axis=1) / n
    order = np.argsort(share, kind="stable")
    alike, share = alike[order], share[order]
    clear = share - np.sqrt(2 * np.maximum(share * (1 - share), 1 / n) / n)
    below = np.searchsorted(share, clear)  # so many models have a clearly lower score
    highest = np.maximum.accumulate(ability[alike])
    behind = (below > 0) & (highest[np.maximum(below, 1) - 1] > ability[alike])
    message = f"{int(behind.sum())} models are placed behind one with a clearly lower score"
    if behind.any():
        worse = int(np.flatnonzero(behind)[-1])
        better = int(np.argmax(ability[alike[: below[worse]]]))
        first, second = (f"{counts.models.index[alike[at]]} ({share[at]:.3f} right)" for at in (worse, better))
        message += f"; first: {first} behind {second}; another method is needed"
    return judge("score_order", not behind.any(), float(behind.sum()), 0.0, message, source=ORDER_SOURCE)


def missing_pattern_check(ability: Array, counts: ResponseCounts, rng: np.random.Generator) -> Check:
    """Check that which items a model was asked does not predict its ability beyond its population.

    Notes
    -----
    One normal population of abilities holds only if what was asked is uninformative about ability, or answers alone
    decided it [1]_. Ability is predicted, each model left out, by ridge regression on indicators of the items asked
    (the same as a normal process whose covariance counts shared items, as large as the noise); the correlation with the
    ability found is compared with those of abilities dealt out at random.

    References
    ----------
    .. [1] Mislevy, Wu, Inferring examinee ability when some item responses are missing, 1988,
       DOI 10.1002/j.2330-8516.1988.tb00304.x.
    """
    models = _some(np.flatnonzero(counts.asked.any(axis=1)), MAX_MODELS, rng)
    asked = counts.asked[models]
    uneven = _some(np.flatnonzero(asked.any(axis=0) & ~asked.all(axis=0)), MAX_ITEMS, rng)
    if len(models) < MIN_MODELS or not len(uneven):
        reason = "all models were asked the same items" if len(models) >= MIN_MODELS else f"{len(models)} models"
        return _not_applicable("missing_pattern", reason)
    asked, known = asked[:, uneven], ability[models]
    order = np.array([np.arange(len(models)), *(rng.permutation(len(models)) for _ in range(PERMUTATIONS))])
    found = _left_out_correlations(asked, known[order])
    value, chance = float(found[0]), float(found[1:].max())
    limit = max(MEDIUM, chance)
    message = f"what a model was asked predicts its ability with correlation {value:.2f} (chance: {chance:.2f} at most)"
    if value > limit:
        place, gap = _most_telling(asked, known)
        message += (
            f": models asked item {counts.items.index[uneven[place]]} are {abs(gap):.2f} "
            f"{'abler' if gap > 0 else 'less able'} than others. Unless answers alone decided what was asked (adaptive "
            "tests), groups are drawn together: give groups a mean of their own (population=...), fit them apart, or "
            "only items that all were asked"
        )
    return judge("missing_pattern", not value > limit, value, limit, message, source=PATTERN_SOURCE)


def overdispersion_check(
    irt_model: IRTModel, posterior: xr.Dataset, counts: ResponseCounts, rng: np.random.Generator
) -> Check:
    """Check that right answers of cells with several trials vary no more than binomially about their chances.

    Notes
    -----
    With k right of n at chance P the score for variance between cells is U = sum ((k - nP)^2 - (k - nP)(1 - 2P) - nP(1
    - P)) / 2, on which single answers carry no information; its null variance is sum n(n - 1)/2 (P(1 - P))^2. For one P
    it is Tarone's test [1]_; with weights P(1 - P) it asks for a normal effect of each cell on the log-odds [2]_, whose
    variance is about U over its null variance. Averaged over draws U has mean 0 although the parameters were estimated
    from the same answers. The figure is the variance of right answers over the binomial one, 1 + 2U / sum nP(1 - P).

    References
    ----------
    .. [1] Tarone, Testing the goodness of fit of the binomial distribution, 1979, DOI 10.1093/biomet/66.3.585.
    .. [2] Dean, Testing for overdispersion in Poisson and binomial regression models, 1992, DOI 10.2307/2290276.
    """
    if not distinct_rows(counts.trials).max(initial=0) > 1:
        return _not_applicable("overdispersion", "no cell has several trials")
    if names.DISPERSION in posterior:
        found = float(posterior[names.DISPERSION].mean())
        return _not_applicable("overdispersion", f"trials of a cell are correlated in the model, by {found:.2f}")
    looked_at = _some(np.flatnonzero((counts.trials > 1).any(axis=0)), max(MAX_CELLS // counts.n_models, 1), rng)
    cells = _some(np.flatnonzero(counts.trials[:, looked_at] > 1), SAMPLED_CELLS, rng)
    models, places = np.unravel_index(cells, (counts.n_models, len(looked_at)))
    items = looked_at[places]
    right, trials = counts.correct[models, items].astype(float), counts.trials[models, items].astype(float)
    excess, binomial, null, surprise = np.zeros((4, len(cells)))
    for every in _few_chances(irt_model, posterior, SAMPLED_DRAWS, looked_at):
        chance = every[models, places].astype(float)
        variance, away = chance * (1 - chance), right - trials * chance
        excess += (away**2 - away * (1 - 2 * chance) - trials * variance) / 2
        binomial += trials * variance
        null += trials * (trials - 1) / 2 * variance**2
        surprise += away / np.sqrt(trials * np.maximum(variance, 1e-12))
    dispersion, spread = 1 + 2 * excess.sum() / binomial.sum(), np.sqrt(excess.sum().clip(0) / null.sum())
    error = 2 * np.sqrt(null.sum() * SAMPLED_DRAWS) / binomial.sum()
    limit = max(TOO_WIDE, 1 + NORMAL_LIMIT * error)
    message = f"right answers of several trials vary {dispersion:.2f} times as much as binomial ones"
    if dispersion > limit:
        worst = int(np.abs(surprise).argmax())
        where = f"model {counts.models.index[models[worst]]}, item {counts.items.index[items[worst]]}"
        message += (
            f" (sd {spread:.1f} of log-odds between cells; first: {where}, {right[worst]:.0f} of {trials[worst]:.0f}): "
            "answers of one model to one item are alike beyond ability, and intervals of P(correct) and of expected "
            "scores are too narrow; fit with dispersion='auto'"
        )
    return judge(
        "overdispersion", not dispersion > limit, float(dispersion), float(limit), message, source=DISPERSION_SOURCE
    )


def _few_chances(irt_model: IRTModel, posterior: xr.Dataset, n: int, items: Any = slice(None)) -> Iterator[Array]:
    """Chances of right answers at evenly spaced draws, (model, item) each, from parameters in single precision."""
    shape = posterior[names.ABILITY].shape[:2]
    values = {str(name): array.to_numpy() for name, array in posterior.data_vars.items() if names.ITEM in array.dims}
    for place in np.linspace(0, np.prod(shape) - 1, n).astype(np.intp):
        at = np.unravel_index(place, shape)
        parameters = {name: value[at][items].astype(np.float32) for name, value in values.items()}
        ability = posterior[names.ABILITY].to_numpy()[at].astype(np.float32)
        yield np.asarray(irt_model.expected_score(parameters, ability))


def _left_out_correlations(asked: Array, ability: Array) -> Array:
    """Correlate each row of abilities, shape (row, model), with its prediction from what the models were asked."""
    centred = asked - asked.mean(axis=0)
    shared = centred @ centred.T
    values, vectors = np.linalg.eigh(shared / np.trace(shared) * len(shared))
    smoother = (vectors * (values / (values + 1))) @ vectors.T + 1 / len(shared)
    left_out = 1 - np.diag(smoother)
    predicted = ability - (ability - ability @ smoother) / left_out
    away = [each - each.mean(axis=1, keepdims=True) for each in (predicted, ability)]
    product, scales = (away[0] * away[1]).sum(axis=1), [np.sqrt((each**2).sum(axis=1)) for each in away]
    return np.asarray(product / np.maximum(scales[0] * scales[1], np.finfo(float).tiny))


def _most_telling(asked: Array, ability: Array) -> tuple[int, float]:
    """Item whose being asked goes with the clearest difference in mean ability, and the difference."""
    n = asked.sum(axis=0)
    inside, outside = ability @ asked / n, ability @ ~asked / (len(ability) - n)
    place = int(np.argmax(np.abs(inside - outside) * np.sqrt(n * (len(ability) - n))))
    return place, float(inside[place] - outside[place])


def _some(places: npt.NDArray[np.intp], most: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """At most so many of the places, drawn at random, in order."""
    return np.sort(rng.choice(places, most, replace=False)) if len(places) > most else places


def _not_applicable(name: str, reason: str) -> Check:
    return Check(name, "not_applicable", None, None, reason)
