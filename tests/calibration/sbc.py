"""Simulation-based calibration (Talts et al. 2018): ``python tests/calibration/sbc.py -o calibration --controls``.

A truth is drawn from the priors, answers from the truth, and draws from the answers; if inference is right, the truth's
rank among the draws is uniform. Kept are the ranks of two abilities, a difficulty, a discrimination and asymptotes of
one item, everything that all items share, and the log-likelihood, which sees what single parameters do not (Modrák et
al. 2023). Fits are kept one file each: run it again, with more replicates or after a stop, and it goes on. Tables and
one figure are written from all files there are. Negative controls must fail: fits with a wrong prior, to answers with
right and wrong swapped, with draws drawn in to their mean, and (SVI) with a guide that knows no correlations.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from ecdf_bands import simultaneous_band, uniformity
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from irt_bench import NUTSSettings, SVISettings
from irt_bench.analysis.checks.summed_score import holm
from irt_bench.analysis.irt import success
from irt_bench.analysis.labelled_draws import ASYMPTOTES, ItemParameters
from irt_bench.errors import FitError, ModelError
from irt_bench.files import replacing
from irt_bench.inference.fit import fit
from irt_bench.inference.settings import LaplaceSettings, Settings
from irt_bench.irt_models.base import HalfNormal, Hierarchical, Normal
from irt_bench.irt_models.logistic import FourPL, Logistic, OnePL, ThreePL, TwoPL
from irt_bench.irt_models.simulate import simulate_responses
from irt_bench.report.canvas import GREEN, GREY, INK, VERMILION, new_figure, save_figure, styled
from irt_bench.responses.counts import ResponseCounts

SIZE = "40x20"  # models x items: small enough for the exact method, and where approximations show
N_DRAWS = 99  # among which the truth is ranked
IRT_MODELS: dict[str, Logistic] = {
    "1pl": OnePL(), "2pl": TwoPL(), "3pl, guessing 0.25": ThreePL(guessing=0.25), "3pl": ThreePL(), "4pl": FourPL(),
}  # fmt: skip
METHODS = ("laplace", "svi", "nuts")
WRONG_GUIDE = "wrong guide"
CONTROLS = ("wrong prior", "swapped answers", "narrow draws", WRONG_GUIDE)
WRONG_PRIOR = Hierarchical(Normal(0.0, 0.2), HalfNormal(0.2))
NARROW = 0.6  # of the sd
REPLICATES = {"laplace": 200, "svi": 60, "nuts": 60}
LEAST = 5  # data sets of a cell; with fewer it is not shown yet
NAMED = 2  # lines of a panel
SMALLEST_P = 0.05  # familywise over the quantities of a cell


class Cell(NamedTuple):
    """One IRT model and method, and what is done wrong on purpose, if anything."""

    irt_model: str
    method: str
    control: str = ""
    size: str = SIZE

    @property
    def name(self) -> str:
        """As a file name."""
        parts = (self.irt_model, self.method, self.control, "" if self.size == SIZE else self.size)
        return "-".join(part.replace(", ", "-").replace(" ", "_") for part in parts if part)

    @property
    def can_be_fitted(self) -> bool:
        """The fast method does not learn asymptotes, and only SVI has a guide."""
        if self.control == WRONG_GUIDE:
            return self.method == "svi"
        return self.method != "laplace" or self.irt_model not in ("3pl", "4pl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--folder", type=Path, required=True, help="where ranks are kept, one file a fit")
    parser.add_argument("--models", nargs="+", default=list(IRT_MODELS), choices=list(IRT_MODELS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument(
        "--sizes", nargs="+", default=[SIZE], help=f"models x items of the data sets; by default {SIZE}"
    )
    parser.add_argument("--replicates", type=int, help=f"data sets a cell; by default {REPLICATES}")
    parser.add_argument("--controls", action="store_true", help="the negative controls too, with the 2PL")
    parser.add_argument("--minutes", type=float, default=np.inf, help="stop after about so many")
    parser.add_argument("--csv", type=Path, help="table to write from all fits in the folder")
    parser.add_argument("--figure", type=Path, help="figure to write from them")
    options = parser.parse_args()
    cells = [
        Cell(model, method, size=size)
        for method in options.methods
        for size in options.sizes
        for model in options.models
    ]
    if options.controls:
        cells += [Cell("2pl", method, control) for method in options.methods for control in CONTROLS]
    run([cell for cell in cells if cell.can_be_fitted], options.folder, options.replicates, options.minutes)
    table = tabulate(options.folder)
    print(table.to_string(index=False))
    if options.csv is not None:
        with replacing(options.csv) as beside:
            table.to_csv(beside, index=False, float_format="%.4g")
    if options.figure is not None:
        save_figure(draw(options.folder), options.figure)
    wrong = verdicts(table)
    if wrong:
        raise SystemExit("; ".join(wrong))


def run(cells: list[Cell], folder: Path, replicates: int | None, minutes: float = np.inf) -> None:
    """Fit what is not there yet: a method at a time, its cells in turn, so that a stop leaves them equally far."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    wanted = {cell: replicates or REPLICATES[cell.method] for cell in cells}
    for method in dict.fromkeys(cell.method for cell in cells):
        for seed in range(1, max(wanted.values()) + 1):
            for cell in (cell for cell, n in wanted.items() if cell.method == method and seed <= n):
                path = folder / f"{cell.name}-{seed:04d}.json"
                if path.exists():
                    continue
                if time.monotonic() - start > 60 * minutes:
                    return
                found = replicate(cell, seed)
                with replacing(path) as beside:
                    beside.write_text(json.dumps(found))


