"""Read files and folders of any known format, stack their frames, and build one `ResponseTable`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from irt_bench import names
from irt_bench.errors import ReadError, ResponsesError, unknown_choice
from irt_bench.responses.canonical import check_unique_columns, no_column, table_from_frame
from irt_bench.responses.columns import normalise_measure, rename_aliases
from irt_bench.responses.counts import Measure
from irt_bench.responses.formats import ParsedFile, ReadOptions, Source, find_sources
from irt_bench.responses.formats.format import (
    DEFAULT_KEY,
    Candidates,
    Choice,
    choice_for,
    constant,
    parse_choice,
    stem,
)
from irt_bench.responses.formats.jsonlines import first_line
from irt_bench.responses.formats.lm_eval import NO_FILTER
from irt_bench.responses.runs import RunOptions, with_runs
from irt_bench.responses.table import FILTER, GROUP, MEASURE_COLUMNS, METRIC, Finding, ResponseTable
from irt_bench.workers import Progress


def stack(frames: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Concatenate frames in canonical columns, each with its source; a column that a frame lacks is missing there.

    Beside counts, correct responses become one of one; beside scores, 0.0 and 1.0, and counts one answer each.

    Raises
    ------
    ResponsesError
        If a frame has no value column.
    """
    parts = _with_one_measure([(where, _checked(where, frame)) for where, frame in frames])
    columns = dict.fromkeys(column for part in parts for column in part.columns)
    return pd.DataFrame(
        {column: _column([part.get(column) for part in parts], parts) for column in columns}, copy=False
    )


def _checked(where: str, frame: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in (names.MODEL, names.ITEM) if name not in frame]
    if missing:
        raise ResponsesError(f"{where} has no column {missing[0]!r} among: {', '.join(map(str, frame.columns))}.")
    try:
        return normalise_measure(frame)
    except ResponsesError as error:
        raise ResponsesError(f"{where}: {error}") from error


def _with_one_measure(frames: Sequence[tuple[str, pd.DataFrame]]) -> list[pd.DataFrame]:
    first = {name: where for where, frame in frames[::-1] for name in MEASURE_COLUMNS if name in frame}
    if names.SCORE in first and names.N_CORRECT in first:
        frames = [(where, _as_trials(where, frame)) for where, frame in frames]
        del first[names.N_CORRECT]
    if names.N_CORRECT in first:
        return [_as_counts(frame) for _, frame in frames]
    if names.SCORE in first:
        return [frame.rename(columns={names.CORRECT: names.SCORE}) for _, frame in frames]
    return [frame for _, frame in frames]


