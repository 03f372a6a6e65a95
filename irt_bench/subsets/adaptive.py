"""Computerised adaptive tests of a benchmark, compared with a fixed subset of the same items.

An adaptive test chooses each next item from the answers so far. It is compared with the fixed subset in two ways: on
answers simulated from the fit, and on real answers. Simulated answers follow the IRT model exactly. Real answers need
not, and tests with real answers usually need more items.

The posterior of ability is kept on a grid of nodes; its prior is N(0, 1). The next item is the item not yet asked with
the most Fisher information at the posterior mean. The test ends when the posterior sd is small enough.

Answers are simulated from draws of the item parameters. The test itself sees the items through an `ItemBank`, in which
the uncertainty of the item parameters is integrated out. An item whose parameters are uncertain therefore has a flatter
curve and less information than an item with the same estimates and less uncertainty.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench.analysis.curves import response_curve, response_probabilities
from irt_bench.analysis.labelled_draws import (
    ItemParameters,
    check_same_responses,
    item_draws,
    positions_of,
    refuse_populations,
)
from irt_bench.arrays import FloatArray, slices
from irt_bench.errors import AnalysisError, ResponsesWarning, check_range
from irt_bench.names import ABILITY, INTERVAL, ITEM, MODEL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.scorer import posterior_on

NODES: Final = np.linspace(-6, 6, 241)  # 0.05 apart: the trapezoid rule is exact to 1e-6 for sds from 0.05 on
BLOCK_CELLS: Final = 1_000_000  # draws x items x nodes at once: 8 MB per temporary array
MIN_ALIGNED: Final = 10  # items needed to estimate the shift and the scale factor that draws share


class ItemBank(NamedTuple):
    """Curves of the items with the uncertainty of their parameters integrated out, arrays of shape (item, node)."""

    right: FloatArray  # probability of a right answer, mean over draws of the item parameters
    log_right: FloatArray
    log_wrong: FloatArray
    information: FloatArray  # Fisher information of one answer
    scale: FloatArray  # (node, node): distribution of the true ability given the ability on the mean scale of the draws


def item_bank(items: ItemParameters) -> ItemBank:
    """Tabulate the curves and the information of items on `NODES`.

    Parameters
    ----------
    items : ItemParameters
        Known parameters, shape (item,), or draws of them, shape (draw, item).

    Notes
    -----
    Draws differ in two ways. One part is common to all items: a shift and a scale factor of the ability scale, because
    the calibration models are a sample of N(0, 1). The other part belongs to each item and is about independent.
    The second part is integrated out item by item: the probability P of a right answer is its mean over draws, and the
    information is P'^2 / (P (1 - P)). The common part is added to the posterior of ability by `ItemBank.scale`.
    """
    drawn = items if items.difficulty.ndim == 2 else items.at(None)
    shift, factor = _shared_scale(drawn)
    drawn = drawn._replace(difficulty=(drawn.difficulty - shift) / factor, discrimination=drawn.discrimination * factor)
    n_draws, n_items = drawn.difficulty.shape
    right, wrong, slope = (np.empty((n_items, len(NODES))) for _ in range(3))
    for block in slices(n_items, BLOCK_CELLS // (n_draws * len(NODES))):
        part = drawn.at((slice(None), block, None))
        right[block], wrong[block], slope[block] = (values.mean(axis=0) for values in response_curve(part, NODES)[:3])
    spread = _moved_mass(shift, factor) if n_draws > 1 else np.eye(len(NODES))
    return ItemBank(right, np.log(right), np.log(wrong), slope / right * (slope / wrong), spread)


def _shared_scale(drawn: ItemParameters) -> tuple[FloatArray, FloatArray]:
    """Regress the difficulties of each draw on their mean: shift and scale factor, each of shape (draw, 1)."""
    mean, variance = drawn.difficulty.mean(axis=0), drawn.difficulty.var(axis=0)
    if len(drawn.difficulty) == 1 or len(mean) < MIN_ALIGNED or not variance.all():
        return np.zeros((len(drawn.difficulty), 1)), np.ones((len(drawn.difficulty), 1))
    weight = (1 / variance) / (1 / variance).sum()
    centre = weight @ mean
    deviation = mean - centre
    factor = np.ones((len(drawn.difficulty), 1))
    if (
        weight @ deviation**2 > weight @ variance
    ):  # otherwise the difficulties are too similar to estimate a scale factor
        factor = (drawn.difficulty @ (weight * deviation) / (weight @ deviation**2))[:, None]
    return (drawn.difficulty @ weight)[:, None] - factor * centre, factor


def _moved_mass(shift: FloatArray, factor: FloatArray) -> FloatArray:
    """Mean over draws of the position of shift + factor x node, each split between the two nearest nodes."""
    moved = np.clip((shift + factor * NODES - NODES[0]) / (NODES[1] - NODES[0]), 0, len(NODES) - 1)
    below = np.minimum(moved.astype(np.intp), len(NODES) - 2)
    found, rows = np.zeros((len(NODES), len(NODES))), np.broadcast_to(np.arange(len(NODES)), below.shape)
    np.add.at(found, (rows, below), 1 - (moved - below))
    np.add.at(found, (rows, below + 1), moved - below)
    return found / len(shift)


Answers = npt.NDArray[np.bool_]

MAX_MODELS: Final = 100_000  # simulated
ITEM_DRAWS: Final = 200  # of the item parameters, for simulated answers and for mean curves
MIN_REPLAYED: Final = 2  # models: one has no spread
N_RESAMPLES: Final = 1000  # of models, for the intervals
NO_ERROR: Final = 1e-9  # errors of ability below this are rounding
FIXED: Final = "fixed subset"
RANDOM: Final = "random items, as many"
SHOWN_ABILITIES: Final = np.array([-1.3, 0.0, 1.3])  # of simulated models whose tests are drawn
SAME_LENGTH: Final = "adaptive, as many"
STOPPED: Final = "adaptive, until sd"


@dataclass(frozen=True)
class AdaptiveSettings:
    """Stopping rule of adaptive tests, and size of their simulation.

    Raises
    ------
    AnalysisError
        If a setting is out of range.
    """

    # a test ends when the posterior sd of ability is at most this, in sds of the calibration sample; in [0, 1)
    stop_sd: float = 0.3
    # min_items, max_items: smallest and largest number of items of a test
    min_items: int = 5
    max_items: int = 200
    n_models: int = 500  # number of simulated models, with abilities from N(0, 1); from 2 to 100,000
    seed: int = 0  # seed of abilities, answers, random items and resamples

    def __post_init__(self) -> None:
        if not 0 <= self.stop_sd < 1:
            raise AnalysisError(f"stop_sd is {self.stop_sd:g}; a number in [0, 1) is needed: the prior's sd is 1.")
        if not 0 <= self.min_items <= self.max_items or self.max_items < 1:
            raise AnalysisError(
                f"min_items is {self.min_items} and max_items {self.max_items}; 0 <= min_items <= max_items is needed."
            )
        check_range(AnalysisError, "n_models", self.n_models, 2, MAX_MODELS)  # two for a spread


class AbilityEstimates(NamedTuple):
    """Estimates of a test, arrays of shape (model,)."""

    ability: FloatArray  # posterior mean
    ability_sd: FloatArray
    lower: FloatArray  # limits of the central 90% interval
    upper: FloatArray
    score: FloatArray  # posterior mean of the expected share of right answers on the whole benchmark
    n_items: npt.NDArray[np.int64]


class AdaptiveTest(NamedTuple):
    """Estimates of an adaptive test, and the items that it asked."""

    estimates: AbilityEstimates
    asked: npt.NDArray[np.int64]  # (model, step): position of the item; -1 after the end of the test


def run_adaptive(answers: Answers, bank: ItemBank, settings: AdaptiveSettings) -> AdaptiveTest:
    """Test models adaptively on answers that are known, bool of shape (model, item); nothing here is random.

    Notes
    -----
    Information is taken at the node nearest to the posterior mean. Ties go to the first item.
    """
    n_models, n_items = answers.shape
    information = np.ascontiguousarray(bank.information.T)
    log_likelihood = np.zeros((n_models, len(NODES)))
    open_items = np.ones((n_models, n_items), dtype=bool)
    most = min(settings.max_items, n_items)
    asked = np.full((n_models, most), -1, dtype=np.int64)
    for step in range(most):
        mean, sd = _mean_and_sd(posterior_on(NODES, log_likelihood) @ bank.scale)
        going = np.flatnonzero((sd > settings.stop_sd) | (step < settings.min_items))
        if not len(going):
            break
        nearest = np.rint((mean[going] - NODES[0]) / (NODES[1] - NODES[0])).astype(np.intp)
        item = np.where(open_items[going], information[nearest], -1.0).argmax(axis=1)
        asked[going, step] = item
        open_items[going, item] = False
        log_likelihood[going] += np.where(answers[going, item][:, None], bank.log_right[item], bank.log_wrong[item])
    return AdaptiveTest(_estimates(log_likelihood, bank, (asked >= 0).sum(axis=1)), asked)


def run_fixed(answers: Answers, bank: ItemBank, positions: npt.NDArray[np.integer]) -> AbilityEstimates:
    """Score models on given items; `positions` has shape (item,), or (model, item) where models have other items."""
    right, wrong = bank.log_right, bank.log_wrong
    log_likelihood = np.zeros((len(answers), len(NODES)))
    if positions.ndim == 1:
        given = answers[:, positions].astype(np.float64)
        log_likelihood += given @ right[positions] + (1 - given) @ wrong[positions]
    else:
        for column in positions.T:
            is_right = answers[np.arange(len(answers)), column]
            log_likelihood += np.where(is_right[:, None], right[column], wrong[column])
    return _estimates(log_likelihood, bank, np.full(len(answers), positions.shape[-1]))


def fixed_abilities(answers: Answers, bank: ItemBank, subsets: npt.NDArray[np.integer]) -> FloatArray:
    """Posterior mean abilities from each of many subsets of the items, (subset, item) to (subset, model)."""
    given = np.moveaxis(answers[:, subsets], 0, 1).astype(np.float64)
    log_likelihood = given @ bank.log_right[subsets] + (1 - given) @ bank.log_wrong[subsets]
    return posterior_on(NODES, log_likelihood) @ (bank.scale @ NODES)


def compare_adaptive(posterior: xr.Dataset, subset_items: Sequence[str], settings: AdaptiveSettings) -> pd.DataFrame:
    """Simulate models, and test each of them with the fixed subset, with random items, and adaptively.

    Returns
    -------
    pd.DataFrame
        One row per design: the fixed subset; random items, as many as in the subset; an adaptive test of the same
        length; an adaptive test with the stopping rule. Columns: ``n_items``, mean number of items, with its quantiles
        over models; ``ability_error``, root mean square error of ability in sds of the calibration sample;
        ``score_error``, mean absolute error of the estimated share of right answers on the whole benchmark;
        ``error_ratio``, ability error divided by that of the fixed subset on the same models. These have 90% intervals
        over models (``_q05``, ``_q95``). Further: ``ability_sd``, mean posterior sd; ``covered``, share of models whose
        ability is in the 90% interval; ``n_distinct``, number of different items asked.

    Raises
    ------
    AnalysisError
        If an item of the subset is not in the posterior.
    """
    refuse_populations(posterior, "an adaptive test")
    drawn, positions, _ = _join(posterior, subset_items)
    rng = np.random.default_rng(settings.seed)
    ability = rng.standard_normal(settings.n_models)
    answers, score = _simulate(drawn, ability, rng)
    tests = _tests(answers, item_bank(drawn), positions, settings, rng)
    return _summary(tests, ability, score, rng)


def replay_adaptive(
    posterior: xr.Dataset, subset_items: Sequence[str], counts: ResponseCounts, settings: AdaptiveSettings
) -> pd.DataFrame:
    """Test models on their real answers: with the fixed subset, with random items, and adaptively.

    Only models that answered all items of the fit are tested. Where an item has several trials, one is drawn at random.

    Returns
    -------
    pd.DataFrame
        As in `compare_adaptive`. The reference is the estimate from all answers of a model: its posterior mean ability
        and its share of right answers. A test uses some of the same answers, so its error falls to 0 as it grows.

    Raises
    ------
    AnalysisError
        If an item is not in the posterior, or fewer than two models answered all items.

    Warns
    -----
    ResponsesWarning
        If models are left out.
    """
    refuse_populations(posterior, "an adaptive test")
    drawn, positions, labels = _join(posterior, subset_items)
    rng, bank = np.random.default_rng(settings.seed), item_bank(drawn)
    counts, answers = _whole_answers(counts, posterior, labels, rng)
    ability = run_fixed(answers, bank, np.arange(counts.n_items)).ability
    return _summary(_tests(answers, bank, positions, settings, rng), ability, answers.mean(axis=1), rng)


def adaptive_course(
    posterior: xr.Dataset, settings: AdaptiveSettings, counts: ResponseCounts | None = None
) -> pd.DataFrame:
    """Follow adaptive tests of a weak, a middling and an able model, answer by answer.

    Parameters
    ----------
    posterior : xr.Dataset
        Draws of the item parameters of the whole benchmark, dimensions (chain, draw, item), with labels.
    settings : AdaptiveSettings
        Stopping rule.
    counts : ResponseCounts, optional
        Real answers, which tests look up; without them, models are simulated.

    Returns
    -------
    pd.DataFrame
        Indexed by model and number of items asked: ``ability`` with its limits, and ``reference``: the true ability
        of a simulated model, that from all answers of a real one (``attrs["reference"]`` says which).
    """
    refuse_populations(posterior, "an adaptive test")
    drawn, labels = item_draws(posterior, ITEM_DRAWS)
    rng, bank = np.random.default_rng(settings.seed), item_bank(drawn)
    if counts is None:
        reference = SHOWN_ABILITIES
        models, answers = [f"simulated, {value:g}" for value in reference], _simulate(drawn, reference, rng)[0]
    else:
        counts, answers = _whole_answers(counts, posterior, labels, rng)
        ability = run_fixed(answers, bank, np.arange(len(labels))).ability
        ranks = np.linspace(0, len(ability) - 1, 2 * len(SHOWN_ABILITIES) + 1)[1::2].round().astype(np.intp)
        places = np.unique(np.argsort(ability, kind="stable")[ranks])
        places = places[np.argsort(ability[places], kind="stable")]
        models, answers, reference = [str(counts.models.index[at]) for at in places], answers[places], ability[places]
    parts = []
    for model, own, items, at in zip(
        models, answers, run_adaptive(answers, bank, settings).asked, reference, strict=True
    ):
        items = items[items >= 0]
        found = [run_fixed(own[None], bank, items[:n]) for n in range(len(items) + 1)]
        index = pd.MultiIndex.from_product([[model], range(len(found))], names=[MODEL, "n_items"])
        estimates = {ABILITY: "ability", f"{ABILITY}_q05": "lower", f"{ABILITY}_q95": "upper"}
        columns = {name: [float(getattr(each, of)[0]) for each in found] for name, of in estimates.items()}
        parts.append(pd.DataFrame(columns | {"reference": at}, index=index))
    course = pd.concat(parts)
    course.attrs["reference"] = "true ability" if counts is None else "ability from all answers"
    return course


def _whole_answers(
    counts: ResponseCounts, posterior: xr.Dataset, labels: pd.Index, rng: np.random.Generator
) -> tuple[ResponseCounts, Answers]:
    """Answers of the models that answered all items of the fit, one trial of each, and these models."""
    if counts.measure != "correct":
        raise AnalysisError(
            f"the responses have measure {counts.measure!r}; adaptive tests need right or wrong answers."
        )
    check_same_responses(counts.items, posterior)
    counts = counts.take(items=positions_of(labels, counts.items.index, ITEM, "the fit", "the responses"))
    whole = counts.asked.all(axis=1)
    if whole.sum() < MIN_REPLAYED:
        gap = "" if whole.all() else f"; the first that did not: {counts.models.index[int((~whole).argmax())]!r}"
        raise AnalysisError(
            f"{int(whole.sum())} of {counts.n_models} models answered all {counts.n_items} items of the fit{gap}. At "
            f"least {MIN_REPLAYED} are needed, as tests look up real answers; without them, models are simulated."
        )
    if not whole.all():
        first = counts.models.index[int((~whole).argmax())]
        warnings.warn(
            f"{int((~whole).sum())} models did not answer all items of the fit and are left out; first: {first!r}.",
            ResponsesWarning,
            stacklevel=3,
        )
    counts = counts.take(models=whole)
    return counts, rng.random(counts.correct.shape) < counts.proportions()


def _join(posterior: xr.Dataset, subset_items: Sequence[str]) -> tuple[ItemParameters, npt.NDArray[np.int64], pd.Index]:
    """Draws of the item parameters, the positions of the subset's items among them, and the labels."""
    drawn, labels = item_draws(posterior, ITEM_DRAWS)
    if not len(subset_items):
        raise AnalysisError("the fixed subset has no items; at least one is needed.")
    positions = positions_of(pd.Index(list(subset_items)), labels, ITEM, "the subset", "the fit")
    return drawn, positions.astype(np.int64), labels


