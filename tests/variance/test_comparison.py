import numpy as np
import pandas as pd
import pytest
from simulated_seeds import SeedSimulation, simulate_seeds

from irt_bench import seed_variance, table_from_frame
from irt_bench.variance.paired_scores import compare_variance
from irt_bench.variance.seed_variance import one_measure


def test_a_noisier_benchmark_is_called_noisier_and_the_same_one_is_not():
    quiet = one_measure(simulate_seeds(SeedSimulation(n_seeds=10, seed_sd=0.02, subtask_sd=0, item_sd=0), seed=1))[0]
    noisy = one_measure(simulate_seeds(SeedSimulation(n_seeds=10, seed_sd=0.6), seed=2))[0]
    found = compare_variance(noisy, quiet, labels=("noisy", "quiet"), n_bootstrap=50)
    assert found.verdict == "higher" and found.ratio_q05 > 1 and found.n_matched == 200
    same = compare_variance(quiet, quiet, labels=("a", "a"), n_bootstrap=50)
    assert same.verdict == "no difference shown" and same.ratio == 1


@pytest.mark.parametrize("flat", ["both", "one"])
def test_a_measure_with_one_value_for_all_seeds_is_not_compared(flat):
    """Not a division by zero, nor a ratio of 0 or infinity with a verdict."""
    rng = np.random.default_rng(0)
    rows = [
        {"model": f"A-{s}", "run": "A", "seed": s, "item": f"i{i}", "gold": 0, "choice_logprobs": [-1 - i / 50, -2.0],
         "correct": i % 2 if flat == "both" else int(rng.random() < 0.5)}
        for s in (1, 2, 3)
        for i in range(40)
    ]  # fmt: skip
    found = seed_variance(table_from_frame(pd.DataFrame(rows), benchmark="b"), n_subsets=5, n_bootstrap=5).result
    assert (found.measures[["verdict", "snr_verdict"]] == "undefined").all(axis=None)
    ratios = found.measures.filter(regex="ratio|bootstrap|pitman")
    assert len(found.measures) == 4 and ratios.isna().all(axis=None)
    assert any("not compared with accuracy" in note for note in found.notes)
    equal = found.metrics[found.metrics["seed_sd_open"] == "equal scores"]
    assert len(equal) == (5 if flat == "both" else 4)
    assert (equal[["seed_sd", "seed_sd_q05"]] == 0).all(axis=None)
    assert equal[["seed_sd_q95", "seed_sd_df", "snr", "mean_q05"]].isna().all(axis=None)
    detectable = found.detectable[found.detectable["measure"] == "brier"]
    assert detectable[["detectable", "seeds_needed"]].isna().all(axis=None)
