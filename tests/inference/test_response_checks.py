import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from irt_bench import FitWarning, LaplaceSettings, OnePL, ThreePL, TwoPL, fit
from irt_bench.inference.response_checks import (
    MODEL_CHECKS,
    expected_score_check,
    missing_pattern_check,
    overdispersion_check,
    response_checks,
    score_order_check,
)

FAST = LaplaceSettings(refine=False, draws=200)
UNREFINED = pytest.mark.filterwarnings("ignore:(normality|hierarchy):irt_bench.errors.ConvergenceWarning")


def chance_of(ability, slope, difficulty):
    return 1 / (1 + np.exp(-slope * (np.asarray(ability)[:, None] - difficulty)))


@pytest.fixture
def simulate(rng, make_counts):
    """Counts of a 2PL whose cells may differ beyond ability, by an effect on the log-odds."""

    def make(n_models, n_items, *, trials=1, asked=None, ability=None, cell_sd=0.0, slope_sd=0.3):
        ability = rng.normal(size=n_models) if ability is None else ability
        slope, difficulty = np.exp(slope_sd * rng.normal(size=n_items)), rng.normal(size=n_items)
        log_odds = slope * (ability[:, None] - difficulty) + cell_sd * rng.normal(size=(n_models, n_items))
        n = trials * (np.ones((n_models, n_items), int) if asked is None else asked.astype(int))
        return make_counts(rng.binomial(n, 1 / (1 + np.exp(-log_odds))), n)

    return make


def known(ability, slope, difficulty, **more):
    """A posterior of equal draws: everything known."""
    values = {"ability": ("model", ability), "discrimination": ("item", slope), "difficulty": ("item", difficulty)}
    values |= {name: ("item", value) for name, value in more.items()}
    draws = {
        name: (("chain", "draw", dim), np.tile(np.asarray(value, float), (1, 30, 1)))
        for name, (dim, value) in values.items()
    }
    return xr.Dataset(draws)


def statuses(checks):
    return {check.name: check.status for check in checks}


@UNREFINED
@pytest.mark.parametrize(
    ("irt_model", "shape", "options"),
    [
        (TwoPL(), (15, 8), {}),
        (TwoPL(), (60, 40), {"asked": 0.3}),
        (TwoPL(), (150, 30), {"asked": 0.95}),
        (OnePL(dispersion=None), (40, 30), {"trials": 5, "slope_sd": 0.0}),
        (ThreePL(guessing=0.2), (120, 30), {}),
    ],
)
def test_the_model_passes_small_sparse_repeated_and_with_guessing(simulate, rng, irt_model, shape, options):
    if "asked" in options:
        options = options | {"asked": rng.random(shape) < options["asked"]}
    found = fit(simulate(*shape, **options), irt_model, FAST).checks[-4 if isinstance(irt_model, OnePL) else -3 :]
    assert all(check.status != "failed" for check in found), found
    told = statuses(found)
    assert told["expected_scores"] == "passed" and ("score_order" in told) == isinstance(irt_model, OnePL)
    assert (told["missing_pattern"] == "passed") == ("asked" in options)
    assert (told["overdispersion"] == "passed") == ("trials" in options)


@UNREFINED
def test_expected_scores_of_a_distorted_fit_are_caught_with_the_model(simulate, rng):
    counts = simulate(60, 40)
    posterior = fit(counts, TwoPL(), FAST).posterior
    assert expected_score_check(TwoPL(), posterior, counts, rng).status == "passed"
    moved = posterior.copy(deep=True)
    moved["ability"][:, :, 7] = moved["ability"][:, :, 7] + 4 * (
        1 if float(moved["ability"][..., 7].mean()) < 0 else -1
    )
    check = expected_score_check(TwoPL(), moved, counts, rng)
    assert check.status == "failed" and check.message.startswith("model m7: expected score")
    assert "(1 models beyond" in check.message and check.value > check.threshold
    shifted = posterior.assign(difficulty=posterior["difficulty"] + 2)
    assert expected_score_check(TwoPL(), shifted, counts, rng).status == "failed"


def test_two_in_a_hundred_models_may_be_off_by_twice_the_limit(rng, make_counts):
    correct = np.tile(np.arange(400) % 2, (100, 1))  # half right; the limit is 0.125, five standard errors
    posterior = known(np.zeros(100), np.ones(400), np.zeros(400))
    for n_off, n_more, status in ((0, 0, "passed"), (2, 70, "passed"), (3, 70, "failed"), (1, 110, "failed")):
        odd = correct.copy()
        odd[:n_off, : 2 * n_more] = 1
        assert expected_score_check(TwoPL(), posterior, make_counts(odd), rng).status == status


