import numpy as np
import torch

from irt_bench.inference.chains import run_chain, sample_stats
from irt_bench.inference.runtime import pyro_runtime
from irt_bench.inference.settings import NUTSSettings

SETTINGS = NUTSSettings(chains=1, warmup=100, draws=300, jobs=1)


def test_a_chain_draws_from_the_density_and_keeps_its_energies():
    counted = []
    with pyro_runtime(seed=1, threads=1):
        chain = run_chain(
            lambda point: (point["a"] ** 2).sum() / 2 + ((point["b"] - 3) ** 2).sum() / 8,
            {"a": torch.zeros(2, dtype=torch.float64), "b": torch.zeros(1, dtype=torch.float64)},
            SETTINGS,
            after_each=lambda: counted.append(1),
        )
    a, b = (chain.samples[name].numpy() for name in "ab")
    assert np.abs(a.std(axis=0) - 1).max() < 0.25 and abs(b.mean() - 3) < 0.8 and abs(b.std() - 2) < 0.5
    stats = sample_stats([chain, chain])
    assert stats["energy"].shape == stats["diverging"].shape == (2, 300) and len(counted) == 400
    assert np.isfinite(stats["energy"]).all() and not stats["diverging"].any()
