import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from irt_bench import describe_responses, read_responses
from irt_bench.errors import ReadError, ResponsesError


def write(path, text):
    path.write_text(text)
    return path


def grid(n_models=7, n_items=12, *, seed=0, missing=0.2):
    rng = np.random.default_rng(seed)
    correct = rng.integers(0, 2, (n_models, n_items)).astype(float)
    correct[rng.random(correct.shape) < missing] = np.nan
    models, items = [f"m{n}" for n in range(n_models)], [f"q{n}" for n in range(n_items)]
    wide = pd.DataFrame(correct, index=pd.Index(models, name="model"), columns=items)
    long = wide.reset_index().melt("model", var_name="item", value_name="correct")
    return wide, long


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.zst", "tsv", "parquet", "pq"])
def test_wide_and_long_files_of_every_kind_give_the_same_counts(tmp_path, ending):
    wide, long = grid()
    found = []
    for name, frame, index in (("wide", wide, True), ("long", long, False)):
        path = tmp_path / name / f"data.{ending}"
        path.parent.mkdir()
        if ending in ("parquet", "pq"):
            (frame.reset_index() if index else frame).to_parquet(path)
        else:
            frame.to_csv(path, index=index, sep="\t" if ending == "tsv" else ",")
        found.append(read_responses([path]).counts())
    assert found[0].fingerprint() == found[1].fingerprint()
    assert found[0].benchmark == "data"
    np.testing.assert_array_equal(found[0].asked, wide.notna())
    np.testing.assert_array_equal(found[0].proportions(), wide.to_numpy())


def test_wide_and_long_agree_on_fractional_scores(tmp_path):
    wide, long = grid()
    rng = np.random.default_rng(1)
    scores = {cell: round(value, 3) for cell, value in zip(np.ndindex(wide.shape), rng.random(wide.size), strict=True)}
    for (row, column), value in scores.items():
        wide.iloc[row, column] = value
    long = wide.reset_index().melt("model", var_name="item", value_name="score")
    wide.to_csv(tmp_path / "x.csv")
    (tmp_path / "long").mkdir()
    long.to_csv(tmp_path / "long/x.csv", index=False)
    first, second = (read_responses([path]) for path in (tmp_path / "x.csv", tmp_path / "long/x.csv"))
    assert first.measure == second.measure == "score"
    assert first.counts().fingerprint() == second.counts().fingerprint()


@pytest.mark.parametrize("label", ["model", "subject_id", "model_id", "", "Unnamed: 0"])
def test_the_column_of_models_may_have_several_names_or_none(tmp_path, label):
    path = write(tmp_path / "x.csv", f"{label},q1,q2\na,1,0\nb,,1\n")
    counts = read_responses([path]).counts()
    assert list(counts.models.index) == ["a", "b"]
    assert counts.trials.tolist() == [[1, 1], [0, 1]]


def test_the_index_of_a_pandas_parquet_file_names_the_models(tmp_path):
    pd.DataFrame({"q1": [1, 0], "q2": [0, 1]}, index=["a", "b"]).to_parquet(tmp_path / "x.parquet")
    assert list(read_responses([tmp_path / "x.parquet"]).models.index) == ["a", "b"]


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.float32, float, bool, "Int64", "boolean"])
def test_wide_values_may_have_any_type_of_number(tmp_path, kind):
    frame = pd.DataFrame({"model": ["a", "b"], "q": pd.array([1, 0], dtype=kind)})
    frame.to_parquet(tmp_path / "x.parquet")
    assert read_responses([tmp_path / "x.parquet"]).counts().correct.tolist() == [[1], [0]]


def test_empty_item_columns_and_model_rows_keep_their_labels(tmp_path):
    path = write(tmp_path / "x.csv", "model,q1,q2\na,1,\nb,,\n")
    counts = read_responses([path]).counts()
    assert counts.trials.tolist() == [[1, 0], [0, 0]]
    frame = pd.DataFrame({"model": ["a", "b"], "q1": [1.0, np.nan], "q2": pd.Series([None, None], dtype=object)})
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "x.parquet")
    assert read_responses([tmp_path / "x.parquet"]).counts().fingerprint() == counts.fingerprint()


