"""Columns of a table, built up batch by batch in their narrowest form: text as codes, numbers as they are."""

from __future__ import annotations

from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.types as pat

from irt_bench.responses.labels import Codes

Part = npt.NDArray[np.generic]


class Column(Protocol):
    """One column under construction."""

    def add(self, values: pa.Array) -> None:
        """Append a batch."""

    def finish(self) -> pd.Series:
        """Return the whole column; the builder is empty afterwards."""


class TextColumn:
    """Text as codes into a growing list of distinct texts, in order of first occurrence; -1 where missing."""

    def __init__(self) -> None:
        self._code_of: dict[str | None, int] = {}
        self._parts: list[Part] = []

    def add(self, values: pa.Array) -> None:
        """Append a batch of text, dictionary-encoded or not, or of the bytes that some writers store text as."""
        if pat.is_binary(values.type) or pat.is_large_binary(values.type):
            values = values.cast(pa.string())
        if not pat.is_dictionary(values.type):
            values = values.dictionary_encode()
        local = values.dictionary.to_pylist()
        codes = [-1 if text is None else self._code_of.setdefault(text, len(self._code_of)) for text in local]
        lookup = np.array([*codes, -1], dtype=_code_type(len(self._code_of)))  # the last place is for missing values
        indices = values.indices
        if indices.null_count:
            indices = (
                indices.fill_null(len(local))
                if _fits(indices.type, len(local))
                else indices.cast(pa.int32()).fill_null(len(local))
            )
        self._parts.append(lookup[indices.to_numpy(zero_copy_only=False)])

    def finish(self) -> pd.Series:
        """Return a categorical column."""
        codes = cast(Codes, _joined(self._parts, np.dtype(_code_type(len(self._code_of)))))
        texts = pd.Index(list(self._code_of), dtype="str")
        return pd.Series(pd.Categorical.from_codes(codes, texts, validate=False), copy=False)


class NumberColumn:
    """Numbers and booleans; whole numbers with gaps stay whole, beside a mask."""

    def __init__(self, *, narrow: bool = False) -> None:
        self._narrow = narrow  # to one byte where the values allow it
        self._parts: list[Part] = []
        self._masks: list[npt.NDArray[np.bool_]] = []

    def add(self, values: pa.Array) -> None:
        """Append a batch."""
        if pat.is_null(values.type):
            values = values.cast(pa.float64())
        whole = pat.is_integer(values.type) or pat.is_boolean(values.type)
        self._masks.append(
            values.is_null().to_numpy(zero_copy_only=False) if whole and values.null_count else np.zeros(0, bool)
        )
        if whole and values.null_count:
            values = values.fill_null(0)
        numbers = values.to_numpy(zero_copy_only=False)
        if self._narrow and whole and (not len(numbers) or (numbers.min() >= -128 and numbers.max() <= 127)):
            numbers = numbers.astype(np.int8)
        self._parts.append(np.array(numbers))  # a copy, so that the batch can go

    def finish(self) -> pd.Series:
        """Return a column of the numbers' type, masked if whole numbers are missing."""
        lengths = [len(part) for part in self._parts]
        values = _joined(
            self._parts, np.result_type(*{part.dtype for part in self._parts}) if self._parts else np.dtype(float)
        )
        if not any(len(mask) for mask in self._masks):
            return pd.Series(values, copy=False)
        masks = [mask if len(mask) else np.zeros(n, bool) for mask, n in zip(self._masks, lengths, strict=True)]
        kind: Any = pd.arrays.BooleanArray if values.dtype == bool else pd.arrays.IntegerArray
        return pd.Series(kind(values, np.concatenate(masks)), copy=False)


class OtherColumn:
    """Lists, times and whatever else, kept as Arrow holds them."""

    def __init__(self) -> None:
        self._parts: list[pa.Array] = []

    def add(self, values: pa.Array) -> None:
        """Append a batch."""
        self._parts.append(values)

    def finish(self) -> pd.Series:
        """Return the column as pandas makes it of Arrow's."""
        column = pa.chunked_array(self._parts).to_pandas()
        return pd.Series(column).reset_index(drop=True)


NARROW: Final = ("correct",)


def column_for(name: str, kind: pa.DataType) -> Column:
    """Return the builder for a column of a type."""
    value_type = kind.value_type if pat.is_dictionary(kind) else kind
    if pat.is_string(value_type) or pat.is_large_string(value_type) or pat.is_string_view(value_type):
        return TextColumn()
    if pat.is_binary(kind) or pat.is_large_binary(kind):
        return TextColumn()
    if pat.is_integer(kind) or pat.is_floating(kind) or pat.is_boolean(kind) or pat.is_null(kind):
        return NumberColumn(narrow=name in NARROW)
    return OtherColumn()


def _code_type(n_codes: int) -> type[np.signedinteger]:
    return np.int8 if n_codes < 2**7 else np.int16 if n_codes < 2**15 else np.int32


def _fits(kind: pa.DataType, code: int) -> bool:
    return bool(code < 2 ** (kind.bit_width - 1))


def _joined(parts: list[Part], dtype: np.dtype) -> Part:
    """Concatenate parts, letting each go as soon as it is copied."""
    out = np.empty(sum(map(len, parts)), dtype=dtype)
    end = len(out)
    while parts:
        part = parts.pop()
        out[end - len(part) : end] = part
        end -= len(part)
    return out
