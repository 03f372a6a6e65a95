import numpy as np
import pandas as pd
import pytest

from irt_bench.errors import SubsetError
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.clusters import cluster_folds, model_clusters, name_cluster


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
        ("7b", "7b"),
    ],
)
def test_names_give_the_family_else_the_organisation_else_the_first_word(label, cluster):
    assert name_cluster(label) == cluster


def test_runs_go_before_names_and_equal_rows_stay_together():
    models = pd.DataFrame({"run": ["r1", None, "r1", None]}, index=["a/x", "b/x", "c/x", "d/x"])
    correct = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]])
    counts = ResponseCounts(correct, np.ones_like(correct), models, pd.DataFrame(index=list("pqr")))
    assert list(model_clusters(counts)) == ["r1", "b", "r1", "b"]


def test_no_cluster_is_on_both_sides_of_a_split_and_every_model_is_held_out_once():
    clusters = np.array(list("aaabbcccdde"))
    folds = list(cluster_folds(clusters, 3, np.random.default_rng(0)))
    assert all(not set(clusters[kept]) & set(clusters[held_out]) for kept, held_out in folds)
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(11))
    with pytest.raises(SubsetError, match="one cluster"):
        list(cluster_folds(np.array(["a", "a"]), 3, np.random.default_rng(0)))
