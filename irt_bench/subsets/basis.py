"""SelectionBasis: what selectors and weightings may look at, which is calibration models only.

Arrays are computed when first asked for and kept. Shares of right answers are (model, item) in [0, 1]; a cell never
asked is filled by the item's mean plus what the model lies above or below the mean of the items it was asked.

Shares of right answers, and what selection makes of them: full scores, filled gaps, deviations of seeds.

Arrays are (model, item); items count by their share in the full score (`target`, sum 1).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench.analysis.classical import item_statistics
from irt_bench.analysis.curves import chances, knowing
from irt_bench.analysis.labelled_draws import ItemParameters, draws_of, evenly_spaced, item_draws, match_labels
from irt_bench.arrays import FloatArray, slices
from irt_bench.errors import SubsetError, UndefinedWarning
from irt_bench.names import ABILITY, INTERVAL, ITEM, MODEL, RUN, SEED, STEP, SUBTASK
from irt_bench.responses.counts import ResponseCounts


def balanced_targets(subtasks: npt.NDArray[np.str_]) -> FloatArray:
    """Shares in a macro-average over subtasks: 1 / (number of subtasks x items in the item's subtask)."""
    _, codes, sizes = np.unique(subtasks, return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(sizes) * sizes[codes]), dtype=np.float64)


def as_answers(counts: ResponseCounts) -> ResponseCounts:
    """Read fractional scores as that much of a right answer, so that an IRT model can be fitted to them.

    Notes
    -----
    A quasi-likelihood [1]_: curves are those of the expected score, and consistent. Scores vary less than right and
    wrong answers of the same mean, so what the IRT model says of uncertainty is too much rather than too little;
    intervals of the full score are scaled to hold on held-out models, but sds of abilities stay too wide.

    References
    ----------
    .. [1] Papke, Wooldridge, Econometric methods for fractional response variables, 1996,
       DOI 10.1002/(SICI)1099-1255(199611)11:6<619::AID-JAE418>3.0.CO;2-1.
    """
    return counts if counts.measure == "correct" else replace(counts, measure="correct")


def full_scores(counts: ResponseCounts, target: FloatArray) -> FloatArray:
    """Mean share of right answers by target weight, over the items asked, shape (model,); NaN without answers."""
    shares = np.nan_to_num(counts.proportions(), copy=False)
    total = counts.asked @ target
    undefined = np.full(counts.n_models, np.nan)
    return np.asarray(np.divide(shares @ target, total, out=undefined, where=total > 0))


