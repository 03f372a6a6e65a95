import numpy as np
import pandas as pd
import pytest
from scipy import stats

from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.subsets.compare import coverage_by, coverage_summary, within_interval


def held_out(rng, *, n_models=400, n_clusters=400, half=Z_LIMIT, shared=0.0, methods=("a", "b")):
    """Errors N(0, 1), part of which models of a cluster share; intervals of `half` width."""
    cluster = np.arange(n_models) % n_clusters
    parts = []
    for method in methods:
        error = np.sqrt(1 - shared) * rng.normal(size=n_models) + np.sqrt(shared) * rng.normal(size=n_clusters)[cluster]
        parts.append(
            pd.DataFrame(
                {
                    "size": 20, "method": method, "weights": "equal", "estimator": "e", "cluster": cluster,
                    "truth": 0.0, "estimate": error, "q05": error - half, "q95": error + half,
                }
            )
        )  # fmt: skip
    return pd.concat(parts)


def test_shares_of_independent_models_have_the_binomial_error():
    found = coverage_by(held_out(np.random.default_rng(0)), ["method"], np.random.default_rng(1))
    for row in found.itertuples():
        assert row.coverage_se == pytest.approx(np.sqrt(row.coverage * (1 - row.coverage) / 400), rel=0.1)
        exact = stats.binomtest(round(400 * row.coverage), 400).proportion_ci(0.9)
        assert (row.coverage_q05, row.coverage_q95) == pytest.approx((exact.low, exact.high), abs=0.012)


def test_errors_that_families_share_widen_the_interval_of_a_share():
    alone, shared = (
        coverage_by(
            held_out(np.random.default_rng(2), n_clusters=20, shared=part), ["method"], np.random.default_rng(1)
        )
        for part in (0.0, 0.9)
    )
    assert shared["coverage_se"].mean() > 1.7 * alone["coverage_se"].mean()


def test_limits_at_the_truth_hold_and_one_cluster_has_no_error():
    frame = held_out(np.random.default_rng(0), n_models=4, n_clusters=1)
    frame[["q05", "q95"]] = [0.0, 1e-12]
    assert within_interval(frame).all()
    found = coverage_by(frame, ["method"], np.random.default_rng(0))
    assert (found["coverage"] == 1).all() and found["coverage_se"].isna().all()


def test_the_summary_expects_of_right_intervals_what_they_do_and_catches_short_ones():
    rng = np.random.default_rng(3)
    many = [f"m{k}" for k in range(60)]
    right = coverage_summary(held_out(rng, n_models=80, n_clusters=80, methods=many), rng).loc[(20, "all")]
    assert right["coverage"] == pytest.approx(0.9, abs=0.015)
    exact = stats.binom.cdf(75, 80, 0.9) - stats.binom.cdf(68, 80, 0.9)  # 69 to 75 of 80 are 0.8625 to 0.9375
    assert right["in_range_expected"] == pytest.approx(exact, abs=0.06)
    assert right["in_range"] == pytest.approx(right["in_range_expected"], abs=0.17)
    short = coverage_summary(held_out(rng, n_models=80, n_clusters=80, half=1.1, methods=many), rng).loc[(20, "all")]
    assert short["coverage_q95"] < 0.8 and short["in_range"] < 0.1
