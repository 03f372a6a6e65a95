"""Data on which items are selected and weighted: responses of the calibration models and the IRT fit to them.

Shares of right answers have shape (model, item) and lie in [0, 1]. A missing cell is filled with the mean of the item
plus the mean deviation of the model on the items that it answered. Each item has a share in the full score
(`SelectionBasis.target`, sum 1). Arrays of a `SelectionBasis` are computed on first use and then kept.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
import xarray as xr

from irt_bench.analysis.classical import Correlations, correlate_with_rest, item_statistics
from irt_bench.analysis.intervals import SPREAD_FLOOR, correlation_interval
from irt_bench.analysis.labelled_draws import ItemParameters, draws_of, evenly_spaced, item_draws, match_labels
from irt_bench.arrays import FloatArray, Positions
from irt_bench.errors import SubsetError, UndefinedWarning
from irt_bench.names import ABILITY, INTERVAL, ITEM, MODEL, RUN, SEED, STEP, SUBTASK
from irt_bench.responses.counts import ResponseCounts


def balanced_targets(subtasks: npt.NDArray[np.str_]) -> FloatArray:
    """Share of each item in a macro-average over subtasks: 1 / (number of subtasks x items in its subtask)."""
    _, codes, sizes = np.unique(subtasks, return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(sizes) * sizes[codes]), dtype=np.float64)


def as_answers(counts: ResponseCounts) -> ResponseCounts:
    """Treat fractional scores as fractions of a right answer, so that an IRT model can be fitted to them.

    Notes
    -----
    This is a quasi-likelihood [1]_: the fitted curves are consistent for the expected score. Scores vary less than 0/1
    answers with the same mean, so the IRT model overstates uncertainty. Intervals of the full score are rescaled on
    held-out models; sds of abilities stay too large.

    References
    ----------
    .. [1] Papke, Wooldridge, Econometric methods for fractional response variables, 1996,
       DOI 10.1002/(SICI)1099-1255(199611)11:6<619::AID-JAE418>3.0.CO;2-1.
    """
    return counts if counts.measure == "correct" else replace(counts, measure="correct")


def full_scores(counts: ResponseCounts, target: FloatArray) -> FloatArray:
    """Mean of a model's answers, weighted by `target`, over its answered items, shape (model,); NaN without answers."""
    shares = np.nan_to_num(counts.proportions(), copy=False)
    total = counts.asked @ target
    return np.asarray(shares @ target / np.where(total > 0, total, np.nan))


def filled_shares(counts: ResponseCounts) -> FloatArray:
    """Shares of right answers; a missing cell is the mean of the item plus the mean deviation of the model."""
    shares, asked = counts.proportions(), counts.asked
    if asked.all():
        return shares
    known = np.where(asked, shares, 0.0)
    n_models, n_items = asked.sum(axis=0), asked.sum(axis=1)
    overall = known.sum() / max(asked.sum(), 1)
    item_mean = np.where(n_models > 0, known.sum(axis=0) / np.maximum(n_models, 1), overall)
    lead = np.where(asked, shares - item_mean, 0.0).sum(axis=1) / np.maximum(n_items, 1)
    return np.where(asked, shares, np.clip(item_mean + lead[:, None], 0, 1))


def seed_residuals(models: pd.DataFrame, shares: FloatArray) -> FloatArray | None:
    """Deviations of seeds from the mean of their run at their step; None if no run has two seeds.

    They are scaled by sqrt(rows / degrees of freedom): the mean square of a column is its pooled variance over seeds.
    """
    if SEED not in models or models[SEED].isna().all():
        return None
    keys = [models[name].astype("object").fillna("") for name in (RUN, STEP) if name in models]
    group = pd.MultiIndex.from_arrays(keys).factorize()[0] if keys else np.zeros(len(models), dtype=np.int64)
    group = np.where(models[SEED].isna(), -1, group)
    sizes = np.bincount(group[group >= 0], minlength=group.max(initial=-1) + 1)
    used = (group >= 0) & (np.append(sizes, 0)[group] >= 2)
    if not used.any():
        return None
    codes, members = np.unique(group[used], return_inverse=True)
    sums = np.zeros((len(codes), shares.shape[1]))
    np.add.at(sums, members, shares[used])
    residuals = shares[used] - (sums / np.bincount(members)[:, None])[members]
    freedom = len(residuals) - len(codes)
    return np.asarray(residuals * np.sqrt(len(residuals) / freedom))


