"""Write files so that a reader sees the old file or the whole new one, never a part."""

import contextlib
import ctypes
import errno
import hashlib
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

try:
    import fcntl
except ImportError:  # not POSIX: hidden files of killed processes are not removed
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import pandas as pd

_RENAME_EXCHANGE: Final = 2  # flag of Linux's renameat2
_HERE: Final = -100  # AT_FDCWD, which has no effect on absolute paths
HIDDEN_PREFIX: Final = ".irt-bench-"  # of temporary files and folders; readers ignore hidden ones
FOLDER_MARKER: Final = "summary.json"  # file that marks a folder as written by this package
# Beginning of a text that a spreadsheet runs as a formula (OWASP, CSV injection), and the prefix that prevents it.
FORMULA: Final = "^(\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])"
QUOTE: Final = "'"


def check_output(path: Path, *, force: bool, folder: bool = False) -> None:
    """Refuse an output that cannot be written, or that exists and must not be replaced.

    Parameters
    ----------
    path : Path
        File or folder to write.
    force : bool
        Whether an existing output may be replaced.
    folder : bool
        Whether `path` is a folder; an existing folder is replaced only if it is empty or this package wrote it.

    Raises
    ------
    OutputError
        Before anything expensive is done.
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
        raise OutputError(f"{path} exists; choose another name, or replace it with force=True.")
    if path.exists() and path.is_dir() != folder:
        raise OutputError(f"{path} is a {'folder' if path.is_dir() else 'file'}; choose another name.")
    if folder and path.is_dir() and any(path.iterdir()) and not (path / FOLDER_MARKER).is_file():
        raise OutputError(f"{path} holds files that irt-bench did not write; choose another folder.")
    parent = path.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"folder {parent} cannot be made: {error.strerror}.") from error
    if not os.access(parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise OutputError(f"{path} is not writable; choose another place.")


def claim_folder(folder: Path, call: Mapping[str, Any], *, force: bool) -> bool:
    """Make a folder that says in its `FOLDER_MARKER` which call fills it, and tell whether it was that call's already.

    Raises
    ------
    OutputError
        If it holds other files, or those of another call, whose fits `force` removes.
    """
    check_output(folder, force=True, folder=True)
    marker, text = folder / FOLDER_MARKER, json.dumps(call, indent=2)
    if marker.is_file() and marker.read_text(encoding="utf-8") == text:
        return True
    if marker.is_file() and not force:
        raise OutputError(
            f"{folder} was written from other answers, by another model or with other settings; choose another folder, "
            "or replace it with force=True."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*/fit.nc"):
        left.unlink()
    with replacing(marker) as beside:
        beside.write_text(text, encoding="utf-8")
    return False


@contextmanager
def replacing(path: Path, *, among_many: bool = False) -> Iterator[Path]:
    """Yield a temporary file beside `path`, and rename it to `path` if the block succeeds.

    `among_many`: files of killed processes are not looked for beside it; `remove_abandoned` does so once for all files.

    Raises
    ------
    OutputError
        If the file cannot be written (a full disk, say); `path` is then unchanged.
    """
    try:
        with _temporary_path(path, folder=False, among_many=among_many) as temporary:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            _flush(temporary)
            temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, and put it in place of `path` if the block succeeds.

    Files in `path` with other names are kept. The two folders are exchanged in one step, so that a process killed at
    any moment leaves all old files or all new ones. The other folder then stays hidden beside `path` until the same
    output is written again.

    Raises
    ------
    OutputError
        If a file cannot be written; `path` is then unchanged.

    Notes
    -----
    ``os.replace`` cannot replace a folder that has files. Renaming twice leaves a moment without any output, which is
    the fallback where the system cannot exchange.
    """
    try:
        with _temporary_path(path, folder=True) as temporary:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            for file in temporary.iterdir():
                _flush(file)
            if path.exists():
                _link_other_files(path, temporary)
                _exchange(temporary, path)
                _move_rest(temporary, path)
            else:
                temporary.replace(path)
    except OutputError as error:  # of a file in the temporary folder, whose name means nothing to the user
        if not isinstance(error.__cause__, OSError):
            raise
        reason = error.__cause__.strerror or error.__cause__
        raise OutputError(f"{path} cannot be written: {reason}.") from error.__cause__
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error


