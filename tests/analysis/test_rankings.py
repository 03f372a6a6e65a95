import numpy as np
import pytest
import xarray as xr
from scipy import stats

from irt_bench.analysis.agreement import (
    AbilityAndAccuracy,
    correlation_table,
    model_table,
    reliability_table,
    resample_accuracy,
)
from irt_bench.analysis.classical import score_reliability
from irt_bench.analysis.irt import ability_table


def test_resampled_order_of_two_models_follows_the_multinomial(make_counts):
    # Of three items only one tells the models apart: it is missing from a resample with probability (2/3)^3.
    counts, n_resamples = make_counts([[1, 0, 1], [1, 0, 0]]), 4000
    accuracy = counts.accuracy().to_numpy()
    drawn = resample_accuracy(counts, accuracy, n_resamples, np.random.default_rng(0))
    tied = (2 / 3) ** 3
    assert (drawn[:, 0] == drawn[:, 1]).mean() == pytest.approx(tied, abs=4 * np.sqrt(tied * (1 - tied) / n_resamples))
    assert (drawn[:, 0] >= drawn[:, 1]).all()


def test_a_model_without_answers_in_a_resample_keeps_its_accuracy(make_counts):
    counts = make_counts([[1, 0, 0, 0], [1, 1, 0, 1]], [[1, 0, 0, 0], [1, 1, 1, 1]])
    drawn = resample_accuracy(counts, np.array([1.0, 0.75]), 200, np.random.default_rng(1))
    assert (drawn[:, 0] == 1).all()
    assert np.ptp(drawn[:, 1]) > 0


def test_rank_correlations_are_those_of_scipy_draw_by_draw():
    rng = np.random.default_rng(2)
    accuracy, draws = rng.integers(0, 8, 25) / 8, rng.normal(size=(40, 25))
    measures = AbilityAndAccuracy(draws.mean(axis=0), accuracy, draws, np.tile(accuracy, (3, 1)))
    found = correlation_table(measures, 40)
    for name, correlate in (("kendall_tau_b", stats.kendalltau), ("spearman", stats.spearmanr)):
        assert found.loc[name, "rankings"] == pytest.approx(correlate(measures.ability, accuracy).statistic)
        each = [correlate(row, accuracy).statistic for row in draws]
        assert found.loc[name, "estimate"] == pytest.approx(np.mean(each))
        assert found.loc[name, ["q05", "q95"]].to_numpy(dtype=float) == pytest.approx(np.quantile(each, [0.05, 0.95]))
        assert found.loc[name, "further_models_q05"] < found.loc[name, "q05"]


def sides_around(ability, draws, accuracy):
    return AbilityAndAccuracy(ability, accuracy, draws, np.tile(accuracy, (2, 1)))


def test_reliability_of_ability_follows_from_its_closed_form(make_counts):
    rng = np.random.default_rng(12)
    counts = make_counts(rng.integers(0, 2, (400, 10)))
    ability = stats.norm.ppf((np.arange(400) + 0.5) / 400)
    draws = ability + 0.5 * rng.normal(size=(600, 400))
    row = reliability_table(sides_around(ability, draws, counts.accuracy().to_numpy()), counts, rng).loc["ability"]
    assert row["estimate"] == pytest.approx(1 / 1.25, abs=0.01)
    assert row["q05"] < row["estimate"] < row["q95"]
    stretched = sides_around(2 * ability - 1, 3 * draws + 5, counts.accuracy().to_numpy())  # of relative ability alone
    assert reliability_table(stretched, counts, rng).loc["ability", "estimate"] == pytest.approx(row["estimate"])


def test_reliability_of_accuracy_is_near_alpha_for_parallel_items(make_counts):
    rng = np.random.default_rng(13)
    counts, draws = make_counts(rng.normal(size=(500, 1)) + rng.normal(size=(500, 30)) > 0), rng.normal(size=(50, 500))
    measures = sides_around(draws.mean(axis=0), draws, counts.accuracy().to_numpy())
    row, alpha = reliability_table(measures, counts, rng).loc["accuracy"], score_reliability(counts)
    found, expected = row[["estimate", "q05", "q95"]], [alpha.alpha, alpha.alpha_q05, alpha.alpha_q95]
    np.testing.assert_allclose(found.to_numpy(dtype=float), expected, atol=0.005)


def test_random_answers_have_no_reliability(make_counts):
    rng = np.random.default_rng(14)
    counts, draws = make_counts(rng.integers(0, 2, (500, 30))), rng.normal(size=(300, 500))
    table = reliability_table(sides_around(draws.mean(axis=0), draws, counts.accuracy().to_numpy()), counts, rng)
    assert (table["estimate"].abs() < 0.2).all()


def abilities_of(draws, counts):
    drawn = xr.DataArray(draws[None], dims=("chain", "draw", "model"), coords={"model": counts.models.index.to_numpy()})
    return ability_table(drawn.rename("ability").to_dataset(), counts)


def test_models_whose_ranks_cannot_be_the_same_are_told(make_counts):
    counts = make_counts(np.triu(np.ones((6, 12), dtype=int)))  # m0 is the most accurate, m5 the least
    accuracy, ability = counts.accuracy().to_numpy(), np.array([-3.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    draws = ability + np.random.default_rng(3).normal(0, 0.01, (50, 6))
    measures = AbilityAndAccuracy(ability, accuracy, draws, np.tile(accuracy, (20, 1)))
    table = model_table(abilities_of(draws, counts), measures, counts)
    assert table.loc["m0", ["rank_by_ability", "rank_by_accuracy"]].tolist() == [6, 1]
    assert table["ranks_disjoint"].tolist() == [True] * 6
    agreeing = model_table(abilities_of(np.tile(accuracy, (50, 1)), counts), measures, counts)
    assert not agreeing["ranks_disjoint"].any()
