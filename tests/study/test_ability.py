import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.study.split import ability_modes, item_log_likelihoods


@pytest.mark.parametrize("n_items", [5, 50, 2000])
def test_modes_are_those_of_an_optimiser_however_many_the_items(n_items):
    rng = np.random.default_rng(n_items)
    a, b, c = np.exp(0.5 * rng.normal(size=n_items)), rng.normal(size=n_items), rng.uniform(0, 0.2, size=n_items)
    items = ItemParameters(difficulty=b, discrimination=a, guessing=c, upper_asymptote=np.ones(n_items))
    theta = rng.normal(size=6)

    def chance(ability):
        return c + (1 - c) / (1 + np.exp(-a * (ability - b)))

    right = np.stack([rng.binomial(3, chance(each)) for each in theta]).astype(float)
    modes = ability_modes(item_log_likelihoods(items), right, np.full((1, n_items), 3.0))
    for row, mode in zip(right, modes, strict=True):

        def loss(x, row=row):
            return x**2 / 2 - row @ np.log(chance(x)) - (3 - row) @ np.log(1 - chance(x))

        best = minimize_scalar(loss, bounds=(mode - 0.5, mode + 0.5), method="bounded", options={"xatol": 1e-6})
        assert mode == pytest.approx(best.x, abs=0.001)


def test_all_right_and_all_wrong_stay_finite():
    logs = item_log_likelihoods(ItemParameters(np.zeros(20), np.full(20, 1.5), np.zeros(20), np.ones(20)))
    modes = ability_modes(logs, np.array([[1.0] * 20, [0.0] * 20]), np.ones((1, 20)))
    assert np.isfinite(modes).all() and modes[0] == pytest.approx(-modes[1])
