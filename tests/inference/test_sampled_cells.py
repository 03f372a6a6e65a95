"""A block of answers stands for all: exact on average, by enumeration of all blocks."""

from itertools import combinations

import numpy as np
import pytest
import torch

from irt_bench.inference.likelihood import Cells
from irt_bench.inference.sampled_cells import SampledCells


@pytest.fixture
def place(rng):
    """Abilities and item parameters, asymptotes among them."""
    items = {"difficulty": rng.normal(size=5), "discrimination": np.exp(rng.normal(size=5))}
    return rng.normal(size=4), items | {"guessing": np.full(5, 0.2), "upper_asymptote": np.full(5, 0.95)}


def block(cells, rows, columns):
    at = torch.tensor(rows)[:, None], torch.tensor(columns)
    trials = None if cells.trials is None else cells.trials[at]
    return SampledCells(Cells(cells.correct[at], trials), np.array(rows), np.array(columns), cells.shape)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_mean_over_all_blocks_is_the_whole(simulate_cells, place, missing):
    cells = simulate_cells(4, 5, missing=missing)
    found = [
        block(cells, rows, columns).value_and_slopes(*place)
        for rows in combinations(range(4), 2)
        for columns in combinations(range(5), 3)
    ]
    value, by_ability, by_item = cells.value_and_slopes(*place)
    assert np.mean([each[0] for each in found]) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(np.mean([each[1] for each in found], axis=0), by_ability, atol=1e-12)
    assert by_item.keys() == place[1].keys()
    for name, slope in by_item.items():
        np.testing.assert_allclose(np.mean([each[2][name] for each in found], axis=0), slope, atol=1e-12)


def test_who_was_not_drawn_has_no_slope(simulate_cells, place):
    cells = simulate_cells(4, 5)
    _, by_ability, by_item = block(cells, (1, 3), (0, 2, 4)).value_and_slopes(*place)
    assert (by_ability != 0).tolist() == [False, True, False, True]
    assert (by_item["difficulty"] != 0).tolist() == [True, False, True, False, True]


def test_a_draw_takes_models_and_items_and_their_answers(simulate_cells, rng):
    cells = simulate_cells(40, 60, missing=0.2)
    drawn = SampledCells.draw(cells, rng, 10, 15)
    assert (drawn.rows.size, drawn.columns.size, drawn.shape) == (10, 15, (40, 60))
    at = torch.from_numpy(drawn.rows)[:, None], torch.from_numpy(drawn.columns)
    assert torch.equal(drawn.block.correct, cells.correct[at])
    assert torch.equal(drawn.block.trials, cells.trials[at])
    assert not np.array_equal(SampledCells.draw(cells, rng, 10, 15).rows, drawn.rows)
