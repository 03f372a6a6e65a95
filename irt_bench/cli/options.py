"""What the commands share: their options, errors as one clear line, reading of paths, writing of tables."""

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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import typer
from rich.markup import escape
from typer.core import TyperCommand
from typer.models import OptionInfo

from irt_bench.console import err, one_line, progress_bar
from irt_bench.errors import IrtBenchError
from irt_bench.files import replacing, write_csv
from irt_bench.names import FileFormatName

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.checks.limits import Check
    from irt_bench.report.tables import CheckLike
    from irt_bench.responses import ResponseTable
    from irt_bench.responses.formats.format import Choice

Command = TypeVar("Command", bound=Callable[..., Any])
EXIT_BAD_INPUT = 2
EXIT_CHECK_FAILED = 3
MAX_SEED = 2**32
SHORT = 40  # characters of choices that are shown in place of a value; more are listed in the help
READING, OUTPUT = "Reading the files", "Output"  # panels of --help
STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class OrderedCommand(TyperCommand):
    """A command whose help shows the panels that all commands share after its own."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Parameters, those of the shared panels last."""
        shared = (None, READING, OUTPUT)

        def place(parameter: Any) -> int:
            panel = getattr(parameter, "rich_help_panel", None)
            return shared.index(panel) if panel in shared[1:] else 0

        return sorted(super().get_params(ctx), key=place)


def flag(name: str, help: str, *, panel: str | None = None) -> Any:
    """Make an option without a value."""
    return typer.Option(name, help=help, metavar="", rich_help_panel=panel)


def choice(kind: Any, help: str, *declarations: str, panel: str | None = None, default: str | bool = True) -> Any:
    """Make an option whose values are those of a `Literal`: listed in the help and by completion.

    Which value is known is left to the library, whose error names near matches. `default` is shown in the help.
    """
    names = get_args(kind)
    few = len("|".join(names)) <= SHORT
    return typer.Option(
        *declarations,
        help=help if few else f"{help} Choices: {', '.join(names)}.",
        metavar=f"[{'|'.join(names)}]" if few else "NAME",
        show_default=default,
        autocompletion=lambda incomplete: [name for name in names if name.startswith(incomplete)],
        rich_help_panel=panel,
    )


Paths = Annotated[
    list[Path], typer.Argument(help="Files or folders with responses, in any known format.", metavar="RESPONSES...")
]
Benchmark = Annotated[
    str | None,
    typer.Option(
        help="Benchmark or group of tasks, where there are several; A,B: several as one.",
        metavar="NAME",
        rich_help_panel=READING,
    ),
]
FormatName = Annotated[
    str | None,
    choice(FileFormatName, "By default recognised by the files' names and contents.", "--format", panel=READING),
]
Metric = Annotated[
    str | None,
    typer.Option(
        help="Metric or scorer, where logs hold several; per benchmark: arc=acc_norm,mmlu_*=acc.",
        metavar="NAME",
        rich_help_panel=READING,
    ),
]
Filter = Annotated[
    str | None,
    typer.Option(
        help="Answer filter, where logs hold several; per benchmark as --metric.",
        metavar="NAME",
        rich_help_panel=READING,
    ),
]
Force = Annotated[bool, flag("--force", "Replace an existing output.", panel=OUTPUT)]
Json = Annotated[bool, flag("--json", "Print JSON instead of tables.", panel=OUTPUT)]


def check_seed(seed: int | None) -> int | None:
    """Refuse a seed that generators of random numbers do not take."""
    if seed is not None and not 0 <= seed < MAX_SEED:
        raise typer.BadParameter(f"{seed} is not a whole number from 0 to {MAX_SEED - 1}.")
    return seed


Seed = Annotated[
    int,
    typer.Option(help="Seed of the random numbers; the same seed gives the same result.", callback=check_seed),
]
SafeCsv = Annotated[
    bool,
    flag("--safe-csv", "In CSV files, put ' before text that a spreadsheet would run as a formula.", panel=OUTPUT),
]
Strict = Annotated[bool, flag("--strict", "End with exit code 3 if a check failed.", panel=OUTPUT)]
FitFolder = Annotated[Path, typer.Option("--fit", help="Folder that irt-bench fit wrote.", metavar="DIR")]


class Stopped(KeyboardInterrupt):
    """The process was asked to end by a signal other than that of the keyboard; everything under way is cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def clear_errors(command: Command) -> Command:
    """Turn an error about input into one line and exit code 2, signals into 128 and more, and warnings into lines.

    Messages of the library name parameters; those of the command are written as its options.
    """
    options = options_of(command)

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):  # names that the terminal's encoding lacks are escaped
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        with warnings.catch_warnings(), _stoppable():
            warnings.simplefilter("default")
            warnings.showwarning = functools.partial(show_warning, set(), options)
            try:
                return command(*args, **kwargs)
            except IrtBenchError as error:
                err.print(f"[bold red]Error:[/] {escape(one_line(with_options(str(error), options)))}", soft_wrap=True)
                raise typer.Exit(EXIT_BAD_INPUT) from None
            except KeyboardInterrupt as stop:
                err.print("Stopped. The output under way was not written; what had been finished before is whole.")
                raise typer.Exit(exit_code(stop)) from None

    return wrapped  # type: ignore[return-value]


def exit_code(stop: KeyboardInterrupt) -> int:
    """128 and the number of the signal that stopped a command, as shells have it."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


def options_of(command: Callable[..., Any]) -> dict[str, str]:
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
    or behind a bracket or a comma, is not looked at: labels of models hold such too, ``run-1[seed=1,step=100]``.
    """
    named = "|".join(map(re.escape, sorted(options, key=len, reverse=True)))
    bare = "|".join(re.escape(name) for name in options if "_" in name)
    patterns = [_QUOTED]
    patterns += [rf"(?<![^\s(])(?P<name>{named})=(?P<value>'[^']*'|\.\.\.|[\w.-]*\w)"] if named else []
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


def for_terminal(checks: Iterable["Check"], command: Callable[..., Any]) -> list["Check"]:
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


def read_paths(
    paths: list[Path], benchmark: str | None, format: str | None, metric: "Choice", filter: "Choice", **others: Any
) -> "ResponseTable":
    """Read, and choose the benchmark where one is named; several without a choice are refused by `counts`."""
    from irt_bench.responses import read_responses

    with progress_bar() as progress:
        return read_responses(
            paths, format=format, benchmark=benchmark, metric=metric, filter=filter, progress=progress, **others
        )


def fail_if_strict(checks: Iterable["CheckLike"], *, strict: bool) -> None:
    """End with exit code 3 where a check failed and failures are to count; what was found is written by then."""
    if strict and any(check.status == "failed" for check in checks):
        raise typer.Exit(EXIT_CHECK_FAILED)


def write_one_csv(frame: "pd.DataFrame", path: Path, *, safe: bool) -> None:
    """Write a table with its index, whole or not at all."""
    with replacing(path) as beside:
        write_csv(frame, beside, safe=safe)


def records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as plain values, the index among them."""
    return frame.reset_index().to_dict("records")  # type: ignore[return-value]
