import numpy as np
import pytest
from scipy import stats

from irt_bench.inference.fast import ability_updates
from irt_bench.inference.fast.ability_updates import standard_normals

N = 2_000_000


@pytest.fixture(scope="module")
def numbers():
    """Some chunks of numbers."""
    return standard_normals(np.random.default_rng(3), (N,)).astype(np.float64)


def test_numbers_are_standard_normal(numbers):
    assert stats.kstest(numbers, "norm").pvalue > 0.01
    assert stats.kstest(1.001 * numbers + 0.003, "norm").pvalue < 0.01  # the control
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        error = np.std(numbers**power) / np.sqrt(N)
        assert np.mean(numbers**power) == pytest.approx(moment, abs=4 * error)


@pytest.mark.parametrize("limit", [3.0, 4.0, 4.5])
def test_tails_are_as_heavy_as_they_should_be(numbers, limit):
    beyond, expected = (np.abs(numbers) > limit).sum(), 2 * N * stats.norm.sf(limit)
    assert abs(beyond - expected) < 4 * np.sqrt(expected)


def test_numbers_made_from_the_same_uniform_ones_are_independent(numbers):
    """Sine and cosine of an angle lie half a chunk apart; squares would tell of a radius that is not right."""
    chunks = numbers[: N // ability_updates.CHUNK * ability_updates.CHUNK].reshape(-1, 2, ability_updates.CHUNK // 2)
    first, second = chunks[:, 0].ravel(), chunks[:, 1].ravel()
    limit = 4 / np.sqrt(len(first))
    for power in (1, 2):
        assert abs(np.corrcoef(first**power, second**power)[0, 1]) < limit
        assert abs(np.corrcoef(numbers[1:] ** power, numbers[:-1] ** power)[0, 1]) < limit
    radius = np.sqrt(first**2 + second**2)
    assert abs(np.corrcoef(first**2, radius)[0, 1]) > limit  # the control: these do depend


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (ability_updates.CHUNK + 1,), (2, 3, ability_updates.CHUNK)])
def test_any_shape_is_filled_and_repeats_with_its_seed(shape):
    one, two = (standard_normals(np.random.default_rng(1), shape) for _ in range(2))
    assert one.shape == shape and one.dtype == np.float32 and np.isfinite(one).all()
    np.testing.assert_array_equal(one, two)
    assert len(np.unique(one)) > 0.99 * one.size - 1
