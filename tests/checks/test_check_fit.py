"""All checks at once: the model passes, planted faults are caught, and what cannot be checked is told."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from irt_bench import LaplaceSettings, OnePL, TwoPL, fit
from irt_bench.checks import check_fit, predictive
from irt_bench.errors import AnalysisError, FitError

pytestmark = pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
PREDICTIVE = {"score_distribution", "odds_ratios", "item_total_curves"}
ALL = PREDICTIVE | {
    "loo_cells", "loo_models", "infit", "outfit", "s_x2", "q3", "person_fit", "near_copies", "families",
    "parallel_analysis", "second_eigenvalue", "two_dimensions", "dif",
    "testlets", "expected_scores", "missing_pattern", "overdispersion",
}  # fmt: skip


@pytest.fixture(autouse=True)
def few_cells_left_out(monkeypatch):
    monkeypatch.setattr(predictive, "MAX_CELLS", 500)


@pytest.fixture
def status(make_counts):
    """Fit and check; the outcome by name."""

    def found(correct, trials, irt_model=None, **options):
        counts = make_counts(correct, trials)
        checked = check_fit(counts, fit(counts, irt_model or TwoPL()), replicates=9, **options)
        return {check.name: check.status for check in checked.checks}, checked

    return found


def test_the_model_passes_and_the_tables_are_whole(rng, simulate, status, labels):
    correct, trials, _ = simulate(rng, n_models=200, n_items=20)
    groups = pd.Series(np.where(np.arange(200) < 80, "a", "b"), index=labels(200, "m"))
    outcome, found = status(correct, trials, groups=groups, seed=1)
    assert set(outcome) == ALL
    assert [name for name, each in outcome.items() if each == "failed"] == []
    assert found.passed and found.to_dict()["passed"]
    assert found.items.index.tolist() == [f"i{place}" for place in range(20)] and found.items["misfits"].eq("").all()
    assert np.isfinite(found.items.drop(columns=["partner", "misfits"]).to_numpy(dtype=float)).all()
    assert len(found.models) == 200 and not found.models["misfit"].any()
    assert {each.unit for each in found.log_scores} == {"cell", "model"}
    assert found.differences["group"].unique().tolist() == ["a"]
    assert all(check.source for check in found.checks if check.status != "not_applicable")


def test_planted_faults_are_caught_by_the_checks_made_for_them(rng, simulate, status, labels):
    ability = rng.normal(size=400)
    correct, trials, items = simulate(rng, n_items=40, ability=ability)
    correct[:, 5] = 1 - correct[:, 5]  # a swapped key
    correct[:, 6] = np.where(rng.random(400) < 0.95, correct[:, 7], correct[:, 6])  # a duplicate
    correct[13] = (items.difficulty > np.median(items.difficulty)).astype(int)  # right where others are wrong
    member = np.arange(400) < 200
    harder = ability - 2.5 * member
    correct[:, 8] = rng.binomial(1, 1 / (1 + np.exp(-items.discrimination[8] * (harder - items.difficulty[8]))))
    groups = pd.Series(np.where(member, "a", "b"), index=labels(400, "m"))
    outcome, found = status(correct, trials, groups=groups)
    caught = {name for name, each in outcome.items() if each == "failed"}
    assert caught >= {"odds_ratios", "item_total_curves", "q3", "person_fit", "dif"}
    assert "item_total_curves" in found.items.loc["i5", "misfits"]
    assert found.pairs.loc[0, ["item_a", "item_b"]].tolist() == ["i6", "i7"]
    assert found.items.loc["i6", "partner"] == "i7" and "q3" in found.items.loc["i6", "misfits"]
    assert found.models.index[found.models["misfit"]].tolist() == ["m13"]
    assert found.differences.loc[found.differences["large"], "item"].tolist()[0] == "i8"


def test_unequal_slopes_are_caught_under_equal_ones(rng, make_items, status):
    slope = np.tile([0.3, 2.5], 10)
    ability, difficulty = rng.normal(size=(500, 1)), np.linspace(-1, 1, 20)
    correct = rng.binomial(1, 1 / (1 + np.exp(-slope * (ability - difficulty))))
    outcome, _ = status(correct, np.ones_like(correct), OnePL())
    assert outcome["s_x2"] == outcome["item_total_curves"] == outcome["odds_ratios"] == "failed"


def test_counts_of_trials_missing_cells_and_constant_items_are_checked_as_far_as_they_go(rng, simulate, status):
    correct, trials, _ = simulate(rng, n_models=60, n_items=15, trials=4, missing=0.3)
    correct[:, 0] = trials[:, 0]
    trials[:, 1], correct[:, 1] = 0, 0
    trials[3], correct[3] = 0, 0
    outcome, found = status(correct, trials)
    for name in ("s_x2", "parallel_analysis", "second_eigenvalue", "dif"):
        assert outcome[name] == "not_applicable"
    for name in ("infit", "q3", "person_fit", "odds_ratios", "item_total_curves"):
        assert outcome[name] == "passed"
    assert "m3" not in found.models.index and "i1" not in found.items.index
    assert len(found.notes) == 3 and "form no pairs" in found.notes[2]


def test_a_handful_of_models_and_items_is_checked_without_an_error(rng, simulate, status):
    for shape in ((3, 2), (6, 40), (100, 2)):
        correct, trials, _ = simulate(rng, n_models=shape[0], n_items=shape[1])
        outcome, _ = status(correct, trials)
        assert set(outcome) == ALL and "not_applicable" in outcome.values()


def test_the_same_seed_gives_the_same_checks_in_any_order_of_rows(rng, simulate, make_counts):
    correct, trials, _ = simulate(rng, n_models=80, n_items=12)
    counts = make_counts(correct, trials)
    fitted = fit(counts, TwoPL())
    first, second = (check_fit(counts, fitted, replicates=9, seed=3) for _ in range(2))
    assert first.to_dict() == second.to_dict()
    pd.testing.assert_frame_equal(first.items, second.items)
    assert check_fit(counts, fitted, replicates=9, seed=4).to_dict() != first.to_dict()


def test_a_fit_of_too_few_draws_is_refused(rng, simulate, make_counts):
    correct, trials, _ = simulate(rng, n_models=40, n_items=8)
    counts = make_counts(correct, trials)
    with pytest.raises(AnalysisError, match="the fit has 20 draws; checks need 25 or more"):
        check_fit(counts, fit(counts, TwoPL(), LaplaceSettings(draws=20)))


def test_a_fit_of_other_responses_is_refused(rng, simulate, make_counts):
    correct, trials, _ = simulate(rng, n_models=40, n_items=8)
    fitted = fit(make_counts(correct, trials), TwoPL())
    with pytest.raises(FitError, match="other responses"):
        check_fit(make_counts(1 - correct, trials), fitted)
    with pytest.raises(AnalysisError, match="from 9 to"):
        check_fit(make_counts(correct, trials), fitted, replicates=3)


@pytest.mark.slow
def test_checks_without_a_limit_from_the_literature_fail_as_rarely_as_they_say(simulate, make_counts):
    rng = np.random.default_rng(11)
    failed, n = dict.fromkeys(ALL, 0), 20
    for seed in range(n):
        correct, trials, _ = simulate(rng, n_models=150, n_items=25)
        counts = make_counts(correct, trials)
        found = check_fit(counts, fit(counts, TwoPL()), replicates=19, seed=seed)
        for check in found.checks:
            failed[check.name] += check.status == "failed"
    # One in 20 at most: 20 data sets have 5 or more with probability 0.3%, and there are 13 checks.
    assert max(failed.values()) <= 4, failed
    assert sum(failed.values()) <= 12, failed


@pytest.mark.parametrize(("dim", "first"), [("item", "i7"), ("model", "m7")])
def test_a_fit_whose_labels_were_changed_or_doubled_is_refused_by_name(rng, simulate, make_counts, dim, first):
    correct, trials, _ = simulate(rng, n_models=40, n_items=8)
    counts = make_counts(correct, trials)
    fitted = fit(counts, TwoPL())
    labels = fitted.posterior[dim].to_numpy()
    for new, message in (("other", f"1 of the .* {dim}s of .* first: '{first}'"), (first[0] + "0", "occurs twice")):
        changed = fitted.posterior.assign_coords({dim: np.where(labels == first, new, labels)})
        with pytest.raises(AnalysisError, match=message):
            check_fit(counts, replace(fitted, posterior=changed), replicates=9)
