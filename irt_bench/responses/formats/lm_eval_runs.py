"""The results file of an lm-evaluation-harness run: model, checkpoint, groups of tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from irt_bench.errors import ReadError
from irt_bench.responses.formats.checkpoints import Checkpoint, checkpoint_of, revision_in
from irt_bench.responses.formats.jsonlines import Record, load_object
from irt_bench.responses.table import Finding

NAME_KEYS: Final = (
    "peft",
    "delta",
    "pretrained",
    "model",
    "path",
    "engine",
)  # of the model, in the harness's own order


@dataclass(frozen=True)
class Run:
    """What a results file says about all samples of its run."""

    model: str
    checkpoint: Checkpoint
    group_of: Mapping[str, str]
    n_samples: Mapping[str, tuple[int, int]]
    findings: tuple[Finding, ...] = ()

    def is_part(self, task: str) -> bool:
        """Whether the run is known to cover only part of a task."""
        original, effective = self.n_samples.get(task, (0, 0))
        return effective < original


def run_of(samples: Path, time: str | None) -> Run:
    """Find what is known about the run a samples file belongs to.

    Notes
    -----
    Without a results file the model is called after the folder, which the harness names after the model.
    """
    beside = sorted(samples.parent.glob(f"*_{time}.json")) if time else []
    for path in beside:
        run = _load(path, path.stat().st_mtime_ns)
        if run is not None:
            return run
    model = samples.absolute().parent.name or samples.stem
    message = f"{samples.name} has no results file beside it; the model is called {model!r} after the folder"
    return Run(model, Checkpoint(), {}, {}, (Finding("no_results_file", 1, message),))


@lru_cache(maxsize=8)  # one results file serves the samples of all its tasks
def _load(path: Path, modified_ns: int) -> Run | None:
    del modified_ns  # part of the key only
    results = load_object(path)
    if "results" not in results or "configs" not in results:
        return None
    config = results.get("config")
    config = config if isinstance(config, dict) else {}
    model_args = config.get("model_args")
    revision = revision_in(model_args) or config.get("model_revision")
    return Run(
        model=_model_name(results, model_args, path),
        checkpoint=checkpoint_of(revision),
        group_of=_groups(results.get("group_subtasks")),
        n_samples=_n_samples(results.get("n-samples")),
    )


def _model_name(results: Record, model_args: object, path: Path) -> str:
    if results.get("model_name"):
        return str(results["model_name"])
    for key in NAME_KEYS:
        if isinstance(model_args, dict) and model_args.get(key):
            return str(model_args[key])
        if isinstance(model_args, str) and (match := re.search(rf"(?:^|,){key}=([^,]+)", model_args)):
            return match[1]
    if not path.absolute().parent.name:
        raise ReadError(f"{path} does not say which model was run; put it in a folder named after the model.")
    return path.absolute().parent.name


def _groups(subtasks: object) -> dict[str, str]:
    """Path of groups, outermost first, of each task in a mapping of groups to members."""
    if not isinstance(subtasks, dict):
        return {}
    parent: dict[str, str] = {}
    for group, members in subtasks.items():
        for member in members if isinstance(members, list) else []:
            parent.setdefault(str(member), str(group))
    out = {}
    for task in parent:
        path: list[str] = []
        group = parent.get(task)
        while group is not None and group not in path:
            path.insert(0, group)
            group = parent.get(group)
        out[task] = "/".join(path)
    return out


def _n_samples(counts: object) -> dict[str, tuple[int, int]]:
    if not isinstance(counts, dict):
        return {}
    return {
        str(task): (int(n["original"]), int(n["effective"]))
        for task, n in counts.items()
        if isinstance(n, dict) and isinstance(n.get("original"), int) and isinstance(n.get("effective"), int)
    }


__all__ = ["Run", "run_of"]
