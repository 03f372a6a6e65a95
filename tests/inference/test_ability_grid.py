import numpy as np
import pytest
from scipy import integrate, stats

from irt_bench.inference.fast.ability_grid import AbilityGrid, draw_from_grid

ITEMS = {
    "discrimination": np.array([0.7, 1.0, 1.6, 2.2, 0.4]),
    "difficulty": np.array([-1.0, 0.0, 0.5, 1.2, -2.0]),
    "guessing": np.array([0.0, 0.1, 0.25, 0.0, 0.2]),
    "upper_asymptote": np.array([1.0, 0.98, 1.0, 0.9, 1.0]),
}


def log_marginal(correct, trials, items=ITEMS):
    """Log-probability of one model's answers by adaptive quadrature."""
    a, b, c, d = (items[name] for name in ITEMS)

    def integrand(theta):
        p = c + (d - c) / (1 + np.exp(-a * (theta - b)))
        return stats.norm.pdf(theta) * np.prod(p**correct * (1 - p) ** (trials - correct))

    return np.log(integrate.quad(integrand, -9, 9, epsabs=1e-13, epsrel=1e-11)[0])


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_the_integrated_likelihood_is_that_of_adaptive_quadrature(simulate_counts, missing):
    correct, trials = simulate_counts(40, 5, n_samples=3, missing=missing)
    value, _ = AbilityGrid.from_counts(correct, trials, least_sd=0.4).value_and_slopes(ITEMS)
    expected = sum(log_marginal(*cells) for cells in zip(correct, trials, strict=True))
    assert value == pytest.approx(expected, abs=1e-6)


def test_nodes_too_far_apart_give_another_value(simulate_counts):
    """The negative control: a long sharp test on the least number of nodes."""
    correct, trials = simulate_counts(5, 5, n_samples=100)
    sharp = {**ITEMS, "discrimination": np.full(5, 4.0)}
    theta = np.linspace(-6, 6, 200_001)[:, None]
    a, b, c, d = (sharp[name] for name in ITEMS)
    p = np.clip(c + (d - c) / (1 + np.exp(-a * (theta - b))), 1e-300, 1 - 1e-16)
    density = correct @ np.log(p).T + (trials - correct) @ np.log1p(-p).T + stats.norm.logpdf(theta[:, 0])
    exact = np.log(np.exp(density - density.max(1, keepdims=True)).sum(1) * 12 / 200_000) + density.max(1)
    coarse, fine = (
        AbilityGrid.from_counts(correct, trials, least_sd=sd).value_and_slopes(sharp)[0] for sd in (1, 0.015)
    )
    assert fine == pytest.approx(exact.sum(), abs=1e-3)
    assert abs(coarse - fine) > 0.1


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_slopes_agree_with_differences(simulate_counts, missing):
    grid = AbilityGrid.from_counts(*simulate_counts(60, 5, missing=missing), least_sd=0.4)
    _, slopes = grid.value_and_slopes(ITEMS)
    for name in ITEMS:
        for item in (1, 2):  # away from asymptotes of exactly 0 and 1
            step = 1e-6 * (np.arange(5) == item)
            up, down = (grid.value_and_slopes({**ITEMS, name: ITEMS[name] + way * step})[0] for way in (1, -1))
            if name != "upper_asymptote" or item == 1:
                assert slopes[name][item] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-4)


def test_joining_equal_patterns_changes_nothing(simulate_counts):
    correct, trials = simulate_counts(300, 5)
    joined = AbilityGrid.from_counts(correct, trials, least_sd=0.5)
    right = correct.astype(float)
    apart = AbilityGrid(right, trials - right, np.ones(300), np.arange(300), joined.nodes)
    assert len(joined.right) <= 32
    assert joined.value_and_slopes(ITEMS)[0] == pytest.approx(apart.value_and_slopes(ITEMS)[0], rel=1e-12)


def test_draws_from_a_grid_follow_the_density_on_it(rng):
    nodes = np.linspace(-6, 6, 61)
    weights = np.stack([stats.norm.pdf(nodes, 0.3, 0.5), stats.gamma.pdf(nodes, 3)])
    weights /= weights.sum(axis=1, keepdims=True)
    drawn = draw_from_grid(weights, nodes, np.array([1, 0, 1]), rng.random((3, 40_000)))
    assert drawn[1].mean() == pytest.approx(0.3, abs=0.01)
    assert drawn[1].std() == pytest.approx(np.sqrt(0.25 + 0.2**2 / 12), abs=0.01)
    np.testing.assert_allclose(drawn[[0, 2]].mean(axis=1), weights[1] @ nodes, atol=0.03)


def test_abilities_drawn_have_the_moments_of_their_posterior(rng, simulate_counts):
    correct, trials = simulate_counts(4, 5)
    grid = AbilityGrid.from_counts(correct, trials, least_sd=0.5)
    drawn = np.array([grid.draw(ITEMS, rng) for _ in range(4_000)])
    a, b, c, d = (ITEMS[name] for name in ITEMS)
    for model in range(4):

        def density(theta, answers=correct[model]):
            p = c + (d - c) / (1 + np.exp(-a * (theta - b)))
            return stats.norm.pdf(theta) * np.prod(np.where(answers == 1, p, 1 - p))

        total = integrate.quad(density, -9, 9)[0]
        mean = integrate.quad(lambda theta, density=density: theta * density(theta), -9, 9)[0] / total
        assert drawn[:, model].mean() == pytest.approx(mean, abs=0.06)
