"""Store: one result file a cell, named by the hash of its inputs; and the responses, once, for all workers to map.

A file appears under its name only when it is whole. A study that was killed therefore goes on from the files that are
there, and a changed design finds those that it shares with the old one.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from irt_bench.errors import OutputError
from irt_bench.files import MARK, PREFIX, remove_abandoned, replacing

CELLS: Final = "cells"  # folder of the cells' results
DATA: Final = "data"  # folder of the responses as arrays
DESIGN: Final = "design.json"
SUFFIX: Final = ".npz"

# What NumPy raises on an archive whose bytes were changed.
DAMAGED: Final = (
    OSError, ValueError, KeyError, EOFError, MemoryError, NotImplementedError, OverflowError, RuntimeError, SyntaxError,
    TypeError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip

Result = Mapping[str, npt.NDArray[Any]]


def hash_of(inputs: Mapping[str, Any]) -> str:
    """Return the name of a cell: SHA-256 over its inputs, in an order of their own, 40 digits of it."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Store:
    """Folder of a study."""

    folder: Path

    def open(self) -> None:
        """Make the folder, or go on in one that a study made.

        Raises
        ------
        OutputError
            If it holds files that no study wrote, or cannot be written.
        """
        path = self.folder
        if path.exists() and (not path.is_dir() or path.is_symlink()):
            raise OutputError(f"{path} is no folder; choose another name.")
        if path.is_dir() and any(path.iterdir()) and not (path / CELLS).is_dir():
            raise OutputError(f"{path} holds files that no study wrote; choose another folder.")
        try:
            for part in (CELLS, DATA):
                (path / part).mkdir(parents=True, exist_ok=True)
                remove_abandoned(path / part)
        except OSError as error:
            raise OutputError(f"folder {path} cannot be made: {error.strerror}.") from error

    def has(self, name: str) -> bool:
        """Whether a cell is finished."""
        return self._path(name).is_file()

    def finished(self) -> set[str]:
        """Names of all finished cells."""
        return {
            entry.name.removesuffix(SUFFIX)
            for entry in os.scandir(self.folder / CELLS)
            if entry.name.endswith(SUFFIX) and not entry.name.startswith(PREFIX)
        }

    def write(self, name: str, result: Result) -> None:
        """Write a cell's result, whole or not at all; the same result gives the same bytes."""
        write_arrays(self._path(name), result)

    def read(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Read a finished cell.

        Raises
        ------
        OutputError
            If the file is damaged; it is removed, so that the next run computes it again.
        """
        path = self._path(name)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                return {key: found[key] for key in found.files}
        except DAMAGED as error:
            path.unlink(missing_ok=True)
            raise OutputError(
                f"cell {path.name} was damaged ({error}) and is removed; run the study again to compute it anew."
            ) from error

    def unfinished_mark(self) -> None:
        """Take away the mark of a finished study while it is computed anew."""
        (self.folder / MARK).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / CELLS / f"{name}{SUFFIX}"


def write_arrays(path: Path, arrays: Result) -> None:
    """Write named arrays: a reader sees a whole file or none."""
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez(file, **dict(arrays))  # type: ignore[arg-type]
