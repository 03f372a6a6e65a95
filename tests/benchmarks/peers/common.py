"""What every adapter shares: read the job, warm up, fit, measure, write. Needs numpy alone.

An adapter is a script run in its peer's environment with one argument, a JSON file: ``matrix`` (.npz, ``responses`` 1,
0 or -1, shape (model, item)), ``estimates`` (.npz to write: ``ability``, ``difficulty``, ``discrimination``, and
``_sd``, ``_q05``, ``_q95`` of each where the peer has them), ``record`` (JSON to write) and ``options``.
The option ``warm_up`` (true) can be set to false where a small fit takes long.
"""

import json
import resource
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

START = time.perf_counter()
Z90 = 1.6448536269514722  # half-width of a central 90% interval, in sds
WARM_UP_SHAPES = ((30, 20),)


def serve(prepare, fit, export, packages, warm_up=None, warm_up_shapes=WARM_UP_SHAPES):
    """Run one job.

    Parameters
    ----------
    prepare : callable
        (responses, options) → what the peer's fit takes; timed as loading.
    fit : callable
        (prepared, options) → fitted; timed.
    export : callable
        (fitted, prepared, options) → (estimates, notes); not timed.
    packages : sequence of str
        Whose versions are noted.
    warm_up : mapping, optional
        Options for fits of small matrices before the clock starts, so that compilers and thread pools are up.
    warm_up_shapes : sequence of (int, int), optional
        Sizes of those matrices; several where the peer has code of its own for wide ones. None: the matrix itself,
        where the peer compiles anew for every size; ``warm_up_cpu_seconds`` of the record are then its first fit's.
    """
    job = json.loads(Path(sys.argv[1]).read_text())
    options = job["options"]
    with np.load(job["matrix"]) as file:
        responses = file["responses"]
    import_seconds = time.perf_counter() - START
    cpu = cpu_seconds()
    if warm_up is not None and options.get("warm_up", True):
        small = [(np.random.default_rng(0).random(shape) < 0.6).astype(np.int8) for shape in warm_up_shapes or ()]
        for matrix in small or [responses]:
            fit(prepare(matrix, {**options, **warm_up}), {**options, **warm_up})
    warm_up_cpu, memory_before = cpu_seconds() - cpu, peak_mb()
    start = time.perf_counter()
    prepared = prepare(responses, options)
    loaded, cpu = time.perf_counter(), cpu_seconds()
    fitted = fit(prepared, options)
    done = time.perf_counter()
    record = {
        "fit_seconds": done - loaded,
        "cpu_seconds": cpu_seconds() - cpu,
        "warm_up_cpu_seconds": warm_up_cpu,
        "load_seconds": loaded - start,
        "import_seconds": import_seconds,
        "peak_mb": peak_mb() + children_mb() * options.get("jobs", 0),
        "before_mb": memory_before,
        "versions": {name: installed for name in packages if (installed := version_of(name))},
    }
    estimates, notes = export(fitted, prepared, options)
    np.savez(job["estimates"], **{name: np.asarray(value) for name, value in estimates.items()})
    Path(job["record"]).write_text(json.dumps(record | notes))


def cpu_seconds():
    """Processor time of this process and its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def peak_mb():
    """Peak resident memory of this process, MB (getrusage would count its parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM:"))


def children_mb():
    """Peak resident memory of the largest child, MB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000


def version_of(name):
    """Installed version, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def with_bounds(name, mean, sd):
    """Mean, sd and central 90% bounds of a Gaussian."""
    return {name: mean, f"{name}_sd": sd, f"{name}_q05": mean - Z90 * sd, f"{name}_q95": mean + Z90 * sd}


def from_draws(name, draws):
    """Mean, sd and central 90% bounds of draws, which lie on the first axis."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return {name: draws.mean(axis=0), f"{name}_sd": draws.std(axis=0), f"{name}_q05": low, f"{name}_q95": high}
