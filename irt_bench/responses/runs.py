"""Runs, seeds and checkpoints of models: from names and paths, a table of models, or the logs; and repeated runs.

An evaluation harness knows the name of a model, and rarely how it was trained. What it does not know is found by
regular expressions in names and paths, or joined from a table with one row per model.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import ReadError, ResponsesWarning
from irt_bench.responses.columns import rename_aliases
from irt_bench.responses.formats.format import MAX_DIGITS, ParsedFile
from irt_bench.responses.formats.tables import is_table, read_columns
from irt_bench.responses.labels import codes_of, values_at
from irt_bench.responses.table import MEASURE_COLUMNS, REVISION, Finding, listed

FROM: Final = {names.RUN: "run_from", names.SEED: "seed_from", names.STEP: "step_from"}
NOT_OF_MODELS: Final = (names.BENCHMARK, names.ITEM, names.TRIAL, *MEASURE_COLUMNS)
SAME_RUN: Final = (names.BENCHMARK, names.MODEL, names.RUN, REVISION, names.SEED, names.STEP)
SEPARATORS: Final = " -_./"
MAX_MATCHED: Final = 5_000  # characters of a name or path that are searched


@dataclass(frozen=True)
class RunOptions:
    """How runs, seeds and checkpoints of models are found; see `read_responses`."""

    run_from: str | None = None
    seed_from: str | None = None
    step_from: str | None = None
    models_table: str | Path | pd.DataFrame | None = None
    all_runs: bool = False


Readings = Sequence[tuple[Path, ParsedFile]]


def with_runs(readings: Readings, options: RunOptions) -> tuple[list[ParsedFile], list[Finding]]:
    """Add the columns of models that `options` ask for, and keep the newest of repeated runs.

    Raises
    ------
    ReadError
        If a regular expression is none, or nothing matches it, or the table of models cannot be joined.
    """
    patterns = {
        column: _compiled(name, pattern)
        for column, name in FROM.items()
        if (pattern := getattr(options, name)) is not None
    }
    table = None if options.models_table is None else _models(options.models_table)
    parsed = _with_harness_seeds([reading for _, reading in readings])
    findings: list[Finding] = []
    if patterns:
        parsed = _with_matches(list(zip((path for path, _ in readings), parsed, strict=True)), patterns, findings)
    if table is not None:
        parsed = _joined(parsed, table, findings)
    return _newest(parsed, findings, all_runs=options.all_runs), findings


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ReadError(f"{name} is {pattern!r}, which is no regular expression: {error}.") from error


def _with_matches(
    readings: Readings, patterns: Mapping[str, re.Pattern[str]], findings: list[Finding]
) -> list[ParsedFile]:
    """Add run, seed and step as matched in the names of models, or else in the paths of their files."""
    out = []
    unmatched: dict[str, dict[str, None]] = {column: {} for column in patterns}
    n_models: dict[str, None] = {}
    for path, reading in readings:
        codes, distinct = codes_of(reading.frame[names.MODEL])
        models = [str(label) for label in distinct]
        n_models |= dict.fromkeys(models)
        columns = {}
        for column, pattern in patterns.items():
            found = [_matched(pattern, model, str(path)) for model in models]
            unmatched[column] |= {model: None for model, text in zip(models, found, strict=True) if text is None}
            columns[column] = found
        if names.RUN not in patterns and names.RUN not in reading.frame:
            columns[names.RUN] = [_without(model, patterns.values()) for model in models]
        frame = reading.frame.assign(
            **{column: values_at(_numbers(found), np.asarray(codes)) for column, found in columns.items()}
        )
        out.append(replace(reading, frame=frame))
    for column, missing in unmatched.items():
        if len(missing) == len(n_models):
            raise ReadError(
                f"{FROM[column]}={patterns[column].pattern!r} matches no name and no path of the {len(n_models)} "
                f"models; first: {next(iter(missing))!r} in {readings[0][0]}."
            )
        if missing:
            message = f"{FROM[column]} matches neither name nor path of {len(missing)} models, which have no {column}"
            findings.append(Finding(f"no_{column}", len(missing), f"{message}; first: {listed(missing)}"))
    return out


def _matched(pattern: re.Pattern[str], model: str, path: str) -> str | None:
    """First group that took part, or the whole match, in a name or else in a path."""
    match = pattern.search(model[:MAX_MATCHED]) or pattern.search(path[-MAX_MATCHED:])
    if match is None:
        return None
    return next((group for group in match.groups() if group is not None), match[0])


def _without(model: str, patterns: Iterable[re.Pattern[str]]) -> str:
    """Name of a model without its seed and step, which names the run."""
    rest = model
    for pattern in patterns:
        match = pattern.search(rest[:MAX_MATCHED])
        if match is not None:
            left, right = rest[: match.start()].rstrip(SEPARATORS), rest[match.end() :].lstrip(SEPARATORS)
            rest = f"{left}-{right}" if left and right else left or right
    return rest or model


def _numbers(found: Sequence[str | None]) -> pd.Index:
    """Whole numbers where all that were found are, else texts."""
    known = [text for text in found if text is not None]
    if known and all(text.isdecimal() and len(text) < MAX_DIGITS for text in known):
        return pd.Index(pd.array([None if text is None else int(text) for text in found], dtype="Int64"))
    return pd.Index(found, dtype=object)


def _models(given: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Read a table with one row per model, indexed by the model."""
    if isinstance(given, pd.DataFrame):
        frame, where = given.reset_index() if given.index.name is not None else given, "models_table"
    else:
        path = Path(given)
        if not path.is_file():
            raise ReadError(f"models_table is {str(given)!r}, which is no file.")
        if not is_table(path):
            raise ReadError(f"models_table is {path.name!r}; a .csv or .parquet file is needed.")
        frame, where = pd.DataFrame(read_columns(path)[0]), f"models_table {path.name!r}"
    frame = frame.rename(columns=rename_aliases(frame.columns))
    if names.MODEL not in frame:
        raise ReadError(f"{where} has no column 'model' among: {', '.join(map(str, frame.columns[:8]))}.")
    wrong = [name for name in NOT_OF_MODELS if name in frame]
    if wrong or len(frame.columns) == 1:
        what = f"has a column {wrong[0]!r}, which does not describe models" if wrong else "has no further column"
        raise ReadError(f"{where} {what}; columns such as run, seed, step, family or size are needed.")
    models = frame[names.MODEL].astype("str")
    if models.duplicated().any():
        raise ReadError(f"{where} names model {models[models.duplicated()].iloc[0]!r} twice; one row each is needed.")
    return frame.drop(columns=names.MODEL).set_axis(pd.Index(models, dtype="str"), axis=0)


