"""Full scores of models unlike those of the calibration: intervals cover, or the score is refused."""

import numpy as np
import pandas as pd
import pytest

import irt_bench
from irt_bench import ResponseCounts, TwoPL
from irt_bench.errors import FitError, SubsetError, SubsetWarning
from irt_bench.inference.settings import settings_for
from irt_bench.responses.labels import model_clusters
from irt_bench.subsets import calibration, score
from irt_bench.subsets.calibration import CalibrationPlan, Recipe, prepare
from irt_bench.subsets.make import DEFAULT_ESTIMATOR, DEFAULT_METHOD, default_weights, make_subset
from irt_bench.subsets.score import estimate_full_score

# Quantiles of the score between which the calibration models and those that are scored lie.
SPLITS = {
    "weaker half, strongest 30%": ((0.0, 0.5), (0.7, 1.0)),
    "stronger half, weakest 30%": ((0.5, 1.0), (0.0, 0.3)),
    "weakest third, the rest": ((0.0, 0.33), (0.33, 1.0)),
    "middle, both ends": ((0.2, 0.8), (0.8, 1.2)),
    "all but the strongest 15%": ((0.0, 0.85), (0.85, 1.0)),
}


def benchmark(seed, n_models=160, n_items=300):
    """Answers of a 2PL and the order of the models by score."""
    rng = np.random.default_rng(seed)
    ability, difficulty = rng.normal(size=n_models), rng.normal(0, 1.2, n_items)
    chance = 1 / (1 + np.exp(-np.exp(rng.normal(0, 0.4, n_items)) * (ability[:, None] - difficulty)))
    correct = (rng.random(chance.shape) < chance).astype(int)
    models = pd.DataFrame(index=pd.Index([f"org{m}/net{m}" for m in range(n_models)], name="model"))
    items = pd.DataFrame(index=pd.Index([f"i{j}" for j in range(n_items)], name="item"))
    counts = ResponseCounts(correct, np.ones_like(correct), models, items, "toy")
    return counts, np.argsort(correct.mean(axis=1), kind="stable")


def between(order, low, high):
    """Models between two quantiles; beyond 1 it goes on at the lower end."""
    places = np.arange(round(low * len(order)), round(high * len(order))) % len(order)
    return order[places]


def scored(seed, split, estimator=DEFAULT_ESTIMATOR, method=DEFAULT_METHOD, size=50):
    """Estimates with limits of the models scored beside the truth, and the subset."""
    counts, order = benchmark(seed)
    kept, new = (between(order, *quantiles) for quantiles in SPLITS[split])
    old = counts.take(models=kept)
    plan = CalibrationPlan(TwoPL(), settings_for("laplace", seed=0, refine=False))
    recipe = Recipe(method, default_weights(method), size)
    subset = make_subset(prepare(old, model_clusters(old), plan), recipe, estimator=estimator)
    table = estimate_full_score(counts.take(models=new), subset)
    return table.assign(truth=counts.correct[new].mean(axis=1)), subset


def coverage(table):
    told = table.dropna(subset=["estimate"])
    return float(((told["q05"] <= told["truth"]) & (told["truth"] <= told["q95"])).mean())


def test_models_abler_than_the_calibration_are_estimated_without_bias_and_covered():
    """What the case of the findings asks: bias -8.4 points and coverage .48 before, the same simulation."""
    found = [scored(seed, "weaker half, strongest 30%") for seed in (7, 8, 9)]
    errors = [table["estimate"] - table["truth"] for table, _ in found]
    assert abs(np.mean([error.mean() for error in errors])) < 0.02
    absolute = [error.abs().mean() for error in errors]
    assert np.mean(absolute) < 0.055
    assert np.mean([coverage(table) for table, _ in found]) >= 0.85
    assert np.mean([(table["flags"] == "outside_calibration").mean() for table, _ in found]) > 0.8
    expected = [subset.abler.error for _, subset in found]
    assert 0.5 < np.mean(expected) / np.mean(absolute) < 2


def test_intervals_of_models_like_the_calibration_would_not_cover_abler_ones(monkeypatch):
    """The control: p-IRT with the prior of the calibration, whose intervals nothing widens outside its range."""
    plain = score.extrapolation_of
    monkeypatch.setattr(
        score, "extrapolation_of", lambda *about: plain(*about)._replace(probability=np.zeros(len(about[1])))
    )
    found = [scored(seed, "weaker half, strongest 30%", "p_irt", "anchors", size=20)[0] for seed in (7, 8)]
    assert np.mean([coverage(table) for table in found]) < 0.6
    assert np.mean([(table["estimate"] - table["truth"]).mean() for table in found]) < -0.05


