from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from irt_bench.inference.item_updates import Items, item_blocks, update_hierarchy, update_items
from irt_bench.irt_models.logistic import OnePL, ThreePL, TwoPL


@pytest.fixture
def items(rng):
    start = Items.start(TwoPL(), rng.uniform(0.2, 0.8, 6))
    return replace(start, log_slope=0.4 * rng.normal(size=6), difficulty_mean=0.3, slope_mean=-0.1)


def log_prior(items, intercept, log_slope):
    """Density of (b, log a) and the Jacobian of b = -d / a, by scipy."""
    b = -intercept / np.exp(log_slope)
    by_item = stats.norm.logpdf(b, items.difficulty_mean, items.difficulty_sd) - log_slope
    return by_item + stats.norm.logpdf(log_slope, items.slope_mean, items.slope_sd)


def test_prior_slopes_and_curvatures_agree_with_differences(items):
    d, s, h = items.intercept, items.log_slope, 1e-4

    def f(x, y):
        return log_prior(items, d + x * h, s + y * h)

    by_intercept, by_slope = items.prior_slope()
    np.testing.assert_allclose(by_intercept, (f(1, 0) - f(-1, 0)) / (2 * h), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_slope, (f(0, 1) - f(0, -1)) / (2 * h), rtol=1e-5, atol=1e-6)
    dd, dl, ll = items.prior_curvature(exact=True)
    np.testing.assert_allclose(dd, -(f(1, 0) + f(-1, 0) - 2 * f(0, 0)) / h**2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ll, -(f(0, 1) + f(0, -1) - 2 * f(0, 0)) / h**2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dl, -(f(1, 1) + f(-1, -1) - f(1, -1) - f(-1, 1)) / (4 * h**2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL(), ThreePL(guessing=0.2)])
def test_a_change_of_frame_leaves_the_curves_where_they_are(rng, irt_model):
    items = Items.start(irt_model, rng.uniform(0.2, 0.9, 5))
    moved = items.in_frame(0.7, 1.8)
    theta = np.linspace(-2, 2, 5)[:, None]
    before = items.slope * theta + items.intercept
    np.testing.assert_allclose(moved.slope * (theta - 0.7) / 1.8 + moved.intercept, before, rtol=1e-12)


def test_without_answers_slopes_stay_at_their_mean(items):
    for _ in range(50):
        items = update_items(items, np.zeros((5, 6)))
    np.testing.assert_allclose(items.log_slope, items.slope_mean, atol=1e-6)
    np.testing.assert_allclose(items.difficulty, items.difficulty_mean, atol=1e-6)


def test_the_hierarchy_of_many_well_known_items_is_their_mean_and_sd(rng):
    b = rng.normal(0.5, 1.3, 5_000)
    items = replace(Items.start(TwoPL(), np.full(5_000, 0.5)), intercept=-b)
    for _ in range(20):
        items = update_hierarchy(items, TwoPL(), (np.zeros(5_000), np.zeros(5_000)))
    assert items.difficulty_mean == pytest.approx(b.mean(), rel=1e-3)
    assert items.difficulty_sd == pytest.approx(b.std(), rel=1e-3)


def test_blocks_are_positive_definite_even_for_items_without_answers(items):
    blocks = item_blocks(replace(items, intercept=items.intercept * 5), np.zeros((5, 6)))
    assert (np.linalg.eigvalsh(blocks) > 0).all()
