import numpy as np
import pandas as pd
import pytest
from scipy import stats

from irt_bench.analysis.curves import (
    benchmark_information,
    correct_probabilities,
    expected_score_curve,
    observed_shares,
    response_probabilities,
    success_curves,
)
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.errors import AnalysisError

NODES = np.linspace(-3, 3, 13)


def test_information_is_the_squared_slope_over_the_variance(posterior):
    """Against numeric derivatives of P, with parameters that do not vary over draws."""
    fixed = posterior.isel(draw=[0, 0], chain=[0])
    step = 1e-5
    p, above, below = (success_curves(fixed, NODES + h)["probability"].values for h in (0, step, -step))
    expected = ((above - below) / (2 * step)) ** 2 / (p * (1 - p))
    each = [benchmark_information(fixed.sel(item=[item]), NODES)["information"] for item in fixed["item"].values]
    np.testing.assert_allclose(each, expected, rtol=1e-6)
    whole = benchmark_information(fixed, NODES)
    np.testing.assert_allclose(whole["information"], expected.sum(0), rtol=1e-6)
    np.testing.assert_allclose(whole["standard_error"], 1 / np.sqrt(expected.sum(0)), rtol=1e-6)
    np.testing.assert_allclose(expected_score_curve(fixed, NODES)["score"], p.mean(0), rtol=1e-12)


def test_extreme_abilities_do_not_overflow(posterior):
    assert np.isfinite(benchmark_information(posterior, [-1e6, 1e6])["information"]).all()


@pytest.mark.parametrize("nodes", [[np.nan], [], [[0.0]]])
def test_bad_nodes_are_refused(posterior, nodes):
    with pytest.raises(AnalysisError, match="finite"):
        success_curves(posterior, nodes)


def test_observed_shares_are_those_of_groups_of_like_ability_and_fall_for_a_mis_keyed_item(make_counts):
    rng = np.random.default_rng(3)
    ability = rng.normal(size=120)
    right = rng.random((120, 2)) < 1 / (1 + np.exp(-1.5 * np.stack([ability, -ability], axis=1)))
    trials = np.ones((120, 2), dtype=int)
    trials[ability < -1, 1] = 0
    counts = make_counts(right * trials, trials)
    found = observed_shares(pd.Series(ability, counts.models.index), counts)
    groups = np.array_split(np.argsort(ability), 8)
    np.testing.assert_allclose(found["proportion_correct"].sel(item="i0"), [right[group, 0].mean() for group in groups])
    assert found["n_models"].sel(item="i1").to_numpy().tolist() == [trials[group, 1].sum() for group in groups]
    wilson = stats.binomtest(int(right[groups[7], 0].sum()), 15).proportion_ci(0.9, method="wilson")
    limits = [float(found[f"proportion_correct_{end}"].sel(item="i0", group=8)) for end in ("q05", "q95")]
    np.testing.assert_allclose(limits, wilson, atol=1e-9)
    assert (
        found["proportion_correct"].sel(item="i0", group=8)
        > 0.7
        > 0.3
        > found["proportion_correct"].sel(item="i1", group=8)
    )
    assert np.isnan(found["proportion_correct"].sel(item="i1", group=1))


def test_probabilities_of_correct_responses_alone_are_the_same_ones():
    rng = np.random.default_rng(3)
    shape = (4, 5, 1)
    items = ItemParameters(
        rng.normal(size=shape), np.exp(rng.normal(size=shape)), rng.random(shape) / 3, np.ones(shape)
    )
    items = items._replace(discrimination=items.discrimination * 200.0 ** rng.integers(0, 2, shape))
    nodes = np.linspace(-10, 10, 41)
    expected, _ = response_probabilities(items, nodes)
    np.testing.assert_allclose(correct_probabilities(items, nodes), expected, rtol=1e-14)
