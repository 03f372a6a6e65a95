"""Frames of several files → one frame, with one measure and common categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from irt_bench import names
from irt_bench.errors import ResponsesError
from irt_bench.responses.measures import normalise_measure
from irt_bench.responses.table import MEASURE_COLUMNS


def stack(frames: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Put frames below each other; a column that a frame lacks is missing there.

    Right answers beside counts become one of one, beside scores 0.0 and 1.0.

    Parameters
    ----------
    frames : sequence of (str, pd.DataFrame)
        Where a frame comes from, for messages; and the frame, in canonical columns.

    Raises
    ------
    ResponsesError
        If a frame has no value column, or some hold counts and others scores.
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
        raise ResponsesError(
            f"{first[names.N_CORRECT]} holds counts of right answers and {first[names.SCORE]} fractional scores; "
            "scores have no number of samples. Read them separately."
        )
    if names.N_CORRECT in first:
        return [_as_counts(frame) for _, frame in frames]
    if names.SCORE in first:
        return [frame.rename(columns={names.CORRECT: names.SCORE}) for _, frame in frames]
    return [frame for _, frame in frames]


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
