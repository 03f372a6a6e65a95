"""Which item of a subset each item of a log is: by the document's hash, else by label or number.

A document's number in the log is wrong after a run on an unsorted list of samples, and is trusted only where there are
no hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from irt_bench import names
from irt_bench.errors import SubsetError
from irt_bench.responses.table import DOC_ID, ResponseTable
from irt_bench.subsets.log_facts import LogFacts
from irt_bench.subsets.subset import SubsetRecord
from irt_bench.subsets.subset_parts import SubsetItem


def renamed_tasks(facts: Sequence[LogFacts]) -> dict[str, str]:
    """Map exported tasks to the tasks they are a part of."""
    return {_logged_task(found): found.task for found in facts if found.exported}


def _logged_task(found: LogFacts) -> str:
    return found.path.name.removeprefix("samples_").rsplit("_", 1)[0] if found.exported else found.task


class _Known(NamedTuple):
    """Items of a subset by what logs may say of them; the task is empty where the subset has only one."""

    by_hash: dict[tuple[str, str], list[SubsetItem]]
    by_number: dict[tuple[str, str], SubsetItem]
    by_label: dict[str, SubsetItem]

    @classmethod
    def of(cls, subset: SubsetRecord, *, one_task: bool) -> _Known:
        known = cls({}, {}, {item.id: item for item in subset.items})
        for item in subset.items:
            task = "" if one_task else item.subtask
            if item.doc_hash:
                known.by_hash.setdefault((task, bare_hash(item.doc_hash)), []).append(item)
            if item.doc_id is not None:
                known.by_number[task, str(item.doc_id)] = item
        return known


def match_items(table: ResponseTable, subset: SubsetRecord, facts: Sequence[LogFacts]) -> pd.Series:
    """Id in the subset of each (benchmark, item) of the table; missing where it is not in the subset.

    Raises
    ------
    SubsetError
        If no item is in the subset.
    """
    renamed, one_task = renamed_tasks(facts), len({item.subtask for item in subset.items}) == 1
    known = _Known.of(subset, one_task=one_task)
    asked_as = {one.logged_hash: one for found in facts for one in found.asked if one.logged_hash}
    blank = pd.Series(pd.NA, index=table.items.index, dtype="object")
    numbers, hashes = table.items.get(DOC_ID, blank), table.items.get(names.DOC_HASH, blank)
    found_ids: list[str | None] = []
    for (benchmark, label), number, logged in zip(table.items.index, numbers, hashes, strict=True):
        task = "" if one_task else renamed.get(benchmark, benchmark)
        if isinstance(logged, str):
            asked = asked_as.get(bare_hash(logged))
            candidates = known.by_hash.get((task, str(asked.doc_hash) if asked else bare_hash(logged)), [])
            chosen = _pick(candidates, asked.doc_id if asked and asked.doc_hash != asked.logged_hash else number)
            if chosen is None and not known.by_hash:
                chosen = known.by_label.get(label)
        else:
            chosen = known.by_label.get(label) or (known.by_number.get((task, label)) if known.by_hash else None)
        found_ids.append(chosen.id if chosen is not None else None)
    matched = pd.Series(found_ids, index=table.items.index, dtype="object")
    if matched.isna().all():
        raise SubsetError(
            f"none of the {len(matched)} items of the logs is in the subset of {subset.benchmark!r}; the subset has "
            f"{subset.ids[0]!r}, the logs {table.items.index[0][1]!r}. Is it the same benchmark and revision?"
        )
    return matched


def _pick(candidates: list[SubsetItem], number: object) -> SubsetItem | None:
    """Take the candidate of this document number, else the first; each is taken once, as documents may repeat."""
    if not candidates:
        return None
    same = [item for item in candidates if item.doc_id == number] if number is not pd.NA else []
    chosen = same[0] if same else candidates[0]
    if len(candidates) > 1:
        candidates.remove(chosen)
    return chosen


def bare_hash(doc_hash: str) -> str:
    """Hash without the mark of a document that occurs again."""
    return doc_hash.partition("#")[0]
