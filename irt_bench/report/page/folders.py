"""Folders that commands wrote: recognised by their files, and read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from irt_bench.errors import ReadError
from irt_bench.responses.formats.jsonlines import parse_json

SUMMARY: Final = "summary.json"
CHAPTERS, CHAPTER = "benchmarks", "benchmark.json"  # folder of folders of one benchmark each, and what each is
NOTES: Final = "notes.json"  # what a page of responses leaves out, and why
FIT, ITEMS, COMPARISON, VARIANCE = "fit", "items", "comparison", "variance"
SUBSETS, STUDY, CHECKS = "subsets", "study", "checks"
SCORES, RECIPES = "scores", "recipes"


class ResultKind(NamedTuple):
    """Files of a command: required tables with columns that identify them, and other files."""

    tables: Mapping[str, tuple[str, ...]]
    files: tuple[str, ...]
    optional: tuple[str, ...]
    command: str


KINDS: Final[dict[str, ResultKind]] = {
    FIT: ResultKind(
        {
            "abilities.csv": ("model", "ability", "rank", "p_first_abler"),
            "items.csv": ("item", "difficulty", "discrimination_sd"),
        },
        ("fit.nc",),
        ("observed.csv",),
        "irt-bench fit",
    ),
    COMPARISON: ResultKind(
        {"models.csv": ("model", "rank_by_ability", "p_first_abler"), "discordant.csv": ("higher_ability",)},
        (SUMMARY,),
        ("items.csv",),
        "irt-bench compare",
    ),
    VARIANCE: ResultKind(
        {
            "metrics.csv": ("benchmark", "run", "seed_sd"),
            "pooled.csv": ("benchmark", "seed_sd"),
            "components.csv": ("component", "estimate"),
            "curve.csv": ("k", "predicted_sd"),
        },
        (SUMMARY,),
        ("detectable.csv", "measures.csv", "needed.csv", "scores.csv", "coefficients.csv"),
        "irt-bench variance",
    ),
    STUDY: ResultKind(
        {"results.csv": ("benchmark", "method", "size", "seed_sd", "ratio_full", "verdict")},
        (SUMMARY,),
        ("cures.csv", "paths.csv", "transfer.csv", "control.csv", "cures_control.csv", "paper.csv", "detectable.csv"),
        "irt-bench study",
    ),
    SUBSETS: ResultKind(
        {"comparison.csv": ("size", "method", "weights", "estimator", "mae", "random_q05")},
        (SUMMARY,),
        (),
        "irt-bench subset",
    ),
    CHECKS: ResultKind(
        {"checks.csv": ("name", "status", "message")},
        (SUMMARY,),
        ("items.csv", "models.csv", "pairs.csv"),
        "irt-bench check",
    ),
    SCORES: ResultKind(
        {"models.csv": ("benchmark", "model", "score", "score_se")}, (SUMMARY,), ("pairs.csv",), "irt-bench scores"
    ),
    RECIPES: ResultKind(
        {"recipes.csv": ("task", "difference", "p_holm", "verdict")}, (SUMMARY,), (), "irt-bench variance"
    ),
    ITEMS: ResultKind({}, (), (), "irt-bench items"),
}
MAX_HEADER: Final = 2**16  # characters of the first line of a table
MAX_TABLE_BYTES: Final = 2**28  # a table of a million items has 150 MB
MAX_SUMMARY_BYTES: Final = 2**26
MAX_FOLDERS: Final = 10_000  # in a folder of folders
ITEM_COLUMNS: Final = ("item", "proportion_correct", "item_rest_correlation", "flags")
ITEM_FILES: Final = ("items.csv", "item_statistics.csv")
LABELS: Final = frozenset(
    (
        *("model", "item", "benchmark", "subtask", "run", "seed", "step", "component", "design", "measure", "method"),
        *(
            "weights",
            "estimator",
            "verdict",
            "verdict_signal",
            "verdict_plain",
            "verdict_full",
            "flags",
            "misfits",
            "partner",
            "name",
            "status",
        ),
        *(
            "task",
            "a",
            "b",
            "message",
            "source",
            "higher_ability",
            "higher_accuracy",
            "item_a",
            "item_b",
            "group",
            "shuffled_within",
        ),
    )
)


@dataclass(frozen=True)
class ResultFolder:
    """Results of one command: tables by file name without ending, the summary, and the path."""

    kind: str
    path: Path
    tables: Mapping[str, pd.DataFrame] = field(repr=False)
    summary: Mapping[str, Any] = field(repr=False)
    kept: bool = True

    @property
    def place(self) -> str:
        """Last two parts of the path, as the rest is private and pages are sent to others; "" of what is not kept."""
        return "/".join(self.path.parts[-2:]) if self.kept else ""

    def file(self, name: str) -> str:
        """Place of a file of the folder."""
        return f"{self.place}/{name}" if self.kept else ""

    def __getitem__(self, name: str) -> pd.DataFrame:
        """Table of this name; empty if the command did not write it."""
        return self.tables.get(name, pd.DataFrame())


def read_folders(paths: Iterable[Path], *, kept: bool = True) -> dict[str, ResultFolder]:
    """Read the results of commands.

    Parameters
    ----------
    paths : iterable of Path
        Folders that commands wrote, files of item statistics, or folders that contain some of these.
    kept : bool
        Whether the folders stay, so that the page may name them.

    Returns
    -------
    dict
        Kind → results, as in `KINDS`.

    Raises
    ------
    ReadError
        If a path is none of these, two are of one kind, or a file is broken.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for kind, place in _recognise(path):
            if found.get(kind, place) != place:
                raise ReadError(
                    f"two results of kind {kind!r} were given, {found[kind]} and {place}; a page shows only one."
                )
            found[kind] = place
    return {kind: replace(_read_part(kind, found[kind]), kept=kept) for kind in KINDS if kind in found}


