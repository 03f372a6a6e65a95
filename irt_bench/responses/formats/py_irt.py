"""py-irt and Fluid Benchmarking: JSON lines ``{"subject_id": "a", "responses": {"q1": 1, "q2": 0}}``."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import ReadError
from irt_bench.responses.columns import value_of
from irt_bench.responses.formats.format import Format, ParsedFile, ReadOptions
from irt_bench.responses.formats.jsonlines import as_float, first_record, records

SUFFIXES: Final = (".jsonl", ".jsonlines", ".jsonl.gz", ".jsonl.zst")


def claims(path: Path) -> bool:
    """Whether the first line has a subject and its responses."""
    if not path.is_file() or not path.name.lower().endswith(SUFFIXES):
        return False
    record = first_record(path)
    return record is not None and {"subject_id", "responses"} <= record.keys()


def read(path: Path, options: ReadOptions) -> ParsedFile:
    """Read responses; an absent or null item is missing.

    Raises
    ------
    ReadError
        Naming the line that is not such a record.
    """
    subjects: dict[str, int] = {}
    item_places: dict[str, int] = {}
    models, items, values = array("i"), array("i"), array("d")  # one number per response, however long the labels
    empty: list[int] = []  # subjects without any response keep their label
    for number, record in records(path):
        subject, responses = record.get("subject_id"), record.get("responses")
        if subject is None or not isinstance(responses, dict):
            raise ReadError(f'{path}, line {number}: {{"subject_id": ..., "responses": {{...}}}} is needed.')
        place = subjects.setdefault(str(subject), len(subjects))
        if not responses:
            empty.append(place)
        models.extend([place] * len(responses))
        items.extend(item_places.setdefault(item, len(item_places)) for item in responses)
        values.extend(_value(path, number, item, value) for item, value in responses.items())
    if not items:
        raise ReadError(f"{path} holds no responses.")
    models.extend(empty)
    items.extend([0] * len(empty))
    values.extend([np.nan] * len(empty))
    keys = {
        name: pd.Categorical.from_codes(np.asarray(codes), pd.Index(list(labels), dtype="str"))
        for name, codes, labels in ((names.MODEL, models, subjects), (names.ITEM, items, item_places))
    }
    return ParsedFile(pd.DataFrame({**keys, names.SCORE: np.asarray(values)}))


def _value(path: Path, number: int, item: str, value: object) -> float:
    if value is None:
        return np.nan
    parsed = value_of(value) if isinstance(value, str) else as_float(value)
    if parsed is None:
        raise ReadError(f"{path}, line {number}: response {value!r} to item {item!r} is not a number.")
    return parsed


FORMAT: Final = Format("py-irt", "py-irt JSON lines: subject_id, responses", claims, read)
