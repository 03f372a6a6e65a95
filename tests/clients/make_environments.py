"""Install the real clients that the tests marked ``clients`` drive, each into a virtual environment of its own.

Run once: ``python tests/clients/make_environments.py`` (all), or with names (``lm-eval inspect``). The folder is
$IRT_BENCH_CLIENTS, by default irt_bench/clients in the user's cache. About 4 GB with torch for the processor only;
where the package index serves torch with CUDA by default, set PIP_EXTRA_INDEX_URL to one that has builds without.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

VARIABLE: Final = "IRT_BENCH_CLIENTS"
CLIENTS: Final = {
    "lm-eval": ("lm-eval==0.4.13", "torch==2.13.0"),
    "inspect": ("inspect-ai==0.3.285",),
    "catsim": ("catsim==0.21",),
    "py-irt": ("py-irt==0.7.1", "torch==2.13.0"),  # wants Python below 3.12
}
MARK: Final = "irt-bench-client.txt"  # what is installed; written last, so that a broken environment has none


def clients_folder() -> Path:
    """Folder of the environments."""
    named = os.environ.get(VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else cache / "irt_bench" / "clients"


def is_installed(client: str) -> bool:
    """Whether the environment of a client is there, whole, and of the versions named here."""
    mark = clients_folder() / client / MARK
    return mark.is_file() and mark.read_text().split() == list(CLIENTS[client])


def install(client: str) -> None:
    """Make the environment of a client anew, unless it is there."""
    folder = clients_folder() / client
    if is_installed(client):
        print(f"{client} is there: {folder}")
        return
    print(f"installing {', '.join(CLIENTS[client])} into {folder}", flush=True)
    venv.create(folder, clear=True, with_pip=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *CLIENTS[client]], check=True)
    (folder / MARK).write_text("\n".join(CLIENTS[client]) + "\n")


def main(arguments: Sequence[str]) -> int:
    """Install the named clients, or all."""
    unknown = sorted(set(arguments) - set(CLIENTS))
    if unknown:
        print(f"{unknown[0]!r} is not known; clients: {', '.join(CLIENTS)}", file=sys.stderr)
        return 2
    for client in arguments or CLIENTS:
        install(client)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
