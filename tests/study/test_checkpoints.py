import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from irt_bench.study.data import (
    Checkpoints,
    decision_accuracy,
    mean_sd,
    movement,
    pooled_variance,
    run_variance,
    score_statistics,
)

RNG = np.random.default_rng(0)
KEYS = ["run", "seed", "step"]
FRAME = pd.DataFrame(
    [(f"r{run}", str(seed), str(step)) for run in range(3) for seed in range(3) for step in (5, 10, 20)],
    columns=KEYS,
)
SNAPSHOTS = Checkpoints(FRAME)
FULL = 0.1 * RNG.normal(size=len(FRAME)) + FRAME["run"].str[1].astype(int) + FRAME["step"].astype(int) / 20
FULL = FULL.to_numpy()


def test_scores_are_arranged_by_seed_and_step_whatever_their_order():
    order = RNG.permutation(len(FRAME))
    mixed = Checkpoints(FRAME.iloc[order].reset_index(drop=True))
    np.testing.assert_array_equal(mixed.arrange(FULL[order], "r1"), FULL[9:18].reshape(3, 3))
    assert mixed.runs == ["r0", "r1", "r2"]


def test_a_missing_checkpoint_is_no_number_and_no_seed_variance_is_made_up():
    part = Checkpoints(FRAME.iloc[1:].reset_index(drop=True))
    arranged = part.arrange(FULL[1:], "r0")
    assert np.isnan(arranged[0, 0]) and np.isfinite(arranged).sum() == 8
    expected = np.mean([FULL[[3, 6]].var(ddof=1), FULL[[1, 4, 7]].var(ddof=1), FULL[[2, 5, 8]].var(ddof=1)])
    found = run_variance(arranged)
    assert found.value == pytest.approx(expected)
    assert found.contrasts.shape == (2, 2) and np.isfinite(found.contrasts).all()  # of the steps that are complete


def test_variance_is_numpys_and_contrasts_have_its_mean_square():
    scores = RNG.normal(size=(4, 5, 2))  # four subsets at once
    found = run_variance(scores)
    np.testing.assert_allclose(found.value, scores.var(axis=1, ddof=1).mean(axis=-1))
    np.testing.assert_allclose((found.contrasts**2).mean(axis=(-2, -1)), found.value)
    assert found.freedom == 4 and found.contrasts.shape == (4, 4, 2)
    np.testing.assert_allclose(mean_sd(scores), scores.std(axis=1, ddof=1).mean(axis=-1))


def test_runs_are_pooled_by_their_degrees_of_freedom():
    one, other = RNG.normal(size=(3, 1)), RNG.normal(size=(6, 1))
    expected = (2 * one.var(ddof=1) + 5 * other.var(ddof=1)) / 7
    assert pooled_variance([run_variance(one), run_variance(other)]) == pytest.approx(expected)


def test_decision_accuracy_counts_pairs_as_enumeration_does():
    rows = [np.arange(0, 3), np.arange(3, 6), np.arange(6, 9)]
    scores, full = RNG.integers(3, size=9).astype(float), RNG.normal(size=9)
    right = []
    for one, other in itertools.combinations(rows, 2):
        better = full[one].mean() > full[other].mean()
        for a, b in itertools.product(one, other):
            right.append(0.5 if scores[a] == scores[b] else float((scores[a] > scores[b]) == better))
    frame = pd.DataFrame([(f"r{run}", str(seed), "1") for run in range(3) for seed in range(3)], columns=KEYS)
    assert decision_accuracy(scores, full, Checkpoints(frame)) == pytest.approx(np.mean(right))
    many = np.stack([scores, -scores])
    assert decision_accuracy(many, full, Checkpoints(frame)) == pytest.approx([np.mean(right), 1 - np.mean(right)])
    assert np.isnan(decision_accuracy(scores[:3], full[:3], Checkpoints(frame[:3])))
    assert np.isnan(decision_accuracy(scores, full, Checkpoints(frame, halves=True)))


