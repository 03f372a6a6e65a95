"""What the commands share: options in groups, each one record; output, progress, and errors as one clear line."""

import functools
import inspect
import io
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_type_hints

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typer.core import TyperCommand, TyperGroup
from typer.models import OptionInfo

from irt_bench.errors import IrtBenchError, OutputError, ReadError, unknown_choice
from irt_bench.files import check_output, replacing, write_csv
from irt_bench.names import ITEM, FileFormatName

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from irt_bench.inference.convergence import Check
    from irt_bench.inference.fit import FitResult
    from irt_bench.report.tables import CheckLike
    from irt_bench.responses import ResponseTable

MAX_MESSAGE_CHARACTERS = 2000
SHORTENED_CHARACTERS = 100  # kept at the start of a word of more than 300
_LONG = re.compile(r"\S{300,}")

out = Console(soft_wrap=False)
err = Console(stderr=True)

Command = Callable[..., None]
EXIT_BAD_INPUT = 2
EXIT_CHECK_FAILED = 3
MAX_SEED = 2**32
MAX_FIGURES = 3  # that are named one by one
SHORT = 40  # characters of choices that are shown in place of a value; more are listed in the help
READING, OUTPUT, FIGURE = "Reading the files", "Output", "Figure"  # panels of --help
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


def without_types(parameters: list[Any]) -> list[Any]:
    """Show no type beside options without a value, such as --help."""
    for each in parameters:
        if getattr(each, "is_flag", False) and each.metavar is None:
            each.metavar = ""
    return parameters


class CommandGroup(TyperGroup):
    """All commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Parameters; those without a value show no type."""
        return without_types(super().get_params(ctx))


class OrderedCommand(TyperCommand):
    """A command whose help shows the panels that all commands share after its own."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Parameters, those of the shared panels last."""
        shared = (None, READING, FIGURE, OUTPUT)

        def place(parameter: Any) -> int:
            panel = getattr(parameter, "rich_help_panel", None)
            return shared.index(panel) if panel in shared[1:] else 0

        return sorted(without_types(super().get_params(ctx)), key=place)


def option(
    help: str,
    *declarations: str,
    metavar: str | None = None,
    panel: str | None = None,
    default: str | bool = True,
    **others: Any,
) -> Any:
    """Make an option with a value; `default` is shown in the help."""
    return typer.Option(
        *declarations, help=help, metavar=metavar, rich_help_panel=panel, show_default=default, **others
    )


def flag(name: str, help: str, *, panel: str | None = None) -> Any:
    """Make an option without a value."""
    return option(help, name, metavar="", panel=panel)


def choice(kind: Any, help: str, *declarations: str, panel: str | None = None, default: str | bool = True) -> Any:
    """Make an option whose values are those of a `Literal`: listed in the help and by completion.

    Which value is known is left to the library, whose error names near matches. `default` is shown in the help.
    """
    names = get_args(kind)
    few = len("|".join(names)) <= SHORT
    return option(
        help if few else f"{help} Choices: {', '.join(names)}.",
        *declarations,
        metavar=f"[{'|'.join(names)}]" if few else "NAME",
        panel=panel,
        default=default,
        autocompletion=lambda incomplete: [name for name in names if name.startswith(incomplete)],
    )


def check_seed(seed: int | None) -> int | None:
    """Refuse a seed that generators of random numbers do not take."""
    if seed is not None and not 0 <= seed < MAX_SEED:
        raise typer.BadParameter(f"{seed} is not a whole number from 0 to {MAX_SEED - 1}.")
    return seed


