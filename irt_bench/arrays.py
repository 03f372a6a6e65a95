"""Array types for annotations, and blocks of long arrays that bound memory."""

from collections.abc import Iterator
from mmap import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]


def slices(n: int, size: int) -> Iterator[slice]:
    """Cut n rows or columns into consecutive blocks of at most `size`; `size` below 1 counts as 1."""
    size = max(1, size)
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def is_frozen(array: npt.NDArray[Any]) -> bool:
    """Whether nobody can write to an array: neither to itself nor to what it is a view of."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return base is None or isinstance(base, mmap)


def distinct_rows(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the first row alone where all rows are the same memory, and else the array."""
    return array[:1] if array.strides[0] == 0 else array


def sum_of_rows(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sum over the first axis, in no time where all rows are the same memory."""
    rows = distinct_rows(array)
    return np.asarray(rows.sum(axis=0) * (len(array) // max(len(rows), 1)))
