"""Scales of two fits linked by common items, and scores of two tests equated: closed forms, simulation, controls."""

import numpy as np
import pytest
import xarray as xr
from scipy.special import expit, logit

from irt_bench import (
    GradedResponse,
    LaplaceSettings,
    TwoPL,
    equate_scores,
    fit,
    link_scales,
    simulate_responses,
)
from irt_bench.analysis.item_parameters import equated_scores, link_draws
from irt_bench.errors import AnalysisError, UndefinedWarning

QUICK = LaplaceSettings(refine=False, draws=400)
SLOPE, INTERCEPT = 0.7, 1.0  # sd and mean of the second group on the scale of the first
METHODS = ["stocking-lord", "mean-sigma"]


def draws_of_items(difficulty, discrimination, labels=None, guessing=0.0):
    labels = [f"q{place}" for place in range(len(difficulty))] if labels is None else labels
    values = {
        "difficulty": difficulty,
        "discrimination": discrimination,
        "guessing": np.full(len(difficulty), guessing),
    }
    arrays = {name: (("chain", "draw", "item"), np.array([[value, value]])) for name, value in values.items()}
    return xr.Dataset(arrays, coords={"item": labels})


@pytest.mark.parametrize("guessing", [0.0, 0.2])
@pytest.mark.parametrize("method", METHODS)
def test_items_that_differ_by_their_scale_give_it_exactly(method, guessing):
    rng = np.random.default_rng(1)
    b, a = rng.normal(size=12), np.exp(rng.normal(0.0, 0.3, 12))
    first = draws_of_items(b, a, guessing=guessing)
    second = draws_of_items((b - INTERCEPT) / SLOPE, a * SLOPE, guessing=guessing)
    link, common = link_draws(first, second, method)
    np.testing.assert_allclose(link, [[SLOPE, INTERCEPT]] * 2, rtol=1e-6)
    assert np.abs(common["difference"]).max() < 1e-6


def two_groups(seed, *, swapped=False):
    """Fits of two groups of 150 models to 50 items each, 30 of them in common; the truth of the second group."""
    made = simulate_responses(TwoPL(), n_models=300, n_items=70, seed=seed)
    ability = made.truth["ability"].to_numpy().copy()
    ability = (ability - ability.reshape(2, 150).mean(axis=1).repeat(150)) / ability.reshape(2, 150).std(axis=1).repeat(
        150
    )
    ability[150:] = INTERCEPT + SLOPE * ability[150:]
    items = {name: made.truth[name].to_numpy() for name in ("difficulty", "discrimination")}
    made = simulate_responses(TwoPL(), n_models=300, n_items=70, seed=seed, parameters={"ability": ability, **items})
    counts = made.table.counts()
    first = counts.take(models=slice(150), items=slice(50))
    second = counts.take(models=slice(150, 300), items=slice(20, 70))
    if swapped:
        labels = second.items.index.to_numpy()
        labels[:30] = np.random.default_rng(seed).permutation(labels[:30])
        second = second.__class__(second.correct, second.trials, second.models, second.items.set_axis(labels))
    fits = [fit(each, "2pl", QUICK, seed=seed, model_clusters=False) for each in (first, second)]
    return fits, ability[150:]


def test_links_of_simulated_groups_hold_the_truth():
    rows = {method: [] for method in METHODS}
    away, unlinked = [], []
    for seed in range(6):
        (first, second), truth = two_groups(seed)
        for method in METHODS:
            table = link_scales(first, second, method=method).summary()
            true = np.array([SLOPE, INTERCEPT])
            rows[method].append((table["value_q05"] < true) & (true < table["value_q95"]))
            assert np.abs(table["value"] - true).max() < 0.25
        abilities = link_scales(first, second).abilities()
        away.append(abilities["ability"].to_numpy() - truth)
        unlinked.append(second.abilities()["ability"].to_numpy() - truth)
        inside = (abilities["ability_q05"] < truth) & (truth < abilities["ability_q95"])
        assert inside.mean() > 0.75
    assert np.mean(rows["stocking-lord"]) >= 9 / 12
    assert np.mean(rows["mean-sigma"]) >= 8 / 12
    assert abs(np.mean(away)) < 0.1
    assert np.mean(unlinked) < -0.8  # the control: without a link the second group is taken for the first


