from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from simulated_seeds import SeedSimulation, planted_components, simulate_shares

from irt_bench.variance.components import two_way
from irt_bench.variance.small_sample import sd_interval


def test_components_are_the_analysis_of_variance():
    y = np.random.default_rng(0).normal(size=(5, 12))
    found = two_way(y)
    rest = y - y.mean(0) - y.mean(1, keepdims=True) + y.mean()
    squares = [12 * y.mean(1).var(ddof=1), 5 * y.mean(0).var(ddof=1), (rest**2).sum() / 44]
    np.testing.assert_allclose(found.mean_squares, squares)
    assert found.df[0] == 4


def test_the_noise_of_repeated_fractional_scores_is_parted_from_seed_x_item():
    rng = np.random.default_rng(3)
    z = rng.normal
    answers = z(size=(400, 5, 1, 1)) + 0.7 * z(size=(400, 5, 30, 1)) + z(size=(400, 5, 30, 3))
    trials = np.full((400, 5, 30), 3)
    found = two_way(answers.mean(-1), trials, within=answers.var(-1, ddof=1))
    t = (found.estimates.mean(0) - [1, 0, 0.49, 1]) / (found.estimates.std(0) / 20)
    assert found.components[-1] == "trial" and np.abs(t).max() < 4
    whole = two_way(answers.mean(-1), trials, within=np.full(trials.shape, np.nan)).estimates[:, 2]
    assert (whole.mean() - 0.49) / (whole.std() / 20) > 4  # negative control: not parted


PLAN = SeedSimulation(n_runs=1, n_seeds=5, n_steps=1, n_items=200, n_subtasks=40, guessing=0.2)


@lru_cache
def planted():
    """Expected components over benchmarks whose items are drawn."""
    rng = np.random.default_rng(5)
    draws = [planted_components(PLAN, PLAN.difficulty_sd * rng.normal(size=200)) for _ in range(1000)]
    return np.array([np.mean([getattr(each, name)[0] for each in draws]) for name in ("seed", "item", "residual")])


def _simulated(n_seeds):
    plan = replace(PLAN, n_seeds=n_seeds)
    return plan, simulate_shares(plan, np.random.default_rng(7), replicates=3200)[:, 0, :, 0], planted()


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
def test_components_of_binary_answers_are_unbiased_and_their_intervals_cover(
    record_components, record_coverage, bias, n_seeds
):
    plan, values, truth = _simulated(n_seeds)
    design = two_way(values, groups=plan.subtasks)
    assert np.abs(bias(design, truth)).max() < 4
    label = f"0/1 answers, {n_seeds} seeds"
    rows = record_components(design, truth, label, seeds=7)
    lower, upper = sd_interval(values.mean(axis=2).std(axis=1, ddof=1), n_seeds - 1)
    naive = (lower**2 <= truth[0]) & (truth[0] <= upper**2)
    control = "all variance of the scores taken for the seeds'"
    rows.append(record_coverage("components", f"{label}: seed", naive, seeds=7, control=control))
    assert all(row.right for row in rows), rows


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
def test_v_of_k_is_unbiased_and_its_interval_covers(record_coverage, n_seeds):
    plan, values, truth = _simulated(n_seeds)
    design = two_way(values, groups=plan.subtasks)
    draws = design.draws(np.random.default_rng(0))
    rows = []
    for k in (20, 100):
        expected = truth[0] + truth[2] / k
        point = design.estimates[:, 0] + design.estimates[:, 2] / k
        t = (point.mean() - expected) / (point.std() / np.sqrt(len(point)))
        assert abs(t) < 4
        sizes = {k: ""} | ({200: "V(200) taken for it"} if k == 20 else {})
        for size, control in sizes.items():
            lower, upper = np.quantile(draws[..., 0] + draws[..., 2] / size, [0.05, 0.95], axis=0)
            covered = (lower <= expected) & (expected <= upper)
            about = {"seeds": 7, "control": control, "limits": (0.85, 0.96)}
            rows.append(record_coverage("V(k)", f"k {k}, {n_seeds} seeds", covered, **about))
    assert all(row.right for row in rows), rows


@pytest.mark.slow
def test_treating_the_residual_as_seed_variance_is_caught_as_biased():
    _, values, truth = _simulated(5)
    naive = values.mean(axis=2).var(axis=1, ddof=1) + truth[2] / 200  # binomial noise counted twice
    assert abs(naive.mean() - truth[0] - truth[2] / 200) > 4 * naive.std() / np.sqrt(len(naive))


N_REPLICATES = 800  # standard error of a coverage of 90%: 1.1%


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
def test_components_of_repeated_scores_are_unbiased_and_their_intervals_cover(record_components, bias, n_seeds):
    z, n = np.random.default_rng(n_seeds).normal, (N_REPLICATES, n_seeds, 100)
    y = 0.5 * z(size=(*n[:2], 1, 1)) + 0.7 * z(size=(n[0], 1, 100, 1)) + 0.6 * z(size=(*n, 1)) + z(size=(*n, 3))
    design = two_way(y.mean(-1), np.full(n, 3), within=y.var(-1, ddof=1))
    truth, label = np.array([0.25, 0.49, 0.36, 1]), f"repeated fractional scores, {n_seeds} seeds"
    assert np.abs(bias(design, truth)).max() < 4
    rows = record_components(design, truth, label, seeds=n_seeds)
    whole, control = two_way(y.mean(-1)), "answers not told from cells"
    rows += record_components(whole, truth[:3], label, seeds=n_seeds, only=["seed:item"], control=control)
    assert all(row.right for row in rows), rows
