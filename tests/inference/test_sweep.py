import numpy as np
import pytest
import torch
from numba import njit
from numba.core import caching
from scipy.special import expit

from irt_bench import LaplaceSettings, SVISettings, ThreePL, TwoPL, fit
from irt_bench.errors import FitError
from irt_bench.inference.fast import laplace, sweep, sweep_numba  # noqa: F401 - the last reports what is compiled
from irt_bench.inference.fast.parameter_updates import Items
from irt_bench.inference.fast.sweep import Sweeper
from irt_bench.inference.sampling import likelihood
from irt_bench.workers import listening

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


def three_nodes(correct, trials, mean, variance, items):
    """The same sums by the sweeps' own rule."""
    found = [0.0, 0.0, 0.0]
    for (weight,), place in zip(sweep.HERMITE, (0, -1, 1), strict=True):
        theta = mean + place * np.sqrt(3 * variance)
        part = expected(correct, trials, theta, np.zeros_like(theta), items)
        found = [total + weight * each for total, each in zip(found, part, strict=True)]
    return found


@pytest.mark.parametrize(("name", "n_samples", "missing"), [("2pl", 1, 0.0), ("2pl", 3, 0.2), ("3pl", 1, 0.2)])
def test_sums_by_torch_are_those_of_the_rule_and_of_the_compiled_loops(
    rng, simulate_counts, monkeypatch, name, n_samples, missing
):
    correct, trials = simulate_counts(70, 300, n_samples=n_samples, missing=missing)
    items = Items.start(MODELS[name], rng.uniform(0.3, 0.9, 300))
    items.log_slope[:] = rng.uniform(-1, 1, 300)
    state = rng.normal(size=70), rng.uniform(0.005, 0.05, 70), items
    compiled, by_torch = (Sweeper(correct, trials, threads=1, device=device) for device in ("cpu", "cpu:0"))
    assert by_torch._smooth(*state) is None
    monkeypatch.setitem(likelihood.CHUNK_CELLS, "cpu", 4_500)  # some chunks, the last one short
    rule = three_nodes(correct, trials, *state)
    for found, tolerance in ((by_torch, 1e-10), (compiled, 2e-3)):  # the loops are in float32
        sums = (*found.over_items(*state), found.over_models(*state))
        for each, exact in zip(sums, rule, strict=True):
            np.testing.assert_allclose(each, exact, rtol=0, atol=tolerance)
    for cells in (by_torch._cells, compiled._cells):
        np.testing.assert_allclose(cells.right_by_model(items.slope), correct @ items.slope, atol=1e-10)
        np.testing.assert_allclose(cells.right_by_item(state[0]), state[0] @ correct, atol=1e-10)
    monkeypatch.setattr(sweep, "HERMITE", np.array([[0.6], [0.2], [0.2]]))  # the control: wrong weights
    assert np.abs(by_torch.over_models(*state) - rule[2]).max() > 1e-3


def test_whole_sweeps_by_torch_agree_where_curves_at_few_abilities_will_do(rng, simulate_counts):
    correct, trials = simulate_counts(300, 120, n_samples=3)
    items = Items.start(TwoPL(), rng.uniform(0.3, 0.9, 120))
    state = rng.normal(size=300), rng.uniform(0.005, 0.05, 300), items
    compiled, by_torch = (Sweeper(correct, trials, threads=1, device=device) for device in ("cpu", "cpu:0"))
    assert by_torch._smooth(*state) is not None
    for method in ("over_items", "over_models"):
        for one, other in zip(getattr(by_torch, method)(*state), getattr(compiled, method)(*state), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-3)
    rule = three_nodes(correct, trials, *state)
    np.testing.assert_allclose(by_torch.over_models(*state), rule[2], atol=1e-6)  # what the interpolation may err


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_a_fit_by_torch_gives_the_draws_of_the_compiled_loops(simulate_counts, monkeypatch, missing):
    correct, trials = simulate_counts(150, 700, missing=missing)
    made = []

    def fitted(on):
        def sweeper(*counts, device, **rest):
            made.append(device)
            return Sweeper(*counts, device=on or device, **rest)

        monkeypatch.setattr(laplace, "Sweeper", sweeper)
        sites = laplace.fit_laplace(TwoPL(), correct, trials, LaplaceSettings(draws=20, refine=False)).sites
        if not missing:  # noise in directions that answers do not tell apart is turned by rounding errors
            sites["ability"] = laplace.approximate(TwoPL(), correct, trials, threads=1).state.abilities.mean
        return sites

    compiled, by_torch = fitted(None), fitted("cpu:0")
    assert set(made) == {"cpu"}
    for name, draws in compiled.items():
        off = np.abs(by_torch[name] - draws).max()
        assert 0 < off < 5e-5, name  # the loops are in float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("kind", [LaplaceSettings, SVISettings])
