"""Broken and hostile files: one clear line and exit code 2 each, and bounded memory."""

import gzip
import json
import os
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from irt_bench import read_responses
from irt_bench.errors import ReadError, ResponsesWarning
from irt_bench.responses import read
from irt_bench.responses.formats import FORMATS, jsonlines, tables

TIME = "2025-01-02T03-04-05.678901"
JSON_LINES = "m.jsonl"
MAX_EXTRA_MIB = 1000


def sample(**changes: object) -> str:
    base = {"doc_id": 0, "doc_hash": "h", "filter": "none", "metrics": ["acc"], "resps": [], "acc": 1.0}
    return json.dumps({**base, **changes}) + "\n"


def evaluation(path: Path, samples: object, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("header.json", json.dumps({"status": "success", "eval": {"task": "t", "model": "m"}}))
        archive.writestr("summaries.json", samples if isinstance(samples, str) else json.dumps(samples))
    return path


# --- files cut off -------------------------------------------------------------------------------------------------


def whole_files(folder: Path) -> dict[str, Path]:
    """One valid file of each kind of container, large enough that its half is a part of it."""
    rng = np.random.default_rng(0)
    grid = [(f"model-{m}", f"item-{i}", int(rng.random() < 0.5)) for m in range(40) for i in range(300)]
    frame = pd.DataFrame(grid, columns=["model", "item", "correct"])
    lines = "".join(
        json.dumps({"subject_id": model, "responses": dict(zip(rows["item"], map(int, rows["correct"]), strict=True))})
        + "\n"
        for model, rows in frame.groupby("model")
    ).encode()
    scores = [{"id": f"q{n}", "epoch": 1, "scores": {"s": {"value": "CI"[n % 2]}}} for n in range(2_000)]
    files = {name: folder / name for name in ("a.csv.gz", "a.csv.zst", "a.parquet", "a.jsonl.gz", "a.jsonl.zst")}
    frame.to_csv(files["a.csv.gz"], index=False)
    frame.to_csv(files["a.csv.zst"], index=False)
    frame.to_parquet(files["a.parquet"])
    files["a.jsonl.gz"].write_bytes(gzip.compress(lines))
    files["a.jsonl.zst"].write_bytes(zstandard.compress(lines))
    log = {"status": "success", "eval": {"task": "t", "model": "m"}, "samples": scores}
    (folder / "a.json").write_text(json.dumps(log))
    return {**files, "a.eval": evaluation(folder / "a.eval", scores), "a.json": folder / "a.json"}


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
def test_files_cut_off_anywhere_are_refused(refused, run, tmp_path, kept):
    for name, path in whole_files(tmp_path).items():
        run("read", path, "-o", tmp_path / "out.parquet", "--force")
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * kept)])
        message = refused("read", path, "-o", tmp_path / f"{name}.parquet", within=tmp_path)
        assert name in message


# --- bombs -----------------------------------------------------------------------------------------------------------


def gzip_bomb(path: Path, piece: bytes, times: int, head: bytes = b"") -> Path:
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(head)
        for _ in range(times):
            file.write(piece)
    return path


def csv_bomb(folder: Path) -> Path:
    return gzip_bomb(folder / "bomb.csv.gz", b"m,q,1\n" * 100_000, 400, b"model,item,correct\n")


def lines_bomb(folder: Path) -> Path:
    return gzip_bomb(folder / "bomb.jsonl.gz", b'{"subject_id":"m","responses":{"q":1}}\n' * 30_000, 400)


def line_bomb(folder: Path) -> Path:
    return gzip_bomb(folder / "bomb.jsonl.gz", b"[" * 2**20, 400, b'{"subject_id": "m", "responses": ')


def zstd_bomb(folder: Path) -> Path:
    path = folder / "bomb.csv.zst"
    with path.open("wb") as raw, zstandard.ZstdCompressor(level=19).stream_writer(raw) as file:
        file.write(b"model,item,correct\n")
        for _ in range(400):
            file.write(b"m,q,1\n" * 100_000)
    return path


def parquet_bomb(folder: Path) -> Path:
    """A billion rows in some kB: constant columns, one run each."""
    path = folder / "bomb.parquet"
    schema = pa.schema([("model", pa.string()), ("item", pa.string()), ("correct", pa.int8())])
    n = 10_000_000
    zeros = pa.array(np.zeros(n, dtype=np.int32))
    label = pa.DictionaryArray.from_arrays(zeros, pa.array(["m"])).cast(pa.string())
    group = pa.table([label, label, pa.array(np.zeros(n, dtype=np.int8))], schema=schema)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for _ in range(3):
            writer.write_table(group)
    return path