def replicate(cell: Cell, seed: int) -> dict[str, Any]:
    """Simulate, fit and rank once."""
    irt_model = IRT_MODELS[cell.irt_model]
    n_models, n_items = map(int, cell.size.split("x"))
    simulated = simulate_responses(irt_model, n_models=n_models, n_items=n_items, seed=seed, hyperparameters={})
    counts = simulated.table.counts()
    fitted_to = swapped(counts) if cell.control == "swapped answers" else counts
    believed = TwoPL(difficulty=WRONG_PRIOR) if cell.control == "wrong prior" else irt_model
    about = {
        **cell._asdict(),
        "seed": seed,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": {name: version(name) for name in ("irt-bench", "pyro-ppl", "torch", "numpy")},
    }
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fitted = fit(fitted_to, believed, settings(cell, seed))
        except (FitError, ModelError) as error:  # counted, not hidden
            return {**about, "refused": str(error)}
    seconds = time.process_time() - start
    posterior = thinned(fitted.posterior)
    if cell.control == "narrow draws":
        posterior = posterior.mean("draw") + NARROW * (posterior - posterior.mean("draw"))
    found = ranks(simulated.truth, posterior, counts)
    return {**about, "converged": fitted.converged, "seconds": seconds, "ranks": found}


def settings(cell: Cell, seed: int) -> Settings:
    """Enough draws to thin to `N_DRAWS`, which are then nearly independent; the same for every data set."""
    if cell.method == "nuts":
        return NUTSSettings(seed=seed, chains=1, warmup=200, draws=4 * N_DRAWS, jobs=1)
    if cell.method == "laplace":
        return LaplaceSettings(seed=seed, draws=8 * N_DRAWS)  # eight of each chain
    return SVISettings(seed=seed, draws=N_DRAWS, guide="normal" if cell.control == WRONG_GUIDE else "auto")


def swapped(counts: ResponseCounts) -> ResponseCounts:
    """Call right answers wrong."""
    return ResponseCounts(
        counts.trials - counts.correct, counts.trials, counts.models, counts.items, counts.benchmark, counts.measure
    )


def thinned(posterior: xr.Dataset) -> xr.Dataset:
    """`N_DRAWS` draws, evenly spaced, chains joined."""
    joined = posterior.stack(sample=("chain", "draw")).reset_index("sample", drop=True)
    places = np.linspace(0, joined.sizes["sample"] - 1, N_DRAWS).astype(int)
    return joined.isel(sample=places).rename(sample="draw")


def ranks(truth: xr.Dataset, posterior: xr.Dataset, counts: ResponseCounts) -> dict[str, int]:
    """Draws below the truth, quantity by quantity."""
    found = {}
    for name in posterior.data_vars:
        if name not in truth or (name == "guessing" and float(posterior[name].std()) == 0):
            continue
        drawn, true = posterior[name].transpose(..., "draw").to_numpy(), truth[name].to_numpy()
        places = (0, 1) if name == "ability" else (0,)
        for place in places if drawn.ndim == 2 else (None,):
            label = str(name) if place is None else f"{name}[{place}]"
            found[label] = int((drawn[... if place is None else place] < true[() if place is None else place]).sum())
    found["log_likelihood"] = int((log_likelihood(posterior, counts) < log_likelihood(truth, counts)).sum())
    return found


def log_likelihood(parameters: xr.Dataset, counts: ResponseCounts) -> np.ndarray:
    """Log-likelihood of all answers, shape (draw,)."""
    drawn = parameters if "draw" in parameters.dims else parameters.expand_dims("draw")
    ability = drawn["ability"].transpose("draw", "model").to_numpy().astype(float)[:, :, None]
    items = ItemParameters(
        *(
            drawn[name].transpose("draw", "item").to_numpy().astype(float)[:, None] if name in drawn else missing
            for name, missing in (("difficulty", 0), ("discrimination", 1), *ASYMPTOTES.items())
        )
    )
    right, wrong = success(items, ability)
    n_wrong = counts.trials - counts.correct
    return (counts.correct * np.log(right) + n_wrong * np.log(wrong)).sum(axis=(1, 2))