def test_ids_of_digits_stay_text(tmp_path):
    path = write(tmp_path / "x.csv", "model,item,correct,doc_id,run\n007,01,1,5,003\n7,1,0,6,004\n")
    table = read_responses([path])
    assert list(table.models.index) == ["007", "7"]
    assert table.counts().correct.tolist() == [[1, 0], [0, 0]]
    assert table.counts().trials.tolist() == [[1, 0], [0, 1]]
    assert table.models["run"].to_dict() == {"007": "003", "7": "004"}
    assert table.items["doc_id"].to_dict() == {("x", "01"): 5, ("x", "1"): 6}
    wide = write(tmp_path / "w.csv", "model,010,10\n007,1,0\n7,0,1\n")
    assert list(read_responses([wide]).counts().items.index) == ["010", "10"]


def test_names_that_look_like_missing_values_are_names(tmp_path):
    path = write(tmp_path / "x.csv", "model,item,correct\nNA,nan,1\nnull,None,NA\n")
    counts = read_responses([path]).counts()
    assert list(counts.models.index) == ["NA", "null"] and list(counts.items.index) == ["None", "nan"]
    assert counts.trials.tolist() == [[0, 1], [0, 0]]


def test_metadata_columns_of_a_wide_table_are_no_items(tmp_path):
    path = write(tmp_path / "x.csv", "model,seed,step,size,q1,q2\na,1,10,7B,1,0\na,2,10,7B,0,1\n")
    table = read_responses([path])
    assert list(table.models.index) == ["a[seed=1]", "a[seed=2]"]
    assert table.models[["seed", "step"]].to_numpy().tolist() == [[1, 10], [2, 10]]
    assert table.counts().correct.tolist() == [[1, 0], [0, 1]]


def test_several_benchmarks_in_one_wide_table_have_the_items_they_ask(tmp_path):
    path = write(tmp_path / "x.csv", "benchmark,model,q1,q2,q3\nx,a,1,,\nx,b,0,,\ny,a,,1,\ny,b,,,\n")
    table = read_responses([path])
    assert list(table.items.index) == [("x", "q1"), ("x", "q3"), ("y", "q2")]
    assert list(map(tuple, table.entries.to_numpy())) == [("x", "a"), ("x", "b"), ("y", "a"), ("y", "b")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model,q1\na,maybe\n",
            "column 'q1' holds 'maybe' for model 'a'; an item of a wide table needs 0, 1",
        ),
        ("q1,q2\n1,0.5\n", "neither a long table .* nor a wide one .*its columns are 'q1', 'q2'"),
        ("model\na\n", "has models but no items"),
        ("model,q1,q1\na,1,0\n", "column 'q1' occurs twice"),
        ("model,item,note\na,1,x\n", "no column has the values of responses"),
        ("item,correct\n1,1\n", "no column 'model' among"),
        ("model,item,correct\n,1,1\n", "column 'model' is empty in row 1"),
        ("model,item,correct\na,1,1\na,,1\n", "column 'item' is empty in row 2"),
        ("model,q1\na,3\n", r"is outside \[0, 1\]"),
    ],
)
def test_tables_of_other_shapes_are_refused(tmp_path, text, message):
    with pytest.raises((ReadError, ResponsesError), match=message) as caught:
        read_responses([write(tmp_path / "x.csv", text)])
    assert "x.csv" in str(caught.value)


def test_long_and_wide_can_be_forced(tmp_path):
    path = write(tmp_path / "x.csv", "model,item,correct\na,1,1\n")
    assert list(read_responses([path], format="wide").counts().items.index) == ["correct", "item"]
    with pytest.raises(ResponsesError, match="no column 'item'"):
        read_responses([write(tmp_path / "y.csv", "model,q1\na,1\n")], format="long")


@pytest.mark.parametrize(
    "header",
    ["subject_id,item_id,response", "model_id,sample_id,is_correct", "model,item,acc", "model,item_id,score"],
)
def test_other_names_of_columns_are_accepted(tmp_path, header):
    path = write(tmp_path / "x.csv", f"{header}\na,q1,1\nb,q1,0\n")
    assert read_responses([path]).counts().correct.tolist() == [[1], [0]]