def wide_bomb(folder: Path) -> Path:
    path = folder / "wide.csv"
    path.write_text("model," + ",".join(f"q{n}" for n in range(300_000)) + "\n")
    return path


def zip_bomb(folder: Path) -> Path:
    return evaluation(folder / "bomb.eval", "[" + " " * 2**29 + "]")


def zip_of_many_values(folder: Path) -> Path:
    return evaluation(folder / "bomb.eval", "[" + "{}," * 8_000_000 + "{}]")


def json_bomb(folder: Path) -> Path:
    path = folder / "bomb.json"
    path.write_text('{"eval": {}, "status": "success", "samples": [' + "[]," * 8_000_000 + "[]]}")
    return path


BOMBS = {
    csv_bomb: "unpacks to more than",
    lines_bomb: "unpacks to more than",
    line_bomb: "longer than 33,554,432 bytes",
    zstd_bomb: "unpacks to more than",
    parquet_bomb: "rows in",
    wide_bomb: "300,001 columns; up to 200,000 are read",
    zip_bomb: "unpacks to more than 268,435,456 bytes",
    zip_of_many_values: "more than 6,000,000 values",
    json_bomb: "more than 6,000,000 values",
}
MEASURE = """
import sys
from irt_bench.cli import app
from irt_bench.responses import read_responses
def peak():  # of this process; what getrusage says is at least what the parent had when it started this one
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
try:
    app(["read", sys.argv[1], "-o", sys.argv[2]], standalone_mode=False)
finally:
    print("MIB", (peak() - before) // 1024)
"""


def read_in_a_process(path: Path, output: Path) -> tuple[str, int]:
    """Error and growth of memory, in MiB, of reading in a process of its own."""
    done = subprocess.run([sys.executable, "-c", MEASURE, path, output], capture_output=True, text=True, timeout=120)
    return done.stderr, int(done.stdout.split("MIB")[-1])


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_bombs_are_refused_within_a_gigabyte(tmp_path, bomb):
    path = bomb(tmp_path)
    error, grown = read_in_a_process(path, tmp_path / "out.parquet")
    assert error.startswith(f"Error: {path}") and BOMBS[bomb] in error, error
    assert grown < MAX_EXTRA_MIB
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_the_measurement_of_memory_sees_a_gigabyte(tmp_path, monkeypatch):
    """Negative control: without the limit on values, a JSON bomb costs more than is allowed."""
    path = tmp_path / "bomb.json"
    path.write_text('{"eval": {}, "status": "success", "samples": [' + "{}," * 20_000_000 + "[]]}")
    unlimited = MEASURE.replace("before =", "from irt_bench.responses.formats import jsonlines\nbefore =")
    unlimited = unlimited.replace("before =", "jsonlines.MAX_JSON_VALUES = 10**9\nbefore =")
    monkeypatch.setitem(globals(), "MEASURE", unlimited)
    _, grown = read_in_a_process(path, tmp_path / "out.parquet")
    assert grown > MAX_EXTRA_MIB


