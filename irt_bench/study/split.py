"""Data that the tasks of one split share, abilities of many random subsets, and seed variances of the seed model.

Ability is the posterior mode, with item parameters fixed. The seed model is fitted once per split, to all responses of
the evaluated checkpoints, with the items as calibrated. The variance of any weighted sum of items then follows from the
item curves, without a fit of its own; `irt_bench.variance.seed_effect` computes it. Items whose responses change with
the seed independently of ability are not part of that model; ``seed_sd`` includes them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.curves import response_probabilities
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.arrays import FloatArray
from irt_bench.errors import ConvergenceWarning, FitError, ModelError, ResponsesWarning
from irt_bench.inference.seed_model import SeedFit
from irt_bench.inference.settings import SVISettings
from irt_bench.names import POOLED
from irt_bench.responses.counts import ResponseCounts
from irt_bench.study.checkpoints import run_variance
from irt_bench.study.data import INNER_FOLDS, SplitJob, calibration_plan, fit_calibration, read_rows
from irt_bench.study.design import EQUAL
from irt_bench.study.subset_scores import HELD_OUT, SplitScorers, random_items, split_scorers, weighted_items
from irt_bench.subsets.basis import Selection, SelectionBasis
from irt_bench.subsets.calibration import Calibration, Fold, Recipe, chosen_items, prepare
from irt_bench.subsets.clusters import cluster_folds, model_clusters
from irt_bench.variance.moments import answers_per_cell, item_covariance
from irt_bench.variance.seed_ability import fit_as_varied
from irt_bench.variance.seed_checks import description_checks
from irt_bench.variance.seed_effect import COLUMNS, SEEN, seed_effect_draws, seed_effect_table

SPACING: Final = 0.05
NODES: Final = np.arange(-6.0, 6.0 + SPACING / 2, SPACING)
MIN_PROBABILITY: Final = 1e-12


class ItemLogLikelihoods(NamedTuple):
    """Log probabilities of a right and of a wrong response at `NODES`, shape (item, node)."""

    right: FloatArray
    wrong: FloatArray


def item_log_likelihoods(parameters: ItemParameters) -> ItemLogLikelihoods:
    """Tabulate the log probabilities of items with parameters of shape (item,)."""
    cells = parameters.at((slice(None), None))
    right, wrong = response_probabilities(cells, NODES)
    return ItemLogLikelihoods(
        np.log(np.clip(right, MIN_PROBABILITY, None)), np.log(np.clip(wrong, MIN_PROBABILITY, None))
    )


def ability_modes(logs: ItemLogLikelihoods, correct: FloatArray, wrong: FloatArray) -> FloatArray:
    """Mode of the posterior of ability under a N(0, 1) prior, from a parabola through the highest node.

    Parameters
    ----------
    logs : ItemLogs
        Items in the order of the columns.
    correct, wrong : arrays of shape (model, item)
        Numbers of right and wrong responses.

    Returns
    -------
    array of shape (model,)

    Notes
    -----
    Log-likelihoods are smooth on the logit scale for any number of items. Between nodes 0.05 apart, the error of a
    parabola is below 0.001 (tests/study/test_ability.py).
    """
    height = correct @ logs.right + wrong @ logs.wrong - NODES**2 / 2
    peak = np.clip(height.argmax(axis=1), 1, len(NODES) - 2)
    rows = np.arange(len(height))
    before, at, after = (height[rows, peak + step] for step in (-1, 0, 1))
    curvature = before - 2 * at + after
    shift = np.where(curvature < 0, (before - after) / (2 * np.where(curvature < 0, curvature, -1.0)), 0.0)
    return np.asarray(NODES[peak] + SPACING * np.clip(shift, -1, 1))


def expected_curve(logs: ItemLogLikelihoods) -> FloatArray:
    """Return the expected share of right responses to all items at `NODES`, made increasing, shape (node,)."""
    return np.asarray(np.maximum.accumulate(np.exp(logs.right).mean(axis=0)))


def link_abilities(ability: FloatArray, curve: FloatArray, reference: FloatArray) -> FloatArray:
    """Carry abilities from the scale of one fit to that of another, with the same expected share of right responses.

    Notes
    -----
    Each fit has the calibration models of its split as the origin of its scale. Without a common scale, runs of
    different splits seem further apart than they are: the others, which a good run is measured by, are worse without
    it. The link is true-score equating (Kolen and Brennan, Test equating, scaling, and linking, 2014, chapter 6).
    """
    return np.asarray(np.interp(np.interp(ability, NODES, curve), reference, NODES))


Places = npt.NDArray[np.intp]


class SplitData:
    """Data that the tasks of one split share: responses, fit, chosen items; each is made when first needed."""

    def __init__(self, job: SplitJob) -> None:
        self.job = job
        self._choices: dict[tuple[int, str, int], Selection] = {}

    @cached_property
    def calibration(self) -> ResponseCounts:
        """Responses of the calibration models."""
        return read_rows(self.job.folder, self.job.calibration, self.job.benchmark)

    @cached_property
    def evaluation(self) -> ResponseCounts:
        """Responses of the evaluated checkpoints."""
        return read_rows(self.job.folder, self.job.evaluation, self.job.benchmark)

    @cached_property
    def shares(self) -> tuple[FloatArray, FloatArray]:
        """Shares of right responses of the evaluated checkpoints (0 if not asked), and whether asked, (row, item)."""
        return np.nan_to_num(self.evaluation.proportions(), copy=False), self.evaluation.asked.astype(np.float64)

    @cached_property
    def answers(self) -> tuple[FloatArray, FloatArray]:
        """Numbers of right and wrong responses of the evaluated checkpoints, (row, item)."""
        right = self.evaluation.correct.astype(np.float64)
        return right, self.evaluation.trials - right

    @cached_property
    def basis(self) -> SelectionBasis:
        """Fit to the calibration models."""
        return fit_calibration(self.job, self.calibration)

    @cached_property
    def logs(self) -> ItemLogLikelihoods:
        """Log probabilities of the items by ability."""
        return item_log_likelihoods(self.basis.parameters)

    @cached_property
    def folds(self) -> Calibration:
        """Calibration with inner folds, for estimators that learn from held-out models.

        If a fold leaves too few responses for a fit, held-out models are scored with the fit to all models.
        """
        clusters = model_clusters(self.calibration)
        if len(np.unique(clusters)) < INNER_FOLDS:  # nothing but seeds of one run
            clusters = np.array([f"model {place}" for place in range(len(clusters))], dtype=np.str_)
        plan = calibration_plan(self.job, self.calibration)
        try:
            found = prepare(self.calibration, clusters, plan, seed=self.job.seed, posterior=self.basis.posterior).folds
        except FitError:
            splits = cluster_folds(clusters, INNER_FOLDS, np.random.default_rng(self.job.seed))
            found = tuple(Fold(self.basis, self.calibration.take(models=held)) for _, held in splits)
        return Calibration(self.basis, found, clusters, plan)

    def inner_fits(self, names: list[str]) -> bool:
        """Whether inner folds that an estimator needs could be fitted."""
        needed = any(name in HELD_OUT for name in names)
        return not needed or all(fold.kept is not self.basis for fold in self.folds.folds)

    def scorers(self, names: list[str]) -> SplitScorers:
        """Scorers of the responses; with inner folds if an estimator learns from held-out models."""
        if any(name in HELD_OUT for name in names):
            return self._learning_scorers
        return self._plain_scorers

    @cached_property
    def _learning_scorers(self) -> SplitScorers:
        return split_scorers(self.folds, self.evaluation)

    @cached_property
    def _plain_scorers(self) -> SplitScorers:
        return split_scorers(
            Calibration(self.basis, (), np.empty(0, dtype=np.str_), calibration_plan(self.job, self.calibration)),
            self.evaluation,
        )

    def source_share(self, method: str, size: int, names: list[str]) -> float:
        """Share of the weighted score in gp-IRT as published; 0 if that estimator is not asked for."""
        return self.folds.source_share(method, size) if "gp_irt_source" in names else 0.0

    def choose(self, basis: SelectionBasis, recipe: Recipe) -> Selection:
        """Choose items with the basis of all calibration models or of one inner fold, once for all weights."""
        key = (id(basis), recipe.method, recipe.size)  # all bases live as long as this object
        if key not in self._choices:
            self._choices[key] = chosen_items(basis, recipe)
        return self._choices[key]

    def mean_scores(self, items: Places) -> FloatArray:
        """Mean share of right responses over those of some items that were asked, shape (row,)."""
        shares, asked = self.shares
        return divide(shares[:, items].sum(axis=1), asked[:, items].sum(axis=1))

    def abilities(self, items: Places) -> FloatArray:
        """Ability from the responses to some items, shape (row,)."""
        right, wrong = self.answers
        logs = ItemLogLikelihoods(self.logs.right[items], self.logs.wrong[items])
        return ability_modes(logs, right[:, items], wrong[:, items])


def divide(above: FloatArray, below: FloatArray) -> FloatArray:
    """Divide; NaN where the denominator is not positive."""
    out: FloatArray = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=out, where=np.asarray(below) > 0)
    return out


def run_components(shares: FloatArray) -> tuple[float, float]:
    """Components s2_seed and s2_res of V(k) from shares of one run, shape (item, seed, step)."""
    found = item_covariance(np.moveaxis(shares, (0, 1, 2), (2, 1, 0)))
    return float(np.nanmean(found.off_diagonal)), float(np.nanmean(found.residual))


FULL_KEY: Final = "full"
ABILITY_KEY: Final = "ability"
REASON: Final = "reason"  # why a fit is missing
FAILED: Final = "failed"  # names of failed checks
N_DRAWS: Final = 50  # per draw of the items: 500 in all, enough for the limits of intervals
SEED_MODEL_SUBSETS: Final = 20  # random subsets of each size behind their mean variance


def variance_key(method: str, weights: str, size: int) -> str:
    """Return the key of the variances of one set of items."""
    return f"{method}|{weights}|{size}"


def seed_model_variances(
    data: SplitData, sizes: Sequence[int], recipes: Sequence[tuple[str, str]]
) -> dict[str, npt.NDArray[Any]]:
    """Fit the seed model to the evaluated checkpoints, and derive the variance of every set of items.

    Returns
    -------
    dict
        By `variance_key`, and `FULL_KEY`: draws of variances of shape (2, draw, run), of the score and of the expected
        score; `ABILITY_KEY`: of ability, (draw, run); `FAILED`: names of checks. Or only `REASON`.
    """
    try:
        with warnings.catch_warnings():
            for category in (ConvergenceWarning, ResponsesWarning):  # the checks are kept
                warnings.simplefilter("ignore", category)
            fit, ratio = fit_as_varied(data.evaluation, data.basis.posterior, SVISettings(seed=data.job.seed))
    except (FitError, ModelError) as error:
        return {REASON: np.array(str(error))}
    n_items, n_trials = data.evaluation.n_items, answers_per_cell(data.evaluation)
    found: dict[str, npt.NDArray[Any]] = {}
    found[FULL_KEY], found[ABILITY_KEY] = _variances(data, fit, np.full(n_items, 1 / n_items), n_trials)
    for size in sizes:
        drawn = random_items(data.job.seed, n_items, size, SEED_MODEL_SUBSETS)
        each = [_variances(data, fit, _spread(items, None, n_items), n_trials)[0] for items in drawn]
        found[variance_key("random", EQUAL, size)] = np.mean(each, axis=0)
        for method, weights in recipes:
            recipe = Recipe(method, weights, size, data.job.seed)
            chosen = weighted_items(data.basis, data.choose(data.basis, recipe), recipe)
            own = _spread(chosen.items, chosen.weights, n_items)
            found[variance_key(method, weights, size)] = _variances(data, fit, own, n_trials)[0]
    small = {name: values.astype(np.float32) for name, values in found.items()}
    return small | {FAILED: np.array(_failed(data, fit, ratio, n_trials), dtype=np.str_)}


def _spread(items: npt.NDArray[Any], weights: FloatArray | None, n_items: int) -> FloatArray:
    """Return weights of all items that sum to 1."""
    own = np.zeros(n_items)
    own[items] = 1.0 if weights is None else weights
    return np.asarray(own / own.sum())


def _variances(data: SplitData, fit: SeedFit, weights: FloatArray, n_trials: float) -> tuple[FloatArray, FloatArray]:
    """Draws of the variances of one score, (2, draw, run), and of ability, (draw, run), runs in the split's order."""
    found = seed_effect_draws(fit.posterior, weights, n_trials=n_trials, n_draws=N_DRAWS)
    order = [found.runs.index(run) for run in data.job.checkpoints.runs]
    flat = {name: values[..., order].reshape(-1, len(order)) for name, values in found.parts.items()}
    ability = flat["seed_sd_ability"] + flat.get("step_sd_ability", 0.0)
    return np.stack([flat["score_sd"], flat["snapshot_sd"]]), ability


def _failed(data: SplitData, fit: SeedFit, ratio: float, n_trials: float) -> list[str]:
    """Names of failed checks of convergence and of the description of the full scores."""
    table, job = seed_effect_table(fit.posterior, n_trials=n_trials), data.job
    scores = data.mean_scores(np.arange(data.evaluation.n_items))
    seen = np.mean([run_variance(job.checkpoints.arrange(scores, run)).value for run in job.checkpoints.runs])
    row = pd.DataFrame([("", POOLED, SEEN, float(np.sqrt(seen)), np.nan, np.nan)], columns=list(COLUMNS))
    checks = (*fit.checks, *description_checks(ratio, pd.concat([table, row], ignore_index=True)))
    return [check.name for check in checks if check.status == "failed"]
