import numpy as np
import pandas as pd
import pytest

from irt_bench import ThreePL, TwoPL, fit
from irt_bench.checks import check_data
from irt_bench.checks.check_data import collect_check_data
from irt_bench.errors import AnalysisError

pytestmark = pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")


@pytest.fixture
def gather(rng, simulate, make_counts):
    def found(irt_model=None, groups=None, **options):
        counts = make_counts(*simulate(rng, **options)[:2])
        return collect_check_data(counts, fit(counts, irt_model or TwoPL()), groups, replicates=9, rng=rng), counts

    return found


def test_large_matrices_have_their_models_and_items_sampled(gather, monkeypatch):
    monkeypatch.setattr(check_data, "MAX_CELLS", 100 * 30)
    monkeypatch.setattr(check_data, "MIN_SAMPLE", 50)
    monkeypatch.setattr(check_data, "Q3_ITEMS", 20)
    found, _ = gather(n_models=150)
    assert found.counts.n_models == 100 and len(found.plan.q3) == 20 and len(found.plan.odds) == 30
    assert "100 of 150 models, drawn at random, are checked" in found.notes
    assert "residual correlations use 20 items, drawn at random" in found.notes
    assert found.draws.ability.shape[1] == 100 and found.found.odds.shape == (435,)


def test_draws_follow_the_labels_of_the_responses(gather):
    found, counts = gather(n_models=80, n_items=10)
    accuracy = counts.accuracy().to_numpy()
    assert np.corrcoef(found.draws.ability.mean(axis=0), accuracy)[0, 1] > 0.9
    easy = counts.correct.mean(axis=0)
    assert np.corrcoef(found.draws.items.difficulty.mean(axis=0), easy)[0, 1] < -0.9


def test_guessing_by_item_follows_the_items_kept(rng, simulate, make_counts):
    correct, trials, _ = simulate(rng, n_models=100, n_items=6)
    trials[:, 2], correct[:, 2] = 0, 0
    counts = make_counts(correct, trials)
    fitted = fit(counts, ThreePL(guessing=(0.1, 0.2, 0.3, 0.4, 0.25, 0.15)))
    found = collect_check_data(counts, fitted, None, replicates=9, rng=rng)
    np.testing.assert_allclose(found.fitted.items.guessing, [0.1, 0.2, 0.4, 0.25, 0.15])


def test_every_replicate_has_its_statistics(gather):
    found, _ = gather(n_models=100, n_items=12)
    for name in ("infit", "outfit", "misfit", "q3", "eigenvalues"):
        assert np.isfinite(found.chance(name)).all() and len(found.chance(name)) == 9
    assert np.isnan(found.chance("n_large")).all() and found.scores.shape == (9, 100)


def test_groups_are_joined_by_label(gather, labels):
    groups = pd.Series(np.where(np.arange(90) < 40, "a", "b"), index=labels(90, "m"))[::-1]
    found, _ = gather(groups=groups, n_models=90, n_items=12)
    assert np.flatnonzero(found.plan.members["a"]).tolist() == list(range(40))
    assert np.isfinite(found.chance("n_large")).all()


def test_two_models_are_too_few(rng, simulate, make_counts):
    correct, trials, _ = simulate(rng, n_models=20, n_items=5)
    trials[2:], correct[2:] = 0, 0
    counts = make_counts(correct, trials)
    fitted = fit(counts, TwoPL())
    with pytest.raises(AnalysisError, match="2 models and 5 items"):
        collect_check_data(counts, fitted, None, replicates=9, rng=rng)
