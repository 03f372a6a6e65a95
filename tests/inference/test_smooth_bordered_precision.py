import numpy as np
import pytest

from irt_bench import LaplaceSettings, OnePL, TwoPL, simulate_responses
from irt_bench.inference.fast import bordered_precision, joint_normal, laplace
from irt_bench.inference.fast.ability_updates import GaussianAbilities
from irt_bench.inference.fast.bordered_precision import BorderedPrecision, SmoothBorderedPrecision
from irt_bench.inference.fast.parameter_updates import Items
from irt_bench.inference.fast.sweep import Sweeper

M, J, P, K, RANK = 7, 5, 2, 2, 3
SIZE = {"n_models": 500, "n_items": 700}


def test_draws_have_the_covariance_of_the_whole(rng):
    basis = rng.normal(size=(M, RANK))
    cross = 0.15 * rng.normal(size=(RANK, J, P))
    items = np.broadcast_to(np.eye(P) * 4 + 0.5, (J, P, P)).copy()
    items_shared, shared = 0.3 * rng.normal(size=(J, P, K)), np.diag([6.0, 7.0])
    abilities, abilities_shared = rng.uniform(4, 6, M), 0.3 * rng.normal(size=(M, K))
    low_rank = SmoothBorderedPrecision(
        abilities, lambda at: cross[:, at], items, items_shared, shared, abilities_shared, basis
    )
    whole = np.einsum("mr,rjp->mjp", basis, cross)
    dense = BorderedPrecision(abilities, lambda at: whole[:, at], items, items_shared, shared, abilities_shared)
    n = 200_000
    expected = np.linalg.inv(dense.abilities_precision())
    ability, item, common = low_rank.draw(rng, n)
    np.testing.assert_allclose(np.cov(np.hstack([ability, common]).T), expected, atol=0.008)
    ability_again, again, _ = dense.draw_abilities_first(dense.abilities_precision(), rng, n)
    for at in np.ndindex(P, J):
        ours, theirs = (np.cov(i[at[0], :, at[1]], a[:, 0]) for i, a in ((item, ability), (again, ability_again)))
        np.testing.assert_allclose(ours, theirs, atol=0.01)


@pytest.fixture(scope="module", params=[TwoPL(), OnePL()], ids=lambda irt_model: irt_model.name)
def exact_and_smooth(request):
    """Draws of either kind at the same mode."""
    irt_model = request.param
    counts = simulate_responses(irt_model, **SIZE, seed=1).table.counts()
    patch = pytest.MonkeyPatch()

    def many(correct, trials, *_, **__):
        return GaussianAbilities(Sweeper(correct, trials, threads=1))

    patch.setattr(laplace, "_choose_abilities", many)
    state = laplace._maximise(irt_model, counts.correct, counts.trials, LaplaceSettings(threads=1), None)
    patch.setattr(joint_normal, "MIN_GAIN", 0)
    drawn = []
    for limit in (np.inf, 0):
        patch.setattr(joint_normal, "MAX_ELIMINATED", limit)
        drawn.append(joint_normal.draw_jointly(irt_model, state, np.random.default_rng(1), 2_000))
    patch.undo()
    return drawn


def test_spreads_agree_with_those_of_exact_elimination(exact_and_smooth):
    exact, low_rank = ({name: draws[0].astype(float) for name, draws in each.items()} for each in exact_and_smooth)
    for name in ("ability", "difficulty", "log_discrimination"):
        ratio = low_rank[name].std(axis=0) / exact[name].std(axis=0)
        assert np.mean(ratio) == pytest.approx(1, abs=0.05), name
        assert np.max(np.abs(low_rank[name].mean(axis=0) - exact[name].mean(axis=0)) / exact[name].std(axis=0)) < 0.15


def test_what_all_abilities_share_is_as_uncertain_as_their_prior_says(exact_and_smooth):
    """Mean and log sd of n abilities from N(0, 1): 1 / sqrt(n) and 1 / sqrt(2 n); items tell differences alone."""
    ability = exact_and_smooth[1]["ability"][0].astype(float)
    n = SIZE["n_models"]
    assert ability.mean(axis=1).std() == pytest.approx(1 / np.sqrt(n), rel=0.1)
    if exact_and_smooth[1]["log_discrimination"].ndim == 3:
        assert np.log(ability.std(axis=1)).std() == pytest.approx(1 / np.sqrt(2 * n), rel=0.15)