def test_small_bombs_meet_the_same_limits(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(jsonlines, "UNPACKED_AT_LEAST", 2**16)
    monkeypatch.setattr(tables, "ROWS_AT_LEAST", 2**10)
    monkeypatch.setattr(tables, "ROWS_PER_BYTE", 0.1)
    packed = {
        "a.csv.gz": gzip.compress(b"model,item,correct\n" + b"m,q,1\n" * 100_000),
        "a.csv.zst": zstandard.compress(b"model,item,correct\n" + b"m,q,1\n" * 100_000),
        "a.jsonl.gz": gzip.compress(b'{"subject_id": "m", "responses": {}}\n' * 100_000),
    }
    for name, content in packed.items():
        (tmp_path / name).write_bytes(content)
        assert "unpacks to more than" in refused("items", tmp_path / name, within=tmp_path)
    pd.DataFrame({"model": "m", "item": "q", "correct": [1] * 2_000}).to_parquet(tmp_path / "a.parquet")
    assert "has more than 1,024 rows" in refused("items", tmp_path / "a.parquet", within=tmp_path)


# --- JSON ------------------------------------------------------------------------------------------------------------

DEEP = "[" * 100_000 + "]" * 100_000
LINES = {
    "deeply nested": (f'{{"subject_id": "m", "responses": {DEEP}}}', "nested too deeply"),
    "a key twice": ('{"subject_id": "m", "responses": {"q": 1, "q": 0}}', "key 'q' occurs twice in one object"),
    "no number": (
        '{"subject_id": "m", "responses": {"q": "perhaps"}}',
        "response 'perhaps' to item 'q' is not a number",
    ),
    "a list": ('{"subject_id": "m", "responses": {"q": [1]}}', "is not a number"),
    "infinity": ('{"subject_id": "m", "responses": {"q": Infinity}}', "is outside [0, 1]"),
    "more than one": ('{"subject_id": "m", "responses": {"q": 2.5}}', "2.5 is outside [0, 1]"),
    "minus one": ('{"subject_id": "m", "responses": {"q": -1}}', "-1.0 is outside [0, 1]"),
    "a huge number": (f'{{"subject_id": "m", "responses": {{"q": 1{"0" * 400}}}}}', "is outside [0, 1]"),
    "too many digits": (f'{{"subject_id": "m", "responses": {{"q": {"1" * 5000}}}}}', "not JSON"),
    "responses as text": ('{"subject_id": "m", "responses": "q"}', "is needed"),
    "two objects": ('{"subject_id": "m", "responses": {}} {}', "not JSON (Extra data"),
    "not UTF-8": ('{"subject_id": "\udcff", "responses": {}}', "not JSON"),
}


@pytest.mark.parametrize("case", LINES)
def test_json_lines_that_say_nothing_usable_are_refused_by_line(refused, tmp_path, case):
    line, message = LINES[case]
    good = '{"subject_id": "a", "responses": {"q": 1}}\n'
    (tmp_path / JSON_LINES).write_bytes((good + line + "\n").encode("utf-8", "surrogateescape"))
    assert message in refused("read", tmp_path / JSON_LINES, "-o", tmp_path / "out.csv", within=tmp_path)


def test_half_of_a_surrogate_pair_in_an_id_is_replaced(run, tmp_path):
    (tmp_path / JSON_LINES).write_text('{"subject_id": "m\\ud83d", "responses": {"q\\ude00": 1, "\\ud83d\\ude00": 0}}')
    run("read", tmp_path / JSON_LINES, "-o", tmp_path / "out.parquet")
    table = read_responses([tmp_path / "out.parquet"])
    assert list(table.models.index) == ["m\ufffd"]
    assert set(table.items.index.get_level_values("item")) == {"q\ufffd", "\U0001f600"}


SAMPLES = {
    "doc_hash": [{"a": 1}, ["h"], 7],
    "metrics": [[["acc"]], [{"acc": 1}], "acc"],
    "resps": [[[[10**400, "True"]]], [[]], {"a": 1}, "x"],
    "filtered_resps": [[["1" * 5000, "True"]], 7, [None]],
    "target": ["1" * 5000, None, ["x"]],
    "doc_id": [10**30, -1, "x", None, 0.5, True],
    "filter": [["none"], {"a": 1}, None],
    "acc": [10**400, "yes", [1], {"a": 1}, None, True, float("nan")],
}


@pytest.mark.parametrize("key", SAMPLES)
def test_lines_of_the_harness_with_values_of_other_types_are_read_or_refused(tmp_path, key):
    path = tmp_path / f"samples_toy_{TIME}.jsonl"
    for value in SAMPLES[key]:
        path.write_text(sample() + sample(**({"doc_id": 1, "doc_hash": "i"} | {key: value})))
        try:
            read_responses([path])
        except Exception as error:  # noqa: BLE001 - the kinds that are allowed are named below
            assert type(error).__name__ in ("ReadError", "ResponsesError"), (value, error)
            assert not isinstance(error.__cause__, read.LAYOUT_ERRORS), (value, error)


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": "x"}, {"epoch": [1]}, {"epoch": 10**40}, {"scores": [1]}, {"scores": {"s": [1]}},
        {"scores": {"s": {"value": {"a": {}}}}}, {"scores": {"s": {"value": 10**400}}}, {"id": {"a": 1}},
    ],
)  # fmt: skip
def test_samples_of_inspect_with_values_of_other_types_are_read_or_refused(tmp_path, changes):
    path = evaluation(tmp_path / "a.eval", [{"id": "q", "epoch": 1, "scores": {"s": {"value": "C"}}, **changes}])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResponsesWarning)
            read_responses([path])
    except Exception as error:  # noqa: BLE001
        assert type(error).__name__ in ("ReadError", "ResponsesError"), error
        assert not isinstance(error.__cause__, read.LAYOUT_ERRORS), error


# --- values and keys of tables ---------------------------------------------------------------------------------------

