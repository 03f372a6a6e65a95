"""The log density of a program in real coordinates, held against Pyro's own trace of the same program."""

from dataclasses import dataclass

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from scipy import integrate, stats
from torch.distributions import biject_to

from irt_bench import FourPL, Normal, OnePL, ThreePL, TwoPL
from irt_bench.errors import ModelError
from irt_bench.inference.fast.ability_grid import AbilityGrid
from irt_bench.inference.sampling.likelihood import ResponseCells, ResponseData
from irt_bench.inference.sampling.target import Target

MODELS = [OnePL(), TwoPL(), ThreePL(), ThreePL(guessing=0.2), FourPL(), TwoPL(difficulty=Normal(0.3, 2.0))]


@pytest.fixture
def make_target(simulate_counts):
    """Target of a model for simulated answers; with `integrate` abilities are integrated out."""

    def make(irt_model, shape=(15, 6), *, integrate=False, centring=None, **options):
        counts = simulate_counts(*shape, **options)
        grid = AbilityGrid.from_counts(*counts, least_sd=0.2) if integrate else None
        return Target(
            irt_model,
            ResponseData(ResponseCells.from_arrays(*counts), grid),
            centring or {},
        )

    return make


def shares(irt_model, n_items, share):
    """The same share of centring for every item."""
    by_item = ["difficulty"] + ["log_discrimination"] * (not irt_model.shared_slope)
    return {name: torch.full((n_items,), share, dtype=torch.float64) for name in by_item}


def traced(target, values):
    """Log density that Pyro gives to values of the latent sites, and the latent sites of its trace."""
    tensors = {name: torch.as_tensor(value) for name, value in values.items()}
    trace = poutine.trace(poutine.condition(target.irt_model.program, data=tensors)).get_trace(target.data)
    return trace.log_prob_sum().item(), trace


def log_jacobian(target, point):
    """Log determinant of the map from coordinates to values, by finite differences of the values."""
    step, rng = 1e-5, np.random.default_rng(0)

    def flat(at):
        values = target.values(at, rng)
        return np.concatenate([np.ravel(values[name]) for name in target.blocks])

    columns = [(flat(point + step * unit) - flat(point - step * unit)) / (2 * step) for unit in np.eye(len(point))]
    return np.linalg.slogdet(np.array(columns).T)[1]


@pytest.mark.parametrize("irt_model", MODELS, ids=repr)
@pytest.mark.parametrize("share", [None, 0.3])
def test_density_is_that_of_the_program_and_the_change_of_variables(make_target, irt_model, share, rng):
    """Differences between two points: constants are left out. Missing cells and two trials per cell."""
    target = make_target(irt_model, (12, 4), missing=0.2, n_samples=2)
    if share is not None:
        target = Target(irt_model, target.data, shares(irt_model, 4, share))
    found = []
    for _ in range(2):
        point = 0.5 * rng.normal(size=target.size)
        pyros, _ = traced(target, {name: target.values(point, rng)[name] for name in target.blocks})
        found.append((target.value_and_gradient(point)[0], pyros + log_jacobian(target, point)))
    (ours, pyros), (ours_there, pyros_there) = found
    assert ours_there - ours == pytest.approx(pyros_there - pyros, abs=2e-5)


@pytest.mark.parametrize("irt_model", MODELS, ids=repr)
@pytest.mark.parametrize("integrate", [False, True])
def test_gradient_is_the_slope_of_the_value(make_target, irt_model, integrate, rng):
    target = make_target(irt_model, integrate=integrate)
    point = 0.3 * rng.normal(size=target.size)
    _, gradient = target.value_and_gradient(point)
    for at in range(target.size):
        step = 1e-5 * np.eye(target.size)[at]
        slope = (target.value_and_gradient(point + step)[0] - target.value_and_gradient(point - step)[0]) / 2e-5
        assert slope == pytest.approx(gradient[at], rel=1e-5, abs=1e-5)


