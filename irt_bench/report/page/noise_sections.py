"""How noisy is this benchmark, and what is the noise made of."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from irt_bench.report.figures.noise import components_figure, score_steps_figure, seed_sd_figure, subset_size_figure
from irt_bench.report.page import sentences
from irt_bench.report.page.folders import VARIANCE, Part
from irt_bench.report.page.sections import Block, Section, figure_block
from irt_bench.report.tables.text import shorten

ACCURACY: Final = "accuracy"
MOST_ROWS: Final = 30  # seed sds drawn
MOST_BENCHMARKS: Final = 6  # with a sentence and figures of their own
SEED, RESIDUAL = "seed", "seed:item"
COMMON, SINGLE = "common to all items", "single items"
RUN_COLUMNS: Final = ["n_items", "n_seeds", "n_steps", "mean", "seed_sd", "item_sampling_sd", "monotonicity", "snr"]


def noise_section(part: Part | None) -> Section:
    """Tell how far a score moves when training is repeated."""
    question = "How noisy is this benchmark?"
    if part is None:
        return Section("noise", question, missing=[VARIANCE])
    pooled = whole_benchmarks(part["pooled"]).sort_values("seed_sd", ascending=False, kind="stable")
    said = [sentences.noise_sentence(row) for row in pooled.head(MOST_BENCHMARKS).to_dict("records")]
    said += [text for text in [sentences.noisiest_sentence(pooled)] if text]
    detectable = part["detectable"]
    if len(detectable):
        said += [sentences.detectable_sentence(row) for row in _usual_seeds(detectable, pooled)]
    return Section(
        "noise", question, said, list(_noise_blocks(part, pooled)), notes=list(part.summary.get("notes", []))
    )


def source_section(part: Part | None) -> Section:
    """Tell what the variance over seeds is made of, and what random subsets would do."""
    question = "What is the noise made of?"
    if part is None:
        return Section("sources", question, missing=[VARIANCE])
    said, blocks = [], []
    several = len(_benchmarks(part)) > 1
    for place, benchmark in enumerate(_benchmarks(part)):
        components, n_items = last_components(part, benchmark)
        if components is not None:
            rows = components.to_dict("index")
            said.append(
                several * f"{sentences.name_of(benchmark)}: "
                + sentences.common_part_sentence(rows[SEED], rows[RESIDUAL], n_items)
            )
            blocks.append(_source_block(components, n_items, benchmark, place))
        curve = part["curve"]
        curve = curve[curve["benchmark"] == benchmark]
        if "form" in curve:
            curve = curve[curve["form"] == "random"]
        if len(curve):
            blocks.append(_size_block(curve, benchmark, place))
    return Section("sources", question, said, blocks)


def whole_benchmarks(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of accuracy on whole benchmarks."""
    return frame[(frame["subtask"] == "") & (frame["measure"] == ACCURACY)]


def last_components(part: Part, benchmark: str) -> tuple[pd.DataFrame | None, int]:
    """Components at the last step, pooled over runs where they are, and the number of items."""
    rows = part["components"]
    rows = rows[(rows["benchmark"] == benchmark) & (rows["design"] == "seed x item")]
    pooled = rows[rows["run"] == ""]
    rows = pooled if len(pooled) else rows
    rows = rows[rows["step"] == rows["step"].iloc[-1]] if len(rows) else rows
    metrics = whole_benchmarks(part["metrics"])
    n_items = int(metrics.loc[metrics["benchmark"] == benchmark, "n_items"].max())
    found = rows.drop_duplicates("component").set_index("component")[["estimate", "q05", "q95"]]
    return (found if {SEED, RESIDUAL} <= set(found.index) else None), n_items


def _benchmarks(part: Part) -> list[str]:
    names: list[str] = list(whole_benchmarks(part["metrics"])["benchmark"].unique())
    return names[:MOST_BENCHMARKS]


