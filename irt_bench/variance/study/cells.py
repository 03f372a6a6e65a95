"""Cells: the smallest pieces of a study that are computed, kept and never computed twice.

==========  ==============================  ==========================================================================
kind        one for each                    what it holds
==========  ==============================  ==========================================================================
full        benchmark, split                full scores and abilities of the evaluated snapshots; components of V(k)
random      benchmark, split, size          the same of random subsets: variances of all, scores of the first
recipe      benchmark, split, size,         chosen items, their weights, scores by every estimator
            method, weights
path        benchmark, split                scores as the least discriminating items are dropped, and random ones
control     benchmark, split, shuffling     scores by every method calibrated on shuffled answers
transfer    benchmark                       agreement of item statistics between weaker and stronger models
==========  ==============================  ==========================================================================

Numbers depend on the inputs that the cell's name hashes and on nothing else: not on the worker, the backend, or the
cells computed before.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from irt_bench.analysis.transfer import compare_transfer
from irt_bench.errors import FitWarning, SubsetWarning, UndefinedWarning
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.basis import Selection, SelectionBasis
from irt_bench.subsets.calibration import (
    Calibration,
    Recipe,
    answers_to,
    calibrate,
    chosen_items,
    prepare,
    weighed,
)
from irt_bench.subsets.clusters import model_clusters
from irt_bench.subsets.controls import WITHIN, shuffled
from irt_bench.subsets.estimators import Learned, estimate
from irt_bench.subsets.weights import effective_size
from irt_bench.variance.moments import item_covariance
from irt_bench.variance.study.ability import ItemLogs, item_logs, most_probable
from irt_bench.variance.study.data import INNER_FOLDS, Job, basis_of, control_basis, plan_of, read_rows
from irt_bench.variance.study.design import THETA
from irt_bench.variance.study.snapshots import run_variance
from irt_bench.variance.study.store import Result, hash_of

FloatArray = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

CODE: Final = 2  # raised whenever the numbers of a cell would change: kept results are then computed anew
KINDS: Final = ("full", "random", "recipe", "path", "control", "transfer")
KEPT: Final = 100  # random subsets whose scores are kept, for everything but their variance
BLOCK: Final = 100  # random subsets drawn at once
WEIGHTED: Final = "weighted"
LEARNING: Final = ("gp_irt", "gp_irt_source", "ridge", "spline", "p_irt_ridge")  # from calibration models held out


class Cell(NamedTuple):
    """One cell: its kind, its parameters as plain values, and its name."""

    kind: str
    parameters: Mapping[str, Any]
    name: str


def make_cell(job: Job, kind: str, **parameters: Any) -> Cell:
    """Name a cell by the hash of all that its numbers depend on."""
    inputs = {
        "code": CODE,
        "kind": kind,
        "benchmark": job.benchmark,
        "responses": job.fingerprints,
        "snapshots": job.snapshots.frame.to_dict("list"),
        "seed": job.seed,
        **parameters,
    }
    return Cell(kind, parameters, hash_of(inputs))


class Workplace:
    """What the cells of one split share: responses, the fit, and choices of items, each made when first needed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._choices: dict[tuple[int, str, int], Selection] = {}

    @cached_property
    def calibration(self) -> ResponseCounts:
        """Answers of the calibration models."""
        return read_rows(self.job.folder, self.job.calibration, self.job.benchmark)

    @cached_property
    def evaluation(self) -> ResponseCounts:
        """Answers of the evaluated snapshots."""
        return read_rows(self.job.folder, self.job.evaluation, self.job.benchmark)

    @cached_property
    def shares(self) -> tuple[FloatArray, FloatArray]:
        """Shares of right answers of the evaluated snapshots (0 where not asked), and whether asked, (row, item)."""
        return np.nan_to_num(self.evaluation.proportions(), copy=False), self.evaluation.asked.astype(np.float64)

    @cached_property
    def answers(self) -> tuple[FloatArray, FloatArray]:
        """Right and wrong answers of the evaluated snapshots, (row, item)."""
        right = self.evaluation.correct.astype(np.float64)
        return right, self.evaluation.trials - right

    @cached_property
    def basis(self) -> SelectionBasis:
        """Fit to the calibration models."""
        return basis_of(self.job, self.calibration)

    @cached_property
    def logs(self) -> ItemLogs:
        """Log chances of the items at abilities."""
        return item_logs(self.basis.parameters)

    @cached_property
    def folds(self) -> Calibration:
        """The basis with inner folds over the calibration models, for estimators that learn from models held out."""
        clusters = model_clusters(self.calibration)
        if len(np.unique(clusters)) < INNER_FOLDS:  # nothing but seeds of one run
            clusters = np.array([f"model {place}" for place in range(len(clusters))], dtype=np.str_)
        plan = plan_of(self.job)
        found = prepare(self.calibration, clusters, plan, seed=self.job.seed, posterior=self.basis.posterior)
        return Calibration(self.basis, found.folds, found.n_clusters, plan)

    def choose(self, basis: SelectionBasis, recipe: Recipe) -> Selection:
        """Choose items of the basis or of one of the inner folds', once for all weights."""
        key = (id(basis), recipe.method, recipe.size)  # all bases live as long as the workplace
        if key not in self._choices:
            self._choices[key] = chosen_items(basis, recipe)
        return self._choices[key]

    def mean_scores(self, items: Places) -> FloatArray:
        """Mean share over some items, those asked, shape (row,)."""
        shares, asked = self.shares
        return _divide(shares[:, items].sum(axis=1), asked[:, items].sum(axis=1))

    def abilities(self, items: Places) -> FloatArray:
        """Ability from the answers to some items, shape (row,)."""
        right, wrong = self.answers
        logs = ItemLogs(self.logs.right[items], self.logs.wrong[items])
        return most_probable(logs, right[:, items], wrong[:, items])


