"""The only door to the global state of torch and Pyro: seed, threads of all libraries, parameter store, validation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import torch
from threadpoolctl import threadpool_limits

DTYPE = torch.float64  # log-likelihoods of a million cells need more than float32's seven digits
CPU = torch.device("cpu")


@contextmanager
def pyro_runtime(*, seed: int, threads: int) -> Iterator[None]:
    """Run a block with its own random state, thread count and parameter store; restore what was before.

    NumPy's threads are limited too: on a busy machine they wait for one another longer than they work.
    """
    threads_before = torch.get_num_threads()
    random_before = torch.get_rng_state()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(seed)
        with pyro.get_param_store().scope(), pyro.validation_enabled(False), threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(threads_before)
        torch.set_rng_state(random_before)
