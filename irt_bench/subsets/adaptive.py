"""Adaptive testing: what choosing each next item by the answers so far would add to a fixed subset.

Judged twice: on answers simulated from the fit, which are as the IRT model has it, and on real answers looked up as an
adaptive test would ask for them, which need not be and mostly take more items.

The posterior of ability, with prior N(0, 1), is kept on nodes. The next item is the one not yet asked that tells most
(Fisher information) at its mean; the test ends when its sd is small enough. Simulated answers come from draws of the
item parameters, and so does what a test knows of the items (`item_bank`): an item known badly has a flatter curve and
tells less than one that looks the same and is known well, and what all items are wrong by together widens abilities.

ItemBank: what an adaptive test knows of its items, with the uncertainty of their parameters integrated out.
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

from irt_bench.analysis.curves import chances, knowing, success
from irt_bench.analysis.labelled_draws import ItemParameters, item_draws, positions_of
from irt_bench.arrays import FloatArray, slices
from irt_bench.errors import AnalysisError, ResponsesWarning, check_range
from irt_bench.names import ABILITY, INTERVAL, ITEM
from irt_bench.responses.counts import ResponseCounts

NODES: Final = np.linspace(-6, 6, 241)  # 0.05 apart: the trapezoid rule is exact to 1e-6 for sds from 0.05 on
BLOCK_CELLS: Final = 1_000_000  # draws x items x nodes at once: 8 MB a temporary array
MIN_ALIGNED: Final = 10  # items from which a shift and a stretch of the scale can be told


class ItemBank(NamedTuple):
    """What a test knows of the items, arrays of shape (item, node) but for the last."""

    right: FloatArray  # chance of a right answer, mean over draws of the item parameters
    log_right: FloatArray
    log_wrong: FloatArray
    information: FloatArray  # Fisher information of one answer
    scale: FloatArray  # (node, node): where the mass of a node on the items' mean scale may lie on the true one


def item_bank(items: ItemParameters) -> ItemBank:
    """Tabulate curves and information of items, parameters known (item,) or as draws (draw, item).

    Notes
    -----
    What draws differ in has a part that all items share, a shift and a stretch of the ability scale (the calibration
    models are a sample of N(0, 1)), and a part of each item's own, about independent. The own parts are integrated out
    item by item: one answer is right with the mean over draws of its chance, and its information is P'^2 / (P (1 - P)).
    The shared part is put back on the posterior of ability, by `ItemBank.scale`.
    """
    drawn = items if items.difficulty.ndim == 2 else items.at(None)
    shift, stretch = _shared_scale(drawn)
    drawn = drawn._replace(
        difficulty=(drawn.difficulty - shift) / stretch, discrimination=drawn.discrimination * stretch
    )
    n_draws, n_items = drawn.difficulty.shape
    right, wrong, slope = (np.empty((n_items, len(NODES))) for _ in range(3))
    for block in slices(n_items, BLOCK_CELLS // (n_draws * len(NODES))):
        part = drawn.at((slice(None), block, None))
        known, unknown = knowing(part, NODES)
        chance = chances(part, known, unknown)
        right[block], wrong[block] = (values.mean(axis=0) for values in chance)
        steepness = part.discrimination * (part.upper_asymptote - part.guessing)
        slope[block] = (steepness * known * unknown).mean(axis=0)
    spread = _moved_mass(shift, stretch) if n_draws > 1 else np.eye(len(NODES))
    return ItemBank(right, np.log(right), np.log(wrong), slope / right * (slope / wrong), spread)


def _shared_scale(drawn: ItemParameters) -> tuple[FloatArray, FloatArray]:
    """Shift and stretch of each draw's difficulties against their mean, shape (draw, 1), by weighted least squares."""
    mean, variance = drawn.difficulty.mean(axis=0), drawn.difficulty.var(axis=0)
    if len(drawn.difficulty) == 1 or len(mean) < MIN_ALIGNED or not variance.all():
        return np.zeros((len(drawn.difficulty), 1)), np.ones((len(drawn.difficulty), 1))
    weight = (1 / variance) / (1 / variance).sum()
    centre = weight @ mean
    apart = mean - centre
    stretch = np.ones((len(drawn.difficulty), 1))
    if weight @ apart**2 > weight @ variance:  # else the difficulties are too much alike to tell a stretch by
        stretch = (drawn.difficulty @ (weight * apart) / (weight @ apart**2))[:, None]
    return (drawn.difficulty @ weight)[:, None] - stretch * centre, stretch


