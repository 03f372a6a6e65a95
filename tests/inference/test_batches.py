"""Mini-batches have value and gradient of the whole on average, and less noise than answers alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from irt_bench.inference import batches as module
from irt_bench.inference.ability_grid import AbilityGrid
from irt_bench.inference.batches import Batches, sizes_of_a_step
from irt_bench.inference.coordinates import Coordinates, find_coordinates
from irt_bench.inference.likelihood import Cells
from irt_bench.inference.settings import SVISettings
from irt_bench.inference.svi import _gradient
from irt_bench.irt_models.logistic import TwoPL


@pytest.fixture(params=["integrated", "joint"])
def whole(request, simulate_cells, monkeypatch):
    """A posterior whose abilities are integrated out, and one in which they are coordinates."""
    cells = simulate_cells(90, 6) if request.param == "integrated" else simulate_cells(30, 40)
    if request.param == "joint":
        monkeypatch.setattr(AbilityGrid, "n_nodes", staticmethod(lambda least_sd: 10**6))
        monkeypatch.setattr(module, "LEAST_BATCH", 5)
    found = find_coordinates(TwoPL(), cells.correct.numpy(), np.ones(cells.shape, dtype=np.int8)).posterior
    assert found.integrates_abilities == (request.param == "integrated")
    flat = np.zeros(found.layout[found.sites[-1].name].stop)
    return Coordinates(found, flat, np.full_like(flat, 0.3))


def test_batches_have_value_and_gradient_of_all_on_average(whole):
    batches = Batches(whole, SVISettings(batch=20))
    point = torch.from_numpy(np.sin(np.arange(len(whole.centre))))
    found = np.array([[*_gradient(batches.draw(), point), batches.draw()(point).item()] for _ in range(2_000)])
    exact = np.array([*_gradient(whole.log_density, point), whole.log_density(point).item()])
    error = found.std(axis=0) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - exact) < 4.5 * error + 1e-9).all()
    assert error.max() > 0


def test_models_of_a_step_are_compared_with_themselves_at_the_centre(simulate_cells):
    """Without that comparison the same models have a gradient several times as noisy."""
    cells = simulate_cells(400, 6)
    correct, trials = cells.correct.numpy(), np.ones(cells.shape, dtype=np.int8)
    whole = find_coordinates(TwoPL(), correct, trials)
    batches, rng = Batches(whole, SVISettings(batch=15)), np.random.default_rng(0)
    points = torch.from_numpy(rng.normal(size=(200, len(whole.centre))))

    def plain():
        return replace(whole, posterior=replace(whole.posterior, cells=whole.posterior.cells.sampled(rng, 15)))

    exact = [_gradient(whole.log_density, point) for point in points]
    ours, plainly = (
        np.sqrt(
            np.mean(
                [((_gradient(draw(), point) - right) ** 2).mean() for point, right in zip(points, exact, strict=True)]
            )
        )
        for draw in (batches.draw, lambda: plain().log_density)
    )
    assert ours < 0.6 * plainly


def test_a_batch_of_all_is_the_whole(whole):
    assert Batches(whole, SVISettings()).draw() == whole.log_density


@pytest.mark.parametrize(
    ("shape", "batch", "sizes"),
    [
        ((4_000, 5_000), 0, (4_000, 5_000)),
        ((5_000, 28_000), 0, (1_889, 10_587)),
        ((150, 1_000_000), 0, (150, 133_333)),
        ((2_000_000, 30), 0, (666_666, 30)),
        ((1_000, 5_000), 500, (500, 2_500)),
        ((1_000, 1_000), 10, (10, 200)),
    ],
)
def test_steps_take_all_until_they_would_be_long(shape, batch, sizes):
    one = torch.zeros((1, 1), dtype=torch.int8)
    cells = Cells(one.expand(shape), None)
    assert sizes_of_a_step(cells, batch) == sizes
    assert np.prod(sizes) <= module.STEP_CELLS


def test_steps_on_a_grid_take_all_items(whole, monkeypatch):
    cells = whole.posterior.cells
    monkeypatch.setattr(module, "STEP_COST", 1_000)
    monkeypatch.setattr(module, "LEAST_BATCH", 3)
    if isinstance(cells, AbilityGrid):
        assert sizes_of_a_step(cells, 0) == (max(3, 1_000 // (6 * len(cells.nodes))), 6)
        assert sizes_of_a_step(cells, 7) == (7, 6)
