import numpy as np
import pytest

from irt_bench.inference.alignment import Alignment


@pytest.fixture
def alignment(rng):
    reference = rng.normal(size=12)
    return Alignment(reference - reference.mean())


def test_coordinates_and_abilities_are_inverse(rng, alignment):
    ability = alignment.reference + 0.3 * rng.normal(size=12) + 0.5
    frame, shape = alignment.read(alignment.coordinates(ability))
    np.testing.assert_allclose(frame.location + frame.scale * shape, ability, rtol=1e-12)
    assert frame.location == pytest.approx(ability.mean())
    assert shape.mean() == pytest.approx(0, abs=1e-12)


def test_rest_moves_neither_location_nor_the_part_along_the_reference(rng, alignment):
    coordinates = np.concatenate([[0.0, 0.0], rng.normal(size=10)])
    _, shape = alignment.read(coordinates)
    assert shape @ alignment.reference == pytest.approx(alignment.reference @ alignment.reference)


def test_prior_is_the_standard_normal_with_the_maps_jacobian(rng, alignment):
    """log N(ability; 0, 1) + log |d ability / d coordinates|, the determinant by differences."""
    gaps = []
    for _ in range(3):
        coordinates = alignment.coordinates(alignment.reference + 0.4 * rng.normal(size=12) + 0.2)

        def ability(point):
            frame, shape = alignment.read(point)
            return frame.location + frame.scale * shape

        step = 1e-6 * np.eye(12)
        jacobian = [(ability(coordinates + e) - ability(coordinates - e)) / 2e-6 for e in step]
        expected = -0.5 * np.sum(ability(coordinates) ** 2) + np.linalg.slogdet(np.array(jacobian))[1]
        gaps.append(alignment.prior_term(coordinates, np.zeros(12))[0] - expected)
    assert np.ptp(gaps) < 1e-6


def test_it_is_used_only_where_abilities_cannot_flip():
    assert Alignment.is_safe(1000, 0.3)
    assert not Alignment.is_safe(6, 0.9)
    assert not Alignment.is_safe(1000, 0.01)
