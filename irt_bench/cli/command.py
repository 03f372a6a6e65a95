"""From a function to a command: groups of options as one record each; output, progress, errors as one clear line."""

import functools
import inspect
import io
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Final, get_type_hints

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typer.models import OptionInfo

from irt_bench.errors import IrtBenchError

if TYPE_CHECKING:
    from irt_bench.inference.convergence import Check

MAX_MESSAGE_CHARACTERS = 2000
SHORTENED_CHARACTERS = 100  # kept at the start of a word of more than 300
_LONG = re.compile(r"\S{300,}")

out = Console(soft_wrap=False)
err = Console(stderr=True)

Command = Callable[..., None]
EXIT_BAD_INPUT = 2
STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


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


class Stopped(KeyboardInterrupt):
    """The process was asked to end by a signal other than that of the keyboard; everything under way is cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def command(function: Command) -> Command:
    """Make a command, whose parameters are those of the function with each dataclass replaced by its fields.

    An error about input becomes one line and exit code 2, signals become 128 and more, and warnings lines. Messages of
    the library name parameters; those of the command are written as its options.
    """
    groups: dict[str, Any] = {name: hint for name, hint in get_type_hints(function).items() if is_dataclass(hint)}
    signature = _expanded(function, groups)

    @functools.wraps(function)
    def wrapped(**given: Any) -> None:
        bound = signature.bind(**given)
        bound.apply_defaults()
        values = bound.arguments
        records = {
            name: group(**{each.name: values.pop(each.name) for each in fields(group)})
            for name, group in groups.items()
        }
        with _errors_as_lines(options):
            function(**values, **records)

    wrapped.__signature__ = signature  # type: ignore[attr-defined]
    wrapped.__annotations__ = {name: each.annotation for name, each in signature.parameters.items()}
    options = options_of(wrapped)
    return wrapped


def _expanded(function: Command, groups: Mapping[str, Any]) -> inspect.Signature:
    """Put the fields of each group in the place of the group."""
    parameters = []
    for name, own in inspect.signature(function).parameters.items():
        if name not in groups:
            parameters.append(own.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        hints = get_type_hints(groups[name], include_extras=True)
        for each in fields(groups[name]):
            default = inspect.Parameter.empty if each.default is MISSING else each.default
            parameters.append(
                inspect.Parameter(
                    each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[each.name]
                )
            )
    return inspect.Signature(parameters)


@contextmanager
def _errors_as_lines(options: Mapping[str, str]) -> Iterator[None]:
    """Print errors and warnings as lines that name options, and end with the exit code of each."""
    for stream in (sys.stdout, sys.stderr):  # names that the terminal's encoding lacks are escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings(), _stoppable():
        warnings.simplefilter("default")
        warnings.showwarning = functools.partial(show_warning, set(), options)
        try:
            yield
        except IrtBenchError as error:
            err.print(f"[bold red]Error:[/] {escape(one_line(with_options(str(error), options)))}", soft_wrap=True)
            raise typer.Exit(EXIT_BAD_INPUT) from None
        except KeyboardInterrupt as stop:
            err.print("Stopped. The output under way was not written; what had been finished before is whole.")
            raise typer.Exit(exit_code(stop)) from None


def exit_code(stop: KeyboardInterrupt) -> int:
    """128 and the number of the signal that stopped a command, as shells have it."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


READ: Final = "irt-bench read "


@functools.cache
def options_elsewhere() -> dict[str, str]:
    """Options of all commands with the command, by the names of their parameters; of several the first command's."""
    from irt_bench.cli import TASKS  # which imports this module

    commands = [each for task in TASKS.values() for each in task]
    return {
        name: f"irt-bench {each.__name__} {option}"
        for each in reversed(commands)
        for name, option in options_of(each).items()
    }


def options_of(command: Command) -> dict[str, str]:
    """Options of a command by the names of its parameters."""
    found = {}
    for name, parameter in inspect.signature(command).parameters.items():
        for info in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(info, OptionInfo):
                declared = [each for each in info.param_decls or () if each.startswith("--")]
                found[name] = declared[0] if declared else f"--{name.replace('_', '-')}"
    return found


def with_options(text: str, options: Mapping[str, str]) -> str:
    """Write parameters in a message of the library as options: ``prior_sd``, ``method='nuts'``, ``force=True``.

    A parameter is known by a value behind it or, since other words have none, by an underscore. What stands in quotes,
    or behind a bracket or a comma, is not looked at: labels of models hold such too, ``run-1[seed=1,step=100]``, and
    calls, ``ThreePL(guessing=0.25)``. For a parameter that is no option of the command, that of another is named.
    """
    elsewhere = options_elsewhere() if options else {}
    named = "|".join(map(re.escape, sorted({**elsewhere, **options}, key=len, reverse=True)))
    of_reading = {name for name, option in elsewhere.items() if option.startswith(READ)}
    bare = "|".join(re.escape(name) for name in sorted(of_reading | {*options}) if "_" in name)
    options = {**elsewhere, **options}
    patterns = [_QUOTED]
    patterns += [rf"(?<![^\s(])(?<!\w\()(?<!, )(?P<name>{named})=(?P<value>'[^']*'|\.\.\.|[\w.-]*\w)"] if named else []
    patterns += [rf"(?<![^\s(])(?P<bare>{bare})(?![\w'=(])"] if bare else []

    def written(match: re.Match[str]) -> str:
        found = match.groupdict()
        if found.get("bare"):
            return options[found["bare"]]
        if not found.get("name"):
            return match[0]
        option, value = options[found["name"]], found["value"]
        return option if value in ("True", "...") else f"{option} {value.strip(chr(39))}"

    return re.sub("|".join(patterns), written, _SELECT.sub(r"\1", text))


_QUOTED = r"(?<![=\w])'[^']*'"
_SELECT = re.compile(r"\bselect\(([^()]*)\)")


def for_terminal(checks: Iterable["Check"], command: Command) -> list["Check"]:
    """Let the messages of checks name options of a command."""
    options = options_of(command)
    return [replace(check, message=with_options(check.message, options)) for check in checks]


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


def show_warning(
    shown: set[str], options: Mapping[str, str], message: Warning | str, category: type[Warning], *_: Any, **__: Any
) -> None:
    """Print a warning that was not shown yet and is for users."""
    text = one_line(with_options(str(message), options))
    if text in shown or issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning):
        return
    shown.add(text)
    err.print(f"[yellow]Warning:[/] {escape(text)}", soft_wrap=True)
