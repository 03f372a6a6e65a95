"""Rows that repeat an answer: equal ones are dropped and counted, contradicting ones refused."""

from __future__ import annotations

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import ResponsesError
from irt_bench.responses.table import CHUNK, KEYS, MEASURE_COLUMNS, Finding, categorical

MAX_CELLS = 400_000_000  # cells of the bitmap that finds repeated rows without sorting them


def drop_duplicates(answers: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """Drop rows that repeat an answer exactly.

    Raises
    ------
    ResponsesError
        If two rows of the same (benchmark, model, item, trial) have different values; names the first.
    """
    if _all_distinct(answers):
        return answers, []
    keys = [*KEYS, *([names.TRIAL] if names.TRIAL in answers else [])]
    values = [name for name in MEASURE_COLUMNS if name in answers]
    distinct = answers.drop_duplicates([*keys, *values])
    conflicting = distinct.duplicated(keys, keep=False)
    if conflicting.any():
        rows = distinct[conflicting]
        first = rows.iloc[0]
        same = rows[(rows[keys] == first[keys]).all(axis=1)]
        shown = " and ".join("/".join(f"{row[value]:g}" for value in values) for _, row in same.iterrows())
        raise ResponsesError(
            f"{rows.drop_duplicates(keys).shape[0]} answers are given more than once with different values; first: "
            f"benchmark {first[names.BENCHMARK]!r}, model {first[names.MODEL]!r}, item {first[names.ITEM]!r}: "
            f"{values[0]} {shown}. Remove one, or say what tells them apart with a column 'trial', 'seed' or 'step'."
        )
    dropped = len(answers) - len(distinct)
    finding = Finding("duplicate_rows", dropped, f"{dropped:,} rows repeated an answer exactly and were dropped")
    return distinct.reset_index(drop=True), [finding]


def _all_distinct(answers: pd.DataFrame) -> bool:
    """Whether no two rows have the same key, by marking cells of a bitmap."""
    sizes = [len(categorical(answers[key]).categories) for key in KEYS]
    trial = answers[names.TRIAL].to_numpy() if names.TRIAL in answers else None
    if trial is not None:
        trial = pd.factorize(trial)[0] + 1  # 0: no trial given
        sizes.append(int(trial.max(initial=0)) + 1)
    if np.prod(sizes, dtype=float) > MAX_CELLS:
        keys = [*KEYS, *([names.TRIAL] if trial is not None else [])]
        return not answers.duplicated(keys).any()
    codes = [categorical(answers[key]).codes for key in KEYS] + ([trial] if trial is not None else [])
    seen = np.zeros(int(np.prod(sizes)), dtype=bool)
    for start in range(0, len(answers), CHUNK):
        cell = np.zeros(min(CHUNK, len(answers) - start), dtype=np.int64)
        for size, code in zip(sizes, codes, strict=True):
            if size > 1:
                cell *= size
                cell += code[start : start + CHUNK]
        seen[cell] = True
    return int(np.count_nonzero(seen)) == len(answers)
