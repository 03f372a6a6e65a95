import numpy as np
import pytest
from scipy.special import expit

from irt_bench.analysis import transfer


@pytest.mark.parametrize(("n_models", "n_items"), [(60, 40), (9, 30), (6, 2)])
def test_many_halves_at_once_are_as_each_by_itself(n_models, n_items):
    rng = np.random.default_rng([n_models, n_items])
    chance = expit(rng.normal(size=(n_models, 1)) - rng.normal(scale=2, size=n_items))
    shares = rng.binomial(1, chance).astype(float)
    halves = [(at, ~at) for at in (rng.permutation(n_models) < n_models // 2 for _ in range(8))]
    asked = np.ones(shares.shape, dtype=bool)
    each = [transfer._of_one(shares, asked, one) for one in halves]
    found = transfer.half_statistics(shares, asked, halves)
    np.testing.assert_allclose(found, each, atol=1e-12)
    assert np.isnan(each).any() or n_models > 20  # items without spread in a half are none in both
    asked[0, 0] = False
    with_gap = transfer.half_statistics(shares, asked, halves)
    np.testing.assert_allclose(with_gap, [transfer._of_one(shares, asked, one) for one in halves])
