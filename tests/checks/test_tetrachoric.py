import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from irt_bench.checks.dimensionality import tetrachoric_correlations

# psych 2.2.9 in R 4.2.2: tetrachoric(LSAT7, correct = 0.5), items 1 with 2, ..., 4 with 5.
PSYCH = {(0, 1): 0.2265656, (0, 2): 0.2906309, (0, 3): 0.2961377, (0, 4): 0.2861803, (1, 2): 0.4321029,
         (1, 3): 0.2035771, (1, 4): 0.1356511, (2, 3): 0.2758677, (2, 4): 0.2649366, (3, 4): 0.1602539}  # fmt: skip


def test_correlations_of_lsat7_are_psychs(lsat7):
    found = tetrachoric_correlations(lsat7.astype(float), np.ones(lsat7.shape, dtype=bool))
    for pair, value in PSYCH.items():
        assert found[pair] == pytest.approx(value, abs=3e-4) == found[pair[::-1]]  # psych minimises to 1e-4 or so
    assert np.diag(found).tolist() == [1] * 5


def test_the_share_right_on_both_is_the_bivariate_normal_one(rng):
    latent = rng.multivariate_normal([0, 0], [[1, -0.7], [-0.7, 1]], 500)
    right = (latent > [0.3, -1.0]).astype(float)
    rho = tetrachoric_correlations(right, np.ones((500, 2), dtype=bool))[0, 1]
    h, k = norm.ppf(right.mean(axis=0))
    both = multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([h, k])
    assert both == pytest.approx((right[:, 0] * right[:, 1]).mean(), abs=2e-5)
    assert rho == pytest.approx(-0.7, abs=0.12)


def test_missing_answers_are_left_out_by_pair_and_constant_items_have_zero(rng):
    right = (rng.normal(size=(300, 3)) + rng.normal(size=(300, 1)) > 0).astype(float)
    asked = rng.random((300, 3)) < 0.8
    right[:, 2] = 1
    found = tetrachoric_correlations(right * asked, asked)
    both = asked[:, 0] & asked[:, 1]
    alone = tetrachoric_correlations(right[both][:, :2], np.ones((both.sum(), 2), dtype=bool))
    assert found[0, 1] == pytest.approx(alone[0, 1]) and found[0, 2] == 0


def test_an_empty_cell_is_corrected_like_psychs():
    # psych 2.2.9: tetrachoric(matrix(c(44268, 193, 14, 0), 2, 2)) is 0.23 with 0.5 in the empty cell.
    right = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [44268, 193, 14], axis=0)
    found = tetrachoric_correlations(right, np.ones(right.shape, dtype=bool))[0, 1]
    assert found == pytest.approx(0.2323182, abs=5e-3)


def test_perfect_agreement_stays_below_one():
    right = np.repeat([[1.0, 1.0], [0.0, 0.0]], 500, axis=0)
    assert 0.98 < tetrachoric_correlations(right, np.ones((1000, 2), dtype=bool))[0, 1] < 1
