"""Cost against size: sizes as asked, the exponent that was put in."""

import numpy as np
import pandas as pd
import pytest
from scaling import exponent, exponents, figure, shape_of


@pytest.mark.parametrize("n_cells", [1e4, 1e5, 1e6, 1e7, 1e8])
def test_matrices_have_the_number_of_responses_asked(n_cells):
    for direction in ("wide", "tall"):
        n_models, n_items = shape_of(n_cells, direction)
        assert n_models * n_items == pytest.approx(n_cells, rel=0.01)


def test_the_exponent_is_found():
    responses = np.array([1e6, 1e7, 1e8])
    assert exponent(responses, 3e-7 * responses**1.1) == pytest.approx(1.1)


def test_each_direction_has_its_exponent_and_the_figure_is_written(tmp_path):
    responses = np.array([1e5, 1e6, 1e7])
    rows = pd.concat([
        pd.DataFrame({"direction": direction, "responses": responses, "cpu_seconds": responses**power})
        for direction, power in (("wide", 1.0), ("tall", 1.2))
    ]).assign(peak_mb=200.0)  # fmt: skip
    assert exponents(rows) == pytest.approx({"wide": 1.0, "tall": 1.2})
    figure(rows, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
