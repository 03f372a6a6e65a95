import pandas as pd

from irt_bench.study.results import paper_rows


def row(method, weights, estimator, size, e):
    return {
        "benchmark": "b", "run": "pooled", "method": method, "weights": weights, "estimator": estimator, "size": size,
        "mean": 0.5, "e": e, "seed_sd": e, "monotonicity": 0.9, "movement": 1.0, "v_k_sd": 0.04,
    }  # fmt: skip


def test_the_random_column_is_that_of_equal_weights():
    """Reweighted random items come first in the results and must not stand for the null."""
    results = pd.DataFrame(
        [
            row("full", "equal", "weighted", 500, 0.01),
            row("random", "minimum-variance", "weighted", 100, 0.02),
            row("anchors-irt", "anchor", "p_irt", 100, 0.025),
            row("random", "equal", "weighted", 100, 0.03),
            row("random", "equal", "p_irt", 100, 0.027),
        ]
    )
    (found,) = paper_rows(results).to_dict("records")
    assert (found["e_full"], found["e_p_irt"], found["e_random"]) == (0.01, 0.025, 0.03)
    assert found["e_random_p_irt"] == 0.027
    assert pd.isna(found["e_gp_irt"]) and pd.isna(found["e_random_gp_irt"])