def nearest(features: npt.NDArray[np.floating], chosen: Positions) -> Positions:
    """Position among the chosen items of the one nearest to each item, the first of several, shape (item,)."""
    rows = features.astype(np.float32, copy=False)  # exact for right and wrong answers
    near = rows[chosen]
    closeness = near @ rows.T
    distances = np.subtract((near**2).sum(axis=1)[:, None] / 2, closeness, out=closeness)
    return _nearest_row(distances, np.arange(len(chosen)))


def _nearest_row(distances: npt.NDArray[np.float32], rows: Positions) -> Positions:
    from irt_bench.inference.fast.sweep_numba import nearest_row  # noqa: PLC0415 - a quarter of a second

    return np.asarray(nearest_row(distances, rows))


NEAR_DUPLICATE: Final = 0.9  # correlation over models: more than 80% of the variance is shared
COLUMN_BLOCK: Final = 1000


def near_duplicate_groups(shares: FloatArray) -> npt.NDArray[np.int32]:
    """Group label of each item, shape (item,); items correlated by `NEAR_DUPLICATE` or more share a label."""
    centred = shares - shares.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    varied = length > SPREAD_FLOOR * np.sqrt(len(shares))
    unit = np.where(varied, centred / np.where(varied, length, 1), 0).astype(np.float32)
    rows, columns = [], []
    for start in range(0, unit.shape[1], COLUMN_BLOCK):
        near = unit[:, start : start + COLUMN_BLOCK].T @ unit[:, start:] >= NEAR_DUPLICATE
        row, column = np.divmod(np.flatnonzero(near), near.shape[1])  # in a third of the time of nonzero
        rows.append(row + start)
        columns.append(column + start)
    pairs = np.concatenate(rows), np.concatenate(columns)
    graph = scipy.sparse.coo_array((np.ones(len(pairs[0]), dtype=np.int8), pairs), shape=(unit.shape[1],) * 2)
    return np.asarray(scipy.sparse.csgraph.connected_components(graph, directed=False)[1])


# Of tabulated curves; linear interpolation between them has an error below 0.0003. The outer nodes are for models with
# far higher or lower ability than the calibration models.
ABILITY_NODES: Final = np.concatenate([np.arange(-10, -5, 0.25), np.linspace(-5, 5, 201), np.arange(5.25, 10.25, 0.25)])
# Largest share of negative items among the items left out. On winogrande (106 items, 5 negative), with anchors and
# p_irt_ridge, leaving out the 5 negative items changed the error by -3% (of 21 left out), +28% (of 11), +67% (of 5).
MAX_NEGATIVE_SHARE: Final = 0.25
SPREAD_NODES: Final = ABILITY_NODES[::4]  # for the sd over draws of a total, which is smooth and small
CURVE_DRAWS: Final = 40  # the sd of 40 draws has a standard error of 11%; it is a small part of an interval
MAX_TABULATED: Final = 4_000  # items; the distances between all of them take 64 MB


class Selection(NamedTuple):
    """Positions of chosen items, increasing; weights (sum 1) if the method computes its own."""

    items: Positions
    weights: FloatArray | None = None


class CandidateCurves(NamedTuple):
    """Probability of a right answer as a function of ability."""

    chance: FloatArray  # (item, node of `ABILITY_NODES`), mean over draws of the item parameters
    total_draws: FloatArray  # (draw, node of `SPREAD_NODES`), sum over items of target weight x probability