def test_the_expected_score_is_the_mean_chance_over_the_items_asked(rng, make_counts):
    ability, slope, difficulty = rng.normal(size=5), np.exp(0.3 * rng.normal(size=7)), rng.normal(size=7)
    trials = rng.integers(0, 3, (5, 7))
    trials[:, 0] = 1
    correct = rng.binomial(trials, 0.5)
    chance = 0.2 + 0.7 * chance_of(ability, slope, difficulty)
    asked = trials > 0
    score = np.array([np.mean(correct[row][asked[row]] / trials[row][asked[row]]) for row in range(5)])
    expected = np.array([chance[row][asked[row]].mean() for row in range(5)])
    error = [np.sqrt((chance * (1 - chance) / np.maximum(trials, 1))[row][asked[row]].sum()) for row in range(5)]
    limit = np.maximum(0.05, 5 * np.array(error) / asked.sum(axis=1))
    posterior = known(ability, slope, difficulty, guessing=np.full(7, 0.2), upper_asymptote=np.full(7, 0.9))
    found = expected_score_check(TwoPL(), posterior, make_counts(correct, trials), rng)
    worst = np.argmax(np.abs(score - expected) / limit)
    assert found.value == pytest.approx(abs(score - expected)[worst], rel=1e-4)
    assert found.threshold == pytest.approx(limit[worst], rel=1e-4)


def test_abilities_of_a_1pl_against_the_order_of_scores_are_caught(simulate):
    counts = simulate(50, 40, slope_sd=0.0)
    share = counts.accuracy().to_numpy()
    assert score_order_check(share, counts).status == "passed"
    swapped = share.copy()
    low, high = int(share.argmin()), int(share.argmax())
    swapped[[low, high]] = swapped[[high, low]]
    check = score_order_check(swapped, counts)
    assert check.status == "failed" and f"m{high} (" in check.message and f"behind m{low} (" in check.message
    near = share + 0.3 / np.sqrt(40) * np.random.default_rng(0).uniform(-1, 1, 50)  # ties broken anyhow
    assert score_order_check(near, counts).status == "passed"


def test_two_groups_asked_other_items_are_caught_where_they_differ(rng, simulate):
    group = np.arange(160) < 80
    asked = np.ones((160, 60), bool)
    asked[np.ix_(group, np.arange(20))] = False
    asked[np.ix_(~group, np.arange(40, 60))] = False
    for difference, status in ((0.0, "passed"), (1.5, "failed")):
        ability = rng.normal(size=160) + difference * ~group
        check = missing_pattern_check(ability, simulate(160, 60, asked=asked, ability=ability), rng)
        assert check.status == status
    assert "models asked item i" in check.message and 0.3 < check.value < 1


def test_what_is_missing_at_random_or_nowhere_is_no_pattern(rng, simulate):
    counts = simulate(100, 30, asked=rng.random((100, 30)) > 0.3)
    assert missing_pattern_check(rng.normal(size=100), counts, rng).status == "passed"
    assert missing_pattern_check(rng.normal(size=100), simulate(100, 30), rng).status == "not_applicable"
    dropped = np.ones((100, 30), bool)
    dropped[:, 4] = False
    check = missing_pattern_check(rng.normal(size=100), simulate(100, 30, asked=dropped), rng)
    assert check.status == "not_applicable" and check.message == "all models were asked the same items"


def test_the_prediction_from_what_was_asked_leaves_each_model_out(rng):
    from irt_bench.inference.response_checks import _left_out_correlations

    asked, ability = rng.random((25, 8)) < 0.6, rng.normal(size=25)
    centred = asked - asked.mean(axis=0)
    scale = np.sqrt(25 / (centred**2).sum())
    predicted = np.empty(25)
    for out in range(25):  # ridge regression with an intercept that is not shrunk, the model left out
        rest = np.arange(25) != out
        design = np.column_stack([np.ones(25), scale * centred])
        penalty = np.diag([0.0] + [1.0] * 8)
        predicted[out] = design[out] @ np.linalg.solve(
            design[rest].T @ design[rest] + penalty, design[rest].T @ ability[rest]
        )
    found = _left_out_correlations(asked, ability[None])
    assert found[0] == pytest.approx(np.corrcoef(predicted, ability)[0, 1])


def test_overdispersion_of_cells_with_one_chance_is_tarones_test(rng, make_counts):
    trials = rng.integers(2, 12, (20, 10))
    correct = rng.binomial(trials, rng.beta(6, 9, (20, 10)))
    p = correct.sum() / trials.sum()
    # Tarone 1979, eq. 3: Z = (S - sum n) / sqrt(2 sum n (n - 1)), S = sum (k - n p)^2 / (p (1 - p)).
    z = ((correct - trials * p) ** 2 / (p * (1 - p)) - trials).sum() / np.sqrt(2 * (trials * (trials - 1)).sum())
    posterior = known(np.zeros(20), np.ones(10), np.full(10, -np.log(p / (1 - p))))
    check = overdispersion_check(TwoPL(), posterior, make_counts(correct, trials), rng)
    error = 2 * np.sqrt((trials * (trials - 1) / 2 * (p * (1 - p)) ** 2).sum()) / (trials * p * (1 - p)).sum()
    assert (check.value - 1) / error == pytest.approx(z, rel=1e-4)
    assert check.threshold == pytest.approx(max(1.1, 1 + 3.09 * error), rel=1e-4)


