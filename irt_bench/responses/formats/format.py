"""The interface of format modules, and what several formats share: choices, missing grades, checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import ReadError, unknown_choice
from irt_bench.responses.canonical import Role
from irt_bench.responses.columns import value_of
from irt_bench.responses.counts import Measure
from irt_bench.responses.formats.jsonlines import as_float
from irt_bench.responses.table import METRIC, Finding

Choice = str | Mapping[str, str] | None  # one name for all benchmarks, or one per benchmark
DEFAULT_KEY: Final = ""  # of a mapping: benchmarks that it does not name


def parse_choice(choice: Choice) -> Choice:
    """Read "acc_norm", or "arc=acc_norm,mmlu_*=acc,exact_match": per benchmark or pattern, and for all others.

    Raises
    ------
    ReadError
        If a benchmark or a name is empty, or the choice for all others is given twice.
    """
    if not isinstance(choice, str) or "=" not in choice:
        return choice
    parsed: dict[str, str] = {}
    for part in choice.split(","):
        benchmark, _, name = (each.strip() for each in part.rpartition("="))
        if not name or ("=" in part and not benchmark) or benchmark in parsed:
            raise ReadError(f"{choice!r} is no choice per benchmark; 'BENCHMARK=NAME,BENCHMARK=NAME' is needed.")
        parsed[benchmark] = name
    return parsed


_NAMED_VALUE: Final = re.compile(r"\w+\(name='([^']*)'[^()]*\)")
_PARAMETER: Final = re.compile(r"(\w+)=([^=&,()]*)")


def metric_label(name: str) -> str:
    """Shorten a metric's name with parameters, such that it can be chosen: "pass@k:k=1&n=4" → "pass@k:k1&n4"."""
    short = _PARAMETER.sub(lambda match: match[1] + match[2] if match[2].isdecimal() else match[2],
                           _NAMED_VALUE.sub(r"\1", name))  # fmt: skip
    return short.replace("=", ":").replace(",", ";")


def choice_for(choice: Choice, benchmark: str, group: str = "") -> tuple[str | None, bool]:
    """Return the choice for a benchmark, and whether it is named: by itself, a group it belongs to, or a pattern."""
    if choice is None or isinstance(choice, str):
        return choice, False
    for name in (benchmark, *reversed(group.split("/") if group else [])):
        if name in choice:
            return choice[name], True
    pattern = next((key for key in choice if key and fnmatchcase(benchmark, key)), None)
    return (choice.get(DEFAULT_KEY), False) if pattern is None else (choice[pattern], True)


class Candidates(NamedTuple):
    """What there is to choose from in one benchmark of a file, and what is chosen; None where it must be chosen."""

    what: str
    benchmark: str
    names: tuple[str, ...]
    chosen: str | None


@dataclass(frozen=True)
class ReadOptions:
    """Choices where a file holds several values of the same response, and columns of tables.

    A choice for all benchmarks matters only where there are several: a task with a single metric (or filter) is read by
    it in any case. A choice for a named benchmark must be among its metrics.
    """

    metric: Choice = None  # metric (lm-evaluation-harness, HELM, Every Eval Ever) or scorer (Inspect) to read
    filter: Choice = None  # filter of the responses (lm-evaluation-harness, Every Eval Ever)
    # benchmarks or groups of tasks that are wanted; all if empty. Nothing has to be chosen for others
    benchmarks: tuple[str, ...] = ()
    model_column: str | None = None  # column of a table with the models
    group_columns: tuple[str, ...] = ()  # columns of a wide table that describe the models
    # where given, nothing has to be chosen, and all there is to choose from is added to it
    listed: list[Candidates] | None = None

    def wants(self, benchmark: str, group: str = "") -> bool:
        """Whether a benchmark is wanted, by its own name or that of a group that it belongs to."""
        return not self.benchmarks or not {benchmark, *group.split("/")}.isdisjoint(self.benchmarks)

    def choose(
        self, what: str, candidates: Collection[str], *, benchmark: str, where: str, group: str = "", kind: str = ""
    ) -> str:
        """Return the metric or filter (`what`) to read: the one asked for, or the only one.

        `where` and `kind`, what the candidates are where they have another name, are for messages.

        Raises
        ------
        ReadError
            If there are several and none, or none of these, was asked for; the message lists them.
        """
        asked, named = choice_for(self.metric if what == "metric" else self.filter, benchmark, group)
        only = next(iter(candidates)) if len(candidates) == 1 and not (named and asked) else None
        chosen = asked if asked in candidates else only
        if self.listed is not None:
            self.listed.append(Candidates(what, benchmark, tuple(candidates), chosen))
        if chosen is None and not self.wants(benchmark, group):
            return next(iter(candidates))
        if chosen is not None:
            return chosen
        kind = kind or what
        if asked is not None and (named or self.listed is None):
            raise ReadError(f"{where}: {unknown_choice(kind, asked, candidates)}")
        if self.listed is not None:
            return next(iter(candidates))
        shown = ", ".join(sorted(candidates))
        raise ReadError(
            f"{where} has several {kind}s: {shown}; choose one: {what}='NAME', or {what}='{benchmark}=NAME' for this "
            "benchmark alone."
        )


