"""Run the study of cures for seed noise on the bank: ``python data/seed_bank/study.py FOLDER``.

Items and weights are chosen on three quarters of the recipes and judged on the seeds of the last quarter, in turn. With
``--every 10`` every tenth item is used, which takes some minutes. The folder gets the tables and figures of a study.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from pack import CHECKPOINTS, HERE, long_frame, read_bank, read_measures

from irt_bench import Study, run_study, table_from_frame


def bank_study(folder: Path | None = None, *, bank: Path = HERE, every: int = 1, jobs: int = 1, **design: Any) -> Study:
    """Judge every cure on the completion framing; the choice framing and continuous measures are alternatives."""
    answers = read_bank(bank)
    frame = long_frame(answers, checkpoints=CHECKPOINTS, every=every)
    last = long_frame(answers, every=every)
    alternatives = {"choice framing": table_from_frame(_of(frame, "choice"))}
    for name, values in read_measures(bank, every=every).items():
        alternatives[name] = table_from_frame(_of(last.drop(columns="correct").assign(score=values), "completion"))
    table = table_from_frame(_of(frame, "completion"))
    return run_study(table, folder=folder, alternatives=alternatives, jobs=jobs, **design)


def _of(frame: pd.DataFrame, framing: str) -> pd.DataFrame:
    return frame[frame["benchmark"] == framing].assign(benchmark="seed_bank")


def main() -> int:
    """Run the study and print the cures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for tables and figures; a stopped study goes on from there")
    parser.add_argument("--bank", type=Path, default=HERE, help="folder of the packed bank")
    parser.add_argument("--every", type=int, default=1, help="use every n-th item")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    study = bank_study(given.folder, bank=given.bank, every=given.every, jobs=given.jobs)
    columns = [
        "cure",
        "how",
        "size",
        "control",
        "noise_per_signal",
        "ratio",
        "ratio_q05",
        "ratio_q95",
        "p_holm",
        "verdict",
    ]
    print(study.cures()[columns].to_string(index=False, float_format="%.3f"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
