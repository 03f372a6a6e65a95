"""Values of responses: 0/1, k of n, or a score in [0, 1]; the measure is chosen once and checked for every row."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import ResponsesError
from irt_bench.responses.counts import Measure
from irt_bench.responses.labels import codes_of

WORDS: Final = (
    dict.fromkeys(("true", "yes", "pass", "passed", "success", "correct", "right", "c"), 1.0)
    | dict.fromkeys(("false", "no", "fail", "failed", "failure", "incorrect", "wrong", "i"), 0.0)  # c and i: Inspect's
    | dict.fromkeys(("", ".", "-", "na", "nan", "n/a", "null", "none", "missing"), math.nan)
)
MAX_TRIALS: Final = 2**31 - 1  # per cell
COUNT_TOLERANCE: Final = (
    1e-3  # scores stored as float32 proportions of n samples: k/n times n differs from k by rounding only
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
    values = numbers_of(frame, names.SCORE)
    _refuse(frame, names.SCORE, values.notna() & ~values.between(0, 1), "is outside [0, 1]; divide percentages by 100")
    known = values.dropna()
    if measure != "score" and ((known == 0) | (known == 1)).all():
        return frame.drop(columns=names.SCORE).assign(correct=values)
    return frame.assign(score=values.astype("float64"))


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
    raise ResponsesError(
        f"{int(bad.sum())} values of {column!r} cannot be used; first: model {str(first[names.MODEL])!r}, item "
        f"{str(first[names.ITEM])!r}: {shown!r} {what}."
    )
