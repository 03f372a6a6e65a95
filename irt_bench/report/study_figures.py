"""Figures of a study: seed sds of chosen subsets over those of random ones, and what dropping items does."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from irt_bench.names import BENCHMARK, RUN
from irt_bench.report.figures.ratios import CUTS, RAISES, ratios_figure
from irt_bench.report.tables import shorten
from irt_bench.variance.study.design import EQUAL
from irt_bench.variance.study.reading import WEIGHTED, null_of
from irt_bench.variance.study.references import POOLED, is_null, is_reference


def forest_rows(
    results: pd.DataFrame, benchmark: str, *, estimator: str = "weighted", run: str = POOLED
) -> pd.DataFrame:
    """Rows of one benchmark and score as `ratios_figure` draws them, with the range of their own random subsets.

    Parameters
    ----------
    results : pd.DataFrame
        `StudyResult.results`.
    benchmark : str
        Which benchmark.
    estimator : str
        Which scores.
    run : str
        Which run; all pooled by default.
    """
    part = results[(results[BENCHMARK] == benchmark) & (results[RUN] == run) & (results["estimator"] == estimator)]
    null = part[is_null(part)].set_index(["size", "weights"])
    ways = part[~is_reference(part)]
    frame = pd.DataFrame(
        {
            "label": labels(ways),
            "size": ways["size"].astype(int),
            "verdict": ways["verdict"],
            "detectable": ways.get("detectable", np.nan),
        },
        index=ways.index,
    )
    for end in ("", "_q05", "_q95"):
        frame[f"ratio{end}"] = ways[f"ratio{end}"]
    keys = pd.MultiIndex.from_arrays([ways["size"], [null_of(each, estimator)[0] for each in ways["weights"]]])
    for end in ("q05", "q95"):
        frame[f"random_{end}"] = null[f"ratio_{end}"].reindex(keys).to_numpy()
    return frame


def drawn_estimator(results: pd.DataFrame, benchmark: str) -> str | None:
    """Estimator whose ways the forest shows: weighted means, or else the first; None where there is none."""
    ways = results.loc[(results[BENCHMARK] == benchmark) & ~is_reference(results), "estimator"]
    return None if not len(ways) else WEIGHTED if (ways == WEIGHTED).any() else str(ways.iloc[0])


def labels(rows: pd.DataFrame) -> pd.Series:
    """Name each way to choose and weigh items."""
    return pd.Series(
        np.where(rows["weights"] == EQUAL, rows["method"], rows["method"] + ", " + rows["weights"]), index=rows.index
    )


def forest_figure(results: pd.DataFrame, benchmark: str, *, estimator: str = "weighted", run: str = POOLED) -> Figure:
    """Draw the ratio of each method's seed sd to that of random subsets scored alike, a panel a size.

    Parameters are those of `forest_rows`.
    """
    rows = forest_rows(results, benchmark, estimator=estimator, run=run)
    counts = rows["verdict"].value_counts()
    n = {word: int(counts.get(word, 0)) for word in (CUTS, RAISES)}
    title = (
        f"{shorten(benchmark, 30)} ({estimator}): of {len(rows)} subsets {n[CUTS]} cut seed variance against random "
        f"ones of their size, scored alike, {n[RAISES]} raise it"
    )
    if np.isfinite(could := rows["detectable"].median()):
        title += f"; cuts to {could:.2f} would be found with 80% power"
    return ratios_figure(rows, title=title)