def test_a_regression_is_refused_where_it_would_extrapolate():
    table, subset = scored(7, "weaker half, strongest 30%", estimator="p_irt_ridge", method="anchors")
    refused = table["estimate"].isna()
    assert refused.mean() > 0.8 and table.loc[refused, ["q05", "q95"]].isna().all(axis=None)
    assert table["flags"].str.contains("outside_calibration")[refused].all()
    assert subset.abler is None


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("size", [20, 100])
def test_for_any_split_by_score_intervals_cover(split, size, record_coverage):
    found = [coverage(scored(seed, split, size=size)[0]) for seed in range(6)]
    label = f"shift of models, 2PL 160x300, {split}, {size} items, the default"
    assert record_coverage("full score", label, found, seeds="0-5", limits=(0.85, 1.0)).right


@pytest.mark.slow
def test_models_like_the_calibration_are_covered_at_the_nominal_rate(record_coverage):
    found = []
    for seed in range(8):
        counts, order = benchmark(seed)
        old, new = counts.take(models=order[::2]), counts.take(models=order[1::2])
        plan = CalibrationPlan(TwoPL(), settings_for("laplace", seed=0, refine=False))
        recipe = Recipe(DEFAULT_METHOD, default_weights(DEFAULT_METHOD), 50)
        table = estimate_full_score(new, make_subset(prepare(old, model_clusters(old), plan), recipe))
        found.append(coverage(table.assign(truth=new.correct.mean(axis=1))))
    assert record_coverage(
        "full score", "2PL 160x300, every other model, 50 items, the default", found, seeds="0-7"
    ).right


def test_a_weaker_half_that_cannot_be_fitted_leaves_abler_models_unknown(monkeypatch):
    """The subset is made all the same, says nothing of abler models, and scores them with a wider interval."""
    counts, order = benchmark(3, n_models=40, n_items=60)
    fitted = calibration.fit_posterior

    def without_halves(of, plan):
        if of.n_models == 20:
            raise FitError("too few answers")
        return fitted(of, plan)

    monkeypatch.setattr(calibration, "fit_posterior", without_halves)
    plan = CalibrationPlan(TwoPL(), settings_for("laplace", seed=0, refine=False))
    recipe = Recipe(DEFAULT_METHOD, default_weights(DEFAULT_METHOD), 12)
    subset = make_subset(prepare(counts, model_clusters(counts), plan), recipe)
    assert subset.abler is None and subset.numbers.abler_scale is None
    best = type(counts)(np.ones((1, 60), dtype=int), np.ones((1, 60), dtype=int), counts.models.iloc[:1], counts.items)
    table = estimate_full_score(best, subset)
    assert table["flags"].iloc[0] == "outside_calibration" and table["q05"].iloc[0] < table["estimate"].iloc[0] <= 1


def few(n_models, seed, *, n_items=200, n_new=60):
    """Answers of a few models that calibrate, and of new ones; two-parameter logistic."""
    rng = np.random.default_rng(seed)
    difficulty, discrimination = rng.normal(0, 1.3, n_items), np.exp(rng.normal(0, 0.5, n_items))
    ability = rng.normal(size=n_models + n_new)
    right = rng.random((len(ability), n_items)) < 1 / (1 + np.exp(-discrimination * (ability[:, None] - difficulty)))
    labels = [f"m{number}" for number in range(len(ability))]
    frame = pd.DataFrame(right.astype(int), index=labels, columns=[f"q{item}" for item in range(n_items)])
    return frame[:n_models], frame[n_models:]


def test_subsets_of_few_models_are_random_items_with_intervals_that_hold():
    n_models, found = 4, []
    for seed in range(8):
        kept, new = few(n_models, seed)
        with pytest.warns(SubsetWarning, match=f"^{n_models} models say too little"):
            subset = irt_bench.make_subset(kept, 50, seed=seed)
        assert (subset.record.method, subset.record.estimator) == ("random", "weighted")
        found.append(subset.score(new).assign(truth=new.mean(axis=1)))
    table = pd.concat(found)
    half = (table["q95"] - table["q05"]) / 2
    error = (table["estimate"] - table["truth"]).abs()
    assert 0.86 < (error <= half).mean() < 0.95
    assert (error <= 0.5 * half).mean() < 0.7  # the negative control: halved intervals do not


def test_more_calibration_models_make_a_better_subset_and_shuffled_answers_do_not():
    kept, new = few(90, 1, n_items=100)
    frame = pd.concat([kept, new])
    found = irt_bench.compare_calibrations(frame, 15, [5, 60], repeats=4).summary()
    assert found.loc[60, "error_q95"] < found.loc[60, "random"]
    assert found.loc[5, "error"] == pytest.approx(found.loc[5, "random"], rel=0.25)
    rng = np.random.default_rng(0)
    shuffled = pd.DataFrame(rng.permuted(frame.to_numpy(), axis=1), frame.index, frame.columns)
    how = {"method": "anchors", "estimator": "weighted"}  # no shrinkage, which helps with any items
    control = irt_bench.compare_calibrations(shuffled, 15, [60], repeats=4, **how).summary()
    assert control.loc[60, "error"] > 0.9 * control.loc[60, "random"]


def test_calibrations_that_leave_no_models_to_judge_are_refused():
    kept, _ = few(12, 0)
    with pytest.raises(SubsetError, match="12 models"):
        irt_bench.compare_calibrations(kept, 20, [5])
