"""Array types for annotations, and blocks of long arrays that bound memory."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]


def slices(n: int, size: int) -> Iterator[slice]:
    """Cut n rows or columns into consecutive blocks of at most `size`; `size` below 1 counts as 1."""
    size = max(1, size)
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
