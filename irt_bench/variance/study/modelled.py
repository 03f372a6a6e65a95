"""Seed variances of the hierarchical model: what the spread of the seeds' abilities comes to on each set of items.

The seed model is fitted once a split to all answers of the evaluated snapshots, with the items that the calibration
models make known. What a subset, a weighting or random items make of the seeds then follows from their curves, as
`irt-bench variance --seed-model --subset` has it: no fit for each of them. Items whose answers move with the seed by
themselves are none of its business; that is what ``seed_sd`` is for.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.arrays import FloatArray
from irt_bench.errors import ConvergenceWarning, FitError, ModelError, ResponsesWarning
from irt_bench.inference.seed_fit import SeedFit
from irt_bench.inference.settings import SVISettings
from irt_bench.subsets.calibration import Recipe
from irt_bench.variance.answer_variance import answers_per_cell
from irt_bench.variance.seed_checks import description_checks
from irt_bench.variance.seed_effect import COLUMNS, POOLED, SEEN, seed_effect_draws, seed_effect_table
from irt_bench.variance.seed_model import fit_as_varied
from irt_bench.variance.study.design import EQUAL
from irt_bench.variance.study.reading import placed, random_items
from irt_bench.variance.study.snapshots import run_variance
from irt_bench.variance.study.workplace import Workplace

FULL_KEY: Final = "full"
ABILITY_KEY: Final = "ability"
REASON: Final = "reason"  # why there is no fit
FAILED: Final = "failed"  # names of failed checks
N_DRAWS: Final = 50  # of each draw of the items: 500 in all, enough for ends of intervals
MODELLED: Final = 20  # random subsets of each size behind their mean variance


def model_key(method: str, weights: str, size: int) -> str:
    """Name of the variances of one set of items."""
    return f"{method}|{weights}|{size}"


def model_variances(
    work: Workplace, sizes: Sequence[int], recipes: Sequence[tuple[str, str]]
) -> dict[str, npt.NDArray[Any]]:
    """Fit the seed model to the evaluated snapshots, and say what it means for every set of items.

    Returns
    -------
    dict
        By `model_key`, and `FULL_KEY`: draws of variances of shape (2, draw, run), of the score and of the expected
        score; `ABILITY_KEY`: of ability, (draw, run); `FAILED`: names of checks. Or only `REASON`.
    """
    try:
        with warnings.catch_warnings():
            for category in (ConvergenceWarning, ResponsesWarning):  # the checks are kept
                warnings.simplefilter("ignore", category)
            fit, ratio = fit_as_varied(work.evaluation, work.basis.posterior, SVISettings(seed=work.job.seed))
    except (FitError, ModelError) as error:
        return {REASON: np.array(str(error))}
    n_items, n_trials = work.evaluation.n_items, answers_per_cell(work.evaluation)
    found: dict[str, npt.NDArray[Any]] = {}
    found[FULL_KEY], found[ABILITY_KEY] = _variances(work, fit, np.full(n_items, 1 / n_items), n_trials)
    for size in sizes:
        drawn = random_items(work.job.seed, n_items, size, MODELLED)
        each = [_variances(work, fit, _spread(items, None, n_items), n_trials)[0] for items in drawn]
        found[model_key("random", EQUAL, size)] = np.mean(each, axis=0)
        for method, weights in recipes:
            recipe = Recipe(method, weights, size, work.job.seed)
            chosen = placed(work.basis, work.choose(work.basis, recipe), recipe)
            own = _spread(chosen.items, chosen.weights, n_items)
            found[model_key(method, weights, size)] = _variances(work, fit, own, n_trials)[0]
    small = {name: values.astype(np.float32) for name, values in found.items()}
    return small | {FAILED: np.array(_failed(work, fit, ratio, n_trials), dtype=np.str_)}


def _spread(items: npt.NDArray[Any], weights: FloatArray | None, n_items: int) -> FloatArray:
    """Weights of all items, sum 1."""
    own = np.zeros(n_items)
    own[items] = 1.0 if weights is None else weights
    return np.asarray(own / own.sum())


def _variances(work: Workplace, fit: SeedFit, weights: FloatArray, n_trials: float) -> tuple[FloatArray, FloatArray]:
    """Draws of the variances of one score, (2, draw, run), and of ability, (draw, run), runs in the split's order."""
    found = seed_effect_draws(fit.posterior, weights, n_trials=n_trials, n_draws=N_DRAWS)
    order = [found.runs.index(run) for run in work.job.snapshots.runs]
    flat = {name: values[..., order].reshape(-1, len(order)) for name, values in found.parts.items()}
    ability = flat["seed_sd_ability"] + flat.get("step_sd_ability", 0.0)
    return np.stack([flat["score_sd"], flat["snapshot_sd"]]), ability


def _failed(work: Workplace, fit: SeedFit, ratio: float, n_trials: float) -> list[str]:
    """Names of failed checks, of convergence and of whether the model describes the full scores."""
    table, job = seed_effect_table(fit.posterior, n_trials=n_trials), work.job
    scores = work.mean_scores(np.arange(work.evaluation.n_items))
    seen = np.mean([run_variance(job.snapshots.arrange(scores, run)).value for run in job.snapshots.runs])
    row = pd.DataFrame([("", POOLED, SEEN, float(np.sqrt(seen)), np.nan, np.nan)], columns=list(COLUMNS))
    checks = (*fit.checks, *description_checks(ratio, pd.concat([table, row], ignore_index=True)))
    return [check.name for check in checks if check.status == "failed"]
