from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from irt_bench.errors import FitError, ModelError
from irt_bench.inference import coordinates, joint_normal, laplace
from irt_bench.inference.ability_grid import AbilityGrid
from irt_bench.inference.coordinates import find_coordinates
from irt_bench.inference.laplace import Approximation
from irt_bench.inference.likelihood import Cells
from irt_bench.inference.runtime import DTYPE
from irt_bench.irt_models.base import HalfNormal, Hierarchical, Normal
from irt_bench.irt_models.logistic import IRT_MODELS, ThreePL, TwoPL
from irt_bench.irt_models.simulate import simulate_responses


@pytest.fixture(params=["integrated", "joint"])
def shape(request, monkeypatch):
    """Sizes of a matrix; for "joint", grids are held to be too dear, as for very wide matrices."""
    if request.param == "joint":
        monkeypatch.setattr(AbilityGrid, "n_nodes", staticmethod(lambda least_sd: 10**6))
        return 40, 120
    return 60, 8


@pytest.mark.parametrize("name", IRT_MODELS)
def test_density_and_gradient_are_the_posteriors_in_other_coordinates(rng, simulate_counts, name, shape):
    found = find_coordinates(IRT_MODELS[name](), *simulate_counts(*shape, missing=0.1))
    point = 0.1 * rng.normal(size=found.centre.size)
    value, gradient = found.posterior.log_density(found.flat(point))
    tensor = torch.tensor(point, dtype=DTYPE, requires_grad=True)
    density = found.log_density(tensor)
    (slope,) = torch.autograd.grad(density, tensor)
    assert density.item() == value
    np.testing.assert_array_equal(slope.numpy(), found.pull_back(gradient))


def test_abilities_are_integrated_out_where_few_nodes_do(simulate_counts, shape):
    found = find_coordinates(TwoPL(), *simulate_counts(*shape))
    assert found.posterior.integrates_abilities == found.whitened == (shape == (60, 8))


def test_more_items_than_draws_can_tell_of_are_scaled_one_by_one(monkeypatch, simulate_counts):
    monkeypatch.setattr(coordinates, "MOST_WHITENED", 7)
    found = find_coordinates(TwoPL(), *simulate_counts(60, 8))
    assert found.posterior.integrates_abilities and not found.whitened


def test_on_another_device_nothing_is_integrated_out_and_the_density_is_the_same(rng, simulate_counts):
    """The processor under another name; a test on a GPU stands in test_svi.py."""
    counts = simulate_counts(60, 8)
    found = find_coordinates(TwoPL(), *counts, "cpu:0")
    assert not found.posterior.integrates_abilities and str(found.posterior.cells.device) == "cpu"
    here = replace(found.posterior, cells=Cells.from_arrays(*counts, device=torch.device("cpu")))
    flat = found.flat(rng.normal(size=found.centre.size))
    assert found.posterior.log_density(flat)[0] == here.log_density(flat)[0]


def test_values_keep_leading_dimensions_and_scalars_have_none_of_their_own(rng, simulate_counts, shape):
    found = find_coordinates(TwoPL(), *simulate_counts(*shape))
    values = found.values(rng.normal(size=(2, 3, found.centre.size)), rng)
    n_models, n_items = shape
    assert values["ability"].shape == (2, 3, n_models)
    assert values["difficulty"].shape == (2, 3, n_items)
    assert values["difficulty_sd"].shape == (2, 3)
    assert (values["difficulty_sd"] > 0).all()


def test_the_start_is_a_point_of_the_posteriors_bulk(rng, simulate_counts, shape):
    """Ten steps of one standard deviation in random directions lower the density by far more than noise."""
    found = find_coordinates(TwoPL(), *simulate_counts(*shape))
    here = found.log_density(torch.zeros(found.centre.size, dtype=DTYPE)).item()
    away = found.log_density(torch.tensor(10 * rng.normal(size=found.centre.size), dtype=DTYPE)).item()
    assert here > away + found.centre.size


@dataclass(frozen=True, kw_only=True)
class WrongSign(TwoPL):
    """A model whose gradient is wrong: the negative control."""

    def pull_back(self, values, gradient):
        right = super().pull_back(values, gradient)
        return right | {"difficulty": -right["difficulty"]}


