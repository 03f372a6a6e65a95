"""Do subsets help: the study's verdicts on seed noise, and how well subsets estimate the full score."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import pandas as pd

from irt_bench.report.figures.paths import paths_figure
from irt_bench.report.figures.ratios import ratios_figure
from irt_bench.report.page import sentences
from irt_bench.report.page.folders import STUDY, SUBSETS, Part
from irt_bench.report.page.html_tables import html_table
from irt_bench.report.page.sections import Block, Section, figure_block
from irt_bench.report.study_figures import drawn_estimator, forest_rows, labels
from irt_bench.report.subset_figures import subset_comparison_figure
from irt_bench.report.tables.text import shorten
from irt_bench.variance.study.references import POOLED, is_reference

MOST_BENCHMARKS: Final = 4  # with a figure
MOST_PATHS: Final = 2
PATH_COLUMNS: Final = ["n_items", "seed_sd", "random_sd", "v_k_sd", "percentile_random", "ratio_full", "verdict_full",
                       "mean", "standard_error", "monotonicity"]  # fmt: skip
MOST_CUTS: Final = 3  # ways named
COLUMNS: Final = ["seed_sd", "ratio", "percentile_random", "p_holm", "verdict", "movement", "ratio_signal",
                  "verdict_signal", "ratio_plain", "verdict_plain", "ratio_full", "verdict_full", "bias", "snr",
                  "monotonicity", "kendall_tau", "model_sd", "model_ratio", "model_ratio_full"]  # fmt: skip
REFERENCES: Final = ["seed_sd_full", "seed_sd_random", "v_k_sd", "seed_sd_p_irt", "seed_sd_random_p_irt",
                     "seed_sd_gp_irt", "seed_sd_random_gp_irt"]  # fmt: skip


def subset_section(study: Part | None, compared: Part | None) -> Section:
    """Tell whether chosen or reweighted items cut seed noise, and what they cost."""
    question = "Do subsets help?"
    missing = [kind for kind, part in ((STUDY, study), (SUBSETS, compared)) if part is None]
    said: list[str] = []
    blocks: list[Block] = []
    notes: list[str] = []
    if study is not None:
        rows = pooled_rows(study["results"])
        said += _conclusions(rows, study)
        blocks += _forests(rows, study)
        blocks += _paths(study["paths"], study.place)
        if len(study["paper"]):
            blocks.append(_paper(study["paper"]))
        notes += [str(note) for note in study.summary.get("notes", [])]
    if compared is not None:
        blocks.append(_errors(compared))
    return Section("subsets", question, said, blocks, missing=missing, notes=notes)


def pooled_rows(results: pd.DataFrame) -> pd.DataFrame:
    """Rows pooled over runs, with a label for each way to choose and weigh items; ``null`` marks the references."""
    rows = results[results["run"] == POOLED].copy()
    rows["label"] = labels(rows)
    rows["null"] = is_reference(rows)
    return rows


def _conclusions(rows: pd.DataFrame, study: Part) -> list[str]:
    chosen = rows[~rows["null"]]
    said = sentences.subset_sentences(chosen)
    cuts = chosen[chosen["verdict"] == sentences.CUTS].sort_values("ratio")
    said += [sentences.cut_sentence(row) for row in cuts.head(MOST_CUTS).to_dict("records")]
    if len(study["detectable"]):
        said.append(sentences.power_sentence(study["detectable"]))
    control = study.summary.get("control", {})
    told = sentences.control_sentence(control)
    if len(cuts) and any(each["cuts"] for each in control.values()):
        return [f"{said[0]} {told}", *said[1:]]  # no cut is told without this
    return said + ([told] if told else [])


def _forests(rows: pd.DataFrame, study: Part) -> list[Block]:
    blocks = []
    for place, (benchmark, own) in enumerate(rows.groupby("benchmark", sort=False)):
        if place >= MOST_BENCHMARKS:
            break
        score = drawn_estimator(study["results"], str(benchmark))
        if score is None:  # random items alone
            continue
        shown = forest_rows(study["results"], str(benchmark), estimator=score)
        table = own[~own["null"]].set_index(["label", "estimator", "size"])
        blocks.append(
            figure_block(
                f"forest-{place}",
                f"Seed noise against random subsets of the same size, {shorten(str(benchmark), 40)}",
                "Left of 1 is less noise. Bars are 90% intervals; colour and shape are the verdict, which needs an "
                "interval without 1 that also holds after Holm's correction over all ways. The grey band is where 90% "
                f"of random subsets lie, scored and weighed the same way. Drawn: the {score} score; the table has all. "
                "Per signal: a score that only shrinks moves less between runs too, and that counts for nothing.",
                table,
                partial(ratios_figure, shown),
                columns=[name for name in COLUMNS if name in table],
                whole=f"{study.place}/results.csv",
            )
        )
    return blocks


def _paths(paths: pd.DataFrame, place: str) -> list[Block]:
    if not len(paths):
        return []
    found = []
    for number, (benchmark, own) in enumerate(paths.groupby("benchmark", sort=False)):
        if number >= MOST_PATHS:
            break
        found.append(
            figure_block(
                f"path-{number}",
                f"Dropping the least discriminating items, {shorten(str(benchmark), 40)}",
                "Items sorted by how they go with the rest on the calibration models, the lowest dropped step by step. "
                "The band is where 90% of random prunings to the same size lie; the mean drifts as items go.",
                own.set_index("dropped"),
                partial(paths_figure, paths, str(benchmark)),
                columns=[name for name in PATH_COLUMNS if name in own],
                whole=f"{place}/paths.csv",
            )
        )
    return found


def _paper(paper: pd.DataFrame) -> Block:
    """Set the paper's comparison beside the columns it lacks."""
    table = paper.set_index(["benchmark", "size"])
    shown = table[[name for name in REFERENCES if name in table]] * 100
    caption = (
        "Seed sd in points of the full benchmark, of random subsets of the size and as V(k) predicts for them, and of "
        "the paper's p-IRT and gp-IRT on anchors beside the same estimates from random subsets. Against the full "
        "benchmark alone any small subset looks noisy."
    )
    return Block("paper", "The paper's comparison, with random subsets", caption, html_table(shown), opened=True)


def _errors(compared: Part) -> Block:
    table = compared["comparison"]
    best: list[dict[str, Any]] = list(compared.summary.get("best", []))
    names = "; ".join(f"{int(each['size'])} items: {each['method']}, {each['estimator']}" for each in best[:4])
    least = f" Least error with {names}." if names else ""
    return figure_block(
        "errors",
        "How well subsets estimate the full score",
        "Mean absolute error on held-out models, in points; grey: random subsets, 5 to 95%, blue: below them, "
        f"vermilion: above.{least}",
        table.set_index(["method", "weights", "estimator", "size"]),
        partial(subset_comparison_figure, table),
        whole=f"{compared.place}/comparison.csv",
    )
