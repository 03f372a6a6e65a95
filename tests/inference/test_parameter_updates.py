from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from irt_bench import Normal, OnePL, ThreePL, TwoPL
from irt_bench.inference.fast.parameter_updates import (
    FrameScale,
    Held,
    Items,
    frame_location,
    item_blocks,
    update_hierarchy,
    update_items,
)

EXACT = {"xatol": 1e-9}
NARROW_AND_WIDE = (
    OnePL(difficulty=Normal(2, 0.5), log_discrimination=Normal(0, 0.05)),
    TwoPL(difficulty=Normal(0, 3), log_discrimination=Normal(0, 1)),
)


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


def test_a_prior_that_is_known_stays_where_it_is(rng):
    irt_model = TwoPL(difficulty=Normal(0.5, 3.0), log_discrimination=Normal(0.1, 0.7))
    items = Items.start(irt_model, rng.uniform(0.2, 0.8, 6))
    moved = update_hierarchy(items.in_frame(0.7, 1.8), irt_model, (np.ones(6), np.ones(6)))
    known = {"difficulty_mean": 0.5, "difficulty_sd": 3.0, "slope_mean": 0.1, "slope_sd": 0.7}
    assert {name: getattr(moved, name) for name in known} == known
    one = Items.start(OnePL(log_discrimination=Normal(0.2, 0.3)), np.full(4, 0.5)).in_frame(0.7, 1.8)
    assert (one.slope_mean, one.slope_sd) == (0.2, 0.3)
    assert one.difficulty_mean != 0


@pytest.mark.parametrize("start", [1 / 50, 1.0, 50.0])
def test_the_most_probable_frame_is_where_the_density_is_highest(rng, start):
    """Against a minimiser of scipy, under priors wide and narrow, from abilities far too near and far too wide."""
    ability, b = start * rng.normal(size=30), rng.normal(1, 1.3, 8)
    for irt_model in (OnePL(), *NARROW_AND_WIDE, TwoPL()):
        slopes = np.zeros(1 if irt_model.shared_slope else 8)
        held = Held.make(irt_model.difficulty, b, b.mean()), Held.make(irt_model.log_discrimination, slopes, 0.0)
        squares = np.array([np.sum(ability**2)])
        frame = FrameScale.make(30, squares, *held[::-1])
        least = optimize.minimize_scalar(lambda u, of=frame: -of.log_density(u)[0], bounds=(-9, 9), options=EXACT)
        at, precision = frame.peak()
        assert at[0] == pytest.approx(least.x, abs=1e-4)
        nearby = frame.log_density(at + 1e-3) + frame.log_density(at - 1e-3) - 2 * frame.log_density(at)
        assert precision[0] == pytest.approx(-nearby[0] / 1e-6, rel=1e-3)


def test_the_location_is_that_of_a_normal_posterior(rng):
    """Abilities N(0, 1) and difficulties N(0.5, 2^2), all moved by one number: precisions and pulls add up."""
    ability, b = rng.normal(size=(1, 10)), rng.normal(size=(1, 4))
    moves = np.linspace(-4, 4, 80_001)
    density = stats.norm.logpdf(ability.T - moves).sum(0) + stats.norm.logpdf(b.T - moves, 0.5, 2).sum(0)
    weight = np.exp(density - density.max())
    mean = weight @ moves / weight.sum()
    centre, precision = frame_location(ability, Held(b, Normal(0.5, 2)))
    assert centre[0, 0] == pytest.approx(mean, abs=1e-6)
    assert 1 / precision == pytest.approx(weight @ (moves - mean) ** 2 / weight.sum(), rel=1e-5)


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