def test_the_full_score_measured_beside_itself_moves_fully_without_bias():
    found = score_statistics(FULL, FULL, SNAPSHOTS)
    assert found["bias"] == 0 and found["movement"] == pytest.approx(1) and found["kendall_tau"] == 1


def test_statistics_follow_their_definitions():
    scores = 0.3 * FULL + 0.1 + 0.05 * RNG.normal(size=len(FULL))
    found = score_statistics(scores, FULL, SNAPSHOTS)
    last = np.arange(2, 27, 3)
    assert found["kendall_tau"] == pytest.approx(stats.kendalltau(scores[last], FULL[last]).statistic)
    assert found["bias"] == pytest.approx(scores[last].mean() - FULL[last].mean())
    sd = np.sqrt(np.mean(scores[last].reshape(3, 3).var(axis=1, ddof=1)))
    assert found["snr"] == pytest.approx(scores[last].mean() / sd)
    means = [each.reshape(3, 3, 3).mean(axis=1).ravel() for each in (FULL, scores)]
    assert found["movement"] == pytest.approx(np.polyfit(*means, 1)[0])
    tau = [stats.kendalltau([0, 1, 2], scores[start : start + 3]).statistic for start in range(0, 27, 3)]
    assert found["monotonicity"] == pytest.approx(np.mean(tau))


def test_a_score_that_never_moves_has_undefined_ratios_not_zeros():
    found = score_statistics(np.full(len(FULL), 0.5), FULL, SNAPSHOTS)
    assert np.isnan(found["snr"]) and np.isnan(found["kendall_tau"]) and np.isnan(found["monotonicity"])
    assert found["movement"] == pytest.approx(0, abs=1e-12) and found["decision_accuracy"] == 0.5


def test_movement_is_undefined_where_chance_alone_sets_runs_apart():
    """With one run in two halves, or runs that are alike, at one step: the slope is noise over noise."""
    rng = np.random.default_rng(1)
    found = []
    for halves in (True, False):
        frame = pd.DataFrame([(f"r{run}", str(seed), "1") for run in range(2) for seed in range(5)], columns=KEYS)
        for _ in range(150):
            full = rng.normal(size=10)
            found.append(movement(full + rng.normal(size=10), full, Checkpoints(frame, halves)))
    assert np.isnan(found[:150]).all()
    assert np.isnan(found[150:]).mean() == pytest.approx(0.95, abs=0.05)
    apart = np.repeat([0.0, 3.0], 5)  # negative control: runs that do differ
    moved = [movement(apart + rng.normal(size=10), apart + rng.normal(size=10), Checkpoints(frame)) for _ in range(100)]
    assert np.isfinite(moved).mean() > 0.9 and np.nanmedian(moved) == pytest.approx(1, abs=0.1)


def test_halves_of_one_run_move_from_step_to_step_and_not_from_half_to_half():
    halves = Checkpoints(FRAME[FRAME["run"] != "r2"].reset_index(drop=True), halves=True)
    full = FULL[:18] - np.repeat([0.0, 5.0], 9)
    steps = [each.reshape(2, 3, 3).mean(axis=1) for each in (full, 0.5 * full)]
    x, y = ((each - each.mean(axis=1, keepdims=True)).ravel() for each in steps)
    assert movement(0.5 * full + np.repeat([0.0, 9.0], 9), full, halves) == pytest.approx((x @ y) / (x @ x))


def test_many_sets_of_scores_are_measured_at_once_as_one_by_one():
    many = 0.5 * FULL + 0.2 * RNG.normal(size=(4, len(FULL)))
    many[1, 3] = np.nan
    found = score_statistics(many, FULL, SNAPSHOTS)
    for place, scores in enumerate(many):
        for name, value in score_statistics(scores, FULL, SNAPSHOTS).items():
            if name != "movement":  # leaves the points out that are missing in any
                np.testing.assert_allclose(found[name][place], value)
