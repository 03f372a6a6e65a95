import numpy as np
import pandas as pd
import pytest

from irt_bench import ResponseCounts, Subset, TwoPL
from irt_bench.errors import SubsetError
from irt_bench.inference.settings import settings_for
from irt_bench.responses.labels import model_clusters
from irt_bench.subsets.calibration import CalibrationPlan, Recipe, prepare
from irt_bench.subsets.estimators import ESTIMATORS
from irt_bench.subsets.make import make_subset
from irt_bench.subsets.score import COLUMNS, estimate_full_score


@pytest.fixture
def prepared(known_fits, plan):
    counts = known_fits.counts.take(models=slice(0, 80))
    return prepare(counts, model_clusters(counts), plan)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_subset_from_its_file_scores_new_models(prepared, toy, tmp_path, estimator):
    subset = make_subset(prepared, Recipe("difficulty", "equal", 20), estimator=estimator)
    Subset(subset).save(tmp_path / "subset.json")
    new = toy.counts.take(models=slice(80, 120))
    table = estimate_full_score(new, Subset.load(tmp_path / "subset.json").record)
    assert list(table.columns) == list(COLUMNS)
    assert (table["n_items"] == 20).all() and (table["n_missing"] == 0).all()
    refused = table["estimate"].isna()  # outside the range of abilities that a regression learned on
    assert ESTIMATORS[estimator].extrapolates or (table.loc[refused, "flags"] == "outside_calibration").all()
    assert refused.mean() < (0.01 if ESTIMATORS[estimator].extrapolates else 0.2)
    truth, table = new.correct.mean(axis=1)[~refused], table[~refused]
    assert ((table["q05"] <= truth) & (truth <= table["q95"])).mean() > 0.75
    assert np.corrcoef(table["estimate"], truth)[0, 1] > 0.85
    assert ((table["q05"] <= table["estimate"]) & (table["estimate"] <= table["q95"])).all()


def test_order_of_items_and_items_outside_the_subset_do_not_matter(prepared, toy):
    subset = make_subset(prepared, Recipe("difficulty", "equal", 20), estimator="p_irt_residual")
    order = np.random.default_rng(0).permutation(60)
    mixed = estimate_full_score(toy.counts.take(models=slice(80, 120), items=order), subset)
    only = toy.counts.items.index.get_indexer(subset.ids)
    exact = estimate_full_score(toy.counts.take(models=slice(80, 120), items=only), subset)
    assert mixed["estimate"].to_numpy() == pytest.approx(exact["estimate"].to_numpy())


def test_missing_answers_widen_the_interval_and_are_flagged(prepared, toy):
    subset = make_subset(prepared, Recipe("difficulty", "equal", 20), estimator="p_irt")
    half = toy.counts.items.index.get_indexer(subset.ids)[::2]
    full = estimate_full_score(toy.counts, subset)
    partly = estimate_full_score(toy.counts.take(items=half), subset)
    assert (partly["n_missing"] == 10).all() and partly["flags"].str.contains("missing_items").all()
    assert (partly["q95"] - partly["q05"]).mean() > (full["q95"] - full["q05"]).mean()


def test_models_beyond_the_calibration_and_models_without_answers_are_flagged(prepared, toy):
    subset = make_subset(prepared, Recipe("difficulty", "equal", 20), estimator="p_irt")
    ranged = subset.calibration.model_copy(update={"ability_range": (-0.1, 0.1)})
    trials = toy.counts.trials.copy()
    trials[0] = 0
    counts = type(toy.counts)(toy.counts.correct * trials, trials, toy.counts.models, toy.counts.items, "toy")
    table = estimate_full_score(counts, subset.model_copy(update={"calibration": ranged}))
    assert table["flags"].iloc[0] == "missing_items;no_answers"
    assert np.isnan(table[["estimate", "q05", "q95", "ability"]].iloc[0]).all()
    outside = table["flags"].iloc[1:].str.contains("outside_calibration").to_numpy()
    far, near = (table["ability"].iloc[1:].abs() > 0.6).to_numpy(), (table["ability"].iloc[1:].abs() < 0.02).to_numpy()
    assert outside[far].all() and far.any() and near.any()
    inside = estimate_full_score(counts, subset)["flags"].iloc[1:].str.contains("outside_calibration")
    assert inside.sum() < outside.sum() / 2


def test_another_benchmark_and_scores_are_refused(prepared, toy, make_counts):
    subset = make_subset(prepared, Recipe("random", "equal", 20), estimator="p_irt")
    renamed = type(toy.counts)(
        toy.counts.correct, toy.counts.trials, toy.counts.models, toy.counts.items.rename(index=lambda x: f"q{x}"), "b"
    )
    with pytest.raises(SubsetError, match="same benchmark"):
        estimate_full_score(renamed, subset)
    with pytest.raises(SubsetError, match="metric=.NAME."):
        estimate_full_score(make_counts(np.full((2, 60), 0.5), measure="score"), subset)


@pytest.fixture(scope="module")
def fractional():
    """Scores in [0, 1] of known expectation: beta around the 2PL's curve, far less spread than 0/1 answers."""
    rng = np.random.default_rng(0)
    ability, difficulty, slope = rng.normal(size=160), rng.normal(0, 1.2, 60), np.exp(rng.normal(0.3, 0.3, 60))
    chance = 1 / (1 + np.exp(-slope * (ability[:, None] - difficulty)))
    scores = np.clip(rng.beta(6 * chance + 1e-3, 6 * (1 - chance) + 1e-3), 0, 1)
    models = pd.DataFrame(index=pd.Index([f"family{chr(97 + m % 20)}/m{m}" for m in range(160)], name="model"))
    items = pd.DataFrame(index=pd.Index([f"i{k}" for k in range(60)], name="item"))
    return ResponseCounts(scores, np.ones(scores.shape, dtype=int), models, items, "toy", "score"), chance


@pytest.mark.parametrize("estimator", ["weighted", "ridge", "p_irt_residual"])
def test_fractional_scores_are_estimated_with_intervals_that_hold(fractional, estimator):
    counts, _ = fractional
    old = counts.take(models=slice(0, 100))
    plan = CalibrationPlan(TwoPL(), settings_for("laplace"), n_folds=3)
    subset = make_subset(
        prepare(old, model_clusters(old), plan), Recipe("difficulty", "equal", 15), estimator=estimator
    )
    assert subset.calibration.measure == "score" and subset.calibration.fingerprint == old.fingerprint()
    new = counts.take(models=slice(100, 160))
    table, truth = estimate_full_score(new, subset), new.correct.mean(axis=1)
    told = table["estimate"].notna()
    assert told.mean() > (0.99 if ESTIMATORS[estimator].extrapolates else 0.9)
    table, truth = table[told], truth[told]
    assert np.abs(table["estimate"] - truth).mean() == pytest.approx(subset.expected_error, rel=0.7)
    assert np.corrcoef(table["estimate"], truth)[0, 1] > 0.95
    assert 0.8 < ((table["q05"] <= truth) & (truth <= table["q95"])).mean() < 0.99
