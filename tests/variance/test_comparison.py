from irt_bench.variance.benchmark_runs import one_measure
from irt_bench.variance.comparison import compare_variance
from irt_bench.variance.simulate import SeedSimulation, simulate_seeds


def test_a_noisier_benchmark_is_called_noisier_and_the_same_one_is_not():
    quiet = one_measure(simulate_seeds(SeedSimulation(n_seeds=10, seed_sd=0.02, subtask_sd=0, item_sd=0), seed=1))[0]
    noisy = one_measure(simulate_seeds(SeedSimulation(n_seeds=10, seed_sd=0.6), seed=2))[0]
    found = compare_variance(noisy, quiet, labels=("noisy", "quiet"), n_bootstrap=50)
    assert found.verdict == "higher" and found.ratio_q05 > 1 and found.n_matched == 200
    same = compare_variance(quiet, quiet, labels=("a", "a"), n_bootstrap=50)
    assert same.verdict == "no difference shown" and same.ratio == 1
