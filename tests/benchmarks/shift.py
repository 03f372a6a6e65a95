"""Full scores of models like those of the calibration, and of abler ones: errors, coverage, effective sample size.

The protocol of Zhang, Dorner and Hardt (2025, arXiv 2506.07673): *interpolation* holds out a quarter of the models at
random; *extrapolation* calibrates on the weaker half and scores the strongest 30%. Run it with

    python tests/benchmarks/shift.py -o shift

beside the data named `shift_dev.parquet` (columns benchmark, model, item, correct). It resumes: a task (benchmark,
protocol, split) whose file is there is not run again. `shift.csv` has a row for each benchmark, protocol, size, method
and estimator; `shift.md` the tables of the README.
"""

import argparse
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from irt_bench.inference.settings import settings_for
from irt_bench.irt_models.logistic import TwoPL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.calibration import Plan, Recipe, answers_to, calibrate, prepare
from irt_bench.subsets.clusters import model_clusters
from irt_bench.subsets.defaults import DEFAULT_ESTIMATOR, DEFAULT_METHOD, default_weights
from irt_bench.subsets.score import Scale, score_evidence

DATA = Path(__file__).resolve().parents[3] / "shared/data/shift_dev.parquet"
PROTOCOLS = ("interpolation", "extrapolation")
SIZES = (20, 50, 100)
HELD_OUT, WEAKER, STRONGEST = 0.25, 0.5, 0.3  # shares of the models
RIVALS = {
    "random": ("weighted", "ridge", "aipw", "irt_difference", "p_irt_wide", "p_irt_residual", "p_irt"),
    "anchors": ("p_irt_ridge", "p_irt_residual"),
    DEFAULT_METHOD: (DEFAULT_ESTIMATOR, "p_irt_ridge", "irt_difference", "aipw"),
}
BY = ["protocol", "size", "method", "estimator"]
NAMES = {
    ("random", "weighted"): "random mean",
    ("random", "ridge"): "random, ridge",
    ("random", "aipw"): "random, AIPW",
    ("random", "irt_difference"): "random, IRT difference",
    ("random", "p_irt_residual"): "random, p-IRT + residuals",
    ("anchors", "p_irt_ridge"): "anchors, p-IRT + ridge (the default before)",
    (DEFAULT_METHOD, DEFAULT_ESTIMATOR): "**the default**",
}


class Task(NamedTuple):
    """One calibration of one benchmark."""

    benchmark: str
    protocol: str
    split: int


def matrix(frame: pd.DataFrame) -> np.ndarray:
    """Answers of shape (model, item); a model that is listed several times has as many rows."""
    order = frame.groupby(["model", "item"], observed=True).cumcount()
    wide = frame.assign(order=order).pivot(index=["model", "order"], columns="item", values="correct").dropna()
    return wide.to_numpy(dtype=np.int64)


def counts_of(answers: np.ndarray) -> ResponseCounts:
    """Counts with models of one cluster each, as the protocol splits by model."""
    models = pd.DataFrame({"cluster": [str(row) for row in range(len(answers))]})
    models.index = pd.Index([f"model {row}" for row in range(len(answers))], name="model")
    items = pd.DataFrame(index=pd.Index([f"item {column}" for column in range(answers.shape[1])], name="item"))
    return ResponseCounts(answers, np.ones_like(answers), models, items, "b")


