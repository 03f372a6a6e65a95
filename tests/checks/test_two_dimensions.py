import numpy as np
import pytest
from scipy.optimize import minimize

from irt_bench.checks import dimensionality
from irt_bench.checks.dimensionality import (
    INTERCEPT_SD,
    SLOPE_SD,
    compare_dimensions,
    dimension_check,
    fit_dimensions,
)
from irt_bench.checks.fitted_responses import fit_abilities


def test_alternating_steps_reach_the_mode(rng):
    trials = np.full((12, 6), 2.0)
    trials[0, 0] = 0
    right = np.minimum(rng.binomial(2, 0.5 + 0.3 * np.sign(rng.normal(size=(12, 1))), (12, 6)), trials)

    def objective(flat):
        ability, slope, intercept = flat[:12], flat[12:18], flat[18:]
        log_odds = ability[:, None] * slope + intercept
        fit = right * log_odds - trials * np.logaddexp(0, log_odds)
        penalty = (ability**2).sum() + (slope**2).sum() / SLOPE_SD**2 + (intercept**2).sum() / INTERCEPT_SD**2
        return penalty / 2 - fit.sum()

    best = min(
        (minimize(objective, 0.5 * rng.normal(size=24), method="L-BFGS-B") for _ in range(4)), key=lambda r: r.fun
    )
    ability, slope, intercept = best.x[:12], best.x[12:18], best.x[18:]
    found = fit_dimensions(right, trials, 1, rng)
    np.testing.assert_allclose(found, ability[:, None] * slope + intercept, atol=0.05)


def test_two_dimensions_win_where_there_are_two_and_lose_where_there_is_one(rng, simulate):
    correct, trials, items = simulate(rng, n_items=40)
    one = compare_dimensions(fit_abilities(correct, trials, items), rng)
    assert one.gain < 0 and dimension_check(one).status == "passed"
    ability = np.where(np.arange(40) < 20, rng.normal(size=(300, 1)), rng.normal(size=(300, 1)))
    two = rng.binomial(1, 1 / (1 + np.exp(-items.discrimination * (ability - items.difficulty))))
    found = compare_dimensions(fit_abilities(two, trials, items), rng)
    assert found.gain == pytest.approx(found.two - found.one) and dimension_check(found).status == "failed"


def test_counts_are_scored_by_the_answer(rng, simulate):
    found = compare_dimensions(fit_abilities(*simulate(rng, n_models=100, trials=4, missing=0.3)), rng)
    assert -np.log(2) < found.one < 0 and found.n_answers % 4 == 0


def test_large_matrices_have_their_items_sampled(rng, simulate, monkeypatch):
    answers = fit_abilities(*simulate(rng, n_models=50, n_items=60))
    monkeypatch.setattr(dimensionality, "MAX_CELLS", 1000)
    monkeypatch.setattr(dimensionality, "MIN_SAMPLED_ITEMS", 10)
    assert 60 < compare_dimensions(answers, rng).n_answers < 140  # a tenth of 50 x 20


def test_too_few_answers_do_not_apply():
    assert dimension_check(None).status == "not_applicable"


@pytest.mark.slow
def test_one_dimension_is_seldom_called_two(simulate):
    rng = np.random.default_rng(8)
    sizes = ((100, 60), (400, 30), (150, 150))
    found = [
        dimension_check(compare_dimensions(fit_abilities(*simulate(rng, n_models=n, n_items=j)), rng)).status
        for n, j in sizes
        for _ in range(20)
    ]
    assert found.count("failed") <= 2
