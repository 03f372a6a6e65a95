import numpy as np
import pytest

from irt_bench.variance.components import with_steps, with_subtasks


def test_planted_effects_over_steps_and_subtasks_are_found_without_bias():
    rng = np.random.default_rng(1)
    z = rng.normal
    y = 2 * z(size=(400, 4, 1, 1)) + z(size=(400, 4, 3, 1)) + z(size=(400, 4, 1, 30)) + z(size=(400, 4, 3, 30))
    found = with_steps(y).estimates
    truth = dict(zip(with_steps(y).components, [4, 0, 0, 1, 1, 0, 1], strict=True))
    t = (found.mean(0) - list(truth.values())) / (found.std(0) / 20)
    assert np.abs(t).max() < 4
    codes = np.repeat(np.arange(6), [3, 4, 5, 5, 6, 7])
    y = z(size=(400, 5, 1)) + 0.7 * z(size=(400, 5, 6))[..., codes] + z(size=(400, 1, 6))[..., codes]
    y = y + 0.5 * z(size=(400, 1, 30)) + z(size=(400, 5, 30))
    found = with_subtasks(y, codes).estimates
    t = (found.mean(0) - [1, 1, 0.25, 0.49, 1]) / (found.std(0) / 20)
    assert np.abs(t).max() < 4


N_REPLICATES = 800  # standard error of a coverage of 90%: 1.1%


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
def test_components_over_steps_are_unbiased_and_their_intervals_cover(record_components, bias, n_seeds):
    z, n = np.random.default_rng(n_seeds).normal, (N_REPLICATES, n_seeds, 6, 100)
    y = 0.5 * z(size=(*n[:2], 1, 1)) + 0.3 * z(size=(n[0], 1, 6, 1)) + z(size=(n[0], 1, 1, 100)) + z(size=n)
    y = y + 0.4 * z(size=(*n[:3], 1)) + 0.7 * z(size=(*n[:2], 1, 100)) + 0.5 * z(size=(n[0], 1, 6, 100))
    design, truth = with_steps(y), np.array([0.25, 0.09, 1, 0.16, 0.49, 0.25, 1])
    assert np.abs(bias(design, truth)).max() < 4
    rows = record_components(design, truth, f"6 steps, {n_seeds} seeds", seeds=n_seeds)
    assert all(row.right for row in rows), rows


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
@pytest.mark.parametrize("uneven", [False, True])
def test_components_of_subtasks_are_unbiased_and_their_intervals_cover(record_components, bias, n_seeds, uneven):
    z, n = np.random.default_rng(n_seeds).normal, (N_REPLICATES, n_seeds)
    sizes = np.random.default_rng(1).integers(3, 20, 20) if uneven else np.full(20, 10)
    codes = np.repeat(np.arange(20), sizes)
    y = 0.5 * z(size=(*n, 1)) + 0.6 * z(size=(n[0], 1, 20))[..., codes] + z(size=(n[0], 1, len(codes)))
    y = y + 0.7 * z(size=(*n, 20))[..., codes] + z(size=(*n, len(codes)))
    truth, label = np.array([0.25, 0.36, 1, 0.49, 1]), f"20 {'un' if uneven else ''}even subtasks, {n_seeds} seeds"
    design = with_subtasks(y, codes)
    assert np.abs(bias(design, truth)).max() < 4
    rows = record_components(design, truth, label, seeds=n_seeds)
    shuffled = with_subtasks(y, np.random.default_rng(2).permutation(codes))
    assert np.abs(bias(shuffled, truth)).max() > 4
    wrong = {"only": ["subtask", "seed:subtask"], "control": "items' subtasks shuffled"}
    rows += record_components(shuffled, truth, label, seeds=n_seeds, **wrong)
    assert all(row.right for row in rows), rows
