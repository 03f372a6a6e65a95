"""Planted answers: items that carry the seed x item noise are pruned, and where there are none nothing is said."""

import numpy as np
import pytest

from irt_bench.names import POOLED
from irt_bench.study.collect import is_reference
from irt_bench.study.design import make_design
from irt_bench.study.rows import RandomReferences, detectable_table, result_rows
from irt_bench.study.verdicts import CUTS, NO_DIFFERENCE
from irt_bench.variance.detect import POWER

from .conftest import compute_tasks, draw_table

SIZE = 30
ALIKE = {"n_steps": 1, "n_items": 100, "n_others": 4, "spread": 0.0, "shared": 0.05, "n_trials": 8}
PLANTED = ALIKE | {"n_runs": 12, "n_seeds": 4, "noisy": 0.6, "noise": 3.0}
NONE = ALIKE | {"n_runs": 6}
NEEDED = ("full", "random", "recipe")


def studied(seed, folder, shape):
    """Pooled rows of the ways to choose 30 items, and the ratio that could be found with 80% power."""
    table = draw_table([7, seed], **shape)
    design = make_design(
        {
            "sizes": (SIZE,), "methods": ("variance", "discrimination"), "estimators": ("weighted", "p_irt"),
            "n_folds": 2, "n_random": 400, "seed": seed,
        }
    )  # fmt: skip
    found = compute_tasks(table, design, folder, NEEDED)
    references = {SIZE: RandomReferences(found, found.random(SIZE))}
    rows = result_rows(found, references)
    detectable = detectable_table(found, {SIZE: references[SIZE].plain.variance})
    pooled = rows[(rows["run"] == POOLED) & ~is_reference(rows)].set_index(["method", "estimator"])
    return pooled, float(detectable["detectable_ratio_random"].iloc[0])


@pytest.mark.slow
def test_pruning_items_that_carry_the_noise_is_found_to_cut_with_the_stated_power(tmp_path):
    verdicts, ratios, detectable = [], [], []
    for seed in range(50):
        rows, could = studied(seed, tmp_path / str(seed), PLANTED)
        verdicts.append(rows.loc[("discrimination", "weighted"), ["verdict", "verdict_signal"]])
        ratios.append(rows.loc[("discrimination", "weighted"), "ratio"])
        detectable.append(could)
    assert np.median(ratios) <= 1.05 * np.median(detectable)  # the planted cut is one that should be found
    found = np.mean([each["verdict"] == CUTS for each in verdicts])
    print(f"ratio {np.median(ratios):.2f}, detectable {np.median(detectable):.2f}, found in {found:.0%}")
    least = POWER - 2 * np.sqrt(POWER * (1 - POWER) / len(verdicts))  # of so many repetitions
    assert found >= least
    assert np.mean([each["verdict_signal"] == CUTS for each in verdicts]) >= least


@pytest.mark.slow
def test_where_no_item_carries_noise_no_difference_is_shown_in_90_of_100(tmp_path):
    studies = [studied(seed, tmp_path / str(seed), NONE)[0] for seed in range(200)]
    for way in studies[0].index:
        silent = np.mean([rows.loc[way, "verdict"] == NO_DIFFERENCE for rows in studies])
        print(way, f"{silent:.1%}")
        assert silent >= 0.9
    for estimator in ("weighted", "p_irt"):  # of both methods at once: what Holm's correction promises
        silent = np.mean(
            [(rows.xs(estimator, level="estimator")["verdict"] == NO_DIFFERENCE).all() for rows in studies]
        )
        print(estimator, f"{silent:.1%}")
        assert silent >= 0.9
