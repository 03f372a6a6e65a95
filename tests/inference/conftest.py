import numpy as np
import pytest

from irt_bench import Normal
from irt_bench.inference.fast.gibbs_targets import State
from irt_bench.inference.sampling.likelihood import ResponseCells


@pytest.fixture
def rng():
    return np.random.default_rng(20260101)


@pytest.fixture
def simulate_counts(rng):
    """Simulate k-of-n answers of a 2PL, right and asked; the formula is written out here, apart from the package's."""

    def make(n_models, n_items, *, n_samples=1, missing=0.0):
        ability, difficulty = rng.normal(size=n_models), rng.normal(size=n_items)
        slope = np.exp(0.4 * rng.normal(size=n_items))
        probability = 1 / (1 + np.exp(-slope * (ability[:, None] - difficulty)))
        trials = n_samples * (rng.random((n_models, n_items)) >= missing)
        correct = rng.binomial(trials, probability)
        return correct.astype(np.int8), trials.astype(np.int8)

    return make


@pytest.fixture
def simulate_cells(simulate_counts):
    """Simulate answers as tensors."""

    def make(n_models, n_items, **options):
        return ResponseCells.from_arrays(*simulate_counts(n_models, n_items, **options))

    return make


def draw_from_prior(irt_model, n_draws, n_models, n_items, rng):
    """Draw everything from the priors, as their definition says, and not by the package's own simulation."""

    def mean_and_sd(prior, loc_scale, spread):
        if isinstance(prior, Normal):
            return np.full((n_draws, 1), prior.loc), np.full((n_draws, 1), prior.scale)
        return rng.normal(0, loc_scale, (n_draws, 1)), np.abs(rng.normal(0, spread, (n_draws, 1)))

    mean, sd = mean_and_sd(irt_model.difficulty, 2, 2)
    of_slopes = mean_and_sd(irt_model.log_discrimination, 1, 0.5)
    log_slope = rng.normal(*of_slopes, (n_draws, 1 if irt_model.name == "1pl" else n_items))
    difficulty = rng.normal(mean, sd, (n_draws, n_items))
    population, centre, spread = draw_population(irt_model, n_draws, rng)
    ability = centre + spread * rng.normal(size=(n_draws, n_models))
    return State(ability, -np.exp(log_slope) * difficulty, log_slope, mean, sd, *of_slopes, population)


def draw_population(irt_model, n_draws, rng):
    """Values of a population, and mean and sd of every ability, model by model as the definitions say."""
    population = irt_model.population
    if population is None:
        return np.empty((n_draws, 0)), 0.0, 1.0
    if population.kind == "groups":
        n = len(population.labels) - 1
        means = rng.normal(population.mean.loc, population.mean.scale, (n_draws, n))
        sds = np.abs(rng.normal(0, population.sd.scale, (n_draws, n)))
        at = irt_model.design.spread
        centre = np.where(at < 0, 0.0, means[:, at])
        return np.hstack([means, sds]), centre, np.where(at < 0, 1.0, sds[:, at])
    b = rng.normal(0, population.coefficient.scale, (n_draws, len(population.covariates)))
    sd = np.abs(rng.normal(0, population.group_sd.scale, (n_draws, 1)))
    effects = sd * rng.normal(size=(n_draws, len(population.labels)))
    loadings = irt_model.design.loadings
    k = b.shape[1]
    return np.hstack([b, effects, sd]), b @ loadings[:, :k].T + effects @ loadings[:, k:].T, 1.0


@pytest.fixture
def from_prior():
    """Draw a `State` from the priors."""
    return draw_from_prior
