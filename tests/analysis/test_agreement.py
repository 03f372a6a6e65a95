import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from irt_bench import TwoPL, fit, simulate_responses
from irt_bench.analysis.agreement import compare_ability_accuracy
from irt_bench.errors import AnalysisError, UndefinedWarning

GRID = np.linspace(-4.5, 4.5, 181)  # ability; the posterior below is exact up to this grid


def chance(ability, slope, difficulty):
    return 1 / (1 + np.exp(-slope * (ability[:, None] - difficulty)))


def posterior_draws(correct, trials, slope, difficulty, rng, n_draws=400):
    """Draws from the exact posterior of a 2PL with known items and a standard normal prior, shape (draw, model)."""
    right = chance(GRID, slope, difficulty)
    log_density = correct @ np.log(right).T + (trials - correct) @ np.log1p(-right).T - GRID**2 / 2
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    cumulative = np.cumsum(density / density.sum(axis=1, keepdims=True), axis=1)
    uniform = rng.random((n_draws, len(correct)))
    return np.stack([np.interp(uniform[:, m], cumulative[m], GRID) for m in range(len(correct))], axis=1)


def labelled(draws, counts):
    return xr.DataArray(draws, dims=("sample", "model"), coords={"model": counts.models.index.to_numpy()})


def with_items(ability, slope, difficulty, counts):
    """The draws of ability with items that are known, as a posterior."""
    drawn = ability.rename(sample="draw").expand_dims("chain")
    shape = (*drawn.shape[:2], counts.n_items)
    values = {"difficulty": difficulty, "discrimination": slope}
    items = {name: (("chain", "draw", "item"), np.broadcast_to(value, shape)) for name, value in values.items()}
    return xr.Dataset({"ability": drawn} | items, coords={"item": counts.items.index.to_numpy()})


def simulate(make_counts, rng, n_models=40, n_items=40, share_asked=1.0):
    slope, difficulty, ability = rng.lognormal(0, 0.5, n_items), rng.normal(size=n_items), rng.normal(size=n_models)
    trials = (rng.random((n_models, n_items)) < share_asked).astype(int)
    correct = rng.binomial(trials, chance(ability, slope, difficulty))
    counts = make_counts(correct, trials)
    draws = labelled(posterior_draws(correct, trials, slope, difficulty, rng), counts)
    return counts, with_items(draws, slope, difficulty, counts), ability


@pytest.fixture
def planted(make_counts):
    """Ten sharp and twenty blunt items: m0 knows the sharp ones, m1 only the blunt ones."""
    rng = np.random.default_rng(1)
    slope, difficulty = np.repeat([3.0, 0.3], [10, 20]), np.zeros(30)
    correct = rng.binomial(1, chance(rng.normal(size=12), slope, difficulty))
    correct[0] = np.repeat([1, 1, 0], [10, 2, 18])
    correct[1] = np.repeat([0, 1], [10, 20])
    counts = make_counts(correct)
    draws = posterior_draws(correct, np.ones_like(correct), slope, difficulty, rng)
    return counts, with_items(labelled(draws, counts), slope, difficulty, counts)


def test_ability_that_rises_with_accuracy_ranks_alike(make_counts):
    correct = np.random.default_rng(2).integers(0, 2, (30, 12))  # many ties
    counts = make_counts(correct)
    accuracy = counts.accuracy().to_numpy()
    draws = np.log((accuracy + 0.1) / (1.1 - accuracy)) + np.array([[-1e-9], [0], [1e-9]])
    result = compare_ability_accuracy(labelled(draws, counts), counts)
    assert result.correlations.to_numpy() == pytest.approx(1)
    assert (result.n_discordant, result.n_clear, len(result.discordant)) == (0, 0, 0)
    assert result.items.empty and "given" in result.note
    assert (result.models["rank_by_ability"] == result.models["rank_by_accuracy"]).all()


def test_planted_pair_leads_the_discordant_ones(planted):
    counts, posterior = planted
    result = compare_ability_accuracy(posterior, counts)
    first = result.discordant.iloc[0]
    assert (first["higher_ability"], first["higher_accuracy"]) == ("m0", "m1")
    assert first["p_ability"] > 0.99
    assert first["accuracy_difference"] == pytest.approx(20 / 30 - 12 / 30)
    assert (result.discordant["p_ability"] * result.discordant["p_accuracy"]).is_monotonic_decreasing


