from dataclasses import replace

import numpy as np
import pytest

from irt_bench import ThreePL, TwoPL
from irt_bench.inference.fast.ability_grid import CurveTable
from irt_bench.inference.fast.ability_updates import GaussianAbilities, GridAbilities, as_parameters
from irt_bench.inference.fast.parameter_updates import Items
from irt_bench.inference.fast.sweep import Sweeper


@pytest.fixture(params=[TwoPL(), ThreePL(guessing=0.02)], ids=["2pl", "3pl"])
def both(request, simulate_counts):
    """So many items that abilities are all but normal: grid and normal must agree."""
    correct, trials = simulate_counts(80, 400, missing=0.2)
    items = Items.start(request.param, np.clip(correct.sum(0) / trials.sum(0), 0.05, 0.95))
    grid = GridAbilities(correct, trials, least_sd=0.06)
    normal = GaussianAbilities(Sweeper(correct, trials, threads=1))
    grid.update(items)
    for _ in range(10):
        normal.update(items)
    return grid, normal, items


def test_means_and_variances_agree(both):
    grid, normal, _ = both
    np.testing.assert_allclose(normal.mean, grid.mean, atol=0.02)
    np.testing.assert_allclose(normal.variance, grid.variance, rtol=0.12)


def test_sums_agree(both):
    grid, normal, items = both
    one, two = grid.sums(items), normal.sums(items)
    np.testing.assert_allclose(two[2:], one[2:], rtol=0.03, atol=0.1)
    np.testing.assert_allclose(two[:2], one[:2], atol=0.15)


def test_cross_derivatives_agree_in_the_mean_over_models(both):
    grid, normal, items = both
    for one, two in zip(grid.cross(items, slice(0, 50)), normal.cross(items, slice(0, 50)), strict=True):
        np.testing.assert_allclose(two.mean(axis=0), one.mean(axis=0), atol=0.02)


def test_draws_have_the_posteriors_moments(both, rng):
    for abilities in both[:2]:
        drawn = abilities.draw(rng, 4_000)
        np.testing.assert_allclose(drawn.mean(axis=0), abilities.mean, atol=0.03)
        np.testing.assert_allclose(drawn.std(axis=0), np.sqrt(abilities.variance), rtol=0.06)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_lost_information_is_the_covariance_of_the_slopes_over_the_ability(simulate_counts, missing):
    """Against differences of the integrated likelihood: its curvature is the complete-data one less what is lost."""
    correct, trials = simulate_counts(200, 4, missing=missing)
    items = Items.start(TwoPL(), correct.mean(0))
    grid = GridAbilities(correct, trials, least_sd=0.5)

    def slopes(step):
        moved = replace(items, intercept=items.intercept + step[:4], log_slope=items.log_slope + step[4:])
        grid.update(moved)
        sums = grid.sums(moved)
        return np.concatenate([sums[0], moved.slope * sums[1]])

    h = 1e-2
    hessian = np.array([(slopes(h * e) - slopes(-h * e)) / (2 * h) for e in np.eye(8)])
    grid.update(items)
    sums, a = grid.sums(items), items.slope
    complete = np.diag(np.concatenate([sums[2], a**2 * sums[4] - a * sums[1]]))
    complete[np.arange(4), np.arange(4, 8)] = complete[np.arange(4, 8), np.arange(4)] = a * sums[3]
    np.testing.assert_allclose(complete - grid.lost_information(items), -hessian, rtol=0.02, atol=0.3)


def test_lost_information_is_the_same_by_products_as_by_node(simulate_counts, rng):
    """With patterns that many models share, several trials, and slopes of what the abilities' priors depend on."""
    correct, trials = simulate_counts(300, 6, n_samples=2)
    items = replace(Items.start(TwoPL(), correct.mean(0) / 2), log_slope=0.3 * rng.standard_normal(6))
    grid = GridAbilities(correct, trials, least_sd=0.4)
    grid.update(items)
    assert len(grid._grid.right) < 300
    table = CurveTable(as_parameters(items), grid._grid.nodes)
    chance = np.vstack([table.right, table.right * items.slope[:, None] * grid._grid.nodes])
    np.testing.assert_allclose(
        grid.lost_information(items), grid._lost_by_node(items, chance, None), rtol=2e-4, atol=1e-3
    )
    apart = GridAbilities(correct, trials, least_sd=0.4, reach=(-6, 6))  # of populations, whose patterns are not joined
    apart.update(items)
    more = rng.standard_normal((300, 3)), rng.standard_normal((300, 3))
    one, two = apart.lost_information(items, more), apart._lost_by_node(items, chance, more)
    np.testing.assert_allclose(one, two, rtol=2e-4, atol=2e-3)
    wrong = apart.lost_information(items, (more[0], np.zeros((300, 3))))
    assert np.abs(wrong - two).max() > 1


def test_what_follows_the_items_is_the_same_by_products_as_by_cell(simulate_counts):
    correct, trials = simulate_counts(300, 6)
    items = Items.start(TwoPL(), correct.mean(0))
    grid = GridAbilities(correct, trials, least_sd=0.4)
    grid.update(items)
    smooth = grid.smooth_cross(items)
    for dense, rows in zip(grid.cross(items, slice(None)), smooth.rows, strict=True):
        np.testing.assert_allclose(smooth.basis @ rows, dense, rtol=1e-4, atol=1e-6)
