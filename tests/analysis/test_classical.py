import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from irt_bench import table_from_frame
from irt_bench.analysis.classical import FLAGS, item_statistics, score_reliability
from irt_bench.errors import AnalysisError, UndefinedWarning

CLASSIC = ("lsat6", "abortion", "wirs", "sat12", "data_read", "verbal_aggression", "math_exam", "raschdat1")
R_ITEMS = {"proportion_correct": "p", "item_total_correlation": "item_total_r", "item_rest_correlation": "item_rest_r"}
R_SCORE = {"alpha": "alpha", "mean_correct": "mean_total", "sd_correct": "sd_total"}
R_TOLERANCE = 1e-6  # the reference has 8 decimals


def classic_counts(folder, name):
    return table_from_frame(pd.read_parquet(folder / f"classic_{name}.parquet")).counts()


def largest_difference_from_r(counts, folder, name):
    reference = json.loads((folder / "classic_reference_fits.json").read_text())[name]
    items = item_statistics(counts).loc[[f"{name}/{item}" for item in reference["items"]]]
    score = score_reliability(counts)
    classical = reference["classical"]
    by_item = [np.abs(items[ours] - classical[theirs]).max() for ours, theirs in R_ITEMS.items()]
    by_score = [abs(getattr(score, ours) - classical[theirs]) for ours, theirs in R_SCORE.items()]
    return max(by_item + by_score)


def responses_with_gaps(rng, n_models=40, n_items=9):
    """k of n answers of a common trait, a fifth of the cells never asked."""
    trials = rng.integers(1, 5, (n_models, n_items)) * (rng.random((n_models, n_items)) < 0.8)
    chance = 1 / (1 + np.exp(-rng.normal(size=(n_models, 1)) - rng.normal(size=n_items)))
    return rng.binomial(trials, chance), trials


@pytest.mark.parametrize("name", CLASSIC)
def test_item_and_score_statistics_equal_those_of_r(name, shared_data):
    assert largest_difference_from_r(classic_counts(shared_data, name), shared_data, name) < R_TOLERANCE


@pytest.mark.parametrize("name", CLASSIC)
def test_comparison_with_r_notices_one_shuffled_item(name, shared_data, make_counts):
    counts = classic_counts(shared_data, name)
    correct = counts.correct.copy()
    correct[:, 0] = np.random.default_rng(1).permutation(correct[:, 0])
    shuffled = type(counts)(correct, counts.trials, counts.models, counts.items)
    assert largest_difference_from_r(shuffled, shared_data, name) > 100 * R_TOLERANCE


def test_suspected_wrong_key_of_sat12_is_flagged(shared_data):
    items = item_statistics(classic_counts(shared_data, "sat12"))
    assert items["item_rest_correlation"].idxmin() == "sat12/Item.32"
    assert items.loc["sat12/Item.32", "flags"] == "near_zero"


def test_columns_begin_in_the_published_order(make_counts):
    items = item_statistics(make_counts(np.triu(np.ones((5, 4), dtype=int))[:, ::-1]))
    assert items.index.name == "item"
    first = ["n_models", "proportion_correct", "item_total_correlation", "item_rest_correlation", "biserial", "flags"]
    assert list(items.columns[:6]) == first
    assert list(items.columns[6:]) == [
        f"{n}_{q}" for n in ("proportion_correct", "item_total", "item_rest") for q in ("q05", "q95")
    ]


def test_correlations_with_gaps_equal_item_by_item_computation(make_counts):
    correct, trials = responses_with_gaps(np.random.default_rng(2))
    items = item_statistics(make_counts(correct, trials))
    share = np.where(trials > 0, correct / np.maximum(trials, 1), np.nan)
    for column, (total_r, rest_r) in enumerate(items[["item_total_correlation", "item_rest_correlation"]].to_numpy()):
        asked = trials[:, column] > 0
        rest = np.nanmean(np.delete(share, column, axis=1), axis=1)
        assert total_r == pytest.approx(
            stats.pearsonr(share[asked, column], np.nanmean(share, axis=1)[asked]).statistic
        )
        assert rest_r == pytest.approx(stats.pearsonr(share[asked, column], rest[asked]).statistic)
    assert items["biserial"].isna().all()


