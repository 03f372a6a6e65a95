"""New items on an old scale: known items stay, and place models of another population and the new items with them."""

import numpy as np
import pytest

from irt_bench import (
    LaplaceSettings,
    MultidimensionalTwoPL,
    OnePL,
    ThreePL,
    TwoPL,
    calibrate_items,
    fit,
    simulate_responses,
)
from irt_bench.errors import AnalysisError

QUICK = LaplaceSettings(refine=False)


def two_populations(seed, shift, model=None):
    """Give 80 items, the last 30 new, to 400 models of the fit; 25 old ones and the new ones to 200 abler models."""
    rng = np.random.default_rng(seed)
    model = TwoPL() if model is None else model
    ability = np.concatenate([rng.normal(size=400), shift + rng.normal(size=200)])
    made = simulate_responses(model, n_models=600, n_items=80, seed=seed, parameters={"ability": ability})
    counts = made.table.counts()
    old = counts.take(models=slice(400), items=slice(50))
    return old, counts.take(models=slice(400, 600), items=slice(25, 80)), made


def test_new_items_are_on_the_old_scale_whoever_answers_them():
    inside, alone, slopes = [], [], []
    for seed in range(3):
        old, new, made = two_populations(seed, shift=0.8)
        table = calibrate_items(fit(old, TwoPL(), QUICK), new)
        truth = made.truth["difficulty"].to_series()[table.index]
        inside.append(truth.between(table["difficulty_q05"], table["difficulty_q95"]).mean())
        slopes.append(np.polyfit(table["discrimination"], made.truth["discrimination"].to_series()[table.index], 1)[0])
        fresh = fit(new.take(items=slice(25, 55)), TwoPL(), QUICK).items()  # the control: a scale of its own
        alone.append(truth.between(fresh["difficulty_q05"], fresh["difficulty_q95"]).mean())
    assert 0.82 < np.mean(inside) < 0.97
    assert 0.7 < np.mean(slopes) < 1.4
    assert np.mean(alone) < 0.5


def test_items_of_a_fit_with_several_abilities_keep_its_dimensions():
    made = simulate_responses(MultidimensionalTwoPL(dimensions=2), n_models=500, n_items=80, seed=1)
    counts = made.table.counts()
    whole = fit(counts, MultidimensionalTwoPL(dimensions=2), QUICK)
    part = fit(counts.take(items=slice(60)), MultidimensionalTwoPL(dimensions=2), QUICK)
    table = calibrate_items(part, counts)
    expected = whole.items().loc[table.index]
    assert np.corrcoef(table["intercept"], expected["intercept"])[0, 1] > 0.99
    assert np.corrcoef(table["discrimination"], expected["discrimination"])[0, 1] > 0.9


def test_what_cannot_be_calibrated_is_refused():
    old, new, _ = two_populations(1, shift=0.0)
    fitted = fit(old, OnePL(), QUICK)
    for items in (slice(25), slice(25, 55)):  # known ones alone, new ones alone
        with pytest.raises(AnalysisError, match="some known and some new ones"):
            calibrate_items(fitted, new.take(items=items))
    old, new, _ = two_populations(1, shift=0.0, model=ThreePL(guessing=0.2))
    guessed = fit(old, ThreePL(guessing=0.2), QUICK)
    with pytest.raises(AnalysisError, match="1pl, 2pl or m2pl"):
        calibrate_items(guessed, new)
