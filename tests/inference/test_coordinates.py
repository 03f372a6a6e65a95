import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from irt_bench import FourPL, OnePL, ThreePL, TwoPL, simulate_responses
from irt_bench.errors import FitError
from irt_bench.inference.fast import laplace
from irt_bench.inference.fast.laplace import Approximation
from irt_bench.inference.sampling.coordinates import find_coordinates, pyro_runtime
from irt_bench.irt_models.program import DTYPE


@pytest.fixture(autouse=True)
def runtime():
    with pyro_runtime(seed=0, threads=1):
        yield


@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL(), FourPL()], ids=lambda each: each.name)
@pytest.mark.parametrize("shape", [(60, 8), (30, 60)])
def test_the_posterior_is_nearly_standard_normal_there(simulate_counts, irt_model, shape, rng):
    """Curvature at the centre between a fifth and five in random directions; without the map it is not."""
    found = find_coordinates(irt_model, *simulate_counts(*shape, missing=0.1))
    directions = rng.normal(size=(20, found.size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def curvature(log_density, direction, step=1e-2):
        there = [log_density(torch.tensor(sign * step * direction)).item() for sign in (-1, 0, 1)]
        return (2 * there[1] - there[0] - there[2]) / step**2

    white = np.array([curvature(found.log_density, each) for each in directions])
    assert (white > 0.2).all() and (white < 5).all()
    centre = torch.from_numpy(found.whitening.centre)
    plain = [curvature(lambda point: found.target.log_density(centre + point), each) for each in directions]
    assert np.mean(plain) > 1.5 * white.mean()


def test_abilities_are_integrated_out_where_models_outnumber_items(simulate_counts):
    for shape, integrated in (((60, 8), True), ((30, 60), False)):
        assert (find_coordinates(TwoPL(), *simulate_counts(*shape)).target.data.grid is not None) == integrated


def test_on_another_device_nothing_is_integrated_out_and_the_density_is_the_same(simulate_counts, rng):
    """The processor under another name."""
    found = find_coordinates(TwoPL(), *simulate_counts(60, 8), device="cpu:0")
    assert found.target.data.grid is None
    assert np.isfinite(found.log_density(torch.tensor(rng.normal(size=found.size))).item())


def test_values_keep_leading_dimensions_and_scalars_have_none_of_their_own(simulate_counts, rng):
    found = find_coordinates(TwoPL(), *simulate_counts(30, 40))
    values = found.values(rng.normal(size=(2, 3, found.size)), rng)
    assert values["ability"].shape == (2, 3, 30)
    assert values["difficulty"].shape == (2, 3, 40)
    assert values["difficulty_sd"].shape == (2, 3)
    assert (values["difficulty_sd"] > 0).all()


def test_items_that_answers_determine_are_centred_and_others_are_not(simulate_counts):
    """200 models against 5, on 40 items."""
    known, unknown = (find_coordinates(TwoPL(), *simulate_counts(n, 40)).target.centring for n in (200, 5))
    for name in ("difficulty", "log_discrimination"):
        assert known[name].mean() > unknown[name].mean() + 0.2


def test_answers_at_chance_have_coordinates(rng):
    """Whoever guesses tells nothing of items: a normal approximation has no bounds there, and the posterior has."""
    correct = (rng.random((40, 20)) < 0.25).astype(np.int8)
    found = find_coordinates(ThreePL(guessing=0.25), correct, np.ones_like(correct))
    assert np.isfinite(found.log_density(torch.zeros(found.size, dtype=DTYPE)).item())


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide", "ignore:the posterior has no peak")
def test_draws_without_bounds_start_gibbs_sweeps_at_the_mean_of_all_items(monkeypatch):
    """Slopes near zero in the normal approximation make difficulties infinite; here some are made so."""
    made = simulate_responses(ThreePL(), n_models=40, n_items=20, seed=7, hyperparameters={})
    counts = made.table.counts()
    drawn = laplace.draw_jointly

    def without_bounds(*arguments):
        found = drawn(*arguments)
        found["difficulty"][:, ::10] = np.inf
        return found

    monkeypatch.setattr(laplace, "draw_jointly", without_bounds)
    found = laplace.approximate(ThreePL(), counts.correct, counts.trials, threads=1)
    assert all(np.isfinite(values).all() for values in found.draws(1_000).values())


@pytest.mark.parametrize("share", [0.002, 1.0])
def test_draws_far_out_do_not_stretch_the_coordinates(monkeypatch, share):
    """Few answers can give draws out of all bounds: some are drawn in, and where all are a guide takes their place."""
    made = simulate_responses(TwoPL(), n_models=20, n_items=8, seed=1).table.counts()
    drawn = Approximation.draws

    def unbounded(self, n_draws):
        found = drawn(self, n_draws)
        found["difficulty"][: int(share * n_draws)] = np.inf if share == 1 else 1e9
        return found

    monkeypatch.setattr(Approximation, "draws", unbounded)
    found = find_coordinates(TwoPL(), made.correct, made.trials)
    assert np.isfinite(found.whitening.centre).all() and np.abs(found.whitening.centre).max() < 20
    assert np.isfinite(found.log_density(torch.zeros(found.size, dtype=DTYPE)).item())


class Impossible:
    """A model whose prior rules the answers out."""

    name = "impossible"

    def program(self, data):
        with data.models:
            ability = pyro.sample("ability", dist.Normal(torch.zeros((), dtype=DTYPE), 1.0))
        data.observe(ability, difficulty=ability.new_full((data.n_items,), np.nan), discrimination=ability.new_ones(()))


@pytest.mark.filterwarnings("ignore:Encountered NaN")
def test_a_program_without_a_density_is_refused(simulate_counts):
    with pytest.raises(FitError, match="impossible model has no density where inference starts"):
        find_coordinates(Impossible(), *simulate_counts(10, 5))
