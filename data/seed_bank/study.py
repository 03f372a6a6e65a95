"""Run the study of cures for seed noise on the bank, and gather the cures of several studies.

    python data/seed_bank/study.py run FOLDER               # --every 10: every tenth item, in some minutes
    python data/seed_bank/study.py gather "seed bank=FOLDER" aann=OTHER/aann # writes data/cures.csv, cures_control.csv
    python data/seed_bank/study.py published FOLDER --data SHARED            # the same study of published training runs
    python data/seed_bank/study.py scale FOLDER                              # writes data/calibrated_small.csv

Items and weights are chosen on three quarters of the recipes and judged on the seeds of the last quarter, in turn. A
folder gets the tables and figures of a study, as from ``irt-bench study``.

``published`` runs it on three sets that are not part of the repository, each in a folder of its own under FOLDER.

``scale`` asks whether items chosen on recipes of little compute serve for recipes of more: every other one of the
recipes with at least the compute of the base recipe is judged, with items chosen on the recipes below it, and with
items chosen on as many of the others.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from pack import CHECKPOINTS, HERE, long_frame, read_bank, read_measures
from recipes import RECIPES

from irt_bench import Study, run_study, table_from_frame

DESIGN: Final[dict[str, Any]] = {
    "sizes": (50, 200),
    "methods": ("discrimination", "information", "anchors-irt", "variance"),
    "n_random": 200,
    "n_reweighted": 100,
    "drop": (0.25, 0.5, 0.75),
    "transfer_splits": 5,
}

PUBLISHED: Final = {"aann": "aann_seeds_logprobs", "syntax": "syntax_seeds", "commonsenseqa": "nlu_checkpoints_dev"}
LOGPROBS: Final = "choice_logprobs"  # of the right answer first


def published_studies(folder: Path, data: Path, *, every: int = 1, jobs: int = 1) -> dict[str, Study]:
    """Judge every cure on published training runs, by benchmark; continuous measures where log-probabilities are."""
    found = {}
    for benchmark, file in PUBLISHED.items():
        frame = pd.read_parquet(data / f"{file}.parquet", filters=[("benchmark", "==", benchmark)])
        frame = frame[frame["item"].isin(frame["item"].unique()[::every])]
        measures = _continuous(np.stack(frame.pop(LOGPROBS).to_numpy())) if LOGPROBS in frame else {}
        plain = frame.drop(columns="correct")
        alternatives = {name: table_from_frame(plain.assign(score=values)) for name, values in measures.items()}
        found[benchmark] = run_study(
            table_from_frame(frame), folder=folder / benchmark, alternatives=alternatives, jobs=jobs, **DESIGN
        )
    return found


def _continuous(log_probability: np.ndarray) -> dict[str, np.ndarray]:
    """Probability of the right answer among the choices, and the logistic of its margin over the best other one."""
    odds = np.exp(log_probability)
    margin = log_probability[:, 0] - log_probability[:, 1:].max(axis=1)
    return {"probability": odds[:, 0] / odds.sum(axis=1), "logistic of the margin": 1 / (1 + np.exp(-margin))}


def bank_study(folder: Path | None = None, *, bank: Path = HERE, every: int = 1, jobs: int = 1, **design: Any) -> Study:
    """Judge every cure on the completion framing; the choice framing and continuous measures are alternatives."""
    answers = read_bank(bank)
    frame = long_frame(answers, checkpoints=CHECKPOINTS, every=every)
    last = long_frame(answers, every=every)
    alternatives = {"choice framing": table_from_frame(_of(frame, "choice"))}
    for name, values in read_measures(bank, every=every).items():
        alternatives[name] = table_from_frame(_of(last.drop(columns="correct").assign(score=values), "completion"))
    table = table_from_frame(_of(frame, "completion"))
    return run_study(table, folder=folder, alternatives=alternatives, jobs=jobs, **(DESIGN | design))


def calibration_recipes() -> tuple[dict[str, list[str]], list[str]]:
    """Recipes to calibrate on, small ones or ones as large as the judged, as many of each; and the judged ones."""
    compute = {name: each.width**2 * each.layers * each.steps * each.batch for name, each in RECIPES.items()}
    small = [name for name in RECIPES if compute[name] < compute["base"]]
    large = [name for name in RECIPES if name not in small]
    return {"smaller": small, "as large": large[1::2][: len(small)]}, large[::2]


def scale_study(folder: Path, *, bank: Path = HERE, every: int = 1, jobs: int = 1) -> pd.DataFrame:
    """Judge large recipes with items chosen on small ones, and on ones as large: all cures of both."""
    frame = long_frame(read_bank(bank), every=every)
    table = table_from_frame(_of(frame, "completion"))
    calibrations, judged = calibration_recipes()
    parts = []
    for name, recipes in calibrations.items():
        study = run_study(
            table,
            folder=folder / name.replace(" ", "_"),
            jobs=jobs,
            calibration={"run": recipes},
            evaluation={"run": judged},
            **DESIGN,
        )
        parts.append(study.cures().assign(calibrated_on=name))
    found = pd.concat(parts, ignore_index=True)
    found.insert(0, "calibrated_on", found.pop("calibrated_on"))
    return found


def _of(frame: pd.DataFrame, framing: str) -> pd.DataFrame:
    return frame[frame["benchmark"] == framing].assign(benchmark="seed_bank")


def gather(folders: dict[str, Path], output: Path) -> None:
    """Write the cures of several studies, and their controls, as one table each."""
    for name in ("cures", "cures_control"):
        parts = [Study.load(folder).tables[name].assign(data=label) for label, folder in folders.items()]
        table = pd.concat(parts, ignore_index=True)
        table.insert(0, "data", table.pop("data"))
        table.to_csv(output / f"{name}.csv", index=False, float_format="%.5g")


def main() -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run, collect, scale, published = (commands.add_parser(name) for name in ("run", "gather", "scale", "published"))
    for each in (run, scale, published):
        each.add_argument("folder", type=Path, help="for tables and figures; a stopped study goes on from there")
        each.add_argument("--every", type=int, default=1, help="use every n-th item")
        each.add_argument("--jobs", type=int, default=1)
    for each in (run, scale):
        each.add_argument("--bank", type=Path, default=HERE, help="folder of the packed bank")
    published.add_argument("--data", type=Path, required=True, help="folder of the published answers")
    scale.add_argument("-o", "--output", type=Path, default=HERE.parent)
    collect.add_argument("studies", nargs="+", metavar="NAME=FOLDER")
    collect.add_argument("-o", "--output", type=Path, default=HERE.parent)
    given = parser.parse_args()
    if given.command == "gather":
        gather(
            {name: Path(folder) for name, _, folder in (each.partition("=") for each in given.studies)}, given.output
        )
        return 0
    if given.command == "published":
        published_studies(given.folder, given.data, every=given.every, jobs=given.jobs)
        return 0
    if given.command == "scale":
        found = scale_study(given.folder, bank=given.bank, every=given.every, jobs=given.jobs)
        found.to_csv(given.output / "calibrated_small.csv", index=False, float_format="%.5g")
        return 0
    study = bank_study(given.folder, bank=given.bank, every=given.every, jobs=given.jobs)
    columns = ["cure", "how", "size", "control", "noise_per_signal", "ratio", "ratio_q05", "ratio_q95", "p_holm"]
    print(study.cures()[[*columns, "verdict", "detectable"]].to_string(index=False, float_format="%.3f"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
