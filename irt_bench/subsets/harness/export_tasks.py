"""Tasks written for harnesses: for lm-evaluation-harness, and adaptive tests for it and Inspect.

Of lm-evaluation-harness a ``--samples`` file, a task folder that estimates the full score, or the next round of an
adaptive test; of Inspect a task that asks the best sample next.

lm-evaluation-harness runs a whole task if its list of samples is empty, or if it is not a leaf task. It numbers
documents wrongly if the list is not sorted or repeats a document. These functions write neither.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
import yaml

from irt_bench.analysis.labelled_draws import ItemParameters, item_draws, positions_of, refuse_populations
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, SubsetError, check_range, unknown_choice
from irt_bench.names import ITEM
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.formats.lm_eval import NO_FILTER
from irt_bench.subsets.adaptive import ITEM_DRAWS, NODES, item_bank
from irt_bench.subsets.estimators import ESTIMATORS
from irt_bench.subsets.harness import inspect_adaptive, lm_eval_task
from irt_bench.subsets.harness.inspect_adaptive import LiveTest
from irt_bench.subsets.scorer import WIDE_PRIOR_SD, SubsetScorer, scorer_of
from irt_bench.subsets.subset import SubsetRecord

MODEL_ARGUMENTS: Final = "--model hf --model_args pretrained=ORG/MODEL"
TASK_MODULE: Final = "subset_task"
UNSUPPORTED: Final = "export it to 'lm-eval' instead, and score the logs of that run with the subset"


def sample_lists(subset: SubsetRecord) -> dict[str, list[int]]:
    """Document ids of each leaf task, sorted and unique.

    Raises
    ------
    SubsetError
        If an item has no document id, or two have the same one.
    """
    lists: dict[str, list[int]] = {}
    for item in subset.items:
        if item.doc_id is None:
            raise SubsetError(
                f"item {item.id!r} has no doc_id, by which lm-evaluation-harness chooses documents. Make the subset "
                "from the harness's own logs (samples_*.jsonl), or from a table with a column doc_id."
            )
        if item.doc_id < 0 or item.doc_id in lists.get(item.subtask, []):
            raise SubsetError(
                f"item {item.id!r} has doc_id {item.doc_id} in task {item.subtask!r}, which is below 0 or belongs to "
                "another item; make the subset again."
            )
        lists.setdefault(item.subtask, []).append(item.doc_id)
    return {task: sorted(ids) for task, ids in sorted(lists.items())}


def samples_json(subset: SubsetRecord) -> str:
    """Text of the ``--samples`` file."""
    return json.dumps(sample_lists(subset), ensure_ascii=False) + "\n"


def samples_command(subset: SubsetRecord, path: Path) -> str:
    """Return the command that runs the subset."""
    tasks = ",".join(sample_lists(subset))
    return (
        f"lm_eval run {MODEL_ARGUMENTS} --tasks {shlex.quote(tasks)} --samples {shlex.quote(str(path))} "
        "--log_samples --output_path OUT"
    )


def only_task(subset: SubsetRecord) -> str:
    """Return the leaf task of a subset.

    Raises
    ------
    SubsetError
        If it has items of several.
    """
    lists = sample_lists(subset)
    if len(lists) > 1:
        raise SubsetError(
            f"the subset has items of {len(lists)} tasks, first {next(iter(lists))!r}; the harness aggregates each "
            f"task by itself, and the estimate needs all answers: {UNSUPPORTED}."
        )
    return next(iter(lists))


def task_name(subset: SubsetRecord) -> str:
    """Name of the exported task."""
    return f"{only_task(subset)}_irt{subset.size}"


def task_command(subset: SubsetRecord, folder: Path) -> str:
    """Return the command that runs the exported task."""
    return (
        f"lm_eval run {MODEL_ARGUMENTS} --tasks {shlex.quote(task_name(subset))} "
        f"--include_path {shlex.quote(str(folder))} --log_samples --output_path OUT"
    )


def result_key(subset: SubsetRecord, metric: str | None = None) -> str:
    """Return the key of the estimate in the results of the exported task: metric and filter."""
    return f"{calibrated_metric(subset, metric)},{subset.filters[0] if subset.filters else NO_FILTER}"


def calibrated_metric(subset: SubsetRecord, asked: str | None = None) -> str:
    """Return the metric of the calibration: the one recorded in the subset, else `asked`.

    Raises
    ------
    SubsetError
        If the two differ, or neither is known.
    """
    recorded = subset.metrics[0] if subset.metrics else None
    if recorded is None and asked is None:
        raise SubsetError("the calibration responses did not name their metric; name it with metric=, such as 'acc'.")
    if recorded is not None and asked not in (None, recorded):
        raise SubsetError(
            f"the subset was calibrated on metric {recorded!r}: a task that aggregates {asked!r} would print no "
            f"estimate. Leave metric out, or calibrate a subset on {asked!r}."
        )
    return str(recorded or asked)


def write_task_folder(
    subset: SubsetRecord,
    folder: Path,
    *,
    metric: str | None = None,
    split: str | None = None,
    base_yaml: Path | None = None,
) -> None:
    """Write a task folder that runs the subset and aggregates the answers to the estimated full score.

    The folder is for ``--include_path``; parameters are those of `irt_bench.Subset.export`.

    Raises
    ------
    SubsetError
        If there are several tasks, the estimator cannot run in the harness, or the full task lacks the metric.
    """
    metric = calibrated_metric(subset, metric)
    task = only_task(subset)
    if base_yaml is not None and not base_yaml.is_file():
        raise SubsetError(f"base_yaml is {str(base_yaml)!r}, which is no file; the YAML of the full task is needed.")
    path = str(base_yaml.resolve()) if base_yaml is not None else None
    own = _full_task(task, base_yaml)
    content = task_parameters(subset) | {
        "task": task,
        "split": split or lm_eval_task.evaluated_split(own) or "test",
        "base_yaml": path,
        "metric": metric,
        "metric_arguments": _metric_arguments(own, task, metric),
    }
    (folder / "parameters.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
    shutil.copyfile(lm_eval_task.__file__, folder / f"{TASK_MODULE}.py")
    text = _yaml(subset, content)
    (folder / f"{task_name(subset)}.yaml").write_text(text, encoding="utf-8")


def _full_task(task: str, base_yaml: Path | None) -> dict[str, Any]:
    """Read the settings of the full task; empty if it belongs to a harness that is not installed."""
    harness = importlib.util.find_spec("lm_eval") if base_yaml is None else None
    path = base_yaml
    if harness is not None and harness.submodule_search_locations:
        path = lm_eval_task.yaml_of(task, Path(harness.submodule_search_locations[0]) / "tasks")
    try:
        return lm_eval_task.task_settings(path) if path is not None else {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SubsetError(f"{path} cannot be read as the YAML of a task: {str(error).splitlines()[0]}.") from error


def _metric_arguments(full_task: Mapping[str, Any], task: str, metric: str) -> dict[str, Any]:
    """Return the arguments of the metric in the full task, such as characters to ignore; they define it."""
    listed = lm_eval_task.metrics_of(full_task)
    if listed and metric not in listed:
        raise SubsetError(unknown_choice(f"metric of task {task!r}", metric, listed))
    arguments: dict[str, Any] = listed.get(metric, {})
    if lm_eval_task.FUNCTION in json.dumps(arguments):
        raise SubsetError(f"metric {metric!r} of task {task!r} is a function of the task's own: {UNSUPPORTED}.")
    return arguments


def task_parameters(subset: SubsetRecord) -> dict[str, Any]:
    """Numbers with which `lm_eval_task.full_score` computes `estimate_full_score` for complete answers.

    Raises
    ------
    SubsetError
        If the estimator needs more than answers, curves of the other items, and the mean ability.
    """
    ordered = sorted(subset.items, key=lambda item: item.doc_id or 0)
    order = [subset.items.index(item) for item in ordered]
    scorer = scorer_of(subset)
    constant, coefficients, curve_share, curve = _linear_form(subset, scorer)
    drawn = scorer.draws
    return {
        "doc_ids": [item.doc_id for item in ordered],
        "n_documents": subset.n_items_full,
        "subset": subset.digest(),
        "estimator": subset.estimator,
        "constant": constant,
        "coefficients": coefficients[order].tolist(),
        "curve_share": curve_share,
        "curve": {"ability": scorer.nodes.tolist(), "score": curve.tolist()},
        "weights": scorer.weights[order].tolist(),
        "spline": subset.numbers.spline.model_dump() if subset.numbers.spline is not None else None,
        "target_weights": scorer.targets[order].tolist(),
        "draws": np.stack(drawn, axis=-1)[:, order].tolist(),
        "wide_prior_sd": WIDE_PRIOR_SD,
        "wide": ESTIMATORS[subset.estimator].wide,
        "ability_range": None if ESTIMATORS[subset.estimator].extrapolates else subset.calibration.ability_range,
    }


def _linear_form(subset: SubsetRecord, scorer: SubsetScorer) -> tuple[float, np.ndarray, float, np.ndarray]:
    """Constant, coefficients, share and curve of: constant + coefficients x answers + share x mean of the curve."""
    numbers, targets, weights = subset.numbers, scorer.targets, scorer.weights
    mixed, unseen = numbers.weighted_share, scorer.unseen
    learned = np.array(numbers.coefficients or [0.0] * subset.size)
    mean, expected = weights / weights.sum(), scorer.expected_curves
    forms = {
        "weighted": (0.0, weights, 0.0, unseen),
        "p_irt": (0.0, targets, 1.0, unseen),
        "p_irt_weighted": (0.0, targets.sum() * weights, 1.0, unseen),
        "gp_irt": (0.0, mixed * weights + (1 - mixed) * targets, 1 - mixed, unseen),
        "irt_smoothed": (0.0, 0 * targets, 1.0, unseen + targets @ scorer.curves),
        "spline": (numbers.intercept, 0 * targets, 0.0, unseen),
        "ridge": (numbers.intercept, learned, 0.0, unseen),
        "p_irt_ridge": (numbers.intercept, targets + learned, 1.0, unseen),
        "aipw": (numbers.intercept, learned, 0.0, unseen),
        "p_irt_wide": (0.0, targets, 1.0, unseen),
        "irt_difference": (0.0, mean, 1.0, unseen + (targets - mean) @ expected),
        "p_irt_residual": (0.0, targets + learned, 1.0, unseen - learned @ expected),
    }
    if subset.estimator not in forms:
        raise SubsetError(
            f"estimator {subset.estimator!r} cannot run inside the harness (those that can: {', '.join(forms)}); "
            f"{UNSUPPORTED}."
        )
    return forms[subset.estimator]


def _yaml(subset: SubsetRecord, content: Mapping[str, Any]) -> str:
    """YAML of the task; tags that name functions are not plain YAML and are written as text.

    A task of the harness is given by name, because its path is known only where the harness is installed. It is then
    the only member of a group, and the entries of a group may override the settings of a task. Other tasks are
    included by path.
    """
    task, base_yaml = content["task"], content["base_yaml"]
    metadata = {"version": 1.0, "irt_bench": {"subset": subset.digest(), "n_full": subset.n_items_full, "task": task}}
    own = [
        f"process_docs: !function {TASK_MODULE}.keep",
        "metric_list:",
        f"  - metric: {json.dumps(content['metric'])}",
        *(f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in content["metric_arguments"].items()),
        f"    aggregation: !function {TASK_MODULE}.full_score",
        "    higher_is_better: true",
        *yaml.safe_dump({"metadata": metadata}, sort_keys=False).splitlines(),
    ]
    name = json.dumps(task_name(subset))
    if base_yaml is not None:
        lines = [f"include: {json.dumps(base_yaml)}", f"task: {name}", *own]
    else:
        lines = [f"group: {name}", "task:", f"  - task: {json.dumps(task)}", *(f"    {line}" for line in own)]
    return "\n".join(lines) + "\n"


MODULE: Final = "adaptive_test"
TASK_FILE: Final = "task.py"
TASK_NAME: Final = "adaptive"
ITEMS_FILE: Final = "items.json"
EVERY: Final = 2  # of the nodes: 0.1 apart
DIGITS: Final = 6
TASK_TEXT: Final = '''"""The task {task}, asked adaptively; see {module}.py. Written by irt_bench."""

import sys
from pathlib import Path

from inspect_ai import task, task_with

sys.path.insert(0, str(Path(__file__).resolve().parent))
from {module} import AdaptiveStopping, full_task


@task
def {name}():
    return task_with(full_task({task!r}), early_stopping=AdaptiveStopping(Path(__file__).with_name({items!r})))
'''


@dataclass(frozen=True)
class AdaptiveRules:
    """Rules of a live adaptive test.

    Parameters
    ----------
    stop_sd : float
        The test ends when the posterior sd of ability is at most this, in [0, 1).
    min_items, max_items : int
        Smallest and largest number of items.
    parallel : int
        Items asked at the same time; also the size of a round. More than one asks somewhat less informative items.
    exposure : int
        Each item is drawn at random among this many of the most informative, so that not all models see the same.
    balance : bool
        Whether subtasks keep their shares of the items.
    scorer : str, optional
        Scorer of Inspect whose score counts; by default the first.
    seed : int
        Seed of the draws among informative items.

    Raises
    ------
    AnalysisError
        If a setting is out of range.

    Examples
    --------
    >>> from irt_bench import AdaptiveRules
    >>> AdaptiveRules(stop_sd=0.25, exposure=5).max_items
    200
    """

    stop_sd: float = 0.3
    min_items: int = 5
    max_items: int = 200
    parallel: int = 1
    exposure: int = 1
    balance: bool = False
    scorer: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_range(AnalysisError, "stop_sd", self.stop_sd, 0, 1)
        check_range(AnalysisError, "min_items", self.min_items, 0, self.max_items)
        for name in ("max_items", "parallel", "exposure"):
            check_range(AnalysisError, name, getattr(self, name), 1, 10**6)


def live_content(subset: SubsetRecord, settings: AdaptiveRules, posterior: xr.Dataset | None = None) -> dict[str, Any]:
    """Content of ``items.json``: curves of the subset's items on a grid of abilities, and the rules.

    With a posterior, the uncertainty of the items counts; by default they are as the subset has them.
    """
    bank = item_bank(_parameters(subset, posterior))
    scale = bank.scale
    plain = bool((scale == np.eye(len(scale))).all())
    items = [
        {
            "id": item.id,
            "subtask": item.subtask,
            "right": _rounded(bank.right[place, ::EVERY]),
            "information": _rounded(bank.information[place, ::EVERY]),
        }
        for place, item in enumerate(subset.items)
    ]
    return {
        "benchmark": subset.benchmark,
        "nodes": _rounded(NODES[::EVERY]),
        "scale": None if plain else [_rounded(row) for row in _coarser(scale)],
        "items": items,
        "settings": asdict(settings),
    }


def _parameters(subset: SubsetRecord, posterior: xr.Dataset | None) -> ItemParameters:
    if posterior is not None:
        refuse_populations(posterior, "an adaptive test")
        drawn, labels = item_draws(posterior, ITEM_DRAWS)
        return drawn.at((slice(None), positions_of(pd.Index(subset.ids), labels, ITEM, "the subset", "the fit")))
    names = ("difficulty", "discrimination", "guessing", "upper_asymptote")
    return ItemParameters(
        *(np.array([getattr(item, name) for item in subset.items], dtype=np.float64) for name in names)
    )


def _coarser(scale: FloatArray) -> FloatArray:
    """Distribution over every second node, from every second node; a node between two gives each half of its mass."""
    rows = scale[::EVERY]
    between = rows[:, 1::EVERY] / 2
    coarse = rows[:, ::EVERY].copy()
    coarse[:, :-1] += between
    coarse[:, 1:] += between
    return coarse


def _rounded(values: FloatArray) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]


def write_task(content: dict[str, Any], folder: Path, task: str | None) -> None:
    """Write the files of an adaptive task of Inspect into a folder.

    Raises
    ------
    SubsetError
        If the full task is not named as Python finds it.
    """
    if task is None or "@" not in task:
        raise SubsetError(
            "an adaptive test wraps the full task; name it as task='file.py@task' or 'package.module@task'."
        )
    place, _, function = task.partition("@")
    known = f"{Path(place).resolve()}@{function}" if place.endswith(".py") else task
    text = TASK_TEXT.format(task=known, module=MODULE, items=ITEMS_FILE, name=TASK_NAME)
    (folder / TASK_FILE).write_text(text, encoding="utf-8")
    shutil.copyfile(inspect_adaptive.__file__, folder / f"{MODULE}.py")
    (folder / ITEMS_FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def next_round(content: dict[str, Any], answered: ResponseCounts | None) -> tuple[LiveTest, list[str]]:
    """State of a test after the answers of one model, and the items of the next round; none where the test has ended.

    `content` is that of `live_content`; answers to items that are not in the test are left out.

    Raises
    ------
    SubsetError
        If the answers are of several models.
    """
    test = LiveTest(content)
    if answered is not None:
        if answered.n_models != 1:
            raise SubsetError(
                f"the answers so far are of {answered.n_models} models, first {answered.models.index[0]!r}; each model "
                "has a test of its own: give the logs of one."
            )
        shares = answered.proportions()[0]
        for label, share in zip(answered.items.index.astype("str"), shares, strict=True):
            if label in test.items and np.isfinite(share):
                test.record(str(label), float(share))
    chosen: list[str] = []
    while not test.finished and len(chosen) < content["settings"]["parallel"]:
        label = test.choose([each for each in test.items if each not in chosen])
        if label is None or len(test.asked) + len(chosen) >= content["settings"]["max_items"]:
            break
        chosen.append(label)
    return test, chosen


def progress_of(test: LiveTest) -> str:
    """Say in one line what is known so far."""
    found = test.summary()
    known = f"ability {found['ability']:.2f}, sd {found['ability_sd']:.2f}, {found['n_items']} items asked"
    return f"the test has ended, {found['stopped']}: {known}" if test.finished else known
