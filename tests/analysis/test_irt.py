import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import irt_bench
from irt_bench import FourPL, Groups, OnePL, ThreePL, TwoPL, fit, simulate_responses
from irt_bench.analysis.abilities import score_models
from irt_bench.analysis.irt import ability_table, item_table, maximum_likelihood_items
from irt_bench.errors import AnalysisError


def test_abilities_and_ranks_are_those_of_the_draws(posterior):
    table = ability_table(posterior)
    draws = posterior["ability"].values.reshape(100, 4)
    np.testing.assert_allclose(table["ability"], draws.mean(0))
    np.testing.assert_allclose(table["ability_sd"], draws.std(0, ddof=1))
    np.testing.assert_allclose(table["ability_q95"], np.quantile(draws, 0.95, axis=0))
    assert list(table["rank"]) == [4, 3, 2, 1]
    ranks = (draws[:, None, :] > draws[:, :, None]).sum(2) + 1  # models above, and itself
    np.testing.assert_allclose(table["rank_q05"], np.quantile(ranks, 0.05, axis=0))


def test_abilities_of_many_models_need_little_more_memory_than_their_draws():
    draws = np.random.default_rng(0).normal(size=(1, 200, 10_000)).astype(np.float32)
    labels = {"model": [f"m{number}" for number in range(10_000)]}
    many = xr.Dataset({"ability": (("chain", "draw", "model"), draws)}, coords=labels)
    ability_table(many.isel(model=slice(20)))  # what is imported on the way
    tracemalloc.start()
    try:
        ability_table(many)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * draws.nbytes  # with copies of all it was nine times


