"""Residuals of models that go together: copies are linked, families found, chance is neither."""

import numpy as np
import pytest
from related import families, logistic

from irt_bench.inference import related_models
from irt_bench.inference.related_models import LEAST_ITEMS, MOST_ITEMS, affordable_items, alikeness, find_families
from irt_bench.inference.related_models import near_copies as linked


def residuals(n_models, n_items, *, family_sd=0.0, n_families=10, seed=0):
    """Residuals at the true chances, and their variances."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(size=(n_models, 1)) + rng.normal(size=n_items)
    family = np.arange(n_models) % n_families
    chance = logistic(log_odds)
    drawn = rng.random(chance.shape) < logistic(log_odds + rng.normal(0, family_sd, (n_families, n_items))[family])
    return drawn - chance, chance * (1 - chance), family


def test_correlation_is_the_cosine_over_items_in_common():
    residual, weight, _ = residuals(6, 200)
    weight[0, :60] = residual[0, :60] = weight[3, 150:] = residual[3, 150:] = 0
    both = slice(60, 150)
    wanted = residual[0, both] @ residual[3, both]
    wanted /= np.sqrt((residual[0, both] ** 2).sum() * (residual[3, both] ** 2).sum())
    assert alikeness(residual, weight).correlation[0, 3] == pytest.approx(wanted, abs=1e-5)


def test_independent_models_have_standard_normal_scores():
    residual, weight, _ = residuals(120, 400)
    scores = alikeness(residual, weight).standardised[np.triu_indices(120, 1)]
    assert scores.mean() == pytest.approx(0, abs=0.03)
    assert scores.std() == pytest.approx(1, abs=0.03)


def test_pairs_whose_abilities_leave_little_open_have_no_correlation():
    residual, weight, _ = residuals(4, 200)
    assert np.isnan(alikeness(residual[:, :20], weight[:, :20]).correlation).all()


def test_copies_are_linked_to_their_originals_and_nobody_else_is(monkeypatch):
    """Ten of 60 models give the answers of the first ten but for a tenth, which they give on their own."""
    residual, weight, _ = residuals(60, 300, seed=2)
    residual[50:], weight[50:] = np.where(np.random.default_rng(0).random((10, 300)) < 0.1, residual[50:] * (
        weight[:10] / weight[50:]
    ) ** 0.5, residual[:10]), weight[:10]  # fmt: skip
    group, pair = linked(residual, weight)
    assert group[50:].tolist() == group[:10].tolist()
    assert len(set(group)) == 50
    monkeypatch.setattr(related_models, "BLOCK", 16)
    by_block = linked(residual, weight)
    assert by_block.pair == pair == divmod(np.nanargmax(alikeness(residual, weight).correlation), 60)
    assert by_block.group.tolist() == group.tolist()


def test_families_are_found_in_half_of_the_items_and_judged_by_the_others():
    residual, weight, family = residuals(100, 600, family_sd=1.2)
    found = find_families(residual, weight)
    same = (found.group[:, None] == found.group)[np.triu_indices(100, 1)]
    true = (family[:, None] == family)[np.triu_indices(100, 1)]
    assert (same == true).mean() > 0.99
    each = alikeness(residual, weight).correlation[np.triu_indices(100, 1)][true].mean()
    assert found.design_effect == pytest.approx(1 + 9 * each, rel=0.1)


def test_chance_makes_groups_that_amount_to_nothing():
    effects = [find_families(*residuals(100, 300, seed=seed)[:2]) for seed in range(8)]
    scores = [(each.design_effect - 1) / each.error for each in effects]
    assert np.abs(scores).max() < 3.5
    assert np.std(scores) < 1.8


def test_items_are_as_many_as_matrix_products_are_cheap_for():
    assert affordable_items(100, 50).tolist() == list(range(50))
    few = affordable_items(4_000, 1_000)
    assert len(few) == 312
    assert (few[0], few[-1]) == (0, 999)
    assert len(affordable_items(50_000, 1_000)) == LEAST_ITEMS
    assert len(affordable_items(50_000, 30)) == 30
    assert len(affordable_items(100, 20_000)) == MOST_ITEMS


def test_families_helper_makes_families():
    """The simulation itself: models of a family agree more than others, and ability shares what is asked."""
    truth = families(1, sd=2.0, n_families=5, n_models=100, n_items=100)
    agree = (truth.correct[:, None] == truth.correct).mean(axis=2)
    same = truth.cluster[:, None] == truth.cluster
    assert agree[same & ~np.eye(100, dtype=bool)].mean() > agree[~same].mean() + 0.1
