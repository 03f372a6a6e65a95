import numpy as np
import pytest
import xarray as xr


@pytest.fixture
def posterior():
    """Draws of four models and four items."""
    rng = np.random.default_rng(2)
    shape = (2, 50, 4)
    return xr.Dataset(
        {
            "ability": (("chain", "draw", "model"), rng.normal(size=shape) + np.arange(4)),
            "difficulty": (("chain", "draw", "item"), rng.normal(size=shape)),
            "discrimination": (("chain", "draw", "item"), rng.uniform(0.5, 2, shape)),
            "guessing": (("chain", "draw", "item"), rng.uniform(0, 0.3, shape)),
        },
        coords={"model": ["m0", "m1", "m2", "m3"], "item": ["i0", "i1", "i2", "i3"]},
    )