def test_item_contributions_add_up_to_the_two_score_differences(planted):
    counts, posterior = planted
    keep = np.array([0, 1, 2])
    counts, posterior = counts.take(models=keep), posterior.isel(model=keep)
    slope = posterior["discrimination"][0, 0]
    result = compare_ability_accuracy(posterior, counts)
    pairs = result.discordant
    weighted = pd.Series(counts.correct @ slope.to_numpy() / slope.to_numpy().sum(), counts.models.index)
    difference = weighted[pairs["higher_ability"]].to_numpy() - weighted[pairs["higher_accuracy"]].to_numpy()
    totals = result.items.sum()
    assert totals["ability_side"] == pytest.approx(difference.mean())
    assert totals["accuracy_side"] == pytest.approx(-pairs["accuracy_difference"].mean())
    assert totals["contribution"] == pytest.approx(totals["ability_side"] - totals["accuracy_side"])
    assert result.items["contribution"].is_monotonic_decreasing
    assert set(result.items.index[:10]) == {f"i{item}" for item in range(10)}


def test_labels_and_not_positions_join_ability_and_responses(make_counts):
    counts, posterior, _ = simulate(make_counts, np.random.default_rng(5))
    order = np.random.default_rng(6).permutation(40)
    one = compare_ability_accuracy(posterior, counts)
    other = compare_ability_accuracy(posterior.isel(model=order, item=order), counts)
    pd.testing.assert_frame_equal(one.models, other.models)
    pd.testing.assert_frame_equal(one.items, other.items)


def test_chains_are_joined_and_same_seed_gives_the_same_numbers(make_counts):
    counts, posterior, _ = simulate(make_counts, np.random.default_rng(7))
    ability = posterior["ability"]
    chains = xr.DataArray(
        ability.to_numpy().reshape(4, 100, -1), dims=("chain", "draw", "model"), coords={"model": ability["model"]}
    )
    one, again = compare_ability_accuracy(ability, counts, seed=3), compare_ability_accuracy(chains, counts, seed=3)
    for table in ("correlations", "reliability", "models", "discordant"):
        pd.testing.assert_frame_equal(getattr(one, table), getattr(again, table))
    other = compare_ability_accuracy(ability, counts, seed=4)
    assert not one.models["accuracy_rank_q05"].equals(other.models["accuracy_rank_q05"])


def test_mismatched_inputs_are_refused(make_counts):
    counts, posterior, _ = simulate(make_counts, np.random.default_rng(8))
    ability = posterior["ability"]
    with pytest.raises(AnalysisError, match="ability has 39 models, the responses 40; .*'m7'"):
        compare_ability_accuracy(ability.drop_sel(model="m7"), counts)
    with pytest.raises(AnalysisError, match="'m7'"):
        compare_ability_accuracy(ability, counts.take(models=np.arange(40) != 7))
    with pytest.raises(AnalysisError, match="'i0'"):
        compare_ability_accuracy(posterior.isel(item=slice(1, None)), counts)
    with pytest.raises(AnalysisError, match="needs 'model'"):
        compare_ability_accuracy(ability.rename(model="person"), counts)
    with pytest.raises(AnalysisError, match="not finite; first: model 'm2'"):
        compare_ability_accuracy(posterior.assign(ability=ability.where(ability["model"] != "m2")), counts)
    with pytest.raises(AnalysisError, match="2 models have responses"):
        compare_ability_accuracy(ability[..., :2], counts.take(models=slice(2)))


def test_models_without_answers_are_left_out_with_a_warning(make_counts):
    counts, posterior, _ = simulate(make_counts, np.random.default_rng(9))
    trials = counts.trials.copy()
    trials[5] = 0
    silent = make_counts(counts.correct * trials, trials)
    with pytest.warns(UndefinedWarning, match="1 models have no responses.*'m5'"):
        result = compare_ability_accuracy(posterior, silent)
    assert len(result.models) == 39 and "m5" not in result.models.index


def test_equal_accuracies_leave_correlations_undefined(make_counts):
    counts = make_counts(np.tile([0, 1], (5, 3)))
    draws = np.random.default_rng(10).normal(size=(50, 5))
    with pytest.warns(UndefinedWarning, match="same accuracy"):
        result = compare_ability_accuracy(labelled(draws, counts), counts)
    assert result.correlations.isna().all(axis=None)
    assert np.isnan(result.reliability.loc["accuracy", "estimate"])


def test_accuracy_is_over_the_asked_items(make_counts):
    counts, posterior, _ = simulate(make_counts, np.random.default_rng(11), share_asked=0.6)
    result = compare_ability_accuracy(posterior, counts)
    expected = counts.correct.sum(axis=1) / counts.trials.sum(axis=1)
    assert result.models["accuracy"].to_numpy() == pytest.approx(expected)
    assert result.models[["accuracy_rank_q05", "accuracy_q05"]].notna().all(axis=None)