def test_kernel_agrees_with_a_plain_pyro_likelihood(make_target):
    """Value and gradient of the fused operation against Bernoulli sites of Pyro, float64."""
    target = make_target(TwoPL(), (20, 8))
    right = target.data.cells.correct.double()
    ability, b, a = (torch.randn(n, dtype=torch.float64, requires_grad=True) for n in (20, 8, 8))

    def program():
        pyro.sample("y", dist.Bernoulli(logits=a.exp() * (ability[:, None] - b)).to_event(2), obs=right)

    plain = poutine.trace(program).get_trace().log_prob_sum()
    fused = poutine.trace(
        lambda: target.data.observe(ability, difficulty=b, discrimination=a.exp())
    ).get_trace().log_prob_sum()  # fmt: skip
    assert fused.item() == pytest.approx(plain.item(), rel=1e-9)
    for one, other in zip(*(torch.autograd.grad(each, (ability, b, a)) for each in (plain, fused)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


def test_integrated_density_is_the_integral_of_the_joint_one(make_target):
    """One model, two items: scipy's quadrature over its ability."""
    correct = np.array([[1, 0]], dtype=np.int8)
    grid = AbilityGrid.from_counts(correct, np.ones_like(correct), least_sd=0.3)
    data = ResponseData(ResponseCells.from_arrays(correct, np.ones_like(correct)), grid)
    target = Target(OnePL(), data)
    values = {"log_discrimination": 0.2, "difficulty_mean": 0.1, "difficulty_sd": 1.2}
    found, wanted = [], []
    for difficulty in ([0.5, -0.4], [-1.0, 0.8]):
        point = target.flatten(target.read({**values, "difficulty": np.array(difficulty)}))

        def density(theta, b=difficulty):
            p = 1 / (1 + np.exp(-np.exp(0.2) * (theta - np.array(b))))
            return stats.norm.pdf(theta) * p[0] * (1 - p[1])

        prior = stats.norm.logpdf(difficulty, 0.1, 1.2).sum()
        found.append(target.value_and_gradient(point)[0])
        wanted.append(np.log(integrate.quad(density, -9, 9)[0]) + prior)
    assert found[1] - found[0] == pytest.approx(wanted[1] - wanted[0], abs=1e-7)


@pytest.mark.parametrize("irt_model", MODELS, ids=repr)
@pytest.mark.parametrize("integrate", [False, True])
def test_values_are_read_back_to_their_coordinates(make_target, irt_model, integrate, rng):
    target = make_target(irt_model, integrate=integrate, centring=shares(irt_model, 6, 0.4))
    point = rng.normal(size=target.size)
    values = target.values(point, rng)
    np.testing.assert_allclose(target.flatten(target.read(values)), point, atol=1e-9)
    assert values["ability"].shape == (15,) and values["discrimination"].shape == (6,)


def test_a_shift_of_all_abilities_takes_the_items_along(make_target, rng):
    """In these coordinates answers say nothing of the shared location and scale: the curves stay."""
    target = make_target(TwoPL())
    point = rng.normal(size=target.size)
    moved = point.copy()
    place = target.blocks["ability"].place
    moved[place] = 1.3 * point[place] + 0.7
    one, other = (target.values(each, rng) for each in (point, moved))
    odds = [each["discrimination"] * (each["ability"][:, None] - each["difficulty"]) for each in (one, other)]
    np.testing.assert_allclose(*odds, atol=1e-9)
    assert np.abs(one["difficulty"] - other["difficulty"]).min() > 0


def test_a_mini_batch_is_right_in_expectation(make_target, rng):
    """Mean over all pairs of (half of the models, half of the items)."""
    data = ResponseData(make_target(TwoPL(), (12, 4)).data.cells, framed=False)
    target = Target(TwoPL(), data)
    point = 0.3 * rng.normal(size=target.size)
    whole, gradient = target.value_and_gradient(point)
    rows, columns = np.array_split(rng.permutation(12), 2), np.array_split(rng.permutation(4), 2)
    found = []
    for row in rows:
        for column in columns:
            chosen = {"model": torch.from_numpy(np.sort(row)), "item": torch.from_numpy(np.sort(column))}
            found.append(Target(target.irt_model, data.subsampled(chosen)).value_and_gradient(point))
    assert np.mean([value for value, _ in found]) == pytest.approx(whole, rel=1e-9)
    np.testing.assert_allclose(np.mean([slope for _, slope in found], axis=0), gradient, atol=1e-8)


@dataclass(frozen=True)
class Mixture:
    """A model with a discrete latent site."""

    name: str = "mixture"

    def program(self, data):
        with data.models:
            pyro.sample("class", dist.Bernoulli(torch.tensor(0.5)))


def test_a_discrete_site_is_refused_by_name(make_target):
    with pytest.raises(ModelError, match="site 'class' of the mixture model is discrete"):
        _ = make_target(Mixture()).size


@pytest.mark.parametrize(
    "prior",
    [dist.HalfNormal(2.0), dist.LogNormal(0.0, 1.0), dist.Beta(2.0, 3.0), dist.StudentT(4.0), dist.Gamma(2.0, 1.0)],
)
def test_sites_of_any_support_integrate_to_one(make_target, prior):
    """The density in real coordinates of a prior alone is a density, up to one constant for half-normals."""

    class One:
        name = "one"

        def program(self, data):
            pyro.sample("x", prior)

    target = Target(One(), make_target(TwoPL()).data)
    grid = np.linspace(-14, 14, 4001)
    log_density = np.array([target.value_and_gradient(np.array([at]))[0] for at in grid])
    constant = 0.5 * np.log(2 * np.pi) if isinstance(prior, dist.HalfNormal) else 0.0
    assert np.trapezoid(np.exp(log_density - constant), grid) == pytest.approx(1, abs=2e-3)
    if not isinstance(prior, dist.HalfNormal):
        assert target.values(np.array([0.7]), None)["x"] == pytest.approx(
            biject_to(prior.support)(torch.tensor(0.7)).item()
        )


@pytest.mark.parametrize("irt_model", MODELS, ids=repr)
def test_the_program_samples_the_quantities_that_a_model_names(make_target, irt_model):
    found = {name: block.plates for name, block in make_target(irt_model, (6, 5)).blocks.items()}
    assert found == {name: (dim,) if dim else () for name, dim in irt_model.latent.items()}
