import pyro
import pytest
import torch
from threadpoolctl import threadpool_info

from irt_bench.inference.sampling.coordinates import pyro_runtime


def test_the_same_seed_gives_the_same_numbers_and_the_outer_stream_goes_on_as_if_nothing_was():
    torch.manual_seed(1)
    undisturbed = torch.rand(3)
    torch.manual_seed(1)
    drawn = []
    for _ in range(2):
        with pyro_runtime(seed=5, threads=1):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(3), undisturbed)


def test_threads_and_parameters_are_restored_even_after_a_failure():
    threads = torch.get_num_threads()
    pyro.param("mine", torch.tensor(1.0))
    with pytest.raises(RuntimeError), pyro_runtime(seed=0, threads=threads + 1):
        assert torch.get_num_threads() == threads + 1
        assert "mine" not in pyro.get_param_store()
        pyro.param("theirs", torch.tensor(2.0))
        raise RuntimeError
    assert torch.get_num_threads() == threads
    assert "mine" in pyro.get_param_store()
    assert "theirs" not in pyro.get_param_store()
    pyro.get_param_store().clear()


def test_threads_of_numpy_are_limited_as_well():
    before = blas_threads()
    with pyro_runtime(seed=0, threads=1):
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
