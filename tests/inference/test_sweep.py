import numpy as np
import pytest
from scipy.special import expit

from irt_bench.errors import FitWarning
from irt_bench.inference import sweep
from irt_bench.inference.item_updates import Items
from irt_bench.inference.sweep import Sweeper
from irt_bench.irt_models.logistic import ThreePL, TwoPL

MODELS = {"2pl": TwoPL(), "3pl": ThreePL(guessing=0.25)}


def expected(correct, trials, mean, variance, items):
    """The same sums in float64, with 41 Gauss-Hermite nodes in place of three."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    weights = weights / weights.sum()
    gradient, information, sums = np.zeros(len(mean)), np.zeros(len(mean)), np.zeros((5, correct.shape[1]))
    c = 0.0 if items.guessing is None else items.guessing
    for node, weight in zip(nodes, weights, strict=True):
        theta = mean + node * np.sqrt(variance)
        known = expit(np.outer(theta, items.slope) + items.intercept)
        p = c + (1 - c) * known
        r, w = (correct - trials * p) * known / p, trials * (1 - p) * known**2 / p
        gradient += weight * (r @ items.slope)
        information += weight * (w @ items.slope**2)
        sums += weight * np.stack([r.sum(0), theta @ r, w.sum(0), theta @ w, theta**2 @ w])
    return gradient, information, sums


@pytest.mark.parametrize("kernel", ["numba", "torch"])
@pytest.mark.parametrize("name", MODELS)
def test_sums_agree_with_float64(rng, simulate_counts, kernel, name):
    correct, trials = simulate_counts(70, 300, n_samples=3, missing=0.2)
    items = Items.start(MODELS[name], rng.uniform(0.3, 0.9, 300))
    mean, variance = rng.normal(size=70), rng.uniform(0.005, 0.05, 70)
    sweeper = Sweeper(correct, trials, threads=1, kernel=kernel)
    gradient, information, sums = expected(correct, trials, mean, variance, items)
    found = sweeper.over_items(mean, variance, items)
    np.testing.assert_allclose(found[0], gradient, atol=2e-3)
    np.testing.assert_allclose(found[1], information, rtol=1e-4)
    np.testing.assert_allclose(sweeper.over_models(mean, variance, items), sums, atol=2e-3)


def test_results_do_not_depend_on_the_number_of_threads(rng, simulate_counts):
    correct, trials = simulate_counts(50, 200)
    items = Items.start(TwoPL(), np.full(200, 0.6))
    one, two = (Sweeper(correct, trials, threads=n, kernel="numba") for n in (1, 2))
    state = rng.normal(size=50), np.full(50, 0.1), items
    np.testing.assert_array_equal(one.over_models(*state), two.over_models(*state))
    np.testing.assert_array_equal(one.over_items(*state), two.over_items(*state))


def test_a_missing_numba_is_said_and_torch_takes_its_place(monkeypatch):
    monkeypatch.setattr(sweep, "find_spec", lambda name: None)
    with pytest.warns(FitWarning, match="numba is not installed"):
        assert sweep.best_kernel("cpu") == "torch"
    assert sweep.best_kernel("cuda") == "torch"
