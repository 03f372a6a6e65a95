"""Read, write, read: the same answers from every format, and every file that is written comes back as it was."""

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zstandard
from any_answers import LABELS, answers, assert_same_table, few_or_many, for_all, table_of
from hypothesis import strategies as st

from irt_bench import Fit, LaplaceSettings, OnePL, Subset, ThreePL, TwoPL, fit, read_responses, write_table
from irt_bench.errors import SubsetError
from irt_bench.responses.table import in_order
from irt_bench.subsets.harness.export import ExportOptions, export_subset, item_table, parameter_table

TIME = "2025-01-02T03-04-05.678901"


def packed(text: str, path: Path) -> None:
    content = text.encode()
    pack = {".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix, bytes)
    path.write_bytes(pack(content))


def by_model(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(model), rows) for model, rows in frame.groupby("model")]


def as_csv(frame: pd.DataFrame, folder: Path, ending: str, separator: str) -> None:
    packed(frame.to_csv(index=False, sep=separator), folder / f"a{ending}")


def as_wide(frame: pd.DataFrame, folder: Path, ending: str) -> None:
    wide = frame.pivot(index="model", columns="item", values="correct").astype("Int64").reset_index()
    wide.to_csv(folder / "a.csv", index=False) if ending == ".csv" else wide.to_parquet(folder / "a.parquet")


def as_py_irt(frame: pd.DataFrame, folder: Path, ending: str) -> None:
    lines = [
        json.dumps({"subject_id": model, "responses": dict(zip(rows["item"], map(int, rows["correct"]), strict=True))})
        for model, rows in by_model(frame)
    ]
    packed("\n".join(lines), folder / f"a{ending}")


