"""ResponseCounts: the responses to one benchmark as labelled (model, item) arrays of correct responses and trials."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.arrays import FloatArray, is_frozen, slices
from irt_bench.errors import ResponsesError
from irt_bench.names import SUBTASK

Measure = Literal["correct", "score"]

MAX_LABEL_CHARACTERS: Final = 20_000  # files of draws pad every label to the longest
SHOWN_ROWS, SHOWN_COLUMNS = 5, 10  # in a notebook
BLOCK_CELLS: Final = 2**22  # of large matrices, looked at together
_UNWRITABLE: Final = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class ResponseCounts:
    """Correct responses and trials of every model on every item of one benchmark.

    Parameters
    ----------
    correct : array of shape (model, item)
        Number of correct responses, integer, 0 <= correct <= trials; for ``measure="score"`` the sum of the scores.
    trials : array of shape (model, item)
        Number of graded responses, integer; 0 where there is none.
    models, items : pd.DataFrame
        Metadata, indexed by the labels, in the order of rows and columns.
    benchmark : str
        Name of the benchmark.
    measure : {"correct", "score"}
        Whether cells count correct responses or sum fractional scores in [0, 1].

    Raises
    ------
    ResponsesError
        If shapes and labels disagree, labels repeat or cannot be written, or a cell has more correct responses than
        trials.

    Examples
    --------
    >>> from irt_bench import load_example
    >>> counts = load_example("lsat6").counts()
    >>> counts
    ResponseCounts('lsat6': 1,000 models x 5 items, 5,000 answers)
    >>> counts.to_frame().mean().round(3).tolist()
    [0.924, 0.709, 0.553, 0.763, 0.87]
    """

    correct: npt.NDArray[Any]
    trials: npt.NDArray[Any]
    models: pd.DataFrame
    items: pd.DataFrame
    benchmark: str = ""
    measure: Measure = "correct"

    def __post_init__(self) -> None:
        for name in ("correct", "trials"):
            array = np.asarray(getattr(self, name))
            alike = not any(array.strides) or (name == "trials" and array.size > 0 and array.min() == array.max())
            kept = array[(slice(1),) * array.ndim] if alike else array  # one number is enough where all are alike
            if not is_frozen(kept):  # whoever can write to it might change it later
                kept = kept.copy()
                kept.setflags(write=False)
            object.__setattr__(self, name, np.broadcast_to(kept, array.shape) if alike else kept)
        self._check()

    def _check(self) -> None:
        shape = (len(self.models), len(self.items))
        for name in ("correct", "trials"):
            if getattr(self, name).shape != shape:
                raise ResponsesError(
                    f"{name} has shape {getattr(self, name).shape}; {shape[0]} models x {shape[1]} items need {shape}."
                )
        for frame, what in ((self.models, "model"), (self.items, "item")):
            check_labels(list(map(str, frame.index.tolist())), what)
            if not frame.index.is_unique:
                first = frame.index[frame.index.duplicated()][0]
                raise ResponsesError(f"{what} label {first!r} occurs twice; labels must be unique.")
        above = any((self.correct[rows] > self.trials[rows]).any() for rows in self._row_blocks())
        if above or self.correct.min(initial=0) < 0:
            bad = (self.correct > self.trials) | (self.correct < 0)
            row, column = np.argwhere(bad)[0]
            raise ResponsesError(
                f"{int(bad.sum())} cells have fewer than 0 or more correct responses than trials; first: model "
                f"{self.models.index[row]!r}, item {self.items.index[column]!r} "
                f"({self.correct[row, column]} of {self.trials[row, column]}). Check for duplicate rows."
            )

    @property
    def _has_common_trials(self) -> bool:
        """Whether all cells are one number in memory, as where each model answered each item once."""
        return not any(self.trials.strides)

    def _row_blocks(self) -> Iterator[slice]:
        return slices(self.n_models, BLOCK_CELLS // max(self.n_items, 1))

    def __repr__(self) -> str:
        kind = "answers" if self.measure == "correct" else "scores"
        name = f"{self.benchmark!r}: " if self.benchmark not in ("", "benchmark") else ""
        return f"ResponseCounts({name}{self.n_models:,} models x {self.n_items:,} items, {self.trials.sum():,} {kind})"

    def _repr_html_(self) -> str:
        return first_rows(repr(self), self.take(models=slice(SHOWN_ROWS), items=slice(SHOWN_COLUMNS)).to_frame())

    @property
    def n_models(self) -> int:
        """Number of models (rows)."""
        return len(self.models)

    @property
    def n_items(self) -> int:
        """Number of items (columns)."""
        return len(self.items)

    @property
    def asked(self) -> npt.NDArray[np.bool_]:
        """Whether a model has a response to an item, shape (model, item)."""
        if self._has_common_trials:
            return np.broadcast_to(self.trials[:1, :1] > 0, self.trials.shape)
        return np.asarray(self.trials > 0)

    def proportions(self) -> FloatArray:
        """Proportion correct per cell, shape (model, item), in [0, 1]; NaN where there is no response."""
        out = np.full(self.correct.shape, np.nan)
        np.divide(self.correct, self.trials, out=out, where=self.asked)
        return out

    def to_frame(self) -> pd.DataFrame:
        """Return proportions correct as a wide frame, one row per model and one column per item; NaN where missing."""
        return pd.DataFrame(self.proportions(), index=self.models.index, columns=self.items.index)

    def accuracy(self) -> pd.Series[float]:
        """Mean proportion correct of each model over its observed items, in [0, 1]; NaN without responses."""
        total = np.nansum(self.proportions(), axis=1)
        n_asked = self.asked.sum(axis=1)
        values = np.divide(total, n_asked, out=np.full(self.n_models, np.nan), where=n_asked > 0)
        return pd.Series(values, index=self.models.index, name="accuracy")

    def take(self, *, models: Any = slice(None), items: Any = slice(None)) -> ResponseCounts:
        """Keep some models or items, by position, boolean mask or slice, with their labels and metadata."""
        cells: Any = models, items
        if not isinstance(models, slice) and not isinstance(items, slice):
            cells = np.ix_(np.arange(self.n_models)[models], np.arange(self.n_items)[items])
        correct = np.ascontiguousarray(self.correct[cells])
        correct.setflags(write=False)  # made here or read-only before: the new counts need no copy
        whole = self._has_common_trials
        return ResponseCounts(
            correct=correct,
            trials=np.broadcast_to(self.trials[:1, :1], correct.shape) if whole else self.trials[cells],
            models=self.models.iloc[models],
            items=self.items.iloc[items],
            benchmark=self.benchmark,
            measure=self.measure,
        )

    def with_item_columns(self, columns: pd.DataFrame) -> ResponseCounts:
        """Add columns of the items, such as covariates, joined by label; one of the same name is replaced.

        Raises
        ------
        ResponsesError
            If a label occurs twice, or an item has no row.
        """
        labels = pd.Index(columns.index.astype(str))
        own = self.items.index.astype(str)
        if labels.has_duplicates:
            raise ResponsesError(f"item {labels[labels.duplicated()][0]!r} has two rows of columns; keep one.")
        places = labels.get_indexer(own)
        if (places < 0).any():
            raise ResponsesError(
                f"{int((places < 0).sum())} of {len(own)} items have no row in the table of items; first: "
                f"{own[int((places < 0).argmax())]!r}. Labels must be the same."
            )
        new = columns.iloc[places].set_axis(self.items.index)
        kept = self.items.drop(columns=[name for name in new if name in self.items])
        return replace(self, items=kept.join(new))

    def read_by(self) -> dict[str, str | dict[str, str]]:
        """Metric and filter by which answers were read, where logs name them; per subtask where there are several."""
        found: dict[str, str | dict[str, str]] = {}
        for name in ("metric", "filter"):
            values = self.items[name].dropna().astype(str) if name in self.items else pd.Series(dtype=str)
            if values.nunique() == 1:
                found[name] = str(values.iloc[0])
            elif len(values) and SUBTASK in self.items:
                tasks = self.items.loc[values.index, SUBTASK].astype(str)
                found[name] = dict(zip(tasks, values, strict=True))
        return found

    def fingerprint(self) -> str:
        """Return a SHA-256 over labels and cells: equal responses have equal fingerprints."""
        digest = hashlib.sha256(f"{self.benchmark}\0{self.measure}\0".encode())
        for labels in (self.models.index, self.items.index):
            digest.update("\0".join(map(str, labels.tolist())).encode() + b"\1")
        most = int(self.trials.max(initial=0))
        dtype = np.dtype(smallest_integer(most) if self.measure == "correct" else np.float64)
        digest.update(f"{dtype}\0".encode())
        for array in (self.correct, self.trials):
            for rows in self._row_blocks():
                digest.update(np.ascontiguousarray(array[rows], dtype=dtype).data)
        return f"sha256:{digest.hexdigest()}"


def check_labels(labels: Sequence[str], what: str) -> None:
    """Refuse labels that a file cannot hold.

    These are empty labels, labels longer than `MAX_LABEL_CHARACTERS`, and labels with NUL or half a surrogate pair.

    Raises
    ------
    ResponsesError
        Naming the first such label and its place.
    """
    within = max(map(len, labels), default=0) <= MAX_LABEL_CHARACTERS
    if within and all(map(str.strip, labels)) and not _UNWRITABLE.search("\n".join(labels)):
        return
    for place, label in enumerate(labels, start=1):
        sign = _UNWRITABLE.search(label)
        if label.strip() and len(label) <= MAX_LABEL_CHARACTERS and sign is None:
            continue
        shown = f"{label[:60]}..." if len(label) > 60 else label
        reason = f"has {len(label):,} characters; {MAX_LABEL_CHARACTERS:,} are the most"
        if not label.strip():
            reason = "is empty"
        elif sign is not None:
            reason = f"holds {sign.group()!r}, which files of results cannot hold"
        raise ResponsesError(f"{what} label {shown!r}, number {place:,}, {reason}. Rename it.")


def first_rows(heading: str, frame: pd.DataFrame) -> str:
    """Write the first rows of responses as HTML below a heading; labels are text."""
    table = frame.head(SHOWN_ROWS).to_html(max_cols=SHOWN_COLUMNS, float_format="{:.3g}".format, border=0)
    return f"<div><strong>{html.escape(heading)}</strong>{table}</div>"


def smallest_integer(maximum: int) -> type[np.signedinteger]:
    """Smallest signed integer type that holds counts up to `maximum`."""
    for dtype in (np.int8, np.int16, np.int32):
        if maximum <= np.iinfo(dtype).max:
            return dtype
    return np.int64