def test_shuffled_abilities_show_no_agreement(make_counts):
    rng = np.random.default_rng(14)
    hits = []
    for _ in range(30):
        counts, posterior, _ = simulate(make_counts, rng, n_models=40, n_items=20)
        shuffled = posterior["ability"].copy(data=posterior["ability"].to_numpy()[..., rng.permutation(40)])
        rows = compare_ability_accuracy(shuffled, counts, n_resamples=100).correlations
        hits.append((rows["further_models_q05"] < 0) & (rows["further_models_q95"] > 0))
    assert np.mean(hits) > 0.75
    assert (compare_ability_accuracy(posterior, counts).correlations["further_models_q05"] > 0.5).all()


def test_other_items_repeat_differences_that_dimensions_make_and_only_reverse_those_of_noise(make_counts):
    """One ability behind all answers, or sharp and blunt items that ask for two abilities of their own."""
    rng = np.random.default_rng(16)
    slope, difficulty = np.tile([2.5, 0.8], 40), rng.normal(size=80)
    both = rng.normal(size=(60, 2))
    for two, abilities in ((False, both[:, [0, 0]]), (True, both)):
        probabilities = 1 / (1 + np.exp(-slope * (np.tile(abilities, 40) - difficulty)))
        counts = make_counts(rng.binomial(1, probabilities))
        draws = posterior_draws(counts.correct, counts.trials, slope, difficulty, rng, 100)
        posterior = with_items(labelled(draws, counts), slope, difficulty, counts)
        found = compare_ability_accuracy(posterior, counts, n_resamples=50).confirmation.loc["all"]
        assert (found["repeated"] > 5 * found["reversed"]) == two
        assert found["n_pairs"] > 20


def test_the_reliability_of_a_fit_is_that_of_relative_ability_as_is_its_interval():
    """Near the squared correlation with the truth; that of raw ability, whose place is uncertain, lies below."""
    simulation = simulate_responses(TwoPL(), n_models=30, n_items=200, seed=1)
    counts = simulation.table.counts()
    ability = fit(counts, TwoPL()).posterior["ability"]
    row = compare_ability_accuracy(ability, counts).reliability.loc["ability"]
    mean = ability.mean(("chain", "draw"))
    truth = np.corrcoef(mean, simulation.truth["ability"].sel(model=ability["model"]))[0, 1] ** 2
    assert row["q05"] < row["estimate"] < row["q95"]
    assert abs(row["estimate"] - truth) < (row["q95"] - row["q05"])
    spread = mean.var(ddof=1).item()
    assert spread / (spread + ability.var(("chain", "draw")).mean().item()) < row["q05"]


@pytest.mark.slow
def test_intervals_hold_the_truth_at_their_nominal_rate(make_counts):
    rng = np.random.default_rng(15)
    ranks, correlations, reliability, too_narrow = [], [], [], []
    for _ in range(120):
        counts, posterior, ability = simulate(make_counts, rng, n_models=40, n_items=40)
        result = compare_ability_accuracy(posterior, counts, n_resamples=200)
        true_rank, models = stats.rankdata(-ability), result.models
        ranks.append((models["rank_q05"] <= true_rank) & (true_rank <= models["rank_q95"]))
        accuracy = counts.accuracy()
        truth = [stats.kendalltau(ability, accuracy).statistic, stats.spearmanr(ability, accuracy).statistic]
        correlations.append((result.correlations["q05"] <= truth) & (truth <= result.correlations["q95"]))
        row = result.reliability.loc["ability"]
        true = np.corrcoef(result.models["ability"], ability)[0, 1] ** 2
        reliability.append((row["q05"] <= true) & (true <= row["q95"]))
        mean = posterior["ability"].mean("draw")
        narrow = compare_ability_accuracy(mean + 0.6 * (posterior["ability"] - mean), counts, n_resamples=2)
        row = narrow.reliability.loc["ability"]
        too_narrow.append((row["q05"] <= true) & (true <= row["q95"]))
    assert abs(np.mean(reliability) - 0.9) < 3 * np.sqrt(0.09 / 120)
    assert np.mean(too_narrow) < 0.5  # the control: draws that are .6 times as wide as the posterior
    assert 0.88 < np.mean(ranks) < 0.96  # ranks are whole numbers: limits err to the wide side
    assert abs(np.mean(correlations) - 0.9) < 3 * np.sqrt(0.09 / 120)
