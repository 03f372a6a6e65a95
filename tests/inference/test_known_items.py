"""Tabulated log-likelihoods against scipy's binomial; items that cannot be used."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy import stats
from scipy.special import expit

from irt_bench.errors import FitError
from irt_bench.inference.sampling.known_items import AbilityTable, KnownItems


def known(rng, n_draws=2, n_items=40, guessing=0.0):
    shape = (n_draws, n_items)
    slope = np.exp(0.4 * rng.normal(size=shape)) * rng.choice([1, 1, 1, -1], size=n_items)
    return KnownItems(rng.normal(size=shape), slope, np.full(shape, guessing), np.full(shape, 1 - guessing / 4))


def tabulate(correct, trials, items):
    return AbilityTable.from_counts(correct, trials, items, prior_sd=2.0)


@pytest.mark.parametrize("guessing", [0.0, 0.2])
def test_the_table_repeats_the_binomial_likelihood_with_missing_cells(rng, guessing):
    items = known(rng, guessing=guessing)
    trials = rng.integers(0, 4, size=(3, 40))
    correct = rng.binomial(trials, 0.6)
    table = tabulate(correct, trials, items)
    ability, zero = torch.tensor(rng.normal(size=(2, 3))), torch.zeros((2, 3), dtype=torch.float64)

    def exact(at):
        curve = items.guessing[:, None] + (items.upper_asymptote - items.guessing)[:, None] * expit(
            items.discrimination[:, None] * (at[..., None] - items.difficulty[:, None])
        )
        return stats.binom.logpmf(correct, trials, curve).sum()

    found = table(ability) - table(zero)  # constants are left out
    assert float(found) == pytest.approx(exact(ability.numpy()) - exact(zero.numpy()), abs=1e-4)


def test_the_gradient_is_the_slope_also_beyond_the_ends(rng):
    correct = rng.integers(0, 2, size=(3, 40))
    table = tabulate(correct, np.ones_like(correct), known(rng, n_draws=1))
    ability = torch.tensor([[0.123, -20.0, 20.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(table, (ability,), eps=1e-6, atol=1e-6)


def test_the_summary_is_the_gaussian_where_there_are_many_answers(rng):
    items = known(rng, n_draws=1, n_items=3000)
    truth = np.array([-0.5, 0.7])
    chance = expit(items.discrimination * (truth[:, None] - items.difficulty))
    correct = (rng.random(chance.shape) < chance).astype(int)
    mean, precision = tabulate(correct, np.ones_like(correct), items).summary(2.0)
    information = (items.discrimination**2 * chance * (1 - chance)).sum(axis=1)
    np.testing.assert_allclose(precision[0], information, rtol=0.1)
    assert (np.abs(mean[0].numpy() - truth) < 4 / np.sqrt(information)).all()


def test_all_right_and_all_wrong_have_finite_summaries(rng):
    correct = np.stack([np.zeros(40, int), np.ones(40, int)])
    mean, precision = tabulate(correct, np.ones_like(correct), known(rng, n_draws=1)).summary(2.0)
    assert torch.isfinite(mean).all()
    assert (precision > 0).all()


def posterior(rng, n_items=4):
    values = rng.normal(size=(2, 50, n_items))
    dims = ("chain", "draw", "item")
    labels = [f"i{place}" for place in range(n_items)]
    return xr.Dataset({"difficulty": (dims, values), "discrimination": (dims, np.exp(values))}, coords={"item": labels})


def test_items_are_joined_by_label_and_draws_kept_whole(rng):
    fit = posterior(rng)
    items = KnownItems.from_posterior(fit, pd.Index(["i3", "i0"]), 10)
    assert items.difficulty.shape == (10, 2)
    np.testing.assert_array_equal(items.difficulty[0], fit["difficulty"].values[0, 0, [3, 0]])
    np.testing.assert_allclose(items.discrimination, np.exp(items.difficulty))
    exact = KnownItems.from_posterior(fit.mean(("chain", "draw")), pd.Index(["i1"]), 10)
    assert len(exact.difficulty) == 1


def test_unknown_items_and_missing_parameters_are_refused(rng):
    fit = posterior(rng)
    with pytest.raises(FitError, match="first: 'q9'"):
        KnownItems.from_posterior(fit, pd.Index(["i1", "q9"]), 10)
    with pytest.raises(FitError, match="discrimination is missing"):
        KnownItems.from_posterior(fit[["difficulty"]], pd.Index(["i1"]), 10)
    with pytest.raises(FitError, match="not finite, first: i2"):
        KnownItems.from_posterior(fit.where(fit["item"] != "i2"), pd.Index(["i1"]), 10)
    with pytest.raises(FitError, match="at least 1"):
        KnownItems.from_posterior(fit, pd.Index(["i1"]), 0)
    with pytest.raises(FitError, match="'i1' occurs twice"):
        KnownItems.from_posterior(fit.isel(item=[0, 1, 1]), pd.Index(["i1"]), 10)
