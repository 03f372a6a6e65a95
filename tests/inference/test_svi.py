from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from irt_bench.errors import FitError
from irt_bench.inference import batches, svi
from irt_bench.inference.ability_grid import AbilityGrid
from irt_bench.inference.convergence import optimiser_checks
from irt_bench.inference.coordinates import Coordinates, find_coordinates
from irt_bench.inference.laplace import fit_laplace
from irt_bench.inference.settings import LaplaceSettings, SVISettings
from irt_bench.inference.svi import Plateau, fit_svi
from irt_bench.irt_models.logistic import OnePL, TwoPL


@pytest.fixture(autouse=True)
def draws_of_the_guide(monkeypatch):
    """Draws are the guide's own; chains that carry them on have tests of their own."""
    monkeypatch.setattr(svi, "is_affordable", lambda coordinates, draws: False)


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
    slope, difficulty = np.exp(draws.sites["log_discrimination"].mean()), draws.sites["difficulty"].mean((0, 1))
    for model in range(0, 400, 40):

        def density(theta, answers=correct[model]):
            p = 1 / (1 + np.exp(-slope * (theta - difficulty)))
            return stats.norm.pdf(theta) * np.prod(np.where(answers == 1, p, 1 - p))

        total, mean, square = (integrate.quad(lambda t, k=k: t**k * density(t), -8, 8)[0] for k in range(3))
        mean, sd = mean / total, np.sqrt(square / total - (mean / total) ** 2)
        got = draws.sites["ability"][0, :, model]
        assert got.mean() == pytest.approx(mean, abs=0.15 * sd)
        assert got.std() == pytest.approx(sd, rel=0.15)


def test_a_guide_of_the_wrong_shape_is_caught(monkeypatch, many_models_one_ability_each):
    """Independent coordinates that are not whitened: items of a test share the abilities' location and scale."""

    def independent(*arguments):
        found = find_coordinates(*arguments)
        return Coordinates(found.posterior, found.centre, np.sqrt(np.square(found.root).sum(axis=1)))

    correct = many_models_one_ability_each
    spread = {}
    for guide, place in {"full": find_coordinates, "normal": independent}.items():
        monkeypatch.setattr(svi, "find_coordinates", place)
        drawn = fit_svi(TwoPL(), correct, np.ones_like(correct), SVISettings(guide=guide, draws=2000))
        status = {check.name: check.status for check in optimiser_checks(drawn.notes)}
        assert status == {
            "elbo_plateau": "passed",
            "guide": "passed" if guide == "full" else "failed",
            "invariance": "not_applicable",
            "hierarchy": "failed",  # twelve items
            "r_hat": "not_applicable",
        }
        spread[guide] = drawn.sites["difficulty"][0].mean(axis=1).std()
    assert spread["normal"] < 0.75 * spread["full"]


def test_where_chains_would_take_too_long_the_hierarchy_is_drawn_anew(simulate_counts):
    """Half as narrow as the guide left it, and nothing else is touched."""
    counts, settings = simulate_counts(60, 40), SVISettings(draws=1_000, guide="normal")
    both = (settings.model_copy(update={"refine": refine}) for refine in (True, False))
    redrawn, own = (fit_svi(TwoPL(), *counts, each) for each in both)
    exact = fit_laplace(TwoPL(), *counts, LaplaceSettings(draws=2_000)).sites
    changed = {name for name in own.sites if (own.sites[name] != redrawn.sites[name]).any()}
    assert changed == {f"{name}_{what}" for name in ("difficulty", "log_discrimination") for what in ("mean", "sd")}
    assert own.notes["hierarchy_spread"] == redrawn.notes["hierarchy_spread"]
    name = "log_discrimination_sd"
    before, after, right = (np.log(sites[name][0]).std() for sites in (own.sites, redrawn.sites, exact))
    assert before < 0.85 * right
    assert right - after < 0.6 * (right - before)


