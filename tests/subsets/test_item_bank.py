import numpy as np
import pytest
from scipy import integrate, stats

from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.subsets.adaptive import NODES, item_bank


def parameters(difficulty, discrimination):
    b, a = np.broadcast_arrays(np.asarray(difficulty, dtype=float), np.asarray(discrimination, dtype=float))
    return ItemParameters(b, a, np.zeros(b.shape), np.ones(b.shape))


def test_known_items_tell_what_the_closed_form_of_the_2pl_says():
    bank = item_bank(parameters([0.0, 1.0], [1.0, 2.5]))
    p = 1 / (1 + np.exp(-2.5 * (NODES - 1)))
    np.testing.assert_allclose(bank.right[1], p, rtol=1e-12)
    np.testing.assert_allclose(bank.information[1], 2.5**2 * p * (1 - p), rtol=1e-9)
    assert (bank.scale == np.eye(len(NODES))).all()


def test_uncertain_difficulties_flatten_curves_as_integration_by_scipy_says():
    """Draws at quantiles of N(b, 0.8): the mean curve is the integral of the logistic over that normal."""
    quantiles = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    bank = item_bank(parameters(0.3 + 0.8 * quantiles[:, None], [[1.5]]))
    for node in (60, 120, 150):
        exact, _ = integrate.quad(
            lambda b, at=NODES[node]: stats.norm.pdf(b, 0.3, 0.8) / (1 + np.exp(-1.5 * (at - b))), -6, 6
        )
        assert bank.right[0, node] == pytest.approx(exact, abs=2e-4)
    slope = np.gradient(bank.right[0], NODES)
    information = slope**2 / (bank.right[0] * (1 - bank.right[0]))
    np.testing.assert_allclose(bank.information[0, 40:200], information[40:200], rtol=0.01)
    assert bank.information[0].max() < item_bank(parameters([0.3], [1.5])).information[0].max()


def test_what_all_items_are_wrong_by_together_is_put_on_the_ability_scale_and_not_on_the_curves():
    rng = np.random.default_rng(0)
    difficulty, shift, stretch = rng.normal(size=50), rng.normal(0, 0.3, (400, 1)), np.exp(rng.normal(0, 0.1, (400, 1)))
    shift, stretch = shift - shift.mean(), stretch / stretch.mean()
    bank = item_bank(parameters(shift + stretch * difficulty, 1.2 / stretch))
    known = item_bank(parameters(difficulty, np.full(50, 1.2)))
    np.testing.assert_allclose(bank.right, known.right, atol=0.005)
    at_one = bank.scale[140]  # the node at ability 1
    assert at_one.sum() == pytest.approx(1)
    assert at_one @ NODES == pytest.approx(1, abs=1e-6)
    sd = np.sqrt(at_one @ NODES**2 - 1)
    assert sd == pytest.approx(float((shift + stretch).std()), rel=0.02)


def test_items_all_alike_have_no_stretch_to_tell():
    rng = np.random.default_rng(1)
    bank = item_bank(parameters(rng.normal(0, 0.5, (200, 30)), 1.0))
    far = bank.scale[200]  # ability 4: a stretch would move it
    assert np.sqrt(far @ NODES**2 - (far @ NODES) ** 2) < 0.15