def _usual_seeds(detectable: pd.DataFrame, pooled: pd.DataFrame) -> list[dict[Any, Any]]:
    """Row of the noisiest benchmark whose number of seeds is nearest to what it has."""
    if not len(pooled):
        return []
    first = pooled.iloc[0]
    rows = detectable[(detectable["benchmark"] == first["benchmark"]) & (detectable["measure"] == ACCURACY)]
    rows = rows.dropna(subset=["detectable"])
    if not len(rows):
        return []
    nearest = (rows["n_seeds"] - int(first["n_seeds"])).abs().argmin()
    return [rows.iloc[nearest].to_dict()]


def _noise_blocks(part: Part, pooled: pd.DataFrame) -> list[Block]:
    metrics = whole_benchmarks(part["metrics"])
    several = len(pooled) > 1
    rows = pooled.set_index("benchmark") if several else metrics.set_index("run")
    rows = rows.sort_values("seed_sd", ascending=False, kind="stable")
    what = "benchmark, pooled over runs" if several else "run"
    shown = rows.head(MOST_ROWS)
    more = f" The {MOST_ROWS} largest of {len(rows):,}." if len(rows) > MOST_ROWS else ""
    caption = f"Sd of the score over seeds, mean over steps, for each {what}; bars are 90% intervals.{more}"
    table = metrics.set_index(["benchmark", "run"])
    whole = f"{part.place}/metrics.csv"
    blocks = [
        figure_block(
            "seed-sd", "Seed sd", caption, table, partial(seed_sd_figure, shown), columns=RUN_COLUMNS, whole=whole
        )
    ]
    scores = part["scores"]
    for place, benchmark in enumerate(_benchmarks(part)):
        own = scores[(scores["benchmark"] == benchmark) & (scores["measure"] == ACCURACY)] if len(scores) else scores
        if not len(own):
            continue
        wide = own.pivot_table(index=["run", "step"], columns="seed", values="score", sort=False)
        wide.columns = [f"seed {shorten(str(seed), 12)}" for seed in wide.columns]
        first = " The first four runs." if own["run"].nunique() > 4 else ""
        blocks.append(
            figure_block(
                f"steps-{place}",
                f"Scores over training, {shorten(benchmark, 40)}",
                f"A light line a seed; their mean dark. Distances between light lines are the noise.{first}",
                wide,
                partial(score_steps_figure, own),
                whole=f"{part.place}/scores.csv",
            )
        )
    return blocks


def _source_block(components: pd.DataFrame, n_items: int, benchmark: str, place: int) -> Block:
    """How much each source alone would move the full score: the square root of its variance, over n items."""
    named = {SEED: (COMMON, 1), RESIDUAL: (SINGLE, n_items), "trial": ("repeated answers", n_items)}
    rows = {}
    for source, (label, divisor) in named.items():
        if source in components.index:
            rows[label] = np.sqrt(
                np.clip(components.loc[source, ["estimate", "q05", "q95"]].astype(float), 0, None) / divisor
            )
    parts = pd.DataFrame(rows).T.set_axis(["sd", "sd_q05", "sd_q95"], axis=1).rename_axis("source")
    return figure_block(
        f"sources-{place}",
        f"Sources of seed noise, {shorten(benchmark, 40)}",
        "Last step, pooled over runs: how far each source alone would move the full score; bars are 90% intervals. "
        "Variance estimates below 0 are drawn at 0; the table on the command line keeps them.",
        parts * 100,
        partial(components_figure, parts),
    )


def _size_block(curve: pd.DataFrame, benchmark: str, place: int) -> Block:
    runs = curve["run"].nunique()
    first = " The first four runs." if runs > 4 else ""
    return figure_block(
        f"sizes-{place}",
        f"What a random subset of k items does, {shorten(benchmark, 40)}",
        f"Seed sd at the last step: V(k) predicts it, real random subsets confirm it. Any clever subset has to beat "
        f"this, not only the full benchmark.{first}",
        curve.set_index(["run", "k"])[["predicted_sd", "predicted_sd_q05", "predicted_sd_q95", "simulated_sd",
                                        "simulated_q05", "simulated_q95"]],
        partial(subset_size_figure, curve),
    )  # fmt: skip
