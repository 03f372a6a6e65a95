import numpy as np
import pytest
import torch
from scipy import stats

from irt_bench.inference.sampling.likelihood import (
    CHUNK_CELLS,
    ItemCurves,
    ResponseCells,
    log_likelihood,
    value_and_gradient,
)
from irt_bench.irt_models.program import DTYPE

GUESSING, UPPER = 0.2, 0.9


def point(rng, n_models, n_items, *, asymptotes):
    values = [rng.normal(size=n_models), np.exp(0.4 * rng.normal(size=n_items)), rng.normal(size=n_items)]
    if asymptotes:
        values += [np.full(n_items, GUESSING), np.full(n_items, UPPER)]
    return [torch.tensor(value, dtype=DTYPE, requires_grad=True) for value in values]


def reference(cells, ability, slope, difficulty, guessing=None, upper=None):
    """Log-likelihood by torch's own distributions and automatic differentiation."""
    known = torch.sigmoid(slope * (ability[:, None] - difficulty))
    probability = known if guessing is None else guessing + (upper - guessing) * known
    trials = torch.ones_like(known) if cells.trials is None else cells.trials.to(DTYPE)
    right = cells.correct.to(DTYPE)
    return (torch.xlogy(right, probability) + torch.xlogy(trials - right, 1 - probability)).sum()


@pytest.mark.parametrize("asymptotes", [False, True])
@pytest.mark.parametrize("n_samples", [1, 7])
@pytest.mark.parametrize("shape", [(1, 1), (40, 33), (3, CHUNK_CELLS["cpu"] + 1), (700, 101)])
def test_value_and_gradient_agree_with_automatic_differentiation(rng, simulate_cells, shape, n_samples, asymptotes):
    cells = simulate_cells(*shape, n_samples=n_samples, missing=0.3)
    parameters = point(rng, *shape, asymptotes=asymptotes)
    expected = reference(cells, *parameters)
    value = log_likelihood(cells, parameters[0], ItemCurves(*parameters[1:]))
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-8)
    for got, wanted in zip(
        torch.autograd.grad(value, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8)


def test_complete_single_trials_agree_with_scipy(rng, simulate_cells):
    cells = simulate_cells(30, 17)
    assert cells.trials is None
    ability, slope, difficulty = (value.detach() for value in point(rng, 30, 17, asymptotes=False))
    probability = 1 / (1 + np.exp(-slope.numpy() * (ability.numpy()[:, None] - difficulty.numpy())))
    expected = stats.bernoulli.logpmf(cells.correct.numpy(), probability).sum()
    value = value_and_gradient(cells, ability, ItemCurves(slope, difficulty))[0]
    assert float(value) == pytest.approx(expected, rel=1e-12)


def test_never_asked_cells_add_exactly_nothing(rng, simulate_cells):
    cells = simulate_cells(20, 10, missing=0.4)
    ability, slope, difficulty = (value.detach() for value in point(rng, 20, 10, asymptotes=False))
    before = value_and_gradient(cells, ability, ItemCurves(slope, difficulty))[0]
    wide = [torch.cat([part, torch.zeros(20, 1, dtype=part.dtype)], dim=1) for part in (cells.correct, cells.trials)]
    more = ItemCurves(torch.cat([slope, slope[:1]]), torch.cat([difficulty, difficulty[:1]]))
    after = value_and_gradient(ResponseCells(*wide), ability, more)[0]
    torch.testing.assert_close(after, before, rtol=1e-14, atol=0)


def test_trials_merged_into_counts_have_the_same_likelihood(rng, simulate_cells):
    cells = simulate_cells(15, 8, n_samples=1)
    ability, slope, difficulty = (value.detach() for value in point(rng, 15, 8, asymptotes=False))
    once = value_and_gradient(cells, ability, ItemCurves(slope, difficulty))[0]
    three = ResponseCells(cells.correct * 3, torch.full_like(cells.correct, 3))
    thrice = value_and_gradient(three, ability, ItemCurves(slope, difficulty))[0]
    torch.testing.assert_close(thrice, 3 * once, rtol=1e-12, atol=0)


def test_far_tails_stay_finite():
    cells = ResponseCells.from_arrays(np.array([[1, 0]], dtype=np.int8), np.ones((1, 2), dtype=np.int8))
    curves = ItemCurves(torch.tensor([50.0, 50.0], dtype=DTYPE), torch.tensor([30.0, -30.0], dtype=DTYPE))
    value, by_ability, by_item, _ = value_and_gradient(cells, torch.zeros(1, dtype=DTYPE), curves)
    assert torch.isfinite(value)
    assert torch.isfinite(by_ability).all()
    assert torch.isfinite(by_item.discrimination).all()


def test_a_wrong_gradient_would_be_noticed(rng, simulate_cells):
    """Negative control of the comparison above: swapping two gradients does not pass."""
    cells = simulate_cells(40, 40, missing=0.1)
    parameters = point(rng, 40, 40, asymptotes=False)
    expected = torch.autograd.grad(reference(cells, *parameters), parameters)
    _, by_ability, by_item, _ = value_and_gradient(
        cells, *[parameters[0].detach()], ItemCurves(*[p.detach() for p in parameters[1:]])
    )
    assert not torch.allclose(by_item.difficulty, expected[1], rtol=1e-2)
    assert not torch.allclose(by_item.discrimination, expected[2], rtol=1e-2)
    assert torch.allclose(by_ability, expected[0])