def filled_shares(counts: ResponseCounts) -> FloatArray:
    """Shares of right answers; a cell never asked is the item's mean plus the model's lead over the items it met."""
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
    """Deviations of seeds from the mean of their run at their step, or None where no run has two seeds.

    Scaled by sqrt(rows / degrees of freedom): the mean square of a column is its pooled variance over seeds.
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


Positions = npt.NDArray[np.intp]
# Of tabulated curves; linear in between errs by less than 0.0003. The outer ones are for models far abler, or weaker,
# than those of the calibration.
ABILITY_NODES: Final = np.concatenate([np.arange(-10, -5, 0.25), np.linspace(-5, 5, 201), np.arange(5.25, 10.25, 0.25)])
# Share of negative items among those left out. On winogrande (106 items, 5 negative) leaving them out made errors of
# anchors with p_irt_ridge 3% smaller at 5 of 21 left out, 28% larger at 5 of 11, and 67% larger at 5 of 5.
MAX_NEGATIVE_SHARE: Final = 0.25
SPREAD_NODES: Final = ABILITY_NODES[::4]  # of the sd of a total over draws, which is smooth, and small
CURVE_DRAWS: Final = 40  # their spread is known to 11%, and so is its small part of an interval
BLOCK_CELLS: Final = 1_000_000  # draws x items x nodes at once: 8 MB a temporary array


class Selection(NamedTuple):
    """Chosen items, in the order of the benchmark, and weights where the method makes its own (sum 1)."""

    items: pd.Index
    weights: FloatArray | None = None


class CandidateCurves(NamedTuple):
    """Chances of a right answer."""

    chance: FloatArray  # (item, node of `ABILITY_NODES`), mean over draws of the item parameters
    total_draws: FloatArray  # (draw, node of `SPREAD_NODES`), sum over items of target weight x chance


class CalibrationResiduals(NamedTuple):
    """What the answers of the calibration models lie above the chances that the IRT model gives them."""

    chosen: FloatArray  # (model, item); 0 where an item was not asked
    others: FloatArray  # (model,), of all other items together: sum of target weight x residual
    others_share: float  # of the others in the full score


NO_RESIDUALS: Final = CalibrationResiduals(np.zeros((0, 0)), np.zeros(0), 0.0)


@dataclass(frozen=True)
class SelectionBasis:
    """Responses of calibration models and the IRT fit to them.

    Parameters
    ----------
    counts : ResponseCounts
        Right answers and trials of the calibration models, shape (model, item).
    posterior : xr.Dataset
        Of an IRT fit to `counts`: ``ability`` (chain, draw, model) and item parameters (chain, draw, item).
    targets : array of shape (item,), optional
        Share of each item in the full score, sum 1; equal by default.
    keep_negative : bool
        Whether items whose item-rest correlation is below 0, 90% interval included, may be chosen.
    ability_range : tuple of float, optional
        Abilities that the information method aims at; the central 90% of the calibration models by default.

    Raises
    ------
    AnalysisError, SubsetError
        If posterior and counts have other items or models, or targets do not sum to 1.
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
        """Shares of right answers, cells never asked filled, shape (model, item)."""
        return filled_shares(self.counts)

    @cached_property
    def answer_rows(self) -> FloatArray:
        """Shares of right answers with an item's in a row, shape (item, model)."""
        return np.ascontiguousarray(self.shares.T)

    @cached_property
    def item_means(self) -> FloatArray:
        """Mean share of right answers, shape (item,)."""
        return np.asarray(self.shares.mean(axis=0))

    @cached_property
    def statistics(self) -> pd.DataFrame:
        """Classical item statistics with intervals and flags."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedWarning)  # constant items have a flag
            return item_statistics(self.counts)

    @cached_property
    def discrimination(self) -> FloatArray:
        """Item-rest correlation, shape (item,); 0 where undefined."""
        return np.asarray(np.nan_to_num(self.statistics["item_rest_correlation"].to_numpy(dtype=np.float64)))

    @cached_property
    def negative(self) -> npt.NDArray[np.bool_]:
        """Whether the 90% interval of an item's item-rest correlation lies below 0, shape (item,)."""
        return np.asarray(self.statistics["item_rest_q95"].to_numpy(dtype=np.float64) < 0)

    @cached_property
    def candidates(self) -> Positions:
        """Positions of the items that may be chosen."""
        return np.arange(self.counts.n_items) if self.keep_negative else np.flatnonzero(~self.negative)

    def for_size(self, size: int) -> SelectionBasis:
        """Return a basis whose candidates suit a size: negative items too, where few other items are left out.

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
        """Residuals of the calibration models at their abilities: of the chosen items, and of all others together."""
        chance = np.array([np.interp(self.abilities, ABILITY_NODES, curve) for curve in self.curves.chance[chosen]]).T
        asked = self.counts.asked[:, chosen]
        found = np.where(asked, self.shares[:, chosen] - chance, 0.0)
        every = self.full_score - np.interp(self.abilities, ABILITY_NODES, self.target @ self.curves.chance)
        target = self.target[chosen]
        return CalibrationResiduals(found, np.nan_to_num(every) - found @ target, 1 - float(target.sum()))

    @property
    def ability_limits(self) -> tuple[float, float]:
        """Lowest and highest ability among the calibration models."""
        return float(self.abilities.min()), float(self.abilities.max())

    @property
    def target_abilities(self) -> tuple[float, float]:
        """Range of abilities that information is wanted for."""
        if self.ability_range is not None:
            return self.ability_range
        low, high = np.quantile(self.abilities, INTERVAL)
        return float(low), float(high)

    @cached_property
    def curves(self) -> CandidateCurves:
        """Chances of a right answer to each item, and the draws of the full score."""
        return item_curves(self.curve_draws, self.target)

    @cached_property
    def curve_draws(self) -> ItemParameters:
        """A few draws of the item parameters, shape (draw, item): those behind the curves."""
        return self._draws.at(evenly_spaced(len(self._draws.difficulty), CURVE_DRAWS))

    @cached_property
    def subtasks(self) -> npt.NDArray[np.str_]:
        """Subtask of each item, shape (item,); the benchmark's name where there are none."""
        if SUBTASK not in self.counts.items:
            return np.full(self.counts.n_items, self.counts.benchmark, dtype=object).astype(np.str_)
        return self.counts.items[SUBTASK].astype("object").fillna(self.counts.benchmark).astype(str).to_numpy(np.str_)

    @cached_property
    def deviations(self) -> FloatArray:
        """What an item adds to the error of a weighted score, shape (row, item): V(w) = mean over rows of (row w)^2.

        Over seeds of a run, where the responses have them: residuals after the run and step means, scaled so that the
        mean is the pooled variance. Else over models: share minus the model's full score, so that V is the mean
        squared error of the weighted score.
        """
        by_seed = seed_residuals(self.counts.models, self.shares)
        return self.shares - self.full_score[:, None] if by_seed is None else by_seed

    def select(self, positions: Positions, weights: FloatArray | None = None) -> Selection:
        """Turn positions, with or without weights, into a selection in the order of the benchmark."""
        order = np.argsort(positions, kind="stable")
        chosen = positions[order]
        if len(np.unique(chosen)) != len(chosen):
            raise SubsetError("an item was chosen twice; a selector must return distinct items.")
        return Selection(self.counts.items.index[chosen], None if weights is None else weights[order])


def item_curves(drawn: ItemParameters, target: FloatArray) -> CandidateCurves:
    """Mean chance of each item, and draws of the target-weighted total; a block of items a time."""
    (n_draws, n_items), n_nodes = drawn.difficulty.shape, len(ABILITY_NODES)
    chance, total = np.empty((n_items, n_nodes)), np.zeros((n_draws, len(SPREAD_NODES)))
    spread_nodes = np.isin(ABILITY_NODES, SPREAD_NODES)
    for block in slices(n_items, BLOCK_CELLS // (n_nodes * n_draws)):
        right = draw_curves(drawn.at((slice(None), block)), ABILITY_NODES)
        chance[block] = right.mean(axis=0)
        total += np.einsum("i,din->dn", target[block], right[..., spread_nodes])
    return CandidateCurves(chance, total)


def draw_curves(drawn: ItemParameters, nodes: FloatArray) -> FloatArray:
    """Chances of a right answer, shape (draw, item, node), from parameters of shape (draw, item)."""
    cells = drawn.at((..., None))
    return chances(cells, *knowing(cells, nodes))[0]


def negative_items(basis: SelectionBasis) -> pd.DataFrame:
    """Items whose item-rest correlation lies below 0 with its whole 90% interval, the lowest first.

    Of many items without any relation to the others, 5% come out so by chance: read it as a list to look through.
    """
    columns = ["n_models", "share_right", "item_rest_correlation", "item_rest_q05", "item_rest_q95"]
    return basis.statistics.loc[basis.negative, columns].sort_values("item_rest_correlation")
