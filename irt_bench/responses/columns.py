"""Columns of tables: accepted names, what the values of responses mean, and wide tables with one column per item.

Values are 0/1, k of n, or a score: the measure is chosen once and checked for every row.

Scores are kept in [0, 1]. Ordered scores, such as a judge's 1 to 10, become shares of their range, which the items'
metadata ``lowest_score`` and ``highest_score`` keep: nothing is lost.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench import names
from irt_bench.errors import ResponsesError, ResponsesWarning
from irt_bench.responses.counts import Measure
from irt_bench.responses.labels import codes_of
from irt_bench.responses.table import REVISION, Finding, categorical, listed

WORDS: Final = (
    dict.fromkeys(("true", "yes", "pass", "passed", "success", "correct", "right", "c"), 1.0)
    | dict.fromkeys(("false", "no", "fail", "failed", "failure", "incorrect", "wrong", "i"), 0.0)  # c and i: Inspect's
    | dict.fromkeys(("", ".", "-", "na", "nan", "n/a", "null", "none", "missing"), math.nan)
)
MAX_SHOWN: Final = 60  # characters of a value in a message
MAX_TRIALS: Final = 2**31 - 1  # per cell
MAX_STEPS: Final = 20  # between the lowest and the highest of ordered scores; of more, percentages are likelier
OUT_OF_RANGE: Final = (
    "is outside [0, 1]; divide percentages by 100, or name the range of other scores in the columns 'min_score' and "
    f"'max_score' (whole numbers at most {MAX_STEPS} apart are taken as ordered scores without)"
)
COUNT_TOLERANCE: Final = (
    1e-3  # scores stored as float32 proportions of n samples: k/n times n differs from k by rounding only
)
ORDERED: Final = (
    "scores are whole numbers from {:g} to {:g}: they are kept as ordered scores, and count as shares of that range; "
    "name other ranges in the columns 'min_score' and 'max_score' of a long table"
)


def normalise_measure(frame: pd.DataFrame, measure: Measure | None = None) -> pd.DataFrame:
    """Reduce the value columns to ``correct``, or ``n_correct, n_samples``, or ``score``.

    Scores that are all 0 or 1 become ``correct``, unless `measure` is ``"score"``.

    Raises
    ------
    ResponsesError
        If there is no value column, or a value is out of range; names the first row.
    """
    has = {name: name in frame for name in (names.CORRECT, names.N_CORRECT, names.N_SAMPLES, names.SCORE)}
    if has[names.N_SAMPLES] and not has[names.N_CORRECT] and (has[names.SCORE] or has[names.CORRECT]):
        frame = _counts_from_shares(frame, names.SCORE if has[names.SCORE] else names.CORRECT)
    elif has[names.N_CORRECT] and not has[names.N_SAMPLES]:
        raise ResponsesError("column 'n_correct' needs 'n_samples' (or 'count') beside it.")
    if names.N_CORRECT in frame:
        frame = _checked_counts(frame)
        return frame.drop(columns=[name for name in (names.CORRECT, names.SCORE) if name in frame])
    if has[names.CORRECT]:
        return frame.drop(columns=names.SCORE, errors="ignore").assign(correct=_zero_one(frame))
    if has[names.SCORE]:
        return _score(frame, measure)
    raise ResponsesError(
        "no column has the values of responses: 'correct' (0/1), 'n_correct' and 'n_samples', or 'score' is needed; "
        f"found {', '.join(map(str, frame.columns))}."
    )


def numbers_of(frame: pd.DataFrame, column: str) -> pd.Series:
    """Read a column of values as numbers; words such as "pass" are 1 or 0, and "NA" is missing.

    Raises
    ------
    ResponsesError
        If a value is neither; names the first row.
    """
    values = frame[column]
    if pd.api.types.is_bool_dtype(values):
        return values.astype("int8") if not values.isna().any() else values.astype("float64")
    if pd.api.types.is_numeric_dtype(values):
        return values
    try:
        codes, distinct = codes_of(values)
    except TypeError as error:
        raise ResponsesError(f"column {column!r} holds lists or records; a number is needed in every row.") from error
    parsed = [value_of(value) for value in distinct]
    refused = np.array([number is None for number in parsed] + [False])  # code -1, no value, is the last place
    _refuse(
        frame,
        column,
        pd.Series(refused[codes]),
        "is not a number; responses are 0 or 1, true or false, yes or no, pass or fail",
    )
    numbers = np.array([*parsed, np.nan], dtype=np.float64)
    exact = np.isin(numbers, (0, 1)) | np.isnan(numbers)
    return pd.Series(numbers.astype(np.float32 if exact.all() else np.float64)[codes])


def value_of(value: object) -> float | None:
    """Read a value of a response, such as 1, '1', 'true' or 'NA' (missing), as a number; None for any other text."""
    text = str(value).strip().lower()
    try:
        return WORDS[text] if text in WORDS else float(text)
    except ValueError:
        return None


def _zero_one(frame: pd.DataFrame) -> pd.Series:
    values = numbers_of(frame, names.CORRECT)
    bad = values.notna() & (values != 0) & (values != 1)
    _refuse(
        frame, names.CORRECT, bad, "is not 0 or 1; name proportions 'score', and counts 'n_correct' and 'n_samples'"
    )
    return values.astype("int8") if not values.isna().any() else values


def _score(frame: pd.DataFrame, measure: Measure | None) -> pd.DataFrame:
    values = numbers_of(frame, names.SCORE).astype("float64")
    frame = frame.assign(score=values)
    if names.MAX_SCORE in frame:
        low, high = _given_range(frame)
        _refuse(frame, names.SCORE, values.notna() & ~(high > low), "has no range: min_score is not below max_score")
        _refuse(frame, names.SCORE, values.notna() & ~values.between(low, high), "is outside its range")
        return frame
    for places in _by_benchmark(frame):
        part = frame.iloc[places]
        if score_range(part[names.SCORE].to_numpy()) is None:
            own = part[names.SCORE]
            _refuse(part, names.SCORE, own.notna() & ~own.between(0, 1), OUT_OF_RANGE)
    known = values.dropna()
    if measure != "score" and ((known == 0) | (known == 1)).all():
        return frame.drop(columns=names.SCORE).assign(correct=values)
    return frame


def score_range(values: npt.NDArray[Any]) -> tuple[float, float] | None:
    """Lowest and highest of ordered scores; None of other values.

    These are whole numbers from 0 up, at most 20 apart, of which half or more occur: codes of missing answers, such as
    -1 or 9 beside 0 and 1, are none.
    """
    levels = np.unique(values[~np.isnan(values)])
    if len(levels) < 2 or levels[0] < 0 or (levels != np.round(levels)).any():
        return None
    low, high = float(levels[0]), float(levels[-1])
    found = high - low <= MAX_STEPS and (low, high) != (0.0, 1.0) and 2 * len(levels) > high - low
    return (low, high) if found else None


def shares_of_range(frame: pd.DataFrame, measure: Measure | None = None) -> tuple[pd.DataFrame, list[Finding]]:
    """Make scores of another range than [0, 1] shares of it, which becomes metadata of the items.

    The range is in the columns ``min_score`` (by default 0) and ``max_score``, or that of all scores of a benchmark,
    where these are whole numbers. The frame is that of all files together, from `normalise_measure`.
    """
    if names.SCORE not in frame:
        return frame, []
    low, high = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
    findings = []
    if names.MAX_SCORE in frame:
        low, high = (each.to_numpy(dtype=np.float64) for each in _given_range(frame))
    else:
        for places in _by_benchmark(frame):
            if (found := score_range(frame[names.SCORE].to_numpy()[places])) is not None:
                low[places], high[places] = found
                findings.append(Finding("ordered_scores", len(places), ORDERED.format(*found)))
    if np.isnan(high).all():
        return frame, []
    shares = np.where(np.isnan(high), frame[names.SCORE], (frame[names.SCORE] - low) / (high - low))
    frame = frame.drop(columns=[names.MIN_SCORE, names.MAX_SCORE], errors="ignore")
    frame = frame.assign(**{names.SCORE: shares, names.LOWEST_SCORE: low, names.HIGHEST_SCORE: high})
    if measure != "score" and np.isin(shares[~np.isnan(shares)], (0, 1)).all() and ((high - low) <= 1).all():
        frame = frame.drop(columns=names.SCORE).assign(correct=shares)
    return frame, findings


def _given_range(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Lowest and highest possible score of each row, where columns name them."""
    high = numbers_of(frame, names.MAX_SCORE).astype("float64")
    if names.MIN_SCORE not in frame:
        return pd.Series(0.0, index=frame.index), high
    return numbers_of(frame, names.MIN_SCORE).astype("float64"), high