def _as_trials(where: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Replace counts by their answers, one row each: scores have no number of samples, but answers beside them may."""
    if names.N_CORRECT not in frame:
        return frame
    n, right = (frame[name].fillna(0).to_numpy(dtype=np.int64) for name in (names.N_SAMPLES, names.N_CORRECT))
    rows = np.repeat(np.arange(len(frame)), np.maximum(n, 1))
    if len(rows) > MAX_TRIAL_ROWS:
        raise ResponsesError(
            f"{where} holds {n.sum():,} answers as counts beside a file of fractional scores; more than "
            f"{MAX_TRIAL_ROWS:,} are not taken apart. Read them separately."
        )
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    before = (frame[names.TRIAL].fillna(1).to_numpy(dtype=np.int64) - 1) if names.TRIAL in frame else np.zeros_like(n)
    correct = np.where(n[rows] > 0, place < right[rows], np.nan)
    trials = before[rows] * max(int(n.max(initial=1)), 1) + place + 1
    taken = frame.drop(columns=[names.N_CORRECT, names.N_SAMPLES]).take(rows).reset_index(drop=True)
    return taken.assign(**{names.CORRECT: correct, names.TRIAL: trials})


def _as_counts(frame: pd.DataFrame) -> pd.DataFrame:
    if names.N_CORRECT in frame:
        return frame
    frame = frame.rename(columns={names.CORRECT: names.N_CORRECT})
    return frame.assign(**{names.N_SAMPLES: frame[names.N_CORRECT].notna().astype("int8")})


def _column(parts: Sequence[pd.Series | None], frames: Sequence[pd.DataFrame]) -> pd.Series:
    """One column of all frames: text as a categorical with all texts, numbers in a type that holds them all."""
    given = [part for part in parts if part is not None]
    if any(isinstance(part.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(part) for part in given):
        texts = [_categorical(part, len(frame)) for part, frame in zip(parts, frames, strict=True)]
        return pd.Series(union_categoricals(texts), copy=False)
    if any(part.dtype == object for part in given):
        blank = [
            part if part is not None else pd.Series([None] * len(f), dtype=object)
            for part, f in zip(parts, frames, strict=True)
        ]
        return pd.concat([part.astype(object) for part in blank], ignore_index=True)
    if any(part is None for part in parts) or any(part.isna().any() for part in given):
        whole = all(pd.api.types.is_integer_dtype(part) or pd.api.types.is_bool_dtype(part) for part in given)
        dtype: Any = "Int64" if whole else "float64"
        parts = [
            part.astype(dtype) if part is not None else pd.Series(np.nan, index=range(len(frame)), dtype=dtype)
            for part, frame in zip(parts, frames, strict=True)
        ]
    return pd.concat([part for part in parts if part is not None], ignore_index=True)


def _categorical(part: pd.Series | None, n_rows: int) -> pd.Series:
    if part is None:
        return pd.Series(pd.Categorical.from_codes(np.full(n_rows, -1, dtype=np.int8), pd.Index([], dtype="str")))
    if not isinstance(part.dtype, pd.CategoricalDtype):
        text = part if part.dtype == "str" else part.astype("str").where(part.notna())
        return text.astype("category")
    labels = part.cat.categories
    return part if labels.dtype == "str" else part.cat.rename_categories(list(labels.astype("str")))


MAX_TRIAL_ROWS: Final = 50_000_000
MAX_FINDINGS: Final = 5  # of one name that are listed one by one
# What a format's module may raise on a file whose parts have unexpected types.
LAYOUT_ERRORS: Final = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


def read_responses(
    paths: Sequence[str | Path],
    *,
    format: str | None = None,
    benchmark: str | Sequence[str] | None = None,
    metric: Choice = None,
    filter: Choice = None,
    seed_from: str | None = None,
    run_from: str | None = None,
    step_from: str | None = None,
    models_table: str | Path | pd.DataFrame | None = None,
    all_runs: bool = False,
    model_column: str | None = None,
    group_columns: Sequence[str] = (),
    progress: Progress | None = None,
) -> ResponseTable:
    r"""Read responses from files and folders, in any mixture of the known formats.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, or folders searched for files of known formats (hidden and unknown files are ignored).
    format : str, optional
        Name in ``FORMATS``; by default each file's name and first bytes decide.
    benchmark : str or sequence of str, optional
        Benchmark or group of tasks to keep; several, as a sequence or separated by commas, become one. For the others
        no metric need be chosen.
    metric, filter : str or mapping of benchmark to str, optional
        What to read where a file holds several, for all benchmarks or for each: ``"acc"``, ``{"arc": "acc_norm"}``, or
        ``"arc=acc_norm,mmlu_*=acc"``. Groups of tasks and patterns of names can stand for benchmarks.
    seed_from, run_from, step_from : str, optional
        Regular expressions that find the training seed, run and step in the names of models, or else in the paths of
        their files: the first group, or the whole match. The run is, by default, the name without seed and step.
    models_table : path or pd.DataFrame, optional
        Table with one row per model: column ``model``, and columns to add, such as run, seed, step, family or size.
    all_runs : bool
        Whether all runs of a model on a benchmark are read, as repeats, instead of the newest only.
    model_column : str, optional
        Column that names the models, in tables.
    group_columns : sequence of str
        Columns of wide tables that are not items but describe the models.
    progress : callable, optional
        Called with (path, done, total) before each file and once at the end.

    Raises
    ------
    ReadError
        If a path is missing, damaged, a pickle or of no known format, or a choice is needed.
    ResponsesError
        If the responses contradict one another.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from irt_bench import read_responses
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "answers.csv").write_text("model,item,correct\nsmall,q1,0\nlarge,q1,1\n")
    ...     read_responses([folder])
    ResponseTable(answers: 2 models x 1 items, 2 answers)
    """
    options = read_options(benchmark, metric, filter, model_column=model_column, group_columns=group_columns)
    runs = RunOptions(run_from, seed_from, step_from, models_table, all_runs)
    sources = find_sources([paths] if isinstance(paths, (str, Path)) else paths, format=format)
    readings = [read_source(source, options) for source in _reported(sources, progress)]
    _check_chosen(readings, options)
    passed_over = frozenset().union(*(reading.passed_over for reading in readings))
    if passed_over and not any(len(reading.frame) for reading in readings):
        raise ReadError(unknown_choice("benchmark", _shown(benchmark), passed_over))
    table = _table(sources, readings, runs)
    return table if benchmark is None else _selected(table, benchmark, passed_over)


def read_preferred(
    paths: Sequence[str | Path],
    benchmarks: Collection[str],
    *,
    format: str | None = None,
    metric: Choice = None,
    filter: Choice = None,
    progress: Progress | None = None,
) -> ResponseTable:
    """Read benchmarks or groups of tasks by name, or all where none of them is there; others need no choice.

    Parameters are those of `read_responses`; benchmarks stay apart. Formats that name none may add others.
    """
    sources = find_sources(paths, format=format)
    for wanted in (tuple(benchmarks), ()):
        options = replace(read_options(None, metric, filter), benchmarks=wanted)
        readings = [read_source(source, options) for source in _reported(sources, progress)]
        if not _benchmarks_of([reading for reading in readings if len(reading.frame)]).isdisjoint(wanted):
            break
    _check_chosen(readings, options)
    return _table(sources, readings, RunOptions())


def read_items(paths: Sequence[str | Path], benchmark: str, labels: Iterable[str], **choices: Any) -> ResponseTable:
    """Read a benchmark or group, or, where the tasks of a group were run one by one, those that its items name.

    All is read where none of these is there; `choices` are keyword arguments of `read_preferred`.
    """
    tasks = {label.rpartition("/")[0] for label in labels} - {""}
    table = read_preferred(paths, {benchmark, *tasks}, **choices)
    if benchmark in {*table.benchmarks, *table.groups}:
        return table.select(benchmark) if len(table.benchmarks) > 1 or benchmark in table.groups else table
    parts = [each for each in table.benchmarks if each in tasks]
    return table.select(parts) if len(parts) > 1 else table


def describe_responses(
    paths: Sequence[str | Path],
    *,
    format: str | None = None,
    benchmark: str | Sequence[str] | None = None,
    metric: Choice = None,
    filter: Choice = None,
    model_column: str | None = None,
    group_columns: Sequence[str] = (),
    progress: Progress | None = None,
) -> pd.DataFrame:
    r"""List what files hold, by benchmark, metric, filter and model, and what `read_responses` would read.

    Parameters
    ----------
    paths, format, benchmark, metric, filter, model_column, group_columns, progress
        As in `read_responses`; nothing has to be chosen.

    Returns
    -------
    pd.DataFrame
        One row per benchmark, metric, filter and model: ``benchmark, metric, filter, model`` (metric and filter are
        empty where a format has none), ``chosen`` (whether it would be read; for no row of a benchmark that needs a
        choice), ``n_items``, ``n_answers`` (rows, repeats included), ``format`` and ``files``.

    Raises
    ------
    ReadError
        If a path is missing, damaged or of no known format, or a metric that was asked for is not there.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from irt_bench import describe_responses
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text = "benchmark,model,item,metric,correct\narc,a,1,acc,1\narc,a,1,acc_norm,0\n"
    ...     _ = (Path(folder) / "answers.csv").write_text(text)
    ...     describe_responses([folder])[["benchmark", "metric", "model", "chosen"]]
      benchmark    metric model  chosen
    0       arc       acc     a   False
    1       arc  acc_norm     a   False
    """
    options = read_options(benchmark, metric, filter, model_column=model_column, group_columns=group_columns)
    sources = find_sources([paths] if isinstance(paths, (str, Path)) else paths, format=format)
    rows: list[pd.DataFrame] = []
    readings = []
    for source in _reported(sources, progress):
        listed: list[Candidates] = []
        reading = read_source(source, replace(options, listed=listed))
        readings.append(replace(reading, frame=reading.frame[:0]))
        if len(reading.frame):
            frame = _canonical(source, reading).frame
            rows.append(_contents(frame, listed, options).assign(format=source.format.name, files=1))
    keys = ["benchmark", "metric", "filter", "model"]
    if not rows or not sum(map(len, rows)):
        there = frozenset().union(*(reading.passed_over for reading in readings))
        if benchmark is not None:
            raise ReadError(unknown_choice("benchmark", _shown(benchmark), there))
        reasons = "; ".join(finding.message for reading in readings[:3] for finding in reading.findings)
        raise ReadError(f"{sources[0].path}: no answers were found{f' ({reasons})' if reasons else ''}.")
    merged = pd.concat(rows).groupby(keys, sort=False, as_index=False)
    how = {"chosen": "all", "n_items": "max", "n_answers": "sum", "format": "first", "files": "sum"}
    return merged.agg(how)


def _reported(sources: Sequence[Source], progress: Progress | None) -> Iterator[Source]:
    """Yield the files, and report how many are done, before each and at the end."""
    for done, source in enumerate(sources):
        if progress is not None:
            progress(str(source.path), done, len(sources))
        yield source
    if progress is not None:
        progress(str(sources[-1].path), len(sources), len(sources))


def _contents(frame: pd.DataFrame, found: Sequence[Candidates], options: ReadOptions) -> pd.DataFrame:
    """One row per benchmark, metric, filter and model of one file."""
    choices = {(each.what, each.benchmark): each for each in found}
    rows = []
    for (benchmark, model), own in frame.groupby([names.BENCHMARK, names.MODEL], observed=True, sort=False):
        group = str(own[GROUP].iloc[0]) if GROUP in own and own[GROUP].notna().any() else ""
        if not options.wants(str(benchmark), group):
            continue
        axes = []
        for what in (METRIC, FILTER):
            given = str(own[what].iloc[0]) if what in own and own[what].notna().any() else ""
            known = choices.get((what, str(benchmark)), Candidates(what, str(benchmark), (given,), given))
            axes.append([(name, name == known.chosen) for name in known.names])
        rows += [
            (benchmark, metric, by, model, is_metric and is_filter, own[names.ITEM].nunique(), len(own))
            for metric, is_metric in axes[0]
            for by, is_filter in axes[1]
        ]
    return pd.DataFrame(rows, columns=["benchmark", "metric", "filter", "model", "chosen", "n_items", "n_answers"])


def read_options(
    benchmark: str | Sequence[str] | None = None,
    metric: Choice = None,
    filter: Choice = None,
    *,
    model_column: str | None = None,
    group_columns: Sequence[str] = (),
) -> ReadOptions:
    """Check and arrange the choices of `read_responses`."""
    wanted = () if benchmark is None else tuple(benchmark)
    if isinstance(benchmark, str):
        wanted = (benchmark, *(name.strip() for name in benchmark.split(",")))
    group_columns = (group_columns,) if isinstance(group_columns, str) else tuple(group_columns)
    return ReadOptions(parse_choice(metric), parse_choice(filter), wanted, model_column, group_columns)


def _shown(benchmark: str | Sequence[str] | None) -> str:
    return benchmark if isinstance(benchmark, str) else ", ".join(benchmark or ())


def _selected(table: ResponseTable, benchmark: str | Sequence[str], passed_over: frozenset[str]) -> ResponseTable:
    """Keep the wanted benchmarks; names of those that were not read are among the choices of an error."""
    known = {*table.benchmarks, *table.groups}
    if isinstance(benchmark, str) and benchmark not in known and "," in benchmark:
        benchmark = [name.strip() for name in benchmark.split(",")]
    for name in [benchmark] if isinstance(benchmark, str) else benchmark:
        if name not in known:
            raise ResponsesError(unknown_choice("benchmark", name, known | passed_over))
    return table.select(benchmark if isinstance(benchmark, str) or len(benchmark) > 1 else benchmark[0])


def read_source(source: Source, options: ReadOptions) -> ParsedFile:
    """Read one file or folder; every error names it."""
    before = _state(source.path)
    try:
        reading = source.format.read(source.path, options)
    except ResponsesError as error:
        raise ResponsesError(f"{source.path}: {error}") from error
    except OSError as error:
        raise ReadError(f"{source.path} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise ReadError(f"{source.path} does not fit into memory.") from error
    except LAYOUT_ERRORS as error:
        what = f"{type(error).__name__}: {first_line(error)[:200]}"
        raise ReadError(
            f"{source.path} does not have the layout of {source.format.name} files ({what}). "
            "If it is such a file, please report it; else choose its format: format='NAME'."
        ) from error
    if _state(source.path) != before:
        raise ReadError(f"{source.path} changed while it was read. Wait until it is complete.")
    return reading


def _state(path: Path) -> list[tuple[int, int, int]]:
    """Identity, size and time of a file, or of the files directly in a folder; they change when it is written to."""
    try:
        seen = [each.stat() for each in (sorted(path.iterdir()) if path.is_dir() else [path])]
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror}.") from error
    return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in seen]


def _check_chosen(readings: Sequence[ParsedFile], options: ReadOptions) -> None:
    """Refuse a metric or filter that no file had, and a benchmark of a choice that none is of."""
    for what, asked, found in (
        ("metric", options.metric, [reading.metrics for reading in readings]),
        ("filter", options.filter, [reading.filters for reading in readings]),
    ):
        there = frozenset().union(*found) - {NO_FILTER}  # answers without a filter have none to choose
        general, _ = choice_for(asked, DEFAULT_KEY)
        if isinstance(asked, str) and there and asked not in there and asked.partition(":")[0] not in there:
            raise ReadError(unknown_choice(what, general, there))
        if isinstance(asked, Mapping):
            benchmarks = _benchmarks_of(readings)
            for key in asked:
                if key and not any(key == name or fnmatchcase(name, key) for name in benchmarks):
                    raise ReadError(f"{what}: {unknown_choice('benchmark', key, benchmarks)}")


def _benchmarks_of(readings: Sequence[ParsedFile]) -> set[str]:
    """Names of benchmarks and groups in some files, read or not; files without names are of any benchmark."""
    found: set[str] = set()
    for reading in readings:
        found |= reading.passed_over
        if names.BENCHMARK in reading.frame:
            found |= set(reading.frame[names.BENCHMARK].astype("str").unique())
        if GROUP in reading.frame:
            found |= {name for path in reading.frame[GROUP].dropna().unique() for name in str(path).split("/")}
    return found


def _table(sources: Sequence[Source], readings: list[ParsedFile], runs: RunOptions) -> ResponseTable:
    findings = _merged([finding for reading in readings for finding in reading.findings])
    full = [(source, reading) for source, reading in zip(sources, readings, strict=True) if len(reading.frame)]
    readings.clear()  # frames are let go one by one below
    if not full:
        reasons = "; ".join(finding.message for finding in findings[:3])
        raise ReadError(f"{sources[0].path}: no answers were found{f' ({reasons})' if reasons else ''}.")
    where = str(full[0][0].path) if len(full) == 1 else f"{len(full)} files"
    full = [(source, _canonical(source, reading)) for source, reading in full]
    parsed, about_runs = with_runs([(source.path, reading) for source, reading in full], runs)
    full = [(source, reading) for (source, _), reading in zip(full, parsed, strict=True) if len(reading.frame)]
    try:
        if len(full) == 1:
            reading = full.pop()[1]
            table = table_from_frame(reading.frame, roles=reading.roles, measure=reading.measure)
        else:
            table = _stacked(full)
    except ResponsesError as error:
        raise ResponsesError(f"{where}: {error}") from error
    return replace(table, findings=(*findings, *_merged(about_runs), *table.findings))


def _canonical(source: Source, reading: ParsedFile) -> ParsedFile:
    """Give columns their canonical names, and name the benchmark after the file where it has none."""
    frame = reading.frame
    check_unique_columns(frame.columns)
    frame = frame.rename(columns=rename_aliases(frame.columns))
    missing = [name for name in (names.MODEL, names.ITEM) if name not in frame]
    if missing:
        raise ResponsesError(f"{source.path}: {no_column(missing[0], [str(name) for name in frame.columns])}")
    if names.BENCHMARK not in frame:
        frame[names.BENCHMARK] = pd.Series(constant(stem(source.path), len(frame)), copy=False)
    return replace(reading, frame=frame)


def _merged(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Merge findings of one name: the first that differ are kept, the others counted."""
    files: dict[tuple[str, str], list[int]] = {}
    for finding in findings:
        files.setdefault((finding.name, finding.message), []).append(finding.count)
    by_name: dict[str, list[Finding]] = {}
    for (name, message), counts in files.items():
        shown_message = message if len(counts) == 1 else f"{message}; in {len(counts):,} files"
        by_name.setdefault(name, []).append(Finding(name, sum(counts), shown_message))
    merged: list[Finding] = []
    for name, same in by_name.items():
        shown, rest = same[:MAX_FINDINGS], same[MAX_FINDINGS:]
        if rest:
            last = f"{shown[-1].message}. {len(rest):,} more such findings"
            shown[-1] = Finding(name, shown[-1].count + sum(finding.count for finding in rest), last)
        merged += shown
    return tuple(merged)


def _stacked(full: Sequence[tuple[Source, ParsedFile]]) -> ResponseTable:
    frames = [(str(source.path), reading.frame) for source, reading in full]
    roles = {column: role for _, reading in full for column, role in reading.roles.items()}
    measure: Measure | None = "score" if any(reading.measure == "score" for _, reading in full) else None
    return table_from_frame(stack(frames), roles=roles, measure=measure)


__all__ = ["Source", "describe_responses", "find_sources", "read_responses", "read_source", "stem"]
