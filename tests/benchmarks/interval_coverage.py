"""Coverage of 90% intervals over many data sets: ``python tests/benchmarks/interval_coverage.py``.

Every data set has a truth of its own: theta ~ N(0, 1), b ~ N(0, 1.2), log a ~ N(0, 0.4), or with ``--truth prior``
means and sds too are drawn from the package's priors. Three coverages of the central 90% intervals are averaged:
*raw*; *aligned*, after the one shift and stretch that regresses the true on the estimated abilities; *relative*, of
draws and truth both put on the scale on which the abilities have mean 0 and sd 1. Beside each mean stands its standard
error over data sets. ``--nuts S,M`` fits ``--nuts-data-sets`` of these sizes by NUTS as well and gives ratios of RMSEs
and sds.
"""

import argparse
import os
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from accuracy import PARAMETERS, coverage, scores, slope, standardised
from matrices import SIZES, Matrix, counts_of, simulate

from irt_bench import NUTSSettings, fit, simulate_responses
from irt_bench.inference.settings import settings_for
from irt_bench.irt_models.logistic import irt_model_from_name

QUANTILES = (0.05, 0.95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="S,400x500,M", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--data-sets", type=int, default=20)
    parser.add_argument("--method", default="laplace")
    parser.add_argument("--irt-model", default="2pl", choices=["1pl", "2pl"])
    parser.add_argument("--truth", default="fixed", choices=["fixed", "prior"])
    parser.add_argument("--missing", type=float, default=0.0)
    parser.add_argument("--nuts", default="", help="sizes to compare with NUTS as well")
    parser.add_argument("--nuts-data-sets", type=int, default=1)
    options = parser.parse_args()
    if options.nuts and options.method == "nuts":
        parser.error("--nuts compares --method with NUTS, and --method is nuts itself")
    warnings.simplefilter("ignore")
    print(f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, load average {os.getloadavg()[0]:.1f}")
    for size in options.sizes.split(","):
        rows = [one(size, seed, options) for seed in range(1, options.data_sets + 1)]
        print(report(size, pd.DataFrame(rows)), flush=True)
    for size in [name for name in options.nuts.split(",") if name]:
        print(against_nuts(size, options), flush=True)


def one(size: str, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Simulate, fit and measure one data set."""
    matrix = data_set(size, seed, options)
    settings = settings_for(options.method, seed=seed)
    start = time.perf_counter()
    fitted = fit(counts_of(matrix.responses), irt_model_from_name(options.irt_model), settings)
    return {"seconds": time.perf_counter() - start} | measures(matrix.truth, draws_of(fitted))


def data_set(size: str, seed: int, options: argparse.Namespace) -> Matrix:
    """Responses and truth."""
    n_models, n_items = SIZES[size]
    if options.truth == "fixed":
        return simulate(n_models, n_items, seed=seed, irt_model=options.irt_model, missing=options.missing)
    model = irt_model_from_name(options.irt_model)
    made = simulate_responses(
        model, n_models=n_models, n_items=n_items, seed=seed, missing=options.missing, hyperparameters={}
    )
    counts = made.table.counts()
    truth = {name: np.broadcast_to(made.truth[name].to_numpy(), counts.n_items) for name in PARAMETERS[1:]}
    responses = np.where(counts.trials > 0, counts.correct, -1).astype(np.int8)
    return Matrix(responses, {"ability": made.truth["ability"].to_numpy(), **truth})


def draws_of(fitted: Any) -> dict[str, np.ndarray]:
    """Draws (draw, model or item) of the three parameters, all chains together."""
    return {name: fitted.posterior[name].values.reshape(-1, fitted.posterior[name].shape[-1]) for name in PARAMETERS}


def measures(truth: Mapping[str, np.ndarray], draws: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Scores of the posterior means and intervals, and coverage of relative intervals."""
    found = scores(truth, summaries(draws))
    relative, true = summaries(standardised(**draws)), standardised(**truth)
    for name in PARAMETERS:
        found[f"relative_coverage_{name}"] = coverage(true[name], relative[f"{name}_q05"], relative[f"{name}_q95"])
    found["location_error"], found["scale_error"] = slope(truth["ability"], draws["ability"].mean(axis=0))
    return found


def summaries(draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mean and central 90% bounds."""
    found = {}
    for name, values in draws.items():
        low, high = np.quantile(values, QUANTILES, axis=0)
        found |= {name: values.mean(axis=0), f"{name}_q05": low, f"{name}_q95": high}
    return found


def report(size: str, rows: pd.DataFrame) -> str:
    """Means over data sets with standard errors."""
    mean = rows.mean()
    error = rows.std(ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else mean * np.nan
    lines = [
        f"{size}: {len(rows)} data sets, {mean['seconds']:.2f} s a fit; slope of the true on the estimated abilities "
        f"{mean['scale_error']:.4f} +- {error['scale_error']:.4f}, sd over data sets {rows['scale_error'].std():.4f}"
    ]
    for name in PARAMETERS:
        cells = [
            f"{what} {mean[f'{prefix}coverage_{name}']:.3f} +- {error[f'{prefix}coverage_{name}']:.3f}"
            for what, prefix in (("raw", ""), ("aligned", "aligned_"), ("relative", "relative_"))
        ]
        rmses = f"RMSE {mean[f'rmse_{name}']:.3f}, aligned {mean[f'aligned_rmse_{name}']:.3f}"
        lines.append(f"  {name:<15} coverage {'  '.join(cells)}   {rmses}")
    return "\n".join(lines)


def against_nuts(size: str, options: argparse.Namespace) -> str:
    """RMSE and posterior sd of the method over those of NUTS, averaged over data sets, each told when it is done."""
    rows = []
    for seed in range(1, options.nuts_data_sets + 1):
        rows.append(one_against_nuts(size, seed, options))
        print(f"{size} against NUTS, data set {seed}: {rows[-1]}", flush=True)
    table = pd.DataFrame(rows)
    error = table.std(ddof=1) / np.sqrt(len(table)) if len(table) > 1 else table.mean() * np.nan
    lines = [f"{name:<32} {table[name].mean():.3f} +- {error[name]:.3f}" for name in table]
    return "\n  ".join([f"{size} against NUTS, {len(table)} data sets:", *lines])


def one_against_nuts(size: str, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of both, and ratios of RMSE, raw and aligned, and of posterior sd."""
    matrix = data_set(size, seed, options)
    counts, model = counts_of(matrix.responses), irt_model_from_name(options.irt_model)
    draws, found = {}, {}
    for settings in (settings_for(options.method, seed=seed), NUTSSettings(seed=seed, chains=2, warmup=300, draws=500)):
        start = time.perf_counter()
        draws[settings.method] = draws_of(fit(counts, model, settings))
        found[f"seconds {settings.method}"] = round(time.perf_counter() - start, 3)
    ours, theirs = (measures(matrix.truth, draws[method]) for method in (options.method, "nuts"))
    for name in PARAMETERS:
        for kind in ("rmse", "aligned_rmse"):
            found[f"{kind} {name}"] = round(ours[f"{kind}_{name}"] / theirs[f"{kind}_{name}"], 4)
        widths = draws[options.method][name].std(axis=0) / draws["nuts"][name].std(axis=0)
        found[f"sd {name}"] = round(float(widths.mean()), 4)
    return found


if __name__ == "__main__":
    main()
