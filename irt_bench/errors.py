"""Errors and warnings, one class per stage; every message names the first offender and the next step."""

import difflib
import functools
from collections.abc import Callable, Iterable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

MAX_JOBS: Final = 1_024  # number of parallel processes


class IrtBenchError(Exception):
    """Base class of all errors raised for input that this package cannot use.

    Examples
    --------
    >>> from irt_bench import IrtBenchError, fit
    >>> try:
    ...     fit("results/")
    ... except IrtBenchError as error:
    ...     print(str(error)[:23])
    responses are a str; Re
    """


class ReadError(IrtBenchError):
    """A path cannot be read as responses."""


class ResponsesError(IrtBenchError):
    """Responses contradict one another or lack what is needed."""


class ModelError(IrtBenchError):
    """An IRT model does not suit the responses, or its settings are out of range."""


class FitError(IrtBenchError):
    """Inference cannot start, or a saved fit cannot be used."""


class AnalysisError(IrtBenchError):
    """A statistic is not defined for these responses."""


class SubsetError(IrtBenchError):
    """A subset cannot be chosen, read, or used with these responses."""


class OutputError(IrtBenchError):
    """An output cannot be written."""


class ConvergenceWarning(UserWarning):
    """Inference ended before its checks passed; the estimate is returned and marked.

    Examples
    --------
    >>> import warnings
    >>> from irt_bench import ConvergenceWarning
    >>> warnings.simplefilter("error", ConvergenceWarning)  # make it an error, in a script that nobody watches
    """


class FitWarning(UserWarning):
    """Inference continued in an unexpected way.

    Examples
    --------
    >>> import warnings
    >>> from irt_bench import FitWarning
    >>> warnings.simplefilter("ignore", FitWarning)
    """


class UndefinedWarning(UserWarning):
    """A statistic is undefined and reported as NaN."""


class ResponsesWarning(UserWarning):
    """Responses were read or used, but with something to know."""


class SubsetWarning(UserWarning):
    """A subset was made or used, but with something to know."""


def check_range(error: type[IrtBenchError], name: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside [`low`, `high`], or NaN.

    Raises
    ------
    IrtBenchError
        Of the given type: the name, the value, the range.
    """
    if not low <= value <= high:
        raise error(f"{name} is {value:,}; a number from {low:,} to {high:,} is needed.")


def check_jobs(error: type[IrtBenchError], jobs: int) -> None:
    """Refuse a number of parallel processes that is neither -1 (one per processor) nor from 1 to `MAX_JOBS`.

    Raises
    ------
    IrtBenchError
        Of the given type.
    """
    if jobs != -1 and not 1 <= jobs <= MAX_JOBS:
        raise error(f"jobs is {jobs:,}; -1 (one per processor), or a number from 1 to {MAX_JOBS:,}, is needed.")


def renamed(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have a function name the new parameter where an old one is given."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in names.items():
                if old in kwargs:
                    raise TypeError(f"{function.__name__}() calls {old!r} now {new!r}: give {new}=.")
            return function(*args, **kwargs)

        return wrapped

    return decorate


def unknown_choice(what: str, value: object, choices: Iterable[object]) -> str:
    """Write that a value is not among the choices: the value, near matches, and the sorted choices."""
    names = sorted(map(str, choices))
    by_lower = {name.lower(): name for name in names}
    near = [by_lower[match] for match in difflib.get_close_matches(str(value).lower(), by_lower, n=3)]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    shown = ", ".join(names[:30]) + (f", ... ({len(names)} in all)" if len(names) > 30 else "")
    return f"{what} {str(value)!r} is not known.{hint} Choices: {shown or 'none'}."
