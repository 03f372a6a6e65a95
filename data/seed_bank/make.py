"""Make the seed bank: train many small transformers, ask each the same items, and pack the answers.

    python data/seed_bank/make.py train FOLDER --processes 2    # one file per run; stop and start it as you like
    python data/seed_bank/make.py status FOLDER
    python data/seed_bank/make.py pack FOLDER                   # writes the shipped files and the example

A run takes 9 to 21 processor seconds, all 580 some two hours. The same run gives the same bytes
on one machine and one version of torch; elsewhere sums are rounded in another order, and a run is another draw.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from network import evaluate, train
from pack import pack, read_bank, write_example
from recipes import RECIPES, Recipe, Run, planned_runs
from tasks import MEMORISED, TASKS, Array, Examples, keys, make_items

ITEM_SEED: Final = 2026
ITEMS_PER_TASK: Final = 200


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    parts = {name: commands.add_parser(name) for name in ("train", "status", "pack")}
    for part in parts.values():
        part.add_argument("folder", type=Path, help="folder with a file per run")
    parts["train"].add_argument("--processes", type=int, default=1)
    parts["train"].add_argument("--runs", type=int, default=None, help="stop after this many new runs")
    given = parser.parse_args(arguments)
    if given.command == "train":
        make_runs(given.folder, processes=given.processes, limit=given.runs)
    elif given.command == "pack":
        done = [(run, path_of(given.folder, run)) for run in finished_runs(given.folder)]
        pack(done, *make_items(ITEMS_PER_TASK, ITEM_SEED))
        write_example(read_bank())
    print(f"{len(finished_runs(given.folder))} of {len(planned_runs())} runs are in {given.folder}")
    return 0


def make_runs(folder: Path, *, processes: int = 1, limit: int | None = None) -> None:
    """Make the runs that are not there yet, in the planned order."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = list(islice((run for run in planned_runs() if not path_of(folder, run).exists()), limit))
    with ProcessPoolExecutor(processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for done in as_completed([pool.submit(_timed_run, folder, run) for run in missing]):
            print(*done.result(), flush=True)


def path_of(folder: Path, run: Run) -> Path:
    """File of a run."""
    return folder / f"{run.name}.npz"


def finished_runs(folder: Path) -> list[Run]:
    """Planned runs whose file is there, in the planned order."""
    return [run for run in planned_runs() if path_of(folder, run).exists()]


def _timed_run(folder: Path, run: Run) -> tuple[str, str]:
    started = time.process_time()
    make_run(path_of(folder, run), RECIPES[run.recipe], run)
    return run.name, f"{time.process_time() - started:.1f} s"


def make_run(path: Path, recipe: Recipe, run: Run, *, items_per_task: int = ITEMS_PER_TASK) -> None:
    """Train one model, ask it every item at each checkpoint, and write the log-probability of every choice."""
    torch.use_deterministic_algorithms(True)
    tasks, items = make_items(items_per_task, ITEM_SEED)
    models = train(recipe, run.initialisation, run.data, held_out(tasks, items))
    scores = np.stack([evaluate(model, tasks, items) for model in models])
    facts = {"recipe": asdict(recipe), "initialisation": run.initialisation, "data": run.data}
    facts |= {"torch": torch.__version__, "numpy": np.__version__}
    scratch = path.with_suffix(f".{os.getpid()}.part")
    with scratch.open("wb") as file:
        np.savez_compressed(file, log_probability=scores.astype(np.float16), facts=np.array(json.dumps(facts)))
    scratch.replace(path)


def held_out(tasks: Array, items: Examples) -> Array:
    """Keys of the items that no model may be trained on."""
    memorised = np.isin(tasks, [TASKS.index(task) for task in MEMORISED])
    return keys(tasks, items)[~memorised]


if __name__ == "__main__":
    sys.exit(main())
