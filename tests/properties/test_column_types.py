"""Every column of the canonical table with every kind of cell, in every format: a table, or one error."""

import datetime
import decimal
import json
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from any_answers import few_or_many

from irt_bench import IrtBenchError, ResponseTable, names, read_responses, table_from_frame, write_table
from irt_bench.responses.canonical import MODEL_COLUMNS
from irt_bench.responses.quality import findings
from irt_bench.responses.table import ITEM_COLUMNS, KEYS, MEASURE_COLUMNS, PER_ANSWER

COLUMNS = list(dict.fromkeys([*KEYS, *MEASURE_COLUMNS, *PER_ANSWER, *MODEL_COLUMNS, *ITEM_COLUMNS, "other"]))
DEEP = "[" * 5000 + "]" * 5000
TEXTS = {
    "float": "3.0", "negative": "-1", "word": "NA", "nothing": "", "exponent": "1e1", "true": "true",
    "huge": "9" * 5000, "beyond int32": "3000000000", "beyond int64": "9" * 20, "beyond float": "1e999",
    "not a number": "nan", "infinite": "-inf", "text": "a b", "list": "[1, 2]", "quoted": '"', "line break": "a\nb",
    "control": "a\x01b", "unicode": "\u202e\ufeff\U0001f600", "comma": "1,5", "zeros": "007", "hexadecimal": "0x1F",
    "date": "2026-01-01", "deep": DEEP, "spaces": "  ",
}  # fmt: skip
VALUES = {
    "integer": 7, "zero": 0, "negative": -1, "float": 3.0, "fraction": 0.5, "not a number": float("nan"),
    "infinite": float("inf"), "tiny": 5e-324, "huge": 2**62, "true": True, "nothing": None, "text": "a b", "empty": "",
    "number as text": "1", "list": [1, 2], "empty list": [], "nested": [[1], [2, 3]], "list of text": ["a", "b"],
    "record": {"a": 1}, "list of records": [{"a": 1}], "bytes": b"1", "no text in bytes": b"\xff\xfe",
    "date": datetime.date(2026, 1, 1), "time": datetime.datetime(2026, 1, 1), "span": datetime.timedelta(days=1),
    "decimal": decimal.Decimal("1.5"), "large decimal": decimal.Decimal("9" * 30),
}  # fmt: skip
TYPES = [  # of a whole Parquet column
    pa.null(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.bool_(), pa.string(), pa.large_string(),
    pa.string_view(), pa.binary(), pa.large_binary(), pa.date32(), pa.timestamp("ns"), pa.duration("s"),
    pa.time64("us"), pa.decimal128(5, 2), pa.list_(pa.int32()), pa.list_(pa.list_(pa.float64())),
    pa.struct([("a", pa.int8())]), pa.map_(pa.string(), pa.int8()), pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int8(), pa.int64()), pa.dictionary(pa.int8(), pa.float64()), pa.binary(2),
]  # fmt: skip