def compute(work: Workplace, cell: Cell) -> Result:
    """Compute one cell."""
    with warnings.catch_warnings():
        for category in (SubsetWarning, UndefinedWarning, FitWarning):  # of one recipe or fit among very many
            warnings.simplefilter("ignore", category)
        return COMPUTED[cell.kind](work, **cell.parameters)


def _full(work: Workplace) -> Result:
    everything = np.arange(work.evaluation.n_items)
    components = []
    values = work.evaluation.proportions()
    for run in work.job.snapshots.runs:
        arranged = work.job.snapshots.arrange(values.T, run)  # (item, seed, step)
        found = item_covariance(np.moveaxis(arranged, (0, 1, 2), (2, 1, 0)))
        components.append((np.nanmean(found.off_diagonal), np.nanmean(found.residual)))
    return {
        WEIGHTED: work.mean_scores(everything),
        THETA: work.abilities(everything),
        "components": np.array(components),
        "n_items": np.array(len(everything)),
        "n_calibration": np.array(work.calibration.n_models),
    }


def random_items(seed: int, n_items: int, size: int, n_random: int) -> npt.NDArray[np.int32]:
    """Draw random subsets, shape (subset, size): the same ones in every split, as a method's choices are much the same.

    Under the null hypothesis a method's items are then exactly such a draw, split after split.
    """
    rng = np.random.default_rng([seed, size, n_items])
    parts = []
    for start in range(0, n_random, BLOCK):
        keys = rng.random((BLOCK, n_items), dtype=np.float32)[: min(BLOCK, n_random - start)]
        parts.append(np.argpartition(keys, size - 1, axis=1)[:, :size].astype(np.int32))
    return np.concatenate(parts)


def _random(work: Workplace, size: int, n_random: int) -> Result:
    chosen = random_items(work.job.seed, work.evaluation.n_items, size, n_random)
    shares, asked = (np.ascontiguousarray(array.T) for array in work.shares)  # (item, row): rows of items are gathered
    scores = {
        WEIGHTED: np.stack([_divide(shares[items].sum(axis=0), asked[items].sum(axis=0)) for items in chosen]),
        THETA: np.stack([work.abilities(items) for items in chosen]),
    }
    out: dict[str, npt.NDArray[Any]] = {}
    for name, values in scores.items():
        found = [run_variance(work.job.snapshots.arrange(values, run)) for run in work.job.snapshots.runs]
        out[f"variance_{name}"] = np.stack([each.value for each in found], axis=1)  # (subset, run)
        out[f"scores_{name}"] = values[:KEPT]
    return out