def _moved_mass(shift: FloatArray, stretch: FloatArray) -> FloatArray:
    """Mean over draws of where shift + stretch x node lies, each mass split between the two nodes beside it."""
    moved = np.clip((shift + stretch * NODES - NODES[0]) / (NODES[1] - NODES[0]), 0, len(NODES) - 1)
    below = np.minimum(moved.astype(np.intp), len(NODES) - 2)
    found, rows = np.zeros((len(NODES), len(NODES))), np.broadcast_to(np.arange(len(NODES)), below.shape)
    np.add.at(found, (rows, below), 1 - (moved - below))
    np.add.at(found, (rows, below + 1), moved - below)
    return found / len(shift)


Answers = npt.NDArray[np.bool_]

MAX_MODELS: Final = 100_000  # simulated
ITEM_DRAWS: Final = 200  # of the item parameters, from which answers come and over which curves are averaged
MIN_REPLAYED: Final = 2  # models, for a spread
N_RESAMPLES: Final = 1000  # of models, for the intervals
NO_ERROR: Final = 1e-9  # of ability: rounding
FIXED: Final = "fixed subset"
RANDOM: Final = "random items, as many"
SAME_LENGTH: Final = "adaptive, as many"
STOPPED: Final = "adaptive, until sd"


@dataclass(frozen=True)
class AdaptiveSettings:
    """When an adaptive test ends, and how it is simulated.

    Parameters
    ----------
    stop_sd : float
        The test ends when the sd of ability's posterior is at most this, in sds of the calibration sample.
    min_items, max_items : int
        It asks at least and at most so many items.
    n_models : int
        Models simulated, with abilities from N(0, 1).
    seed : int
        Of abilities, answers, random items and resamples.

    Raises
    ------
    AnalysisError
        If a setting is out of range.
    """

    stop_sd: float = 0.3
    min_items: int = 5
    max_items: int = 200
    n_models: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.stop_sd < 1:
            raise AnalysisError(f"stop_sd is {self.stop_sd:g}; a number in [0, 1) is needed: the prior's sd is 1.")
        if not 0 <= self.min_items <= self.max_items or self.max_items < 1:
            raise AnalysisError(
                f"min_items is {self.min_items} and max_items {self.max_items}; 0 <= min_items <= max_items is needed."
            )
        check_range(AnalysisError, "n_models", self.n_models, 2, MAX_MODELS)  # two for a spread


class AbilityEstimates(NamedTuple):
    """What a test found, one value a model."""

    ability: FloatArray  # posterior mean
    ability_sd: FloatArray
    lower: FloatArray  # limits of the central 90%
    upper: FloatArray
    score: FloatArray  # posterior mean of the expected share right on the whole benchmark
    n_items: npt.NDArray[np.int64]


class AdaptiveTest(NamedTuple):
    """An adaptive test of some models: what it found, and which items it asked."""

    estimates: AbilityEstimates
    asked: npt.NDArray[np.int64]  # (model, step): position of the item; -1 after the end


