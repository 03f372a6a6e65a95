import numpy as np
import pandas as pd
import pytest

from irt_bench.names import POOLED
from irt_bench.study.data import Checkpoints, run_variance
from irt_bench.study.verdicts import (
    LogRatio,
    RandomReference,
    ScoreComparison,
    compare_random,
    compare_scores,
    log_positive,
    noise_per_signal,
    shift_log_ratio,
)


class Made:
    """Scores of six runs of three seeds at two steps, as `BenchmarkResults` holds them."""

    def __init__(self, full, frame):
        self.checkpoints = Checkpoints(frame)
        self.runs = self.checkpoints.runs
        self.full = {"weighted": full, "theta": full}
        self.full_variance = {"weighted": self.variances(full)}

    def variances(self, scores):
        return [run_variance(self.checkpoints.arrange(scores, run)) for run in self.runs]

    def part(self, run):
        assert run is None
        return self.checkpoints, np.arange(len(self.checkpoints.frame))


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(2)
    keys = [(f"r{run}", str(seed), str(step)) for run in range(6) for seed in range(3) for step in range(2)]
    frame = pd.DataFrame(keys, columns=["run", "seed", "step"])
    level = {run: rng.normal(0.5, 0.1) for run in frame["run"].unique()}
    seed = {key: rng.normal(0, 0.02) for key in frame[["run", "seed"]].itertuples(index=False, name=None)}
    full = np.array([level[run] + seed[run, each] + 0.05 * int(step) for run, each, step in keys])
    random = full + rng.normal(0, 0.03, (400, len(full)))
    return Made(full, frame), random, rng


def compared(made, scores, reference):
    found, plain = made
    comparison = ScoreComparison(found, POOLED, "weighted", RandomReference(found, reference, found.full["weighted"]))
    beside = ScoreComparison(found, POOLED, "weighted", RandomReference(found, plain, found.full["weighted"]))
    (result,) = compare_scores(found, comparison, beside, scores[None])
    return result, comparison, beside


def test_an_estimate_that_merely_shrinks_cuts_against_plain_means_and_nothing_else(made):
    found, random, rng = made
    own = found.full["weighted"] + rng.normal(0, 0.03, len(random[0]))
    result, comparison, plain = compared((found, random), 0.3 + 0.4 * own, 0.3 + 0.4 * random)
    assert result.ratios["plain"].ratio == pytest.approx(0.4 * result.ratios["random"].ratio)
    assert result.ratios["plain"].upper < 1  # what the comparison with plain means would call a cut
    assert result.ratios["random"].lower < 1 < result.ratios["random"].upper
    alone, in_signal = compare_random(comparison, plain)
    assert alone.ratio == pytest.approx(0.4) and in_signal == pytest.approx(1.0)


def test_a_shrunk_score_beside_random_ones_that_are_not_cuts_nothing_per_signal(made):
    found, random, rng = made
    own = found.full["weighted"] + rng.normal(0, 0.03, len(random[0]))
    result, _, _ = compared((found, random), 0.3 + 0.4 * own, random)
    assert result.ratios["random"].upper < 1
    assert result.ratios["signal"].ratio == pytest.approx(result.ratios["random"].ratio / 0.4, rel=0.15)
    assert result.ratios["signal"].lower < 1 < result.ratios["signal"].upper


def test_less_noise_at_the_same_movement_cuts_by_both_measures(made):
    found, random, rng = made
    own = found.full["weighted"] + rng.normal(0, 0.001, len(random[0]))
    result, _, _ = compared((found, random), own, random)
    assert result.ratios["random"].upper < 1 and result.ratios["signal"].upper < 1
    assert result.numbers["percentile_random"] == pytest.approx(1 / 401)
    assert result.numbers["percentile_signal"] < 0.05


def test_a_score_that_does_not_move_has_all_noise_and_no_signal():
    found = noise_per_signal(np.array([0.1, 0.1, 0.1, 0.1]), np.array([0.5, 0.0, -1.0, np.nan]))
    np.testing.assert_equal(found, [0.2, np.inf, np.inf, np.nan])


def test_a_score_without_noise_and_without_signal_has_no_ratio_of_the_two():
    still = LogRatio(np.array([-np.inf, 0.0]), np.ones(2), np.ones(2))
    found = shift_log_ratio(still, log_positive(np.array([0.0, np.e]))).value
    assert np.isnan(found[0]) and found[1] == pytest.approx(-1)
