"""Matrices to compare on: as told, the same for the same seed, and as the package reads them."""

import numpy as np
import pytest
from matrices import MISSING, Matrix, counts_of, make, simulate
from scipy.special import expit


def test_the_same_seed_gives_the_same_matrix_and_another_seed_another():
    one, same, other = simulate(20, 30, seed=1), simulate(20, 30, seed=1), simulate(20, 30, seed=2)
    np.testing.assert_array_equal(one.responses, same.responses)
    assert (one.responses != other.responses).any()


def test_responses_have_the_probabilities_of_their_true_parameters():
    matrix = simulate(400, 500, seed=3)
    truth = matrix.truth
    probability = expit(truth["discrimination"] * (truth["ability"][:, None] - truth["difficulty"]))
    assert matrix.responses.mean() == pytest.approx(probability.mean(), abs=4 * 0.5 / np.sqrt(200_000))
    residual = (matrix.responses - probability).sum(axis=0) / np.sqrt((probability * (1 - probability)).sum(axis=0))
    assert residual.std() == pytest.approx(1, abs=0.15)


def test_a_1pl_matrix_has_one_discrimination():
    assert np.ptp(make("tiny-1pl").truth["discrimination"]) == 0
    assert np.ptp(make("tiny").truth["discrimination"]) > 0


def test_missing_cells_stay_missing_in_the_package_s_counts():
    matrix = simulate(50, 60, seed=5, missing=0.3)
    counts = counts_of(matrix.responses)
    assert (matrix.responses == MISSING).mean() == pytest.approx(0.3, abs=0.05)
    np.testing.assert_array_equal(counts.trials == 0, matrix.responses == MISSING)
    np.testing.assert_array_equal(counts.correct, np.maximum(matrix.responses, 0))


def test_a_saved_matrix_is_loaded_with_its_truth(tmp_path):
    matrix = simulate(5, 6, seed=1)
    matrix.save(tmp_path / "matrix.npz")
    loaded = Matrix.load(tmp_path / "matrix.npz")
    np.testing.assert_array_equal(loaded.responses, matrix.responses)
    assert set(loaded.truth) == {"ability", "difficulty", "discrimination"}
