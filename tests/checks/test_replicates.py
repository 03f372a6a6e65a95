import numpy as np
import pytest

from irt_bench import FourPL, OnePL, ThreePL, TwoPL, fit
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.checks.fitted_responses import PosteriorDraws, refit, replicate_responses, replicate_scores


@pytest.fixture
def known(rng, simulate):
    """Draws that all hold the truth."""

    def make(irt_model=None, n_draws=4, **options):
        ability = rng.normal(size=options.pop("n_models", 150))
        correct, trials, items = simulate(rng, ability=ability, **options)
        drawn = ItemParameters(*(np.tile(values, (n_draws, 1)) for values in items))
        return PosteriorDraws(irt_model or TwoPL(), drawn, np.tile(ability, (n_draws, 1))), correct, trials

    return make


def test_replicates_have_the_cells_and_the_chances_of_the_draw(known, rng):
    draws, _, trials = known(ThreePL(), n_items=10, trials=3, missing=0.3)  # items are not fitted again
    found = list(replicate_responses(draws, trials, 40, rng))
    p = 1 / (1 + np.exp(-draws.items.discrimination[0] * (draws.ability[0][:, None] - draws.items.difficulty[0])))
    mean = np.mean([each.correct for each in found], axis=0)
    assert all((each.trials == trials).all() for each in found)
    z = (mean - trials * p) / np.sqrt(np.maximum(trials * p * (1 - p), 1e-9) / 40)
    assert np.sqrt(np.mean(z[trials > 0] ** 2)) == pytest.approx(1, abs=0.1)


def test_items_are_fitted_again_where_that_can_be_done(known):
    draws, correct, trials = known(n_models=400, n_items=20)
    assert draws.can_refit(correct.size) and not draws.can_refit(10**8)
    found = refit(draws, correct, trials)
    assert (found.items.difficulty != draws.items.difficulty[0]).all()
    assert np.corrcoef(found.items.difficulty, draws.items.difficulty[0])[0, 1] > 0.95
    learned, correct, trials = known(ThreePL(), n_items=20)
    assert not learned.can_refit(correct.size)
    assert not PosteriorDraws(FourPL(), learned.items, learned.ability).can_refit(1)
    np.testing.assert_allclose(refit(learned, correct, trials).items.difficulty, learned.items.difficulty[0])


def test_known_guessing_stays_known_and_one_slope_stays_one(known):
    draws, correct, trials = known(ThreePL(guessing=0.2), n_items=12)
    assert (refit(draws, correct, trials).items.guessing == 0.2).all()
    draws, correct, trials = known(OnePL(), n_items=12)
    assert np.ptp(refit(draws, correct, trials).items.discrimination) == 0


def test_the_responses_fitted_again_are_close_to_the_fit(make_counts, known):
    draws, correct, trials = known(n_models=400, n_items=20)
    posterior = fit(make_counts(correct, trials), TwoPL()).posterior
    again = refit(draws, correct, trials)
    sd = posterior["difficulty"].std(("chain", "draw")).to_numpy()
    away = np.abs(again.items.difficulty - posterior["difficulty"].mean(("chain", "draw")).to_numpy())
    assert (away < 0.5 * sd).all()
    ability = posterior["ability"].mean(("chain", "draw")).to_numpy()
    np.testing.assert_allclose(again.ability, ability, atol=0.12)


def test_scores_are_of_normal_abilities_with_the_draws_mean_and_sd(known, rng):
    draws, _, trials = known(n_models=500, n_items=15)
    shifted = PosteriorDraws(draws.irt_model, draws.items, 2 + 0.5 * np.sign(draws.ability))
    trials = trials.copy()
    trials[0] = 0
    scores = replicate_scores(shifted, trials, 10, rng)
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    at = shifted.ability[0].mean() + shifted.ability[0].std() * nodes
    p = 1 / (1 + np.exp(-draws.items.discrimination[0] * (at[:, None] - draws.items.difficulty[0])))
    expected = (weights / weights.sum()) @ p.mean(axis=1)
    assert np.nanmean(scores) == pytest.approx(expected, abs=0.006)
    assert np.isnan(scores[:, 0]).all()


def test_the_same_seed_gives_the_same_replicates(known):
    draws, _, trials = known(ThreePL(), n_items=8)
    first, second = (
        [each.correct for each in replicate_responses(draws, trials, 3, np.random.default_rng(4))] for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
