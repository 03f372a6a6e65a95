import numpy as np
import pytest

from irt_bench.variance.components import two_way
from irt_bench.variance.simulate import SeedSimulation, planted_components, simulate_shares


def test_components_are_the_analysis_of_variance():
    y = np.random.default_rng(0).normal(size=(5, 12))
    found = two_way(y)
    rest = y - y.mean(0) - y.mean(1, keepdims=True) + y.mean()
    squares = [12 * y.mean(1).var(ddof=1), 5 * y.mean(0).var(ddof=1), (rest**2).sum() / 44]
    np.testing.assert_allclose(found.mean_squares, squares)
    assert found.freedom[0] == 4


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


def _simulated(n_seeds):
    plan = SeedSimulation(n_runs=1, n_seeds=n_seeds, n_steps=1, n_items=200, n_subtasks=40, guessing=0.2)
    rng = np.random.default_rng(7)
    values = simulate_shares(plan, rng, replicates=800)[:, 0, :, 0]
    draws = [planted_components(plan, plan.difficulty_sd * rng.normal(size=200)) for _ in range(300)]
    truth = [np.mean([getattr(each, name)[0] for each in draws]) for name in ("seed", "item", "residual")]
    return plan, values, np.array(truth)


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
def test_components_of_binary_answers_are_unbiased_and_their_intervals_cover(print_coverage, n_seeds):
    plan, values, truth = _simulated(n_seeds)
    design = two_way(values, groups=plan.subtasks)
    t = (design.estimates.mean(0) - truth) / (design.estimates.std(0) / np.sqrt(len(values)))
    assert np.abs(t).max() < 4
    found = design.intervals(np.random.default_rng(0))
    covered = ((found.lower <= truth) & (truth <= found.upper)).mean(axis=0)
    print_coverage(f"binary, seeds {n_seeds}", design, t, covered)
    assert (covered > 0.85).all() and (covered < 0.95).all()


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
def test_v_of_k_is_unbiased_and_its_interval_covers(n_seeds):
    plan, values, truth = _simulated(n_seeds)
    design = two_way(values, groups=plan.subtasks)
    draws = design.draws(np.random.default_rng(0))
    for k in (20, 100):
        expected = truth[0] + truth[2] / k
        point = design.estimates[:, 0] + design.estimates[:, 2] / k
        t = (point.mean() - expected) / (point.std() / np.sqrt(len(point)))
        assert abs(t) < 4
        lower, upper = np.quantile(draws[..., 0] + draws[..., 2] / k, [0.05, 0.95], axis=0)
        covered = ((lower <= expected) & (expected <= upper)).mean()
        print(f"V({k}), seeds {n_seeds}: t {t:.2f}, covered {covered:.3f}")
        assert 0.85 < covered < 0.96


@pytest.mark.slow
def test_treating_the_residual_as_seed_variance_is_caught_as_biased():
    _, values, truth = _simulated(5)
    naive = values.mean(axis=2).var(axis=1, ddof=1) + truth[2] / 200  # binomial noise counted twice
    assert abs(naive.mean() - truth[0] - truth[2] / 200) > 4 * naive.std() / np.sqrt(len(naive))


N_REPLICATES = 800  # standard error of a coverage of 90%: 1.1%


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
def test_components_of_repeated_fractional_scores_are_unbiased_and_their_intervals_cover(unbiased_coverage, n_seeds):
    z, n = np.random.default_rng(n_seeds).normal, (N_REPLICATES, n_seeds, 100)
    y = 0.5 * z(size=(*n[:2], 1, 1)) + 0.7 * z(size=(n[0], 1, 100, 1)) + 0.6 * z(size=(*n, 1)) + z(size=(*n, 3))
    design = two_way(y.mean(-1), np.full(n, 3), within=y.var(-1, ddof=1))
    covered = unbiased_coverage(design, np.array([0.25, 0.49, 0.36, 1]), f"trials {n_seeds}")
    assert (covered > 0.85).all() and (covered < 0.95).all()