def test_overdispersion_is_the_variance_over_the_binomial_one(rng, make_counts):
    chance = chance_of(np.linspace(-1, 1, 200), np.ones(50), np.linspace(-1, 1, 50))
    correct = stats.betabinom.rvs(8, 4 * chance, 4 * (1 - chance), random_state=rng)  # correlation 1 / (4 + 1)
    posterior = known(np.linspace(-1, 1, 200), np.ones(50), np.linspace(-1, 1, 50))
    check = overdispersion_check(TwoPL(), posterior, make_counts(correct, np.full(correct.shape, 8)), rng)
    assert check.status == "failed" and check.value == pytest.approx(1 + 7 / 5, rel=0.05)
    assert "too narrow" in check.message and "model m" in check.message and "item i" in check.message


@UNREFINED
def test_fit_warns_of_both_but_says_that_inference_converged(rng, simulate):
    counts = simulate(120, 30, trials=10, cell_sd=1.0)
    with pytest.warns(FitWarning, match="overdispersion: .*alike beyond ability"):
        found = fit(counts, TwoPL(dispersion=None), FAST, model_clusters=False)
    assert statuses(found.checks)["overdispersion"] == "failed" and found.converged
    group = np.arange(120) < 60
    asked = np.ones((120, 45), bool)
    asked[np.ix_(group, np.arange(15))] = asked[np.ix_(~group, np.arange(30, 45))] = False
    with pytest.warns(FitWarning, match="missing_pattern: what a model was asked predicts its ability"):
        fit(simulate(120, 45, asked=asked, ability=rng.normal(size=120) + 1.5 * group), TwoPL(), FAST)


def test_another_models_chances_are_not_guessed(rng, simulate):
    class Own:
        name = "own"

    posterior = known(rng.normal(size=20), np.ones(5), np.zeros(5)).drop_vars("difficulty")
    told = statuses(response_checks(Own(), posterior, simulate(20, 5, trials=3), seed=0))
    of_any_model = {"expected_scores", *MODEL_CHECKS} - {"overlap"}  # that of groups of items
    assert told == dict.fromkeys(of_any_model, "not_applicable")


@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::irt_bench.errors.FitWarning")
@pytest.mark.parametrize(
    ("file", "irt_model", "failed"),
    [
        ("two_forms_common_items.csv", TwoPL(), "missing_pattern"),
        ("overdispersed_10_of_n.csv", TwoPL(dispersion=None), "overdispersion"),
    ],
)
def test_cases_found_by_others_are_caught(shared_cases, file, irt_model, failed):
    from irt_bench import read_responses

    found = fit(read_responses([shared_cases / file]).counts(), irt_model, FAST)
    assert [check.name for check in found.checks if check.status == "failed" and check.name in MODEL_CHECKS] == [failed]


def test_a_fit_at_the_floor_that_does_not_reproduce_scores_is_caught(shared_cases, rng):
    from irt_bench import read_responses

    counts = read_responses([shared_cases / "floor_bsd2.csv"]).counts()
    share = counts.accuracy()
    # What the fast 1PL once gave: slopes without bounds, a model with 0.2% right taken to get all right.
    broken = known(np.where(share == share.max(), -3.0, 3.0), np.full(180, 100.0), np.zeros(180))
    check = expected_score_check(TwoPL(), broken, counts, rng)
    assert check.status == "failed" and check.value > 0.9
    assert score_order_check(-share.to_numpy(), counts).status == "failed"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::irt_bench.errors.FitWarning")
def test_rates_of_false_alarm_and_power(rng, simulate):
    """Of 60 data sets each: no check fails in more than 3 of data of the model, two groups are caught in 50."""
    group = np.arange(120) < 60
    forms = np.ones((120, 60), bool)
    forms[np.ix_(group, np.arange(20))] = forms[np.ix_(~group, np.arange(40, 60))] = False
    failed = {}
    for name, options in {
        "at random": {"asked": lambda: rng.random((120, 60)) > 0.4, "trials": 3},
        "forms": {"asked": lambda: forms},
        "groups": {"asked": lambda: forms, "ability": lambda: rng.normal(size=120) + 1.2 * group},
        "cells": {"trials": 5, "cell_sd": 0.7},
    }.items():
        count = pd.Series(0, index=["expected_scores", *(name for name in MODEL_CHECKS if name != "overlap")])
        for _ in range(60):  # overlap is a check of models with several abilities
            drawn = {key: value() if callable(value) else value for key, value in options.items()}
            told = statuses(fit(simulate(120, 60, **drawn), TwoPL(dispersion=None), FAST).checks)
            count += [told[check] == "failed" for check in count.index]
        failed[name] = count
    assert max(failed["at random"].max(), failed["forms"].max()) <= 3
    assert failed["groups"]["missing_pattern"] >= 50 and failed["cells"]["overdispersion"] >= 50
    assert failed["groups"]["expected_scores"] == failed["cells"]["expected_scores"] == 0
