"""Code that runs inside lm-evaluation-harness: select the documents of a subset, and estimate the full score.

`irt-bench export --to lm-eval-task` copies this file next to the YAML of the task and ``parameters.json``. It needs
Python and the YAML reader of the harness. It reads plain JSON and executes nothing in it.
"""

import functools
import importlib.util
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FUNCTION = "!function "  # tag of functions in the YAML of the harness


@functools.cache
def parameters() -> dict[str, Any]:
    """Read the parameters of the subset."""
    content: dict[str, Any] = json.loads((HERE / "parameters.json").read_text(encoding="utf-8"))
    return content


def keep(dataset: Any) -> Any:
    """Select the documents of the subset from the evaluated split, numbered as in the full task.

    Raises
    ------
    ValueError
        If the data, the metric or the evaluated split differ from those of the calibration.
    """
    exported, split = parameters(), str(dataset.split)  # the function of the task may lose the name of the split
    _check_full_task()
    own = _own_process_docs()
    dataset = own(dataset) if own is not None else dataset
    if split != exported["split"]:
        return dataset  # few-shot examples come from splits that must stay complete
    if len(dataset) != exported["n_documents"]:
        raise ValueError(
            f"the {exported['split']} split has {len(dataset)} documents; the subset is of {exported['n_documents']}."
        )
    return dataset.add_column("irt_doc_id", list(range(len(dataset)))).select(exported["doc_ids"])


def full_score(values: Iterable[float]) -> float:
    """Estimate the full score from the values of the selected documents."""
    exported = parameters()
    answers = _in_order([float(value) for value in values])
    if len(answers) != len(exported["doc_ids"]):
        raise ValueError(f"{len(answers)} answers for {len(exported['doc_ids'])} documents; run without --limit.")
    nodes = exported["curve"]["ability"]
    predicted = _posterior(nodes, _log_likelihood(answers, exported), exported["wide_prior_sd"])
    low, high = exported["ability_range"] or (-math.inf, math.inf)
    if sum(mass for mass, node in zip(predicted, nodes, strict=True) if not low <= node <= high) > 0.5:
        return math.nan  # a regression is not valid outside the range of its calibration models
    posterior = predicted if exported["wide"] else _mean_posterior(nodes, answers, exported["draws"])
    unseen = sum(mass * score for mass, score in zip(posterior, exported["curve"]["score"], strict=True))
    found: float = exported["constant"] + exported["curve_share"] * unseen
    found += sum(c * y for c, y in zip(exported["coefficients"], answers, strict=True))
    if exported["spline"]:
        weighted = sum(w * y for w, y in zip(exported["weights"], answers, strict=True)) / sum(exported["weights"])
        spline = exported["spline"]
        found += _extended(weighted, spline["score"], spline["score_part"])
        mean = sum(mass * node for mass, node in zip(posterior, nodes, strict=True))
        found += _extended(mean, spline["ability"], spline["ability_part"])
    observed: float = sum(t * y for t, y in zip(exported["target_weights"], answers, strict=True))
    asked_share: float = sum(exported["target_weights"])
    return min(max(found, observed), min(observed + 1 - asked_share, 1.0))


def _in_order(answers: list[float]) -> list[float]:
    """Answers in the order of the documents: each of n processes takes every n-th, and their lists are concatenated."""
    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    places = [place for rank in range(n_processes) for place in range(rank, len(answers), n_processes)]
    return [answer for _, answer in sorted(zip(places, answers, strict=True))]


def _log_likelihood(answers: list[float], exported: Mapping[str, Any]) -> list[float]:
    """Log-likelihood at the nodes of the curve, from probabilities averaged over draws of the item parameters."""
    by_item, logs = list(zip(*exported["draws"], strict=True)), []
    for node in exported["curve"]["ability"]:
        total = 0.0
        for answer, draws in zip(answers, by_item, strict=True):
            chance = sum(math.exp(_log_chance(1.0, item, node)) for item in draws) / len(draws)
            chance = min(max(chance, 1e-12), 1 - 1e-12)
            total += answer * math.log(chance) + (1 - answer) * math.log(1 - chance)
        logs.append(total)
    return logs


def _mean_posterior(
    nodes: Sequence[float], answers: list[float], draws: Sequence[Sequence[Sequence[float]]]
) -> list[float]:
    """Posterior of ability on the nodes, prior N(0, 1), mean over draws of the item parameters."""
    mean = [0.0] * len(nodes)
    for items in draws:
        logs = [sum(map(_log_chance, answers, items, [node] * len(items))) for node in nodes]
        mean = [old + new / len(draws) for old, new in zip(mean, _posterior(nodes, logs, 1.0), strict=True)]
    return mean


def _posterior(nodes: Sequence[float], logs: Sequence[float], prior_sd: float) -> list[float]:
    """Posterior of ability on the nodes, prior N(0, prior_sd^2)."""
    places = range(len(nodes))
    widths = [nodes[min(place + 1, places[-1])] - nodes[max(place - 1, 0)] for place in places]
    widths = [2 * widths[0], *widths[1:-1], 2 * widths[-1]]
    values = [log - (node / prior_sd) ** 2 / 2 for log, node in zip(logs, nodes, strict=True)]
    density = [width * math.exp(value - max(values)) for width, value in zip(widths, values, strict=True)]
    total = sum(density)
    return [mass / total for mass in density]


