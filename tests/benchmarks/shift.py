"""Full scores of models like those of the calibration, and of abler ones: errors, coverage, effective sample size.

The protocol of Zhang, Dorner and Hardt (2025, arXiv 2506.07673): *interpolation* holds out a quarter of the models at
random; *extrapolation* calibrates on the weaker half and scores the strongest 30%. Run it with

    python tests/benchmarks/shift.py -o shift
    python tests/benchmarks/shift.py -o few --few --splits 24

beside the data named `shift_dev.parquet` (columns benchmark, model, item, correct; `--data` takes any such file). It
resumes: a task (benchmark, protocol, split) whose file is there is not run again. `shift.csv` has a row for each
benchmark, protocol, size, method and estimator; `shift.md` the tables of the page beside this file. `--few` leaves all
out but the default, the random mean and AIPW: for differences between these, which want more splits.
"""

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy import stats

from irt_bench import ResponseCounts, TwoPL
from irt_bench.analysis.intervals import holm
from irt_bench.inference.settings import settings_for
from irt_bench.responses.labels import model_clusters
from irt_bench.subsets.calibration import CalibrationPlan, Recipe, calibrate, prepare
from irt_bench.subsets.make import DEFAULT_ESTIMATOR, DEFAULT_METHOD, default_weights
from irt_bench.subsets.score import ScoringContext, estimate_with_interval

DATA = Path(__file__).resolve().parents[3] / "shared/data/shift_dev.parquet"
PROTOCOLS = ("interpolation", "extrapolation")
SIZES = (20, 50, 100)
HELD_OUT, WEAKER, STRONGEST = 0.25, 0.5, 0.3  # shares of the models
RIVALS = {
    "random": ("weighted", "ridge", "aipw", "irt_difference", "p_irt_wide", "p_irt_residual", "p_irt"),
    "anchors": ("p_irt_ridge", "p_irt_residual"),
    DEFAULT_METHOD: (DEFAULT_ESTIMATOR, "p_irt_ridge", "irt_difference", "aipw"),
}
AIPW = ("random", "aipw")  # what the others are compared with
FEW = {"random": ("weighted", "aipw"), DEFAULT_METHOD: (DEFAULT_ESTIMATOR,)}
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


def at_most(answers: np.ndarray, n_models: int | None) -> np.ndarray:
    """Answers of that many models, taken at random."""
    if n_models is None or len(answers) <= n_models:
        return answers
    return answers[np.random.default_rng(0).choice(len(answers), n_models, replace=False)]


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


def run_task(
    answers: np.ndarray,
    task: Task,
    sizes: tuple[int, ...],
    n_draws: int,
    rivals: Mapping[str, tuple[str, ...]] = RIVALS,
) -> pd.DataFrame:
    """Errors of every estimator on every subset of one calibration."""
    kept, new = split_models(answers, task.protocol, task.split)
    counts = counts_of(answers)
    old, test, truth = counts.take(models=kept), counts.take(models=new), answers[new].mean(axis=1)
    plan = CalibrationPlan(TwoPL(), settings_for("laplace", seed=0, refine=False))
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calibration = prepare(old, model_clusters(old), plan, seed=task.split)
        whole = calibration.whole
        for size in sizes:
            for method, estimators in rivals.items():
                for draw in range(n_draws):
                    recipe = Recipe(method, default_weights(method), size, 100 * task.split + draw)
                    found = calibrate(calibration, recipe, estimators, new=test)
                    summary, scorer = found.new, found.scorer
                    context = ScoringContext(scorer.nodes, whole.ability_limits, counts.n_items, 1 / counts.n_items)
                    for name in estimators:
                        errors = found.errors[name], found.abler[name]
                        told = estimate_with_interval(name, summary, found.learned[name], errors, context)
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
    return table.merge(differences(found), how="left")


