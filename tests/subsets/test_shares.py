import numpy as np
import pandas as pd
import pytest

from irt_bench.subsets.basis import as_answers, balanced_targets, filled_shares, full_scores, seed_residuals


def test_full_scores_are_plain_means_and_macro_averages(toy):
    shares = toy.counts.correct
    plain = full_scores(toy.counts, np.full(60, 1 / 60))
    assert plain == pytest.approx(shares.mean(axis=1))
    subtasks = np.array(["a"] * 10 + ["b"] * 50)
    macro = full_scores(toy.counts, balanced_targets(subtasks))
    assert macro == pytest.approx((shares[:, :10].mean(axis=1) + shares[:, 10:].mean(axis=1)) / 2)


def test_cells_never_asked_are_filled_by_item_mean_and_lead(make_counts):
    counts = make_counts([[1, 1], [0, 0], [1, 0]], [[1, 1], [1, 1], [1, 0]])
    filled = filled_shares(counts)
    assert filled[2, 1] == pytest.approx(0.5 + (1 - 2 / 3))
    assert full_scores(counts, np.array([0.5, 0.5]))[2] == 1


def test_deviations_over_seeds_give_the_pooled_within_run_variance():
    rng = np.random.default_rng(0)
    models = pd.DataFrame({"run": list("aaabbb"), "seed": [1, 2, 3] * 2, "step": 5})
    shares = rng.random((6, 4))
    residuals = seed_residuals(models, shares)
    pooled = (shares[:3].var(axis=0, ddof=1) + shares[3:].var(axis=0, ddof=1)) / 2
    assert (residuals**2).mean(axis=0) == pytest.approx(pooled)
    assert seed_residuals(models.drop(columns="seed"), shares) is None
    assert seed_residuals(models.assign(run=list("abcdef")), shares) is None


def test_fractional_scores_become_so_much_of_a_right_answer_and_answers_stay(make_counts):
    scores = make_counts(np.array([[0.25, 1.0]]), measure="score")
    assert as_answers(scores).measure == "correct" and as_answers(scores).correct.tolist() == [[0.25, 1.0]]
    answers = make_counts([[1, 0]])
    assert as_answers(answers) is answers
