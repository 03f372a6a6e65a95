import os

import pytest

from irt_bench import LaplaceSettings
from irt_bench.errors import FitError
from irt_bench.inference.settings import ONE_THREAD, settings_for


@pytest.fixture
def idle(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "getloadavg", lambda: (1.2, 0.0, 0.0))


def test_threads_are_those_that_the_last_minute_left_idle(idle):
    assert LaplaceSettings().n_threads == 7


def test_small_matrices_are_swept_by_one_thread(idle):
    assert LaplaceSettings().sweep_threads(ONE_THREAD - 1) == 1
    assert LaplaceSettings().sweep_threads(ONE_THREAD) == 7


def test_threads_asked_for_are_used(idle):
    assert LaplaceSettings(threads=3).n_threads == 3
    assert LaplaceSettings(threads=3).sweep_threads(100) == 3


def test_a_busy_machine_gives_one_thread(monkeypatch, idle):
    monkeypatch.setattr(os, "getloadavg", lambda: (20.0, 0.0, 0.0))
    assert LaplaceSettings().n_threads == 1


@pytest.mark.parametrize(
    ("method", "name"),
    [
        *(("laplace", name) for name in ("draws", "threads", "max_sweeps", "seed")),
        *(
            ("nuts", name)
            for name in ("chains", "warmup", "draws", "jobs", "threads", "max_tree_depth", "target_accept")
        ),
        *(("svi", name) for name in ("draws", "max_steps", "window", "threads", "learning_rate")),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(method, name):
    for value in (10**10, -1):
        with pytest.raises(FitError, match=rf"^{name} is {value}: Input should be"):
            settings_for(method, **{name: value})
