import numpy as np
import pytest
from scipy import stats
from simulated_seeds import SeedSimulation, planted_components, simulate_shares

from irt_bench import read_responses
from irt_bench.variance.metrics import monotonicity, tau_b, variance_metrics
from irt_bench.variance.seed_variance import one_measure
from irt_bench.variance.small_sample import c4, mean_sd_interval, ratio_interval

TABLE_2 = {  # mean, sd, SNR
    "ARC-C": (39.71, 0.87, 45.89), "GSM8k": (4.10, 0.52, 7.88), "HellaSwag": (70.08, 0.12, 608.23),
    "HumanEval": (11.89, 1.75, 6.79), "MMLU": (25.86, 0.49, 52.45),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE_2)
def test_the_ratio_column_of_table_2_follows_from_its_mean_and_sd(name):
    mean, sd, printed = TABLE_2[name]
    assert mean / (sd + 0.005) - 0.01 <= printed <= mean / (sd - 0.005) + 0.01  # sds are printed to two decimals


def test_monotonicity_is_one_for_a_rising_score_and_for_a_falling_loss():
    rising = np.array([[0.1, 0.2, 0.3], [0.3, 0.3, 0.3]])
    np.testing.assert_array_equal(monotonicity(rising), [1.0, np.nan])
    assert monotonicity(-rising, lower_is_better=True)[0] == 1.0


def test_the_pooled_seed_sd_of_the_conditions_with_three_seeds_is_known(shared_data):
    runs, _ = one_measure(read_responses([shared_data / "aann_seeds.parquet"]))
    metrics = variance_metrics(runs, n_bootstrap=20)
    three = metrics[metrics["n_seeds"] == 3]
    assert len(three) == 27
    assert round(float(np.sqrt((three["seed_sd"] ** 2).mean())), 4) == 0.0284
    np.testing.assert_allclose(metrics["seed_sd"], [run.scores()[:, 0].std(ddof=1) for run in runs])


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
def test_e_of_binary_answers_is_unbiased_and_its_interval_covers(record_coverage, n_seeds):
    plan = SeedSimulation(n_runs=1, n_seeds=n_seeds, n_steps=4, n_subtasks=40, guessing=0.2)
    rng = np.random.default_rng(11)
    scores = simulate_shares(plan, rng, replicates=1000)[:, 0].mean(axis=-1)
    items = [planted_components(plan, plan.difficulty_sd * rng.normal(size=200)) for _ in range(40)]
    truth = np.mean([np.sqrt(each.variance(200)).mean() for each in items])
    e = scores.std(axis=1, ddof=1).mean(axis=-1)
    t = ((e / c4(n_seeds)).mean() - truth) / (e.std() / c4(n_seeds) / np.sqrt(1000))
    lower, upper, _ = mean_sd_interval(e, scores)
    covered = (lower <= truth) & (truth <= upper)
    biased = (e.mean() - truth) / (e.std() / np.sqrt(1000))
    label = f"0/1 answers to 200 items, {n_seeds} seeds, 4 steps"
    assert abs(t) < 4 and record_coverage("E", label, covered, seeds=11, limits=(0.85, 0.95)).right
    assert biased < -4 or n_seeds > 5  # negative control: the plain sd of five seeds is biased


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
def test_the_interval_of_the_signal_to_noise_ratio_of_binary_answers_covers(record_coverage, n_seeds):
    plan = SeedSimulation(n_runs=1, n_seeds=n_seeds, n_steps=1, n_subtasks=40, guessing=0.2)
    rng = np.random.default_rng(13)
    difficulty = rng.normal(size=200)  # the interval is for repeating the training, the items as they are
    scores = simulate_shares(plan, rng, difficulty, replicates=1000)[:, 0, :, 0].mean(axis=-1)
    truth = scores.mean() / np.sqrt(planted_components(plan, difficulty).variance(200)[0])
    for width, control in ((1, ""), (2 / 3, "sds two thirds as large")):
        lower, upper = ratio_interval(scores.mean(axis=1), width * scores.std(axis=1, ddof=1), n_seeds)
        held = (lower <= truth) & (truth <= upper)
        about = {"seeds": 13, "limits": (0.85, 0.95), "control": control}
        assert record_coverage("SNR", f"0/1 answers to 200 items, {n_seeds} seeds", held, **about).right


@pytest.mark.parametrize("digits", [0, 6])
def test_tau_b_is_that_of_scipy_with_ties_and_gaps(digits):
    rng = np.random.default_rng(digits)
    x, y = np.round(rng.normal(size=12), digits), np.round(rng.normal(size=(20, 12)), digits)
    y[:, 3] = np.where(rng.random(20) < 0.5, np.nan, y[:, 3])
    expected = [stats.kendalltau(x[known], row[known]).statistic for row, known in zip(y, np.isfinite(y), strict=True)]
    np.testing.assert_allclose(tau_b(x, y), expected)
    assert np.isnan(tau_b(x, np.ones(12))) and np.isnan(tau_b(np.ones(12), x))