def base(column: str, n_items: int = 2) -> pd.DataFrame:
    """Answers of three models, with the value column that goes with a column."""
    frame = pd.DataFrame({"model": np.repeat(["a", "b", "c"], n_items), "item": [f"q{i}" for i in range(n_items)] * 3})
    if column in (names.N_CORRECT, names.N_SAMPLES):
        return frame.assign(n_correct=1, n_samples=2)
    value = column if column == names.SCORE else names.CORRECT
    return frame.assign(**{value: [0, 1] * (3 * n_items // 2)})


def outcome(read: Callable[[], ResponseTable], case: object) -> str:
    """ "read" or "refused"; whatever else happens is the test's failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            table = read()
        except IrtBenchError as error:
            assert str(error).strip()
            return "refused"
        except Exception as error:
            error.add_note(f"case: {case}")
            raise
        assert isinstance(table, ResponseTable)
        for benchmark in table.benchmarks:
            counts = table.select(benchmark).counts()
            assert counts.trials.min(initial=0) >= 0 and np.isfinite(counts.correct).all()
        findings(table)
    return "read"


def with_cell(column: str, value: object, *, everywhere: bool) -> dict[str, list[object]]:
    frame = base(column)
    values: list[object] = list(frame[column].tolist()) if column in frame else [None] * len(frame)
    places = range(len(frame)) if everywhere else [1]
    for place in places:
        values[place] = value
    return {name: frame[name].tolist() for name in frame} | {column: values}


def cases(kinds: Iterable[object], examples: int) -> list[tuple[object, str, bool]]:
    """Kinds of cells with columns, everywhere or in one row: all, or so many drawn at random, the same on every run."""
    every = [(kind, column, everywhere) for kind in kinds for column in COLUMNS for everywhere in (True, False)]
    chosen = np.random.default_rng(0).permutation(len(every))[:examples]
    return [every[place] for place in sorted(chosen)]


@few_or_many(60, 10_000)
def test_csv(tmp_path, examples):
    seen = set()
    for kind, column, everywhere in cases(TEXTS, examples):
        path = tmp_path / "x.csv"
        pd.DataFrame(with_cell(column, TEXTS[kind], everywhere=everywhere)).to_csv(path, index=False)
        seen.add(outcome(lambda: read_responses([path]), (kind, column, everywhere)))  # noqa: B023
    assert seen == {"read", "refused"}


@few_or_many(40, 10_000)
def test_frames(examples):
    seen = set()
    for kind, column, everywhere in cases(VALUES, examples):
        columns = with_cell(column, VALUES[kind], everywhere=everywhere)
        frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
        forms = [frame, frame.infer_objects(), frame.convert_dtypes()]
        forms += [] if isinstance(VALUES[kind], list | dict) else [frame.astype("category")]
        for form in forms:
            seen.add(outcome(lambda: table_from_frame(form), (kind, column, everywhere)))  # noqa: B023
    assert seen == {"read", "refused"}


@few_or_many(60, 10_000)
def test_parquet(tmp_path, examples):
    seen = set()
    for kind, column, everywhere in cases(VALUES, examples):
        try:
            table = pa.table(with_cell(column, VALUES[kind], everywhere=everywhere))
            pq.write_table(table, tmp_path / "x.parquet")
        except (pa.ArrowException, TypeError, OverflowError):  # Parquet cannot hold such a mixture
            continue
        seen.add(outcome(lambda: read_and_write(tmp_path), (kind, column, everywhere)))
    assert seen == {"read", "refused"}


def read_and_write(folder: Path) -> ResponseTable:
    """What was read is written, and read again as the same number of answers."""
    table = read_responses([folder / "x.parquet"])
    for name in ("y.parquet", "y.csv"):
        write_table(table, folder / name)
        assert len(read_responses([folder / name]).answers) == len(table.answers)
    return table


@few_or_many(60, 10_000)
def test_parquet_types(tmp_path, examples):
    """Columns that are all of one type, whole or with a value missing."""
    seen = set()
    for kind, column, whole in cases(TYPES, examples):
        frame = base(column)
        values = one_of(kind, 6) if whole else [None, *one_of(kind, 5)]
        columns = {name: pa.array(frame[name].tolist()) for name in frame} | {column: pa.array(values, type=kind)}
        pq.write_table(pa.table(columns), tmp_path / "x.parquet")
        seen.add(outcome(lambda: read_responses([tmp_path / "x.parquet"]), (kind, column, whole)))
    assert seen == {"read", "refused"}


def one_of(kind: pa.DataType, n: int) -> list[object]:
    """Values of a type, each the same."""
    examples = {
        "bool": True, "string": "1", "binary": b"11", "date": datetime.date(2026, 1, 1), "timestamp": 0, "duration": 0,
        "time": datetime.time(1), "decimal": decimal.Decimal("1.00"), "list<": [1], "struct": {"a": 1},
        "map": [("a", 1)], "halffloat": np.float16(1), "large_string": "1", "large_binary": b"11", "string_view": "1",
        "fixed": b"11",
    }  # fmt: skip
    text = str(kind)
    if pa.types.is_null(kind):
        return [None] * n
    if "list<" in text and "double" in text:
        return [[[1.0]]] * n
    if text.startswith("dictionary"):
        return ["1" if "string" in text else 1] * n
    return [next((value for start, value in examples.items() if text.startswith(start)), 1)] * n


RECORDS = {
    "py-irt": {"subject_id": "m", "responses": {"q0": 1, "q1": 0}},
    "lm-eval": {
        "doc_id": 0, "doc": {"q": 1}, "target": "1", "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": " a"}},
        "resps": [[["-1.5", "False"]]], "filtered_resps": [["-1.5", "False"]], "filter": "none", "metrics": ["acc"],
        "doc_hash": "h", "prompt_hash": "p", "target_hash": "t", "acc": 1.0,
    },
    "every-eval-ever": {
        "schema_version": "1", "evaluation_id": "e", "model_id": "m", "evaluation_name": "toy", "sample_id": "1",
        "evaluation": {"score": 1.0, "is_correct": True}, "evaluation_result_id": "acc", "metadata": {"filter": "none"},
    },
}  # fmt: skip
FILES = {
    "py-irt": "x.jsonl",
    "lm-eval": "samples_toy_2026-01-01T00-00-00.000000.jsonl",
    "every-eval-ever": "x_samples.jsonl",
}


@few_or_many(60, 10_000)
@pytest.mark.parametrize("format", RECORDS)
def test_json_lines(tmp_path, format, examples):
    """Every key, and every key one level down, with every kind of value that JSON has."""
    cells = {kind: value for kind, value in VALUES.items() if isinstance(value, int | float | str | list | dict | None)}
    cells |= {"deep": json.loads("[" * 500 + "]" * 500), "huge": 10**400, "halves": "\ud800"}
    path, seen = tmp_path / FILES[format], set()
    first = RECORDS[format]
    inside = [(key, part) for key, value in first.items() if isinstance(value, dict) for part in value]
    places = [*((key, None) for key in first), *inside]
    every = [(kind, key, part) for kind in cells for key, part in places]
    for number in np.random.default_rng(0).permutation(len(every))[:examples]:
        kind, key, part = every[number]
        changed = first | {key: cells[kind] if part is None else {**first[key], part: cells[kind]}}
        path.write_text("".join(json.dumps(record) + "\n" for record in (changed, first | other(first))))
        seen.add(outcome(lambda: read_responses([path], format=format), (kind, key, part)))
    assert seen == {"read", "refused"}


def other(record: dict[str, object]) -> dict[str, object]:
    """What makes a second line another answer."""
    return {key: changed for key, changed in (("subject_id", "n"), ("doc_id", 1), ("sample_id", "2")) if key in record}