def as_harness(frame: pd.DataFrame, folder: Path) -> None:
    for place, (model, rows) in enumerate(by_model(frame)):
        (folder / str(place)).mkdir()
        lines = [
            {"doc_id": n, "doc_hash": item, "filter": "none", "metrics": ["acc"], "resps": [], "acc": float(right)}
            for n, (item, right) in enumerate(zip(rows["item"], rows["correct"], strict=True))
        ]
        (folder / str(place) / f"samples_b_{TIME}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
        results = {"results": {}, "configs": {}, "model_name": model}
        (folder / str(place) / f"results_{TIME}.json").write_text(json.dumps(results))


def as_inspect(frame: pd.DataFrame, folder: Path, ending: str) -> None:
    for place, (model, rows) in enumerate(by_model(frame)):
        samples = [
            {"id": item, "epoch": 1, "scores": {"match": {"value": "IC"[right]}}}
            for item, right in zip(rows["item"], rows["correct"], strict=True)
        ]
        header = {"version": 2, "status": "success", "eval": {"task": "b", "model": model}}
        path = folder / f"{place}{ending}"
        if ending == ".json":
            path.write_text(json.dumps(header | {"samples": samples}))
            continue
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("header.json", json.dumps(header))
            archive.writestr("summaries.json", json.dumps(samples))


def as_helm(frame: pd.DataFrame, folder: Path) -> None:
    for place, (model, rows) in enumerate(by_model(frame)):
        entries = [
            {
                "instance_id": item, "train_trial_index": 0,
                "stats": [{"name": {"name": "exact_match", "split": "test"}, "count": 1, "mean": float(right)}],
            }
            for item, right in zip(rows["item"], rows["correct"], strict=True)
        ]  # fmt: skip
        (folder / str(place)).mkdir()
        spec = {"name": "b", "adapter_spec": {"model": model}}
        (folder / str(place) / "run_spec.json").write_text(json.dumps(spec))
        (folder / str(place) / "per_instance_stats.json").write_text(json.dumps(entries))


def as_every_eval_ever(frame: pd.DataFrame, folder: Path) -> None:
    lines = [
        {
            "schema_version": "0.3.0", "model_id": model, "evaluation_name": "b", "evaluation_result_id": "acc",
            "sample_id": item, "evaluation": {"score": float(right), "is_correct": bool(right)},
        }
        for model, item, right in frame[["model", "item", "correct"]].itertuples(index=False)
    ]  # fmt: skip
    (folder / "a_samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


WRITERS = {
    ".csv": lambda frame, folder: as_csv(frame, folder, ".csv", ","),
    "; .csv": lambda frame, folder: as_csv(frame, folder, ".csv", ";"),
    ".tsv": lambda frame, folder: as_csv(frame, folder, ".tsv", "\t"),
    ".csv.gz": lambda frame, folder: as_csv(frame, folder, ".csv.gz", ","),
    ".tsv.zst": lambda frame, folder: as_csv(frame, folder, ".tsv.zst", "\t"),
    ".parquet": lambda frame, folder: frame.to_parquet(folder / "a.parquet"),
    "wide .csv": lambda frame, folder: as_wide(frame, folder, ".csv"),
    "wide .parquet": lambda frame, folder: as_wide(frame, folder, ".parquet"),
    "py-irt": lambda frame, folder: as_py_irt(frame, folder, ".jsonl"),
    "py-irt .gz": lambda frame, folder: as_py_irt(frame, folder, ".jsonl.gz"),
    "lm-eval": as_harness,
    "inspect .eval": lambda frame, folder: as_inspect(frame, folder, ".eval"),
    "inspect .json": lambda frame, folder: as_inspect(frame, folder, ".json"),
    "helm": as_helm,
    "every-eval-ever": as_every_eval_ever,
}


@few_or_many(1, 60)
def test_every_format_gives_the_same_answers_which_come_back_from_what_is_written(examples, tmp_path_factory):
    @for_all(examples, answers(models=(3, 5), items=(4, 6)))
    def check(frame):
        expected = {(m, i): c for m, i, c in frame[["model", "item", "correct"]].itertuples(index=False)}
        for write in WRITERS.values():
            folder = tmp_path_factory.mktemp("format")
            write(frame[["model", "item", "correct"]], folder)
            table = read_responses([folder])
            answered = table.answers.astype({"model": str, "item": str})
            if "doc_hash" in table.items:  # documents are labelled by their numbers; their names here are hashes
                answered["item"] = answered["item"].map(table.items.droplevel(0)["doc_hash"].astype(str))
            found = answered[["model", "item", "correct"]].itertuples(index=False)
            assert {(m, i): c for m, i, c in found} == expected
            for name in ("b.parquet", "b.csv"):
                write_table(table, folder / name)
                again = read_responses([folder / name])
                assert again.counts().fingerprint() == table.counts().fingerprint()
                write_table(again, folder / f"again-{name}")
                assert (folder / f"again-{name}").read_bytes() == (folder / name).read_bytes()
            assert_same_table(read_responses([folder / "b.parquet"]), in_order(table))


def test_the_comparison_of_formats_sees_an_answer_that_changed(tmp_path):
    """Negative control."""
    frame = pd.DataFrame({"model": ["a", "a", "b"], "item": ["q", "r", "q"], "correct": [1, 0, 1]})
    prints = set()
    for place, write in enumerate(WRITERS.values()):
        (tmp_path / str(place)).mkdir()
        write(frame.assign(correct=[1, 0, 0]) if place == 3 else frame, tmp_path / str(place))
        counts = read_responses([tmp_path / str(place)]).counts()
        prints.add(counts.correct.tobytes())
    assert len(prints) == 2


@few_or_many(2, 60)
def test_a_saved_fit_comes_back_and_saves_to_the_same_bytes(examples, tmp_path_factory):
    models = st.sampled_from([OnePL(), TwoPL(), ThreePL(guessing=0.25)])

    @for_all(examples, answers(models=(8, 12), items=(6, 9)), models, st.integers(0, 5))
    def check(frame, irt_model, seed):
        folder = tmp_path_factory.mktemp("fit")
        fitted = fit(table_of(frame).counts(), irt_model, LaplaceSettings(seed=seed, draws=20, threads=1))
        fitted.save(folder / "a.nc")
        loaded = Fit.load(folder / "a.nc")
        loaded.save(folder / "b.nc")
        assert (folder / "a.nc").read_bytes() == (folder / "b.nc").read_bytes()
        assert loaded.to_dict() == fitted.to_dict()
        for name, values in fitted.posterior.data_vars.items():
            np.testing.assert_allclose(loaded.posterior[name], values, rtol=1e-6, atol=1e-12)
        for dim in ("model", "item"):
            assert list(loaded.posterior[dim].to_numpy()) == list(fitted.posterior[dim].to_numpy())


SUBSET_ITEMS = st.lists(LABELS, min_size=1, max_size=6, unique=True)


@few_or_many(8, 300)
def test_a_subset_comes_back_and_so_does_all_that_is_exported_of_it(examples, tmp_path_factory, build_subset):
    @for_all(examples, SUBSET_ITEMS, st.integers(0, 1000))
    def check(labels, seed):
        folder = tmp_path_factory.mktemp("subset")
        records = [{"id": label, "doc_id": place, "subtask": "task"} for place, label in enumerate(labels)]
        subset = build_subset(records, seed=seed)
        Subset(subset).save(folder / "a.json")
        again = Subset.load(folder / "a.json").record
        assert again == subset
        Subset(again).save(folder / "b.json")
        assert (folder / "b.json").read_bytes() == (folder / "a.json").read_bytes()
        export_subset(subset, "params", folder / "p.csv")
        back = pd.read_csv(folder / "p.csv", index_col=0, keep_default_na=False, dtype={"item": str})
        assert_close(back, parameter_table(subset))
        export_subset(subset, "ids", folder / "i.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(folder / "i.parquet"), item_table(subset), check_dtype=False)
        export_subset(subset, "ids", folder / "i.csv")
        back = pd.read_csv(folder / "i.csv", keep_default_na=False, dtype=str)
        assert list(back["item"]) == labels and list(back["doc_id"]) == [str(place) for place in range(len(labels))]
        if all(len(label.splitlines()) == 1 for label in labels):
            export_subset(subset, "ids", folder / "i.txt")
            assert (folder / "i.txt").read_text(encoding="utf-8").split("\n") == [*labels, ""]
        export_subset(subset, "lm-eval", folder / "s.json")
        assert json.loads((folder / "s.json").read_text(encoding="utf-8")) == {"task": list(range(len(labels)))}


def assert_close(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-8, check_index_type=False)


@few_or_many(4, 100)
def test_answers_exported_for_py_irt_are_read_back(examples, tmp_path_factory, build_subset):
    @for_all(examples, answers(models=(3, 6), items=(4, 8)))
    def check(frame):
        path = tmp_path_factory.mktemp("py-irt") / "a.jsonl"
        counts = table_of(frame).counts()
        chosen = list(counts.items.index[::2])
        subset = build_subset([{"id": label} for label in chosen])
        export_subset(subset, "py-irt", path, ExportOptions(responses=counts))
        expected = counts.take(items=np.arange(0, counts.n_items, 2))
        found = read_responses([path]).counts()
        assert list(found.items.index) == [
            item for item, asked in zip(chosen, expected.asked.any(axis=0), strict=True) if asked
        ]
        places = expected.items.index.get_indexer(found.items.index)
        np.testing.assert_array_equal(found.correct, expected.correct[:, places])
        np.testing.assert_array_equal(found.trials, expected.trials[:, places])


@few_or_many(3, 60)
def test_tables_that_commands_write_come_back_with_their_labels(examples, tmp_path_factory):
    labels = st.lists(LABELS, min_size=3, max_size=5, unique=True)

    @for_all(examples, labels, labels)
    def check(models, items):
        folder = tmp_path_factory.mktemp("ids")
        grid = pd.MultiIndex.from_product([models, items], names=["model", "item"]).to_frame(index=False)
        table = table_of(grid.assign(correct=np.arange(len(grid)) % 2))
        for name in ("a.csv", "a.parquet"):
            write_table(table, folder / name)
            assert_same_table(read_responses([folder / name]), in_order(table))


def test_a_byte_that_changed_is_seen_in_a_subset(tmp_path, build_subset):
    """Negative control."""
    path = tmp_path / "a.json"
    Subset(build_subset([{"id": "q"}])).save(path)
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace('"id": "q"', '"id": "r"'), encoding="utf-8")
    with pytest.raises(SubsetError, match="was changed after it was written"):
        Subset.load(path)