def _joined(parsed: Sequence[ParsedFile], table: pd.DataFrame, findings: list[Finding]) -> list[ParsedFile]:
    """Add the columns of a table of models; they replace values that logs have."""
    out = []
    missing: dict[str, None] = {}
    known: set[str] = set()
    for reading in parsed:
        codes, distinct = codes_of(reading.frame[names.MODEL])
        places = table.index.get_indexer(pd.Index([str(label) for label in distinct], dtype="str"))
        missing |= {str(label): None for label, place in zip(distinct, places, strict=True) if place < 0}
        known |= {str(label) for label, place in zip(distinct, places, strict=True) if place >= 0}
        at = np.append(places, -1)[codes]
        frame = reading.frame
        for column in table.columns:
            values = values_at(pd.Index(_numeric(table[column])), at)
            given = frame[column].reset_index(drop=True) if column in frame else None
            if given is not None:
                values = values.astype(object).where(values.notna(), given.astype(object)).infer_objects()
            frame = frame.assign(**{str(column): values.to_numpy() if values.dtype == object else values.array})
        out.append(replace(reading, frame=frame))
    if not known:
        raise ReadError(
            f"none of the {len(missing)} models is in models_table; first: {next(iter(missing))!r} in the responses, "
            f"{table.index[0]!r} in the table."
        )
    if missing:
        message = f"{len(missing)} models are not in models_table; first: {listed(missing)}"
        findings.append(Finding("not_in_models_table", len(missing), message))
    return out


