"""Transfer of item statistics: whether statistics from some models hold for others.

Item statistics of two halves of the models are correlated over items (Madaan et al. 2024, section 4). The halves are
random, or the weaker against the stronger models. Random halves are the reference: they differ by chance alone, so
their correlation is below 1 only through noise. Only a lower correlation between weaker and stronger models is a lack
of transfer.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.classical import MIN_MODELS, correlate_with_rest
from irt_bench.analysis.intervals import SPREAD_FLOOR, centred_sums
from irt_bench.arrays import BoolArray, FloatArray
from irt_bench.errors import UndefinedWarning
from irt_bench.names import INTERVAL
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts

Halves = tuple[BoolArray, BoolArray]
BLOCK_ITEMS: Final = 2_000  # items multiplied at once: some 80 MB for a matrix of 5,000 models


def half_statistics(shares: FloatArray, asked: BoolArray, splits: Sequence[Halves]) -> list[FloatArray]:
    """Proportion correct and item-rest correlation of each half; `splits` say which models are in which half.

    Returns
    -------
    list of arrays of shape (statistic, half, item)
        One per split; NaN where undefined.
    """
    if asked.all() and shares.shape[1] > 1 and np.isin(shares, (0.0, 1.0)).all():
        return _of_complete_answers(shares, splits)
    return [_of_one(shares, asked, halves) for halves in splits]


def _of_one(shares: FloatArray, asked: BoolArray, halves: Halves) -> FloatArray:
    difficulty = [centred_sums(shares[half], asked[half])[0] for half in halves]
    discrimination = [correlate_with_rest(shares[half], asked[half]).correlation for half in halves]
    return np.array([difficulty, discrimination])


def _of_complete_answers(shares: FloatArray, splits: Sequence[Halves]) -> list[FloatArray]:
    """Compute the statistics of all halves at once by matrix products, for complete 0/1 responses.

    Notes
    -----
    With T the number of correct responses minus its mean, x an item and r = (T - x) / (N - 1) the rest, the sums S of
    products about means within a half give S_xr = (S_xT - S_xx) / (N - 1) and S_rr = (S_TT - 2 S_xT + S_xx) / (N -
    1)^2. With 0/1 responses S_xx is exact, so an item without spread has S_xx = 0.
    """
    n_items = shares.shape[1]
    members = np.array([half for halves in splits for half in halves], dtype=np.float64).T  # (model, split x half)
    size, total = members.sum(axis=0), shares.sum(axis=1)
    total = total - total.mean()
    total_sum, total_squares = total @ members, total**2 @ members
    both = np.concatenate([members, total[:, None] * members], axis=1)
    difficulty, correlation = np.empty((2, len(size), n_items))
    for start in range(0, n_items, BLOCK_ITEMS):
        block = slice(start, start + BLOCK_ITEMS)
        right, with_total = np.split(shares[:, block].T @ both, 2, axis=1)  # (item, split x half)
        mean = right / size
        squares = right - right * mean
        products = with_total - mean * total_sum
        rest_squares = (total_squares - total_sum**2 / size - 2 * products + squares) / (n_items - 1) ** 2
        defined = (size >= MIN_MODELS) & (squares > 0) & (rest_squares > size * SPREAD_FLOOR)
        norm = np.sqrt(np.where(defined, squares * rest_squares, 1.0)) * (n_items - 1)
        found = np.where(defined, np.clip((products - squares) / norm, -1, 1), np.nan)
        difficulty[:, block], correlation[:, block] = mean.T, found.T
    return [np.stack([difficulty[at], correlation[at]]) for at in np.split(np.arange(len(size)), len(splits))]


MIN_IN_HALF = 3  # models; with fewer no item has an item-rest correlation
MIN_ITEMS = 3  # two items correlate at -1 or 1
DIGITS = 10  # of statistics that are ranked: equal items are ties despite rounding
ROWS = pd.MultiIndex.from_product(
    [["proportion_correct", "item_rest_correlation"], ["pearson", "spearman"]], names=["statistic", "method"]
)
ROW_NAMES = [f"{str(statistic).replace('_', ' ')}, {method}" for statistic, method in ROWS]
HALVES = {"ability": "the weaker and the stronger", "random": "at random"}
CORRELATIONS = [f"{name}{suffix}" for name in ("ability", "random", "ratio") for suffix in ("", "_q05", "_q95")]
NUMBERS = [f"{what}_{name}" for name in ("ability", "random") for what in ("n_items", "n_left_out")]


@dataclass(frozen=True)
class _Replicates:
    """Correlations of shape (replicate, row of ROWS) and the number of items behind each replicate."""

    as_observed: FloatArray  # all usable items
    resampled: FloatArray  # items drawn with replacement
    n_items: npt.NDArray[np.int64]  # (replicate,)


def weaker_and_stronger(labels: pd.Index, accuracy: FloatArray) -> Halves:
    """Split the models by accuracy into a weaker and a stronger half; ties are ordered by label.

    Models without responses are in neither half, an odd one is in the second.
    """
    answered = np.flatnonzero(~np.isnan(accuracy))
    order = np.lexsort((labels.astype("str").to_numpy()[answered], accuracy[answered]))
    return _halves(answered[order], len(labels))


def random_halves(accuracy: FloatArray, rng: np.random.Generator) -> Halves:
    """Split the models at random; models without responses are in neither half, an odd one is in the second."""
    return _halves(rng.permutation(np.flatnonzero(~np.isnan(accuracy))), len(accuracy))


def _halves(order: npt.NDArray[np.intp], n_models: int) -> Halves:
    first, second = np.zeros((2, n_models), dtype=np.bool_)
    first[order[: len(order) // 2]], second[order[len(order) // 2 :]] = True, True
    return first, second


def compare_transfer(counts: Responses, *, n_splits: int = 100, seed: int = 0) -> pd.DataFrame:
    """Compare transfer from weaker to stronger models with random halves of the same models.

    `n_splits` is the number of random splits, and of resamples of the items.

    Returns
    -------
    pd.DataFrame
        Indexed by ``statistic`` (proportion_correct, item_rest_correlation, within the half) and ``method`` (pearson,
        spearman). Correlations between weaker and stronger models, ``ability, ability_q05, ability_q95``, and between
        random halves, ``random, random_q05, random_q95``; their ``ratio, ratio_q05, ratio_q95``; and the numbers of
        items, ``n_items_ability, n_left_out_ability, n_items_random, n_left_out_random``.

    Warns
    -----
    UndefinedWarning
        If a correlation is NaN. If a ratio is NaN because the correlation of random halves is not shown to exceed 0. If
        everything is NaN because there are too few models for two halves.

    Notes
    -----
    Weaker and stronger models are one split, and the interval comes from resampling items. For random halves the table
    has the mean over splits and the interval of a *single* split, each with its own resample of items. Models are fixed
    in both. Items without spread (or with fewer than three models) in either half are left out of both statistics; for
    random splits ``n_items`` and ``n_left_out`` are means. Departs from [2]_ by correcting discrimination for the
    item's own part.

    A low correlation of discriminations between weaker and stronger models does not contradict an IRT model. Classical
    discrimination decreases as an item gets too easy or too hard for a group, and the reduced range of scores in each
    half lowers the correlations between its items.

    The ratio is the correlation between weaker and stronger models corrected for attenuation [1]_: it is divided by the
    correlation of random halves, which is the reliability of statistics from half of the models. A ratio below 1,
    including its interval, shows that the statistics themselves differ. The ratio is approximate, since the reliability
    within the weaker and the stronger half may differ from that of random halves (smaller spread of ability, other
    items without spread). Both correlations of a replicate use the same resample of the items, so the ratio is paired.

    References
    ----------
    .. [1] Spearman, The proof and measurement of association between two things, 1904, DOI 10.2307/1412159.
    .. [2] Madaan et al., Quantifying variance in evaluation benchmarks, 2024, section 4, DOI 10.48550/arXiv.2406.10229.
    """
    counts = as_counts(counts)
    answering = int(counts.asked.any(axis=1).sum())
    if answering < 2 * MIN_IN_HALF:
        message = (
            f"transfer is undefined and reported as NaN: {answering} models have responses, {2 * MIN_IN_HALF} needed."
        )
        warnings.warn(message, UndefinedWarning, stacklevel=2)
        return pd.DataFrame(np.nan, index=ROWS, columns=[*CORRELATIONS, *NUMBERS])
    ability, random = _replicate(counts, n_splits, np.random.default_rng(seed))
    joined = _summary("ability", ability, counts.n_items).join(_summary("random", random, counts.n_items))
    shown = (joined["random_q05"] > 0).to_numpy()
    apart = ~shown & joined["random"].notna().to_numpy()  # of others, a warning has said that they are undefined
    if apart.any():
        place = int(apart.argmax())
        first = joined.iloc[place]
        warnings.warn(
            f"whether item statistics of weaker models hold for stronger ones is not known, first: {ROW_NAMES[place]}. "
            f"Those of two random halves of the {answering} models correlate at {first['random']:.2f} "
            f"[{first['random_q05']:.2f}, {first['random_q95']:.2f}], which is not shown to be above 0: "
            f"{int(apart.sum())} of {len(shown)} ratios are undefined and reported as NaN. Give more models, or more "
            "items that some models solve and others do not.",
            UndefinedWarning,
            stacklevel=2,
        )
    joined["ratio"] = np.where(shown, joined["ability"] / joined["random"].where(shown), np.nan)
    ratios = np.divide(ability.resampled, random.resampled, out=np.full_like(random.resampled, np.nan), where=shown)
    joined["ratio_q05"], joined["ratio_q95"] = _limits(ratios)
    return joined[[*CORRELATIONS, *NUMBERS]]


def _replicate(counts: ResponseCounts, n_splits: int, rng: np.random.Generator) -> tuple[_Replicates, _Replicates]:
    """Split, correlate and resample `n_splits` times; both kinds of split share each resample of items."""
    accuracy = np.asarray(counts.accuracy(), dtype=np.float64)
    drawn: list[npt.NDArray[np.int64]] = []
    splits: list[Halves] = []
    for _ in range(n_splits):
        drawn.append(rng.integers(counts.n_items, size=counts.n_items))
        splits.append(random_halves(accuracy, rng))
    splits.append(weaker_and_stronger(counts.models.index, accuracy))
    *random, ability = half_statistics(np.nan_to_num(counts.proportions(), copy=False), counts.asked, splits)
    return _correlations([ability] * n_splits, drawn), _correlations(random, drawn)


def _correlations(statistics: Sequence[FloatArray], drawn: Sequence[npt.NDArray[np.int64]]) -> _Replicates:
    """Correlate the halves over the items with both statistics in both halves, and over resamples of these items."""
    observed = np.full((len(drawn), len(ROWS)), np.nan)
    resampled, n_items = observed.copy(), np.zeros(len(drawn), dtype=np.int64)
    for replicate, (pairs, items) in enumerate(zip(statistics, drawn, strict=True)):
        usable: BoolArray = np.asarray(~np.isnan(pairs).any(axis=(0, 1)))
        n_items[replicate] = usable.sum()
        observed[replicate] = _correlate(pairs[:, :, usable])
        resampled[replicate] = _correlate(pairs[:, :, items[usable[items]]])
    return _Replicates(observed, resampled, n_items)


def _correlate(pairs: FloatArray) -> FloatArray:
    """Pearson and Spearman of both statistics between the halves, in the order of ROWS; NaN where undefined."""
    if pairs.shape[2] < MIN_ITEMS:
        return np.full(len(ROWS), np.nan)
    ranks = pd.DataFrame(np.round(pairs, DIGITS).reshape(-1, pairs.shape[2]).T).rank().to_numpy().T.reshape(pairs.shape)
    both = np.stack([pairs, ranks], axis=1)  # (statistic, method, half, item)
    first, second = np.moveaxis(both - both.mean(axis=3, keepdims=True), 2, 0)
    spread = (np.ptp(pairs, axis=2) > SPREAD_FLOOR).all(axis=1, keepdims=True)
    norm = np.sqrt((first**2).sum(axis=2) * (second**2).sum(axis=2))
    found: FloatArray = np.divide((first * second).sum(axis=2), norm, out=np.full(norm.shape, np.nan), where=spread)
    return found.ravel()


def _summary(name: str, replicates: _Replicates, n_items: int) -> pd.DataFrame:
    correlation = replicates.as_observed.mean(axis=0)
    lower, upper = np.where(np.isnan(correlation), np.nan, _limits(replicates.resampled))
    used = float(replicates.n_items.mean())
    undefined = np.isnan(correlation)
    if undefined.any():
        warnings.warn(
            f"item statistics of two halves of the models ({HALVES[name]}) cannot be correlated, first: "
            f"{ROW_NAMES[int(undefined.argmax())]}. {used:g} of {n_items} items have spread in both halves, "
            f"{MIN_ITEMS} that differ are needed: {int(undefined.sum())} of {len(ROWS)} correlations are undefined and "
            "reported as NaN, and so are ratios. Give more models, or more items that some solve and others do not.",
            UndefinedWarning,
            stacklevel=3,
        )
    columns = {name: correlation, f"{name}_q05": lower, f"{name}_q95": upper}
    return pd.DataFrame(columns | {f"n_items_{name}": used, f"n_left_out_{name}": n_items - used}, index=ROWS)


def _limits(replicates: FloatArray) -> FloatArray:
    """Limits of the central interval of each column, shape (2, column), over the replicates that are defined."""
    limits = np.full((2, replicates.shape[1]), np.nan)
    defined = ~np.isnan(replicates).all(axis=0)
    if defined.any():
        limits[:, defined] = np.nanquantile(replicates[:, defined], INTERVAL, axis=0)
    return limits