def test_a_gpu_that_is_not_there_is_refused(simulate_counts, kind):
    with pytest.raises(FitError, match="needs a GPU that PyTorch can use; it finds none here"):
        fit(simulate_counts(20, 30)[0], "2pl", kind(device="cuda"))


@pytest.mark.parametrize("name", MODELS)
def test_sums_agree_with_float64(rng, simulate_counts, name):
    correct, trials = simulate_counts(70, 300, n_samples=3, missing=0.2)
    items = Items.start(MODELS[name], rng.uniform(0.3, 0.9, 300))
    mean, variance = rng.normal(size=70), rng.uniform(0.005, 0.05, 70)
    sweeper = Sweeper(correct, trials, threads=1)
    gradient, information, sums = expected(correct, trials, mean, variance, items)
    found = sweeper.over_items(mean, variance, items)
    np.testing.assert_allclose(found[0], gradient, atol=2e-3)
    np.testing.assert_allclose(found[1], information, rtol=1e-4)
    np.testing.assert_allclose(sweeper.over_models(mean, variance, items), sums, atol=2e-3)


@pytest.mark.parametrize("shape", [(1, 1), (67, 4_100), (4_500, 30)])
def test_right_answers_are_summed_over_rows_in_blocks(rng, shape):
    cells, weights = rng.integers(0, 3, shape, dtype=np.int8), rng.normal(size=shape[0])
    np.testing.assert_allclose(sweep_numba.weigh_columns(cells, weights), weights @ cells, atol=1e-11)


def test_sums_from_curves_at_few_abilities_agree_with_float64(rng, simulate_counts, monkeypatch):
    correct, trials = simulate_counts(300, 120, n_samples=3)
    items = Items.start(TwoPL(), rng.uniform(0.3, 0.9, 120))
    items.log_slope[:] = rng.uniform(-1, 0.7, 120)
    mean, variance = rng.normal(size=300), rng.uniform(0.005, 0.05, 300)
    sweeper = Sweeper(correct, trials, threads=1)
    assert sweeper._smooth(mean, variance, items) is not None
    gradient, information, sums = expected(correct, trials, mean, variance, items)

    def off():
        found = sweeper.over_items(mean, variance, items)
        return max(
            np.abs(found[0] - gradient).max(),
            np.abs(found[1] / information - 1).max(),
            np.abs(sweeper.over_models(mean, variance, items) - sums).max(),
        )

    assert off() < 2e-3
    monkeypatch.setattr(sweep, "HERMITE", np.array([[0.6], [0.2], [0.2]]))  # the control: wrong weights
    assert off() > 0.1


def test_cells_are_swept_one_by_one_where_curves_at_few_abilities_would_not_do(rng, simulate_counts):
    correct, trials = simulate_counts(300, 120)
    mean, variance = rng.normal(size=300), np.full(300, 0.05)
    items, guessed = (Items.start(MODELS[name], np.full(120, 0.6)) for name in ("2pl", "3pl"))
    whole = Sweeper(correct, trials, threads=1)
    assert whole._smooth(mean, variance, items) is not None
    assert whole._smooth(mean, variance, guessed) is None  # answers do not enter linearly
    steep = Items.start(TwoPL(), np.full(120, 0.6))
    steep.log_slope[0] = 3.5
    assert whole._smooth(mean, variance, steep) is None
    trials = trials.copy()
    trials[7, 3] = correct[7, 3] = 0
    assert Sweeper(correct, trials, threads=1)._smooth(mean, variance, items) is None


@pytest.mark.parametrize("n_models", [30, 150])
def test_results_do_not_depend_on_the_number_of_threads(rng, simulate_counts, n_models):
    correct, trials = simulate_counts(n_models, 200)
    items = Items.start(TwoPL(), np.full(200, 0.6))
    one, two = (Sweeper(correct, trials, threads=n) for n in (1, 2))
    state = rng.normal(size=n_models), np.full(n_models, 0.1), items
    assert (one._smooth(*state) is None) == (n_models == 30)
    np.testing.assert_array_equal(one.over_models(*state), two.over_models(*state))
    np.testing.assert_array_equal(one.over_items(*state), two.over_items(*state))


def test_compiling_is_reported_where_it_is_needed_and_only_there():
    @njit
    def add(a, b):
        return a + b

    heard = []
    with listening(lambda *what: heard.append(what)):
        add(1, 2)
        assert heard and set(heard) == {("compiling, the first time only", 0, 1)}
        heard.clear()
        add(3, 4)  # compiled by now
    add(1.5, 2.5)  # nobody listens
    assert heard == []


def test_loops_are_compiled_where_numba_can_write_nowhere(monkeypatch):
    monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [])  # as in a container without a home

    def doubled(x):
        return 2 * x

    with pytest.raises(RuntimeError, match="cannot cache"):
        njit(cache=True)(doubled)
    assert sweep_numba.compiled()(doubled)(3.0) == 6.0