def load(folder: Path) -> dict[Cell, list[dict[str, Any]]]:
    """All replicates by cell, in a fixed order, those that were refused too; cells with too few are left out."""
    found: dict[Cell, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        one = json.loads(path.read_text())
        cell = Cell(one["irt_model"], one["method"], one["control"], one.get("size", SIZE))
        found.setdefault(cell, []).append(one)
    order = {name: place for place, name in enumerate([*IRT_MODELS, *METHODS, "", *CONTROLS])}

    def place(cell: Cell) -> tuple[object, ...]:
        return order[cell.control], order[cell.irt_model], order[cell.method], cell.size != SIZE, cell.size

    enough = {cell: ones for cell, ones in found.items() if len(fitted_ones(ones)) >= LEAST}
    return dict(sorted(enough.items(), key=lambda pair: place(pair[0])))


def quantities(replicates: list[dict[str, Any]]) -> Iterator[tuple[str, np.ndarray]]:
    """Name and ranks of each quantity."""
    for name in replicates[0]["ranks"]:
        yield name, np.array([one["ranks"][name] for one in replicates])


def fitted_ones(replicates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Replicates that were not refused."""
    return [one for one in replicates if "ranks" in one]


def tabulate(folder: Path) -> pd.DataFrame:
    """One row a cell and quantity: mean and spread of ranks, p-value, verdict."""
    rows = []
    for cell, every in load(folder).items():
        replicates = fitted_ones(every)
        tested = [(name, uniformity(values, N_DRAWS)) for name, values in quantities(replicates)]
        adjusted = holm(np.array([each.p_value for _, each in tested]))
        about = {
            "n_replicates": len(replicates),
            "n_refused": len(every) - len(replicates),
            "converged": np.mean([one["converged"] for one in replicates]),
            "seconds": np.median([one["seconds"] for one in replicates]),
            "seeds": f"1-{max(one['seed'] for one in every)}",
            "date": max(one["date"] for one in replicates),
            "versions": " ".join(f"{name} {value}" for name, value in replicates[-1]["versions"].items()),
        }
        for (name, each), p_holm in zip(tested, adjusted, strict=True):
            measured = {"mean_rank": each.mean, "spread": each.spread, "p_value": each.p_value, "p_holm": p_holm}
            verdict = "uniform" if p_holm >= SMALLEST_P else shape(each.mean, each.spread)
            rows.append({**cell._asdict(), "quantity": name, **measured, "verdict": verdict, **about})
    return pd.DataFrame(rows)


def shape(mean: float, spread: float) -> str:
    """Say in what way ranks are not uniform."""
    if abs(mean - 0.5) > 0.05:
        return "draws too high" if mean < 0.5 else "draws too low"
    return "draws too narrow" if spread > 1 else "draws too wide"


def verdicts(table: pd.DataFrame) -> list[str]:
    """What is not as it must be: exact methods with ranks that are not uniform, controls that pass."""
    wrong = []
    for (model, method, control, _), rows in table.groupby(["irt_model", "method", "control", "size"]):
        failed = rows.loc[rows["verdict"] != "uniform", "quantity"].tolist()
        if control and not failed:
            wrong.append(f"control {control!r} of {method} passed")
        if method == "nuts" and not control and failed:
            wrong.append(f"{model} by nuts: {', '.join(failed)}")
    return wrong


@styled
def draw(folder: Path) -> Figure:
    """One panel a cell: empirical minus uniform distribution of every quantity, with the band."""
    found = load(folder)
    n_columns = 3
    n_rows = -(-len(found) // n_columns)
    figure = new_figure(
        1.0 + 1.75 * n_rows, "Ranks of the truth among draws: lines leave the band where inference is off"
    )
    panels = np.atleast_1d(figure.subplots(n_rows, n_columns, sharex=True, squeeze=False)).ravel()
    for axes, (cell, replicates) in zip(panels, found.items(), strict=False):
        _panel(axes, cell, fitted_ones(replicates))
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    figure.supxlabel("rank of the truth, as a share (vertical: distribution minus uniform)", size=9)
    return figure


def _panel(axes: Axes, cell: Cell, replicates: list[dict[str, Any]]) -> None:
    low, high = simultaneous_band(len(replicates), N_DRAWS)
    found = {name: uniformity(values, N_DRAWS) for name, values in quantities(replicates)}
    z = np.arange(1, N_DRAWS + 1) / (N_DRAWS + 1)
    axes.fill_between(z, low, high, color=GREEN, alpha=0.2, linewidth=0)
    excess = {name: np.maximum(low - each.difference, each.difference - high).max() for name, each in found.items()}
    furthest = sorted(excess, key=lambda name: -excess[name])[:NAMED]
    for name, each in found.items():
        out = excess[name] > 0
        axes.plot(z, each.difference, color=VERMILION if out else GREY, linewidth=1.0 if out else 0.7)
        if out and name in furthest:
            at = int(np.abs(each.difference).argmax())
            axes.annotate(name, (z[at], each.difference[at]), size=6, color=INK, ha="left" if z[at] < 0.5 else "right")
    axes.margins(y=0.12)
    control = f": {cell.control}" if cell.control else ""
    size = "" if cell.size == SIZE else f", {cell.size}"
    axes.set_title(f"{cell.irt_model}, {cell.method}{size}{control} ({len(replicates)})", size=8)
    axes.tick_params(labelsize=7)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
