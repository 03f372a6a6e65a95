"""Sections on seed noise, on its sources, and on subsets.

They answer how noisy a benchmark is, what the noise consists of, and whether subsets reduce it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from irt_bench.names import POOLED
from irt_bench.report.figures.study_figures import (
    drawn_estimator,
    forest_rows,
    labels,
    paths_figure,
    ratios_figure,
    subset_comparison_figure,
)
from irt_bench.report.figures.variance_figures import (
    components_figure,
    score_steps_figure,
    seed_sd_figure,
    subset_size_figure,
)
from irt_bench.report.page import sentences
from irt_bench.report.page.blocks import FigureBlock, PageSection, figure_block, html_table
from irt_bench.report.page.folders import STUDY, SUBSETS, VARIANCE, ResultFolder
from irt_bench.report.tables.text import shorten
from irt_bench.study.collect import is_reference
from irt_bench.study.verdicts import CUTS
from irt_bench.variance.scores import ACCURACY

MAX_ROWS: Final = 30  # seed sds drawn
MAX_BENCHMARKS: Final = 6  # with a sentence and figures of their own
SEED, RESIDUAL = "seed", "seed:item"
COMMON, SINGLE = "common to all items", "single items"
RUN_COLUMNS: Final = ["n_items", "n_seeds", "n_steps", "mean", "seed_sd", "item_sampling_sd", "monotonicity", "snr"]


def noise_section(part: ResultFolder | None) -> PageSection:
    """Make the section on how far a score moves when training is repeated."""
    question = "How noisy is this benchmark?"
    if part is None:
        return PageSection("noise", question, missing=[VARIANCE])
    pooled = whole_benchmarks(part["pooled"]).sort_values("seed_sd", ascending=False, kind="stable")
    texts = [sentences.noise_sentence(row) for row in pooled.head(MAX_BENCHMARKS).to_dict("records")]
    texts += [text for text in [sentences.noisiest_sentence(pooled)] if text]
    detectable = part["detectable"]
    if len(detectable):
        texts += [sentences.detectable_sentence(row) for row in _usual_seeds(detectable, pooled)]
    return PageSection(
        "noise", question, texts, list(_noise_blocks(part, pooled)), notes=list(part.summary.get("notes", []))
    )


def source_section(part: ResultFolder | None) -> PageSection:
    """Make the section on the components of seed variance, and on random subsets."""
    question = "What is the noise made of?"
    if part is None:
        return PageSection("sources", question, missing=[VARIANCE])
    texts, blocks = [], []
    several = len(_benchmarks(part)) > 1
    for place, benchmark in enumerate(_benchmarks(part)):
        components, n_items = last_components(part, benchmark)
        if components is not None:
            rows = components.to_dict("index")
            texts.append(
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
    return PageSection("sources", question, texts, blocks)


def whole_benchmarks(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of accuracy on whole benchmarks."""
    return frame[(frame["subtask"] == "") & (frame["measure"] == ACCURACY)]


def last_components(part: ResultFolder, benchmark: str) -> tuple[pd.DataFrame | None, int]:
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


def _benchmarks(part: ResultFolder) -> list[str]:
    names: list[str] = list(whole_benchmarks(part["metrics"])["benchmark"].unique())
    return names[:MAX_BENCHMARKS]


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


def _noise_blocks(part: ResultFolder, pooled: pd.DataFrame) -> list[FigureBlock]:
    metrics = whole_benchmarks(part["metrics"])
    several = len(pooled) > 1
    rows = pooled.set_index("benchmark") if several else metrics.set_index("run")
    rows = rows.sort_values("seed_sd", ascending=False, kind="stable")
    what = "benchmark, pooled over runs" if several else "run"
    shown = rows.head(MAX_ROWS)
    more = f" The {MAX_ROWS} largest of {len(rows):,}." if len(rows) > MAX_ROWS else ""
    caption = f"Sd of the score over seeds, root mean square over steps, for each {what}; bars are 90% intervals.{more}"
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
                f"One light line per seed, their mean dark. The distances between light lines are the noise.{first}",
                wide,
                partial(score_steps_figure, own),
                whole=f"{part.place}/scores.csv",
            )
        )
    return blocks


def _source_block(components: pd.DataFrame, n_items: int, benchmark: str, place: int) -> FigureBlock:
    """Draw how far each source alone would move the full score."""
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


def _size_block(curve: pd.DataFrame, benchmark: str, place: int) -> FigureBlock:
    runs = curve["run"].nunique()
    first = " The first four runs." if runs > 4 else ""
    return figure_block(
        f"sizes-{place}",
        f"Random subsets of k items, {shorten(benchmark, 40)}",
        f"Seed sd at the last step, predicted by V(k) and of real random subsets. A chosen subset must be better than "
        f"this, not only than the full benchmark.{first}",
        curve.set_index(["run", "k"])[["predicted_sd", "predicted_sd_q05", "predicted_sd_q95", "simulated_sd",
                                        "simulated_q05", "simulated_q95"]],
        partial(subset_size_figure, curve),
    )  # fmt: skip


MAX_COMPARED: Final = 4  # with a figure
MAX_PATHS: Final = 2
PATH_COLUMNS: Final = ["n_items", "seed_sd", "random_sd", "v_k_sd", "percentile_random", "ratio_full", "verdict_full",
                       "mean", "standard_error", "monotonicity"]  # fmt: skip
MAX_CUTS: Final = 3  # ways named
COLUMNS: Final = ["seed_sd", "ratio", "percentile_random", "p_holm", "verdict", "movement", "ratio_signal",
                  "verdict_signal", "ratio_plain", "verdict_plain", "ratio_full", "verdict_full", "bias", "snr",
                  "monotonicity", "kendall_tau", "model_sd", "model_ratio", "model_ratio_full"]  # fmt: skip