def test_common_items_that_are_not_the_same_are_told():
    """The control: labels of the common items exchanged at random."""
    (first, second), _ = two_groups(0)
    (_, wrong), _ = two_groups(0, swapped=True)
    changed = []
    for other in (second, wrong):
        common = link_scales(first, other).common
        changed.append(((common["difference_q05"] > 0) | (common["difference_q95"] < 0)).mean())
    assert changed[0] < 0.25 and changed[1] > 0.6


def test_equal_items_give_equivalent_scores_in_closed_form():
    """Items of one slope, of difficulty 0 in the one test and 1 in the other: a shift of the log-odds."""
    posterior = draws_of_items(np.repeat([0.0, 1.0], 8), np.full(16, 1.3))
    labels = posterior["item"].to_numpy()
    scores = np.array([0.1, 0.5, 0.9])
    table = equated_scores(posterior, labels[:8], labels[8:], scores)
    np.testing.assert_allclose(table["equivalent"], expit(logit(scores) - 1.3), atol=5e-5)
    np.testing.assert_allclose(table["ability"], logit(scores) / 1.3, atol=2e-3)
    back = equated_scores(posterior, labels[8:], labels[:8], table["equivalent"].to_numpy())
    np.testing.assert_allclose(back["equivalent"], scores, atol=1e-4)
    assert equated_scores(posterior, labels[:8], labels[8:]).index.tolist() == [each / 8 for each in range(1, 8)]


def test_scores_of_no_ability_have_no_equivalent():
    posterior = draws_of_items(np.linspace(-1, 1, 10), np.ones(10), guessing=0.25)
    labels = posterior["item"].to_numpy()
    with pytest.warns(UndefinedWarning, match="2 scores, first 0.2, are expected at no ability"):
        table = equated_scores(posterior, labels[:5], labels[5:], np.array([0.2, 0.6, 1.0]))
    assert table["equivalent"].isna().tolist() == [True, False, True]


def test_scores_of_two_subsets_are_equated_as_their_models_scored():
    made = simulate_responses(TwoPL(), n_models=400, n_items=80, seed=3)
    counts = made.table.counts()
    fitted = fit(counts, "2pl", QUICK, model_clusters=False)
    order = fitted.items()["difficulty"].sort_values().index
    easy, hard = order[:40], order[40:]
    table = equate_scores(fitted, easy, hard)
    assert table["equivalent"].is_monotonic_increasing
    assert (table["equivalent_q05"] <= table["equivalent_q95"]).all()
    answers = shares_right(counts, easy), shares_right(counts, hard)
    predicted = np.interp(answers[0], table.index, table["equivalent"])
    assert abs(np.mean(predicted - answers[1])) < 0.02
    assert np.mean(answers[0] - answers[1]) > 0.2  # the control: scores as they are


def shares_right(counts, items):
    return counts.to_frame()[list(items)].mean(axis=1).to_numpy()


@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
def test_too_few_common_items_and_other_models_are_refused():
    first = draws_of_items(np.zeros(6), np.ones(6))
    second = draws_of_items(np.zeros(6), np.ones(6), labels=["q0", "q1", "x", "y", "z", "w"])
    with pytest.raises(AnalysisError, match="2 items in common, and linking their scales needs 5"):
        link_draws(first, second, "stocking-lord")
    with pytest.raises(AnalysisError, match="of another model"):
        link_draws(first.assign_attrs(score_model=GradedResponse().name), first, "mean-sigma")
    with pytest.raises(AnalysisError, match="'q9'"):
        equated_scores(first, ["q1", "q9"], ["q2"])
    with pytest.raises(AnalysisError, match="is empty"):
        equated_scores(first, ["q1"], [])
    made = simulate_responses(TwoPL(), n_models=60, n_items=30, seed=1).table
    fitted = fit(made, "2pl", QUICK, model_clusters=False)
    with pytest.raises(AnalysisError, match="method 'haebara'"):
        link_scales(fitted, fitted, method="haebara")
    assert repr(link_scales(fitted, fitted)) == "ScaleLink(1.000 x ability + 0.000, 30 common items)"
