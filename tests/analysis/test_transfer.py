import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from irt_bench import table_from_frame
from irt_bench.analysis.classical import item_statistics
from irt_bench.analysis.transfer import compare_transfer, random_halves, weaker_and_stronger
from irt_bench.errors import UndefinedWarning

SLOPES = (0.4, 1.0, 1.6, 2.2)


def answers(rng, ability, difficulty, slopes=SLOPES):
    """0/1 answers of a 2PL."""
    slope = np.resize(slopes, len(difficulty))
    chance = 1 / (1 + np.exp(slope * (difficulty - ability[:, None])))
    return (rng.random(chance.shape) < chance).astype(int)


def by_ability(counts):
    return weaker_and_stronger(counts.models.index, counts.accuracy().to_numpy())


@pytest.fixture
def simulated(make_counts):
    rng = np.random.default_rng(1)
    return make_counts(answers(rng, rng.normal(size=400), rng.uniform(-1, 1, size=40)))


@pytest.mark.parametrize("how", ["random", "ability"])
def test_halves_part_the_models_with_answers(how, make_counts):
    correct = np.random.default_rng(2).integers(0, 2, (11, 6))
    trials = np.ones_like(correct)
    correct[4], trials[4] = 0, 0
    counts = make_counts(correct, trials)
    by_chance = random_halves(counts.accuracy().to_numpy(), np.random.default_rng(3))
    first, second = by_ability(counts) if how == "ability" else by_chance
    assert not (first & second).any()
    assert (first.sum(), second.sum()) == (5, 5)
    assert not first[4] and not second[4]


def test_an_odd_model_is_in_the_stronger_half_and_weaker_models_in_the_first(make_counts):
    correct = np.tri(7, 6, -1, dtype=int)
    first, second = by_ability(make_counts(correct))
    assert first.tolist() == [True] * 3 + [False] * 4
    assert (first != second).all()


def test_ties_of_accuracy_are_broken_by_label_and_not_by_row(make_counts):
    correct = np.random.default_rng(4).permuted(np.tile([0, 1], (8, 3)), axis=1)  # all models have 3 of 6
    labels = np.array(list("hgfedcba"))
    order = np.random.default_rng(5).permutation(8)
    one, _ = by_ability(make_counts(correct, models=labels))
    other, _ = by_ability(make_counts(correct[order], models=labels[order]))
    assert set(labels[one]) == set(labels[order][other]) == set("abcd")


def test_transfer_to_stronger_models_equals_the_correlation_of_separate_analyses(simulated):
    first, second = by_ability(simulated)
    weak, strong = (item_statistics(simulated.take(models=half)) for half in (first, second))
    found = compare_transfer(simulated, n_splits=5)["ability"]
    for row, column in (
        ("proportion_correct", "proportion_correct"),
        ("item_rest_correlation", "item_rest_correlation"),
    ):
        assert found[row, "pearson"] == pytest.approx(stats.pearsonr(weak[column], strong[column]).statistic)
        assert found[row, "spearman"] == pytest.approx(stats.spearmanr(weak[column], strong[column]).statistic)


