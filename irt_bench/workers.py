"""Worker processes: they leave signals to their parent and end when it ends, for whatever reason."""

import os
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

POLL_SECONDS: Final = 1.0


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


PROCESSES: Final[Mapping[str, Any]] = {"backend": "loky", "initializer": follow_parent}  # settings of joblib.Parallel