def test_words_for_values_are_read_in_any_case(tmp_path):
    path = write(tmp_path / "x.csv", "model,item,correct\na,1,True\na,2,FALSE\na,3,\na,4,1.0\n")
    assert read_responses([path]).counts().correct.tolist() == [[1, 0, 0, 1]]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_quotes_and_a_byte_order_mark_are_understood(tmp_path, delimiter):
    lines = [["model", "item", "correct"], ['"a, ""x"""', '"two\nlines"', "1"]]
    (tmp_path / "x.csv").write_text("\n".join(delimiter.join(line) for line in lines) + "\n", encoding="utf-8-sig")
    table = read_responses([tmp_path / "x.csv"])
    assert list(table.models.index) == ['a, "x"'] and list(table.counts().items.index) == ["two\nlines"]


@pytest.mark.parametrize("codec", ["snappy", "gzip", "zstd", "lz4", "none"])
@pytest.mark.parametrize("encoded", [True, False])
def test_parquet_of_any_codec_and_text_encoding_is_read(tmp_path, codec, encoded):
    _, long = grid(missing=0)
    frame = long.astype({"model": "category"} if encoded else {"correct": "int64"})
    frame.to_parquet(tmp_path / "x.parquet", compression=codec)
    assert len(read_responses([tmp_path / "x.parquet"]).answers) == len(long)


def test_whole_number_ids_of_parquet_become_text(tmp_path):
    pd.DataFrame({"model": [1, 2], "item": [10, 9], "correct": [1, 0]}).to_parquet(tmp_path / "x.parquet")
    counts = read_responses([tmp_path / "x.parquet"]).counts()
    assert list(counts.items.index) == ["9", "10"] and list(counts.models.index) == ["1", "2"]


def test_batches_with_different_texts_are_put_together(tmp_path):
    rows = [{"model": f"m{n % 40}", "item": f"q{n // 40}", "correct": n % 2} for n in range(40 * 500)]
    frame = pd.DataFrame(rows)
    frame.to_parquet(tmp_path / "x.parquet", row_group_size=777)
    counts = read_responses([tmp_path / "x.parquet"]).counts()
    expected = frame.pivot(index="model", columns="item", values="correct")
    np.testing.assert_array_equal(counts.correct, expected.loc[counts.models.index, counts.items.index])


def test_one_of_several_metrics_in_a_long_table_must_be_chosen(tmp_path):
    text = "model,item,metric,score\na,1,acc,1\na,1,f1,0.5\n"
    path = write(tmp_path / "x.csv", text)
    with pytest.raises(ReadError, match=r"benchmark 'x' has several metrics: acc, f1; choose one: metric='NAME'"):
        read_responses([path])
    table = read_responses([path], metric="f1")
    assert table.counts().correct.tolist() == [[0.5]]
    path = write(tmp_path / "y.csv", "benchmark,model,item,metric,correct\nx,a,1,acc,1\ny,a,1,em,1\n")
    assert len(read_responses([path]).answers) == 2


def test_choice_log_probabilities_are_read_from_lists_and_from_json(tmp_path):
    values = [[-1.0, -2.5], None, [-0.5, -0.25]]
    frame = pd.DataFrame({"model": "a", "item": ["1", "2", "3"], "correct": 1, "choice_logprobs": values})
    frame.to_parquet(tmp_path / "x.parquet")
    frame.assign(choice_logprobs=["[-1.0, -2.5]", None, "[-0.5, -0.25]"]).to_csv(tmp_path / "x.csv", index=False)
    for name in ("x.parquet", "x.csv"):
        first, second, third = read_responses([tmp_path / name]).answers["choice_logprobs"]
        assert second is None and first.tolist() == values[0] and third.tolist() == values[2]


def test_compressed_csv_is_known_by_its_name(tmp_path):
    text = b"model,item,correct\na,1,1\n"
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "y.csv.zst").write_bytes(zstandard.ZstdCompressor().compress(text))
    assert read_responses([tmp_path]).benchmarks == ["x", "y"]


def test_counts_come_from_shares_and_numbers_of_samples(shared_data):
    table = read_responses([shared_data / "cruxeval.parquet"])
    raw = pd.read_parquet(shared_data / "cruxeval.parquet")
    for benchmark, rows in raw.groupby("benchmark"):
        counts = table.select(benchmark).counts()
        assert counts.correct.sum() == np.rint(rows["score"].astype(float) * rows["count"]).sum()
        assert counts.trials.sum() == rows["count"].sum()
        np.testing.assert_allclose(
            counts.accuracy(), rows.groupby("model")["score"].mean()[counts.models.index], atol=1e-6
        )


