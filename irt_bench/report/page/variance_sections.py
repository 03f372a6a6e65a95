"""Sections on seed noise, on its sources, and on subsets.

They answer how noisy a benchmark is, what the noise consists of, and whether subsets reduce it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from irt_bench.names import POOLED
from irt_bench.report.figures.model_figures import scores_figure
from irt_bench.report.figures.study_figures import (
    drawn_estimator,
    forest_rows,
    labels,
    paths_figure,
    ratios_figure,
    subset_comparison_figure,
)
from irt_bench.report.figures.variance_figures import (
    COLOURS,
    compared_measures,
    components_figure,
    measures_figure,
    needed_figure,
    recipes_figure,
    score_steps_figure,
    seed_sd_figure,
    subset_size_figure,
)
from irt_bench.report.page import sentences
from irt_bench.report.page.blocks import FigureBlock, PageSection, Printed, figure_block, html_table, table_block
from irt_bench.report.page.folders import RECIPES, SCORES, STUDY, SUBSETS, VARIANCE, ResultFolder
from irt_bench.report.tables.text import POINTS, in_points, merged_notes, shorten, words
from irt_bench.study.collect import is_reference
from irt_bench.study.verdicts import CUTS
from irt_bench.variance.scores import ACCURACY

MAX_ROWS: Final = 30  # seed sds drawn
MAX_BENCHMARKS: Final = 6  # with figures of their own
MAX_SENTENCES: Final = 2  # benchmarks with a sentence of their own
SEED, RESIDUAL = "seed", "seed:item"
COMMON, SINGLE = "common to all items", "single items"
RUN_COLUMNS: Final = ("n_items", "n_seeds", "n_steps", "mean", "seed_sd", "item_sampling_sd", "monotonicity", "snr")
ALL_RUNS: Final = "all runs, pooled"


def points_table(frame: pd.DataFrame, columns: Sequence[str], *, plain: Sequence[str] = ()) -> pd.DataFrame:
    """Columns of a frame with their intervals, as percentage points named so, and others as they are, in their order.

    Parameters
    ----------
    frame : pd.DataFrame
        Shares in `columns`.
    columns : sequence of str
        Shown, in order; those that the frame lacks are left out.
    plain : sequence of str
        Those of `columns` that are no shares.
    """
    made: dict[str, pd.Series] = {}
    for name in columns:
        for end in ("", "_q05", "_q95"):
            if f"{name}{end}" in frame:
                own = frame[f"{name}{end}"]
                shown = name if name in plain else f"{words(name)} (points)"
                made[f"{shown}{end}"] = own if name in plain else POINTS * own
    return pd.DataFrame(made, index=frame.index)


def score_section(part: ResultFolder | None) -> PageSection:
    """Make the section on scores with their errors: which models can be told apart, on each benchmark and over all."""
    question = "Which models can be told apart by their scores?"
    if part is None:
        return PageSection("scores", question, missing=[SCORES])
    models, measure = part["models"], str(part.summary.get("measure", ACCURACY))
    if "group" in models:
        models = models.assign(group=pd.to_numeric(models["group"]))  # elsewhere a label
    names = list(models["benchmark"].unique())
    own = models[models["benchmark"] == names[-1]].set_index("model")
    columns = ["score", "rank", "rank_best", "rank_worst", "group", "n_items"]
    table = points_table(own.sort_values("score", ascending=False, kind="stable"), columns, plain=columns[1:])
    if len(names) > 1:
        each = models[models["benchmark"] != names[-1]].pivot_table(index="model", columns="benchmark", values="score")
        table = table.join(POINTS * each[[name for name in names if name in each]])
    of = f"{len(names) - 1} benchmarks, their mean" if len(names) > 1 else sentences.name_of(names[0])
    block = figure_block(
        "model-scores",
        f"Scores of {len(own):,} models, {of}",
        "90% intervals: for other items like these (generalized accuracy) and, where answers were repeated, for these "
        "items (benchmark accuracy). Models of one group cannot be told apart from the best of it (Holm's correction "
        "over all pairs).",
        table,
        partial(scores_figure, own, str(names[-1]), measure),
        whole=part.file("models.csv"),
    )
    texts = [sentences.score_sentence(own, len(names) - 1)]
    return PageSection("scores", question, texts, [block], notes=list(part.summary.get("notes", [])))


def recipe_section(part: ResultFolder | None) -> PageSection:
    """Make the section on the difference of two training recipes, per task and over all."""
    question = "Is one training recipe better?"
    if part is None:
        return PageSection("recipes", question, missing=[RECIPES])
    table = part["recipes"].set_index("task")
    names = (str(part.summary.get("a", "a")), str(part.summary.get("b", "b")))
    shown = ["score_a", "score_b", "difference", "p_holm", "verdict", "seeds_needed"]
    block = figure_block(
        "recipe-differences",
        f"{sentences.name_of(names[0])} (a) less {sentences.name_of(names[1])} (b)",
        "For other seeds and other items, 90% intervals. real: p below .05 after Holm's correction. noise: the "
        "interval has no difference that matters. seeds needed: per recipe, to detect one that does.",
        points_table(table, shown, plain=shown[3:]),
        partial(recipes_figure, table, names),
        whole=part.file("recipes.csv"),
    )
    return PageSection("recipes", question, sentences.recipe_sentences(table, names), [block])


def noise_section(part: ResultFolder | None) -> PageSection:
    """Make the section on how far a score moves when training is repeated."""
    question = "How noisy is this benchmark?"
    if part is None:
        return PageSection("noise", question, missing=[VARIANCE])
    pooled = whole_benchmarks(part["pooled"]).sort_values("seed_sd", ascending=False, kind="stable")
    blocks = [*_noise_blocks(part, pooled), *_measure_blocks(part), *_need_blocks(part)]
    texts = [sentences.noise_sentence(row) for row in pooled.head(MAX_SENTENCES).to_dict("records")]
    texts += [text for text in [sentences.noisiest_sentence(pooled)] if text]
    detectable = part["detectable"]
    if len(detectable):
        texts += [sentences.detectable_sentence(row) for row in _usual_seeds(detectable, pooled)]
    notes = merged_notes(part.summary.get("notes", []), part["metrics"]["benchmark"].unique())
    return PageSection("noise", question, texts, blocks, notes=notes)


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
    more = f" The {MAX_ROWS} largest of {len(rows):,}." if len(rows) > MAX_ROWS else ""
    shown = rows.head(MAX_ROWS)
    if not several and len(rows) > 1:
        shown = pd.concat([pooled.set_axis([ALL_RUNS]), shown])
    caption = f"Sd of the score over seeds, root mean square over steps, for each {what}; bars are 90% intervals.{more}"
    plain = [name for name in RUN_COLUMNS if name.startswith("n_")] + ["monotonicity", "snr"]
    table = points_table(metrics.set_index(["benchmark", "run"]), RUN_COLUMNS, plain=plain)
    blocks = [
        figure_block(
            "seed-sd", "Seed sd", caption, table, partial(seed_sd_figure, shown), whole=part.file("metrics.csv")
        )
    ]
    for place, benchmark in enumerate(_benchmarks(part)):
        scores = part["scores"]
        own = scores[(scores["benchmark"] == benchmark) & (scores["measure"] == ACCURACY)] if len(scores) else scores
        if len(own):
            blocks.append(_steps_block(own, benchmark, place, part.file("scores.csv")))
    return blocks


def _steps_block(own: pd.DataFrame, benchmark: str, place: int, whole: str) -> FigureBlock:
    """Draw the scores of one benchmark over training, or of the last step."""
    wide = POINTS * own.pivot_table(index=["run", "step"], columns="seed", values="score", sort=False)
    wide.columns = [f"seed {shorten(str(seed), 12)} (points)" for seed in wide.columns]
    if own["step"].nunique() == 1:
        title, caption = "Scores of all seeds", "One dot per seed; bars go one sd to each side of their mean."
    else:
        title = "Scores over training"
        many = own["run"].nunique() > len(COLOURS)
        caption = (
            "Means over seeds, one line per run."
            if many
            else "A thin line per seed, a thick one for the mean of each run. The distances between thin lines of a "
            "run are the noise."
        )
    figure = partial(score_steps_figure, own)
    title = f"{title}, {shorten(benchmark, 40)}"
    printed = _printed(place) if len(wide) <= MAX_ROWS or place else "figure"
    return figure_block(f"steps-{place}", title, caption, wide, figure, whole=whole, printed=printed)


def _printed(place: int) -> Printed:
    """Print the figures of the first benchmark only: a page of many is printed too."""
    return "nothing" if place else "whole"


def _measure_blocks(part: ResultFolder) -> list[FigureBlock]:
    """Compare the signal-to-noise ratios of continuous measures with accuracy's."""
    blocks = []
    for place, benchmark in enumerate(_benchmarks(part)):
        own = compared_measures(part["measures"], benchmark)
        if len(own):
            blocks.append(
                figure_block(
                    f"measures-{place}",
                    f"Would another measure be less noisy? {shorten(benchmark, 40)}",
                    "Signal-to-noise ratio of each continuous measure, as a multiple of accuracy's on the same seeds.",
                    own.set_index("a").rename_axis("measure"),
                    partial(measures_figure, own, benchmark),
                    columns=["snr_a", "snr_b", "snr_ratio", "snr_verdict"],
                    whole=part.file("measures.csv"),
                    printed=_printed(place),
                )
            )
    return blocks


