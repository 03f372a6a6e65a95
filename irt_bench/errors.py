"""Errors and warnings, one class a stage; every message names the first offender and the next step."""

import difflib
from collections.abc import Iterable
from typing import Final

MAX_JOBS: Final = 1_024  # processes at once


class IrtBenchError(Exception):
    """Base of all errors raised for input this package cannot use.

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
    """Responses are there but contradict themselves or lack what is needed."""


class ModelError(IrtBenchError):
    """An item response model does not fit these responses, or its settings are out of range."""


class FitError(IrtBenchError):
    """Inference cannot start, or a saved fit cannot be used."""


class AnalysisError(IrtBenchError):
    """A statistic is not defined for these responses."""


class SubsetError(IrtBenchError):
    """A subset cannot be chosen, read, or used on these responses."""


class OutputError(IrtBenchError):
    """An output cannot be written."""


class ConvergenceWarning(UserWarning):
    """Inference ended before its checks passed; the estimate is kept and marked.

    Examples
    --------
    >>> import warnings
    >>> from irt_bench import ConvergenceWarning
    >>> warnings.simplefilter("error", ConvergenceWarning)  # make it an error, in a script that nobody watches
    """


class FitWarning(UserWarning):
    """Inference went on, but not as one would expect.

    Examples
    --------
    >>> import warnings
    >>> from irt_bench import FitWarning
    >>> warnings.simplefilter("ignore", FitWarning)
    """


class UndefinedWarning(UserWarning):
    """A statistic is undefined and reported as NaN."""


class ResponsesWarning(UserWarning):
    """Responses were read, but something about them should be known."""


class SubsetWarning(UserWarning):
    """A subset was made or used, but something about it should be known."""


def check_range(error: type[IrtBenchError], name: str, value: float, least: float, most: float) -> None:
    """Refuse a number that is not from `least` to `most`, or no number.

    Raises
    ------
    IrtBenchError
        Of the type given: the name, the value, the range.
    """
    if not least <= value <= most:
        raise error(f"{name} is {value:,}; a number from {least:,} to {most:,} is needed.")


def check_jobs(error: type[IrtBenchError], jobs: int) -> None:
    """Refuse a number of processes at once that is neither -1 (one a processor) nor from 1 to `MAX_JOBS`.

    Raises
    ------
    IrtBenchError
        Of the type given.
    """
    if jobs != -1 and not 1 <= jobs <= MAX_JOBS:
        raise error(f"jobs is {jobs:,}; -1 (one a processor), or a number from 1 to {MAX_JOBS:,}, is needed.")


def unknown_choice(what: str, value: object, choices: Iterable[object]) -> str:
    """Say that a value is not among the choices: the value, near matches, the sorted choices."""
    names = sorted(map(str, choices))
    by_lower = {name.lower(): name for name in names}
    near = [by_lower[match] for match in difflib.get_close_matches(str(value).lower(), by_lower, n=3)]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    shown = ", ".join(names[:30]) + (f", ... ({len(names)} in all)" if len(names) > 30 else "")
    return f"{what} {str(value)!r} is not known.{hint} Choices: {shown or 'none'}."
