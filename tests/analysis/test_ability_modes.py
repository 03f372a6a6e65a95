import numpy as np
import pytest

from irt_bench.analysis.abilities import ResponseBlock, find_modes
from irt_bench.analysis.labelled_draws import ItemParameters

A, B = np.array([0.7, 1.0, 1.6, 2.2]), np.array([-1.0, 0.0, 0.4, 1.3])
NODES = np.linspace(-6, 6, 12_001)


def test_modes_have_no_slope_and_their_sd_is_that_of_the_curvature():
    answers = np.array([[1, 1, 1, 1], [1, 0, 1, 0]])
    mode, sd, low, high = find_modes(
        ResponseBlock(answers, np.ones_like(answers)), ItemParameters(B, A, 0 * A, 0 * A + 1)
    )
    p = 1 / (1 + np.exp(-A * (mode[:, None] - B)))
    np.testing.assert_allclose((A * (answers - p)).sum(1) - mode, 0, atol=1e-8)
    np.testing.assert_allclose(sd, 1 / np.sqrt(1 + (A**2 * p * (1 - p)).sum(1)), rtol=1e-8)
    np.testing.assert_allclose((low + high) / 2, mode, atol=1e-12)


def test_the_highest_of_several_modes_is_found():
    """Right on a few steep items that can be guessed, wrong on easy ones: either lucky, or able and careless."""
    easy, hard = np.full(3, -1.5), np.full(6, 2.0)
    items = ItemParameters(np.r_[easy, hard], np.full(9, 6.0), np.full(9, 0.25), np.r_[np.full(3, 0.9), np.ones(6)])
    answers = np.r_[0, 0, 0, np.ones(6, int)][None]
    k = 1 / (1 + np.exp(-items.discrimination * (NODES[:, None] - items.difficulty)))
    p = items.guessing + (items.upper_asymptote - items.guessing) * k
    density = (answers * np.log(p) + (1 - answers) * np.log(1 - p)).sum(1) - NODES**2 / 2
    peaks = np.flatnonzero((density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])) + 1
    assert len(peaks) > 1
    mode = find_modes(ResponseBlock(answers, np.ones_like(answers)), items)[0][0]
    assert mode == pytest.approx(NODES[density.argmax()], abs=1e-3)