def test_real_snapshots_are_models_of_their_own(shared_data):
    table = read_responses([shared_data / "nlu_checkpoints_dev.parquet"])
    raw = pd.read_parquet(shared_data / "nlu_checkpoints_dev.parquet", columns=["model", "checkpoint", "benchmark"])
    assert len(table.models) == len(raw[["model", "checkpoint"]].drop_duplicates()) == 90
    assert set(table.models["step"]) == {"1", "10", "25", "50", "best"}
    assert table.models["name"].nunique() == 18
    assert len(table.answers) == len(raw)


def test_missing_cells_of_real_data_stay_missing(shared_data):
    table = read_responses([shared_data / "mmlu_pro.parquet"])
    raw = pd.read_parquet(shared_data / "mmlu_pro.parquet")
    counts = table.counts()
    assert counts.trials.sum() == len(raw) and counts.correct.sum() == raw["correct"].sum()
    assert counts.items["subtask"].nunique() == 14
    assert "answered" in table.answers


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_counts_are_read_however_whole_numbers_are_written(tmp_path, ending):
    frame = pd.DataFrame({"model": "m", "item": list("abcde"), "n_correct": ["3.0", "1e1", "true", "NA", "2"]})
    frame["n_samples"] = ["4", "1e1", "1", "NA", "2.0"]
    path = tmp_path / f"counts{ending}"
    frame.to_csv(path, index=False) if ending == ".csv" else frame.to_parquet(path)
    counts = read_responses([path]).counts()
    assert counts.correct.tolist() == [[3, 10, 1, 0, 2]] and counts.trials.tolist() == [[4, 10, 1, 0, 2]]


@pytest.mark.parametrize("value", ["3000000000", "9" * 5000, "1e999", "0.5", "-1", "x"])
def test_counts_beyond_any_are_refused_by_the_first(tmp_path, value):
    (tmp_path / "a.csv").write_text(f"model,item,n_correct,n_samples\nm,q,0,2\nm,r,{value},{value}\n")
    with pytest.raises(ResponsesError, match="'n_correct' cannot be used; first: model 'm', item 'r'"):
        read_responses([tmp_path / "a.csv"])


def test_lists_that_unpack_to_gigabytes_are_refused_before_they_are_read(tmp_path):
    n, length = 20_000, 1_000
    lists = pa.ListArray.from_arrays(
        np.arange(n + 1, dtype=np.int32) * length, pa.array(np.zeros(n * length, dtype=np.int8))
    )
    columns = {"model": ["m"] * n, "item": [f"q{i}" for i in range(n)], "correct": [1] * n, "choice_logprobs": lists}
    pq.write_table(pa.table(columns), tmp_path / "bomb.parquet")
    with pytest.raises(ReadError, match=r"column 'choice_logprobs.*' unpacks to 20,000,000 values"):
        read_responses([tmp_path / "bomb.parquet"])


def test_a_long_table_with_columns_called_metrics_is_read_by_the_one_chosen_and_remembers_it(tmp_path):
    text = "model,task,doc_id,acc,acc_norm\na,x,0,1,0\na,x,1,1,1\na,y,0,,1\n"
    path = write(tmp_path / "x.csv", text)
    with pytest.raises(ReadError, match="benchmark 'x' has several metrics: acc, acc_norm"):
        read_responses([path])
    table = read_responses([path], metric="x=acc")
    assert table.answers["correct"].tolist() == [1, 1, 1]
    assert table.items["metric"].tolist() == ["acc", "acc", "acc_norm"]
    assert table.items["doc_id"].tolist() == [0, 1, 0]


def test_a_long_table_with_one_metric_and_no_item_of_that_name_is_read(shared_cases):
    table = read_responses([shared_cases / "long_read_as_wide.csv"])
    assert table.benchmarks == ["gsm8k"] and len(table.items) == 8 and set(table.items["metric"]) == {"exact_match"}


def test_samples_of_inspect_are_known_by_their_id_and_graded_by_letters(shared_cases):
    table = read_responses([shared_cases / "inspect_samples_df.csv"])
    frame = pd.read_csv(shared_cases / "inspect_samples_df.csv")
    expected = frame["score_match"].eq("C").groupby(frame["model"]).sum()
    assert len(table.items) == frame["id"].nunique() and set(table.items["metric"]) == {"match"}
    assert table.answers.groupby("model", observed=True)["correct"].sum().to_dict() == expected.to_dict()