def _tests(
    answers: Answers,
    bank: ItemBank,
    positions: npt.NDArray[np.int64],
    settings: AdaptiveSettings,
    rng: np.random.Generator,
) -> dict[str, tuple[AbilityEstimates, int]]:
    """Estimates of each design, and the number of different items that it asked."""
    n_models, size = len(answers), len(positions)
    at_random = rng.permuted(np.tile(np.arange(answers.shape[1]), (n_models, 1)), axis=1)[:, :size]
    as_many = run_adaptive(answers, bank, AdaptiveSettings(stop_sd=0, min_items=size, max_items=size))
    stopped = run_adaptive(answers, bank, settings)
    return {
        FIXED: (run_fixed(answers, bank, positions), size),
        RANDOM: (run_fixed(answers, bank, at_random), len(np.unique(at_random))),
        SAME_LENGTH: (as_many.estimates, _n_distinct(as_many.asked)),
        f"{STOPPED} {settings.stop_sd:g}": (stopped.estimates, _n_distinct(stopped.asked)),
    }


def _n_distinct(asked: npt.NDArray[np.int64]) -> int:
    return len(np.unique(asked[asked >= 0]))


def _simulate(drawn: ItemParameters, ability: FloatArray, rng: np.random.Generator) -> tuple[Answers, FloatArray]:
    """Answers of shape (model, item) and true full scores; the items of each model come from one random draw."""
    which = rng.integers(len(drawn.difficulty), size=len(ability))
    chance = np.stack(
        [response_probabilities(drawn.at(draw), value)[0] for draw, value in zip(which, ability, strict=True)]
    )
    return rng.random(chance.shape) < chance, chance.mean(axis=1)


