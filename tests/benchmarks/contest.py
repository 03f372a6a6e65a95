"""Who is compared, and one cell of the comparison: an entrant on a matrix, in a process of its own, with a time limit.

A cell's outcome is one JSON file; a cell that has one is not run again. Whatever happens in it (a time-out, a crash, a
peer that is not installed) is an outcome too, and the run goes on.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import environments
import numpy as np
from matrices import Matrix

PEERS: Final = Path(__file__).resolve().parent / "peers"
MILLION: Final = 10**6


@dataclass(frozen=True)
class Entrant:
    """One way of fitting.

    Parameters
    ----------
    script : str
        Adapter in ``peers/``.
    environment : str
        Whose interpreter runs it.
    irt_model : {"2pl", "1pl"}
        It is compared on matrices of this kind.
    held_out : bool
        Only on held-out answers (`dimensions.py`).
    options : mapping
        For the adapter.
    most_cells : int
        Larger matrices are left out: the fit would not end, or is known to fail there.
    extrapolated : mapping
        Number of cells → options that replace others on matrices with more cells than that.
    """

    script: str
    environment: str = environments.OURS
    irt_model: str = "2pl"
    held_out: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    most_cells: int = 200 * MILLION
    extrapolated: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def options_for(self, n_cells: int) -> dict[str, Any]:
        """Options on a matrix of this size."""
        found = {"irt_model": self.irt_model, **self.options}
        for limit, replaced in sorted(self.extrapolated.items()):
            found |= replaced if n_cells > limit else {}
        return found


OURS_SCRIPT: Final = "irt_bench_fit.py"
FEWER_EPOCHS: Final = {3 * MILLION: {"epochs_run": 100}, 20 * MILLION: {"epochs_run": 4}}
NUTS_OPTIONS: Final = {"method": "nuts", "chains": 2, "warmup": 500, "draws": 500, "jobs": 2, "warm_up": False}
NUMPYRO_OPTIONS: Final = {"chains": 2, "warmup": 500, "draws": 500}
ENTRANTS: Final[Mapping[str, Entrant]] = {
    "laplace": Entrant(OURS_SCRIPT, options={"method": "laplace"}),
    "laplace alone": Entrant(OURS_SCRIPT, options={"method": "laplace", "checks": False}),
    "laplace alone unrefined": Entrant(
        OURS_SCRIPT, options={"method": "laplace", "checks": False, "refine": False}, most_cells=MILLION // 10
    ),
    "laplace 1pl": Entrant(OURS_SCRIPT, irt_model="1pl", options={"method": "laplace"}),
    "svi": Entrant(OURS_SCRIPT, options={"method": "svi"}, most_cells=MILLION),
    "nuts": Entrant(OURS_SCRIPT, options=NUTS_OPTIONS, most_cells=2 * MILLION),
    "40 numpy passes": Entrant("numpy_passes.py", options={"passes": 40}),
    "py-irt": Entrant(
        "py_irt_fit.py", "py-irt", options={"priors": "hierarchical", "epochs": 2_000}, extrapolated=FEWER_EPOCHS
    ),
    "py-irt vague": Entrant(
        "py_irt_fit.py", "py-irt", options={"priors": "vague", "epochs": 2_000}, most_cells=MILLION
    ),
    "py-irt long": Entrant(
        "py_irt_fit.py",
        "py-irt",
        options={"priors": "hierarchical", "epochs": 10_000, "snapshot_every": 1_000},
        most_cells=MILLION,
    ),
    "girth": Entrant("girth_fit.py", "girth", most_cells=5 * MILLION),
    "girth rasch": Entrant("girth_fit.py", "girth", "1pl", most_cells=50 * MILLION),
    "mirt.py": Entrant("mirt_py_fit.py", "mirt.py", most_cells=25 * MILLION),
    "mirt.py 2d": Entrant("mirt_py_fit.py", "mirt.py", held_out=True, options={"n_factors": 2}, most_cells=3 * MILLION),
    "mirt.py 1pl": Entrant("mirt_py_fit.py", "mirt.py", "1pl", most_cells=MILLION),
    "theta-irt": Entrant("theta_irt_fit.py", "theta-irt", options={"se": False}, most_cells=25 * MILLION),
    "theta-irt with se": Entrant("theta_irt_fit.py", "theta-irt", options={"se": True}, most_cells=300_000),
    "numpyro": Entrant("numpyro_fit.py", "numpyro", options=NUMPYRO_OPTIONS, most_cells=MILLION),
    "numpyro dense": Entrant(
        "numpyro_fit.py", "numpyro", options={**NUMPYRO_OPTIONS, "dense_mass": True}, most_cells=MILLION
    ),
    "lme4": Entrant("lme4_fit.R", "lme4", "1pl", most_cells=MILLION),
    "mirt": Entrant("mirt_fit.R", "mirt", options={"se": False}, most_cells=MILLION),
    "mirt with se": Entrant("mirt_fit.R", "mirt", options={"se": True}, most_cells=200_000),
}


@dataclass(frozen=True)
class Place:
    """Folder of a comparison: matrices, records and estimates."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("matrices", "cells", "estimates"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def matrix(self, name: str, suffix: str = ".npz") -> Path:
        """Responses and truth."""
        return self.folder / "matrices" / f"{name}{suffix}"

    def cell(self, matrix: str, entrant: str, repeat: int) -> Path:
        """Outcome of one run."""
        return self.folder / "cells" / f"{cell_name(matrix, entrant, repeat)}.json"

    def estimates(self, matrix: str, entrant: str, repeat: int) -> Path:
        """Estimates of one run."""
        return self.folder / "estimates" / f"{cell_name(matrix, entrant, repeat)}.npz"

    def records(self) -> list[dict[str, Any]]:
        """All outcomes so far."""
        return [json.loads(path.read_text()) for path in sorted((self.folder / "cells").glob("*.json"))]


