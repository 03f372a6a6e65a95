"""The coordinates' density against the Pyro program's, Jacobian included, and against a closed form."""

import numpy as np
import pandas as pd
import pytest
import torch
from pyro import poutine
from scipy import stats

from irt_bench.inference.seed_coordinates import Measurement, SeedCoordinates
from irt_bench.irt_models.base import HalfNormal, Normal
from irt_bench.irt_models.seeds import SeedDesign, SeedModel, make_seed_program


def design_of(n_runs, n_seeds, n_steps, drop=()):
    run, seed, step = (place.ravel() for place in np.indices((n_runs, n_seeds, n_steps)))
    frame = pd.DataFrame({"run": run, "seed": seed, "step": step}).drop(index=list(drop))
    return SeedDesign.from_models(frame, np.ones(len(frame), bool))


def random_point(coordinates, rng):
    log_sd = torch.tensor(rng.normal(-1, 0.5, size=(coordinates.n_groups, coordinates.n_sds)))
    return log_sd, torch.tensor(rng.normal(size=coordinates.n_effects))


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 3), (3, 4, 1)])
@pytest.mark.parametrize("drop", [(), (1, 5)])
def test_the_density_is_the_programs_with_the_jacobian(rng, pooled, shape, drop):
    """log p(sites) from Pyro + log |d sites / d coordinates| from autograd; likelihoods play no part."""
    model = SeedModel(run_mean=Normal(0.2, 1.5), sd_seed=HalfNormal(0.3), sd_step=HalfNormal(0.7), pooled=pooled)
    coordinates = SeedCoordinates(model, design_of(*shape, drop))
    n = len(coordinates.design.rows)
    measured = Measurement(torch.tensor(rng.normal(size=n)), torch.tensor(rng.gamma(2, 5, size=n)))
    log_sd, z = random_point(coordinates, rng)

    def sites(point):
        at, effects = point[: log_sd.numel()].reshape(log_sd.shape), point[log_sd.numel() :]
        values = {**coordinates.sds(at), **coordinates.place(at, effects, measured).sites}
        return torch.cat([value.reshape(-1) for value in values.values()])

    jacobian = torch.autograd.functional.jacobian(sites, torch.cat([log_sd.reshape(-1), z]))
    placed = coordinates.place(log_sd, z, measured)
    program = make_seed_program(model, coordinates.design, likelihood=lambda ability: 0 * ability.sum())
    data = {**coordinates.sds(log_sd), **placed.sites}
    trace = poutine.trace(poutine.condition(program, data=data)).get_trace()
    expected = float(trace.log_prob_sum() + torch.linalg.slogdet(jacobian)[1])
    assert float(placed.log_density) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n_steps", [1, 3])
def test_gaussian_answers_leave_standard_normal_coordinates_and_the_marginal_density(rng, n_steps):
    """With exactly Gaussian measurements, density - log N(z) is the marginal of the sds: a multivariate normal's."""
    model = SeedModel()
    design = design_of(2, 4, n_steps)
    coordinates = SeedCoordinates(model, design)
    n = len(design.rows)
    mean, precision = rng.normal(size=n), rng.gamma(4, 5, size=n)
    measured = Measurement(torch.tensor(mean), torch.tensor(precision))

    def collapsed(log_sd, z):
        placed = coordinates.place(log_sd, z, measured)
        answers = stats.norm.logpdf(placed.ability.numpy(), mean, precision**-0.5).sum()
        return float(placed.log_density) + answers - stats.norm.logpdf(z.numpy()).sum()

    def marginal(log_sd):
        seed_sd, step_sd = np.exp([log_sd[0, 0], log_sd[0, -1]])
        same_seed = design.seed_of[:, None] == design.seed_of
        covariance = 4.0 * (design.mean_of[:, None] == design.mean_of) + seed_sd**2 * same_seed
        covariance += np.diag(1 / precision + (step_sd**2 if n_steps > 1 else 0))
        prior = stats.halfnorm.logpdf(np.exp(log_sd), scale=model.sd_seed.scale).sum() + log_sd.sum()
        return stats.multivariate_normal.logpdf(mean, cov=covariance) + prior

    for _ in range(3):
        log_sd, z = random_point(coordinates, rng)
        assert collapsed(log_sd, z) == pytest.approx(marginal(log_sd.numpy()), rel=1e-9)