def differences(found: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute error minus that of AIPW on the same models, its standard error, and whether it is above 0.

    The draws of one split share a calibration, so that splits count and not draws; `holm` is the p value of Student's t
    against a difference of at most 0, by Holm's method over the benchmarks, protocols and sizes of an estimator. The
    models scored stay the same over splits where models extrapolate: the choice of items is what varies.
    """
    cell, by = ["benchmark", "protocol", "size"], ["method", "estimator"]
    errors = found.groupby([*cell, "split", *by])["mae"].mean().unstack(by)
    if AIPW not in errors:
        return pd.DataFrame(columns=[*cell, *by, "difference", "difference_se", "holm"])
    apart = errors.drop(columns=[AIPW]).sub(errors[AIPW], axis=0).stack(by, future_stack=True).rename("apart")
    grouped = apart.groupby([*cell, *by])
    table = pd.DataFrame({"difference": grouped.mean(), "difference_se": grouped.sem()})
    t = table["difference"] / table["difference_se"].where(table["difference_se"] > 0)
    table["holm"] = stats.t.sf(t, grouped.count() - 1)
    known = table["holm"].notna()
    table["holm"] = table.loc[known].groupby(by)["holm"].transform(lambda p: holm(p.to_numpy())).reindex(table.index)
    return table.reset_index()


def markdown(table: pd.DataFrame) -> str:
    """Error in points and coverage in %, a column for each benchmark, then the means over benchmarks."""
    shown = table[[key in NAMES for key in zip(table["method"], table["estimator"], strict=True)]]
    benchmarks, lines = list(dict.fromkeys(table["benchmark"])), []
    for (protocol, size), part in shown.groupby(["protocol", "size"], sort=False):
        lines += [f"\n{protocol}, {size} items\n", f"| | {' | '.join(benchmarks)} | mean | as many random items |"]
        lines.append("|---" * (len(benchmarks) + 3) + "|")
        for key, name in NAMES.items():
            rows = part[(part["method"] == key[0]) & (part["estimator"] == key[1])].set_index("benchmark")
            if rows.empty:
                continue
            cells = [_cell(rows.loc[name]) if name in rows.index else "" for name in benchmarks]
            mean = rows[["mae", "coverage", "refused", "effective"]].mean()
            lines.append(f"| {name} | {' | '.join(cells)} | {_cell(mean)} | {mean['effective']:.1f} |")
    lines += [
        "\nerror of the default minus AIPW's in points\n",
        "| protocol | benchmark | 20 | 50 | 100 |",
        "|---" * 5 + "|",
    ]
    default = shown[(shown["method"] == DEFAULT_METHOD) & (shown["estimator"] == DEFAULT_ESTIMATOR)]
    for key, part in default.groupby(["protocol", "benchmark"], sort=False):
        told = {row["size"]: _difference(row) for _, row in part.iterrows()}
        lines.append(f"| {' | '.join((*key, *(told.get(size, '') for size in SIZES)))} |")
    return "\n".join(lines) + "\n"


def _difference(row: pd.Series) -> str:
    above = "" if not row["holm"] < 0.05 else f", p {row['holm']:.1g}"
    return f"{100 * row['difference']:+.2f} ({100 * row['difference_se']:.2f}{above})"


def _cell(row: pd.Series) -> str:
    if row["refused"] > 0.5:
        return f"{100 * row['mae']:.1f} (refused {100 * row['refused']:.0f}%)"
    return f"{100 * row['mae']:.2f} ({100 * row['coverage']:.0f})"


def main() -> None:
    """Run the tasks that are missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--models", type=int, help="most models of a benchmark, taken at random")
    parser.add_argument("--few", action="store_true", help="the default, the random mean and AIPW alone")
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    frame = pd.read_parquet(options.data)
    matrices = {
        str(name): at_most(matrix(part), options.models) for name, part in frame.groupby("benchmark", observed=True)
    }
    tasks = [
        Task(name, protocol, split) for name in matrices for protocol in PROTOCOLS for split in range(options.splits)
    ]

    def once(task: Task) -> None:
        path = options.output / f"{'-'.join(map(str, task))}.csv"
        if not path.exists():
            answers = matrices[task.benchmark]
            sizes = tuple(size for size in SIZES if size < answers.shape[1])
            found = run_task(answers, task, sizes, options.draws, FEW if options.few else RIVALS)
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
