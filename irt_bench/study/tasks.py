"""Tasks: the smallest pieces of a study. Each is computed once, and its result is kept in a folder (`Store`).

==========  ==============================  ==========================================================================
kind        one per                         result
==========  ==============================  ==========================================================================
full        benchmark, split                full scores and abilities of the evaluated checkpoints; components of V(k)
random      benchmark, split, size,         scores of random subsets by every estimator
            weights
recipe      benchmark, split, size,         chosen items, their weights, scores by every estimator
            method, weights
path        benchmark, split                scores as the least discriminating items are dropped, and random ones
control     benchmark, split, shuffling     scores of methods and random subsets calibrated on shuffled responses
cures       benchmark, split                scores of all items by other weights and by ability, adaptive tests, trials
transfer    benchmark                       agreement of item statistics between weaker and stronger models
seed_model  benchmark, split                seed variances of the hierarchical model, if asked for
==========  ==============================  ==========================================================================

The seed model is fitted once per split, to all responses of the evaluated checkpoints, with the items as calibrated.
The variance of any weighted sum of items then follows from the item curves, without a fit of its own;
`irt_bench.variance.seed_effect` computes it. Items whose responses change with the seed independently of ability are
not part of that model; ``seed_sd`` includes them.

Numbers depend only on the inputs that the name of the task hashes. They do not depend on the worker, the backend, or
the tasks computed before. A result file has the hash of its inputs as its name, and appears under it only when it is
complete. A study that was killed therefore continues from the files that exist, and a changed design finds the results
it shares with the old one.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.classical import score_reliability
from irt_bench.analysis.transfer import compare_transfer
from irt_bench.arrays import FloatArray, Positions, slices
from irt_bench.errors import (
    ConvergenceWarning,
    FitError,
    FitWarning,
    ModelError,
    OutputError,
    ResponsesWarning,
    SubsetWarning,
    UndefinedWarning,
)
from irt_bench.files import FOLDER_MARKER, HIDDEN_PREFIX, remove_abandoned, replacing
from irt_bench.inference.settings import SVISettings
from irt_bench.names import POOLED
from irt_bench.responses.counts import ResponseCounts
from irt_bench.study.data import DATA, SplitJob, fit_shuffled, read_rows, run_variance
from irt_bench.study.design import EQUAL, THETA
from irt_bench.study.split import (
    REASON,
    WEIGHTED,
    SplitData,
    ability_modes,
    divide,
    estimators_of,
    expected_curve,
    item_log_likelihoods,
    random_estimators,
    random_items,
    random_scores,
    recipe_scores,
    run_components,
    split_scorers,
    weighted_items,
)
from irt_bench.subsets.adaptive import AdaptiveSettings, fixed_abilities, item_bank, run_adaptive
from irt_bench.subsets.basis import Selection
from irt_bench.subsets.calibration import FAILED_CHECKS, Recipe, chosen_items
from irt_bench.subsets.compare import WITHIN, shuffled
from irt_bench.subsets.estimators import READ_AT_ONCE
from irt_bench.subsets.scorer import ModelScorer, WeightedItems
from irt_bench.subsets.select import effective_size, weight_items
from irt_bench.variance.metrics import COLUMNS, SEEN
from irt_bench.variance.moments import answers_per_cell
from irt_bench.variance.seed_effect import description_checks, fit_as_varied, seed_effect_draws, seed_effect_table

if TYPE_CHECKING:
    from irt_bench.inference.seed_model import SeedFit

TASKS: Final = "tasks"  # folder of the results of tasks
SUFFIX: Final = ".npz"
CODE: Final = 16  # raised whenever results change: kept ones are then computed again
CONTROLLED: Final = (WEIGHTED, "p_irt")  # estimators of the negative control: a mean, and one that shrinks
CONTROL_RANDOM: Final = 400  # random subsets: enough for some 20 comparisons to pass Holm's correction


# What NumPy raises on an archive whose bytes were changed.
DAMAGED: Final = (
    OSError, ValueError, KeyError, EOFError, MemoryError, NotImplementedError, OverflowError, RuntimeError, SyntaxError,
    TypeError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip

Result = Mapping[str, npt.NDArray[Any]]


def input_hash(inputs: Mapping[str, Any]) -> str:
    """Return the name of a task: 40 digits of the SHA-256 over its sorted inputs."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Store:
    """Folder of a study."""

    folder: Path

    def open(self) -> None:
        """Make the folder, or continue in one that a study made.

        Raises
        ------
        OutputError
            If it holds other files, or cannot be written.
        """
        path = self.folder
        if path.exists() and (not path.is_dir() or path.is_symlink()):
            raise OutputError(f"{path} is not a folder; choose another name.")
        if path.is_dir() and any(path.iterdir()) and not (path / TASKS).is_dir():
            raise OutputError(f"{path} holds files that no study of this version wrote; choose another folder.")
        try:
            for part in (TASKS, DATA):
                (path / part).mkdir(parents=True, exist_ok=True)
                remove_abandoned(path / part)
        except OSError as error:
            raise OutputError(f"folder {path} cannot be made: {error.strerror}.") from error

    def has(self, name: str) -> bool:
        """Whether a task is finished."""
        return self._path(name).is_file()

    def finished(self) -> set[str]:
        """Names of all finished tasks."""
        return {
            entry.name.removesuffix(SUFFIX)
            for entry in os.scandir(self.folder / TASKS)
            if entry.name.endswith(SUFFIX) and not entry.name.startswith(HIDDEN_PREFIX)
        }

    def write(self, name: str, result: Result) -> None:
        """Write the result of a task atomically; the same result gives the same bytes."""
        write_arrays(self._path(name), result)

    def read(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Read the result of a finished task.

        Raises
        ------
        OutputError
            If the file is damaged; it is removed, so that the next run computes it again.
        """
        path = self._path(name)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                return {key: found[key] for key in found.files}
        except DAMAGED as error:
            path.unlink(missing_ok=True)
            raise OutputError(
                f"task result {path.name} was damaged ({error}) and is removed; run the study again to compute it."
            ) from error

    def unfinished_mark(self) -> None:
        """Remove the mark of a finished study while it is computed again."""
        (self.folder / FOLDER_MARKER).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / TASKS / f"{name}{SUFFIX}"


def write_arrays(path: Path, arrays: Result) -> None:
    """Write named arrays: a reader sees a whole file or none."""
    with replacing(path, among_many=True) as beside, beside.open("wb") as file:
        np.savez(file, **dict(arrays))  # type: ignore[arg-type]


class StudyTask(NamedTuple):
    """One task: its kind, its parameters as plain values, and its name."""

    kind: str
    parameters: Mapping[str, Any]
    name: str


def make_task(job: SplitJob, kind: str, **parameters: Any) -> StudyTask:
    """Make a task; its name is the hash of all that its result depends on."""
    inputs = {
        "code": CODE,
        "kind": kind,
        "benchmark": job.benchmark,
        "responses": job.fingerprints,
        "checkpoints": job.checkpoints.frame.to_dict("list"),
        "seed": job.seed,
        **parameters,
    }
    return StudyTask(kind, parameters, input_hash(inputs))


def compute_task(data: SplitData, task: StudyTask) -> Result:
    """Compute one task. If its models cannot be fitted, the result holds only the `REASON`."""
    with warnings.catch_warnings():
        for category in (SubsetWarning, UndefinedWarning, FitWarning, ConvergenceWarning):  # of one fit among very many
            warnings.simplefilter("ignore", category)
        try:
            return TASK_FUNCTIONS[task.kind](data, **task.parameters)
        except FitError as error:  # a property of the responses: computing it again would not help
            return {REASON: np.array(str(error))}


def _full(data: SplitData) -> Result:
    everything = np.arange(data.evaluation.n_items)
    checkpoints, shares = data.job.checkpoints, data.evaluation.proportions().T
    components = [run_components(checkpoints.arrange(shares, run)) for run in checkpoints.runs]
    return {
        WEIGHTED: data.mean_scores(everything),
        THETA: data.abilities(everything),
        "curve": expected_curve(data.logs),
        "components": np.array(components),
        "n_items": np.array(len(everything)),
        "n_calibration": np.array(data.calibration.n_models),
        "reliability": np.array(score_reliability(data.calibration).alpha),
        "failed": np.array(list(data.basis.posterior.attrs.get(FAILED_CHECKS, {})), dtype=np.str_),
    }


def _random(data: SplitData, size: int, weights: str, n_random: int, estimators: list[str]) -> Result:
    """Score random subsets; the first ones hold the same items whatever their number and weights."""
    chosen = random_items(data.job.seed, data.evaluation.n_items, size, n_random)
    names = [name for name in estimators if name != THETA]
    share = data.source_share("random", size, names)
    found = random_scores(data.scorers(names), chosen, Recipe("random", weights, size, data.job.seed), names, share)
    if THETA in estimators:
        found[THETA] = np.concatenate([data.abilities(chosen[block]) for block in slices(len(chosen), READ_AT_ONCE)])
    return {name: values.astype(np.float32) for name, values in found.items()}


def _recipe(data: SplitData, method: str, weights: str, size: int, estimators: list[str]) -> Result:
    recipe = Recipe(method, weights, size, data.job.seed)
    names = [name for name in estimators if name != THETA]
    share = data.source_share(method, size, names)
    chosen, scores = recipe_scores(data.scorers(names), recipe, names, lambda basis: data.choose(basis, recipe), share)
    if THETA in estimators:
        scores[THETA] = data.abilities(chosen.items)
    return {
        "items": chosen.items.astype(np.int32),
        "weights": chosen.weights,
        "k_eff": np.array(effective_size(chosen.weights)),
        "inner_fits": np.array(data.inner_fits(names)),
        **scores,
    }


def _path(data: SplitData, drop: list[float], n_random: int) -> Result:
    """Drop the least discriminating items, those of lowest item-rest correlation on the calibration models."""
    n_items = data.evaluation.n_items
    order = np.argsort(-data.basis.discrimination, kind="stable")
    sizes = [max(1, n_items - round(share * n_items)) for share in drop]
    scores = np.stack([data.mean_scores(order[:size]) for size in sizes])
    rng = np.random.default_rng([data.job.seed, n_items])
    answers = np.concatenate(data.shares)
    variances = np.empty((n_random, len(sizes), len(data.job.checkpoints.runs)))
    for subset in range(n_random):
        kept = rng.permutation(n_items).argsort()[:, None] < sizes
        values = divide(*np.split(answers @ kept.astype(np.float64), 2)).T  # (size, row)
        for place, run in enumerate(data.job.checkpoints.runs):
            variances[subset, :, place] = run_variance(data.job.checkpoints.arrange(values, run)).value
    errors = np.stack([_standard_error(data, order[:size]) for size in sizes])
    return {"sizes": np.array(sizes), "scores": scores, "random": variances, "standard_error": errors}


def _standard_error(data: SplitData, items: Positions) -> FloatArray:
    """Return standard errors for sampling items, sd of the items' shares over root n, shape (row,)."""
    shares, asked = data.shares
    n = asked[:, items].sum(axis=1)
    mean = divide(shares[:, items].sum(axis=1), n)
    squares = (np.where(asked[:, items] > 0, shares[:, items] - mean[:, None], 0.0) ** 2).sum(axis=1)
    return np.sqrt(divide(squares, n * np.maximum(n - 1, 1)))


def _control(data: SplitData, within: str, recipes: list[tuple[str, str]], size: int) -> Result:
    """Score true responses by methods and by random subsets that were calibrated on shuffled responses."""
    rng = np.random.default_rng([data.job.seed, WITHIN.index(within)])
    false = shuffled(data.calibration, within, rng)  # type: ignore[arg-type]
    basis = fit_shuffled(data.job, false)
    own = split_scorers(basis, data.evaluation)
    cures = cure_scores(data, own.evaluated, [size] if size else [])
    out: dict[str, npt.NDArray[Any]] = {f"{CURE}|{key}": values for key, values in cures.items()}
    if not (recipes and size):
        return out
    for method, weights in recipes:
        recipe = Recipe(method, weights, size, data.job.seed)
        names = estimators_of(method, weights, recipes, CONTROLLED)
        _, scores = recipe_scores(own, recipe, names, partial(chosen_items, recipe=recipe), 0.0)
        out |= {f"{method}|{weights}|{name}": values for name, values in scores.items()}
    items = random_items(data.job.seed, data.evaluation.n_items, size, CONTROL_RANDOM)
    for weights in dict.fromkeys([EQUAL, *(weights for _, weights in recipes)]):
        names = random_estimators(weights, CONTROLLED)
        scores = random_scores(own, items, Recipe("random", weights, size, data.job.seed), names, 0.0)
        out |= {f"random|{weights}|{name}": values.astype(np.float32) for name, values in scores.items()}
    return out


CURE: Final = "cure"  # begins the keys of cures among the results of a control
WHOLE_WEIGHTS: Final = ("discrimination", "information", "minimum-variance", "balance")
MAX_COVARIANCE: Final = 1500  # items: beyond, their covariance takes minutes
FIXED_SUBSETS: Final = 50  # random subsets beside an adaptive test
N_TRIAL_DRAWS: Final = 50  # of the trials and items that are kept


def cure_scores(data: SplitData, scorer: ModelScorer, sizes: Sequence[int]) -> dict[str, FloatArray]:
    """Scores of the evaluated checkpoints by ``kind|how``, shape (row,) or (subset, row).

    ``weights|...`` and ``estimator|...`` are of all items, and ``curve`` links the scale of abilities to that of other
    splits. ``adaptive|k`` is ability from k adaptively chosen items, ``random|k`` that from k random ones; both are
    left out unless every checkpoint has one answer to every item.
    """
    basis, n_items = scorer.basis, data.evaluation.n_items
    everything, selection = np.arange(n_items), Selection(np.arange(n_items))
    logs = item_log_likelihoods(basis.parameters)
    out = {"curve": expected_curve(logs), "estimator|ability": ability_modes(logs, *data.answers)}
    for weights in WHOLE_WEIGHTS:
        several = weights != "balance" or len(np.unique(basis.subtasks)) > 1
        if several and (weights != "minimum-variance" or n_items <= MAX_COVARIANCE):
            own = weight_items(basis, selection, weights)
            out[f"weights|{weights}"] = scorer.read(WeightedItems(everything, own)).weighted
    out["estimator|irt_smoothed"] = scorer.read(WeightedItems(everything, np.full(n_items, 1 / n_items))).expected
    if not (data.evaluation.trials == 1).all():
        return out
    answers, bank = data.evaluation.correct.astype(np.bool_), item_bank(basis.parameters)
    for size in sizes:
        settings = AdaptiveSettings(stop_sd=0, min_items=size, max_items=size)
        out[f"adaptive|{size}"] = run_adaptive(answers, bank, settings).estimates.ability
        drawn = random_items(data.job.seed, n_items, size, FIXED_SUBSETS)
        out[f"random|{size}"] = fixed_abilities(answers, bank, drawn)
    return out


def _cures(data: SplitData, sizes: list[int]) -> Result:
    return cure_scores(data, data.scorers([]).evaluated, sizes) | _trial_scores(data.evaluation, data.job.seed)


def _trial_scores(counts: ResponseCounts, seed: int) -> dict[str, FloatArray]:
    """Means of all trials of a share of the items, and of one trial of each item: as many answers; (draw, row)."""
    n_trials = int(counts.trials.min())
    if n_trials < 2:
        return {}
    shares = counts.proportions()
    several, single = np.empty((2, N_TRIAL_DRAWS, len(shares)))
    for draw in range(N_TRIAL_DRAWS):
        rng = np.random.default_rng([seed, draw])
        kept = rng.permutation(counts.n_items)[: max(1, round(counts.n_items / n_trials))]
        several[draw] = shares[:, kept].mean(axis=1)
        single[draw] = (rng.random(shares.shape) < shares).mean(axis=1)
    return {f"trials|{n_trials}": several, "single|1": single}


def _transfer(data: SplitData, n_splits: int) -> Result:
    rows = np.sort(np.concatenate([data.job.calibration, data.job.evaluation]))
    table = compare_transfer(
        read_rows(data.job.folder, rows, data.job.benchmark), n_splits=n_splits, seed=data.job.seed
    )
    return {str(name): column.to_numpy(dtype=np.float64) for name, column in table.items()}


FULL_KEY: Final = "full"
ABILITY_KEY: Final = "ability"
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
    return np.stack([flat["score_sd"], flat["checkpoint_sd"]]), ability


def _failed(data: SplitData, fit: SeedFit, ratio: float, n_trials: float) -> list[str]:
    """Names of failed checks of convergence and of the description of the full scores."""
    table, job = seed_effect_table(fit.posterior, n_trials=n_trials), data.job
    scores = data.mean_scores(np.arange(data.evaluation.n_items))
    seen = np.mean([run_variance(job.checkpoints.arrange(scores, run)).value for run in job.checkpoints.runs])
    row = pd.DataFrame([("", POOLED, SEEN, float(np.sqrt(seen)), np.nan, np.nan)], columns=list(COLUMNS))
    checks = (*fit.checks, *description_checks(ratio, pd.concat([table, row], ignore_index=True)))
    return [check.name for check in checks if check.status == "failed"]


TASK_FUNCTIONS: Final[Mapping[str, Callable[..., Result]]] = {
    "full": _full,
    "random": _random,
    "recipe": _recipe,
    "path": _path,
    "control": _control,
    "cures": _cures,
    "transfer": _transfer,
    "seed_model": seed_model_variances,
}
