import numpy as np
import pytest

from irt_bench.inference.nuts import sample_nuts
from irt_bench.inference.settings import NUTSSettings
from irt_bench.irt_models.logistic import OnePL, TwoPL


@pytest.fixture
def answers(simulate_cells):
    cells = simulate_cells(12, 5)
    return cells.correct.numpy(), np.ones(cells.shape, dtype=np.int8)


def test_draws_do_not_depend_on_how_many_chains_run_at_once(answers):
    short = {"chains": 2, "warmup": 20, "draws": 10, "seed": 7, "max_tree_depth": 4}
    one, two = (sample_nuts(OnePL(), *answers, NUTSSettings(jobs=jobs, **short)) for jobs in (1, 2))
    for name in one.sites:
        np.testing.assert_array_equal(one.sites[name], two.sites[name])
    assert not np.array_equal(one.sites["ability"][0], one.sites["ability"][1])


def test_shapes_statistics_and_progress(answers):
    told = []
    settings = NUTSSettings(chains=2, warmup=15, draws=12, jobs=1, max_tree_depth=4)
    draws = sample_nuts(TwoPL(), *answers, settings, progress=lambda *now: told.append(now))
    assert draws.sites["ability"].shape == (2, 12, 12)
    assert draws.sites["difficulty"].shape == (2, 12, 5)
    assert draws.sites["difficulty_sd"].shape == (2, 12)
    assert draws.sample_stats["energy"].shape == draws.sample_stats["diverging"].shape == (2, 12)
    assert np.isfinite(draws.sample_stats["energy"]).all()
    assert told[-1] == ("sampling", 54, 54)


@pytest.mark.slow
def test_without_answers_the_posterior_is_the_prior():
    """No trials at all: ability must be N(0, 1), the hierarchy its hyperprior."""
    nothing = np.zeros((6, 4), dtype=np.int8)
    draws = sample_nuts(
        TwoPL(), nothing, nothing, NUTSSettings(chains=2, warmup=200, draws=500, seed=3, max_tree_depth=6)
    )
    ability = draws.sites["ability"]
    assert abs(ability.mean()) < 0.12
    assert ability.std() == pytest.approx(1, abs=0.1)
    assert draws.sites["log_discrimination_mean"].std() == pytest.approx(1, rel=0.25)
    assert draws.sites["difficulty_mean"].std() == pytest.approx(2, rel=0.25)
