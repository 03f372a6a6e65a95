"""An environment of its own for every peer, made from package names: ``python tests/benchmarks/environments.py``.

They are made under ``$IRT_BENCH_PEERS``, by default ``~/.cache/irt_bench_peers``; names given make only those. R and
its packages are not installed here: what the system has is used, and what it lacks is reported as not installed.
"""

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OURS: Final = "irt_bench"  # the interpreter that runs the benchmark


@dataclass(frozen=True)
class PythonEnvironment:
    """Packages of a virtual environment, with the newest Python minor version that they accept."""

    packages: tuple[str, ...]
    newest_python: tuple[int, int] = (3, 13)


PYTHON: Final = {
    # 0.7.1 asks for Python below 3.12 and breaks on pandas 3, and its command line on typer 0.15
    "py-irt": PythonEnvironment(("py-irt==0.7.1", "torch==2.13.0", "pandas<3", "typer<0.15", "click<8.2"), (3, 11)),
    "girth": PythonEnvironment(("girth==0.8.0",), (3, 11)),
    "mirt.py": PythonEnvironment(("mirt==1.2.0",)),
    "theta-irt": PythonEnvironment(("theta-irt==0.1.1", "jax[cpu]==0.10.2")),
    "numpyro": PythonEnvironment(("numpyro==0.22.0", "jax[cpu]==0.10.2")),
}
R_PACKAGES: Final = {"lme4": "lme4", "mirt": "mirt"}  # Debian: r-cran-lme4; mirt is on CRAN alone
NAMES: Final = (OURS, *PYTHON, *R_PACKAGES)


def folder() -> Path:
    """Where the environments lie."""
    return Path(os.environ.get("IRT_BENCH_PEERS", Path.home() / ".cache" / "irt_bench_peers"))


def interpreter(name: str) -> Path | None:
    """Program that runs scripts for this environment; None where it is not installed."""
    if name == OURS:
        return Path(sys.executable)
    if name in PYTHON:
        program = folder() / name / "bin" / "python"
        return program if program.is_file() and (folder() / name / "complete").is_file() else None
    program = shutil.which("Rscript")
    if program is None:
        return None
    asked = f"quit(status = !requireNamespace('{R_PACKAGES[name]}', quietly = TRUE))"
    found = subprocess.run([program, "-e", asked], capture_output=True, check=False)
    return Path(program) if found.returncode == 0 else None


def create(name: str) -> None:
    """Make a virtual environment, unless it is there and whole."""
    if interpreter(name) is not None:
        return
    wanted, place = PYTHON[name], folder() / name
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([python_up_to(wanted.newest_python), "-m", "venv", str(place)], check=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *wanted.packages], check=True)
    (place / "complete").write_text("\n".join(wanted.packages) + "\n")


def python_up_to(newest: tuple[int, int]) -> str:
    """Newest Python on the path that is not newer than asked; this one if it will do."""
    if sys.version_info[:2] <= newest:
        return sys.executable
    for minor in range(newest[1], 9, -1):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    raise SystemExit(f"Python {newest[0]}.{newest[1]} or older is needed and not on the path.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*PYTHON, []], default=[], help="environments; all by default")
    names = parser.parse_args().names or list(PYTHON)
    for name in names:
        print(f"{name}: {folder() / name}", flush=True)
        create(name)
    for name in R_PACKAGES:
        print(f"{name}: {'installed' if interpreter(name) else 'not installed'}")


if __name__ == "__main__":
    main()