def _need_blocks(part: ResultFolder) -> list[FigureBlock]:
    """Say which differences are detected by how many seeds, and how many seeds or items a given one needs."""
    blocks = []
    detectable, needed = part["detectable"], part["needed"]
    if len(detectable):
        own = detectable[detectable["measure"] == ACCURACY]
        if own["benchmark"].nunique() > 1:  # at the number of seeds there are
            there = int(whole_benchmarks(part["metrics"])["n_seeds"].max())
            own = own[own["n_seeds"] == max(each for each in own["n_seeds"].unique() if each <= there)]
        table = points_table(
            own.set_index(["benchmark", "n_seeds"]),
            ("detectable", "difference", "seeds_needed", "items_needed"),
            plain=("seeds_needed", "items_needed"),
        )
        caption = (
            "For two recipes with this many seeds each: the smallest difference detected with a power of "
            f"{own['power'].iloc[0]:.0%}, and the number of seeds (with these items) or of items (with these seeds) "
            "that detects the given difference. –: no number is enough."
        )
        blocks.append(table_block("detectable", "What can be detected", caption, html_table(table)))
    for place, benchmark in enumerate(_benchmarks(part) if len(needed) else []):
        own = needed[(needed["benchmark"] == benchmark) & needed["seeds_needed"].notna()]
        if not len(own):
            continue
        rows = own[(own["n_items"] == own["n_items_there"]) | (own["subtask"] == "")]
        blocks.append(
            figure_block(
                f"needed-{place}",
                f"Seeds to detect a difference of {in_points(own['difference'].iloc[0])}, {shorten(benchmark, 40)}",
                f"Per recipe, with {own['power'].iloc[0]:.0%} power, by measure and number of items.",
                rows.set_index(["subtask", "measure", "n_items"]),
                partial(needed_figure, own, benchmark),
                columns=["n_trials", "seeds_needed"],
                whole=part.file("needed.csv"),
                printed=_printed(place),
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
        points_table(parts, ("sd",)),
        partial(components_figure, parts),
        printed=_printed(place),
    )


def _size_block(curve: pd.DataFrame, benchmark: str, place: int) -> FigureBlock:
    runs = curve["run"].nunique()
    first = f" The first {len(COLOURS)} runs." if runs > len(COLOURS) else ""
    return figure_block(
        f"sizes-{place}",
        f"Random subsets of k items, {shorten(benchmark, 40)}",
        f"Seed sd at the last step, predicted by V(k) and of real random subsets. A chosen subset must be better than "
        f"this, not only than the full benchmark.{first}",
        points_table(curve.rename(columns={"simulated_q05": "simulated_sd_q05", "simulated_q95": "simulated_sd_q95"})
                     .set_index(["run", "k"]), ("predicted_sd", "simulated_sd")),
        partial(subset_size_figure, curve),
        printed=_printed(place),
    )  # fmt: skip


ERROR_COLUMNS: Final = ("mae", "bias", "rmse", "random", "coverage", "percentile")
MAX_COMPARED: Final = 4  # with a figure
MAX_PATHS: Final = 2
PATH_COLUMNS: Final = ["n_items", "seed_sd", "random_sd", "v_k_sd", "percentile_random", "ratio_full", "verdict_full",
                       "mean", "standard_error", "monotonicity"]  # fmt: skip
PLAIN_PATH_COLUMNS: Final = ("n_items", "percentile_random", "ratio_full", "verdict_full", "monotonicity")
MAX_CUTS: Final = 3  # ways named
COLUMNS: Final = ["seed_sd", "ratio", "percentile_random", "p_holm", "verdict", "movement", "ratio_signal",
                  "verdict_signal", "ratio_plain", "verdict_plain", "ratio_full", "verdict_full", "bias", "snr",
                  "monotonicity", "kendall_tau", "model_sd", "model_ratio", "model_ratio_full"]  # fmt: skip
SHOWN_COLUMNS: Final = ("seed sd (points)", "ratio", "p_holm", "verdict", "ratio_signal", "ratio_full", "verdict_full")
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
        blocks += _paths(study["paths"], study.file("paths.csv"))
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
        shares = ("seed_sd", "bias", "model_sd")
        table = points_table(table, COLUMNS, plain=[name for name in COLUMNS if name not in shares])
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
                columns=[name for name in SHOWN_COLUMNS if name in table],
                whole=study.file("results.csv"),
            )
        )
    return blocks


def _paths(paths: pd.DataFrame, whole: str) -> list[FigureBlock]:
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
                points_table(own.set_index("dropped"), PATH_COLUMNS, plain=PLAIN_PATH_COLUMNS),
                partial(paths_figure, paths, str(benchmark)),
                whole=whole,
            )
        )
    return found


def _paper(paper: pd.DataFrame) -> FigureBlock:
    """Show the comparison of the paper, with random subsets and V(k)."""
    shown = points_table(paper.set_index(["benchmark", "size"]), REFERENCES)
    caption = (
        "Seed sd: of the full benchmark, of random subsets of the size, as V(k) predicts for them, and of "
        "the paper's p-IRT and gp-IRT on anchors and on random subsets. Compared with the full benchmark alone, any "
        "small subset looks noisy."
    )
    return table_block("paper", "The paper's comparison, with random subsets", caption, html_table(shown))


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
        points_table(
            table.set_index(["method", "weights", "estimator", "size"]), ERROR_COLUMNS, plain=ERROR_COLUMNS[-2:]
        ),
        partial(subset_comparison_figure, table),
        whole=compared.file("comparison.csv"),
    )
