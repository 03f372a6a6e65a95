import numpy as np
import pytest

from irt_bench.inference.joint_coordinates import JointRoot, find_joint_coordinates
from irt_bench.inference.joint_normal import make_arrow
from irt_bench.inference.laplace import approximate, fit_laplace
from irt_bench.inference.likelihood import Cells
from irt_bench.inference.nuts import sample_nuts
from irt_bench.inference.posterior import Posterior
from irt_bench.inference.runtime import CPU
from irt_bench.inference.settings import LaplaceSettings, NUTSSettings
from irt_bench.irt_models.logistic import IRT_MODELS, OnePL, ThreePL, TwoPL

MODELS = [OnePL(), TwoPL(), ThreePL(guessing=0.2)]
SHAPES = {"abilities as they are": (34, 110), "abilities in their frame": (90, 110)}


@pytest.fixture(params=SHAPES)
def shape(request):
    return SHAPES[request.param]


def find(irt_model, counts):
    return find_joint_coordinates(irt_model, *counts, threads=1)


@pytest.mark.parametrize("irt_model", MODELS, ids=lambda each: each.name)
def test_the_gradient_is_that_of_the_density(rng, simulate_counts, irt_model, shape):
    found = find(irt_model, simulate_counts(*shape, missing=0.05))
    assert (found.posterior.alignment is not None) == (shape[0] == 90)
    point, step = rng.normal(size=(2, found.centre.size))
    up, down = (found.value_and_gradient(point + sign * 1e-6 * step)[0] for sign in (1, -1))
    assert found.value_and_gradient(point)[1] @ step == pytest.approx((up - down) / 2e-6, rel=1e-4)


@pytest.mark.parametrize("irt_model", MODELS, ids=lambda each: each.name)
def test_the_density_is_the_posteriors_and_the_jacobian_of_the_intercepts(rng, simulate_counts, irt_model, shape):
    found = find(irt_model, simulate_counts(*shape))
    points = rng.normal(size=(2, found.centre.size))
    flat = found.flat(points)
    log_slopes = [np.broadcast_to(each[found.posterior.layout["log_discrimination"]], shape[1]).sum() for each in flat]
    plain = [found.posterior.log_density(each)[0] for each in flat]
    ours = [found.value_and_gradient(point)[0] for point in points]
    assert ours[1] - ours[0] == pytest.approx(plain[1] - plain[0] - (log_slopes[1] - log_slopes[0]))
    assert abs(log_slopes[1] - log_slopes[0]) > 0.1  # or the Jacobian could be left out


@pytest.mark.parametrize("irt_model", MODELS[:2], ids=lambda each: each.name)
def test_the_root_is_one_of_the_inverse_of_the_joint_precision(simulate_counts, irt_model):
    """Against the precision written out whole, without a frame, means and sds in the arrow's units."""
    counts = simulate_counts(10, 105)
    mode = approximate(irt_model, *counts, threads=1).state
    arrow, _ = make_arrow(irt_model, mode)
    posterior = Posterior(irt_model, Cells.from_arrays(*counts, device=CPU))
    root = JointRoot.make(irt_model, posterior, mode, arrow)
    size = posterior.flatten(
        find(irt_model, counts).posterior.values(np.zeros(len(root.lower) + root.cross.shape[1]))
    ).size
    whole = np.array([root.deviation(one) for one in np.eye(size)]).T
    back = np.array([root.pull_back(one) for one in np.eye(size)])
    np.testing.assert_allclose(back, whole, atol=1e-12)
    layout, n_shared = posterior.layout, len(root.sd_scales)
    items = ("difficulty",) if irt_model.name == "1pl" else ("difficulty", "log_discrimination")
    order = [*range(10), *root._shared]
    order += [layout[name].start + item for item in range(105) for name in items]
    covariance = (whole @ whole.T)[np.ix_(order, order)]
    scale = np.ones(size)
    scale[10 : 10 + n_shared] = root.sd_scales
    cross = arrow.cross(slice(0, 105))
    n, p = 10 + n_shared, len(items)
    precision = np.zeros((size, size))
    precision[:10, :10] = np.diag(arrow.abilities)
    precision[:10, 10:n], precision[10:n, :10] = arrow.abilities_shared, arrow.abilities_shared.T
    precision[10:n, 10:n] = arrow.shared
    for item in range(105):
        at = slice(n + p * item, n + p * (item + 1))
        precision[at, at] = arrow.items[item]
        precision[:10, at], precision[at, :10] = -cross[:, item], -cross[:, item].T
        precision[10:n, at], precision[at, 10:n] = arrow.items_shared[item].T, arrow.items_shared[item]
    np.testing.assert_allclose(covariance / np.outer(scale, scale) @ precision, np.eye(size), atol=1e-3)


def test_a_mode_without_a_peak_is_left_to_other_coordinates(simulate_counts):
    assert find(ThreePL(guessing=0.2), simulate_counts(12, 110)) is None


def test_slopes_that_may_be_zero_are_left_to_other_coordinates(rng):
    right = rng.random((60, 110)) < np.linspace(0.2, 0.9, 60)[:, None]
    right[:, :55] = rng.random((60, 55)) < 0.5  # half of the items say nothing about ability
    assert find(TwoPL(), (right.astype(np.int8), np.ones((60, 110), dtype=np.int8))) is None
    right[:, :55] = right[:, 55:]
    assert find(TwoPL(), (right.astype(np.int8), np.ones((60, 110), dtype=np.int8))) is not None


def test_few_items_and_learned_asymptotes_are_left_to_other_coordinates(simulate_counts):
    assert find(TwoPL(), simulate_counts(50, 60)) is None
    counts = simulate_counts(50, 120)
    assert [name for name, make in IRT_MODELS.items() if find(make(), counts) is None] == ["3pl", "4pl"]


@pytest.mark.slow
@pytest.mark.parametrize("irt_model", MODELS[:2], ids=lambda each: each.name)
def test_nuts_draws_what_the_sweeps_of_the_fast_method_draw(rng, simulate_counts, irt_model):
    counts = simulate_counts(60, 120)
    assert find(irt_model, counts) is not None
    nuts = sample_nuts(irt_model, *counts, NUTSSettings(seed=1, chains=2, warmup=500, draws=1_000, jobs=2)).sites
    swept = fit_laplace(irt_model, *counts, LaplaceSettings(seed=1, draws=4_000)).sites
    correct, trials = counts
    flipped = np.where(rng.random(correct.shape) < 0.02, trials - correct, correct)
    other = fit_laplace(irt_model, flipped, trials, LaplaceSettings(seed=1, draws=4_000)).sites

    def distance(one, name):
        mean, sd = nuts[name].mean((0, 1)), nuts[name].std((0, 1))
        return np.mean(np.abs(one[name].mean((0, 1)) - mean) / sd)

    for name in nuts:
        assert distance(swept, name) < 0.1, name
        assert np.mean(swept[name].std((0, 1)) / nuts[name].std((0, 1))) == pytest.approx(1, abs=0.06), name
    assert distance(other, "difficulty") > 0.1  # negative control: two answers in a hundred turned around
