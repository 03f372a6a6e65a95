import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irt_bench import ResponseTable, read_responses, table_from_frame, write_table
from irt_bench.errors import OutputError
from irt_bench.responses.table import in_order

LABELS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=6).filter(str.strip)


def assert_same(first: ResponseTable, second: ResponseTable) -> None:
    for name in ("answers", "models", "items", "entries"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    keys = {
        name: draw(st.lists(LABELS, min_size=1, max_size=n, unique=True))
        for name, n in (("benchmark", 2), ("model", 4), ("item", 5))
    }
    frame = pd.MultiIndex.from_product(keys.values(), names=keys.keys()).to_frame(index=False)
    frame = frame[rng.random(len(frame)) < 0.8]
    frame = frame if len(frame) else pd.DataFrame({name: labels[:1] for name, labels in keys.items()})
    n = len(frame)
    kind = draw(st.sampled_from(["correct", "counts", "score"]))
    if kind == "counts":
        frame["n_samples"] = 4
        frame["n_correct"] = rng.integers(0, 5, n)
    else:
        frame[kind] = rng.integers(0, 2, n) if kind == "correct" else rng.random(n)
    value = "n_correct" if kind == "counts" else kind
    frame[value] = frame[value].astype(float).where(rng.random(n) < 0.7)
    by_model, by_item = (
        frame[name].map({label: k for k, label in enumerate(keys[name])}) for name in ("model", "item")
    )
    metadata = {
        "seed": by_model % 2 + 10**17,
        "size": by_model.map(lambda k: f"size{k}" if k else None),
        "weight": by_model / 3,
        "doc_id": by_item.astype("Int64").where(by_item != 1),
        "group": by_item.map(lambda k: "a/b" if k % 2 else None),
        "easy": by_item % 2 == 0,
    }
    for name in draw(st.sets(st.sampled_from(sorted(metadata)))):
        frame[name] = metadata[name]
    if draw(st.booleans()):
        frame["prompt_hash"] = [None if x < 0.2 else f"h{int(x * 10)}" for x in rng.random(n)]
    if draw(st.booleans()):
        frame["loglikelihood"] = np.where(rng.random(n) < 0.3, np.nan, -rng.random(n))
    if draw(st.booleans()):
        frame["trial"] = rng.integers(1, 3, n)
    return frame.sample(frac=1, random_state=1)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=frames())
def test_a_table_reads_back_as_it_was_and_is_written_as_the_same_bytes(tmp_path, frame):
    table = table_from_frame(frame)
    write_table(table, tmp_path / "a.parquet")
    again = read_responses([tmp_path / "a.parquet"])
    assert_same(in_order(table), again)
    assert again.measure == table.measure
    write_table(again, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=frames())
def test_one_benchmark_of_a_table_reads_back_as_it_was(tmp_path, frame):
    part = table_from_frame(frame)
    part = part.select(part.benchmarks[0])
    write_table(part, tmp_path / "a.parquet")
    assert_same(in_order(part), read_responses([tmp_path / "a.parquet"]))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=frames())
def test_a_csv_file_keeps_labels_and_cells(tmp_path, frame):
    table = table_from_frame(frame)
    write_table(table, tmp_path / "a.csv")
    again = read_responses([tmp_path / "a.csv"])
    assert again.benchmarks == table.benchmarks
    for benchmark in table.benchmarks:
        first, second = table.select(benchmark).counts(), again.select(benchmark).counts()
        assert list(first.models.index) == list(second.models.index)
        assert list(first.items.index) == list(second.items.index)
        np.testing.assert_array_equal(first.trials, second.trials)
        np.testing.assert_allclose(first.correct, second.correct, rtol=1e-15)


@pytest.mark.parametrize("run", ["lm_eval/full", "inspect", "eee"])
def test_real_logs_written_as_a_table_read_back_as_they_were(shared_fixtures, tmp_path, run):
    metric = "choice" if run == "inspect" else "acc"
    table = read_responses([shared_fixtures / run], metric=metric, filter="strict-match")
    for part in (
        table,
        *(table.select(name) for name in ("toy_group", "toy_mc") if name != "toy_group" or "full" in run),
    ):
        part = in_order(part)  # noqa: PLW2901
        write_table(part, tmp_path / "a.parquet")
        again = read_responses([tmp_path / "a.parquet"])
        vectors = [t.answers.pop("choice_logprobs") if "choice_logprobs" in t.answers else None for t in (part, again)]
        assert_same(part, again)
        if vectors[0] is not None:
            part.answers["choice_logprobs"] = vectors[0]
            pairs = zip(*vectors, strict=True)
            assert all((a is None and b is None) or np.array_equal(a, b) for a, b in pairs)


def test_rows_are_written_in_the_order_of_their_labels_whatever_the_order_read(tmp_path):
    frame = pd.DataFrame({"model": list("bbaa"), "item": list("2121"), "trial": [2, 1, 1, 1], "correct": [1, 0, 0, 1]})
    written = []
    for name, rows in (("a", frame), ("b", frame[::-1])):
        write_table(table_from_frame(rows), tmp_path / f"{name}.parquet")
        written.append((tmp_path / f"{name}.parquet").read_bytes())
    assert written[0] == written[1]
    back = pd.read_parquet(tmp_path / "a.parquet").astype({"model": str, "item": str})
    assert list(zip(back["model"], back["item"], strict=True)) == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")]


def test_scores_that_are_all_0_or_1_are_right_and_wrong_answers_whatever_stands_beside_them(tmp_path):
    frame = pd.DataFrame({"benchmark": list("xy"), "model": "a", "item": "1", "score": [1.0, 0.5]})
    part = table_from_frame(frame).select("x")
    write_table(part, tmp_path / "a.parquet")
    assert read_responses([tmp_path / "a.parquet"]).measure == part.measure == "correct"


def test_log_probabilities_and_text_survive_a_csv_file(tmp_path):
    frame = pd.DataFrame(
        {"model": 'a, "b"', "item": ["1", "x\ny"], "correct": [1, 0], "choice_logprobs": [[-1.5, -2], None]}
    )
    write_table(table_from_frame(frame), tmp_path / "a.csv")
    again = read_responses([tmp_path / "a.csv"])
    assert again.answers["choice_logprobs"][0].tolist() == [-1.5, -2.0]
    assert list(again.models.index) == ['a, "b"'] and list(again.counts().items.index) == ["1", "x\ny"]


def test_other_endings_and_unwritable_places_are_refused(tmp_path):
    table = table_from_frame(pd.DataFrame({"model": ["a"], "item": ["1"], "correct": [1]}))
    with pytest.raises(OutputError, match=r"a\.xlsx must end in \.parquet or \.csv"):
        write_table(table, tmp_path / "a.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError, match=r"folder\.csv cannot be written"):
        write_table(table, tmp_path / "folder.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]