def run_adaptive(answers: Answers, bank: ItemBank, settings: AdaptiveSettings) -> AdaptiveTest:
    """Test models adaptively, by looking up the answers that each asked item would get.

    Parameters
    ----------
    answers : array of shape (model, item)
        Whether each answer is right.
    bank : ItemBank
        With which items are chosen and answers scored.
    settings : AdaptiveSettings
        When to end; ``n_models`` and ``seed`` are not looked at, as nothing here is random.

    Notes
    -----
    Information is looked up at the node nearest to the posterior mean. Of items that tell the same, the first is asked.
    """
    n_models, n_items = answers.shape
    information = np.ascontiguousarray(bank.information.T)
    log_posterior = np.tile(-(NODES**2) / 2, (n_models, 1))
    open_items = np.ones((n_models, n_items), dtype=bool)
    most = min(settings.max_items, n_items)
    asked = np.full((n_models, most), -1, dtype=np.int64)
    for step in range(most):
        mean, sd = _mean_and_sd(_density(log_posterior) @ bank.scale)
        going = np.flatnonzero((sd > settings.stop_sd) | (step < settings.min_items))
        if not len(going):
            break
        nearest = np.rint((mean[going] - NODES[0]) / (NODES[1] - NODES[0])).astype(np.intp)
        item = np.where(open_items[going], information[nearest], -1.0).argmax(axis=1)
        asked[going, step] = item
        open_items[going, item] = False
        log_posterior[going] += np.where(answers[going, item][:, None], bank.log_right[item], bank.log_wrong[item])
    return AdaptiveTest(_estimates(log_posterior, bank, (asked >= 0).sum(axis=1)), asked)


def run_fixed(answers: Answers, bank: ItemBank, positions: npt.NDArray[np.integer]) -> AbilityEstimates:
    """Test models on given items: `positions` of shape (item,), the same for all, or (model, item), each its own."""
    right, wrong = bank.log_right, bank.log_wrong
    log_posterior = np.tile(-(NODES**2) / 2, (len(answers), 1))
    if positions.ndim == 1:
        given = answers[:, positions].astype(np.float64)
        log_posterior += given @ right[positions] + (1 - given) @ wrong[positions]
    else:
        for column in positions.T:
            is_right = answers[np.arange(len(answers)), column]
            log_posterior += np.where(is_right[:, None], right[column], wrong[column])
    return _estimates(log_posterior, bank, np.full(len(answers), positions.shape[-1]))


def compare_adaptive(posterior: xr.Dataset, subset_items: Sequence[str], settings: AdaptiveSettings) -> pd.DataFrame:
    """Simulate models, and test each on the fixed subset, on as many random items, and adaptively.

    Parameters
    ----------
    posterior : xr.Dataset
        Item parameters of the whole benchmark, of dimensions (chain, draw, item), with labels.
    subset_items : sequence of str
        Labels of the fixed subset's items.
    settings : AdaptiveSettings
        When adaptive tests end, and how many models are simulated.

    Returns
    -------
    pd.DataFrame
        Indexed by design: ``n_items`` with ``n_items_q05, n_items_q95`` (over models), ``ability_error`` (root mean
        square error, in sds of the calibration sample), ``score_error`` (mean absolute error of the estimated share
        right on the whole benchmark) and ``error_ratio`` (its ability error by that of the fixed subset on the same
        models), each with its interval over models; ``ability_sd`` (mean posterior sd), ``covered`` (share of models
        whose ability is in the 90% interval) and ``n_distinct`` (items that any model was asked).

    Raises
    ------
    AnalysisError
        If an item of the subset is not in the posterior.
    """
    drawn, positions, _ = _join(posterior, subset_items)
    rng = np.random.default_rng(settings.seed)
    ability = rng.standard_normal(settings.n_models)
    answers, score = _simulate(drawn, ability, rng)
    tests = _tests(answers, item_bank(drawn), positions, settings, rng)
    return _summary(tests, ability, score, rng)