REFERENCES: Final = ["seed_sd_full", "seed_sd_random", "v_k_sd", "seed_sd_p_irt", "seed_sd_random_p_irt",
                     "seed_sd_gp_irt", "seed_sd_random_gp_irt"]  # fmt: skip


def subset_section(study: ResultFolder | None, compared: ResultFolder | None) -> PageSection:
    """Make the section on whether chosen or reweighted items cut seed noise."""
    question = "Do subsets help?"
    missing = [kind for kind, part in ((STUDY, study), (SUBSETS, compared)) if part is None]
    texts: list[str] = []
    blocks: list[FigureBlock] = []
    notes: list[str] = []
    if study is not None:
        rows = pooled_rows(study["results"])
        texts += _conclusions(rows, study)
        blocks += _forests(rows, study)
        blocks += _paths(study["paths"], study.place)
        if len(study["paper"]):
            blocks.append(_paper(study["paper"]))
        notes += [str(note) for note in study.summary.get("notes", [])]
    if compared is not None:
        blocks.append(_errors(compared))
    return PageSection("subsets", question, texts, blocks, missing=missing, notes=notes)


def pooled_rows(results: pd.DataFrame) -> pd.DataFrame:
    """Rows pooled over runs, with a label for each recipe; ``reference`` marks the rows of references."""
    rows = results[results["run"] == POOLED].copy()
    rows["label"] = labels(rows)
    rows["reference"] = is_reference(rows)
    return rows


def _conclusions(rows: pd.DataFrame, study: ResultFolder) -> list[str]:
    chosen = rows[~rows["reference"]]
    texts = sentences.subset_sentences(chosen)
    cuts = chosen[chosen["verdict"] == CUTS].sort_values("ratio")
    texts += [sentences.cut_sentence(row) for row in cuts.head(MAX_CUTS).to_dict("records")]
    if len(study["detectable"]):
        texts.append(sentences.power_sentence(study["detectable"]))
    control = study.summary.get("control", {})
    text = sentences.control_sentence(control)
    if len(cuts) and any(each["cuts"] for each in control.values()):
        return [f"{texts[0]} {text}", *texts[1:]]  # no cut is reported without the control
    return texts + ([text] if text else [])


def _forests(rows: pd.DataFrame, study: ResultFolder) -> list[FigureBlock]:
    blocks = []
    for place, (benchmark, own) in enumerate(rows.groupby("benchmark", sort=False)):
        if place >= MAX_COMPARED:
            break
        score = drawn_estimator(study["results"], str(benchmark))
        if score is None:  # random items alone
            continue
        shown = forest_rows(study["results"], str(benchmark), estimator=score)
        table = own[~own["reference"]].set_index(["label", "estimator", "size"])
        blocks.append(
            figure_block(
                f"forest-{place}",
                f"Seed noise against random subsets of the same size, {shorten(str(benchmark), 40)}",
                "Left of 1 is less noise. Bars are 90% intervals. Colour and shape show the verdict: the interval must "
                "exclude 1, also after Holm's correction over all recipes. The grey band contains 90% of random "
                f"subsets, scored and weighted the same way. Drawn: the {score} score; the table has all. "
                "Per signal: a score that only shrinks also moves less between runs, and that is no gain.",
                table,
                partial(ratios_figure, shown),
                columns=[name for name in COLUMNS if name in table],
                whole=f"{study.place}/results.csv",
            )
        )
    return blocks


def _paths(paths: pd.DataFrame, place: str) -> list[FigureBlock]:
    if not len(paths):
        return []
    found = []
    for number, (benchmark, own) in enumerate(paths.groupby("benchmark", sort=False)):
        if number >= MAX_PATHS:
            break
        found.append(
            figure_block(
                f"path-{number}",
                f"Dropping the least discriminating items, {shorten(str(benchmark), 40)}",
                "Items are sorted by item-rest correlation on the calibration models, and the lowest are dropped "
                "step by step. The band contains 90% of random subsets of the same size. The mean changes as items go.",
                own.set_index("dropped"),
                partial(paths_figure, paths, str(benchmark)),
                columns=[name for name in PATH_COLUMNS if name in own],
                whole=f"{place}/paths.csv",
            )
        )
    return found


def _paper(paper: pd.DataFrame) -> FigureBlock:
    """Show the comparison of the paper, with random subsets and V(k)."""
    table = paper.set_index(["benchmark", "size"])
    shown = table[[name for name in REFERENCES if name in table]] * 100
    caption = (
        "Seed sd in points: of the full benchmark, of random subsets of the size, as V(k) predicts for them, and of "
        "the paper's p-IRT and gp-IRT on anchors and on random subsets. Compared with the full benchmark alone, any "
        "small subset looks noisy."
    )
    return FigureBlock("paper", "The paper's comparison, with random subsets", caption, html_table(shown), opened=True)


def _errors(compared: ResultFolder) -> FigureBlock:
    table = compared["comparison"]
    best: list[dict[str, Any]] = list(compared.summary.get("best", []))
    names = "; ".join(f"{int(each['size'])} items: {each['method']}, {each['estimator']}" for each in best[:4])
    least = f" Smallest error with {names}." if names else ""
    return figure_block(
        "errors",
        "How well subsets estimate the full score",
        "Mean absolute error on held-out models, in points; grey: random subsets, 5 to 95%, blue: below them, "
        f"vermilion: above.{least}",
        table.set_index(["method", "weights", "estimator", "size"]),
        partial(subset_comparison_figure, table),
        whole=f"{compared.place}/comparison.csv",
    )