class CalibrationResiduals(NamedTuple):
    """Answers of the calibration models minus their expectation under the IRT model."""

    chosen: FloatArray  # (..., model, item); 0 in missing cells
    others: FloatArray  # (..., model): sum over all other items of target weight x residual
    others_share: FloatArray  # (...,): share of the other items in the full score


NO_RESIDUALS: Final = CalibrationResiduals(np.zeros((0, 0)), np.zeros(0), np.zeros(()))


@dataclass(frozen=True)
class SelectionBasis:
    """Responses of calibration models and the IRT fit to them.

    Parameters
    ----------
    counts : ResponseCounts
        Right answers and trials of the calibration models, shape (model, item).
    posterior : xr.Dataset
        Posterior of an IRT fit to `counts`: ``ability`` (chain, draw, model), item parameters (chain, draw, item).
    targets : array of shape (item,), optional
        Share of each item in the full score, sum 1; equal by default.
    keep_negative : bool
        Whether items may be chosen whose 90% interval of the item-rest correlation lies below 0.
    ability_range : tuple of float, optional
        Abilities for which the method "information" selects; by default the central 90% of the calibration models.

    Raises
    ------
    AnalysisError, SubsetError
        If posterior and counts have different items or models, or targets do not sum to 1.
    """

    counts: ResponseCounts
    posterior: xr.Dataset
    targets: FloatArray | None = None
    keep_negative: bool = False
    ability_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for dim, labels in ((ITEM, self.counts.items.index), (MODEL, self.counts.models.index)):
            fitted = pd.Index(self.posterior[dim].to_index())
            match_labels(fitted, labels, dim, "the fit", "the responses")
        if self.targets is not None and (
            len(self.targets) != self.counts.n_items or not np.isclose(self.targets.sum(), 1)
        ):
            raise SubsetError(
                f"{len(self.targets)} target weights sum to {self.targets.sum():g}; {self.counts.n_items} are needed, "
                "of sum 1."
            )

    @cached_property
    def target(self) -> FloatArray:
        """Share of each item in the full score, shape (item,)."""
        return np.full(self.counts.n_items, 1 / self.counts.n_items) if self.targets is None else self.targets

    @cached_property
    def full_score(self) -> FloatArray:
        """Full score of each calibration model, shape (model,)."""
        return full_scores(self.counts, self.target)

    @cached_property
    def shares(self) -> FloatArray:
        """Shares of right answers with missing cells filled, shape (model, item)."""
        return filled_shares(self.counts)

    @cached_property
    def answer_rows(self) -> FloatArray:
        """Shares of right answers, one row per item, shape (item, model)."""
        return np.ascontiguousarray(self.shares.T)

    def nearest(self, chosen: Positions) -> Positions:
        """Position among chosen items of the one answered most like each item, shape (item,)."""
        few = self.counts.n_items <= MAX_TABULATED
        return _nearest_row(self._distances, chosen) if few else nearest(self._rows, chosen)

    @cached_property
    def _rows(self) -> npt.NDArray[np.float32]:
        return self.answer_rows.astype(np.float32)

    @cached_property
    def _distances(self) -> npt.NDArray[np.float32]:
        """Squared distances of items from all items, less what does not depend on the first, shape (item, item)."""
        rows = self._rows
        return np.asarray((rows**2).sum(axis=1)[:, None] - 2 * (rows @ rows.T))

    @cached_property
    def item_means(self) -> FloatArray:
        """Mean share of right answers, shape (item,)."""
        return np.asarray(self.shares.mean(axis=0))

    @cached_property
    def statistics(self) -> pd.DataFrame:
        """Classical item statistics with intervals and flags."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedWarning)  # constant items are flagged
            return item_statistics(self.counts)

    @cached_property
    def _item_rest(self) -> Correlations:
        """Item-rest correlations."""
        return correlate_with_rest(np.nan_to_num(self.counts.proportions(), copy=False), self.counts.asked)

    @cached_property
    def discrimination(self) -> FloatArray:
        """Item-rest correlation, shape (item,); 0 where undefined."""
        return np.nan_to_num(self._item_rest.correlation)

    @cached_property
    def negative(self) -> npt.NDArray[np.bool_]:
        """Whether the 90% interval of an item's item-rest correlation lies below 0, shape (item,)."""
        return np.asarray(correlation_interval(*self._item_rest).upper < 0)

    @cached_property
    def candidates(self) -> Positions:
        """Positions of the items that may be chosen."""
        return np.arange(self.counts.n_items) if self.keep_negative else np.flatnonzero(~self.negative)

    @cached_property
    def near_duplicates(self) -> npt.NDArray[np.int32]:
        """Group of near-duplicates of each item that may be chosen: see `near_duplicate_groups`."""
        return near_duplicate_groups(self.shares[:, self.candidates])

    def for_size(self, size: int) -> SelectionBasis:
        """Return a basis with the candidates for a size: with negative items if few other items are left out.

        Items left out are estimated, and negative items are estimated worst. Where a subset is more than half of the
        benchmark and they would be more than `MAX_NEGATIVE_SHARE` of the rest, leaving them out makes errors larger.
        """
        left_out = self.counts.n_items - size
        few_left = size > left_out and self.negative.sum() > MAX_NEGATIVE_SHARE * left_out
        return self._unrestricted if few_left else self

    @cached_property
    def _unrestricted(self) -> SelectionBasis:
        other = replace(self, keep_negative=True)
        vars(other).update({name: value for name, value in vars(self).items() if name not in vars(other)})
        vars(other).pop("candidates", None)
        vars(other).pop("near_duplicates", None)
        return other

    @cached_property
    def parameters(self) -> ItemParameters:
        """Posterior means of the item parameters, shape (item,), in the order of the responses."""
        return ItemParameters(*(values.mean(axis=0) for values in self._draws))

    @cached_property
    def parameter_sds(self) -> tuple[FloatArray, FloatArray]:
        """Posterior sds of difficulty and discrimination, shape (item,)."""
        return self._draws.difficulty.std(axis=0), self._draws.discrimination.std(axis=0)

    @cached_property
    def _draws(self) -> ItemParameters:
        drawn, labels = item_draws(self.posterior, np.iinfo(np.int64).max)
        order = labels.astype("str").get_indexer(self.counts.items.index.astype("str"))
        return drawn.at((slice(None), order))

    @cached_property
    def abilities(self) -> FloatArray:
        """Posterior mean ability of each calibration model, shape (model,)."""
        drawn, labels = draws_of(self.posterior, ABILITY, MODEL)
        order = labels.astype("str").get_indexer(self.counts.models.index.astype("str"))
        return np.asarray(drawn.mean(axis=0)[order], dtype=np.float64)

    def residuals(self, chosen: Positions) -> CalibrationResiduals:
        """Residuals of the calibration models at their posterior mean abilities; `chosen` has shape (..., item)."""
        items, places = np.unique(chosen, return_inverse=True)
        right, share = self._between_nodes
        low, high = (self.curves.chance[np.ix_(items, place)].T for place in (right - 1, right))
        chance = low + share[:, None] * (high - low)
        found = np.where(self.counts.asked[:, items], self.shares[:, items] - chance, 0.0)
        own, target = np.moveaxis(found[:, places.reshape(chosen.shape)], 0, -2), self.target[chosen]
        others = self._full_residual - (own @ target[..., None])[..., 0]
        return CalibrationResiduals(own, others, 1 - target.sum(axis=-1))

    @cached_property
    def _between_nodes(self) -> tuple[Positions, FloatArray]:
        """Node next above the ability of each calibration model, and how far it has come there from the node before."""
        right = np.clip(np.searchsorted(ABILITY_NODES, self.abilities), 1, len(ABILITY_NODES) - 1)
        share = (self.abilities - ABILITY_NODES[right - 1]) / (ABILITY_NODES[right] - ABILITY_NODES[right - 1])
        return right, np.clip(share, 0, 1)

    @cached_property
    def _full_residual(self) -> FloatArray:
        """Residual of the full score, shape (model,); 0 where missing."""
        expected = np.interp(self.abilities, ABILITY_NODES, self.expected_score)
        return np.nan_to_num(self.full_score - expected)

    @property
    def ability_limits(self) -> tuple[float, float]:
        """Lowest and highest ability among the calibration models."""
        return float(self.abilities.min()), float(self.abilities.max())

    @property
    def target_abilities(self) -> tuple[float, float]:
        """Range of abilities for which the method "information" selects items."""
        if self.ability_range is not None:
            return self.ability_range
        low, high = np.quantile(self.abilities, INTERVAL)
        return float(low), float(high)

    @cached_property
    def curves(self) -> CandidateCurves:
        """Curves of all items, and draws of the expected full score."""
        return item_curves(self.curve_draws, self.target)

    @cached_property
    def expected_score(self) -> FloatArray:
        """Expected full score at each node."""
        return self.target @ self.curves.chance

    @cached_property
    def answer_variance(self) -> FloatArray:
        """Variance of the full score, ability given, at each node."""
        return self.target**2 @ (self.curves.chance * (1 - self.curves.chance))

    @cached_property
    def curve_draws(self) -> ItemParameters:
        """Draws of the item parameters from which the curves are computed, shape (draw, item)."""
        return self._draws.at(evenly_spaced(len(self._draws.difficulty), CURVE_DRAWS))

    @cached_property
    def subtasks(self) -> npt.NDArray[np.str_]:
        """Subtask of each item, shape (item,); the name of the benchmark if there are no subtasks."""
        if SUBTASK not in self.counts.items:
            return np.full(self.counts.n_items, self.counts.benchmark, dtype=object).astype(np.str_)
        return self.counts.items[SUBTASK].astype("object").fillna(self.counts.benchmark).astype(str).to_numpy(np.str_)

    @cached_property
    def deviations(self) -> FloatArray:
        """Contribution of each item to the error of a weighted score, shape (row, item): V(w) = mean of (row w)^2.

        If the responses have seeds, rows are seeds: deviations from the run and step means, scaled so that V is the
        pooled variance over seeds. Otherwise rows are models: share of right answers minus the full score of the model,
        so that V is the mean squared error of the weighted score.
        """
        by_seed = seed_residuals(self.counts.models, self.shares)
        return self.shares - self.full_score[:, None] if by_seed is None else by_seed

    def select(self, positions: Positions, weights: FloatArray | None = None) -> Selection:
        """Make a selection, in the order of the benchmark, from positions and optional weights."""
        order = np.argsort(positions, kind="stable")
        chosen = positions[order]
        if len(np.unique(chosen)) != len(chosen):
            raise SubsetError("an item was chosen twice; a selector must return distinct items.")
        return Selection(chosen, None if weights is None else weights[order])