def _log_chance(answer: float, item: Sequence[float], ability: float) -> float:
    difficulty, discrimination, guessing, upper = item
    logit = min(max(discrimination * (ability - difficulty), -700.0), 700.0)
    known = 1 / (1 + math.exp(-logit))
    right = guessing + (upper - guessing) * known
    wrong = (1 - upper) + (upper - guessing) * (1 / (1 + math.exp(logit)))
    return answer * math.log(right) + (1 - answer) * math.log(wrong)


def _interpolate(at: float, x: Sequence[float], y: Sequence[float]) -> float:
    if at <= x[0] or at >= x[-1]:
        return y[0] if at <= x[0] else y[-1]
    right = next(place for place, value in enumerate(x) if value > at)
    share = (at - x[right - 1]) / (x[right] - x[right - 1])
    return y[right - 1] + share * (y[right] - y[right - 1])


def _extended(at: float, x: Sequence[float], y: Sequence[float]) -> float:
    """Linear interpolation and extrapolation; constant if all models had the same value."""
    if x[0] == x[-1]:
        return y[0]
    if at < x[0]:
        return y[0] + (at - x[0]) * (y[1] - y[0]) / (x[1] - x[0])
    if at > x[-1]:
        return y[-1] + (at - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2])
    return _interpolate(at, x, y)


@functools.cache
def _check_full_task() -> None:
    """Check, before the evaluation, that the full task has the same split and the same metric."""
    exported = parameters()
    full_task = task_settings(_base_yaml())
    split, metrics = evaluated_split(full_task), metrics_of(full_task)
    if split is not None and split != exported["split"]:
        raise ValueError(
            f"{exported['task']} evaluates split {split!r}, not {exported['split']!r}; export with split={split!r}."
        )
    if metrics and exported["metric"] not in metrics:
        raise ValueError(f"{exported['task']} has metrics {sorted(metrics)}, not {exported['metric']!r}; export again.")
    if metrics.get(exported["metric"], {}) != exported["metric_arguments"]:
        raise ValueError(
            f"{exported['task']} has other arguments of {exported['metric']!r} than this task: "
            f"{metrics[exported['metric']]}. Export again with base_yaml={_base_yaml()}, or where the harness is "
            "installed."
        )


def task_settings(path: Path) -> dict[str, Any]:
    """Read the YAML of a task and of those that it includes; functions are names with the prefix `FUNCTION`."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Plain YAML with the harness's tag of functions."""

    Loader.add_constructor("!function", lambda loader, node: f"{FUNCTION}{node.value}")
    loader = Loader(path.read_text(encoding="utf-8"))
    try:
        content: Any = loader.get_single_data()
    finally:
        loader.dispose()
    if not isinstance(content, dict):
        raise ValueError(f"a mapping is needed, found {type(content).__name__}")
    included = content.get("include")
    for name in reversed([included] if isinstance(included, str) else included or []):
        content = task_settings((path.parent / name).resolve()) | content
    return dict(content)


def evaluated_split(full_task: Mapping[str, Any]) -> str | None:
    """Return the split that a task evaluates; None if it names none."""
    split = full_task.get("test_split") or full_task.get("validation_split")
    return split if isinstance(split, str) else None


def metrics_of(full_task: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Map the metrics of a task to their arguments other than the aggregation; empty if it lists no metrics."""
    listed = full_task.get("metric_list")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return {
        str(entry.get("metric")).removeprefix(FUNCTION).rsplit(".", 1)[-1]: {
            key: value
            for key, value in entry.items()
            if key not in ("aggregation", "higher_is_better") and (key != "metric" or FUNCTION in str(value))
        }
        for entry in entries
    }


@functools.cache
def _own_process_docs() -> Callable[[Any], Any] | None:
    """Return the function of the full task that prepares its documents, which `keep` replaces."""
    path: Path | None = _base_yaml()
    while path is not None:
        text = path.read_text(encoding="utf-8")
        named = re.search(r"^process_docs:\s*!function\s+(\w[\w.]*)\.(\w+)", text, re.MULTILINE)
        if named:
            file = path.parent / f"{named[1].replace('.', '/')}.py"
            spec = importlib.util.spec_from_file_location(f"irt_bench_base_{named[1]}", file)
            if spec is None or spec.loader is None:
                raise ValueError(f"{file}, which {path} names, cannot be loaded.")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            function: Callable[[Any], Any] = getattr(module, named[2])
            return function
        included = re.search(r"^include:\s*(\S+)", text, re.MULTILINE)
        path = (path.parent / included[1].strip("'\"")).resolve() if included else None
    return None


def _base_yaml() -> Path:
    """Return the YAML of the full task: the one given at export, else that of the harness."""
    exported = parameters()
    if exported["base_yaml"]:
        return Path(exported["base_yaml"])
    import lm_eval.tasks  # type: ignore[import-not-found]

    path = yaml_of(exported["task"], Path(str(lm_eval.tasks.__file__)).parent)
    if path is None:
        raise ValueError(f"lm-evaluation-harness has no task {exported['task']!r}; export again with base_yaml=.")
    return path


def yaml_of(task: str, folder: Path) -> Path | None:
    """Find the YAML of a task by its name."""
    is_task = re.compile(rf"^task:\s*['\"]?{re.escape(task)}['\"]?\s*$", re.MULTILINE)
    return next((p for p in sorted(folder.rglob("*.yaml")) if is_task.search(p.read_text(encoding="utf-8"))), None)
