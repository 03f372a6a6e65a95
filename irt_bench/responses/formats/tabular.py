"""CSV, Parquet and JSON tables: long (one row per response) or wide (one row per model, one column per item)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench import names
from irt_bench.errors import ReadError, ResponsesError, unknown_choice
from irt_bench.responses.columns import (
    EMPTY,
    INDEX_NAMES,
    WIDE_METADATA,
    CellArray,
    cell_matrix,
    describes_models,
    model_column,
    numbers_of,
    rename_aliases,
    wide_columns,
    without_means,
)
from irt_bench.responses.formats.format import (
    Format,
    ParsedFile,
    ReadOptions,
    constant,
    first_words,
    metric_label,
    stem,
    ungraded,
)
from irt_bench.responses.formats.jsonlines import Record, as_object, first_record, head, is_json
from irt_bench.responses.formats.tables import is_csv, is_table, read_columns
from irt_bench.responses.labels import Codes
from irt_bench.responses.table import (
    CHOICE_COLUMNS,
    DOC_ID,
    FILTER,
    GROUP,
    MEASURE_COLUMNS,
    METRIC,
    QUESTION,
    REVISION,
    Finding,
    categorical,
    listed,
)

# Ids and hashes of digits are text: "007" is not 7.
TEXT_COLUMNS: Final = frozenset(
    [names.BENCHMARK, names.MODEL, names.ITEM, names.CLUSTER, names.RUN, names.SUBTASK, GROUP, REVISION, METRIC, FILTER]
    + ["name"]
)


# Columns that name items where a table also has a column of values; the last only beside a column of models.
WEAK_ITEMS: Final = ("doc_id", "native_id", "instance_id", "id")
INSPECT_FRAME: Final = ("sample_id", "eval_id", "id")  # of its samples_df(), where sample_id is unique to each answer
CHOICES: Final = ("doc.choices", "__doc__.choices")  # of details of lighteval
ROW: Final = "row"  # label of models in wide tables without labels
_METRIC: Final = re.compile(
    r"(?:score_.+|(?:__)?metrics?(?:__)?\..+|acc(?:_\w+)?|\w+_acc|(?:\w+_)?exact_match|em|f1(?:_score)?|mc[12]|success"
    r"|primary_(?:score|metric)|pass(?:@|_at_|_)?\d+|passed|resolved|extractive_match|accuracy)"
)
_METRIC_PREFIX: Final = re.compile(r"^(?:score_|(?:__)?metrics?(?:__)?\.)")
HEAVY: Final = ("doc.", "__doc__.", "model_response", "full_prompt", "example", "arguments", "predictions")
HEAD_BYTES: Final = 2**14
_DETAILS: Final = re.compile(r"details_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.-]+)\.parquet")  # of lighteval
_LEADERBOARD: Final = re.compile(
    r"(?P<model>[^/]+?)__(?P<task>leaderboard_[^/]+)"
)  # a folder of the second leaderboard


def read(path: Path, options: ReadOptions) -> ParsedFile:
    """Read a table, long if it has a column of items and one of values, else wide.

    Raises
    ------
    ReadError
        If the file is damaged, or neither long nor wide.
    """
    columns, declared = read_columns(path)
    present = {*columns, *rename_aliases(columns).values()}
    values = [name for name in (*MEASURE_COLUMNS, *columns) if name in present and _is_measure(name)]
    weak = [name for name in WEAK_ITEMS if name in columns and (name != "id" or names.MODEL in present)]
    if names.ITEM in present or (values and weak) or _DETAILS.fullmatch(path.name):
        return _long(columns, declared, path, options)
    model = _model_name(columns, options)
    if values and model is not None and columns[model].duplicated().any():
        _refuse_long_without_items(columns, model, values[0], path)
    return _wide(columns, path, options)


def _is_measure(name: str) -> bool:
    return name in MEASURE_COLUMNS or _METRIC.fullmatch(name) is not None


def _model_name(columns: Mapping[str, pd.Series], options: ReadOptions) -> str | None:
    """Name of the column of models of a long table; None without one."""
    if options.model_column is not None:
        return options.model_column if options.model_column in columns else None
    renames = rename_aliases(columns)
    return next((name for name in columns if renames.get(name, name) == names.MODEL), None)


def _refuse_long_without_items(columns: Mapping[str, pd.Series], model: str, value: str, path: Path) -> None:
    """Refuse a table that has several rows per model, values and no items, and is no wide one with repeats."""
    others = {model, value, *WIDE_METADATA, *INDEX_NAMES}
    rest = [name for name in columns if name not in others and not _is_measure(name)]
    if len(rest) > 2 and all(_is_zero_one(columns[name]) for name in rest):
        return
    looks = next((name for name in rest if columns[name].nunique() > 1), None)
    raise ReadError(
        f"{path} has several rows per model and a column of values, {value!r}, as a long table, but none of items; its "
        f"columns are {', '.join(map(repr, list(columns)[:8]))}. Rename the column of items"
        f"{'' if looks is None else f' ({looks!r}?)'} to 'item'."
    )


def read_long(path: Path, options: ReadOptions) -> ParsedFile:
    """Read a table as long, whatever its columns.

    Raises
    ------
    ReadError
        If the file is damaged.
    """
    return _long(*read_columns(path), path, options)


def read_wide(path: Path, options: ReadOptions) -> ParsedFile:
    """Read a table as wide, whatever its columns.

    Raises
    ------
    ReadError
        If the file is damaged, or has no column of models.
    """
    return _wide(read_columns(path)[0], path, options)


def claims_json(path: Path) -> bool:
    """Whether a JSON file begins with a record that has an item and a value, or a model and nothing but 0 and 1."""
    if not path.is_file() or not is_json(path):
        return False
    first = _first_entry(path)
    inner = {f"{name}.{key}" for name, value in first.items() if isinstance(value, dict) for key in value}
    keys = {*first, *inner}
    present = keys | set(rename_aliases(sorted(keys)).values())
    weak = any(name in keys for name in WEAK_ITEMS if name != "id" or names.MODEL in present)
    if (names.ITEM in present or weak) and any(_is_measure(name) for name in present):
        return True
    cells = [value for name, value in first.items() if name not in (*WIDE_METADATA, names.MODEL, *INDEX_NAMES)]
    return names.MODEL in first and bool(cells) and all(value is None or value in (0, 1) for value in cells)


def _first_entry(path: Path) -> Record:
    """First record of JSON lines or of a JSON list; empty where there is none, or it is very long."""
    text = head(path, HEAD_BYTES).decode("utf-8", "replace").lstrip()
    if not text.startswith("["):
        return first_record(path) or {}
    try:
        entry, _ = json.JSONDecoder().raw_decode(text[1:].lstrip())
    except (ValueError, RecursionError):
        return {}
    return as_object(entry)


def _long(columns: dict[str, pd.Series], declared: Mapping[str, Any], path: Path, options: ReadOptions) -> ParsedFile:
    frame, findings = _long_frame(columns, path, options)
    for what in (FILTER, METRIC):
        if what in frame:
            frame = _one_of_several(frame, what, options, path)
    frame, missing = _with_value(frame, path, options)
    findings += missing
    read_by = {
        what: frozenset(frame[what].dropna().unique().astype("str")) if what in frame else frozenset()
        for what in (METRIC, FILTER)
    }
    return ParsedFile(
        frame,
        tuple(findings),
        metrics=read_by[METRIC],
        filters=read_by[FILTER],
        roles=declared.get("roles", {}),
        measure=declared.get("measure"),
    )


def _long_frame(columns: dict[str, pd.Series], path: Path, options: ReadOptions) -> tuple[pd.DataFrame, list[Finding]]:
    """Columns by their canonical names, with items, and the model and benchmark that the path names."""
    columns = {name: values for name, values in columns.items() if name not in INDEX_NAMES}
    if all(name in columns for name in INSPECT_FRAME):
        columns = {name: values for name, values in columns.items() if name not in INSPECT_FRAME[:2]}
    if options.model_column is not None:
        if options.model_column not in columns:
            raise ReadError(f"{path}: {unknown_choice('model_column', options.model_column, columns)}")
        columns = {name: values for name, values in columns.items() if name != names.MODEL}
        columns = {names.MODEL: columns.pop(options.model_column), **columns}
    renames = {
        name: canonical
        for name, canonical in rename_aliases(columns).items()
        if canonical != names.CORRECT or _can_be_values(columns[name])
    }
    if sum(_METRIC.fullmatch(name) is not None for name in columns) > 1:
        renames.pop("acc", None)  # one of several metrics
    columns = {renames.get(name, name): values for name, values in columns.items()}
    if is_csv(path):
        columns = {name: _parsed(name, values) for name, values in columns.items()}
    weak = next((name for name in WEAK_ITEMS if name in columns), None)
    if names.ITEM not in columns and weak is not None:
        columns[names.ITEM] = columns[weak] if weak == DOC_ID else columns.pop(weak)
    return _named_by_path(pd.DataFrame(columns, copy=False), path)


def _can_be_values(values: pd.Series) -> bool:
    """Whether a column may hold values of responses, and not the text of an answer."""
    if not isinstance(values.dtype, pd.CategoricalDtype) and not pd.api.types.is_string_dtype(values):
        return True
    return not describes_models(values)


def _named_by_path(frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[Finding]]:
    """Add the model, benchmark and items of details of evaluations, which only their path names."""
    n, folders = len(frame), path.absolute().parents
    details = _DETAILS.fullmatch(path.name)
    board = next((match for folder in folders if (match := _LEADERBOARD.fullmatch(folder.name))), None)
    findings = []
    if details is not None and names.MODEL not in frame:
        at = folders[1] if folders[0].name == details["time"] else folders[0]
        name = at.name.removeprefix("details_").replace("__", "/")
        name = name if "/" in name or at.parent.name in ("", "details") else f"{at.parent.name}/{name}"
        frame[names.MODEL] = constant(name, n)
        frame[names.BENCHMARK] = constant(details["task"], n)
        own = next((frame[name] for name in ("doc.id", "__doc__.id") if name in frame and frame[name].is_unique), None)
        own = pd.Series(range(n)) if own is None else own
        frame[names.ITEM] = details["task"] + "/" + own.astype("str")
        query = next((frame[name] for name in ("doc.query", "__doc__.query", "example") if name in frame), None)
        if query is not None:
            frame[QUESTION] = [first_words(text) for text in query.astype(object)]
            frame[names.DOC_HASH] = _hashes(query, next((frame[name] for name in CHOICES if name in frame), None))
    elif board is not None and names.MODEL not in frame:
        frame[names.MODEL] = constant(board["model"].replace("__", "/"), n)
        frame[names.BENCHMARK] = constant(board["task"], n)
        if DOC_ID in frame:
            frame[names.ITEM] = board["task"] + "/" + frame[DOC_ID].astype("str")
    elif is_json(path) and names.MODEL not in frame:
        model = stem(path)
        frame[names.MODEL] = constant(model, n)
        if names.BENCHMARK not in frame and folders[0].name:
            frame[names.BENCHMARK] = constant(folders[0].name, n)
        message = f"{path.name} has no column of models; its model is named {model!r} after the file"
        findings.append(Finding("no_model", 1, message))
    heavy = [name for name in frame if str(name).startswith(HEAVY)]
    return frame.drop(columns=heavy), findings


def _hashes(query: pd.Series, choices: pd.Series | None) -> list[str]:
    """Tell documents by their content: lighteval numbers those of a filtered task anew."""
    listed = [()] * len(query) if choices is None else choices
    texts = [
        repr((text, [*map(str, given)] if given is not None else None))
        for text, given in zip(query.astype(object), listed, strict=True)
    ]
    return [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in texts]


def _with_value(frame: pd.DataFrame, path: Path, options: ReadOptions) -> tuple[pd.DataFrame, list[Finding]]:
    """Where no column is called a value, take one of the columns that are called metrics, for each benchmark."""
    if {names.CORRECT, names.N_CORRECT, names.SCORE} & {*frame.columns} or names.ITEM not in frame:
        return frame, []
    candidates = [str(name) for name in frame if _METRIC.fullmatch(str(name))]
    if not candidates or names.MODEL not in frame:
        return frame, []
    numbers: dict[str, pd.Series] = {}
    for name in candidates:
        try:
            found = numbers_of(frame, name).astype("float64")
        except (ResponsesError, TypeError, ValueError):
            continue  # texts or lists, such as predictions
        if found.notna().any() and found.dropna().between(0, 1).all():
            numbers[name] = found
    if not numbers:
        listed = ", ".join(candidates)
        raise ReadError(f"{path} has no metric that is a number in [0, 1] in each row; found {listed}.")
    benchmarks = (
        frame[names.BENCHMARK].astype("str") if names.BENCHMARK in frame else pd.Series(stem(path), frame.index)
    )
    score, metric = pd.Series(np.nan, index=frame.index), pd.Series(None, index=frame.index, dtype=object)
    for benchmark in benchmarks.unique():
        own = (benchmarks == benchmark).to_numpy()
        shown = {
            metric_label(_METRIC_PREFIX.sub("", name)): name for name in numbers if numbers[name][own].notna().any()
        }
        if shown:
            chosen = options.choose("metric", shown, benchmark=benchmark, where=f"benchmark {benchmark!r}")
            score[own], metric[own] = numbers[shown[chosen]][own], chosen
    frame = frame.drop(columns=list(numbers))
    frame[names.SCORE], frame[METRIC] = score, metric.astype("category")
    return frame, ungraded(frame.assign(**{names.BENCHMARK: benchmarks}))


def _parsed(name: str, values: pd.Series) -> pd.Series:
    """Convert a CSV column other than ids to numbers where every text is one as numbers are written."""
    if name in TEXT_COLUMNS or name in MEASURE_COLUMNS or not isinstance(values.dtype, pd.CategoricalDtype):
        return values
    texts = categorical(values).categories
    if name in CHOICE_COLUMNS:
        lists = np.empty(len(texts) + 1, dtype=object)  # the last place, of code -1, stays None
        lists[:-1] = [_list_of_numbers(text) for text in texts]
        return pd.Series(lists[categorical(values).codes])
    numbers = pd.to_numeric(pd.Series(texts.astype("object"), dtype=object), errors="coerce")
    if not len(numbers) or numbers.isna().any():
        return values
    if pd.api.types.is_integer_dtype(numbers) and (numbers.astype("str") == texts.to_numpy(dtype=object)).all():
        return pd.Series(numbers.astype("Int64").array.take(categorical(values).codes, allow_fill=True))
    written = texts.str.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?").all()
    return pd.Series(np.append(numbers.to_numpy(dtype=float), np.nan)[categorical(values).codes]) if written else values


def _list_of_numbers(text: str) -> npt.NDArray[np.float64] | None:
    """Read a list of numbers in JSON; None for anything else."""
    try:
        return np.array(json.loads(text), dtype=np.float64, ndmin=1)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def _one_of_several(frame: pd.DataFrame, what: str, options: ReadOptions, path: Path) -> pd.DataFrame:
    """Keep one metric (or filter) of each benchmark."""
    one = None if names.BENCHMARK in frame else stem(path)
    keys = [what] if one is not None else [names.BENCHMARK, what]
    keys += [GROUP] if GROUP in frame else []
    pairs = frame[keys].drop_duplicates().dropna(subset=[what])
    if len(pairs) == (1 if one is not None else pairs[names.BENCHMARK].nunique()) and options.listed is None:
        return frame
    groups = [(one, pairs)] if one is not None else list(pairs.groupby(names.BENCHMARK, observed=True))
    keep = np.zeros(len(frame), dtype=bool)
    for benchmark, rows in groups:
        name = str(benchmark)
        group = str(rows[GROUP].iloc[0]) if GROUP in rows and rows[GROUP].notna().any() else ""
        candidates = list(dict.fromkeys(rows[what].astype("str")))
        chosen = options.choose(what, candidates, benchmark=name, group=group, where=f"benchmark {name!r}")
        own = True if one is not None else frame[names.BENCHMARK] == benchmark
        keep |= ((frame[what].astype("str") == chosen) & own).to_numpy()
    return frame[keep].reset_index(drop=True)


def _wide(columns: dict[str, pd.Series], path: Path, options: ReadOptions) -> ParsedFile:
    try:
        return _parse_wide(columns, path, options)
    except ResponsesError as error:
        raise ReadError(f"{path}: {error}") from error


def _parse_wide(columns: dict[str, pd.Series], path: Path, options: ReadOptions) -> ParsedFile:
    for name in (*options.group_columns, *([options.model_column] if options.model_column else [])):
        if name not in columns:
            raise ReadError(f"{path}: {unknown_choice('column', name, columns)}")
    groups = {name: columns.pop(name) for name in options.group_columns}
    if options.model_column is not None:
        columns = {names.MODEL: columns.pop(options.model_column), **columns}
    columns = wide_columns(columns)
    key = model_column(columns)
    findings = []
    if key is None and columns and all(_is_zero_one(values) for values in columns.values()):
        n = len(next(iter(columns.values())))
        columns, key = {names.MODEL: pd.Series([f"{ROW}{row}" for row in range(1, n + 1)]), **columns}, names.MODEL
        findings.append(Finding("no_labels", n, f"{n:,} rows have no labels; the models are named by their rows"))
    if key is None:
        first = ", ".join(map(repr, list(columns)[:6]))
        raise ReadError(
            f"{path} is neither a long table (columns 'model', 'item' and a value) nor a wide one (first column the "
            f"models, one column per item); its columns are {first}{', ...' if len(columns) > 6 else ''}. "
            "Name the column of models 'model', or give model_column='NAME'."
        )
    model = columns.pop(key)
    metadata: dict[str, pd.Series] = {name: columns.pop(name) for name in WIDE_METADATA if name in columns}
    texts = [name for name in columns if describes_models(columns[name])]
    texts = texts if len(texts) < len(columns) else []
    if texts:
        what = f"{listed(texts)} hold texts and were taken as descriptions of models, not as items"
        findings.append(Finding("group_columns", len(texts), f"columns {what}"))
    metadata |= groups | {name: columns.pop(name) for name in texts}
    if is_csv(path):
        metadata = {name: _parsed(name, values) for name, values in metadata.items()}
    if not columns:
        raise ReadError(
            f"{path} has models but no items: a wide table has one column per item; a long one needs a column 'item'."
        )
    items = pd.Index([str(name) for name in columns], dtype="str")
    cells, items = without_means(cell_matrix(columns, model), items)
    _refuse_covariates(cells, items, model)
    rows, places = _kept_cells(cells, metadata.get(names.BENCHMARK))
    values = _cell_values(cells[rows, places] if len(rows) < cells.size else cells.ravel())
    frame: dict[str, pd.Series] = {
        names.MODEL: model.iloc[rows].reset_index(drop=True),
        names.ITEM: pd.Series(pd.Categorical.from_codes(places, items), copy=False),
        names.CORRECT if cells.dtype == np.int8 else names.SCORE: pd.Series(values, copy=False),
        **{name: column.iloc[rows].reset_index(drop=True) for name, column in metadata.items()},
    }
    return ParsedFile(pd.DataFrame(frame, copy=False), tuple(findings))


def _is_zero_one(values: pd.Series) -> bool:
    """Whether all values of a column are 0, 1 or missing."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return bool((values.isna() | values.isin((0, 1))).all())
    return not len(values.dropna()) or set(map(str, values.dropna().unique())) <= {"0", "1", "NA", "."}


