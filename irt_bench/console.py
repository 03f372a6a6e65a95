"""What commands share: the terminal, progress, and errors as one clear line with exit code 2."""

import functools
import io
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from irt_bench.errors import IrtBenchError

Command = TypeVar("Command", bound=Callable[..., Any])
EXIT_BAD_INPUT = 2
LONGEST_MESSAGE = 2000  # characters
KEPT_OF_A_LABEL = 100  # characters at the start of a word of more than 300
_LONG = re.compile(r"\S{300,}")
# What the library calls a parameter is an option here.
_METHOD = re.compile(r"method='(\w+)'")
_OPTION = re.compile(r"\b(max_sweeps|max_steps|max_tree_depth|target_accept|(?<=with )warmup|(?<=warmup and )draws)\b")

STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

out = Console(soft_wrap=False)
err = Console(stderr=True)


class Stopped(KeyboardInterrupt):
    """The process was asked to end by a signal other than that of the keyboard; everything under way is cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def clear_errors(command: Command) -> Command:
    """Turn an error about input into one line and exit code 2, signals into 128 and more, and warnings into lines."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):  # names that the terminal's encoding lacks are escaped
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        with warnings.catch_warnings(), _stoppable():
            warnings.simplefilter("default")
            warnings.showwarning = functools.partial(_show_warning, set())
            try:
                return command(*args, **kwargs)
            except IrtBenchError as error:
                err.print(f"[bold red]Error:[/] {escape(one_line(str(error)))}", soft_wrap=True)
                raise typer.Exit(EXIT_BAD_INPUT) from None
            except KeyboardInterrupt as stop:
                err.print("Stopped; nothing was written.")
                raise typer.Exit(exit_code(stop)) from None

    return wrapped  # type: ignore[return-value]


def exit_code(stop: KeyboardInterrupt) -> int:
    """128 and the number of the signal that stopped a command, as shells have it."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Have the first signal to end raise `Stopped`, so that workers end and hidden files go; a second ends at once."""

    def stop(number: int, _: object) -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_DFL)
        raise Stopped(number)

    heeded = []
    if threading.current_thread() is threading.main_thread():
        heeded = [each for each in STOPPING if signal.getsignal(each) is signal.SIG_DFL]  # nohup ignores one
    for each in heeded:
        signal.signal(each, stop)
    try:
        yield
    finally:
        for each in heeded:
            signal.signal(each, signal.SIG_DFL)


def one_line(text: str) -> str:
    """Keep a message to one line: no signs that break it or steer the terminal, and ids of any length cut short."""
    text = _OPTION.sub(lambda match: f"--{match[0].replace('_', '-')}", _METHOD.sub(r"--method \1", text))
    text = _LONG.sub(lambda match: f"{match[0][:KEPT_OF_A_LABEL]}...{match[0][-KEPT_OF_A_LABEL // 2 :]}", text)
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    return shown if len(shown) <= LONGEST_MESSAGE else f"{shown[: LONGEST_MESSAGE - 3]}..."


def _show_warning(shown: set[str], message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning that was not shown yet and is for users."""
    text = one_line(str(message))
    if text in shown or issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning):
        return
    shown.add(text)
    err.print(f"[yellow]Warning:[/] {escape(text)}", soft_wrap=True)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function (what, done, total) that moves a bar on the error stream."""
    done_of_all = TextColumn("{task.completed:,}/{task.total:,}")
    columns = (TextColumn("{task.description}"), BarColumn(), done_of_all, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=1)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=escape(what[-40:]), completed=done, total=max(total, 1))

        yield report


def print_text(text: str) -> None:
    """Print text for machines as it is: no wrapping, no markup."""
    sys.stdout.write(text + "\n")
