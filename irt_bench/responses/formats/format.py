"""The interface of format modules, and what several formats share: choices, missing grades, checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import ReadError, unknown_choice
from irt_bench.responses.canonical import Role
from irt_bench.responses.counts import Measure
from irt_bench.responses.table import METRIC, Finding


@dataclass(frozen=True)
class ReadOptions:
    """Choices where a file holds several values of the same response.

    A choice matters only where there are several: a task with a single metric (or filter) is read by it in any case.

    Parameters
    ----------
    metric : str, optional
        Metric (lm-evaluation-harness, HELM, Every Eval Ever) or scorer (Inspect) to read.
    filter : str, optional
        Filter of the responses (lm-evaluation-harness, Every Eval Ever).
    """

    metric: str | None = None
    filter: str | None = None


@dataclass(frozen=True)
class ParsedFile:
    """Content of one file or folder.

    Parameters
    ----------
    frame : pd.DataFrame
        Canonical columns, one row per graded response; the value is missing where a response was not graded.
    findings : tuple of Finding
        What was noticed on reading.
    metrics, filters : frozenset of str
        The metrics and filters read, where the format has them.
    roles : mapping of column to {"model", "item"}
        What metadata columns describe, where the file declares it.
    measure : {"correct", "score"}, optional
        What a response holds, where the file declares it.
    """

    frame: pd.DataFrame
    findings: tuple[Finding, ...] = ()
    metrics: frozenset[str] = frozenset()
    filters: frozenset[str] = frozenset()
    roles: Mapping[str, Role] = field(default_factory=dict)
    measure: Measure | None = None


@dataclass(frozen=True)
class Format:
    """A file format of responses.

    Parameters
    ----------
    name : str
        Name of the format, as `read_responses` takes it.
    description : str
        One line for users.
    claims : callable
        Path → whether the file has this format (cheap: name and first bytes only). A folder may be claimed as a whole.
    read : callable
        (path, options) → content of the file or folder.
    """

    name: str
    description: str
    claims: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], ParsedFile]


def choose(what: str, asked: str | None, candidates: Collection[str], *, where: str, option: str | None = None) -> str:
    """Return the candidate asked for, or the only one.

    Raises
    ------
    ReadError
        If there are several and none, or none of these, was asked for; the message lists them.
    """
    if asked in candidates:
        return str(asked)
    if len(candidates) == 1:
        return next(iter(candidates))
    if asked is None:
        raise ReadError(
            f"{where} has several {what}s: {', '.join(sorted(candidates))}; choose one: {option or what}='NAME'."
        )
    raise ReadError(f"{where}: {unknown_choice(what, asked, candidates)}")


def ungraded(frame: pd.DataFrame) -> list[Finding]:
    """Report, for each model and benchmark of a log, how many responses have no value: they are missing.

    Parameters
    ----------
    frame : pd.DataFrame
        Columns ``benchmark, model, metric`` and ``score``, one row per response.
    """
    if not frame[names.SCORE].isna().any():
        return []
    found = []
    for (model, benchmark), own in frame.groupby([names.MODEL, names.BENCHMARK], observed=True, sort=False):
        n_missing, metric = int(own[names.SCORE].isna().sum()), str(own[METRIC].iloc[0])
        message = (
            f"model {str(model)!r}, {str(benchmark)!r}: {n_missing:,} of {len(own):,} responses have no value of "
            f"{metric!r} (not a number, or nothing); they are treated as missing"
        )
        found += [Finding("ungraded", n_missing, message)] if n_missing else []
    return found


def constant(value: str, n_rows: int) -> pd.Categorical:
    """Return a text column with the same value in every row, which takes one byte per row."""
    return pd.Categorical.from_codes(np.zeros(n_rows, dtype=np.int8), pd.Index([value], dtype="str"))


MAX_DIGITS: Final = 16  # digits of a step; Python refuses to parse thousands of them, and int64 holds 18
DEFAULT_BRANCH: Final = "main"  # branch of finished weights on a model hub; it does not name a checkpoint
_IN_TEXT: Final = re.compile(r"""\brevision['"]?\s*[:=]\s*['"]?([^'",}\s]+)""")
_STEP: Final = re.compile(
    r"(?:^|[-_])(?:global[-_]?step|step|checkpoint|ckpt|iter(?:ation)?)[-_]?(\d{1,16})(?![\d.])", re.IGNORECASE
)


class Checkpoint(NamedTuple):
    """Training step, and the revision where it is more than the step."""

    step: int | None = None
    revision: str | None = None


def checkpoint_of(revision: object) -> Checkpoint:
    """Read a revision: "step1000" is a step, "main" nothing, any other text (a branch, a hash) a revision."""
    text = str(revision).strip() if revision is not None else ""
    if not text or text.lower() in (DEFAULT_BRANCH, "none"):
        return Checkpoint()
    match = _STEP.search(text)
    if match is None:
        return Checkpoint(revision=text)
    return Checkpoint(int(match[1]), None if match[0] == text else text)


def revision_in(model_args: object) -> str | None:
    """Find the revision among model arguments: a mapping, "a=b,c=d", or a mapping printed as text."""
    if isinstance(model_args, dict):
        revision = model_args.get("revision")
        return None if revision is None else str(revision)
    match = _IN_TEXT.search(model_args) if isinstance(model_args, str) else None
    return match[1] if match else None