VALUES = {
    "inf": "'inf' is not 0 or 1",
    "2": "'2' is not 0 or 1",
    "-1": "'-1' is not 0 or 1",
    "0.5": "name proportions 'score'",
    "maybe": "'maybe' is not a number",
    "1;0": "'1;0' is not a number",
    "<script>": "'<script>' is not a number",
    "=1+1": "'=1+1' is not a number",
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_values_that_are_no_answers_are_refused_by_the_first(refused, tmp_path, value, ending):
    frame = pd.DataFrame({"model": ["a", "b"], "item": "q", "correct": ["1", value]})
    path = tmp_path / f"a{ending}"
    frame.to_csv(path, index=False) if ending == ".csv" else frame.to_parquet(path)
    message = refused("items", path, within=tmp_path)
    assert VALUES[value] in message and "model 'b', item 'q'" in message


def test_an_answer_that_is_not_a_number_is_missing(run, tmp_path):
    pd.DataFrame({"model": ["a", "b"], "item": "q", "correct": [1.0, np.nan]}).to_parquet(tmp_path / "a.parquet")
    told = json.loads(run("read", tmp_path / "a.parquet", "-o", tmp_path / "b.parquet", "--json").stdout)
    assert told["benchmarks"][0]["n_answers"] == 1


@pytest.mark.parametrize("column", ["correct", "score", "model", "item", "n_correct"])
def test_lists_records_and_times_where_a_value_or_a_label_is_needed_are_refused(refused, tmp_path, column):
    for position, other in enumerate([[[1], [0]], [{"a": 1}, {"a": 2}], pd.to_datetime(["2025-01-01", "2025-01-02"])]):
        if position == 2 and column in ("model", "item"):
            continue  # dates are fine as labels
        frame = pd.DataFrame({"model": ["a", "b"], "item": "q", "n_samples": 1})
        frame = frame.assign(**({"correct": 1} if column in ("model", "item") else {}))
        frame[column] = pd.Series(other)
        frame.to_parquet(tmp_path / "a.parquet")
        assert column in refused("items", tmp_path / "a.parquet", within=tmp_path)


def test_answers_given_twice_must_agree(refused, run, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("model,item,correct\na,q,1\na,q,0\n")
    message = refused("items", path, within=tmp_path)
    assert "model 'a', item 'q': correct 1 and 0. Remove one, or distinguish them" in message
    path.write_text("model,item,correct\na,q,1\na,q,1\n")
    told = json.loads(run("read", path, "-o", tmp_path / "b.csv", "--json").stdout)
    assert told["findings"][0]["name"] == "duplicate_rows" and told["findings"][0]["count"] == 1


@pytest.mark.parametrize("header", ["model,item,correct,correct", "model,model,item,correct"])
def test_a_column_that_occurs_twice_is_refused(refused, tmp_path, header):
    (tmp_path / "a.csv").write_text(header + "\na,q,1,1\n")
    assert "occurs twice" in refused("items", tmp_path / "a.csv", within=tmp_path)


# --- ids -------------------------------------------------------------------------------------------------------------

IDS = [
    "two\nlines", "a,b;c\td", 'quo"te\'s', "<script>alert(1)</script>", "\u202eright to left",
    "e\u0301 combining", "../../etc/passwd", "x" * 10_000, "\x1b[31mred\x07", "[bold]markup[/]", "=1+1", "-2", "@a",
    "NaN", "null", "007", "1e5", " spaced ", "\u00e9", "\U0001f600", "C:\\path", "a\u2028b", "{}", "%s %d", "${HOME}",
]  # fmt: skip


def of_ids(ids: list[str]) -> pd.DataFrame:
    """Answers of models and items called so, no two models alike."""
    grid = [
        (model, item, int((m * 5 + i * 3 + m * i) % 7 < 4)) for m, model in enumerate(ids) for i, item in enumerate(ids)
    ]
    return pd.DataFrame(grid, columns=["model", "item", "correct"])


def test_ids_of_any_text_come_through_every_file_as_they_are(run, tmp_path):
    frame = of_ids(IDS)
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("b.parquet", "b.csv"):
        run("read", tmp_path / "a.parquet", "-o", tmp_path / name)
        back = read_responses([tmp_path / name])
        assert set(back.models.index) == set(IDS) and set(back.items.index.get_level_values("item")) == set(IDS)
        merged = back.answers.astype({"model": str, "item": str}).merge(frame, on=["model", "item"])
        assert len(merged) == len(frame) and (merged["correct_x"] == merged["correct_y"]).all()


def test_a_carriage_return_in_an_id_becomes_a_line_feed(run, tmp_path):
    """No two readers of CSV agree about a lone carriage return."""
    pd.DataFrame({"model": ["a\rb", "c\r\nd"], "item": "q", "correct": [0, 1]}).to_parquet(tmp_path / "a.parquet")
    run("read", tmp_path / "a.parquet", "-o", tmp_path / "b.csv")
    assert list(read_responses([tmp_path / "b.csv"]).models.index) == ["a\nb", "c\nd"]


@pytest.mark.slow
def test_ids_of_any_text_come_through_the_journey(run, tmp_path):
    of_ids(IDS).to_parquet(tmp_path / "a.parquet")
    shown = run("items", tmp_path / "a.parquet", "-o", tmp_path / "items.csv", "--figure", tmp_path / "i.png").output
    run("fit", tmp_path / "a.parquet", "-o", tmp_path / "fit")
    run("score", tmp_path / "a.parquet", "--fit", tmp_path / "fit", "-o", tmp_path / "scores.csv")
    run("compare", tmp_path / "a.parquet", "--fit", tmp_path / "fit", "-o", tmp_path / "compared")
    for name in ("items.csv", "fit/items.csv"):
        assert set(pd.read_csv(tmp_path / name, keep_default_na=False, dtype=str)["item"]) == set(IDS)
    for name in ("scores.csv", "fit/abilities.csv"):
        assert set(pd.read_csv(tmp_path / name, keep_default_na=False, dtype=str)["model"]) == set(IDS)
    assert "\x1b[31m" not in shown and "\x07" not in shown and "\u202e" not in shown
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.parquet",
        "items.csv",
        "i.png",
        "fit",
        "scores.csv",
        "compared",
    }


def test_errors_that_name_such_ids_stay_one_line(refused, tmp_path):
    for label in IDS:
        frame = pd.DataFrame({"model": [label, label], "item": "q", "correct": [0, 1]})
        frame.to_parquet(tmp_path / "a.parquet")
        message = refused("items", tmp_path / "a.parquet", within=tmp_path)
        assert "more than once" in message and "\x1b" not in message
        frame.rename(columns={"item": label}).to_parquet(tmp_path / "a.parquet")
        refused("fit", tmp_path / "a.parquet", "-o", tmp_path / "fit", within=tmp_path)


@pytest.mark.parametrize("name", ["two\nlines.csv", "[bold]x.csv", "\x1b[31m.csv", "<script>.csv", "\udcff.csv"])
def test_paths_of_any_name_are_told_on_one_line(refused, tmp_path, name):
    refused("read", tmp_path / name, "-o", tmp_path / "a.csv", within=tmp_path)
    (tmp_path / name).write_text("")
    refused("read", tmp_path / name, "-o", tmp_path / "a.csv", within=tmp_path)


def test_paths_that_cannot_be_are_refused(refused, tmp_path):
    name = "x" * 5000
    (tmp_path / "a.csv").write_text("model,item,correct\na,q,1\n")
    refused("items", tmp_path / name, within=tmp_path)
    refused("read", tmp_path / "a.csv", "-o", tmp_path / f"{name}.csv", within=tmp_path)


# --- files that change, and kinds that are no files ------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_read_is_refused(refused, tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("model,item,correct\na,q,1\n")
    honest = FORMATS["tabular"]

    def grows(source, options):
        reading = honest.read(source, options)
        with path.open("a") as file:
            file.write("b,q,0\n")
        return reading

    monkeypatch.setitem(FORMATS, "tabular", type(honest)(honest.name, honest.description, honest.claims, grows))
    with pytest.raises(ReadError, match="changed while it was read"):
        read_responses([path])


def test_a_log_that_a_run_still_writes_is_refused_or_read_to_a_line(tmp_path):
    """A writer that appends all the time: what is read is never half of a line."""
    path = tmp_path / "a.jsonl"
    path.write_text("")
    stop = threading.Event()

    def write():
        with path.open("a") as file:
            number = 0
            while not stop.is_set() and number < 200_000:
                file.write(json.dumps({"subject_id": f"m{number}", "responses": {"q": number % 2}}) + "\n")
                number += 1
                if number % 50 == 0:
                    time.sleep(0.0002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        time.sleep(0.1)
        refusals = 0
        for _ in range(10):
            try:
                read_responses([path])
            except ReadError as error:
                refusals += 1
                assert "changed while it was read" in str(error) or "not JSON" in str(error)
        assert refusals
    finally:
        stop.set()
        writer.join()


def test_pipes_and_devices_are_refused(refused, tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    assert "is not a regular file" in refused("items", tmp_path / "a.csv", within=tmp_path)
    assert "is not a regular file" in refused("items", "/dev/zero", within=tmp_path)