Paths = Annotated[
    list[Path], typer.Argument(help="Files or folders with responses, in any known format.", metavar="RESPONSES")
]
OutputFolder = Annotated[Path | None, option("Folder to write.", "--output", "-o")]
OutputCsv = Annotated[Path | None, option("CSV file to write.", "--output", "-o")]
FitFolder = Annotated[Path, typer.Option("--fit", help="Folder that irt-bench fit wrote.", metavar="DIR")]
SubsetFile = Annotated[Path, typer.Argument(help="File that irt-bench subset wrote.", metavar="SUBSET.json")]
Seed = Annotated[int, option("Seed of random numbers; the same seed gives the same result.", callback=check_seed)]
Force = Annotated[bool, flag("--force", "Replace an existing output.", panel=OUTPUT)]
Json = Annotated[bool, flag("--json", "Print JSON instead of tables.", panel=OUTPUT)]
SafeCsv = Annotated[
    bool,
    flag("--safe-csv", "In CSV files, put ' before text that a spreadsheet would run as a formula.", panel=OUTPUT),
]
Strict = Annotated[bool, flag("--strict", "End with exit code 3 if a check failed.", panel=OUTPUT)]


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How responses are read from files."""

    format: Annotated[
        str | None,
        choice(FileFormatName, "Format; by default recognised from names and contents.", "--format", panel=READING),
    ] = None
    metric: Annotated[
        str | None,
        option(
            "Metric or scorer, where logs hold several; per benchmark: arc=acc_norm,mmlu_*=acc.",
            metavar="NAME",
            panel=READING,
        ),
    ] = None
    filter: Annotated[
        str | None,
        option(
            "Answer filter, where logs hold several; per benchmark as with --metric.", metavar="NAME", panel=READING
        ),
    ] = None

    def read(self, paths: list[Path], **others: Any) -> "ResponseTable":
        """Read with a progress bar; several benchmarks without a choice are refused by `counts`."""
        from irt_bench.responses import read_responses

        with progress_bar() as progress:
            return read_responses(paths, **(vars(self) | others), progress=progress)


@dataclass(frozen=True, kw_only=True)
class ResponseOptions(FileOptions):
    """How responses are read, and of which benchmark."""

    benchmark: Annotated[
        str | None, option("Benchmark or group of tasks; A,B reads both as one.", metavar="NAME", panel=READING)
    ] = None

    def read_like(self, paths: list[Path], fitted: "FitResult") -> "ResponseTable":
        """Read the benchmark, or its tasks, by the metric and filter that a fit was made on; others are refused."""
        about = fitted.responses
        chosen = {name: about[name] for name in ("metric", "filter") if about.get(name) is not None}
        for name, known in chosen.items():
            asked = getattr(self, name)
            if asked is not None and asked != known:
                raise ReadError(
                    f"the fit was made on {name} {known!r}, not on {asked!r}: leave --{name} out, or fit that."
                )
        benchmark = about.get("benchmark")
        if self.benchmark is not None or benchmark is None:
            return self.read(paths, **chosen)
        from irt_bench.responses.read import read_items

        labels = list(map(str, fitted.posterior[ITEM].values))
        with progress_bar() as progress:
            return read_items(paths, benchmark, labels, format=self.format, progress=progress, **chosen)


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """Whether an output may be replaced, and what is printed."""

    force: Force = False
    json: Json = False

    def check(self, output: Path | None, *, folder: bool = False) -> None:
        """Refuse an output that cannot be written, before anything is computed."""
        if output is not None:
            check_output(output, force=self.force, folder=folder)


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """A figure of the result: where, which, how large, and with what title."""

    figure: Annotated[Path | None, option("Figure to write, .png, .svg or .pdf.", metavar="FILE", panel=FIGURE)] = None
    figure_kind: Annotated[
        str | None, option("Which figure, by its name in the result's plot().", metavar="NAME", panel=FIGURE)
    ] = None
    figure_size: Annotated[str | None, option("Width and height in inches.", metavar="W,H", panel=FIGURE)] = None
    figure_title: Annotated[
        str | None, option("Title of the figure; by default one that states the finding.", metavar="TEXT", panel=FIGURE)
    ] = None

    def check(self, kinds: Sequence[str], *, force: bool) -> None:
        """Refuse what cannot be drawn or written, before anything is computed; `kinds` are those of the result."""
        given = [name for name in ("figure_kind", "figure_size", "figure_title") if getattr(self, name) is not None]
        if self.figure is None and given:
            raise OutputError(f"--{given[0].replace('_', '-')} belongs to --figure; add --figure FILE.")
        if self.figure is None:
            return
        from irt_bench.report.figures.canvas import check_figure_format, check_size

        check_figure_format(self.figure)
        check_output(self.figure, force=force)
        if self.figure_kind is not None and self.figure_kind not in kinds:
            raise OutputError(unknown_choice("figure", self.figure_kind, kinds))
        if (size := self._size()) is not None:
            check_size("--figure-size", *size)

    def write(self, plot: "Callable[..., Figure]") -> None:
        """Draw and write the figure, if one is asked for, by the `plot` of a result."""
        if self.figure is None:
            return
        from irt_bench.report.figures import save_figure

        kind = {} if self.figure_kind is None else {"kind": self.figure_kind}
        save_figure(plot(**kind, figsize=self._size(), title=self.figure_title), self.figure)

    def _size(self) -> tuple[float, float] | None:
        if self.figure_size is None:
            return None
        try:
            width, height = map(float, self.figure_size.split(","))
        except ValueError:
            raise OutputError(f"--figure-size is {self.figure_size!r}; inches are needed, such as 8,5.") from None
        return width, height


@dataclass(frozen=True, kw_only=True)
class TableOptions(WriteOptions):
    """The same for commands that write CSV files."""

    safe_csv: SafeCsv = False

    def write(self, frame: "pd.DataFrame", output: Path | None) -> None:
        """Write a table with its index, whole or not at all; nothing where no file is named."""
        if output is not None:
            with replacing(output) as beside:
                write_csv(frame, beside, safe=self.safe_csv)


def say_written(output: Path | None, seconds: float | None = None) -> None:
    """Name what was written, of a folder its files; of many figures, what their names begin with."""
    if output is None:
        return
    files = sorted(each.name for each in output.iterdir()) if output.is_dir() else []
    figures = [name for name in files if name.endswith(".png")]
    if len(figures) > MAX_FIGURES:
        kinds = sorted({f"{name.partition('-')[0]}-*.png" for name in figures})
        files = [*(name for name in files if name not in figures), f"{len(figures)} figures ({', '.join(kinds)})"]
    took = "" if seconds is None else f" in {seconds:.1f} s"
    out.print(f"Wrote {output}{took}{': ' * bool(files)}{', '.join(files)}", highlight=False, markup=False)


def fail_if_strict(checks: Iterable["CheckLike"], *, strict: bool) -> None:
    """End with exit code 3 where a check failed and failures are to count; what was found is written by then."""
    if strict and any(check.status == "failed" for check in checks):
        raise typer.Exit(EXIT_CHECK_FAILED)


def records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as plain values, the index among them."""
    return frame.reset_index().to_dict("records")  # type: ignore[return-value]
