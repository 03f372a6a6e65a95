import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

WAITING = textwrap.dedent("""
    import os, time
    import joblib
    from irt_bench.workers import processes

    def wait(place):
        print(os.getpid(), flush=True)
        time.sleep(60)

    joblib.Parallel(n_jobs=2, **processes())(joblib.delayed(wait)(place) for place in range(2))
""")


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_with_a_parent_that_was_killed_and_leave_signals_to_it():
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True) as parent:
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        for worker in workers:
            os.kill(worker, signal.SIGTERM)
            os.kill(worker, signal.SIGINT)
        time.sleep(0.3)
        assert all(map(is_running, workers))
        parent.kill()
    deadline = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_running, workers))