def _recipe(work: Workplace, method: str, weights: str, size: int, estimators: list[str]) -> Result:
    recipe = Recipe(method, weights, size, work.job.seed)
    wanted = [name for name in estimators if name != THETA]
    if any(name in LEARNING for name in wanted):
        selection = work.choose(work.basis, recipe)
        choose = partial(work.choose, recipe=recipe)
        found = calibrate(work.folds, recipe, wanted, selection=selection, choose=choose)
        instrument, learned = found.instrument, dict(found.learned)
    else:
        instrument = weighed(work.basis, recipe, work.choose(work.basis, recipe))
        learned = dict.fromkeys(wanted, Learned())
    evidence = answers_to(instrument, work.evaluation)
    items = work.evaluation.items.index.get_indexer(instrument.items)
    out: dict[str, npt.NDArray[Any]] = {
        "items": items.astype(np.int32),
        "weights": instrument.weights,
        "k_eff": np.array(effective_size(instrument.weights)),
    }
    out |= {name: estimate(name, evidence, learned[name]) for name in wanted}
    if THETA in estimators:
        out[THETA] = work.abilities(items)
    return out


def _path(work: Workplace, drop: list[float], n_random: int) -> Result:
    """Drop the least discriminating items, those of lowest item-rest correlation on the calibration models."""
    n_items = work.evaluation.n_items
    order = np.argsort(-work.basis.discrimination, kind="stable")
    sizes = [max(1, n_items - round(share * n_items)) for share in drop]
    scores = np.stack([work.mean_scores(order[:size]) for size in sizes])
    rng = np.random.default_rng([work.job.seed, n_items])
    shares, asked = work.shares
    variances = np.empty((n_random, len(sizes), len(work.job.snapshots.runs)))
    for subset in range(n_random):
        shuffled_items = rng.permutation(n_items)
        total, count = (
            np.cumsum(array[:, shuffled_items], axis=1)[:, [size - 1 for size in sizes]] for array in (shares, asked)
        )
        values = _divide(total, count).T  # (size, row)
        for place, run in enumerate(work.job.snapshots.runs):
            variances[subset, :, place] = run_variance(work.job.snapshots.arrange(values, run)).value
    errors = np.stack([_standard_error(work, order[:size]) for size in sizes])
    return {"sizes": np.array(sizes), "scores": scores, "random": variances, "standard_error": errors}


def _standard_error(work: Workplace, items: Places) -> FloatArray:
    """Give each row's standard error for sampling items: sd of the items' shares over root n, shape (row,)."""
    shares, asked = work.shares
    n = asked[:, items].sum(axis=1)
    mean = _divide(shares[:, items].sum(axis=1), n)
    squares = (np.where(asked[:, items] > 0, shares[:, items] - mean[:, None], 0.0) ** 2).sum(axis=1)
    return np.sqrt(_divide(squares, n * np.maximum(n - 1, 1)))


def _control(work: Workplace, within: str, recipes: list[tuple[str, str]], size: int) -> Result:
    """Scores on true answers by methods that were calibrated on shuffled ones."""
    rng = np.random.default_rng([work.job.seed, WITHIN.index(within)])
    false = shuffled(work.calibration, within, rng)  # type: ignore[arg-type]
    basis = control_basis(work.job, false)
    out = {}
    for method, weights in recipes:
        recipe = Recipe(method, weights, size, work.job.seed)
        instrument = weighed(basis, recipe, chosen_items(basis, recipe))
        items = work.evaluation.items.index.get_indexer(instrument.items)
        shares, asked = work.shares
        out[f"{method}|{weights}"] = _divide(
            shares[:, items] @ instrument.weights, asked[:, items] @ instrument.weights
        )
    return out


def _transfer(work: Workplace, n_splits: int) -> Result:
    rows = np.sort(np.concatenate([work.job.calibration, work.job.evaluation]))
    table = compare_transfer(
        read_rows(work.job.folder, rows, work.job.benchmark), n_splits=n_splits, seed=work.job.seed
    )
    return {str(name): column.to_numpy(dtype=np.float64) for name, column in table.items()}


def _divide(above: FloatArray, below: FloatArray) -> FloatArray:
    out: FloatArray = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=out, where=np.asarray(below) > 0)
    return out


COMPUTED: Final[Mapping[str, Callable[..., Result]]] = {
    "full": _full,
    "random": _random,
    "recipe": _recipe,
    "path": _path,
    "control": _control,
    "transfer": _transfer,
}
