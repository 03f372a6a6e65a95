"""Subset → files for evaluation harnesses and adaptive testers, each with what to do next.

SubsetRecord → Inspect AI: a run configuration, or the text of ``--sample-id``.

Inspect matches ids as file name patterns, so ``* ? [`` in an id would match others and are escaped.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import yaml

from irt_bench.errors import SubsetError, unknown_choice
from irt_bench.files import FOLDER_MARKER, replacing, replacing_folder, write_csv, write_json
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.harness import export_lm_eval
from irt_bench.subsets.subset import SubsetRecord

MODEL: Final = "PROVIDER/MODEL"
SPECIAL: Final = {character: f"[{character}]" for character in "[*?"}
MAX_ARGUMENT_BYTES: Final = 120_000  # the operating system takes 128 KiB


def sample_ids(subset: SubsetRecord) -> list[str]:
    """Ids as patterns that match themselves only."""
    return [id_pattern(item.id) for item in subset.items]


def id_pattern(label: str) -> str:
    """Escape what `fnmatch` would take as a pattern."""
    return "".join(SPECIAL.get(character, character) for character in label)


def run_config(subset: SubsetRecord, *, task: str | None = None, model: str = MODEL) -> str:
    """YAML for ``inspect eval --run-config``.

    Parameters
    ----------
    subset : SubsetRecord
        Whose item ids are sample ids.
    task : str, optional
        Task as Inspect names it (``file.py@task``); by default the benchmark's name.
    model : str
        Model as Inspect names it.
    """
    content = {"task": task or subset.benchmark, "model": model, "eval_config": {"sample_id": sample_ids(subset)}}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def run_command(path: Path) -> str:
    """Command that runs the configuration."""
    return f"inspect eval --run-config {shlex.quote(str(path))}"


def sample_id_text(subset: SubsetRecord) -> str:
    """Text for ``--sample-id``.

    Raises
    ------
    SubsetError
        If an id holds a comma, at which the command line splits, or the text is too long for it.
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
    """What some exports need beside the subset.

    Parameters
    ----------
    metric : str, optional
        lm-eval task folder: the metric that the subset was calibrated on, where the subset does not name it.
    split : str, optional
        lm-eval task folder: the split that is evaluated; by default what the full task says, else "test".
    base_yaml : Path, optional
        lm-eval task folder: YAML of the full task; by default that of the installed harness.
    task, model : str, optional
        Inspect: as it names them.
    responses : ResponseCounts, optional
        py-irt: the calibration responses.
    safe_csv : bool
        CSV: whether ids that a spreadsheet would run as a formula get a ' in front.
    """

    metric: str | None = None
    split: str | None = None
    base_yaml: Path | None = None
    task: str | None = None
    model: str = MODEL
    responses: ResponseCounts | None = None
    safe_csv: bool = False


def export_subset(subset: SubsetRecord, to: str, path: Path, options: ExportOptions | None = None) -> str:
    """Write a subset for another tool, whole or not at all.

    Parameters
    ----------
    subset : SubsetRecord
        What to write.
    to : str
        Name in `EXPORTS`.
    path : Path
        File, or folder for "lm-eval-task".
    options : ExportOptions, optional
        What some exports need.

    Returns
    -------
    str
        What to do with it: mostly a command.

    Raises
    ------
    SubsetError
        If the target is not known, or the subset lacks what it needs.
    """
    if to not in EXPORTS:
        raise SubsetError(unknown_choice("export", to, EXPORTS))
    return EXPORTS[to](subset, path, options or ExportOptions())


def parameter_table(subset: SubsetRecord) -> pd.DataFrame:
    """Item parameters, indexed by item: ``a, b``, and ``c, d`` where an item has asymptotes.

    Notes
    -----
    The order of the columns is that of catsim's item banks; Fluid Benchmarking reads the index and ``a, b``.
    """
    rows = [[item.discrimination, item.difficulty, item.guessing, item.upper_asymptote] for item in subset.items]
    table = pd.DataFrame(rows, columns=["a", "b", "c", "d"], index=pd.Index(subset.ids, name="item", dtype="str"))
    plain = (table["c"] == 0).all() and (table["d"] == 1).all()
    return table[["a", "b"]] if plain else table


def item_table(subset: SubsetRecord) -> pd.DataFrame:
    """Items with all that identifies them, one row each, for any other harness."""
    columns = ("id", "subtask", "doc_id", "doc_hash", "prompt_hash", "metric", "filter", "weight")
    table = pd.DataFrame([[getattr(item, name) for name in columns] for item in subset.items], columns=list(columns))
    return table.astype({"doc_id": "Int64"}).rename(columns={"id": "item"})


def _to_samples(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    del options
    text, command = export_lm_eval.samples_json(subset), export_lm_eval.samples_command(subset, path)
    _write_text(path, text)
    _write_text(path.with_name(f"{path.name}.command.txt"), command + "\n")
    return command


def _to_task(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    command = export_lm_eval.task_command(subset, path)
    with replacing_folder(path) as folder:
        export_lm_eval.write_task_folder(
            subset, folder, metric=options.metric, split=options.split, base_yaml=options.base_yaml
        )
        command += f"\n# the estimate is {export_lm_eval.result_key(subset, options.metric)!r} in its results"
        (folder / "command.txt").write_text(command + "\n", encoding="utf-8")
        write_json(folder / FOLDER_MARKER, {"subset": subset.digest(), "task": export_lm_eval.task_name(subset)})
    return command


def _to_inspect(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    if path.suffix == ".txt":
        _write_text(path, sample_id_text(subset) + "\n")
        return f'inspect eval TASK --model MODEL --sample-id "$(cat {path})"'
    _write_text(path, run_config(subset, task=options.task, model=options.model))
    return run_command(path)


def _to_py_irt(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    """Write answers of the calibration models: the format holds answers, not parameters."""
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
        raise SubsetError("py-irt reads one right or wrong answer a model and item; these are scores or repeats.")
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
    with replacing(path) as beside:
        write_csv(parameter_table(subset), beside, safe=options.safe_csv)
    return f"pandas.read_csv({str(path)!r}, index_col=0)  # logit P = a (ability - b)"


def _to_ids(subset: SubsetRecord, path: Path, options: ExportOptions) -> str:
    if path.suffix.lower() not in ID_SUFFIXES:
        raise SubsetError(f"{path.name} must end in one of {', '.join(ID_SUFFIXES)}, to say which to write.")
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
    "inspect": _to_inspect,
    "py-irt": _to_py_irt,
    "params": _to_parameters,
    "ids": _to_ids,
}