def test_same_seed_gives_the_same_numbers(simulated):
    one, again, other = (compare_transfer(simulated, n_splits=10, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    assert not one["random"].equals(other["random"])


def test_intervals_hold_their_estimates_and_tables_agree(simulated):
    both = compare_transfer(simulated, n_splits=60, seed=3)
    for name in ("ability", "random", "ratio"):
        assert ((both[f"{name}_q05"] <= both[name]) & (both[name] <= both[f"{name}_q95"])).all()
    pd.testing.assert_series_equal(both["ability"], compare_transfer(simulated, n_splits=5)["ability"])
    assert (both["ratio"] == both["ability"] / both["random"]).all()


def test_difficulties_of_one_scale_transfer_nearly_as_well_as_noise_allows(make_counts):
    rng = np.random.default_rng(6)
    counts = make_counts(answers(rng, rng.normal(size=2000), rng.normal(size=60), slopes=[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedWarning)  # equal slopes: discriminations have nothing to agree on
        found = compare_transfer(counts, n_splits=20).loc["proportion_correct"]
    assert found.loc["pearson", "random"] > 0.98
    assert found.loc["spearman", "ability"] / found.loc["spearman", "random"] > 0.97


def test_difficulties_that_do_not_transfer_are_shown(make_counts):
    rng = np.random.default_rng(7)
    weak = answers(rng, rng.normal(-2, 0.5, 60), rng.normal(size=80), slopes=[1])
    strong = answers(rng, rng.normal(2, 0.5, 60), rng.normal(size=80), slopes=[1])
    counts = make_counts(np.vstack([weak, strong]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedWarning)  # equal slopes: discriminations have nothing to agree on
        row = compare_transfer(counts, n_splits=60).loc[("proportion_correct", "pearson")]
    assert row["ability_q05"] < 0 < row["ability_q95"]
    assert row["ratio_q95"] < 0.5
    assert row["random_q05"] > 0.5


def test_items_constant_in_a_half_are_left_out_and_counted(simulated, make_counts):
    correct = simulated.correct.copy()
    correct[:, 1] = 0
    _, strong = by_ability(make_counts(correct))
    correct[strong, 0] = 1
    found = compare_transfer(make_counts(correct), n_splits=5)
    assert set(found["n_left_out_ability"]) == {2}
    assert set(found["n_items_ability"]) == {38}


def test_ratio_is_undefined_where_random_halves_do_not_agree(make_counts):
    noise = np.random.default_rng(8).integers(0, 2, (40, 50))
    with pytest.warns(UndefinedWarning, match="ratios are undefined") as caught:
        both = compare_transfer(make_counts(noise), n_splits=40)
    said = str(caught[0].message)
    low, high = both["random_q05"].iloc[0], both["random_q95"].iloc[0]
    assert "first: proportion correct, pearson" in said and f"[{low:.2f}, {high:.2f}]" in said, said
    assert "random halves of the 40 models" in said and "Give more models" in said
    assert both["ratio"].isna().all() and both["ratio_q05"].isna().all()
    assert (both["random_q05"] < 0).all()


def test_too_few_usable_items_give_nan_with_a_warning(make_counts):
    correct = np.random.default_rng(9).integers(0, 2, (20, 5))
    correct[:, 2:] = 1
    with pytest.warns(UndefinedWarning, match="4 of 4 correlations") as caught:
        found = compare_transfer(make_counts(correct), n_splits=5)
    said = [str(each.message) for each in caught]
    assert len(said) == 2 and all("first: proportion correct, pearson" in each for each in said), said
    assert not any("nan" in each for each in said)  # no numbers that there are none of
    assert found.filter(regex="^(ability|random|ratio)").isna().all(axis=None)


def test_too_few_models_for_halves_give_nan_with_a_warning(make_counts):
    with pytest.warns(UndefinedWarning, match="5 models have responses, 6 needed"):
        found = compare_transfer(make_counts(np.eye(5, dtype=int)))
    assert found.isna().all(axis=None)
    enough = make_counts(np.random.default_rng(4).integers(0, 2, (20, 12)))
    with pytest.warns(UndefinedWarning, match="ratios are undefined"):
        assert list(found.columns) == list(compare_transfer(enough, n_splits=5).columns)


def test_real_difficulties_transfer_less_to_stronger_models_than_between_random_halves(shared_data):
    counts = table_from_frame(pd.read_parquet(shared_data / "metabench_dev.parquet")).select("winogrande").counts()
    both = compare_transfer(counts, n_splits=20)
    assert (both["n_left_out_ability"] == 7).all()
    assert both.loc[("proportion_correct", "pearson"), "ratio_q95"] < 0.9
    assert both.loc[("item_rest_correlation", "pearson"), "random"] > 0.98
    assert both.loc[("item_rest_correlation", "pearson"), "ability_q95"] < 0