def test_alpha_with_gaps_equals_pairwise_complete_covariances_of_pandas(make_counts):
    correct, trials = responses_with_gaps(np.random.default_rng(3))
    correct[:, 0], trials[:, 0] = 1, 1  # a complete item beside those with gaps
    correct[::3, 1], trials[:, 1] = 0, 1
    correct = np.minimum(correct, trials)
    covariance = pd.DataFrame(np.where(trials > 0, correct / np.maximum(trials, 1), np.nan)).cov().to_numpy()
    n = len(covariance)
    expected = n / (n - 1) * (1 - np.trace(covariance) / covariance.sum())
    assert score_reliability(make_counts(correct, trials)).alpha == pytest.approx(expected)


def test_scores_and_counts_of_the_same_shares_agree(make_counts):
    rng = np.random.default_rng(4)
    correct = rng.binomial(4, rng.random((30, 6)))
    as_counts = make_counts(correct, np.full(correct.shape, 4))
    as_scores = make_counts(correct / 4, measure="score")
    pd.testing.assert_frame_equal(item_statistics(as_counts), item_statistics(as_scores))
    assert score_reliability(as_counts) == score_reliability(as_scores)


def test_models_without_answers_change_nothing(make_counts):
    correct = np.random.default_rng(5).integers(0, 2, (30, 6))
    trials = np.ones_like(correct)
    more = make_counts(np.vstack([correct, np.zeros((2, 6), int)]), np.vstack([trials, np.zeros((2, 6), int)]))
    pd.testing.assert_frame_equal(item_statistics(more), item_statistics(make_counts(correct)))
    assert score_reliability(more) == score_reliability(make_counts(correct))


def test_undefined_correlations_are_nan_with_one_warning(make_counts):
    correct = np.random.default_rng(6).integers(0, 2, (30, 5))
    trials = np.ones_like(correct)
    correct[:, 1] = 1
    correct[:, 2], trials[2:, 2] = 0, 0
    correct[0, 2] = 1
    correct[:, 3], trials[:, 3] = 0, 0
    with pytest.warns(UndefinedWarning, match="3 of 5 items .* first: 'i1'") as caught:
        items = item_statistics(make_counts(correct, trials))
    assert len(caught) == 1
    assert (
        items.loc[["i1", "i2", "i3"], ["item_total_correlation", "item_rest_correlation", "biserial", "item_rest_q05"]]
        .isna()
        .all(axis=None)
    )
    assert items["n_models"].tolist() == [30, 30, 2, 0, 30]
    assert np.isnan(items.loc["i3", "proportion_correct"])
    assert items["flags"].tolist()[1:4] == ["constant;too_easy", "few_models", "few_models"]


def test_flags_name_what_was_planted_in_fixed_order(make_counts):
    rng = np.random.default_rng(7)
    trait = rng.normal(size=(400, 1))
    good = (trait + rng.normal(size=(400, 20)) > 0).astype(int)
    bad = (-trait + rng.normal(size=(400, 1)) > 0).astype(int)
    noise = (rng.random((400, 1)) < 0.5).astype(int)
    rare = np.zeros((400, 1), int)
    rare[trait[:, 0].argsort()[:3]] = 1  # only the three weakest are right
    items = item_statistics(make_counts(np.hstack([good, bad, noise, rare])))
    assert (items["flags"][:20] == "").all()
    assert items.loc["i20", "flags"] == "negative"
    assert "near_zero" in items.loc["i21", "flags"]
    assert items.loc["i22", "flags"].endswith("too_hard")
    few = item_statistics(make_counts(np.hstack([good, bad])[:8]))
    for flags in [*items["flags"], *few["flags"]]:
        assert flags.split(";") == [name for name in FLAGS if name in flags.split(";")] or not flags


def test_negative_point_estimate_is_told_from_negative_interval(make_counts):
    correct = np.random.default_rng(8).integers(0, 2, (40, 30))
    items = item_statistics(make_counts(correct))
    below = items["item_rest_correlation"] < 0
    shown = items["flags"].str.contains(r"(?:^|;)negative", regex=True)
    perhaps = items["flags"].str.contains("maybe_negative")
    assert below.sum() > 5
    assert (below == (shown | perhaps)).all() and not (shown & perhaps).any()
    assert (shown == (items["item_rest_q95"] < 0)).all()


