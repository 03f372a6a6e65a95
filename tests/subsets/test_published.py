import numpy as np
import pytest

from irt_bench.subsets.basis import SelectionBasis
from irt_bench.subsets.calibration import odd_errors, published_share


def test_the_share_is_that_of_the_source_with_four_times_the_items_for_anchors():
    """b = 0.03 and v = 0.16: lam' of 100 items is 0.0009 / (0.0009 + 0.0016) = 0.36, of anchors 0.0009 / 0.0013."""
    shares = np.tile([0.1, 0.9], (3, 4))
    assert published_share(0.03, shares, "random", 100) == pytest.approx(0.36)
    assert published_share(0.03, shares, "anchors", 100) == pytest.approx(9 / 13)


def test_errors_are_of_odd_items_with_ability_at_its_maximum_likelihood_on_even_ones(toy):
    old, new = toy.counts.take(models=slice(0, 80)), toy.counts.take(models=slice(80, 84))
    found = odd_errors(SelectionBasis(old, toy.posterior(old)), new)
    theta = np.linspace(-5, 5, 201)
    p = 1 / (1 + np.exp(-toy.slope[:, None] * (theta - toy.difficulty[:, None])))
    for answers, error in zip(new.correct, found, strict=True):
        y = answers[::2, None]
        best = (y * np.log(p[::2]) + (1 - y) * np.log(1 - p[::2])).sum(axis=0).argmax()
        assert error == pytest.approx(abs(p[1::2, best].mean() - answers[1::2].mean()), abs=0.02)
