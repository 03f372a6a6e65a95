import numpy as np
import pytest
from scipy.optimize import minimize

from irt_bench.errors import SubsetError, SubsetWarning
from irt_bench.subsets.basis import SelectionBasis
from irt_bench.subsets.select import select
from irt_bench.subsets.weights import WEIGHTINGS, effective_size, least_quadratic, weigh

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("weights", WEIGHTINGS)
def test_every_weighting_keeps_the_contract(basis, weights):
    chosen = select(basis, "difficulty", 20, np.random.default_rng(1))
    found = weigh(basis, chosen, weights, np.random.default_rng(1))
    assert found.shape == (20,) and found.sum() == pytest.approx(1) and (found >= 0).all()
    assert 1 <= effective_size(found) <= 20 + 1e-9


def test_least_variance_without_active_bounds_solves_the_lagrangian_equations():
    """w = C^-1 A' (A C^-1 A')^-1 b, the closed form of the problem without w >= 0."""
    matrix = np.diag([1.0, 2.0, 3.0, 4.0]) + 0.1
    constraints, values = np.array([[1, 1, 1, 1], [0.2, 0.4, 0.6, 0.8]]), np.array([1.0, 0.5])
    inverse = np.linalg.inv(matrix)
    closed = inverse @ constraints.T @ np.linalg.solve(constraints @ inverse @ constraints.T, values)
    assert (closed > 0).all()
    assert least_quadratic(matrix, constraints, values) == pytest.approx(closed)


def test_least_variance_with_active_bounds_agrees_with_a_general_solver():
    rng = np.random.default_rng(3)
    for _ in range(5):
        rows = rng.normal(size=(12, 8)) + 2 * rng.normal(size=(12, 1))
        matrix, means = rows.T @ rows / 12 + 0.05 * np.eye(8), rng.random(8)
        constraints, values = np.stack([np.ones(8), means]), np.array([1.0, float(np.sort(means)[2:6].mean())])
        bounds = {"type": "eq", "fun": lambda w, a=constraints, b=values: a @ w - b}
        other = minimize(
            lambda w, m=matrix: w @ m @ w, np.full(8, 1 / 8), jac=lambda w, m=matrix: 2 * m @ w, bounds=[(0, None)] * 8,
            constraints=bounds, method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
        )  # fmt: skip
        found = least_quadratic(matrix, constraints, values)
        assert constraints @ found == pytest.approx(values, abs=1e-8)
        assert found @ matrix @ found <= other.fun + 1e-8
        assert (found < 1e-9).any()


def test_minimum_variance_keeps_the_mean_and_says_when_it_cannot(basis):
    chosen = select(basis, "difficulty", 20, np.random.default_rng(1))
    found = weigh(basis, chosen, "minimum-variance", RNG)
    places = basis.counts.items.index.get_indexer(chosen.items)
    assert found @ basis.shares.mean(axis=0)[places] == pytest.approx(basis.full_score.mean(), abs=1e-6)
    easiest = np.sort(np.argsort(-basis.shares.mean(axis=0))[:5])
    with pytest.warns(SubsetWarning, match="outside the chosen items"):
        weigh(basis, basis.select(easiest), "minimum-variance", RNG)


def test_weights_of_copies_with_independent_noise_are_in_inverse_proportion_to_its_variance():
    variances = np.array([1.0, 2.0, 4.0])
    found = least_quadratic(np.diag(variances), np.ones((1, 3)), np.ones(1))
    assert found == pytest.approx((1 / variances) / (1 / variances).sum())


def test_discrimination_weights_and_balance_weights(toy, basis):
    chosen = select(basis, "random", 10, np.random.default_rng(2))
    slopes = basis.parameters.discrimination[basis.counts.items.index.get_indexer(chosen.items)]
    assert weigh(basis, chosen, "discrimination", RNG) == pytest.approx(slopes / slopes.sum())
    balanced = weigh(basis, chosen, "balance", RNG)
    tasks = toy.counts.items.loc[chosen.items, "subtask"].to_numpy()
    for task in set(tasks):
        assert balanced[tasks == task].sum() == pytest.approx(1 / 3)


def test_unknown_weights_are_refused(basis: SelectionBasis):
    with pytest.raises(SubsetError, match="minimum-variance"):
        weigh(basis, select(basis, "random", 3, RNG), "min-variance", RNG)
    assert effective_size(np.array([0.5, 0.5, 0.0])) == pytest.approx(2)
