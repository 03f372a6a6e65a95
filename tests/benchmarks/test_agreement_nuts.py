"""Agreement of two posteriors: a known shift and a known ratio of sds come out, discriminations as logarithms."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from agreement_nuts import comparison, moments


def fitted(rng, shift=0.0, width=1.0):
    centre = np.linspace(-1, 1, 40) + shift
    draws = centre + width * rng.normal(size=(2, 2_000, 40))
    values = {"ability": draws, "difficulty": draws, "discrimination": np.exp(draws)}
    arrays = {name: (("chain", "draw", "place"), value) for name, value in values.items()}
    return SimpleNamespace(posterior=xr.Dataset(arrays))


def test_moments_of_discriminations_are_of_their_logarithm():
    one = fitted(np.random.default_rng(0))
    np.testing.assert_allclose(moments(one, "discrimination"), moments(one, "difficulty"))


def test_a_shift_of_half_an_sd_and_sds_twice_as_wide_are_reported():
    rng = np.random.default_rng(1)
    lines = comparison(fitted(rng, shift=0.5, width=2.0), fitted(rng)).splitlines()
    assert len(lines) == 3
    for line in lines:
        assert float(line.split("mean ")[1].split(",")[0]) == pytest.approx(0.5, abs=0.03)
        assert float(line.split("sd ratio: mean ")[1].split(",")[0]) == pytest.approx(2, abs=0.03)
