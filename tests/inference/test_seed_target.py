"""The target: prior of the coordinates plus the answers, one independent part a draw of the items."""

import numpy as np
import pandas as pd
import pytest
import torch

from irt_bench.inference.likelihood import Cells, ItemCurves, log_likelihood
from irt_bench.inference.runtime import CPU
from irt_bench.inference.seed_table import KnownItems, tabulate
from irt_bench.inference.seed_target import KnownItemsTarget
from irt_bench.irt_models.seeds import SeedDesign, SeedModel


@pytest.fixture
def parts(rng):
    frame = pd.DataFrame({"seed": [1, 2, 3, 1, 2, 3], "step": [1, 1, 1, 2, 2, 2]})
    design = SeedDesign.from_models(frame, np.ones(6, bool))
    shape = (2, 30)
    items = KnownItems(rng.normal(size=shape), np.exp(0.3 * rng.normal(size=shape)), np.zeros(shape), np.ones(shape))
    correct = rng.integers(0, 2, size=(6, 30))
    return design, items, correct


def test_each_draw_of_the_items_adds_its_own_likelihood(rng, parts):
    design, items, correct = parts
    model = SeedModel()
    target = KnownItemsTarget(model, design, tabulate(correct, np.ones_like(correct), items, prior_sd=2.0))
    hyper = target.start + torch.tensor(0.2 * rng.normal(size=len(target.start)))
    effects = torch.tensor(rng.normal(size=target.n_effects))
    found = target.log_density(hyper, effects)
    placed = target.coordinates.place(hyper.reshape(2, 1, 2), effects.reshape(2, -1), target.measured)
    cells = Cells.from_arrays(correct, np.ones_like(correct), device=CPU)
    for draw in range(2):
        curves = ItemCurves(torch.tensor(items.discrimination[draw]), torch.tensor(items.difficulty[draw]))
        exact = placed.log_density[draw] + log_likelihood(cells, placed.ability[draw], curves)
        assert float(found[draw]) == pytest.approx(float(exact), abs=1e-5)


def test_sites_of_many_draws_are_those_of_each(rng, parts):
    design, items, correct = parts
    table = tabulate(correct, np.ones_like(correct), items, prior_sd=2.0)
    target = KnownItemsTarget(SeedModel(), design, table)
    hyper = target.start + torch.tensor(0.2 * rng.normal(size=(5, len(target.start))))
    effects = torch.tensor(rng.normal(size=(5, target.n_effects)))
    many, one = target.sites(hyper, effects), target.sites(hyper[3], effects[3])
    assert many["sd_seed"].shape == (5, 2)
    assert many["ability"].shape == (5, 2, 6)
    for name, values in one.items():
        torch.testing.assert_close(many[name][3], values)
