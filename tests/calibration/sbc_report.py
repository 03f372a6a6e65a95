"""What ranks say: one table and one figure of all fits that were kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ecdf_bands import simultaneous_band, uniformity
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sbc import CONTROLS, IRT_MODELS, METHODS, N_DRAWS, SIZE, Cell

from irt_bench.analysis.intervals import holm
from irt_bench.report.figures.canvas import GREEN, GREY, INK, VERMILION, new_figure, styled

LEAST = 5  # data sets of a cell; with fewer it is not shown yet
NAMED = 2  # lines of a panel
SMALLEST_P = 0.05  # familywise over the quantities of a cell


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
    """What is not as it must be: ranks that are not uniform, and controls that neither ranks nor own checks betray."""
    wrong = []
    for (model, method, control, _), rows in table.groupby(["irt_model", "method", "control", "size"]):
        failed = rows.loc[rows["verdict"] != "uniform", "quantity"].tolist()
        if control and not failed and rows["converged"].max() > 0:
            wrong.append(f"control {control!r} of {method} passed")
        if not control and failed:
            wrong.append(f"{model} by {method}: {', '.join(failed)}")
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
