"""Export of subsets to evaluation harnesses and adaptive testing programs, with the command to run next.

Inspect AI reads a run configuration, or the text of ``--sample-id``. It matches ids as file name patterns, so ``* ? [``
in an id are escaped.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import xarray as xr
import yaml

from irt_bench.errors import SubsetError, unknown_choice
from irt_bench.files import FOLDER_MARKER, replacing, replacing_folder, write_csv, write_json
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.harness import export_tasks
from irt_bench.subsets.harness.export_tasks import AdaptiveRules
from irt_bench.subsets.subset import SubsetRecord

MODEL: Final = "PROVIDER/MODEL"
SPECIAL: Final = {character: f"[{character}]" for character in "[*?"}
MAX_ARGUMENT_BYTES: Final = 120_000  # operating systems accept 128 KiB


def sample_ids(subset: SubsetRecord) -> list[str]:
    """Ids as patterns that match only themselves."""
    return [id_pattern(item.id) for item in subset.items]


def id_pattern(label: str) -> str:
    """Escape the characters that `fnmatch` treats as patterns."""
    return "".join(SPECIAL.get(character, character) for character in label)


def run_config(subset: SubsetRecord, *, task: str | None = None, model: str = MODEL) -> str:
    """YAML for ``inspect eval --run-config``; by default the task has the name of the benchmark."""
    content = {"task": task or subset.benchmark, "model": model, "eval_config": {"sample_id": sample_ids(subset)}}
    read = calibrated_on(subset)
    return (f"# {read}\n" if read else "") + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def calibrated_on(subset: SubsetRecord) -> str:
    """Say by which metric and filter the subset was calibrated; empty where neither is known."""
    known = {"metric": subset.metrics, "filter": subset.filters}
    parts = [f"{name} {', '.join(map(repr, values))}" for name, values in known.items() if values]
    return f"calibrated on {' and '.join(parts)}; score reads the logs by the same" if parts else ""


def run_command(path: Path) -> str:
    """Return the command that runs the configuration."""
    return f"inspect eval --run-config {shlex.quote(str(path))}"


def sample_id_text(subset: SubsetRecord) -> str:
    """Text for ``--sample-id``.

    Raises
    ------
    SubsetError
        If an id contains a comma, which separates ids on the command line, or the text is too long.
    """
    ids = sample_ids(subset)
    for label in ids:
        if "," in label:
            raise SubsetError(f"item {label!r} holds a comma, at which --sample-id splits; use the run configuration.")
    text = ",".join(ids)
    if len(text.encode()) > MAX_ARGUMENT_BYTES:
        raise SubsetError(f"{len(ids)} ids are too long for one argument; use the run configuration.")
    return text


ID_SUFFIXES: Final = (".txt", ".csv", ".parquet")


@dataclass(frozen=True)
class ExportOptions:
    """Options of some exports, as the parameters of `irt_bench.Subset.export`; `posterior` is that of its fit."""

    metric: str | None = None
    split: str | None = None
    base_yaml: Path | None = None
    task: str | None = None
    model: str = MODEL
    responses: ResponseCounts | None = None
    safe_csv: bool = False
    rules: AdaptiveRules = AdaptiveRules()
    posterior: xr.Dataset | None = None


def export_subset(subset: SubsetRecord, to: str, path: Path, options: ExportOptions | None = None) -> str:
    """Write a subset for another program, complete or not at all; see `irt_bench.Subset.export`.

    Raises
    ------
    SubsetError
        If `to` is unknown, or the subset lacks information that the program needs.
    """
    if to not in EXPORTS:
        raise SubsetError(unknown_choice("export", to, EXPORTS))
    return EXPORTS[to](subset, path, options or ExportOptions())


def parameter_table(subset: SubsetRecord) -> pd.DataFrame:
    """Item parameters, indexed by item: ``a, b``; also ``c, d`` if an item has asymptotes.

    Notes
    -----
    The columns are in the order of catsim's item banks. Fluid Benchmarking reads the index and ``a, b``.
    """
    rows = [[item.discrimination, item.difficulty, item.guessing, item.upper_asymptote] for item in subset.items]
    table = pd.DataFrame(rows, columns=["a", "b", "c", "d"], index=pd.Index(subset.ids, name="item", dtype="str"))
    plain = (table["c"] == 0).all() and (table["d"] == 1).all()
    return table[["a", "b"]] if plain else table


def item_table(subset: SubsetRecord) -> pd.DataFrame:
    """Items with their identifiers and weights, one row per item, for any other harness."""
    columns = ("id", "subtask", "doc_id", "doc_hash", "prompt_hash", "metric", "filter", "weight")
    table = pd.DataFrame([[getattr(item, name) for name in columns] for item in subset.items], columns=list(columns))
    return table.astype({"doc_id": "Int64"}).rename(columns={"id": "item"})


def _to_samples(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    del options
    text, command = export_tasks.samples_json(subset), export_tasks.samples_command(subset, path)
    _write_text(path, text)
    read = calibrated_on(subset)
    command += f"\n# {read}" if read else ""
    _write_text(path.with_name(f"{path.name}.command.txt"), command + "\n")
    return command


def _to_task(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    command = export_tasks.task_command(subset, path)
    with replacing_folder(path) as folder:
        export_tasks.write_task_folder(
            subset, folder, metric=options.metric, split=options.split, base_yaml=options.base_yaml
        )
        command += f"\n# the estimate is {export_tasks.result_key(subset, options.metric)!r} in its results"
        (folder / "command.txt").write_text(command + "\n", encoding="utf-8")
        write_json(folder / FOLDER_MARKER, {"subset": subset.digest(), "task": export_tasks.task_name(subset)})
    return command


def _to_inspect(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    if path.suffix == ".txt":
        _write_text(path, sample_id_text(subset) + "\n")
        return f'inspect eval TASK --model MODEL --sample-id "$(cat {path})"'
    _write_text(path, run_config(subset, task=options.task, model=options.model))
    given = {"task": options.task is not None, "model": options.model != MODEL}
    missing = " and ".join(name for name, known in given.items() if not known)
    return (f"# first set {missing} in {path}\n" if missing else "") + run_command(path)


def _to_inspect_adaptive(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    content = export_tasks.live_content(subset, options.rules, options.posterior)
    with replacing_folder(path) as folder:
        export_tasks.write_task(content, folder, options.task)
        write_json(folder / FOLDER_MARKER, {"subset": subset.digest(), "task": options.task})
    task = shlex.quote(f"{path / export_tasks.TASK_FILE}@{export_tasks.TASK_NAME}")
    return f"inspect eval {task} --model {options.model} --max-samples {subset.size}"


def _to_round(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    content = export_tasks.live_content(subset, options.rules, options.posterior)
    test, chosen = export_tasks.next_round(content, options.responses)
    said = f"# {export_tasks.progress_of(test)}"
    if not chosen:
        return said
    asked = subset.model_copy(update={"items": tuple(item for item in subset.items if item.id in set(chosen))})
    _write_text(path, export_tasks.samples_json(asked))
    return f"{said}\n{export_tasks.samples_command(asked, path)}"


def _to_py_irt(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    """Write the answers of the calibration models: the format has no parameters."""
    counts = options.responses
    if counts is None:
        raise SubsetError("py-irt reads answers, not parameters: give the calibration responses: responses=....")
    places = counts.items.index.astype("str").get_indexer(pd.Index(subset.ids, dtype="str"))
    if (places < 0).any():
        lacking = subset.ids[int((places < 0).argmax())]
        raise SubsetError(
            f"item {lacking!r} is not among the {counts.n_items} of the responses; give the calibration's."
        )
    if counts.measure != "correct" or counts.trials.max(initial=0) > 1:
        raise SubsetError("py-irt reads one right or wrong answer per model and item; these are scores or repeats.")
    lines = []
    for row, model in enumerate(counts.models.index):
        answers = {
            label: int(counts.correct[row, place])
            for label, place in zip(subset.ids, places, strict=True)
            if counts.trials[row, place]
        }
        lines.append(json.dumps({"subject_id": str(model), "responses": answers}, ensure_ascii=False) + "\n")
    _write_text(path, "".join(lines))
    return f"py-irt train 2pl {path} OUT"


def _to_parameters(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    if path.suffix.lower() != ".csv":
        raise SubsetError(f"{path.name} would be a CSV file; its name must end in .csv.")
    with replacing(path) as beside:
        write_csv(parameter_table(subset), beside, safe=options.safe_csv)
    return f"pandas.read_csv({str(path)!r}, index_col=0)  # logit P = a (ability - b)"


def _to_ids(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    if path.suffix.lower() not in ID_SUFFIXES:
        raise SubsetError(f"{path.name} has no known format; its name must end in one of {', '.join(ID_SUFFIXES)}.")
    with replacing(path) as beside:
        if path.suffix.lower() == ".txt":
            _refuse_line_breaks(subset)
            beside.write_text("".join(f"{label}\n" for label in subset.ids), encoding="utf-8")
        elif path.suffix.lower() == ".csv":
            write_csv(item_table(subset), beside, safe=options.safe_csv, index=False)
        else:
            item_table(subset).to_parquet(beside, index=False)
    return f"irt-bench score LOGS --subset SUBSET.json  # after a run on these {subset.size} items"


def _refuse_line_breaks(subset: SubsetRecord) -> None:
    for label in subset.ids:
        if len(label.splitlines()) != 1:
            raise SubsetError(f"item {label!r} holds a line break; write .csv or .parquet instead.")


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


EXPORTS: Final[Mapping[str, Callable[[SubsetRecord, Path, ExportOptions], str]]] = {
    "lm-eval": _to_samples,
    "lm-eval-task": _to_task,
    "lm-eval-round": _to_round,
    "inspect": _to_inspect,
    "inspect-adaptive": _to_inspect_adaptive,
    "py-irt": _to_py_irt,
    "params": _to_parameters,
    "ids": _to_ids,
}
