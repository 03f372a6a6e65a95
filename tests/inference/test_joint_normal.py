import numpy as np
import pytest

from irt_bench import LaplaceSettings, OnePL, TwoPL, simulate_responses
from irt_bench.inference.fast import joint_normal
from irt_bench.inference.fast.joint_normal import conditional_variances, draw_jointly, make_precision
from irt_bench.inference.fast.laplace import _maximise
from irt_bench.inference.fast.parameter_updates import Items

N_MODELS = 400


@pytest.fixture(scope="module")
def mode():
    """A fit whose abilities are on a grid and whose items are too many for the exact way."""
    counts = simulate_responses(TwoPL(), n_models=N_MODELS, n_items=300, seed=2).table.counts()
    return _maximise(TwoPL(), counts.correct, counts.trials, LaplaceSettings(threads=1), None)


def shared_spread(mode, irt_model=TwoPL()):  # noqa: B008 - immutable
    """Sds of the abilities' mean and log sd over draws, in units of what the prior N(0, 1) leaves open."""
    ability = draw_jointly(irt_model, mode, np.random.default_rng(0), 2_000)["ability"][0].astype(float)
    found = ability.mean(axis=1).std(), np.log(ability.std(axis=1)).std()
    return np.array(found) * np.sqrt([ability.shape[1], 2 * ability.shape[1]])


def test_location_and_scale_are_as_uncertain_as_the_prior_says(mode):
    """Moving or stretching abilities and items together changes no answer's probability."""
    np.testing.assert_allclose(shared_spread(mode), 1, atol=0.15)


def shared_as_it_is(irt_model, items, shared, *, exact):
    return shared


def test_holding_the_sds_of_the_hierarchy_is_caught(mode, monkeypatch):
    """The negative control: known sds of the items would fix the scale."""
    monkeypatch.setattr(joint_normal, "MIN_INFORMATION", 1e9)
    monkeypatch.setattr(joint_normal, "_with_free_scale", shared_as_it_is)
    assert shared_spread(mode)[1] < 0.85


def mode_of_many_items(irt_model):
    counts = simulate_responses(irt_model, n_models=120, n_items=3_000, seed=4).table.counts()
    return _maximise(irt_model, counts.correct, counts.trials, LaplaceSettings(threads=1), None)


@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL()], ids=["1pl", "2pl"])
def test_many_items_tell_nothing_of_the_location_and_scale_that_all_share(irt_model, monkeypatch):
    """Both are the prior's; the information of 3,000 items is that of their differences."""
    mode = mode_of_many_items(irt_model)
    np.testing.assert_allclose(shared_spread(mode, irt_model), 1, atol=0.1)
    monkeypatch.setattr(joint_normal, "_with_free_scale", shared_as_it_is)  # the control
    assert shared_spread(mode, irt_model)[1] < 0.75


def test_observed_information_of_the_items_beside_expected_cross_derivatives_is_caught(monkeypatch):
    """The negative control: it takes information from the location that all share, until none is left."""
    right = joint_normal.item_blocks

    def observed(items, sums, *, residuals):
        blocks = right(items, sums)
        blocks[:, 1, 1] += items.slope * sums[1]
        return blocks

    mode = mode_of_many_items(TwoPL())
    monkeypatch.setattr(joint_normal, "item_blocks", observed)
    assert shared_spread(mode)[0] > 2


def test_sds_given_leave_the_means_alone_shared(mode):
    assert make_precision(TwoPL(), mode)[0].shared.shape == (4, 4)
    assert make_precision(TwoPL(), mode, with_sds=False)[0].shared.shape == (2, 2)


def test_the_precision_is_positive_definite_also_with_few_models():
    for irt_model in (OnePL(), TwoPL()):
        counts = simulate_responses(irt_model, n_models=40, n_items=600, seed=3).table.counts()
        few = _maximise(irt_model, counts.correct, counts.trials, LaplaceSettings(threads=1), None)
        bordered, _ = make_precision(irt_model, few)
        assert np.linalg.eigvalsh(bordered.abilities_precision()).min() > 0


@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL()], ids=["1pl", "2pl"])
def test_a_shared_slope_is_given_when_items_are_uncertain(rng, irt_model):
    """Draws of (intercept, log slope): of the 1PL only those at the slope tell how uncertain a difficulty is."""
    items = Items.start(irt_model, np.array([0.3, 0.6]))
    covariance = np.array([[[0.05, 0.03], [0.03, 0.04]]] * 2)
    drawn = rng.multivariate_normal(np.zeros(2), covariance[0], 400_000) / 100  # so small that first order is exact
    if irt_model.name == "1pl":
        drawn = drawn[np.abs(drawn[:, 1]) < 2e-5]
    b = -(items.intercept[0] + drawn[:, 0]) / np.exp(items.log_slope[0] + drawn[:, 1])
    found = conditional_variances(items, covariance)
    assert found[0][0] == pytest.approx(b.var() * 1e4, rel=0.05)
    assert found[1][0] == (0 if irt_model.name == "1pl" else 0.04)
