from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.special import expit

from irt_bench import OnePL, SVISettings, TwoPL
from irt_bench.errors import FitError
from irt_bench.inference.convergence import optimiser_checks
from irt_bench.inference.sampling import svi
from irt_bench.inference.sampling.coordinates import Coordinates, Whitening, find_coordinates
from irt_bench.inference.sampling.svi import Plateau, fit_svi
from irt_bench.irt_models.program import logistic_program


def test_plateau_is_not_reached_while_a_noisy_series_rises(rng):
    plateau = Plateau(window=50)
    rising = []
    for value in 0.05 * np.arange(1000) + rng.normal(size=1000):
        plateau.add(value)
        rising.append(plateau.reached())
    assert not any(rising)


def test_plateau_is_reached_once_a_noisy_series_is_level(rng):
    plateau = Plateau(window=50)
    reached = []
    for value in rng.normal(size=600):
        plateau.add(value)
        reached.append(plateau.reached())
    assert any(reached)
    assert not any(reached[:149])  # too few values to tell


def test_same_seed_gives_the_same_draws_and_another_seed_others(simulate_cells):
    cells = simulate_cells(20, 6)
    correct, trials = cells.correct.numpy(), np.ones(cells.shape, dtype=np.int8)

    def draw(seed):
        return fit_svi(TwoPL(), correct, trials, SVISettings(seed=seed, max_steps=50, draws=5)).sites["ability"]

    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).all()


def test_too_few_steps_are_reported(simulate_cells):
    cells = simulate_cells(20, 6)
    draws = fit_svi(TwoPL(), cells.correct.numpy(), np.ones(cells.shape, dtype=np.int8), SVISettings(max_steps=30))
    assert draws.notes["plateau_reached"] is False
    assert draws.notes["steps"] == 30
    assert len(draws.sample_stats["elbo"]) == 30


@pytest.fixture(scope="module")
def many_models_one_ability_each():
    """Items so well known that each ability's posterior can be integrated: 400 models, 12 items."""
    rng = np.random.default_rng(5)
    ability, difficulty = rng.normal(size=400), np.linspace(-2, 2, 12)
    correct = rng.random((400, 12)) < 1 / (1 + np.exp(-1.5 * (ability[:, None] - difficulty)))
    return correct.astype(np.int8)


def test_abilities_agree_with_numerical_integration(many_models_one_ability_each):
    """Given the fitted items, an ability's exact posterior is a one-dimensional integral (scipy's quadrature)."""
    correct = many_models_one_ability_each
    draws = fit_svi(OnePL(), correct, np.ones_like(correct), SVISettings(draws=2000))
    assert draws.notes["plateau_reached"]
    slope, difficulty = draws.sites["discrimination"].mean(), draws.sites["difficulty"].mean((0, 1))
    for model in range(0, 400, 40):

        def density(theta, answers=correct[model]):
            p = 1 / (1 + np.exp(-slope * (theta - difficulty)))
            return stats.norm.pdf(theta) * np.prod(np.where(answers == 1, p, 1 - p))

        total, mean, square = (integrate.quad(lambda t, k=k: t**k * density(t), -8, 8)[0] for k in range(3))
        mean, sd = mean / total, np.sqrt(square / total - (mean / total) ** 2)
        got = draws.sites["ability"][0, :, model]
        assert got.mean() == pytest.approx(mean, abs=0.15 * sd)
        assert got.std() == pytest.approx(sd, rel=0.15)


def test_a_guide_of_the_wrong_shape_is_caught(monkeypatch, simulate_counts):
    """Independent coordinates where two of them are strongly correlated."""

    def skewed(*arguments, **options):
        found = find_coordinates(*arguments, **options)
        direction = np.zeros((1, found.size))
        direction[0, :2] = 0.5**0.5
        whitening = found.whitening
        return Coordinates(
            found.target, replace(whitening, stretches=[*whitening.stretches, (direction, np.array([3.0]))])
        )

    counts = simulate_counts(60, 8)
    for place, status in ((find_coordinates, "passed"), (skewed, "failed")):
        monkeypatch.setattr(svi, "find_coordinates", place)
        drawn = fit_svi(TwoPL(), *counts, SVISettings(guide="normal", draws=500))
        found = {check.name: check.status for check in optimiser_checks(drawn.notes)}
        assert found == {
            "elbo_plateau": "passed",
            "guide": status,
            "hierarchy": "failed",  # eight items
            "normality": "failed",  # sixty models
            "r_hat": "not_applicable",
        }