def test_a_guide_whose_hierarchy_contradicts_its_items_fails_the_check(simulate_counts, monkeypatch):
    real = svi.redraw_hierarchy

    def narrowed(irt_model, sites, rng):
        return real(irt_model, sites | {"difficulty_sd": sites["difficulty_sd"] ** 0.6}, rng)

    status = []
    for redraw in (real, narrowed):
        monkeypatch.setattr(svi, "redraw_hierarchy", redraw)
        drawn = fit_svi(OnePL(), *simulate_counts(60, 40), SVISettings(draws=1_000))
        status.append({check.name: check.status for check in optimiser_checks(drawn.notes)}["hierarchy"])
    assert status == ["passed", "failed"]


@pytest.mark.parametrize(("shape", "draws"), [((60, 4), 1), ((6, 1), 30)])
def test_few_draws_and_few_items_are_drawn_anew_without_warnings(simulate_counts, shape, draws):
    drawn = fit_svi(TwoPL(), *simulate_counts(*shape), SVISettings(draws=draws, window=20))
    assert drawn.sites["difficulty_sd"].shape == (1, draws)
    assert np.isfinite(drawn.sites["difficulty_sd"]).all()


def test_a_fit_in_batches_agrees_with_one_of_all_models(many_models_one_ability_each):
    correct = many_models_one_ability_each
    fits = [
        fit_svi(OnePL(), correct, np.ones_like(correct), SVISettings(draws=2_000, batch=batch)) for batch in (0, 100)
    ]
    whole, parts = (drawn.sites["difficulty"][0] for drawn in fits)
    assert np.max(np.abs(whole.mean(0) - parts.mean(0)) / whole.std(0)) < 0.6
    np.testing.assert_allclose(parts.std(0), whole.std(0), rtol=0.25)


def test_a_fit_by_blocks_agrees_with_one_of_all_answers(simulate_counts, monkeypatch):
    """Where abilities are no longer integrated out, a step looks at some models' answers to some items."""
    monkeypatch.setattr(AbilityGrid, "n_nodes", staticmethod(lambda least_sd: 10**6))
    monkeypatch.setattr(batches, "LEAST_BATCH", 30)
    counts = simulate_counts(120, 60)
    whole, parts = (fit_svi(TwoPL(), *counts, SVISettings(draws=2_000, batch=batch)).sites for batch in (0, 60))
    for name in ("ability", "difficulty"):
        mean, sd = whole[name][0].mean(0), whole[name][0].std(0)
        assert np.mean(np.abs(parts[name][0].mean(0) - mean) / sd) < 0.25, name
        assert np.mean(parts[name][0].std(0) / sd) == pytest.approx(1, abs=0.1), name


@pytest.mark.filterwarnings("ignore:Encountered NaN")
def test_a_guide_that_leaves_all_bounds_is_refused(simulate_counts, monkeypatch):
    real = svi.find_coordinates

    def unbounded(*arguments):
        found = real(*arguments)
        return replace(found, root=found.root * np.nan)

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
        for name in ("ability", "difficulty", "log_discrimination")
    }


@pytest.mark.slow
def test_all_sampled_together_as_on_a_gpu_give_what_integrated_abilities_give(monkeypatch, simulate_counts):
    correct, _ = simulate_counts(200, 30)
    places = iter(["cpu", "cpu:0"])
    monkeypatch.setattr(svi, "find_coordinates", lambda *arguments: find_coordinates(*arguments[:3], next(places)))
    assert max(_means_differ_by(correct, "cpu").values()) < 0.3
    wrong = 1 - correct[:, ::-1]
    places = iter(["cpu", "cpu:0"])
    monkeypatch.setattr(svi, "find_coordinates", lambda *_: find_coordinates(TwoPL(), *data.pop(), next(places)))
    data = [(wrong, np.ones_like(wrong)), (correct, np.ones_like(correct))]
    assert max(_means_differ_by(correct, "cpu").values()) > 0.3  # negative control: other answers


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_what_the_processor_gives(simulate_counts):
    correct, _ = simulate_counts(200, 30)
    assert max(_means_differ_by(correct, "cuda").values()) < 0.3