def test_counting_the_pull_of_the_prior_twice_is_caught(monkeypatch):
    """The negative control: with residuals in the cross derivatives the common scale would seem known too well."""
    irt_model = TwoPL()
    counts = simulate_responses(irt_model, **SIZE, seed=1).table.counts()

    def many(correct, trials, *_, **__):
        return GaussianAbilities(Sweeper(correct, trials, threads=1))

    monkeypatch.setattr(laplace, "_choose_abilities", many)
    mode = laplace._maximise(irt_model, counts.correct, counts.trials, LaplaceSettings(threads=1), None)
    monkeypatch.setattr(joint_normal, "MAX_ELIMINATED", 0)
    monkeypatch.setattr(joint_normal, "MIN_GAIN", 0)
    right = bordered_precision.expected_weights

    def with_residuals(mean, variance, weight):
        each, weighted = right(mean, variance, weight)
        return each, weighted - mean * each / (1 / variance - 1)

    monkeypatch.setattr(bordered_precision, "expected_weights", with_residuals)
    ability = joint_normal.draw_jointly(irt_model, mode, np.random.default_rng(1), 2_000)["ability"][0].astype(float)
    assert np.log(ability.std(axis=1)).std() < 0.75 / np.sqrt(2 * SIZE["n_models"])


def test_a_precision_away_from_the_mode_is_caught(monkeypatch):
    """The negative control: at the items' means in place of their mode what is shared would seem known too well."""
    counts = simulate_responses(TwoPL(), **SIZE, seed=1).table.counts()

    def many(correct, trials, *_, **__):
        return GaussianAbilities(Sweeper(correct, trials, threads=1))

    monkeypatch.setattr(laplace, "_choose_abilities", many)
    mode = laplace._maximise(TwoPL(), counts.correct, counts.trials, LaplaceSettings(threads=1), None)
    mode.items = mode.means
    ability = joint_normal.draw_jointly(TwoPL(), mode, np.random.default_rng(1), 2_000)["ability"][0].astype(float)
    assert ability.mean(axis=1).std() < 0.7 / np.sqrt(SIZE["n_models"])


def test_a_scale_that_is_hardly_told_is_as_wide_as_with_exact_elimination(monkeypatch):
    """Items of nearly one difficulty, from the priors: their sd and the scale of all abilities are hardly told."""
    made = simulate_responses(TwoPL(), n_models=400, n_items=2_000, seed=18, hyperparameters={})
    assert made.truth["difficulty"].std() < 0.06
    counts = made.table.counts()
    mode = laplace._maximise(TwoPL(), counts.correct, counts.trials, LaplaceSettings(threads=1), None)
    spreads = []
    for most in (np.inf, 0):
        monkeypatch.setattr(joint_normal, "MAX_ELIMINATED", most)
        drawn = joint_normal.draw_jointly(TwoPL(), mode, np.random.default_rng(1), 2_000)
        spreads.append([drawn[name][0].astype(float).std(axis=0).mean() for name in ("ability", "log_discrimination")])
    np.testing.assert_allclose(*spreads, rtol=0.15)


@pytest.mark.parametrize(("steepest", "interpolated"), [(1.0, True), (20.0, False)])
def test_curves_too_steep_to_be_of_low_rank_are_eliminated_exactly(monkeypatch, steepest, interpolated):
    """Twenty-odd nodes for slopes of one pay with 400 models; some hundreds for slopes of twenty do not."""
    rng, asked = np.random.default_rng(2), []
    trials = np.ones((400, 600), dtype=np.int8)
    abilities = GaussianAbilities(Sweeper(rng.integers(0, 2, trials.shape, dtype=np.int8), trials, threads=1))
    items = Items.start(TwoPL(), np.full(600, 0.5))
    items.log_slope[0] = np.log(steepest)
    abilities.update(items)
    abilities.mean[:] = rng.normal(size=400)
    monkeypatch.setattr(joint_normal, "MAX_ELIMINATED", 0)
    monkeypatch.setattr(joint_normal, "smooth", lambda *given: asked.append(given) or bordered_precision.smooth(*given))
    joint_normal.draw_jointly(TwoPL(), joint_normal.Mode(abilities, items, exact=False), rng, 10)
    assert bool(asked) == interpolated