def _mean_and_sd(density: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean = density @ NODES
    return mean, np.sqrt(np.maximum(density @ NODES**2 - mean**2, 0))


def _estimates(log_likelihood: FloatArray, bank: ItemBank, n_items: npt.NDArray[np.integer]) -> AbilityEstimates:
    on_items = posterior_on(NODES, log_likelihood)
    density = on_items @ bank.scale
    mean, sd = _mean_and_sd(density)
    curve = bank.right.mean(axis=0)
    # Half of the mass of a node lies below the node.
    cumulated = np.cumsum(density, axis=1) - density / 2
    lower, upper = (np.array([np.interp(q, row, NODES) for row in cumulated]) for q in INTERVAL)
    return AbilityEstimates(mean, sd, lower, upper, on_items @ curve, n_items.astype(np.int64))


def _summary(
    tests: Mapping[str, tuple[AbilityEstimates, int]], ability: FloatArray, score: FloatArray, rng: np.random.Generator
) -> pd.DataFrame:
    resampled = rng.integers(len(ability), size=(N_RESAMPLES, len(ability)))
    squares = {design: (found.ability - ability) ** 2 for design, (found, _) in tests.items()}
    rows = {}
    for design, (found, n_distinct) in tests.items():
        misses = np.abs(found.score - score)
        mean, of_all = squares[design].mean(), squares[design][resampled].mean(axis=1)
        # A fixed test with all items has no error, and then there is no ratio.
        fixed = [
            np.where(values > NO_ERROR**2, values, np.nan)
            for values in (squares[FIXED].mean(), squares[FIXED][resampled].mean(axis=1))
        ]
        ratio = float(np.sqrt(mean / fixed[0])), np.sqrt(of_all / fixed[1])
        rows[design] = {
            **_with_limits("n_items", found.n_items.mean(), found.n_items),
            **_with_limits("ability_error", np.sqrt(mean), np.sqrt(of_all)),
            **_with_limits("score_error", misses.mean(), misses[resampled].mean(axis=1)),
            **_with_limits("error_ratio", *ratio),
            f"{ABILITY}_sd": found.ability_sd.mean(),
            "covered": ((found.lower <= ability) & (ability <= found.upper)).mean(),
            "n_distinct": n_distinct,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("design")


def _with_limits(name: str, value: float, spread: npt.NDArray[np.floating] | npt.NDArray[np.int64]) -> dict[str, float]:
    low, high = np.quantile(spread, INTERVAL)
    return {name: float(value), f"{name}_q05": float(low), f"{name}_q95": float(high)}