@pytest.mark.parametrize(("yes", "no"), [("C", "I"), ("pass", "fail"), ("yes", "no"), ("True", "False")])
def test_words_for_right_and_wrong_are_read_in_long_and_wide_tables(tmp_path, yes, no):
    long = write(tmp_path / "l.csv", f"model,item,correct\na,q,{yes}\nb,q,{no}\nc,q,.\n")
    assert read_responses([long]).answers["correct"].tolist() == [1, 0]
    wide = write(tmp_path / "w.csv", f"model,q,r\na,{yes},{no}\nb,{no},.\n")
    assert read_responses([wide]).counts().correct.tolist() == [[1, 0], [0, 0]]


def test_a_long_table_without_items_says_which_column_looks_like_them(tmp_path):
    path = write(tmp_path / "x.csv", "model,frage,correct\na,f1,1\na,f2,0\nb,f1,1\n")
    with pytest.raises(ReadError, match=r"several rows per model.*none of items.*\('frage'\?\) to 'item'"):
        read_responses([path])


def test_the_column_of_models_can_be_named(tmp_path):
    path = write(tmp_path / "x.csv", "name of it,q1,q2\n3,1,0\n5,0,1\n")
    assert list(read_responses([path], model_column="name of it").models.index) == ["3", "5"]
    long = write(tmp_path / "l.csv", "agent,item,correct\na,q,1\n")
    assert list(read_responses([long], model_column="agent").models.index) == ["a"]
    with pytest.raises(ReadError, match="'agnt' is not known. Did you mean 'agent'"):
        read_responses([long], model_column="agnt")


def test_texts_and_named_columns_of_a_wide_table_describe_the_models(tmp_path):
    path = write(tmp_path / "x.csv", "model,family,age,q1,q2,q3\na,A,31,1,0,1\nb,B,40,0,,0\n")
    with pytest.raises(ReadError, match=r"column 'age' holds 31 .* group_columns='age'"):
        read_responses([path])
    table = read_responses([path], group_columns=["age"])
    assert table.counts().items.index.tolist() == ["q1", "q2", "q3"]
    assert table.models["family"].tolist() == ["A", "B"] and table.models["age"].tolist() == [31, 40]
    assert [finding.name for finding in table.findings] == ["group_columns"]


def test_a_wide_table_without_labels_has_its_rows_numbered(tmp_path):
    path = write(tmp_path / "x.csv", "q1,q2\n1,0\n0,1\n1,1\n")
    table = read_responses([path])
    assert list(table.models.index) == ["row1", "row2", "row3"] and table.counts().correct.sum() == 4
    assert [finding.name for finding in table.findings] == ["no_labels"]
    numbered = write(tmp_path / "y.csv", "id,q1,q2\n7,1,0\n8,0,1\n")
    assert list(read_responses([numbered]).models.index) == ["7", "8"]


def test_a_table_in_another_encoding_is_named_as_such(tmp_path):
    (tmp_path / "x.csv").write_bytes("model,item,correct\nmüller,q,1\n".encode("latin-1"))
    with pytest.raises(ReadError, match="is not in UTF-8 .*Save it as CSV in UTF-8"):
        read_responses([tmp_path / "x.csv"])


@pytest.mark.parametrize("struct", ["metric", "__metric__", "metrics"])
def test_details_of_lighteval_are_named_by_their_path(tmp_path, struct):
    folder = tmp_path / "details" / "org" / "model" / "2025-06-13T15-07-12.143436"
    folder.mkdir(parents=True)
    doc = "__doc__" if struct == "__metric__" else "doc"
    frame = pd.DataFrame({
        struct: [{"em": 1, "f1": 0.5}, {"em": 0, "f1": 0.25}],
        doc: [{"query": "What is it?", "id": "0", "choices": ["a"]}, {"query": "And?", "id": "1", "choices": ["b"]}],
    })  # fmt: skip
    frame.to_parquet(folder / "details_lighteval|gsm8k|5_2025-06-13T15-07-12.143436.parquet")
    table = read_responses([tmp_path], metric="f1")
    assert table.benchmarks == ["lighteval|gsm8k|5"] and list(table.models.index) == ["org/model"]
    assert table.answers["score"].tolist() == [0.5, 0.25]
    assert table.items["question"].tolist() == ["What is it?", "And?"]


