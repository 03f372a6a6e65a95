"""The terminal: output and error streams, progress, and messages kept to one line."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

MAX_MESSAGE_CHARACTERS = 2000
SHORTENED_CHARACTERS = 100  # kept at the start of a word of more than 300
_LONG = re.compile(r"\S{300,}")

out = Console(soft_wrap=False)
err = Console(stderr=True)


def one_line(text: str) -> str:
    """Keep a message to one line: escape control characters, and shorten long ids."""
    text = _LONG.sub(
        lambda match: f"{match[0][:SHORTENED_CHARACTERS]}...{match[0][-SHORTENED_CHARACTERS // 2 :]}", text
    )
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    return shown if len(shown) <= MAX_MESSAGE_CHARACTERS else f"{shown[: MAX_MESSAGE_CHARACTERS - 3]}..."


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
    """Print text for machines unchanged: no wrapping, no markup."""
    sys.stdout.write(text + "\n")
