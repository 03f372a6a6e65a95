"""Workplace: what the cells of one split share, each part made when first needed."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from irt_bench.arrays import FloatArray
from irt_bench.errors import FitError
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.basis import Selection, SelectionBasis
from irt_bench.subsets.calibration import Calibration, Fold, Recipe, chosen_items, prepare
from irt_bench.subsets.clusters import cluster_folds, model_clusters
from irt_bench.variance.study.ability import ItemLogs, item_logs, most_probable
from irt_bench.variance.study.data import INNER_FOLDS, Job, basis_of, plan_of, read_rows
from irt_bench.variance.study.reading import HELD_OUT, Readers, readers

Places = npt.NDArray[np.intp]


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
        """The basis with inner folds over the calibration models, for estimators that learn from models held out.

        Where a fold leaves too few answers to be fitted, held-out models are read with the fit to all.
        """
        clusters = model_clusters(self.calibration)
        if len(np.unique(clusters)) < INNER_FOLDS:  # nothing but seeds of one run
            clusters = np.array([f"model {place}" for place in range(len(clusters))], dtype=np.str_)
        plan = plan_of(self.job, self.calibration)
        try:
            found = prepare(self.calibration, clusters, plan, seed=self.job.seed, posterior=self.basis.posterior).folds
        except FitError:
            splits = cluster_folds(clusters, INNER_FOLDS, np.random.default_rng(self.job.seed))
            found = tuple(Fold(self.basis, self.calibration.take(models=held)) for _, held in splits)
        return Calibration(self.basis, found, clusters, plan)

    def inner_fits(self, names: list[str]) -> bool:
        """Whether the inner folds, where an estimator needs them, have fits of their own."""
        needed = any(name in HELD_OUT for name in names)
        return not needed or all(fold.kept is not self.basis for fold in self.folds.folds)

    def readers(self, names: list[str]) -> Readers:
        """Readers of the answers; with the inner folds where an estimator learns from models held out."""
        if any(name in HELD_OUT for name in names):
            return self._learning_readers
        return self._plain_readers

    @cached_property
    def _learning_readers(self) -> Readers:
        return readers(self.folds, self.evaluation)

    @cached_property
    def _plain_readers(self) -> Readers:
        return readers(
            Calibration(self.basis, (), np.empty(0, dtype=np.str_), plan_of(self.job, self.calibration)),
            self.evaluation,
        )

    def source_share(self, method: str, size: int, names: list[str]) -> float:
        """Share of the weighted score in gp-IRT as published, where it is asked for."""
        return self.folds.source_share(method, size) if "gp_irt_source" in names else 0.0

    def choose(self, basis: SelectionBasis, recipe: Recipe) -> Selection:
        """Choose items of the basis or of one of the inner folds', once for all weights."""
        key = (id(basis), recipe.method, recipe.size)  # all bases live as long as the workplace
        if key not in self._choices:
            self._choices[key] = chosen_items(basis, recipe)
        return self._choices[key]

    def mean_scores(self, items: Places) -> FloatArray:
        """Mean share over some items, those asked, shape (row,)."""
        shares, asked = self.shares
        return divide(shares[:, items].sum(axis=1), asked[:, items].sum(axis=1))

    def abilities(self, items: Places) -> FloatArray:
        """Ability from the answers to some items, shape (row,)."""
        right, wrong = self.answers
        logs = ItemLogs(self.logs.right[items], self.logs.wrong[items])
        return most_probable(logs, right[:, items], wrong[:, items])


def divide(above: FloatArray, below: FloatArray) -> FloatArray:
    """Divide; NaN where there is nothing to divide by."""
    out: FloatArray = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=out, where=np.asarray(below) > 0)
    return out