def _refuse_covariates(cells: CellArray, items: pd.Index, model: pd.Series) -> None:
    """Refuse single columns with values outside [0, 1], which describe models where most columns hold responses."""
    if cells.dtype == np.int8:
        return
    bad = ~(np.isnan(cells) | ((cells >= 0) & (cells <= 1)))
    wrong = np.flatnonzero(bad.any(axis=0))
    if len(wrong) and len(wrong) <= cells.shape[1] / 2:
        row = int(bad[:, wrong[0]].argmax())
        raise ResponsesError(
            f"column {items[wrong[0]]!r} holds {cells[row, wrong[0]]:g} for model {str(model.iloc[row])!r}, which is "
            f"no share from 0 to 1 ({len(wrong)} of {len(items)} columns hold such). If it describes the models, name "
            f"it: group_columns={','.join(map(str, items[wrong[:5]]))!r}."
        )


def _cell_values(cells: CellArray) -> CellArray:
    """Values of cells as a column: NaN where empty."""
    if cells.dtype != np.int8 or not (cells == EMPTY).any():
        return cells
    return np.where(cells == EMPTY, np.float32(np.nan), cells.astype(np.float32))


def _kept_cells(cells: CellArray, benchmark: pd.Series | None) -> tuple[Codes, Codes]:
    """Row and column of the cells that become rows: all, except items that a benchmark never uses."""
    n_rows, n_items = cells.shape
    row: Codes = np.arange(n_rows, dtype=np.int32)
    place: Codes = np.arange(n_items, dtype=np.int16 if n_items < 2**15 else np.int32)
    if benchmark is None or benchmark.nunique() < 2:
        return np.repeat(row, n_items), np.tile(place, n_rows)
    keep = np.ones(cells.shape, dtype=bool)
    empty = cells == EMPTY if cells.dtype == np.int8 else np.isnan(cells)
    nowhere = empty.all(axis=0)
    codes = pd.factorize(benchmark)[0]
    for code in np.unique(codes):
        own = codes == code
        keep[own] = ~empty[own].all(axis=0) | (nowhere & (code == 0))
        keep[own, 0] |= ~keep[own].any(axis=1)  # a model without responses keeps its label
    rows, places = np.nonzero(keep)
    return row[rows], place[places]


FORMAT: Final = Format(
    "tabular", "CSV or Parquet, long (model, item, correct) or wide (one column per item)", is_table, read
)
JSON: Final = Format("json", "JSON or JSON lines, one record per answer (model, item, correct)", claims_json, read)
LONG: Final = Format("long", "CSV or Parquet, read as long", is_table, read_long)
WIDE: Final = Format("wide", "CSV or Parquet, read as wide", is_table, read_wide)
