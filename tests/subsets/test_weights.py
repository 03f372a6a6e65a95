import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import minimize
from sklearn import covariance

from irt_bench import ResponseCounts
from irt_bench.errors import SubsetError, SubsetWarning
from irt_bench.subsets import basis as module
from irt_bench.subsets.basis import SelectionBasis, least_quadratic, seed_residuals
from irt_bench.subsets.select import WEIGHTINGS, effective_size, ledoit_wolf, select, weight_items

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("weights", WEIGHTINGS)
def test_every_weighting_keeps_the_contract(basis, weights):
    chosen = select(basis, "difficulty", 20, np.random.default_rng(1))
    found = weight_items(basis, chosen, weights)
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


@pytest.mark.parametrize("n_rows", [4, 50])
def test_pivoting_and_least_squares_find_the_same_weights(n_rows, monkeypatch):
    rng = np.random.default_rng(4)
    matrix = ledoit_wolf((rng.random((n_rows, 30)) < 0.6) * rng.choice([0.1, 1.0], 30))
    means = rng.random(30)
    problem = matrix, np.stack([np.ones(30), means]), np.array([1.0, np.quantile(means, 0.9)])
    found = least_quadratic(*problem)
    assert 0 < (found == 0).sum() < 29
    monkeypatch.setattr(module, "MAX_PIVOTS", 0)
    assert least_quadratic(*problem) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("shape", [(75, 50), (4, 30), (2, 7), (6, 1)])
def test_shrunk_covariances_are_those_of_scikit_learn(shape):
    rows = np.random.default_rng(5).normal(size=shape) * np.linspace(0.5, 2, shape[1])
    for each in (rows, (rows > 0.3).astype(float), np.zeros(shape)):
        assert ledoit_wolf(each) == pytest.approx(covariance.ledoit_wolf(each)[0], abs=1e-12)
    if min(shape) > 2:
        plain = np.cov(rows, rowvar=False, ddof=0)
        assert abs(ledoit_wolf(rows) - plain).max() > 1e-3  # it shrinks


def test_minimum_variance_keeps_the_mean_and_says_when_it_cannot(basis):
    chosen = select(basis, "difficulty", 20, np.random.default_rng(1))
    found = weight_items(basis, chosen, "minimum-variance")
    places = chosen.items
    assert found @ basis.shares.mean(axis=0)[places] == pytest.approx(basis.full_score.mean(), abs=1e-6)
    easiest = np.sort(np.argsort(-basis.shares.mean(axis=0))[:5])
    with pytest.warns(SubsetWarning, match="outside the chosen items"):
        weight_items(basis, basis.select(easiest), "minimum-variance")


def test_weights_of_copies_with_independent_noise_are_in_inverse_proportion_to_its_variance():
    variances = np.array([1.0, 2.0, 4.0])
    found = least_quadratic(np.diag(variances), np.ones((1, 3)), np.ones(1))
    assert found == pytest.approx((1 / variances) / (1 / variances).sum())


def test_discrimination_weights_and_balance_weights(toy, basis):
    chosen = select(basis, "random", 10, np.random.default_rng(2))
    slopes = basis.parameters.discrimination[chosen.items]
    assert weight_items(basis, chosen, "discrimination") == pytest.approx(slopes / slopes.sum())
    balanced = weight_items(basis, chosen, "balance")
    tasks = toy.counts.items["subtask"].iloc[chosen.items].to_numpy()
    for task in set(tasks):
        assert balanced[tasks == task].sum() == pytest.approx(1 / 3)


def test_unknown_weights_are_refused(basis: SelectionBasis):
    with pytest.raises(SubsetError, match="minimum-variance"):
        weight_items(basis, select(basis, "random", 3, RNG), "min-variance")
    assert effective_size(np.array([0.5, 0.5, 0.0])) == pytest.approx(2)


def seed_basis(shares, run, seed):
    """A basis of training runs; no IRT fit is looked at."""
    models = pd.DataFrame({"run": run, "seed": seed}, index=pd.Index([f"m{k}" for k in range(len(run))], name="model"))
    items = pd.DataFrame(index=pd.Index([f"i{k}" for k in range(shares.shape[1])], name="item"))
    counts = ResponseCounts(shares, np.ones(shares.shape, dtype=int), models, items, "toy", "score")
    shapes = {
        "ability": ("model", len(models)),
        "difficulty": ("item", len(items)),
        "discrimination": ("item", len(items)),
    }
    arrays = {name: (("chain", "draw", dim), np.ones((1, 1, n))) for name, (dim, n) in shapes.items()}
    return SelectionBasis(
        counts,
        xr.Dataset(arrays, coords={"model": models.index.to_numpy(dtype=str), "item": items.index.to_numpy(dtype=str)}),
    )


def seed_variance(basis, places, weights):
    rows = seed_residuals(basis.counts.models, basis.shares[:, places])
    return float(np.mean((rows @ weights) ** 2))


def variance_ratios(old, new, places):
    """Seed variance with minimum-variance weights by that with equal ones: on their own runs, and on others."""
    weights = weight_items(old, old.select(places), "minimum-variance")
    equal = np.full(len(places), 1 / len(places))
    return [seed_variance(each, places, weights) / seed_variance(each, places, equal) for each in (old, new)]


def test_seed_weights_lower_the_variance_of_other_runs_only_where_items_differ_in_theirs():
    """Half the items have 16 times the others' seed variance: 1 / variance gives 64 / 17^2, shrunk more."""
    rng = np.random.default_rng(0)
    sd = np.tile([0.05, 0.2], 20)
    run, seed = np.repeat([f"r{k}" for k in range(40)], 4), np.tile(np.arange(4), 40)
    mean = 0.5 + 0.2 * np.tile([-1, -1, 1, 1], 10)

    def draw(sds):
        return np.clip(mean + sds * rng.normal(size=(160, 40)), 0, 1)

    planted = variance_ratios(seed_basis(draw(sd), run, seed), seed_basis(draw(sd), run, seed), np.arange(40))
    assert 64 / 17**2 < planted[1] < 0.5
    # Negative control: items all alike. In sample weights still seem to gain; on other runs they do not.
    alike = variance_ratios(seed_basis(draw(0.1), run, seed), seed_basis(draw(0.1), run, seed), np.arange(40))
    assert alike[0] < alike[1] and alike[1] > 0.9


@pytest.mark.slow
def test_seed_weights_on_real_runs_gain_little_on_other_runs_and_nothing_of_what_they_seem_to_in_sample(shared_data):
    frame = pd.read_parquet(shared_data / "aann_seeds.parquet").dropna(subset="seed")
    frame = frame.assign(run=frame["condition"].astype(str) + "|" + frame["lr"].astype(str))
    wide = frame.pivot(index=["run", "seed"], columns="item", values="correct")
    run, seed = wide.index.get_level_values("run"), wide.index.get_level_values("seed")
    several = run.isin(run.value_counts().index[run.value_counts() == 3])
    wide, run, seed = wide[several], run[several], seed[several]
    assert run.nunique() == 27
    ratios = []
    for split in range(4):
        rng = np.random.default_rng(split)
        kept = run.isin(rng.permutation(run.unique())[:14])
        columns = rng.choice(wide.shape[1], 1000, replace=False)
        old, new = (seed_basis(wide.to_numpy()[rows][:, columns], run[rows], seed[rows]) for rows in (kept, ~kept))
        ratios += [variance_ratios(old, new, np.sort(rng.choice(1000, 50, replace=False))) for _ in range(5)]
    in_sample, elsewhere = np.mean(ratios, axis=0)
    assert in_sample < 0.4
    assert 0.75 < elsewhere < 1.02