def test_a_model_with_a_wrong_gradient_is_refused(simulate_counts, shape):
    with pytest.raises(ModelError, match="differs from that of its Pyro program"):
        find_coordinates(WrongSign(), *simulate_counts(*shape))


@dataclass(frozen=True, kw_only=True)
class WrongFactor(TwoPL):
    """A gradient that is all but right."""

    def pull_back(self, values, gradient):
        right = super().pull_back(values, gradient)
        return right | {"difficulty": (1 + 1e-4) * right["difficulty"]}


def narrow(scale):
    """A prior that spread-out items contradict."""
    return Hierarchical(Normal(0.0, 0.2), HalfNormal(scale))


@pytest.mark.parametrize("scale", [0.2, 0.1, 0.04])
def test_items_far_out_in_their_prior_are_no_disagreement_but_a_wrong_factor_there_is(simulate_counts, shape, scale):
    """Normal scores of the sd of up to thirty, whose distribution function is one to the last digit from eight on."""
    counts = simulate_counts(*shape)
    found = find_coordinates(TwoPL(difficulty=narrow(scale)), *counts)
    assert np.isfinite(found.log_density(torch.zeros(found.centre.size, dtype=DTYPE)).item())
    with pytest.raises(ModelError, match="differs from that of its Pyro program"):
        find_coordinates(WrongFactor(difficulty=narrow(scale)), *counts)


def test_a_start_without_density_is_refused_by_name(simulate_counts, shape):
    with pytest.raises(
        FitError, match=r"no density where inference starts, first at difficulty_sd = \d\.\d+: its prior"
    ):
        find_coordinates(TwoPL(difficulty=narrow(0.01)), *simulate_counts(*shape))


@pytest.mark.parametrize(("most", "whitened"), [(laplace.MOST_REFINED_START, True), (0, False)])
def test_answers_at_chance_have_whitened_coordinates_by_gibbs_sweeps(monkeypatch, most, whitened):
    """Whoever guesses tells nothing of items: a normal approximation has no bounds there, and the posterior has."""
    monkeypatch.setattr(laplace, "MOST_REFINED_START", most)
    correct = (np.random.default_rng(1).random((40, 20)) < 0.25).astype(np.int8)
    assert find_coordinates(ThreePL(guessing=0.25), correct, np.ones_like(correct)).whitened == whitened


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide", "ignore:the posterior has no peak")
def test_draws_without_bounds_start_gibbs_sweeps_at_the_mean_of_all_items():
    """Slopes of any size in the normal approximation: some difficulties are infinite."""
    made = simulate_responses(ThreePL(), n_models=40, n_items=20, seed=7, hyperparameters={})
    counts = made.table.counts()
    found = laplace.approximate(ThreePL(), counts.correct, counts.trials, threads=1)
    plain = joint_normal.draw_jointly(found.irt_model, found.state, np.random.default_rng(0), 1_000)
    assert not np.isfinite(plain["difficulty"]).all()
    assert all(np.isfinite(values).all() for values in found.draws(1_000).values())


@pytest.mark.parametrize(("share", "whitened"), [(0.002, True), (1.0, False)])
def test_draws_far_out_do_not_stretch_the_coordinates(monkeypatch, share, whitened):
    """Few answers can give draws out of all bounds: some are drawn in, and where all are the start is scaled only."""
    made = simulate_responses(TwoPL(), n_models=20, n_items=8, seed=1).table.counts()
    whole = find_coordinates(TwoPL(), made.correct, made.trials)
    drawn = Approximation.draws

    def unbounded(self, n_draws):
        found = drawn(self, n_draws)
        found["difficulty"][: int(share * n_draws)] = np.inf if share == 1 else 1e9
        return found

    monkeypatch.setattr(Approximation, "draws", unbounded)
    found = find_coordinates(TwoPL(), made.correct, made.trials)
    assert whole.whitened and found.whitened == whitened
    assert np.isfinite(found.centre).all() and np.abs(found.centre - whole.centre).max() < 3
    sds, honest = (np.linalg.norm(np.atleast_2d(each.root.T).T, axis=1) for each in (found, whole))
    assert (sds < 2 * honest).all() if whitened else (sds > 0).all()
    assert np.isfinite(found.log_density(torch.zeros(len(found.centre), dtype=DTYPE)).item())