@contextmanager
def _temporary_path(path: Path, *, folder: bool, among_many: bool = False) -> Iterator[Path]:
    """Make a hidden file or folder beside `path`, locked while in use, after removing those of killed processes.

    The lock ends with its process in any case.
    """
    parent, prefix = (
        path.absolute().parent,
        f"{HIDDEN_PREFIX}{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]}-",
    )
    if not among_many:
        remove_abandoned(parent, prefix, path)
    made: Path | None = None
    lock: int | None = None
    try:
        while made is None:
            made = _new(parent, prefix, path.suffix, folder=folder)
            lock = _lock(made, wait=True)
            if not made.exists() or (lock is not None and not os.path.samestat(made.lstat(), os.fstat(lock))):
                _unlock(lock)  # another process removed it before it was locked
                made = lock = None
        yield made
    finally:
        if made is not None:
            _remove(made)
        _unlock(lock)


def _new(parent: Path, prefix: str, suffix: str, *, folder: bool) -> Path:
    if folder:
        return Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    handle, name = tempfile.mkstemp(dir=parent, prefix=prefix, suffix=suffix)
    os.close(handle)
    return Path(name)


def _lock(path: Path, *, wait: bool) -> int | None:
    """Open and lock a path; None where there are no locks, or, without waiting, where another process holds it."""
    if fcntl is None:
        return None
    lock = None
    try:
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        _unlock(lock)
        return None
    return lock


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def remove_abandoned(parent: Path, prefix: str = HIDDEN_PREFIX, output: Path | None = None) -> None:
    """Remove hidden files and folders of killed processes, but none that a process is using.

    Parameters
    ----------
    parent : Path
        Folder to search.
    prefix : str
        Beginning of their names.
    output : Path, optional
        Folder that takes back subfolders and links which a killed exchange left in the hidden folder.
    """
    with contextlib.suppress(OSError):  # a failure here does not prevent writing
        for name in os.listdir(parent):
            if name.startswith(prefix) and (lock := _lock(parent / name, wait=False)) is not None:
                try:
                    if (parent / name).is_dir() and output is not None and output.is_dir():
                        _move_rest(parent / name, output, files=False)
                    _remove(parent / name)
                finally:
                    _unlock(lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _link_other_files(path: Path, temporary: Path) -> None:
    """Link those files of the old folder into the new one that the new one lacks."""
    for file in path.iterdir():
        if file.is_file() and not file.is_symlink() and not (temporary / file.name).exists():
            os.link(file, temporary / file.name)


def _move_rest(old: Path, new: Path, *, files: bool = True) -> None:
    """Move what the old folder has and the new one lacks: folders, which cannot be linked, and links."""
    for name in set(os.listdir(old)) - set(os.listdir(new)):
        if files or (old / name).is_symlink() or not (old / name).is_file():
            (old / name).replace(new / name)


def _exchange(new: Path, old: Path) -> None:
    """Exchange two folders: in one step where the system can, else by renaming twice with the old one kept beside."""
    libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    if libc is not None and hasattr(libc, "renameat2"):
        arguments = (_HERE, os.fsencode(new.absolute()), _HERE, os.fsencode(old.absolute()), _RENAME_EXCHANGE)
        if libc.renameat2(*arguments) == 0:
            return
        if (code := ctypes.get_errno()) not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(code, os.strerror(code))
    aside = Path(
        tempfile.mkdtemp(dir=old.absolute().parent, prefix=f"{HIDDEN_PREFIX}old-")
    )  # the only copy, which is never removed
    old.replace(aside)
    try:
        new.replace(old)
    except OSError:
        aside.replace(old)
        raise
    aside.replace(new)


def _flush(path: Path) -> None:
    """Force a file to disk before it is renamed; a full disk raises here at the latest."""
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def write_csv(frame: "pd.DataFrame", path: Path, *, safe: bool = False, index: bool = True) -> None:
    """Write a table as CSV.

    Parameters
    ----------
    frame : pd.DataFrame
        Table to write.
    path : Path
        File to write, inside `replacing` or `replacing_folder`.
    safe : bool
        Whether texts (including column names) that a spreadsheet would run as a formula are prefixed by '. They are
        then no longer the ids of the responses.
    index : bool
        Whether the index is written.
    """
    (without_formulas(frame) if safe else frame).to_csv(path, index=index, float_format="%.9g")


def without_formulas(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Prefix texts that a spreadsheet would run as a formula by '; numbers are unchanged."""
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
    """Return plain values as indented JSON; undefined numbers become null."""
    return json.dumps(_without_nan(content), indent=2, ensure_ascii=False, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    if isinstance(value, str):  # a path need not be UTF-8
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    return None if isinstance(value, float) and value - value != 0 else value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
