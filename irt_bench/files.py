"""Writing files so that a reader sees the old one or the whole new one, never a part."""

import ctypes
import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from irt_bench.errors import OutputError

if TYPE_CHECKING:
    import pandas as pd

_RENAME_EXCHANGE: Final = 2  # flag of Linux's renameat2
_HERE: Final = -100  # AT_FDCWD, for which absolute paths do not care
PREFIX: Final = ".irt-bench-"  # of what is not yet in place; readers pass over hidden files
MARK: Final = "summary.json"  # a folder that holds one was written by this package
# How a text begins that a spreadsheet runs (OWASP, CSV injection), and what keeps it from doing so.
FORMULA: Final = "^(\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])"
QUOTE: Final = "'"


def check_output(path: Path, *, force: bool, folder: bool = False) -> None:
    """Refuse an output that cannot be written, or exists and is not to be replaced.

    Parameters
    ----------
    path : Path
        File or folder to be written.
    force : bool
        Whether an existing one may be replaced.
    folder : bool
        Whether `path` is to be a folder; an existing one is replaced only if this package wrote it, or it is empty.

    Raises
    ------
    OutputError
        Before anything expensive was done.
    """
    try:
        _check_target(path, force=force, folder=folder)
    except OSError as error:  # a name too long, a folder that may not be searched
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error
    except ValueError as error:  # a null character
        raise OutputError(f"{str(path)!r} cannot be written: {error}.") from error


def _check_target(path: Path, *, force: bool, folder: bool) -> None:
    if path.is_symlink():
        raise OutputError(f"{path} is a symbolic link; name the file or folder itself.")
    if path.exists() and not force:
        raise OutputError(f"{path} exists; choose another name or pass --force to replace it.")
    if path.exists() and path.is_dir() != folder:
        raise OutputError(f"{path} is a {'folder' if path.is_dir() else 'file'}; choose another name.")
    if folder and path.is_dir() and any(path.iterdir()) and not (path / MARK).is_file():
        raise OutputError(f"{path} holds files that irt-bench did not write; choose another folder.")
    parent = path.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"folder {parent} cannot be made: {error.strerror}.") from error
    if not os.access(parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise OutputError(f"{path} is not writable; choose another place.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a file to write beside `path`, and rename it to `path` if the block succeeds.

    Raises
    ------
    OutputError
        If the file cannot be written (a full disk, say); `path` is then as it was.
    """
    beside = None
    try:
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=PREFIX, suffix=path.suffix)
        os.close(handle)
        beside = Path(name)
        yield beside
        beside.chmod(0o666 & ~_umask())
        _flush(beside)
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill beside `path`, and put it in place of `path` if the block succeeds.

    Files that `path` holds under other names stay. The two folders change places in one step, so that a process killed
    at any moment leaves the old files or all the new ones; what is left of the other is then in a hidden folder beside.

    Raises
    ------
    OutputError
        If a file cannot be written; `path` is then as it was.
    """
    beside = None
    try:
        beside = Path(tempfile.mkdtemp(dir=path.absolute().parent, prefix=PREFIX))
        yield beside
        beside.chmod(0o777 & ~_umask())
        for file in beside.iterdir():
            _flush(file)
        if path.exists():
            _take_along(path, beside)
            _exchange(beside, path)
            for other in set(os.listdir(beside)) - set(os.listdir(path)):  # folders, which cannot be linked
                (beside / other).replace(path / other)
        else:
            beside.replace(path)
    except OutputError as error:  # of a file in it, whose place beside nobody knows
        if not isinstance(error.__cause__, OSError):
            raise
        reason = error.__cause__.strerror or error.__cause__
        raise OutputError(f"{path} cannot be written: {reason}.") from error.__cause__
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)


def _take_along(path: Path, beside: Path) -> None:
    """Give the new folder those files of the old one that it does not hold."""
    for file in path.iterdir():
        if file.is_file() and not file.is_symlink() and not (beside / file.name).exists():
            os.link(file, beside / file.name)


def _exchange(new: Path, old: Path) -> None:
    """Let two folders change places: in one step where the system can, else in two with the old one kept beside."""
    libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    if libc is not None and hasattr(libc, "renameat2"):
        arguments = (_HERE, os.fsencode(new.absolute()), _HERE, os.fsencode(old.absolute()), _RENAME_EXCHANGE)
        if libc.renameat2(*arguments) == 0:
            return
        if (code := ctypes.get_errno()) not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(code, os.strerror(code))
    aside = Path(tempfile.mkdtemp(dir=old.absolute().parent, prefix=PREFIX))
    old.replace(aside)
    try:
        new.replace(old)
    except OSError:
        aside.replace(old)
        raise
    aside.replace(new)


def _flush(path: Path) -> None:
    """Have the disk hold a file before its name says so; a full disk shows itself here at the latest."""
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def write_csv(
    frame: "pd.DataFrame", path: Path, *, safe: bool = False, index: bool = True, number: str = "%.9g"
) -> None:
    """Write a table as CSV.

    Parameters
    ----------
    frame : pd.DataFrame
        What to write.
    path : Path
        Where; inside `replacing` or `replacing_folder`.
    safe : bool
        Whether texts, names of columns among them, that a spreadsheet would run as a formula get a ' in front. They
        then no longer are the ids of the responses.
    index : bool
        Whether the index is written.
    number : str
        Format of numbers.
    """
    (without_formulas(frame) if safe else frame).to_csv(path, index=index, float_format=number)


def without_formulas(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Put a ' in front of texts that a spreadsheet would run; numbers stay as they are."""
    frame = frame.rename(columns=_as_plain_text)
    for place, kind in enumerate(frame.dtypes):
        if kind.kind not in "biufcmM":
            frame.isetitem(place, [*map(_as_plain_text, frame.iloc[:, place].astype(object))])
    if frame.index.nlevels > 1:
        return frame.set_axis(frame.index.map(lambda labels: tuple(map(_as_plain_text, labels))))
    return frame.set_axis(frame.index.map(_as_plain_text).rename(frame.index.name))


def _as_plain_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.replace("\r\n", "\n").replace("\r", "\n")  # CSV quotes line feeds, but not lone carriage returns
    return f"{QUOTE}{value}" if re.match(FORMULA, value) else value


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as indented JSON; undefined numbers become null."""
    path.write_text(json_text(content) + "\n", encoding="utf-8")


def json_text(content: Any) -> str:
    """Plain values as indented JSON; undefined numbers become null."""
    return json.dumps(_without_nan(content), indent=2, ensure_ascii=False, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    return None if isinstance(value, float) and value - value != 0 else value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
