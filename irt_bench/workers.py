"""Long work: the progress it reports, and worker processes that leave signals to their parent and end when it ends."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

Progress = Callable[[str, int, int], None]  # called with what is done, how much of it, and of how much

POLL_SECONDS: Final = 1.0
_listening: ContextVar[Progress | None] = ContextVar("listening", default=None)


@contextmanager
def listening(progress: Progress | None) -> Iterator[None]:
    """Pass what `report` says in the block to a function."""
    token = _listening.set(progress)
    try:
        yield
    finally:
        _listening.reset(token)


def report(what: str) -> None:
    """Tell whoever listens of work whose length is not known."""
    if (progress := _listening.get()) is not None:
        progress(what, 0, 1)


def follow_parent() -> None:
    """Leave signals to the parent, which ends its workers, and end with it if it is killed."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def processes() -> dict[str, Any]:
    """Give settings of `joblib.Parallel`: processes that leave signals to their parent, and so does Loky's tracker."""
    from joblib.externals.loky.backend import resource_tracker  # noqa: PLC0415 - only where workers are wanted

    if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
        heard = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the tracker heeds no other signal
        try:
            resource_tracker.ensure_running()
        finally:
            signal.signal(signal.SIGHUP, heard or signal.SIG_DFL)
    return {"backend": "loky", "initializer": follow_parent}