def test_biserial_recovers_the_correlation_of_the_trait_behind_an_item(make_counts):
    rng = np.random.default_rng(9)
    trait = rng.normal(size=(8000, 1))
    liability = 0.6 * trait + 0.8 * rng.normal(size=(8000, 1))
    scores = np.clip(0.5 + 0.1 * trait, 0, 1)
    items = item_statistics(make_counts(np.hstack([liability > 0.8, scores]).astype(float), measure="score"))
    assert items["biserial"].iloc[0] == pytest.approx(0.6, abs=0.03)
    assert items["item_rest_correlation"].iloc[0] < 0.5
    assert np.isnan(items["biserial"].iloc[1])


@pytest.mark.slow
def test_item_rest_interval_covers_the_population_correlation(make_counts, record_coverage):
    rng = np.random.default_rng(11)
    slopes, cuts = rng.uniform(0.3, 1.0, 20), rng.normal(size=20)

    def draw(n):
        return (rng.normal(size=(n, 1)) * slopes + rng.normal(size=(n, 20)) > cuts).astype(int)

    true = item_statistics(make_counts(draw(200_000)))["item_rest_correlation"]

    def hits(answers):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedWarning)
            items = item_statistics(make_counts(answers))
        return ((items["item_rest_q05"] <= true) & (true <= items["item_rest_q95"])).mean()

    samples = [draw(60) for _ in range(300)]
    about = {"quantity": "item-rest correlation", "design": "60 models, 20 items", "seeds": 11}
    assert record_coverage(**about, covered=[hits(answers) for answers in samples]).right
    twice = [hits(np.tile(answers, (2, 1))) for answers in samples]
    assert record_coverage(**about, covered=twice, control="every model counted twice").right


def test_kr20_follows_from_its_closed_form(make_counts):
    counts = make_counts([[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]])
    score = score_reliability(counts)
    # Sample variances with n - 1: items 1/4, 1/3, 1/4; totals 3, 2, 1, 0 have 5/3.
    assert score.alpha == pytest.approx(1.5 * (1 - (5 / 6) / (5 / 3)))
    assert score.sd_correct == pytest.approx(np.sqrt(5 / 3))
    assert score.sem_correct == pytest.approx(np.sqrt(5 / 3 * 0.25))
    assert score.sem == pytest.approx(score.sem_correct / 3)


def test_identical_items_have_no_error_of_measurement(make_counts):
    score = score_reliability(make_counts(np.repeat([[0], [1], [1], [0]], 4, axis=1)))
    assert score.alpha == pytest.approx(1)
    assert score.sem == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    "correct, trials",
    [
        ([[1], [0], [1]], [[1], [1], [1]]),  # one item
        ([[1, 0, 1]], [[1, 1, 1]]),  # one model
        ([[1, 0], [1, 0]], [[1, 1], [1, 1]]),  # no spread
        ([[1, 0], [0, 0], [0, 1], [0, 0]], [[1, 0], [1, 0], [0, 1], [0, 1]]),  # two items nobody shares
    ],
)
def test_undefined_alpha_is_nan_with_a_warning(correct, trials, make_counts):
    with pytest.warns(UndefinedWarning, match="alpha"):
        score = score_reliability(make_counts(correct, trials))
    assert np.isnan([score.alpha, score.alpha_q05, score.sem]).all()


def test_reliability_without_any_answer_is_refused(make_counts):
    with pytest.raises(AnalysisError, match="no model has a response"):
        score_reliability(make_counts([[0, 0]], [[0, 0]]))


def test_wide_real_matrix_is_described_with_its_gaps(shared_data):
    counts = table_from_frame(pd.read_parquet(shared_data / "mmlu_pro.parquet")).counts()
    with pytest.warns(UndefinedWarning, match="876 of 12032 items"):
        items = item_statistics(counts)
    assert items["flags"].str.contains("constant").sum() == 876
    assert items["n_models"].min() < 29
    assert 0.99 < score_reliability(counts).alpha < 1


def test_first_words_of_items_are_beside_their_statistics(make_counts):
    counts = make_counts([[1, 0], [0, 1], [1, 1]])
    described = replace(counts, items=counts.items.assign(question=["What is 1?", "And 2?"]))
    assert item_statistics(described)["question"].tolist() == ["What is 1?", "And 2?"]
    assert "question" not in item_statistics(counts)
