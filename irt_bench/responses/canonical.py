"""From a long frame, wide frame or array to a `ResponseTable` or `ResponseCounts`.

Rows that repeat a response are dropped and counted; rows that contradict one another are refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench import names
from irt_bench.arrays import is_frozen
from irt_bench.errors import ResponsesError, ResponsesWarning
from irt_bench.responses.columns import (
    ALIASES,
    EMPTY,
    ORDERED,
    OUT_OF_RANGE,
    WIDE_METADATA,
    cell_matrix,
    describes_models,
    model_column,
    normalise_measure,
    refuse_transposed,
    rename_aliases,
    score_range,
    shares_of_range,
    wide_columns,
    without_means,
)
from irt_bench.responses.counts import Measure, ResponseCounts
from irt_bench.responses.labels import (
    CHECKPOINT_COLUMNS,
    MODEL_NAME,
    Codes,
    as_labels,
    axis_labels,
    codes_of,
    identify_items,
    label_models,
    last_by_group,
    one_item_per_rater,
    values_at,
)
from irt_bench.responses.table import (
    CHUNK,
    DOC_ID,
    ITEM_COLUMNS,
    KEYS,
    MEASURE_COLUMNS,
    PER_ANSWER,
    PROMPT_HASH,
    Finding,
    ResponseTable,
    categorical,
    listed,
    natural_order,
    tidied,
)

MAX_CELLS = 400_000_000  # of the bitmap that finds repeated rows without sorting


def drop_duplicates(answers: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """Drop rows that repeat a response exactly.

    Raises
    ------
    ResponsesError
        If two rows of the same (benchmark, model, item, trial) have different values; names the first.
    """
    if _all_distinct(answers):
        return answers, []
    keys = [*KEYS, *([names.TRIAL] if names.TRIAL in answers else [])]
    values = [name for name in MEASURE_COLUMNS if name in answers]
    distinct = answers.drop_duplicates([*keys, *values])
    conflicting = distinct.duplicated(keys, keep=False)
    if conflicting.any():
        rows = distinct[conflicting]
        first = rows.iloc[0]
        same = rows[(rows[keys] == first[keys]).all(axis=1)]
        shown = " and ".join("/".join(f"{row[value]:g}" for value in values) for _, row in same.iterrows())
        raise ResponsesError(
            f"{rows.drop_duplicates(keys).shape[0]} responses occur more than once with different values; first: "
            f"benchmark {first[names.BENCHMARK]!r}, model {first[names.MODEL]!r}, item {first[names.ITEM]!r}: "
            f"{values[0]} {shown}. Remove one, or distinguish them by a column 'trial', 'seed' or 'step'."
        )
    dropped = len(answers) - len(distinct)
    finding = Finding("duplicate_rows", dropped, f"{dropped:,} rows repeated a response exactly and were dropped")
    return distinct.reset_index(drop=True), [finding]


def _all_distinct(answers: pd.DataFrame) -> bool:
    """Whether no two rows have the same key, found by marking cells of a bitmap."""
    sizes = [len(categorical(answers[key]).categories) for key in KEYS]
    trial = answers[names.TRIAL].to_numpy() if names.TRIAL in answers else None
    if trial is not None:
        trial = pd.factorize(trial)[0] + 1  # 0: no trial given
        sizes.append(int(trial.max(initial=0)) + 1)
    if np.prod(sizes, dtype=float) > MAX_CELLS:
        keys = [*KEYS, *([names.TRIAL] if trial is not None else [])]
        return not answers.duplicated(keys).any()
    codes = [categorical(answers[key]).codes for key in KEYS] + ([trial] if trial is not None else [])
    seen = np.zeros(int(np.prod(sizes)), dtype=bool)
    for start in range(0, len(answers), CHUNK):
        cell = np.zeros(min(CHUNK, len(answers) - start), dtype=np.int64)
        for size, code in zip(sizes, codes, strict=True):
            if size > 1:
                cell *= size
                cell += code[start : start + CHUNK]
        seen[cell] = True
    return int(np.count_nonzero(seen)) == len(answers)


__all__ = [
    "DEFAULT_BENCHMARK",
    "Responses",
    "Role",
    "as_counts",
    "as_table",
    "check_unique_columns",
    "natural_order",
    "table_from_frame",
]

Role = Literal["model", "item"]
Responses = ResponseCounts | ResponseTable | pd.DataFrame | npt.NDArray[Any]  # what `as_counts` takes

MODEL_COLUMNS: Final = (*CHECKPOINT_COLUMNS, names.CLUSTER, MODEL_NAME, "size")
TEXT_PER_ANSWER: Final = (PROMPT_HASH,)
DEFAULT_BENCHMARK: Final = "benchmark"
MAX_LISTED: Final = 8  # columns in a message


def table_from_frame(
    frame: pd.DataFrame,
    *,
    benchmark: str = DEFAULT_BENCHMARK,
    roles: Mapping[str, Role] | None = None,
    measure: Measure | None = None,
) -> ResponseTable:
    """Build a table from one row per graded response; a row without a value is a missing response.

    Parameters
    ----------
    frame : pd.DataFrame
        Columns ``model, item`` and ``correct`` (0/1), or ``n_correct, n_samples``, or ``score``: in [0, 1], or ordered
        (whole numbers such as a judge's 1 to 10, or any in the range of the columns ``min_score`` and ``max_score``),
        which become shares of their range. For scores by several raters, a column ``rater`` or ``judge``: each pair of
        item and rater then is one item, with the metadata ``rated_item`` and ``rater``. Further columns are metadata:
        of the model or the item where they are constant within it, else of the response.
    benchmark : str
        Name to use where the frame has no column ``benchmark``.
    roles : mapping of column to {"model", "item"}, optional
        What further columns describe, where known.
    measure : {"correct", "score"}, optional
        ``"score"`` keeps scores that all happen to be 0 or 1 as scores.

    Raises
    ------
    ResponsesError
        If a column is missing, a value is out of range, or two rows of one response disagree.

    Examples
    --------
    >>> import pandas as pd
    >>> from irt_bench import table_from_frame
    >>> frame = pd.DataFrame({"model": ["a", "b"], "item": ["q", "q"], "correct": [0, 1], "seed": [1, 2]})
    >>> table_from_frame(frame, benchmark="quiz")
    ResponseTable(quiz: 2 models x 1 items, 2 answers)
    """
    check_unique_columns(frame.columns)
    frame = frame.rename(columns=rename_aliases(frame.columns)).reset_index(drop=True)
    missing = [name for name in (names.MODEL, names.ITEM) if name not in frame]
    if missing:
        raise ResponsesError(no_column(missing[0], [str(name) for name in frame.columns]))
    if not len(frame):
        raise ResponsesError(
            f"no rows below the columns {', '.join(map(str, frame.columns))}; one row per response is needed."
        )
    if names.BENCHMARK not in frame:
        one = pd.Categorical.from_codes(np.zeros(len(frame), dtype=np.int8), pd.Index([benchmark], dtype="str"))
        frame[names.BENCHMARK] = pd.Series(one, copy=False)
    for key in KEYS:
        frame[key] = pd.Series(as_labels(frame[key], key), copy=False)
    frame, ordered = shares_of_range(normalise_measure(frame, measure), measure)
    frame, findings = identify_items(label_models(frame))
    frame, of_raters = one_item_per_rater(frame)
    return _split(frame, [*ordered, *findings, *of_raters], roles or {})


def as_counts(
    responses: Responses, *, models: Sequence[object] | None = None, items: Sequence[object] | None = None
) -> ResponseCounts:
    """Arrange responses of any form in memory as counts.

    Parameters
    ----------
    responses : ResponseCounts, ResponseTable, pd.DataFrame or array of shape (model, item)
        Counts; a table of one benchmark; a long frame (columns ``model, item`` and a value, as in `table_from_frame`);
        a wide frame (one row per model, named by the index or a column ``model``, and one column per item); or an
        array. Wide frames and arrays hold 0, 1, or scores, and NaN where there is no response.
    models, items : sequence, optional
        Labels of the rows and columns of an array.

    Raises
    ------
    ResponsesError
        If it is none of these, a value is out of range, or the labels do not match.

    Examples
    --------
    >>> import numpy as np
    >>> from irt_bench import as_counts
    >>> as_counts(np.array([[1, 0, 1], [0, np.nan, 1]]), models=["small", "large"])
    ResponseCounts(2 models x 3 items, 5 answers)
    """
    if isinstance(responses, np.ndarray) and responses.ndim == 2 and responses.size:
        axes = zip(KEYS[1:], (models, items), responses.shape, strict=True)
        rows, columns = (axis_labels(what, given, n) for what, given, n in axes)
        if responses.dtype.kind in "biuf":
            return _counts_of_values(responses, pd.Index(rows), pd.Index(columns, dtype="str"))
        return _counts_of_wide(pd.DataFrame(responses, index=rows, columns=columns))
    if not isinstance(responses, ResponseCounts | ResponseTable | pd.DataFrame):
        raise ResponsesError(_unknown_kind(responses))
    for name, given in (("models", models), ("items", items)):
        if given is not None:
            raise ResponsesError(
                f"{name} are given for a {type(responses).__name__}, which has labels of its own; they name the rows "
                "and columns of an array."
            )
    if isinstance(responses, ResponseCounts):
        return responses
    if isinstance(responses, ResponseTable):
        return responses.counts()
    return table_from_frame(responses).counts() if _is_long(responses) else _counts_of_wide(responses)


def as_table(responses: Responses) -> ResponseTable:
    """Arrange responses of any form in memory as a table; see `as_counts` for the forms.

    Raises
    ------
    ResponsesError
        If it is none of these, or a value is out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from irt_bench import as_table
    >>> as_table(pd.DataFrame({"model": ["a", "b"], "seed": [1, 2], "item": ["q", "q"], "correct": [0, 1]}))
    ResponseTable(benchmark: 2 models x 1 items, 2 answers)
    """
    if isinstance(responses, ResponseTable):
        return responses
    if isinstance(responses, pd.DataFrame) and _is_long(responses):
        return table_from_frame(responses)
    counts = as_counts(responses)
    row, column = (place.ravel() for place in np.indices(counts.correct.shape))
    asked, correct, trials = counts.asked.ravel(), counts.correct.ravel(), counts.trials.ravel()
    frame = pd.DataFrame({names.MODEL: counts.models.index[row], names.ITEM: counts.items.index[column]})
    if counts.measure == "score":
        frame[names.SCORE] = np.divide(correct, trials, out=np.full(len(correct), np.nan), where=asked)
    elif counts.trials.max(initial=0) > 1:
        frame[names.N_CORRECT], frame[names.N_SAMPLES] = np.where(asked, correct, np.nan), np.where(asked, trials, 0)
    else:
        frame[names.CORRECT] = np.where(asked, correct, np.nan)
    roles: dict[str, Role] = {}
    for role, metadata, at in (("model", counts.models, row), ("item", counts.items, column)):
        for name in metadata.columns.difference(frame.columns, sort=False):
            frame[name], roles[str(name)] = metadata[name].array[at], cast(Role, role)
    return table_from_frame(frame, benchmark=counts.benchmark or DEFAULT_BENCHMARK, roles=roles, measure=counts.measure)


def no_column(missing: str, columns: list[str]) -> str:
    """Say which column a long table lacks, and what to do."""
    shown = ", ".join(columns[:MAX_LISTED]) + (f", ... ({len(columns):,} in all)" if len(columns) > MAX_LISTED else "")
    if missing == names.MODEL and not {names.CORRECT, names.N_CORRECT, names.SCORE} & {*columns}:
        return f"no column 'model' among: {shown}. If rows are items and columns are models, transpose the table."
    return f"no column {missing!r} among: {shown}. Rename the one that names the {missing}s to {missing!r}."


def _is_long(frame: pd.DataFrame) -> bool:
    """Whether a frame has one row per response: a column names its item, or holds its value."""
    named = {*frame.columns, *rename_aliases(frame.columns).values()}
    return bool(named & {names.ITEM, names.CORRECT, names.N_CORRECT})


def _unknown_kind(responses: object) -> str:
    """Say that this is no responses, and what is needed."""
    shape = f" of shape {responses.shape}" if isinstance(responses, np.ndarray) else ""
    return (
        f"responses are a {type(responses).__name__}{shape}; ResponseCounts, a ResponseTable, a DataFrame (long, or a "
        "row per model and a column per item) or an array of shape (model, item) is needed. Files: "
        "read_responses(paths)."
    )


def _counts_of_wide(frame: pd.DataFrame) -> ResponseCounts:
    refuse_transposed(frame.index.name)
    if str(frame.columns.name).lower() in (names.MODEL, "models", *ALIASES[names.MODEL]):
        raise ResponsesError(
            f"the columns are named {frame.columns.name!r}; one row per model is needed. Transpose it."
        )
    check_unique_columns(frame.columns)
    columns = wide_columns({str(name): frame[name] for name in frame.columns})
    unnamed = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
    key = model_column(columns) if unnamed or names.MODEL in columns else None
    labels = frame.index if key is None else pd.Index(columns.pop(key))
    texts = [name for name, values in columns.items() if describes_models(values)]
    metadata = [name for name in columns if name in WIDE_METADATA or (name in texts and len(texts) < len(columns))]
    if metadata:
        long = pd.DataFrame(columns).assign(**{names.MODEL: labels.to_numpy()})
        ids = [names.MODEL, *metadata]
        return table_from_frame(long.melt(ids, var_name=names.ITEM, value_name=names.SCORE)).counts()
    items = pd.Index(list(columns), dtype="str")
    if not len(items):
        raise ResponsesError("a wide frame has models but no items; one column per item is needed.")
    if all(pd.api.types.is_numeric_dtype(values) for values in columns.values()):
        values = np.asarray(pd.DataFrame(columns, copy=False).to_numpy(dtype=np.float64, na_value=np.nan))
    else:
        values = np.asarray(cell_matrix(columns, labels), dtype=np.float64)
        values[values == EMPTY] = np.nan
    return _counts_of_values(values, labels, items)


def _counts_of_values(values: npt.NDArray[Any], labels: pd.Index, items: pd.Index) -> ResponseCounts:
    """Count 0 and 1, or scores, (model, item), NaN where there is no response; whole numbers stay bytes."""
    ordered, whole = None, values.dtype.kind != "f" and values.min() >= 0 and values.max() <= 1
    if whole:
        correct = np.asarray(values) if values.dtype == np.int8 and is_frozen(values) else values.astype(np.int8)
        asked = np.broadcast_to(np.int8(1), values.shape)
    else:
        values, items = without_means(np.asarray(values, dtype=np.float64), items)
        ordered = score_range(values)
        if ordered is not None:
            warnings.warn(ORDERED.format(*ordered), ResponsesWarning, stacklevel=4)
            values = (values - ordered[0]) / (ordered[1] - ordered[0])
        bad = ~(np.isnan(values) | ((values >= 0) & (values <= 1)))
        if bad.any():
            row, column = (int(place) for place in np.argwhere(bad)[0])
            raise ResponsesError(
                f"{int(bad.sum()):,} values are not from 0 to 1; first: {values[row, column]:g} of model "
                f"{str(labels[row])!r}, item {items[column]!r}, {OUT_OF_RANGE}."
            )
        one_step = ordered is None or ordered[1] - ordered[0] == 1
        whole = np.isin(values, (0, 1))[~np.isnan(values)].all() and one_step
        correct = np.nan_to_num(values).astype(np.int8 if whole else np.float64)
        asked = (~np.isnan(values)).astype(np.int8)
    axes = (pd.Index(list(map(str, labels.tolist())), dtype="str"), items)
    models, about = (pd.DataFrame(index=axis.rename(key)) for axis, key in zip(axes, KEYS[1:], strict=True))
    if ordered is not None:
        about[names.LOWEST_SCORE], about[names.HIGHEST_SCORE] = ordered
    for made in (correct, asked):
        made.setflags(write=False)  # made here: the counts need no copy
    return ResponseCounts(correct, asked, models, about, DEFAULT_BENCHMARK, "correct" if whole else "score")


def _split(frame: pd.DataFrame, findings: list[Finding], roles: Mapping[str, Role]) -> ResponseTable:
    """Split one frame into answers, metadata of models, metadata of items, and entries."""
    pair_codes, pairs = _pair_codes(frame, names.ITEM)
    no_columns = pd.Index([], dtype="str")
    models = pd.DataFrame(
        index=pd.Index(categorical(frame[names.MODEL]).categories, name=names.MODEL), columns=no_columns
    )
    items = pd.DataFrame(index=pairs, columns=no_columns)
    groups = {"model": (categorical(frame[names.MODEL]).codes, models), "item": (pair_codes, items)}
    keep, found = [*KEYS], list(findings)
    for column in frame.columns.difference([*KEYS], sort=False):
        if column == names.TRIAL and _holds_objects(frame[column]):
            raise ResponsesError("column 'trial' holds lists or records; a number or a text is needed.")
        if column in TEXT_PER_ANSWER and _holds_objects(frame[column]):
            found.append(_dropped(column))
        elif column in PER_ANSWER or column in MEASURE_COLUMNS:
            keep.append(column)
        elif frame[column].notna().any():
            finding = _attach(frame[column], groups, roles.get(column, _known_role(column)))
            found.extend([finding] if finding else [])
    _, entries = _pair_codes(frame, names.MODEL)
    answers, duplicates = drop_duplicates(_answers_of(frame, keep))
    return ResponseTable(
        answers=answers,
        models=tidied(models),
        items=tidied(items),
        entries=entries.to_frame(index=False),
        findings=(*found, *duplicates),
    )


def _holds_objects(values: pd.Series) -> bool:
    """Whether a column holds lists or records, which cannot be compared."""
    try:
        codes_of(values)
    except TypeError:
        return True
    return False


def _dropped(column: str) -> Finding:
    return Finding("dropped_column", 1, f"column {column!r} holds lists or records; it was dropped")


def _known_role(column: str) -> Role | None:
    return "model" if column in MODEL_COLUMNS else "item" if column in ITEM_COLUMNS else None


def _attach(values: pd.Series, groups: Mapping[str, tuple[Codes, pd.DataFrame]], role: Role | None) -> Finding | None:
    """Add a column to the metadata of models or items, whichever it describes; return a finding where it is neither."""
    column = values.name
    try:
        codes, distinct = codes_of(values)
    except TypeError:
        return _dropped(str(column))
    if distinct.dtype == object:  # ids that are numbers in one file and text in another
        codes, distinct = codes_of(values.map(str, na_action="ignore"))
    for name in (role,) if role else ("model", "item"):
        group_codes, meta = groups[name]
        first, differs = last_by_group(codes, group_codes, len(meta))
        if not differs.any():
            meta[column] = values_at(distinct, first).array
            return None
    if role == "item":
        first = first if column != DOC_ID else np.where(differs, -1, first)
        meta[column] = values_at(distinct, first).array
        what = "removed there" if column == DOC_ID else "the last is kept"
        label = "/".join(map(str, meta.index[differs][0]))
        return Finding(
            "item_metadata",
            int(differs.sum()),
            f"{column!r} differs within {differs.sum():,} items, first {label!r}; {what}",
        )
    return Finding("dropped_column", 1, f"column {column!r} varies within models and items; it was dropped")


def _answers_of(frame: pd.DataFrame, keep: list[str]) -> pd.DataFrame:
    """Rows with a value, in the narrowest types: text as categories, whole numbers without gaps as integers."""
    value = next(name for name in MEASURE_COLUMNS if name in frame)
    given = frame[value].notna().to_numpy()
    answers = frame[keep] if given.all() else frame.loc[given, keep].reset_index(drop=True)
    for column in answers.columns.difference([*KEYS, *MEASURE_COLUMNS]):
        kind = answers[column].dtype
        if column in TEXT_PER_ANSWER or isinstance(kind, pd.CategoricalDtype) or pd.api.types.is_string_dtype(kind):
            answers = answers.assign(**{column: _categories(answers[column])})
    dtypes = {names.CORRECT: np.int8, names.N_CORRECT: np.int32, names.N_SAMPLES: np.int32}
    answers = answers.astype({name: dtype for name, dtype in dtypes.items() if name in answers})
    return tidied(answers, dropping=PER_ANSWER)


def _categories(values: pd.Series) -> pd.Series | pd.Categorical:
    """Text as a categorical of the sorted texts that occur; a column of lists unchanged."""
    try:
        codes, distinct = codes_of(values)
    except TypeError:
        return values
    present = np.unique(codes[codes >= 0])
    occurring = pd.Index([str(value) for value in distinct[present]], dtype="str")
    texts = occurring.unique().sort_values()
    lookup = np.full(len(distinct) + 1, -1, dtype=np.int32)  # code -1, no value, is the last place
    lookup[present] = texts.get_indexer(occurring)
    return pd.Categorical.from_codes(lookup[codes], texts)


def _pair_codes(frame: pd.DataFrame, key: str) -> tuple[Codes, pd.MultiIndex]:
    """Give a number to each (benchmark, key) pair that occurs, in order of benchmark and label."""
    outer, inner = categorical(frame[names.BENCHMARK]), categorical(frame[key])
    n_inner = len(inner.categories)
    if len(outer.categories) == 1:
        present = np.arange(n_inner)
        codes = inner.codes
    else:
        seen = np.zeros(len(outer.categories) * n_inner, dtype=bool)
        combined: Codes = outer.codes.astype(np.int32 if seen.size < 2**31 else np.int64)
        combined = combined * n_inner + inner.codes
        seen[combined] = True
        present = np.flatnonzero(seen)
        codes = (np.cumsum(seen, dtype=np.int32) - 1)[combined]
    labels = [outer.categories[present // n_inner], inner.categories[present % n_inner]]
    return codes, pd.MultiIndex.from_arrays(labels, names=[names.BENCHMARK, key])


def check_unique_columns(columns: Iterable[str]) -> None:
    """Refuse a table with two columns of the same name.

    Raises
    ------
    ResponsesError
        Naming the first such column.
    """
    seen: set[str] = set()
    for column in columns:
        if column in seen:
            raise ResponsesError(f"column {column!r} occurs twice, after {listed(seen)}. Rename one.")
        seen.add(column)