def test_accuracy_is_joined_by_label_and_not_by_position(posterior, make_counts):
    counts = make_counts([[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], models=["m3", "m0", "m2", "m1"])
    table = ability_table(posterior, counts)
    assert table["accuracy"].to_dict() == {"m0": 0.0, "m1": 0.25, "m2": 0.5, "m3": 0.75}
    assert (item_table(posterior, counts)["n_models"] == 4).all()
    with pytest.raises(AnalysisError, match="m3"):
        ability_table(posterior, make_counts(np.ones((4, 4), int), models=["m0", "m1", "m2", "x9"]))


def test_one_draw_is_refused(posterior):
    with pytest.raises(AnalysisError, match="at least 2"):
        ability_table(posterior.isel(chain=[0], draw=[0]))


@pytest.fixture(scope="module")
def short_test():
    """Five items, so that many of 400 models answer alike; and equal slopes, so that only numbers right count."""
    counts = simulate_responses(OnePL(), n_models=400, n_items=5, seed=1).table.counts()
    return counts, fit(counts, OnePL()).posterior


def test_models_alike_share_abilities_ranks_and_first_place(short_test):
    counts, posterior = short_test
    table = ability_table(posterior, counts)
    by_score = table.groupby(counts.correct.sum(axis=1))
    assert (by_score.nunique().drop(columns="p_first_abler") == 1).all(axis=None)
    assert table["ability"].nunique() == 6
    best = table[counts.correct.all(axis=1)]
    assert set(best["rank"]) == {(1 + len(best)) / 2}
    assert (best["p_first_abler"] == 0.5).all()
    assert (table["p_first_abler"].drop(best.index) > 0.5).all()
    by_draws = ability_table(posterior)  # the control: as drawn, models alike differ by noise
    assert by_draws["ability"].nunique() == 400


def test_abilities_of_a_fit_are_those_that_scoring_its_models_gives():
    counts = simulate_responses(TwoPL(), n_models=30, n_items=250, seed=0).table.counts()
    posterior = fit(counts, TwoPL()).posterior
    fitted, scored = ability_table(posterior, counts), score_models(counts, posterior)
    columns = ["ability", "ability_sd", "ability_q05", "ability_q95"]
    np.testing.assert_allclose(fitted[columns], scored[columns])
    sd = fitted["ability_sd"]
    for n_draws, limits in ((200, (0.0, 0.06)), (5, (0.06, np.inf))):  # the second: too few, told by the same limit
        found = score_models(counts, posterior, n_draws=n_draws)["ability"]
        assert limits[0] <= ((found - fitted["ability"]).abs() / sd).max() < limits[1]
    drawn = ability_table(posterior)["ability"]  # the same posterior, with the noise of 1,000 draws
    assert ((drawn - fitted["ability"]).abs() / sd).max() < 5 / np.sqrt(1_000)


def test_p_first_abler_is_the_share_of_draws(posterior):
    table = ability_table(posterior)
    draws = posterior["ability"].values.reshape(100, 4)
    np.testing.assert_allclose(table["p_first_abler"][:3], (draws[:, [3]] > draws[:, :3]).mean(axis=0))
    assert np.isnan(table["p_first_abler"].iloc[3])


def test_items_that_tell_nothing_have_medians_and_those_whose_slope_is_the_priors_are_flagged(make_counts):
    """Fixed by construction: item 0 nobody solves, item 1 is a coin, item 2 goes against the rest, the others rise."""
    rng = np.random.default_rng(4)
    ability = np.sort(rng.normal(size=300))
    chance = 1 / (1 + np.exp(-1.5 * (ability[:, None] - rng.normal(size=10))))
    chance[:, 0], chance[:, 1], chance[:, 2] = 0, 0.5, chance[::-1, 2]
    counts = make_counts(rng.binomial(1, chance))
    draws = np.exp(rng.normal(0, 1, size=(1, 200, 10)))
    posterior = xr.Dataset(
        {name: (("chain", "draw", "item"), draws) for name in ("difficulty", "discrimination")},
        coords={"item": counts.items.index.to_numpy()},
    )
    table = item_table(posterior, counts)
    assert table["flags"].tolist() == ["no_information", "slope_from_prior", "slope_from_prior", *[""] * 7]
    expected = np.where(np.arange(10) == 0, np.median(draws, (0, 1)), draws.mean((0, 1)))
    np.testing.assert_allclose(table["discrimination"], expected)
    shared = posterior.assign(discrimination=0 * posterior["discrimination"] + draws[:, :, :1])
    one_slope = item_table(shared, counts)
    assert one_slope["flags"].tolist() == ["no_information", *[""] * 9]
    two = item_table(posterior, make_counts(rng.binomial(1, chance[[50, 250]])))
    assert (two["flags"] == "no_information").all()


@pytest.mark.slow
def test_few_slopes_that_rise_are_flagged_and_most_that_do_not_are(make_counts):
    """Of flat items at most a tenth may pass, by the 90% interval; of items of slope 0.8, fewer than a tenth fail."""
    rng, found = np.random.default_rng(5), []
    for _ in range(40):
        ability, slope = rng.normal(size=200), np.repeat([0.0, 0.8], 20)
        chance = 1 / (1 + np.exp(-slope * ability[:, None] + rng.normal(size=40)))
        counts = make_counts(rng.binomial(1, chance))
        draws = np.exp(rng.normal(0, 0.1, size=(1, 10, 40)))
        posterior = xr.Dataset(
            {name: (("chain", "draw", "item"), draws) for name in ("difficulty", "discrimination")},
            coords={"item": counts.items.index.to_numpy()},
        )
        found.append((item_table(posterior, counts)["flags"] == "slope_from_prior").to_numpy())
    flat, rising = np.mean(found, axis=0).reshape(2, 20).mean(axis=1)
    print(f"flagged: {flat:.3f} of flat items, {rising:.3f} of those with slope 0.8")
    assert flat > 0.9
    assert rising < 0.1


@pytest.mark.slow
def test_intervals_of_the_table_cover_and_p_first_abler_is_as_often_right_as_it_says():
    covered, narrow, told, right = [], [], [], []
    for seed in range(10):
        simulation = simulate_responses(TwoPL(), n_models=40, n_items=40, seed=200 + seed)
        counts = simulation.table.counts()
        table = ability_table(fit(counts, TwoPL()).posterior, counts)
        ability = simulation.truth["ability"].to_series().loc[table.index]
        relative = (ability - ability.mean()) / ability.std(ddof=0)
        for found, truth in (("ability", ability), ("relative_ability", relative)):
            low, high, mean = (table[f"{found}{end}"] for end in ("_q05", "_q95", ""))
            covered.append(((low <= truth) & (truth <= high)).mean())
            narrow.append((((mean - 0.6 * (mean - low)) <= truth) & (truth <= mean + 0.6 * (high - mean))).mean())
        others = table["p_first_abler"].dropna()
        told += others.tolist()
        right += (ability[table["rank"].idxmin()] > ability[others.index]).tolist()
    assert 0.87 < np.mean(covered) < 0.93
    assert np.mean(narrow) < 0.75  # the control
    unsure = np.array(told) < 0.95
    assert np.mean(np.array(right)[~unsure]) > 0.97
    assert abs(np.mean(np.array(right)[unsure]) - np.mean(np.array(told)[unsure])) < 0.15  # of 15 first models


@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL(), ThreePL(guessing=0.2)], ids=["1pl", "2pl", "3pl"])
def test_maximum_likelihood_has_no_slope_and_is_found_in_simulation(irt_model):
    """The marginal likelihood is written out here, with Gauss-Hermite nodes."""
    made = simulate_responses(irt_model, n_models=3_000, n_items=6, seed=4)
    counts = made.table.counts()
    found = maximum_likelihood_items(counts, irt_model)
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)

    def log_likelihood(a, b):
        known = 1 / (1 + np.exp(-a[:, None] * (nodes - b[:, None])))
        low = 0.2 if irt_model.name == "3pl" else 0.0
        right = low + (1 - low) * known
        pattern = counts.correct @ np.log(right) + (1 - counts.correct) @ np.log(1 - right)
        return np.log(np.exp(pattern) @ weights).sum()

    a, b = found["discrimination_ml"].to_numpy(), found["difficulty_ml"].to_numpy()
    best = log_likelihood(a, b)
    for place in range(6):
        step = 0.03 * np.eye(6)[place]
        moves = [(a, b + step), (a, b - step)]
        moves += [] if irt_model.name == "1pl" else [(a + step, b), (a - step, b)]
        assert all(log_likelihood(*move) < best for move in moves)
    if irt_model.name == "1pl":
        assert log_likelihood(a * 1.02, b) < best > log_likelihood(a / 1.02, b)
    truth = made.truth[["difficulty", "discrimination"]].to_dataframe()
    for name in truth:
        away = (found[f"{name}_ml"].to_numpy() - truth[name].to_numpy()) / found[f"{name}_ml_se"].to_numpy()
        assert np.abs(away).max() < 3.5
    halved = found["difficulty_ml"].to_numpy() / 1.5 - truth["difficulty"].to_numpy()
    assert np.abs(halved / found["difficulty_ml_se"].to_numpy()).max() > 4


def test_maximum_likelihood_leaves_out_what_has_none():
    counts = simulate_responses(TwoPL(), n_models=100, n_items=6, seed=4).table.counts()
    solved = replace(counts, correct=counts.correct * 0 + np.c_[np.ones((100, 1)), counts.correct[:, 1:]].astype(int))
    found = maximum_likelihood_items(solved, TwoPL())
    assert found.iloc[0].isna().all() and found.iloc[1:].notna().all().all()
    for wrong in (ThreePL(), FourPL(guessing=0.2), TwoPL(population=Groups("family"))):
        with pytest.raises(AnalysisError, match="maximum likelihood"):
            maximum_likelihood_items(counts, wrong)


def test_models_without_answers_have_no_rank():
    values = irt_bench.load_example("benchmark").counts().correct.astype(float)
    values[3] = np.nan
    fitted = irt_bench.fit(values, "2pl", irt_bench.LaplaceSettings(refine=False, seed=1))
    table = fitted.abilities()
    assert table.loc["model3", ["relative_ability", "rank", "rank_q95", "p_first_abler"]].isna().all()
    assert table["rank"].max() <= 119
    assert table.drop(index="model3")["relative_ability"].mean() == pytest.approx(0, abs=0.05)