def item_curves(drawn: ItemParameters, target: FloatArray) -> CandidateCurves:
    """Mean curve of each item, and draws of the target-weighted total."""
    chance, total = sum_curves(drawn, target, ABILITY_NODES)
    return CandidateCurves(chance / len(drawn.difficulty), total[np.isin(ABILITY_NODES, SPREAD_NODES)].T)


def sum_curves(drawn: ItemParameters, weights: FloatArray, nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum curves over draws, (item, node), and with weights over items, (node, draw), from (draw, item)."""
    from irt_bench.inference.fast.sweep_numba import add_curves  # noqa: PLC0415 - a quarter of a second

    shape = n_draws, n_items = drawn.difficulty.shape
    chance, total = np.zeros((n_items, len(nodes))), np.zeros((len(nodes), n_draws))
    parameters = (*drawn[:3], drawn.upper_asymptote - drawn.guessing)
    by_item = (np.broadcast_to(each, shape).T.astype(np.float64, order="C") for each in parameters)
    add_curves(*by_item, weights, nodes, chance, total)
    return chance, total


def negative_items(basis: SelectionBasis) -> pd.DataFrame:
    """Items whose 90% interval of the item-rest correlation lies below 0, sorted by the correlation.

    Of items unrelated to the others, 5% are listed by chance: inspect the items before removing them.
    """
    columns = ["n_models", "proportion_correct", "item_rest_correlation", "item_rest_q05", "item_rest_q95"]
    return basis.statistics.loc[basis.negative, columns].sort_values("item_rest_correlation")


TINY: Final = 1e-12
CONSTRAINT_WEIGHT: Final = 1e4  # of the rows of constraints in least squares, relative to the rows of the objective
MAX_PIVOTS: Final = 50  # some two are needed
MAX_WORSE: Final = 3  # pivots that leave as many signs wrong, before they are mended one at a time


def least_quadratic(matrix: FloatArray, constraints: FloatArray, values: FloatArray) -> FloatArray:
    """Find the w, shape (n,), with least w'Mw subject to A w = b and w >= 0.

    Parameters
    ----------
    matrix : array of shape (n, n)
        M, positive definite.
    constraints, values : arrays of shape (c, n) and (c,)
        A and b; some w >= 0 meets them.

    Notes
    -----
    Block principal pivoting (Portugal, Judice and Vicente, Mathematics of Computation 63, 1994): solve for the weights
    that are free, let go of negative ones, take back those whose gradient is negative. Where that does not end,
    non-negative least squares (Lawson, Hanson, Solving least squares problems, 1974, chapter 23) on the rows of the
    Cholesky factor and the constraints, as rows with a large weight, finds which weights are 0.
    """
    # The added diagonal gives equal weights to items without variance, for which all weights are equally good.
    matrix = matrix + (TINY + TINY * np.trace(matrix)) * np.eye(len(matrix))
    free = np.ones(len(matrix), dtype=np.bool_)
    fewest, tries = len(matrix) + 1, MAX_WORSE
    for _ in range(MAX_PIVOTS):
        found, gradient = _free_weights(matrix, constraints, values, free)
        wrong = np.where(free, found < 0, gradient < -TINY * np.trace(matrix))
        if not wrong.any():
            break
        tries = MAX_WORSE if wrong.sum() < fewest else tries - 1
        fewest = min(fewest, int(wrong.sum()))
        if tries < 0:  # one at a time
            wrong[: np.flatnonzero(wrong)[-1]] = False
        free ^= wrong
    else:
        rough = _least_squares(matrix, constraints, values)
        found = np.maximum(_free_weights(matrix, constraints, values, rough > TINY)[0], 0)
        return found if np.allclose(constraints @ found, values, atol=1e-6) else rough
    return found


def _free_weights(
    matrix: FloatArray, constraints: FloatArray, values: FloatArray, free: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Weights if the others are 0, from the equations of the Lagrangian, and the gradient of the Lagrangian."""
    equations = np.zeros(((n_free := int(free.sum())) + len(values),) * 2)
    equations[:n_free, :n_free] = 2 * matrix[np.ix_(free, free)]
    equations[n_free:, :n_free], equations[:n_free, n_free:] = constraints[:, free], constraints[:, free].T
    wanted = np.append(np.zeros(n_free), values)
    try:
        solution = np.linalg.solve(equations, wanted)
    except np.linalg.LinAlgError:  # constraints that say the same of the free items
        solution = np.linalg.lstsq(equations, wanted, rcond=None)[0]
    found = np.zeros(len(matrix))
    found[free] = solution[:n_free]
    return found, 2 * matrix[:, free] @ solution[:n_free] + constraints.T @ solution[n_free:]


def _least_squares(matrix: FloatArray, constraints: FloatArray, values: FloatArray) -> FloatArray:
    upper = np.linalg.cholesky(matrix).T
    weight = CONSTRAINT_WEIGHT * np.sqrt(np.trace(matrix) / len(matrix) + TINY)
    scale = weight / np.maximum(np.abs(constraints).max(axis=1), TINY)
    rows = np.concatenate([upper, constraints * scale[:, None]])
    found, _ = scipy.optimize.nnls(rows, np.append(np.zeros(len(upper)), values * scale), maxiter=30 * len(matrix))
    return np.asarray(found)