def split_models(answers: np.ndarray, protocol: str, split: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibration models and those that are scored."""
    rng = np.random.default_rng([split, PROTOCOLS.index(protocol)])
    order = rng.permutation(len(answers))
    if protocol == "interpolation":
        n_out = round(HELD_OUT * len(order))
        return order[n_out:], order[:n_out]
    order = order[np.argsort(answers[order].mean(axis=1), kind="stable")]
    return order[: round(WEAKER * len(order))], order[len(order) - round(STRONGEST * len(order)) :]


def run_task(answers: np.ndarray, task: Task, sizes: tuple[int, ...], n_draws: int) -> pd.DataFrame:
    """Errors of every estimator on every subset of one calibration."""
    kept, new = split_models(answers, task.protocol, task.split)
    counts = counts_of(answers)
    old, test, truth = counts.take(models=kept), counts.take(models=new), answers[new].mean(axis=1)
    plan = Plan(TwoPL(), settings_for("laplace", seed=0, refine=False))
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calibration = prepare(old, model_clusters(old), plan, seed=task.split)
        whole = calibration.whole
        for size in sizes:
            for method, estimators in RIVALS.items():
                for draw in range(n_draws):
                    recipe = Recipe(method, default_weights(method), size, 100 * task.split + draw)
                    found = calibrate(calibration, recipe, estimators)
                    evidence, instrument = answers_to(found.instrument, test), found.instrument
                    about = Scale(instrument.nodes, whole.ability_limits, counts.n_items, 1 / counts.n_items)
                    for name in estimators:
                        errors = found.errors[name], found.abler[name]
                        told = score_evidence(name, evidence, found.learned[name], errors, about)
                        error = told.estimate - truth
                        covered = (told.q05 - 1e-9 <= truth) & (truth <= told.q95 + 1e-9)
                        expected = errors[task.protocol == "extrapolation"].mean_absolute
                        row = (size, method, name, draw, np.abs(error).mean(), error.mean(), (error**2).mean())
                        rows.append((*row, covered[~told.refused].mean(), told.refused.mean(), expected.value))
    columns = ["size", "method", "estimator", "draw", "mae", "bias", "mse", "coverage", "refused", "expected"]
    n_items = counts.n_items
    spread = float((truth * (1 - truth)).mean()) * n_items / (n_items - 1)  # mean variance of an item's answers
    return pd.DataFrame(rows, columns=columns).assign(**task._asdict(), n_items=n_items, variance=spread)


def summarise(found: pd.DataFrame) -> pd.DataFrame:
    """Means over splits and draws, with the standard error of the error, and the effective sample size.

    The factor says how many times as many randomly chosen items a plain mean needs for the same mean squared error.
    """
    grouped = found.groupby(["benchmark", *BY], sort=False)
    table = grouped[["mae", "bias", "mse", "coverage", "refused", "expected", "variance", "n_items"]].mean()
    table["mae_se"] = grouped["mae"].sem()
    table = table.reset_index()
    same = 1 / (table["mse"] / table["variance"] + 1 / table["n_items"])
    table["effective"] = same / table["size"]
    return table


def markdown(table: pd.DataFrame) -> str:
    """Error in points and coverage in %, a column for each benchmark, then the means over benchmarks."""
    shown = table[[key in NAMES for key in zip(table["method"], table["estimator"], strict=True)]]
    benchmarks, lines = list(dict.fromkeys(table["benchmark"])), []
    for (protocol, size), part in shown.groupby(["protocol", "size"], sort=False):
        lines += [f"\n{protocol}, {size} items\n", f"| | {' | '.join(benchmarks)} | mean | as many random items |"]
        lines.append("|---" * (len(benchmarks) + 3) + "|")
        for key, name in NAMES.items():
            rows = part[(part["method"] == key[0]) & (part["estimator"] == key[1])].set_index("benchmark")
            cells = [_cell(rows.loc[name]) for name in benchmarks if name in rows.index]
            mean = rows[["mae", "coverage", "refused", "effective"]].mean()
            lines.append(f"| {name} | {' | '.join(cells)} | {_cell(mean)} | {mean['effective']:.1f} |")
    return "\n".join(lines) + "\n"


def _cell(row: pd.Series) -> str:
    if row["refused"] > 0.5:
        return f"{100 * row['mae']:.1f} (refused {100 * row['refused']:.0f}%)"
    return f"{100 * row['mae']:.2f} ({100 * row['coverage']:.0f})"


def main() -> None:
    """Run the tasks that are missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    frame = pd.read_parquet(options.data)
    matrices = {str(name): matrix(part) for name, part in frame.groupby("benchmark", observed=True)}
    tasks = [
        Task(name, protocol, split) for name in matrices for protocol in PROTOCOLS for split in range(options.splits)
    ]

    def once(task: Task) -> None:
        path = options.output / f"{'-'.join(map(str, task))}.csv"
        if not path.exists():
            found = run_task(matrices[task.benchmark], task, SIZES, options.draws)
            beside = path.with_suffix(".part")
            found.to_csv(beside, index=False)
            beside.replace(path)
            print(*task, flush=True)

    Parallel(n_jobs=options.jobs)(delayed(once)(task) for task in tasks)
    found = pd.concat([pd.read_csv(options.output / f"{'-'.join(map(str, task))}.csv") for task in tasks])
    table = summarise(found)
    table.to_csv(options.output / "shift.csv", index=False, float_format="%.6g")
    (options.output / "shift.md").write_text(markdown(table), encoding="utf-8")
    print(markdown(table))


if __name__ == "__main__":
    main()
