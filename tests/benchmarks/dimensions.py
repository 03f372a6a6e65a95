"""Held-out answers of real benchmarks by models with one and with several abilities: ``dimensions.py FOLDER -o OUT``.

FOLDER holds long Parquet files (benchmark, model, item, correct). For each benchmark the number of dimensions is
chosen, with answers and with answers shuffled within items. Several benchmarks of the same models are put together, and
models with one dimension, with several, by benchmark and bifactor are compared on the same held-out cells: mean log
score in nats per answer, gain over one dimension, its standard error clustered by models and items. So are py-irt and
mirt for Python, where ``environments.py`` installed them; what they estimated is kept in OUT.
"""

import argparse
import re
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from contest import Place, run_cell
from matrices import MISSING, Matrix
from scipy.special import expit

from irt_bench import BifactorTwoPL, ConfirmatoryTwoPL, MultidimensionalTwoPL, table_from_frame
from irt_bench.inference.fast.dimensional import (
    HELD_OUT,
    MIN_CHANCE,
    approximate_dimensions,
    clustered_error,
    compare_dimensions,
)

PEER_SECONDS = 1_800
COMPARED = {"mirt.py 2d": "two dimensions"}  # entrant → this package's model of as many dimensions; else of one
SINGLE = {
    "metabench_dev": ("gsm8k", "winogrande"),
    "evalplus_code": ("mbpp",),
    "mmlu_pro": ("mmlu_pro",),
}
TOGETHER = {"shift_dev": ("ifeval", "math_lvl5"), "metabench_dev": ("gsm8k", "hellaswag", "winogrande")}


def read(folder, name, benchmarks):
    """Table of some benchmarks of a file."""
    frame = pd.read_parquet(folder / f"{name}.parquet")
    columns = ["benchmark", "model", "item", "correct", *(["subtask"] if "subtask" in frame else [])]
    return table_from_frame(frame.loc[frame["benchmark"].isin(benchmarks), columns])


def shuffled(counts, rng):
    """Right answers of each item dealt out among the models that it was asked."""
    correct = counts.correct.copy()
    for item in range(counts.n_items):
        asked = np.flatnonzero(counts.asked[:, item])
        correct[asked, item] = rng.permutation(correct[asked, item])
    return correct


def choose(counts, label):
    """One line for the answers, one for the same shuffled."""
    rng = np.random.default_rng(0)
    for kind, correct in (("answers", counts.correct), ("shuffled", shuffled(counts, rng))):
        start = time.process_time()
        found = compare_dimensions(MultidimensionalTwoPL(), correct, counts.trials, seed=0)
        z = ", ".join(f"{gain / error:.1f}" for gain, error in zip(found.gains, found.errors, strict=True))
        seconds = time.process_time() - start
        print(f"{label} {correct.shape} {kind}: {found.message}; gains in errors {z}; {seconds:.0f} s", flush=True)


def peers(place, name, seen):
    """Chances of right answers by the other packages' point estimates, (model, item) each; what failed is said."""
    correct, trials = seen
    Matrix(np.where(trials > 0, correct, MISSING).astype(np.int8)).save(place.matrix(name))
    for entrant in ("py-irt", "mirt.py", "mirt.py 2d"):
        outcome = run_cell(place, name, entrant, 0, limit=PEER_SECONDS, threads=1)
        if outcome["status"] != "ok":
            print(f"{name} {entrant}: {outcome['status']}", flush=True)
            continue
        found = np.load(place.estimates(name, entrant, 0))
        if "chance" in found:
            chance = found["chance"]
        else:
            chance = expit(found["discrimination"] * (found["ability"][:, None] - found["difficulty"]))
        yield entrant, chance, outcome["cpu_seconds"]


def ours(models, seen):
    """Chances by this package's models."""
    for name, model in models.items():
        start = time.process_time()
        chance = approximate_dimensions(model, *seen).chances()
        yield name, chance, time.process_time() - start


def compare(place, counts, label, least=0.0):
    """Log scores of the same held-out cells by several models; `least` more of each model's benchmarks left out."""
    groups = tuple(counts.items["subtask"].astype(str))
    models = {
        "one dimension": MultidimensionalTwoPL(dimensions=1),
        "two dimensions": MultidimensionalTwoPL(dimensions=2),
        "four dimensions": MultidimensionalTwoPL(dimensions=4),
        "bifactor": BifactorTwoPL(groups=groups),
        "confirmatory": ConfirmatoryTwoPL(dimensions=tuple((group,) for group in groups)),
    }
    rng = np.random.default_rng(1)
    trials = counts.trials.copy()
    for group in sorted(set(groups)):  # models that took only some of the benchmarks
        without = rng.random(counts.n_models) < least
        trials[np.ix_(without, np.array(groups) == group)] = 0
    held = (trials > 0) & (rng.random(trials.shape) < HELD_OUT)
    seen = np.where(held | (trials == 0), 0, counts.correct), np.where(held, 0, trials)
    right, asked = np.where(held, counts.correct, 0), np.where(held, trials, 0)
    scores = {}
    name = "-".join(re.findall(r"[a-z0-9_]+", label))
    for entrant, chances, seconds in chain(ours(models, seen), peers(place, name, seen)):
        chance = chances.astype(float).clip(MIN_CHANCE, 1 - MIN_CHANCE)
        score = right * np.log(chance) + (asked - right) * np.log1p(-chance)
        scores[entrant] = score
        other = COMPARED.get(entrant, "one dimension")
        away = score - scores[other]
        gain, error = away.sum() / asked.sum(), max(clustered_error(away, asked, axis) for axis in (0, 1))
        mean = score.sum() / asked.sum()
        print(f"{label} {entrant}: {mean:.4f}, {gain:+.4f} +- {error:.4f} over {other}; {seconds:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the other packages' estimates")
    options = parser.parse_args()
    folder, place = options.folder, Place(options.output)
    for name, benchmarks in TOGETHER.items():
        counts = read(folder, name, benchmarks).select(list(benchmarks)).counts()
        compare(place, counts, " + ".join(benchmarks))
        compare(place, counts, f"{' + '.join(benchmarks)}, 30% of the models without each", least=0.3)
    compare(place, read(folder, "mmlu_pro", ("mmlu_pro",)).counts(), "mmlu_pro by category")
    for name, benchmarks in SINGLE.items():
        for benchmark in benchmarks:
            choose(read(folder, name, (benchmark,)).counts(), benchmark)


if __name__ == "__main__":
    main()