def test_documents_of_lighteval_are_told_by_their_content_where_a_filter_numbers_them_anew(tmp_path):
    """A run of documents 2 and 0 alone, as by hf_filter, numbers them 0 and 1."""
    time = "2026-11-30T11-30-23.364825"

    def details(name, documents):
        folder = tmp_path / name / "details" / "lab" / name / time
        folder.mkdir(parents=True)
        docs = [{"id": str(k), "query": f"{number}?", "choices": ["a", "b"]} for k, number in enumerate(documents)]
        frame = pd.DataFrame({"doc": docs, "metric": [{"em": number % 2} for number in documents]})
        frame.to_parquet(folder / f"details_toy|0_{time}.parquet")
        return read_responses([tmp_path / name]).items.droplevel("benchmark")["doc_hash"]

    full, part = details("full", [0, 1, 2, 3]), details("part", [2, 1])
    assert full.is_unique and list(part) == list(full.iloc[[2, 1]])


def test_metrics_of_lighteval_with_parameters_have_names_that_can_be_chosen(tmp_path):
    """Names as version 0.13 writes them hold what separates choices on the command line: "=" and ","."""
    time = "2026-11-30T11-30-23.364825"
    names = ["acc", "acc:logprob_normalization=LogProbCharNorm(name='norm', ignore_first_space=False)"]
    names += ["pass@k:k=1&n=4", "avg@n:n=4"]
    frame = pd.DataFrame({
        "doc": [{"id": "7", "query": "a?"}, {"id": "3", "query": "b?"}],
        "metric": [dict.fromkeys(names, 1.0) | {"acc": 0}, dict.fromkeys(names, 0.0) | {"acc": 1}],
    })  # fmt: skip
    folder = tmp_path / "details" / "lab" / "m" / time
    folder.mkdir(parents=True)
    frame.to_parquet(folder / f"details_toy|0_{time}.parquet")
    shown = list(describe_responses([tmp_path])["metric"])
    assert shown == ["acc", "acc:norm", "pass@k:k1&n4", "avg@n:n4"]
    for name in shown:
        for choice in (name, f"toy|0={name}"):
            table = read_responses([tmp_path], metric=choice)
            right = [0, 1] if name == "acc" else [1, 0]
            assert table.answers["correct"].tolist() == right and set(table.items["metric"]) == {name}


def test_details_of_the_first_leaderboard_are_numbered_by_row(tmp_path):
    folder = tmp_path / "details_org__model" / "2023-09-03T10-57-04.203304"
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"acc": [1.0, 0.0], "acc_norm": [0.0, 0.0], "full_prompt": ["Q: a", "Q: b"]})
    frame.to_parquet(folder / "details_harness|arc:challenge|25_2023-09-03T10-57-04.203304.parquet")
    table = read_responses([tmp_path], metric="acc")
    assert list(table.models.index) == ["org/model"] and table.answers["correct"].tolist() == [1, 0]
    assert list(table.counts().items.index) == ["harness|arc:challenge|25/0", "harness|arc:challenge|25/1"]


def test_details_of_the_second_leaderboard_are_named_by_their_folder(tmp_path):
    folder = tmp_path / "org__model__leaderboard_mmlu_pro"
    folder.mkdir()
    frame = pd.DataFrame({"doc_id": [1, 0], "acc": [1.0, 0.0], "doc_hash": ["h1", "h0"], "filter": ["none", "none"]})
    frame.to_parquet(folder / "latest-00000-of-00001.parquet")
    table = read_responses([tmp_path])
    assert list(table.models.index) == ["org/model"] and table.benchmarks == ["leaderboard_mmlu_pro"]
    assert table.counts().correct.tolist() == [[0, 1]] and table.items["doc_hash"].tolist() == ["h0", "h1"]


def test_values_of_a_metric_that_are_no_number_are_missing_and_reported_by_model_and_count(tmp_path):
    path = write(tmp_path / "x.csv", "model,item,exact_match\na,1,NaN\na,2,1\nb,1,0\nb,2,nan\nb,3,NaN\n")
    table = read_responses([path])
    found = [finding.message for finding in table.findings if finding.name == "ungraded"]
    assert ["1 of 2" in found[0], "2 of 3" in found[1]] == [True, True] and "'b'" in found[1]
    assert table.counts().trials.sum() == 2
