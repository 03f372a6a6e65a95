import numpy as np
import pytest
import torch
from pyro.infer.mcmc.util import initialize_model
from scipy import stats

from irt_bench.inference.alignment import Alignment
from irt_bench.inference.likelihood import item_curves, log_likelihood
from irt_bench.inference.posterior import Posterior, _as_normal, _half_normal
from irt_bench.inference.runtime import DTYPE, pyro_runtime
from irt_bench.inference.start import find_start
from irt_bench.irt_models.base import HalfNormal, Normal
from irt_bench.irt_models.logistic import IRT_MODELS, ThreePL
from irt_bench.irt_models.program import make_program

N_MODELS, N_ITEMS = 25, 9
INDEPENDENT = {"difficulty": Normal(0.5, 1.5), "log_discrimination": Normal(0.1, 0.6)}
MODELS = [
    *(kind() for kind in IRT_MODELS.values()),
    ThreePL(guessing=0.25),
    ThreePL(guessing=tuple([0.1] * N_ITEMS)),
    *(kind(**INDEPENDENT) for kind in IRT_MODELS.values()),
]


def program_energy(irt_model, cells, flat, layout):
    """Potential energy and gradient that Pyro works out from the program itself."""

    def likelihood(ability, items):
        return log_likelihood(cells, ability, item_curves(items))

    with pyro_runtime(seed=0, threads=1):
        program = make_program(irt_model, n_models=N_MODELS, n_items=N_ITEMS, likelihood=likelihood)
        _, potential, _, _ = initialize_model(program)
        point = torch.tensor(flat, dtype=DTYPE, requires_grad=True)
        log_jacobian, reals = 0.0, {}
        for site in irt_model.sites():
            real = point[layout[site.name]].reshape(() if site.dim is None else (-1,))
            if isinstance(site.prior, HalfNormal):  # Pyro's coordinate is log sd, ours its normal score in the prior
                half = np.sqrt(2) * torch.erfinv(torch.special.ndtr(real))
                log_jacobian += (half**2 - real**2) / 2 - torch.log(half)
                real = torch.log(half * site.prior.scale)
            reals[site.name] = real
        energy = potential(reals) - log_jacobian
        return energy.item(), torch.autograd.grad(energy, point)[0].numpy()


@pytest.mark.parametrize("irt_model", MODELS, ids=lambda model: f"{model.name}-{type(model.guessing).__name__}")
def test_density_and_gradient_are_those_of_the_pyro_program(rng, simulate_cells, irt_model):
    cells = simulate_cells(N_MODELS, N_ITEMS, n_samples=3, missing=0.2)
    posterior = Posterior(irt_model, cells)
    centre = posterior.flatten(find_start(irt_model, cells).values)
    constants = []
    for _ in range(3):
        flat = centre + 0.2 * rng.normal(size=centre.size)
        energy, slope = program_energy(irt_model, cells, flat, posterior.layout)
        value, gradient = posterior.log_density(flat)
        constants.append(energy + value)
        np.testing.assert_allclose(gradient, -slope, rtol=1e-8, atol=1e-9)
    assert np.ptp(constants) < 1e-9  # the program's densities are normalised, ours up to a constant


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("irt_model", MODELS, ids=lambda model: f"{model.name}-{type(model.guessing).__name__}")
def test_gradient_of_partly_centred_coordinates_agrees_with_differences(rng, simulate_cells, irt_model, aligned):
    cells = simulate_cells(N_MODELS, N_ITEMS, missing=0.2)
    start = find_start(irt_model, cells)
    shares = {name: rng.uniform(size=np.shape(share)) for name, share in start.centring.items()}
    ability = start.values["ability"]
    posterior = Posterior(irt_model, cells, shares, Alignment(ability - ability.mean()) if aligned else None)
    flat = posterior.flatten(start.values) + 0.2 * rng.normal(size=posterior.layout[irt_model.sites()[-1].name].stop)
    _, gradient = posterior.log_density(flat)
    step = 1e-6 * np.eye(flat.size)
    differences = [(posterior.log_density(flat + e)[0] - posterior.log_density(flat - e)[0]) / 2e-6 for e in step]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-4)


def test_centring_changes_the_coordinates_but_not_the_posterior(rng, simulate_cells):
    """Densities in two parametrisations differ by the log-Jacobian, sd ** (share - 1) an item."""
    irt_model = IRT_MODELS["2pl"]()
    cells = simulate_cells(N_MODELS, N_ITEMS)
    start = find_start(irt_model, cells)
    centred, partly = Posterior(irt_model, cells), Posterior(irt_model, cells, {"difficulty": np.full(N_ITEMS, 0.3)})
    values = {name: value * 1.1 for name, value in start.values.items()}
    jacobian = N_ITEMS * (1 - 0.3) * np.log(values["difficulty_sd"])
    difference = partly.log_density(partly.flatten(values))[0] - centred.log_density(centred.flatten(values))[0]
    assert difference == pytest.approx(jacobian, rel=1e-9)


def test_aligned_coordinates_have_the_density_of_the_plain_ones(rng, simulate_cells):
    """Densities differ by the log-Jacobian, which is that of the map itself, by differences, up to its constant."""
    irt_model = IRT_MODELS["2pl"]()
    cells = simulate_cells(8, 4)
    values = find_start(irt_model, cells).values
    plain = Posterior(irt_model, cells)
    aligned = Posterior(irt_model, cells, {}, Alignment(values["ability"] - values["ability"].mean()))
    gaps = []
    for _ in range(4):
        flat = aligned.flatten(values) + 0.2 * rng.normal(size=8 + 8 + 4)
        step = 1e-6 * np.eye(flat.size)
        columns = [
            (plain.flatten(aligned.values(flat + e)) - plain.flatten(aligned.values(flat - e))) / 2e-6 for e in step
        ]
        log_jacobian = np.linalg.slogdet(np.array(columns))[1]
        there = plain.flatten(aligned.values(flat))
        gaps.append(aligned.log_density(flat)[0] - plain.log_density(there)[0] - log_jacobian)
    assert np.ptp(gaps) < 1e-5


@pytest.mark.parametrize("aligned", [False, True])
def test_values_and_coordinates_are_inverse(simulate_cells, aligned):
    irt_model = IRT_MODELS["4pl"]()
    cells = simulate_cells(N_MODELS, N_ITEMS)
    start = find_start(irt_model, cells)
    ability = start.values["ability"]
    alignment = Alignment(ability - 0.3 - (ability - 0.3).mean()) if aligned else None
    posterior = Posterior(irt_model, cells, start.centring, alignment)
    back = posterior.values(posterior.flatten(start.values))
    for name, value in start.values.items():
        np.testing.assert_allclose(back[name], value, rtol=1e-10, atol=1e-12)


def test_the_coordinate_of_an_sd_is_its_normal_score_in_the_half_normal_prior():
    quantiles = np.array([1e-100, 1e-12, 0.01, 0.5, 0.99])
    half = _half_normal(stats.norm.ppf(quantiles))
    np.testing.assert_allclose(stats.chi2.cdf(half**2, 1), quantiles, rtol=1e-9)
    real = np.array([-30.0, -3.0, 0.0, 2.0, 30.0])
    np.testing.assert_allclose(_as_normal(_half_normal(real)), real, rtol=1e-9, atol=1e-12)