@pytest.mark.parametrize(("shape", "draws"), [((60, 4), 2), ((6, 1), 30)])
def test_few_draws_and_few_items_give_no_warnings(simulate_counts, shape, draws):
    drawn = fit_svi(TwoPL(), *simulate_counts(*shape), SVISettings(draws=draws, window=20))
    assert drawn.sites["difficulty_sd"].shape == (1, draws)
    assert np.isfinite(drawn.sites["difficulty_sd"]).all()


@pytest.mark.slow
def test_a_fit_in_batches_agrees_with_one_of_all_answers(simulate_counts, monkeypatch):
    """A step looks at some models' answers to some items."""
    monkeypatch.setattr(svi, "MIN_BATCH", 30)
    counts = simulate_counts(120, 60)
    whole, parts = (fit_svi(TwoPL(), *counts, SVISettings(draws=2_000, batch=batch)).sites for batch in (0, 60))
    for name in ("ability", "difficulty"):
        mean, sd = whole[name][0].mean(0), whole[name][0].std(0)
        assert np.mean(np.abs(parts[name][0].mean(0) - mean) / sd) < 0.25, name
        assert np.mean(parts[name][0].std(0) / sd) == pytest.approx(1, abs=0.1), name


@pytest.mark.filterwarnings("ignore:Encountered NaN")
def test_a_guide_that_leaves_all_bounds_is_refused(simulate_counts, monkeypatch):
    class Unbounded(Whitening):
        def place(self, points):
            return super().place(points) * np.nan

    def unbounded(*arguments, **options):
        found = find_coordinates(*arguments, **options)
        return Coordinates(found.target, Unbounded(**vars(found.whitening)))

    monkeypatch.setattr(svi, "find_coordinates", unbounded)
    with pytest.raises(FitError, match="left all bounds"):
        fit_svi(TwoPL(), *simulate_counts(20, 6), SVISettings(max_steps=200))


def _means_differ_by(correct, device):
    """Mean distance of SVI's means from those with abilities integrated out, in posterior sds."""
    one, other = (
        fit_svi(TwoPL(), correct, np.ones_like(correct), SVISettings(device=each)) for each in ("cpu", device)
    )
    return {
        name: np.mean(
            np.abs(one.sites[name].mean((0, 1)) - other.sites[name].mean((0, 1))) / one.sites[name].std((0, 1))
        )
        for name in ("ability", "difficulty", "discrimination")
    }


@pytest.mark.slow
def test_all_sampled_together_as_on_a_gpu_give_what_integrated_abilities_give(monkeypatch, simulate_counts):
    correct, _ = simulate_counts(200, 30)
    real, places = find_coordinates, iter(["cpu", "cpu:0"])
    monkeypatch.setattr(svi, "find_coordinates", lambda *answers, **_: real(*answers, device=next(places)))
    assert max(_means_differ_by(correct, "cpu").values()) < 0.3
    wrong = 1 - correct[:, ::-1]
    data = [(wrong, np.ones_like(wrong)), (correct, np.ones_like(correct))]
    monkeypatch.setattr(svi, "find_coordinates", lambda *_, **__: real(TwoPL(), *data.pop()))
    assert max(_means_differ_by(correct, "cpu").values()) > 0.3  # negative control: other answers


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_what_the_processor_gives(simulate_counts):
    correct, _ = simulate_counts(200, 30)
    assert max(_means_differ_by(correct, "cuda").values()) < 0.3


class OwnProgram(TwoPL):
    """The 2PL, whose program counts as altered: its abilities stay beside the items in the guide."""

    def program(self, data):
        logistic_program(self, data)


@pytest.mark.slow
def test_intervals_cover_in_a_tall_matrix_of_steep_items_where_abilities_are_integrated_out():
    """With 5,000 abilities in the guide, independent of the items, item parameters are biased by an sd and more."""
    rng = np.random.default_rng(0)
    n_models, n_items = 5_000, 100
    for _ in range(2):  # of several data sets one in which the bias shows plainly
        truth = {"discrimination": np.exp(rng.normal(1.0, 0.6, n_items)), "difficulty": rng.normal(-0.3, 0.7, n_items)}
        ability = rng.standard_normal(n_models)
        chance = expit(truth["discrimination"] * (ability[:, None] - truth["difficulty"]))
        right = (rng.random(chance.shape) < chance).astype(np.int8)
    covered = {}
    for model in (TwoPL(), OwnProgram()):
        sites = fit_svi(model, right, np.ones_like(right), SVISettings(seed=1)).sites
        limits = {name: np.quantile(sites[name][0], (0.05, 0.95), axis=0) for name in truth}
        covered[type(model)] = [
            float(((low < truth[name]) & (truth[name] < high)).mean()) for name, (low, high) in limits.items()
        ]
    assert min(covered[TwoPL]) > 0.82
    assert min(covered[OwnProgram]) < 0.75