def cell_name(matrix: str, entrant: str, repeat: int) -> str:
    """Stem of a cell's files."""
    return f"{matrix}__{entrant.replace(' ', '-')}__{repeat}"


def run_cell(place: Place, matrix: str, name: str, repeat: int, *, limit: float, threads: int) -> dict[str, Any]:
    """Run an entrant on a matrix, unless it was, and return the outcome."""
    path = place.cell(matrix, name, repeat)
    if path.is_file():
        return dict(json.loads(path.read_text()))
    outcome = {
        "matrix": matrix,
        "entrant": name,
        "repeat": repeat,
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "load_average": os.getloadavg()[0],
        "threads": threads,
    }
    outcome |= _outcome(place, matrix, name, repeat, limit=limit, threads=threads)
    path.write_text(json.dumps(outcome, indent=1))
    return outcome


def _outcome(place: Place, matrix: str, name: str, repeat: int, *, limit: float, threads: int) -> dict[str, Any]:
    entrant = ENTRANTS[name]
    program = environments.interpreter(entrant.environment)
    if program is None:
        return {"status": "not installed"}
    shape = np.load(place.matrix(matrix))["responses"].shape
    if shape[0] * shape[1] > entrant.most_cells:
        return {"status": "left out: matrix too large"}
    options = entrant.options_for(shape[0] * shape[1])
    with tempfile.TemporaryDirectory() as folder:
        job = {
            "matrix": str(place.matrix(matrix)),
            "estimates": str(place.estimates(matrix, name, repeat)),
            "record": str(Path(folder, "record")),
            "options": options,
        }
        is_r = entrant.script.endswith(".R")
        job_file = write_r_job(place, matrix, job, shape, Path(folder)) if is_r else Path(folder, "job.json")
        if not is_r:
            job_file.write_text(json.dumps(job))
        error = run_limited([str(program), str(PEERS / entrant.script), str(job_file)], limit=limit, threads=threads)
        if error:
            return {"status": error, "options": options}
        record = read_r_outcome(job, Path(folder)) if is_r else json.loads(Path(job["record"]).read_text())
    return {"status": "ok", "options": options, **record}


def run_limited(command: list[str], *, limit: float, threads: int) -> str | None:
    """Run a command in a process group of its own, ended at the limit; None if all went well, else what did not.

    It gets as many processors as threads, so that thread pools of any library are no larger.
    """
    variables = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {**os.environ, **(variables if threads else {}), "PYTHONWARNINGS": "ignore"}
    pinned = ["taskset", "--cpu-list", ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads]))] if threads else []
    process = subprocess.Popen(
        [*pinned, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
        text=True,
    )
    try:
        _, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"ended after {limit:.0f} s"
    if process.returncode:
        lines = [line for line in errors.strip().splitlines() if line.strip()]
        return f"failed: {lines[-1][:200] if lines else f'exit code {process.returncode}'}"
    return None


def write_r_job(place: Place, matrix: str, job: Mapping[str, Any], shape: tuple[int, int], folder: Path) -> Path:
    """Write the job and the matrix as text, which R reads without further packages."""
    text = place.matrix(matrix, ".txt")
    if not text.is_file():
        np.savetxt(text, Matrix.load(place.matrix(matrix)).responses, fmt="%d")
    fields = {
        "matrix": text,
        "n_models": shape[0],
        "estimates": folder / "estimates.csv",
        "record": job["record"],
        **job["options"],
    }
    path = folder / "job.txt"
    path.write_text("".join(f"{name}={value}\n" for name, value in fields.items()))
    return path


def read_r_outcome(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Turn an R adapter's text files into the record and the .npz that the Python adapters write."""
    lines = Path(job["record"]).read_text().splitlines()
    record: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition("=")
        record[name] = float(value) if name.endswith(("_seconds", "_mb")) else value
    columns: dict[str, list[float]] = {}
    for line in (folder / "estimates.csv").read_text().splitlines():
        name, _, value = line.partition(",")
        columns.setdefault(name, []).append(float(value))
    estimates = {name: np.array(values) for name, values in columns.items()}
    for name in [name for name in estimates if name.endswith("_sd")]:
        mean, half = estimates[name.removesuffix("_sd")], 1.6448536269514722 * estimates[name]
        estimates[name.replace("_sd", "_q05")], estimates[name.replace("_sd", "_q95")] = mean - half, mean + half
    np.savez(job["estimates"], **estimates)
    record["versions"] = {record.pop("package"): record.pop("version"), "R": record.pop("R")}
    return record