def replay_adaptive(
    posterior: xr.Dataset, subset_items: Sequence[str], counts: ResponseCounts, settings: AdaptiveSettings
) -> pd.DataFrame:
    """Test models adaptively by their real answers, beside the fixed subset and as many random items.

    Parameters
    ----------
    posterior : xr.Dataset
        Item parameters of the whole benchmark, of dimensions (chain, draw, item), with labels.
    subset_items : sequence of str
        Labels of the fixed subset's items.
    counts : ResponseCounts
        Answers; models that answered all items of the fit are tested. Of several trials of an item one counts, drawn
        at random.
    settings : AdaptiveSettings
        When adaptive tests end; ``n_models`` is not looked at.

    Returns
    -------
    pd.DataFrame
        As of `compare_adaptive`. The truth of a model is what all its answers say: the posterior mean of ability, and
        the share right. Answers asked are among these, so that errors shrink to 0 as tests grow.

    Raises
    ------
    AnalysisError
        If an item is not in the posterior, or fewer than two models answered all items.

    Warns
    -----
    ResponsesWarning
        If models are left out.
    """
    drawn, positions, labels = _join(posterior, subset_items)
    if counts.measure != "correct":
        raise AnalysisError(f"the responses are measured as {counts.measure!r}; adaptive tests need right and wrong.")
    counts = counts.take(items=positions_of(labels, counts.items.index, ITEM, "the fit", "the responses"))
    whole = counts.asked.all(axis=1)
    if whole.sum() < MIN_REPLAYED:
        raise AnalysisError(
            f"{int(whole.sum())} of {counts.n_models} models answered all {counts.n_items} items of the fit; at least "
            f"{MIN_REPLAYED} are needed."
        )
    if not whole.all():
        first = counts.models.index[int((~whole).argmax())]
        warnings.warn(
            f"{int((~whole).sum())} models did not answer all items of the fit and are left out; first: {first!r}.",
            ResponsesWarning,
            stacklevel=2,
        )
    rng, bank = np.random.default_rng(settings.seed), item_bank(drawn)
    answers = rng.random((int(whole.sum()), counts.n_items)) < counts.proportions()[whole]
    ability = run_fixed(answers, bank, np.arange(counts.n_items)).ability
    return _summary(_tests(answers, bank, positions, settings, rng), ability, answers.mean(axis=1), rng)


def _join(posterior: xr.Dataset, subset_items: Sequence[str]) -> tuple[ItemParameters, npt.NDArray[np.int64], pd.Index]:
    """Draws of the item parameters, the positions of the subset's items among them, and the labels."""
    drawn, labels = item_draws(posterior, ITEM_DRAWS)
    if not len(subset_items):
        raise AnalysisError("no items of a fixed subset were given; at least one is needed.")
    positions = positions_of(pd.Index(list(subset_items)), labels, ITEM, "the subset", "the fit")
    return drawn, positions.astype(np.int64), labels


def _tests(
    answers: Answers,
    bank: ItemBank,
    positions: npt.NDArray[np.int64],
    settings: AdaptiveSettings,
    rng: np.random.Generator,
) -> dict[str, tuple[AbilityEstimates, int]]:
    """Run each design: its estimates, and how many different items it asked."""
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
    """Answers of shape (model, item), each model's items from a draw of their own, and the true full scores."""
    which = rng.integers(len(drawn.difficulty), size=len(ability))
    chance = np.stack([success(drawn.at(draw), value)[0] for draw, value in zip(which, ability, strict=True)])
    return rng.random(chance.shape) < chance, chance.mean(axis=1)


def _density(log_posterior: FloatArray) -> FloatArray:
    density = np.exp(log_posterior - log_posterior.max(axis=1, keepdims=True))
    return np.asarray(density / density.sum(axis=1, keepdims=True))


def _mean_and_sd(density: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean = density @ NODES
    return mean, np.sqrt(np.maximum(density @ NODES**2 - mean**2, 0))


def _estimates(log_posterior: FloatArray, bank: ItemBank, n_items: npt.NDArray[np.integer]) -> AbilityEstimates:
    on_items = _density(log_posterior)
    density = on_items @ bank.scale
    mean, sd = _mean_and_sd(density)
    curve = bank.right.mean(axis=0)
    # Mass of a node counts half on either side of it.
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
        # A fixed test of all items errs by nothing.
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
