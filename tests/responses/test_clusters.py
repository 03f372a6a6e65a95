from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from irt_bench import ResponseCounts, read_responses
from irt_bench.errors import SubsetError, SubsetWarning
from irt_bench.responses.labels import cluster_folds, model_clusters, models_without_family, name_clusters


@pytest.mark.parametrize(
    ("label", "cluster"),
    [
        ("ewqr2130/mistral-7b-raw-sft", "mistral"),
        ("smelborp/MixtralOrochi8x7B", "smelborp"),
        ("rinna/llama-3-youko-8b", "llama-3"),
        ("llama2_07B", "llama-2"),
        ("code-llama-multi-7b", "codellama"),
        ("Qwen--Qwen1.5-72B-Chat", "qwen1.5"),
        ("bigcode--octocoder", "bigcode"),
        ("wizard-x", "wizard"),
        ("davinci-002", "davinci"),
        ("google--flan-t5-xl", "t5"),
        ("7b", None),
        ("m0", None),
        ("model_1", None),
        ("Model A", None),
        ("3f2504e0-4f89-41d3-9a0c-0305e82c3301", None),
    ],
)
def test_names_give_the_family_else_the_organisation_else_the_first_word(label, cluster):
    assert name_clusters([label]) == [cluster]


def test_runs_go_before_names_and_equal_rows_stay_together():
    models = pd.DataFrame({"run": ["r1", None, "r1", None]}, index=["a/x", "b/x", "c/x", "d/x"])
    correct = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]])
    counts = ResponseCounts(correct, np.ones_like(correct), models, pd.DataFrame(index=list("pqr")))
    assert list(model_clusters(counts)) == ["r1", "b", "r1", "b"]
    named = replace(counts, models=models.assign(cluster=[None, None, "base", "base"]))
    assert list(model_clusters(named)) == ["r1", "b", "base", "b"]
    assert not len(models_without_family(named))


def test_names_with_nothing_but_a_number_are_no_family(make_counts):
    rng = np.random.default_rng(0)
    labels = [f"model_{k}" for k in range(50)] + [f"gpt-4-{k}" for k in range(10)]
    counts = make_counts(rng.integers(0, 2, (60, 40)), models=labels)
    clusters = model_clusters(counts)
    assert len(np.unique(clusters)) == 51 and set(clusters[50:]) == {"gpt-4"}
    assert len(models_without_family(counts)) == 50
    assert name_clusters([f"davinci-00{k}" for k in (1, 2, 3)]) == ["davinci"] * 3
    assert name_clusters([f"entry{k}" for k in range(20)]) == [None] * 20


@pytest.mark.parametrize(
    ("case", "n_clusters"), [("anonymous_names.csv", 60), ("fifteen_finetunes_of_one_base.csv", 1)]
)
def test_cases_of_names_without_families_and_of_one_family(shared_cases, case, n_clusters):
    clusters = model_clusters(read_responses([shared_cases / case]).counts())
    assert len(np.unique(clusters)) == n_clusters
    if n_clusters == 1:
        with pytest.raises(SubsetError, match=r"column 'cluster' \(or 'run'\)"):
            next(cluster_folds(clusters, 5, np.random.default_rng(0)))


def test_a_column_of_clusters_is_no_item_of_a_wide_table(tmp_path):
    (tmp_path / "wide.csv").write_text("model,cluster,i0,i1\na/llama-3-x,one,1,0\na/llama-3-y,two,0,1\n")
    counts = read_responses([tmp_path / "wide.csv"]).counts()
    assert counts.n_items == 2 and list(model_clusters(counts)) == ["one", "two"]


def test_one_cluster_that_leaves_nothing_is_refused_and_one_of_most_models_is_told():
    with pytest.raises(SubsetError, match=r"59 of 60 models belong to one cluster \('a'\)"):
        next(cluster_folds(np.array(["a"] * 59 + ["b"]), 5, np.random.default_rng(0)))
    with pytest.warns(SubsetWarning, match=r"50 of 60 .* a fit to the other 10,"):
        next(cluster_folds(np.array(["a"] * 50 + ["b"] * 10), 5, np.random.default_rng(0)))


def test_no_cluster_is_on_both_sides_of_a_split_and_every_model_is_held_out_once():
    clusters = np.array(list("aaabbcccdde"))
    folds = list(cluster_folds(clusters, 3, np.random.default_rng(0)))
    assert all(not set(clusters[kept]) & set(clusters[held_out]) for kept, held_out in folds)
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(11))
    with pytest.raises(SubsetError, match="one cluster"):
        list(cluster_folds(np.array(["a", "a"]), 3, np.random.default_rng(0)))