def _numeric(values: pd.Series) -> pd.Series:
    """Numbers where all texts of a CSV column are numbers."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return values
    numbers = pd.to_numeric(values.astype("str").where(values.notna()), errors="coerce")
    if numbers.notna().sum() < values.notna().sum():
        return values.astype("str").where(values.notna())
    whole = (numbers.dropna() % 1 == 0).all()
    return numbers.astype("Int64") if whole else numbers


def _with_harness_seeds(parsed: Sequence[ParsedFile]) -> list[ParsedFile]:
    """Add the seed of the harness for models that were run with several on one benchmark."""
    runs: dict[tuple[object, ...], list[int]] = {}
    for place, reading in enumerate(parsed):
        if reading.seeds and names.SEED not in reading.frame and len(reading.frame):
            runs.setdefault(_key(reading.frame, SAME_RUN[1:]), []).append(place)
    out = list(parsed)
    for places in runs.values():
        benchmarks = pd.Series([str(parsed[place].frame[names.BENCHMARK].iloc[0]) for place in places])
        if benchmarks.is_unique:
            continue
        by_key = {key: pd.Series([parsed[place].seeds.get(key) for place in places]) for key in parsed[places[0]].seeds}
        n_seeds = {key: int(seeds.groupby(benchmarks).nunique().max()) for key, seeds in by_key.items()}
        key = max(n_seeds, key=lambda each: n_seeds[each])  # the first of equals
        if n_seeds[key] > 1:
            for place, seed in zip(places, by_key[key], strict=True):
                out[place] = replace(parsed[place], frame=parsed[place].frame.assign(**{names.SEED: seed}))
    return out


def _key(frame: pd.DataFrame, columns: Iterable[str]) -> tuple[object, ...]:
    """Values of the first row, missing ones as None."""
    first = {name: frame[name].iloc[0] if name in frame else None for name in columns}
    return tuple(None if value is None or pd.isna(value) else str(value) for value in first.values())


def _newest(parsed: list[ParsedFile], findings: list[Finding], *, all_runs: bool) -> list[ParsedFile]:
    """Where files with a time hold runs of one model on one benchmark, keep the newest answer to each item, or all."""
    runs: dict[tuple[object, ...], list[int]] = {}
    for place, reading in enumerate(parsed):
        if reading.time and len(reading.frame):
            runs.setdefault(_key(reading.frame, SAME_RUN), []).append(place)
    out = list(parsed)
    messages = []
    for (benchmark, model, *_), places in runs.items():
        if len({parsed[place].time for place in places}) == 1:
            continue
        order = sorted(places, key=lambda place: parsed[place].time)
        n_dropped = _keep_all(out, order) if all_runs else _keep_newest(out, order[::-1])
        if n_dropped:
            messages.append(
                f"model {model!r}, {benchmark!r}: {len(places)} runs; of each item the newest answer is taken, "
                f"{n_dropped:,} earlier ones are left out (newest run: {parsed[order[-1]].time})"
            )
    findings += [Finding("repeated_runs", 1, message) for message in messages]
    if messages:
        more = f" So are {len(messages) - 1} other pairs of model and benchmark." if len(messages) > 1 else ""
        warnings.warn(f"{messages[0]}.{more} all_runs=True takes all.", ResponsesWarning, stacklevel=4)
    return out


def _keep_newest(out: list[ParsedFile], places: Sequence[int]) -> int:
    """Drop from each run, given from newest to oldest, the items of newer ones; return how many answers went."""
    seen: set[object] = set()
    n_dropped = 0
    for place in places:
        frame = out[place].frame
        ids = frame[names.DOC_HASH if names.DOC_HASH in frame else names.ITEM].astype("str")
        keep = ~ids.isin(seen).to_numpy()
        seen |= set(ids)
        n_dropped += int((~keep).sum())
        out[place] = replace(out[place], frame=frame[keep].reset_index(drop=True))
    return n_dropped


def _keep_all(out: list[ParsedFile], places: Sequence[int]) -> int:
    """Give the trials of runs, from oldest to newest, consecutive numbers; nothing is dropped."""
    before = 0
    for place in places:
        frame = out[place].frame
        trial = pd.Series(1, index=frame.index) if names.TRIAL not in frame else frame[names.TRIAL].fillna(1)
        out[place] = replace(out[place], frame=frame.assign(**{names.TRIAL: trial.astype("int64") + before}))
        before += int(trial.max())
    return 0