@dataclass(frozen=True)
class Chapter:
    """Results on one of several benchmarks.

    Parameters
    ----------
    benchmark : str
        Its name.
    parts : dict
        Kind → results.
    notes : tuple of str
        Why something is missing.
    """

    benchmark: str
    parts: Mapping[str, ResultFolder]
    notes: tuple[str, ...] = ()


def read_chapters(paths: Iterable[Path], *, kept: bool = True) -> list[Chapter]:
    """Read the results on single benchmarks that a folder of several has, in their order."""
    found = []
    for path in paths:
        folders = sorted((path / CHAPTERS).iterdir()) if (path / CHAPTERS).is_dir() else []
        for folder in folders[:MAX_FOLDERS]:
            about = _read_summary(folder / CHAPTER)
            if about:
                parts = read_folders([folder], kept=kept) if any(_recognise_in(folder)) else {}
                notes = tuple(str(note) for note in about.get("notes", []))
                found.append(
                    (int(about.get("place", 0)), Chapter(str(about.get("benchmark", folder.name)), parts, notes))
                )
    return [chapter for _, chapter in sorted(found, key=lambda pair: pair[0])]


def read_notes(paths: Iterable[Path]) -> list[str]:
    """Read why something is missing on a page of responses."""
    return [str(note) for path in paths for note in _read_summary(path / NOTES).get("notes", [])]


def are_results(paths: Iterable[Path]) -> bool:
    """Whether every path holds results of commands, readable or not."""
    try:
        return all(_recognise(path) for path in paths)
    except ReadError:
        return False


def _recognise(path: Path) -> list[tuple[str, Path]]:
    """Kinds of results at a path and in the folders that it contains."""
    if not path.exists():
        raise ReadError(f"{path} does not exist. Give folders that irt-bench commands wrote.")
    own = _recognise_in(path)
    if not own and not any(path.glob(f"{CHAPTERS}/*/{CHAPTER}")):
        commands = ", ".join(dict.fromkeys(kind.command.split()[1] for kind in KINDS.values()))
        raise ReadError(
            f"{path} contains no results for a report. Give what these commands wrote: irt-bench {commands} "
            "(subset where it compares)."
        )
    return own


def _recognise_in(path: Path) -> list[tuple[str, Path]]:
    own = _kinds_at(path)
    if path.is_dir():
        folders = sorted(islice((each for each in path.iterdir() if each.is_dir()), MAX_FOLDERS + 1))
        if len(folders) > MAX_FOLDERS:
            raise ReadError(f"{path} contains more than {MAX_FOLDERS:,} folders. Give those that commands wrote.")
        inner = [each for folder in folders for each in _kinds_at(folder)]
        own += [(kind, place) for kind, place in inner if kind not in dict(own)]
    return own


def _kinds_at(path: Path) -> list[tuple[str, Path]]:
    if path.is_file():
        return [(ITEMS, path)] if _has_columns(path, ITEM_COLUMNS) else []
    kinds = [(ITEMS, path / name) for name in ITEM_FILES if _has_columns(path / name, ITEM_COLUMNS)][:1]
    for name, kind in KINDS.items():
        whole = all((path / file).is_file() for file in kind.files)
        if kind.tables and whole and all(_has_columns(path / file, need) for file, need in kind.tables.items()):
            kinds.append((name, path))
    return kinds


def _has_columns(path: Path, needed: tuple[str, ...]) -> bool:
    if path.suffix != ".csv" or not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8") as lines:
            return set(needed) <= set(lines.readline(MAX_HEADER).strip().split(","))
    except (OSError, UnicodeDecodeError):
        return False


def _read_part(kind: str, path: Path) -> ResultFolder:
    if kind == ITEMS:
        return ResultFolder(kind, path, {"items": _read_table(path)}, {})
    files = [*KINDS[kind].tables, *(name for name in KINDS[kind].optional if (path / name).is_file())]
    tables = {name.removesuffix(".csv"): _read_table(path / name) for name in files}
    return ResultFolder(kind, path, tables, _read_summary(path / SUMMARY))


def _read_table(path: Path) -> pd.DataFrame:
    """Read a table; labels are always text, and only empty cells are missing."""
    _check_size(path, MAX_TABLE_BYTES)
    try:
        columns = pd.read_csv(path, nrows=0, encoding="utf-8").columns
        labels = {name: str for name in columns if name in LABELS}
        frame = pd.read_csv(path, dtype=labels, keep_default_na=False, na_values=[""], encoding="utf-8")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise ReadError(f"{path} cannot be read as a table: {error}. Write it again.") from error
    return frame.fillna(dict.fromkeys(labels, ""))


def _check_size(path: Path, most: int) -> None:
    if path.stat().st_size > most:
        raise ReadError(f"{path} has {path.stat().st_size:,} bytes; a page shows up to {most:,}. Leave it out.")


def _read_summary(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    _check_size(path, MAX_SUMMARY_BYTES)
    try:
        content = parse_json(path.read_bytes())  # of bounded depth and number of values
    except (OSError, ValueError) as error:
        raise ReadError(f"{path} cannot be read as JSON: {error}. Write it again.") from error
    return content if isinstance(content, dict) else {}