@dataclass(frozen=True)
class ParsedFile:
    """Content of one file or folder."""

    # canonical columns, one row per graded response; the value is missing where a response was not graded
    frame: pd.DataFrame
    findings: tuple[Finding, ...] = ()  # what was noticed on reading
    # metrics, filters: the metrics and filters read, where the format has them
    metrics: frozenset[str] = frozenset()
    filters: frozenset[str] = frozenset()
    # what metadata columns describe, where the file declares it
    roles: Mapping[str, Role] = field(default_factory=dict)
    measure: Measure | None = None  # what a response holds, where the file declares it
    passed_over: frozenset[str] = frozenset()  # benchmarks, and groups of them, that were not wanted and not read
    # when the run of the file began, as text that sorts by time; empty where unknown, or if there are several runs
    time: str = ""
    # random seeds in the configuration of the run, those that matter most first
    seeds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """A file format of responses."""

    name: str  # as `read_responses` takes it
    description: str  # one line for users
    # path → whether the file has this format (cheap: name and first bytes only). A folder may be claimed as a whole
    claims: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], ParsedFile]  # (path, options) → content of the file or folder


def ungraded(frame: pd.DataFrame) -> list[Finding]:
    """Report, for each model and benchmark of a log, how many responses have no value: they are missing."""
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


def number_of(value: object) -> float | None:
    """Read a JSON number, or a text such as "1", "pass" or "NA" (missing); None for anything else."""
    return value_of(value) if isinstance(value, str) else as_float(value)


def usable_metrics(answers: Iterable[Mapping[str, object]]) -> list[str]:
    """Metrics whose values are all missing or in [0, 1], and of which some are known."""
    fits: dict[str, bool] = {}
    known: set[str] = set()
    for answer in answers:
        for metric, value in answer.items():
            number = np.nan if value is None else number_of(value)
            fits[metric] = fits.get(metric, True) and number is not None and (np.isnan(number) or 0 <= number <= 1)
            if number is not None and not np.isnan(number):
                known.add(metric)
    return [metric for metric, fit in fits.items() if fit and metric in known]


def constant(value: str, n_rows: int) -> pd.Categorical:
    """Return a text column with the same value in every row, which takes one byte per row."""
    return pd.Categorical.from_codes(np.zeros(n_rows, dtype=np.int8), pd.Index([value], dtype="str"))


KNOWN_ENDINGS: Final = (".gz", ".zst", ".csv", ".tsv", ".parquet", ".pq", ".jsonl", ".jsonlines", ".json", ".eval")


def stem(path: Path) -> str:
    """Name of a file without the endings of formats and compression."""
    name = path.name
    while (ending := Path(name).suffix.lower()) in KNOWN_ENDINGS and len(ending) < len(name):
        name = name[: -len(ending)]
    return name


QUESTION_KEYS: Final = (
    "question", "query", "problem", "problem_statement", "instruction", "prompt", "input", "goal", "ctx", "text",
    "premise", "sentence", "content", "raw",
)  # fmt: skip
MAX_WORDS_CHARACTERS: Final = 80
MAX_DEPTH: Final = 4


def first_words(content: object, depth: int = 0) -> str | None:
    """First words of a question: a text, the last of several messages, or the first usual field of a document."""
    if isinstance(content, str):
        words = "".join(c if c.isprintable() else " " for c in content[: 8 * MAX_WORDS_CHARACTERS]).split()
        text = " ".join(words)
        if len(text) > MAX_WORDS_CHARACTERS:
            text = text[:MAX_WORDS_CHARACTERS].rpartition(" ")[0] or text[:MAX_WORDS_CHARACTERS]
        return text or None
    if depth < MAX_DEPTH and isinstance(content, list) and content:
        return first_words(content[-1], depth + 1)
    if depth < MAX_DEPTH and isinstance(content, dict):
        found = (first_words(content.get(key), depth + 1) for key in QUESTION_KEYS if key in content)
        return next((text for text in found if text), None)
    return None


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
