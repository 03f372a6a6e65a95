"""What a fit is told of related models, and what it says of them where it is told nothing."""

import warnings

import numpy as np
import pandas as pd
import pytest
from related import families, near_copies

from irt_bench import Fit, FitWarning, LaplaceSettings, TwoPL, fit
from irt_bench.errors import FitError
from irt_bench.inference import related_models
from irt_bench.inference.related_models import cluster_labels, distinct_models

QUICK = LaplaceSettings(refine=False, draws=200)


@pytest.fixture(scope="module")
def in_families(make_counts):
    truth = families(1, sd=1.5, n_models=120, n_items=200)
    counts = make_counts(truth.correct)
    counts.models["family"] = [f"family {number}" for number in truth.cluster]
    return counts


@pytest.fixture(scope="module")
def with_copies(make_counts):
    return make_counts(near_copies(2, share=0.2, n_models=140, n_items=150).correct)


@pytest.fixture(scope="module")
def by_family(in_families):
    return fit(in_families, TwoPL(), QUICK, model_clusters="family")


def test_a_column_labels_and_a_series_are_one_request(in_families, by_family):
    column = in_families.models["family"]
    for cluster in (column.tolist(), column.to_numpy(), column[::-1]):
        assert fit(in_families, TwoPL(), QUICK, model_clusters=cluster).posterior.identical(by_family.posterior)


def test_what_clusters_did_is_kept_and_saved(by_family, tmp_path):
    assert by_family.clusters["n_clusters"] == 15
    assert 20 < by_family.clusters["n_effective"] < 70
    by_family.save(tmp_path / "fit.nc")
    assert dict(Fit.load(tmp_path / "fit.nc").clusters) == pytest.approx(dict(by_family.clusters))
    assert by_family.to_dict()["clusters"] == by_family.clusters


def test_families_are_warned_of_by_name_and_only_where_none_are_named(in_families):
    with pytest.warns(
        FitWarning, match=r"in families, the largest found of \d+ \('m\d+', 'm\d+', 'm\d+'.*model_clusters="
    ):
        plain = fit(in_families, TwoPL(), QUICK)
    assert plain.clusters == {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(in_families, TwoPL(), QUICK, model_clusters=False).posterior.identical(plain.posterior)


def test_near_copies_are_warned_of_by_name(with_copies):
    with pytest.warns(FitWarning, match=r"28 of 140 models are near-copies .*'m\d+' and 'm\d+'.*copies='once'"):
        fit(with_copies, TwoPL(), QUICK)


def test_of_very_many_models_a_sample_is_looked_at_and_said(with_copies, monkeypatch):
    monkeypatch.setattr(related_models, "MAX_COMPARED", 100)
    with pytest.warns(FitWarning, match=r"1?\d of 100 models, drawn from 140, are near-copies"):
        fit(with_copies, TwoPL(), QUICK)


def test_all_pairs_of_too_many_models_are_refused_before_work(with_copies, monkeypatch):
    monkeypatch.setattr(related_models, "MAX_PAIRED", 100)
    with pytest.raises(FitError, match=r"compares every two of 140 models; up to 100"):
        fit(with_copies, TwoPL(), QUICK, copies="once")


def test_near_copies_count_once_and_keep_their_abilities(with_copies):
    distinct = distinct_models(with_copies)
    assert distinct.sum() == 112
    assert distinct[:112].all()
    once = fit(with_copies, TwoPL(), QUICK, copies="once")
    alone = fit(with_copies.take(models=distinct), TwoPL(), QUICK)
    assert once.clusters == {"n_copies": 28}
    assert once.posterior["difficulty"].equals(alone.posterior["difficulty"])
    ability = once.posterior["ability"]
    assert ability["model"].to_numpy().tolist() == with_copies.models.index.tolist()
    score = with_copies.accuracy().to_numpy()
    assert np.corrcoef(ability.mean(("chain", "draw")), score)[0, 1] > 0.95
    assert once.responses["fingerprint"] == with_copies.fingerprint()


def test_many_near_copies_are_warned_of_even_within_clusters(make_counts):
    truth = near_copies(3, share=0.6, n_models=260, n_items=100)
    with pytest.warns(FitWarning, match=r"1\d\d of 260 models are near-copies"):
        fit(make_counts(truth.correct), TwoPL(), QUICK, model_clusters=truth.cluster)


def test_independent_models_are_not_warned_of(make_counts):
    for seed in range(3):
        counts = make_counts(families(seed, sd=0.0, n_items=100).correct)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit(counts, TwoPL(), QUICK)
        assert distinct_models(counts).all()


def test_models_without_a_label_are_clusters_of_their_own(make_counts):
    counts = make_counts(np.eye(5, dtype=int))
    labels = cluster_labels(counts, pd.Series(["x", None, "x", np.nan, "m1"], index=counts.models.index))
    assert labels[0] == labels[2]
    assert len(set(labels)) == 4


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ("famly", "cluster column of the models 'famly' is not known.*family"),
        (["a", "b"], "2 labels for 120 models"),
        (["a", "b"] * 60, "into 2 clusters; intervals need at least 3"),
        (pd.Series(["a"], index=["m0"]), "119 are missing, first: 'm1'"),
        (pd.Series(["a"] * 240, index=[f"m{place % 120}" for place in range(240)]), "some occur twice"),
    ],
)
def test_what_cannot_be_clusters_is_refused(in_families, cluster, message):
    with pytest.raises(FitError, match=message):
        fit(in_families, TwoPL(), QUICK, model_clusters=cluster)


def test_unknown_ways_to_count_copies_are_refused(in_families):
    with pytest.raises(FitError, match="copies 'twice' is not known"):
        fit(in_families, TwoPL(), QUICK, copies="twice")