def _by_benchmark(frame: pd.DataFrame) -> list[npt.NDArray[Any]]:
    """Places of the rows of each benchmark."""
    if names.BENCHMARK not in frame:
        return [np.arange(len(frame))]
    return [np.asarray(places) for places in frame.groupby(names.BENCHMARK, observed=True).indices.values()]


def _counts_from_shares(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    shares, samples = numbers_of(frame, column).astype("float64"), numbers_of(frame, names.N_SAMPLES).astype("float64")
    right = shares * samples
    bad = right.notna() & ((right - right.round()).abs() > COUNT_TOLERANCE * samples.clip(lower=1))
    _refuse(frame, column, bad, f"times '{names.N_SAMPLES}' is not a whole number of correct responses")
    return frame.assign(n_correct=right.round(), n_samples=samples)


def _checked_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Correct responses and trials as numbers, whatever their type."""
    right, samples = (numbers_of(frame, column).astype("float64") for column in (names.N_CORRECT, names.N_SAMPLES))
    for column, values in ((names.N_CORRECT, right), (names.N_SAMPLES, samples)):
        bad = values.notna() & ~(values.between(0, MAX_TRIALS) & (values == values.round()))
        _refuse(frame, column, bad, f"is not a whole number from 0 to {MAX_TRIALS:,}")
    _refuse(frame, names.N_SAMPLES, right.notna() & (samples.isna() | (samples < 1)), "is not 1 or more")
    _refuse(frame, names.N_CORRECT, right > samples, f"is more than '{names.N_SAMPLES}'")
    return frame.assign(**{names.N_CORRECT: right, names.N_SAMPLES: samples})


def _refuse(frame: pd.DataFrame, column: str, bad: pd.Series, what: str) -> None:
    if not bad.any():
        return
    row = int(np.argmax(bad.fillna(False).to_numpy(dtype=bool)))
    first, value = frame.iloc[row], frame[column].iloc[row]
    shown = value.item() if isinstance(value, np.generic) else value
    shown = shown[:MAX_SHOWN] if isinstance(shown, str) else shown
    raise ResponsesError(
        f"{int(bad.sum())} values of {column!r} cannot be used; first: model {str(first[names.MODEL])!r}, item "
        f"{str(first[names.ITEM])!r}: {shown!r} {what}."
    )


CellArray = npt.NDArray[np.int8] | npt.NDArray[np.float32] | npt.NDArray[np.float64]
EMPTY: Final = -1  # an empty cell of a one-byte matrix
INDEX_NAMES: Final = ("", "__index_level_0__", "Unnamed: 0")  # names that pandas gives an index without a name
WIDE_METADATA: Final = (
    names.BENCHMARK, names.CLUSTER, names.RUN, REVISION, names.SEED, names.STEP, names.TRIAL, "name", "size"
)  # fmt: skip
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    names.MODEL: ("subject_id", "model_id", "model_name", "model_name_or_path", "llm"),
    names.ITEM: ("item_id", "sample_id", "question_id", "example_id", "question"),
    names.BENCHMARK: ("benchmark_id", "evaluation_name", "task", "task_name"),
    names.TRIAL: ("epoch", "train_trial_index", "generation_index"),
    names.CORRECT: ("is_correct", "acc", "response", "resp"),
    names.N_SAMPLES: ("count",),
    names.STEP: ("checkpoint",),
    names.SUBTASK: ("subgroup",),
    names.RATER: ("judge", "judge_model", "annotator"),
}
ID_NAMES: Final = (
    "id",
    "subject",
    "person",
    "respondent",
    "participant",
    "student",
    "examinee",
    "case",
    "row",
    "index",
)
ITEM_NAMES: Final = ("item", "items", "item_id", "sample_id", "question", "question_id", "example_id", "doc_id")
MEAN_NAMES: Final = ("accuracy", "acc", "average", "avg", "mean", "overall", "score", "total")
MEAN_TOLERANCE: Final = 0.006  # means are written with two decimals


def rename_aliases(columns: Iterable[str]) -> dict[str, str]:
    """Map accepted aliases of columns to the canonical names, capitals or not; a canonical column wins, then the first.

    Capitals of other columns stay: they may be labels of items.
    """
    present = {str(column).lower(): column for column in reversed(list(columns))}
    present |= {column: column for column in columns}
    renames = {}
    for canonical, others in ALIASES.items():
        found = [present[other] for other in (canonical, *others) if other in present]
        if found and found[0] != canonical:
            renames[found[0]] = canonical
    return renames


def wide_columns(columns: Mapping[str, pd.Series]) -> dict[str, pd.Series]:
    """Give the column of models and metadata of a wide table their canonical names; item columns keep theirs."""
    others = {
        other: name for name in (names.MODEL, *WIDE_METADATA) for other in ALIASES.get(name, ()) if name not in columns
    }
    renamed = {others.get(name, name): values for name, values in columns.items()}
    if names.MODEL not in renamed:
        return renamed
    return {name: values for name, values in renamed.items() if name not in INDEX_NAMES}


def model_column(columns: Mapping[str, pd.Series]) -> str | None:
    """Name of the column of models: ``model``, an index, or a first column of distinct texts or ids; None without one.

    Raises
    ------
    ResponsesError
        If that column names items: the table is transposed.
    """
    if names.MODEL in columns:
        return names.MODEL
    index = next((name for name in columns if name in INDEX_NAMES), None)
    first = next(iter(columns), None)
    if index is None and first is not None and columns[first].is_unique:
        index = first if _is_text(columns[first]) or str(first).lower() in ID_NAMES else None
    if index is not None:
        refuse_transposed(index)
    return index


def refuse_transposed(name: object) -> None:
    """Refuse a table whose rows have the name of items.

    Raises
    ------
    ResponsesError
        If they have.
    """
    if str(name).lower() in ITEM_NAMES:
        raise ResponsesError(
            f"the rows of the table are named by {str(name)!r}, as if they were items; one row per model and one "
            "column per item is needed. Transpose it."
        )


def cell_matrix(columns: dict[str, pd.Series], models: pd.Series | pd.Index) -> CellArray:
    """Arrange the values of items, shape (model, item): int8 with -1 where empty, or shares with NaN where empty.

    Values are numbers, or texts such as "1", "yes", "C"; `columns` is emptied on the way, to save memory. `models` are
    the labels of the rows, for messages.

    Raises
    ------
    ResponsesError
        If a column holds what is no number; names the column, the model and the value.
    """
    cells: CellArray = np.empty((len(models), len(columns)), dtype=np.int8)
    for position, name in enumerate(list(columns)):
        values = _numbers(columns.pop(name), name, models)
        if cells.dtype == np.int8 and not (np.isin(values, (0, 1)) | np.isnan(values)).all():
            cells = np.where(cells < 0, np.nan, cells.astype(np.float64))
        cells[:, position] = np.nan_to_num(values, nan=EMPTY) if cells.dtype == np.int8 else values
    return cells


def without_means(cells: CellArray, items: pd.Index) -> tuple[CellArray, pd.Index]:
    """Leave out columns with the name and the values of means over the others.

    Warns
    -----
    ResponsesWarning
        Names them.
    """
    named = np.flatnonzero([str(name).strip().lower() in MEAN_NAMES for name in items])
    if not len(named) or len(named) == len(items) or cells.dtype == np.int8:
        return cells, items
    others = np.delete(cells, named, axis=1).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a model without answers has no mean
        mean = np.nanmean(others, axis=1)
    known = np.isfinite(mean)
    shares = [cells[:, place] / scale for place in named for scale in (1, 100, others.shape[1])]
    near = [np.allclose(share[known], mean[known], rtol=0, atol=MEAN_TOLERANCE, equal_nan=True) for share in shares]
    means = named[np.reshape(near, (len(named), 3)).any(axis=1)]
    if not len(means) or not known.any():
        return cells, items
    what = listed([str(items[place]) for place in means])
    warnings.warn(
        f"column {what} holds the mean of the other columns; it is left out of the items.",
        ResponsesWarning,
        stacklevel=4,
    )
    return np.delete(cells, means, axis=1), items.delete(means)


def _is_text(values: pd.Series) -> bool:
    """Whether a column holds texts, of which some are no cells."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values) or values.isna().any():
        return False
    texts = list(values.unique())
    return all(isinstance(text, str) for text in texts) and any(_number(text) is None for text in texts)


def describes_models(values: pd.Series) -> bool:
    """Whether a column of a wide table holds texts of which none can be the value of an item."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return False
    texts = [text for text in values.dropna().unique() if isinstance(text, str)]
    return bool(texts) and all(_number(text) is None for text in texts)


def _as_texts(values: pd.Series) -> pd.Series:
    return values.astype("object").map(str, na_action="ignore").astype("category")


def _number(text: str) -> float | None:
    word = text.strip().lower()
    try:
        return WORDS[word] if word in WORDS else float(word)
    except ValueError:
        return None


def _numbers(values: pd.Series, item: str, models: pd.Series | pd.Index) -> npt.NDArray[np.float64]:
    """Values of one item as numbers, NaN where empty."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = categorical(values if isinstance(values.dtype, pd.CategoricalDtype) else _as_texts(values))
    numbers = []
    for text in texts.categories:
        number = _number(str(text))
        if number is None:
            row = int(np.argmax(np.asarray(texts == text)))
            model = models.iloc[row] if isinstance(models, pd.Series) else models[row]
            raise ResponsesError(
                f"column {item!r} holds {text!r} for model {str(model)!r}; an item of a wide table needs 0, 1 or "
                "nothing. A column of models is called 'model' (or is the index); metadata of models are "
                f"{listed(WIDE_METADATA, len(WIDE_METADATA))}; name others in group_columns, or drop them. "
                "A long table has columns 'model', 'item' "
                "and 'correct'."
            )
        numbers.append(number)
    return np.asarray(np.array([*numbers, np.nan])[texts.codes], dtype=np.float64)
