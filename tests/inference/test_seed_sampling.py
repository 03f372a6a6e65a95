"""NUTS and SVI against exact quadrature over the standard deviation, and against each other."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from irt_bench.inference.seed_sampling import fit_seed_svi, sample_seed_nuts
from irt_bench.inference.seed_table import KnownItems, tabulate
from irt_bench.inference.seed_target import KnownItemsTarget
from irt_bench.inference.settings import NUTSSettings, SVISettings
from irt_bench.irt_models.base import HalfNormal
from irt_bench.irt_models.seeds import SeedDesign, SeedModel

SHORT = NUTSSettings(chains=2, warmup=150, draws=400, target_accept=0.8, jobs=1, seed=5)
N_SEEDS, N_ITEMS = 6, 150


@pytest.fixture(scope="module")
def answers():
    """One run of six seeds at one step, planted sd 0.4."""
    rng = np.random.default_rng(3)
    difficulty, slope = rng.normal(size=(1, N_ITEMS)), np.exp(0.3 * rng.normal(size=(1, N_ITEMS)))
    ability = 0.2 + 0.4 * rng.normal(size=N_SEEDS)
    chance = 1 / (1 + np.exp(-slope * (ability[:, None] - difficulty)))
    items = KnownItems(difficulty, slope, np.zeros((1, N_ITEMS)), np.ones((1, N_ITEMS)))
    return (rng.random(chance.shape) < chance).astype(int), items


def target_of(answers, prior_sd=0.5):
    correct, items = answers
    design = SeedDesign.from_models(pd.DataFrame({"seed": range(N_SEEDS)}), np.ones(N_SEEDS, bool))
    table = tabulate(correct, np.ones_like(correct), items, prior_sd=2.0)
    return KnownItemsTarget(SeedModel(sd_seed=HalfNormal(prior_sd)), design, table)


def quadrature(answers, prior_sd=0.5):
    """Quantiles of sd_seed by brute force over (sd, run mean, ability), likelihood by scipy."""
    correct, items = answers
    ability = np.linspace(-2.5, 2.5, 301)
    chance = 1 / (1 + np.exp(-items.discrimination[0][:, None] * (ability - items.difficulty[0][:, None])))
    log_likelihood = correct @ np.log(chance) + (1 - correct) @ np.log(1 - chance)
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    sds, means = np.linspace(0.012, 2.0, 150), np.linspace(-2, 2, 121)
    density = np.empty(len(sds))
    for place, sd in enumerate(sds):
        kernel = stats.norm.pdf(ability, means[:, None], sd)
        given = (likelihood @ kernel.T).prod(axis=0)
        density[place] = (given * stats.norm.pdf(means, 0, 2)).sum() * stats.halfnorm.pdf(sd, scale=prior_sd)
    cumulated = np.cumsum(density) / density.sum()
    return np.interp([0.05, 0.5, 0.95], cumulated, sds)


def quantiles(draws):
    return np.quantile(draws.sites["sd_seed"], [0.05, 0.5, 0.95])


def agree(found, exact):
    """Limits within a tenth of the interval's width: three Monte Carlo errors of 800 draws."""
    return bool(np.all(np.abs(found - exact) < 0.1 * (exact[2] - exact[0])))


@pytest.fixture(scope="module")
def nuts(answers):
    return sample_seed_nuts(target_of(answers), SHORT)


@pytest.fixture(scope="module")
def svi(answers):
    return fit_seed_svi(target_of(answers), SVISettings(seed=5, draws=4000, max_steps=1500))


@pytest.mark.slow
def test_nuts_draws_the_posterior_that_quadrature_gives(answers, nuts):
    assert agree(quantiles(nuts), quadrature(answers))
    assert not nuts.sample_stats["diverging"].any()
    assert np.isfinite(nuts.sample_stats["energy"]).all()


@pytest.mark.slow
def test_svi_agrees_with_nuts(svi, nuts):
    assert agree(quantiles(svi), quantiles(nuts))


def test_svi_agrees_with_quadrature(answers, svi):
    assert agree(quantiles(svi), quadrature(answers))
    assert svi.notes["plateau_reached"]
    assert svi.sample_stats["elbo"].shape == (1500,)


def test_a_wrong_prior_and_an_unfinished_guide_are_caught(answers):
    """Negative controls of the two comparisons above."""
    exact = quadrature(answers)
    assert not agree(quadrature(answers, prior_sd=0.05), exact)
    unfinished = fit_seed_svi(target_of(answers), SVISettings(seed=5, draws=4000, max_steps=40))
    assert not agree(quantiles(unfinished), exact)
    assert not unfinished.notes["plateau_reached"]


def test_the_same_seed_gives_the_same_draws(answers):
    tiny = NUTSSettings(chains=2, warmup=4, draws=6, jobs=1, seed=2)
    one, two = (sample_seed_nuts(target_of(answers), tiny) for _ in range(2))
    for name in one.sites:
        np.testing.assert_array_equal(one.sites[name], two.sites[name])
    assert one.sites["ability"].shape == (2, 6, 1, N_SEEDS)
