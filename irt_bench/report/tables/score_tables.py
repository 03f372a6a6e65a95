"""Tables of seed variance (layout of the paper's Table 1), of studies, and of subset comparisons.

Tables of subset comparisons are also written as Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.text import Text

from irt_bench.names import BENCHMARK, POOLED, RUN
from irt_bench.report.tables.terminal import print_table
from irt_bench.report.tables.text import POINTS, in_points, merged_notes, words
from irt_bench.responses.table import LOGLIKELIHOOD
from irt_bench.study.collect import is_random, is_random_mean, is_reference
from irt_bench.study.cures import KINDS
from irt_bench.study.plan import StudyPlan, plan_table
from irt_bench.study.results import StudyResult
from irt_bench.study.verdicts import CUTS, NO_DIFFERENCE, RAISES
from irt_bench.subsets.estimators import ESTIMATORS
from irt_bench.variance.metrics import MACRO_AVERAGE, SEEN
from irt_bench.variance.scores import ACCURACY, GOLD_PROBABILITY
from irt_bench.variance.seed_variance import SeedVarianceResult

if TYPE_CHECKING:
    from irt_bench.variance.seed_effect import SeedModelResult


MODEL_LINES = {
    "seed_sd_ability": "seed, ability scale", "step_sd_ability": "step, ability scale", "seed_sd": "seed, points",
    "step_sd": "step, points", "score_sd": "score of a new seed", "these_score_sd": "score of these seeds",
    SEEN: "score of these seeds, observed",
}  # fmt: skip
CONTINUOUS = (GOLD_PROBABILITY, LOGLIKELIHOOD)  # the first that exists is shown beside accuracy, as in the paper
POOLED_TITLE = "Seed variance, pooled over runs (percentage points)"
RUNS_TITLE = "Seed variance of each run (percentage points)"
DEFINITIONS: Final = {  # of the columns of both tables, by their heads
    "mean": "mean score at the last step",
    "seed sd": "standard deviation of the score over seeds, pooled over steps and runs (root mean square)",
    "E": "the same as Madaan et al. (2024) define it: the mean over steps",
    "95% half-width": "1.96 standard errors, if only the items were drawn anew (divide by 1.96 to compare with E)",
    "monotonicity": "Kendall's tau of score and step, 1 if each step improves",
    "SNR": "mean / standard deviation over seeds, at the last step",
}
COVERAGE_TITLE: Final = "Held-out models within their 90% interval (%)"
SHIFT_TITLE: Final = "Calibrated on the weaker half: bias on the stronger half (points)"


def paper_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """One row per benchmark (or subtask) and run, in percentage points: items, mean, E, 95% half-width, ...

    Monotonicity and SNR of a continuous measure are added if the logs hold one.

    Parameters
    ----------
    metrics : pd.DataFrame
        From `irt_bench.variance.metrics.variance_metrics`.
    """
    table = _in_points(metrics, "e", "E", ["run"])
    return table.assign(seeds=_of(metrics, "n_seeds", table), steps=_of(metrics, "n_steps", table))


def pooled_table(pooled: pd.DataFrame) -> pd.DataFrame:
    """One row per benchmark, its runs pooled; columns of `paper_table`, with ``seed sd`` in place of E.

    Parameters
    ----------
    pooled : pd.DataFrame
        From `irt_bench.variance.metrics.pooled_metrics`.
    """
    table = _in_points(pooled, "seed_sd", "seed sd", [])
    table.insert(0, "runs", _of(pooled, "n_runs", table))
    return table


def _in_points(metrics: pd.DataFrame, column: str, sd: str, keys: list[str]) -> pd.DataFrame:
    """Columns of the paper's table, indexed by benchmark and `keys`; the number of items first."""
    wanted = {"mean": "mean"} | {f"{column}{end}": f"{sd}{end}" for end in ("", "_q05", "_q95")}
    rows = _indexed(metrics[metrics["measure"] == ACCURACY], keys)
    points = [*wanted, "ci95_analytic"]
    table = POINTS * rows[points].rename(columns=wanted | {"ci95_analytic": "95% half-width"})
    table.insert(0, "items", rows["n_items"])
    names = {"monotonicity": "monotonicity", "snr": "SNR"}
    table = table.join(rows[list(names)].round(10).rename(columns=names))
    for measure in CONTINUOUS:
        other = metrics[metrics["measure"] == measure]
        if len(other):
            beside = _indexed(other, keys)[list(names)].rename(columns={k: f"{v}, {measure}" for k, v in names.items()})
            table = table.join(beside)
            break
    return table


def _indexed(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    labels = rows["benchmark"].where(rows["subtask"] == "", rows["benchmark"] + "/" + rows["subtask"])
    return rows.assign(benchmark=labels).set_index(["benchmark", *keys])


def _of(metrics: pd.DataFrame, name: str, table: pd.DataFrame) -> list[int]:
    rows = _indexed(metrics[metrics["measure"] == ACCURACY], [str(key) for key in table.index.names[1:]])
    return list(rows[name])


def print_seed_variance(found: SeedVarianceResult, console: Console, *, max_rows: int = 60) -> None:
    """Print seed sds pooled over runs and by run, what their columns mean, detectable differences, and the notes."""
    whole, pooled = (each[each["subtask"].isin(["", MACRO_AVERAGE])] for each in (found.metrics, found.pooled))
    heads = set[str]()
    if (pooled["n_runs"] > 1).any():
        over_runs = pooled_table(pooled)
        heads |= {*over_runs}
        print_table(over_runs, title=POOLED_TITLE, console=console, max_rows=max_rows)
    table, same = _without_constants(paper_table(whole))
    title = f"{RUNS_TITLE}\n{same}" if same else RUNS_TITLE
    print_table(table, title=title, console=console, max_rows=max_rows)
    texts = [f"{name}: {text}." for name, text in DEFINITIONS.items() if name in {*heads, *table}]
    console.print(Text("\n".join(texts), style="dim"))
    console.print()
    if len(whole) < len(found.metrics):
        console.print(f"Subtasks: {len(found.metrics) - len(whole)} more rows, in metrics.csv", highlight=False)
    _print_detectable(found, console, max_rows)
    if len(found.needed):
        _print_needed(found.needed, console, max_rows)
    if len(found.measures):
        columns = ["snr_a", "snr_ratio", "snr_verdict"]
        frame = found.measures.set_index(["benchmark", "a"])
        print_table(frame, title="Signal-to-noise ratio against accuracy's", console=console, columns=columns)
    for note in merged_notes(found.notes, found.metrics["benchmark"].unique()):
        console.print(f"Note: {note}", highlight=False, markup=False)


def print_recipes(table: pd.DataFrame, recipes: tuple[str, str], difference: float, console: Console) -> None:
    """Print the difference of two recipes per task, in percentage points, with what can be concluded."""
    ends = ("", "_q05", "_q95")
    columns = ["score_a", "score_b", *(f"difference{end}" for end in ends), "seed_se", "item_se"]
    points = table.assign(**{name: POINTS * table[name] for name in columns})
    shown = ["score_a", "score_b", "difference", "p_holm", "verdict", "seeds_needed", "seed_se", "item_se"]
    title = f"{recipes[0]} (a) less {recipes[1]} (b), percentage points, for other seeds and other items"
    print_table(points, title=title, console=console, max_rows=60, columns=shown)
    console.print(
        f"real: p (Holm) below .05. noise: the 90% interval excludes a difference of {in_points(difference)}. "
        f"seeds needed: per recipe, to detect {in_points(difference)}; none where the items alone are too noisy.",
        highlight=False,
    )


def _without_constants(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Drop columns without a value, and those with the same value in all rows, which are described in words."""
    empty = {str(column) for column in table if table[column].isna().all()}
    limits = {f"{column}{end}" for column in table for end in ("_q05", "_q95")}
    table = table.drop(columns=sorted(empty - limits))  # an interval without an upper limit keeps both columns
    texts = []
    if table.index.get_level_values(0).nunique() == 1 and len(table) > 1:
        texts.append(str(table.index[0][0]))
        table = table.droplevel(0)
    for column in ("seeds", "steps"):
        if column in table and table[column].nunique() == 1:
            n = int(table[column].iloc[0])
            texts.append(f"{n} {column if n > 1 else column[:-1]}")
            table = table.drop(columns=column)
    return table, ", ".join(texts)


def _print_detectable(found: SeedVarianceResult, console: Console, max_rows: int) -> None:
    """Print detectable differences of two recipes: of one benchmark in full, of several at their number of seeds."""
    rows = found.detectable[found.detectable["measure"] == ACCURACY]
    power = f"{rows['power'].iloc[0]:.0%} power"
    title = f"Smallest difference of two recipes that is detected with {power}, and what is needed (percentage points)"
    if rows["benchmark"].nunique() > 1:
        there = int(found.metrics["n_seeds"].max())
        n_seeds = max(each for each in rows["n_seeds"].unique() if each <= there)
        rows, title = rows[rows["n_seeds"] == n_seeds], f"{title}; {n_seeds} seeds each, more in detectable.csv"
    frame = rows.set_index(["benchmark", "n_seeds"] if rows["benchmark"].nunique() == 1 else "benchmark")
    in_points = ["detectable", "detectable_q05", "detectable_q95", "difference"]
    frame[in_points] = POINTS * frame[in_points]
    columns = ["detectable", "difference", "seeds_needed", "items_needed"]
    print_table(frame, title=title, console=console, columns=columns, max_rows=max_rows)
    if (rows["items_needed"].isna() & rows["detectable"].notna()).any():
        console.print(
            Text("items needed –: no number of items is enough, as the seeds alone vary too much", style="dim")
        )
    texts = (
        "detectable: smallest difference that so many seeds of these items detect. seeds needed, items needed: numbers "
        "that detect the difference in the column before, by default half of the detectable one. The t test uses the "
        "variance pooled over these runs and those compared."
    )
    console.print(Text(texts, style="dim"))
    console.print()


def _print_needed(needed: pd.DataFrame, console: Console, max_rows: int) -> None:
    """Print the seeds that detect the given difference: by items and trials for the whole, by measure for each task."""
    accuracy = needed[needed["measure"] == ACCURACY]
    points = in_points(accuracy["difference"].iloc[0])
    title = f"Seeds per recipe that detect {points} with {accuracy['power'].iloc[0]:.0%} power"
    whole = accuracy[accuracy["subtask"] == ""]
    by_items = whole.pivot_table("seeds_needed", ["benchmark", "n_items"], "n_trials", dropna=False)
    one = by_items.shape[1] == 1
    by_items.columns = ["seeds needed"] if one else ["1 trial" if n == 1 else f"{n} trials" for n in by_items]
    print_table(by_items.dropna(how="all"), title=f"{title}, by number of items", console=console, max_rows=max_rows)
    here = needed[(needed["n_items"] == needed["n_items_there"]) & (needed["n_trials"] == needed["n_trials_there"])]
    keys = ["benchmark", "subtask"] if (here["subtask"] != "").any() else ["benchmark"]
    by_task = here.pivot_table("seeds_needed", keys, "measure", sort=False, dropna=False).dropna(how="all")
    if len(by_task) > 1 or by_task.shape[1] > 1:
        print_table(by_task, title=f"{title}, by measure", console=console, max_rows=max_rows)
    console.print(Text("–: no number is enough. More in needed.csv.", style="dim"))
    console.print()


def seed_model_table(table: pd.DataFrame) -> pd.DataFrame:
    """Sds of the seed model, pooled over runs: one row each, on the ability scale or in percentage points.

    Parameters
    ----------
    table : pd.DataFrame
        From `irt_bench.variance.seed_effect.model_seed_effects`.
    """
    rows = table[(table["run"] == POOLED) & table["quantity"].isin(MODEL_LINES)].copy()
    points = ~rows["quantity"].str.endswith("ability")
    for column in ("estimate", "q05", "q95"):
        rows[column] = rows[column].where(~points, 100 * rows[column])
    rows["sd"] = rows["quantity"].map(MODEL_LINES)
    return rows.set_index(["benchmark", "items", "sd"])[["estimate", "q05", "q95"]]


def print_seed_model(found: SeedModelResult, console: Console, *, max_rows: int = 30) -> None:
    """Print the table of the seed model, whether it converged, and the notes."""
    title = "Seed model: sds, pooled over runs (percentage points where not on the ability scale; 90% intervals)"
    print_table(seed_model_table(found.table), title=title, console=console, max_rows=max_rows)
    for benchmark, fit in found.fits.items():
        failed = [f"{check['name']}: {check['message']}" for check in fit["checks"] if check["status"] == "failed"]
        state = "" if fit["converged"] else ", not converged"
        text = f"{benchmark}: {fit['method']}{state}; " + ("; ".join(failed) if failed else "all checks passed")
        console.print(text, highlight=False, markup=False)
    for note in found.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)


def print_row(row: Mapping[str, object], *, title: str, console: Console) -> None:
    """Print one comparison, one line per value with its interval, and its ``note`` below."""
    intervals = {stem for name in row if (stem := name.removesuffix("_q05")) != name and stem in row}
    lines = []
    for name, value in row.items():
        if name == "note" or (name.removesuffix("_q05").removesuffix("_q95") in intervals and name not in intervals):
            continue
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        if name in intervals:
            text += f" [{row[f'{name}_q05']:.4g}, {row[f'{name}_q95']:.4g}]"
        lines.append((words(name), text))
    frame = pd.DataFrame(lines, columns=["", "value"]).set_index("")
    print_table(frame, title=title, console=console, max_rows=len(frame))
    if "note" in row:
        console.print(f"Note: {row['note']}", highlight=False, markup=False)


RANDOM_TITLE: Final = "Random items with other weights and estimators, against the mean of the same items; medians"
MODEL_TITLE: Final = "Seed sds of the hierarchical model, relative to as many random items and to all items; medians"
PAPER: Final = ("full", "p_irt", "gp_irt", "random", "random_p_irt", "random_gp_irt")
TITLES: Final = {
    "full": "full", "p_irt": "p-IRT", "gp_irt": "gp-IRT", "random": "random", "random_p_irt": "random p-IRT",
    "random_gp_irt": "random gp-IRT",
}  # fmt: skip
COMPARED_WITH: Final = {"verdict": "random items scored the same way", "verdict_full": "the full benchmark"}
WORDS: Final = {"verdict": "random", "verdict_signal": "per signal", "verdict_plain": "plain", "verdict_full": "full"}


def paper_form(paper: pd.DataFrame, size: int | None = None) -> pd.DataFrame:
    """Arrange as the paper's Tables 3 and 4, in points: E and monotonicity of full, p-IRT, gp-IRT and random subsets.

    Parameters
    ----------
    paper : pd.DataFrame
        `StudyResult.paper`.
    size : int, optional
        Items of the subsets; by default the largest of each benchmark.
    """
    wanted = paper.groupby(BENCHMARK)["size"].transform("max") if size is None else size
    rows = paper[paper["size"] == wanted].set_index([BENCHMARK, "size"])
    table = pd.DataFrame(index=rows.index)
    for name in PAPER:
        table[f"E {TITLES[name]}"] = rows[f"e_{name}"] * POINTS
    table["root V(k)"] = rows["v_k_sd"] * POINTS
    table["rms full"] = rows["seed_sd_full"] * POINTS
    table["rms random"] = rows["seed_sd_random"] * POINTS
    for name in PAPER:
        table[f"mon {TITLES[name]}"] = rows[f"monotonicity_{name}"]
    return table


def verdict_table(results: pd.DataFrame) -> pd.DataFrame:
    """Count verdicts of each method, weights and estimator, and add medians.

    "random": against random subsets scored the same way; "per signal": the same, per unit of movement; "plain": against
    means of random subsets; "full": against the full benchmark. "detectable": the median ratio that would have been
    found with 80% power.
    """
    methods = results[(results[RUN] == POOLED) & ~is_reference(results)]
    keys = ["method", "weights", "estimator"]
    rows = methods.groupby(keys, sort=False)
    table = pd.DataFrame({"compared": rows.size()})
    for column, word in WORDS.items():
        for name in (CUTS, RAISES, NO_DIFFERENCE):
            short = "none" if name == NO_DIFFERENCE else name
            table[f"{word}: {short}"] = (
                methods[column].eq(name).groupby([methods[key] for key in keys], sort=False).sum()
            )
        table[f"{word}: detectable"] = rows[column.replace("verdict", "detectable")].median()
    for column, word in WORDS.items():
        table[f"ratio: {word}"] = rows[column.replace("verdict", "ratio")].median()
    for name, unit in (("bias", POINTS), ("movement", 1)):
        if name in methods:  # a design may leave statistics out
            table[name] = rows[name].median() * unit
    return table


def cure_lines(cures: pd.DataFrame, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Headline of a study: which cures cut noise per signal beside their control; `counts` as in its summary."""
    if not len(cures):
        return []
    found = []
    for kind, what in KINDS.items():
        if kind in counts and (n := sum(counts[kind].values())):
            best = cures[(cures["cure"] == kind) & cures["ratio"].notna()].sort_values("ratio").iloc[0]
            found.append(
                f"{kind} ({what}): of {n}, {counts[kind][CUTS]} cut and {counts[kind][RAISES]} raise noise per signal; "
                f"lowest {best['how']}, {best['size']:,.0f} items: {best['ratio']:.2f} "
                f"[{best['ratio_q05']:.2f}, {best['ratio_q95']:.2f}]"
            )
    return found or ["No cure has a verdict: the runs differ by no more than seed noise, or have too few seeds"]


def study_lines(counts: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Describe the verdicts over the whole study, and its power; `counts` as in its summary."""
    found = []
    for column, against in COMPARED_WITH.items():
        cut, raised, none = (int(counts[column][name]) for name in (CUTS, RAISES, NO_DIFFERENCE))
        if ways := cut + raised + none:
            could = counts[column]["detectable"]
            found.append(
                f"Over the whole study, against {against}: of {ways} recipes {cut} cut and {raised} raise seed sd "
                f"(Holm over all); a cut to {could:.2f} would have been found with 80% power (median)"
            )
    return found


def random_table(results: pd.DataFrame) -> pd.DataFrame:
    """Effect of weights and estimators on random items, against the mean: medians over benchmarks and sizes."""
    rows = results[
        (results[RUN] == POOLED) & is_random(results) & ~is_random_mean(results) & results["ratio_plain"].notna()
    ]
    grouped = rows.groupby(["weights", "estimator"], sort=False)
    table = pd.DataFrame({"compared": grouped.size()})
    for name in (CUTS, RAISES):
        own = rows["verdict_plain"].eq(name)
        table[f"plain: {name}"] = own.groupby([rows["weights"], rows["estimator"]], sort=False).sum()
    for column in ("ratio_plain", "movement", "ratio_plain_signal"):
        if column in rows:
            table[column.replace("_", " ")] = grouped[column].median()
    return table


def model_table(results: pd.DataFrame) -> pd.DataFrame:
    """Seed sds of the hierarchical model for each choice of items: medians over benchmarks and sizes."""
    rows = results[(results[RUN] == POOLED) & results["model_ratio"].notna()]
    rows = rows[~is_random_mean(rows)]
    columns = [f"model_{name}{end}" for name in ("ratio", "ratio_full") for end in ("", "_q05", "_q95")]
    table = rows.groupby(["method", "weights"], sort=False)[columns].median()
    return table.rename(columns=lambda name: name.replace("_", " "))


def print_study(found: StudyResult, console: Console, *, max_rows: int = 60) -> None:
    """Print the results of a study."""
    title = "Seed sd in points, as in the paper's Tables 3 and 4, with random subsets and V(k)"
    print_table(paper_form(found.paper), title=title, console=console, max_rows=max_rows)
    title = "Verdicts over benchmarks and sizes (90% intervals, Holm within benchmark and size); medians"
    print_table(verdict_table(found.results), title=title, console=console, max_rows=max_rows)
    print_table(random_table(found.results), title=RANDOM_TITLE, console=console, max_rows=max_rows)
    if "model_ratio" in found.results:
        print_table(model_table(found.results), title=MODEL_TITLE, console=console, max_rows=max_rows)
    summary = found.to_dict()
    for line in [*cure_lines(found.cures, summary["cures"]), *study_lines(summary["study"])]:
        console.print(line, highlight=False, markup=False)
    for within, each in summary["cures_control"].items():
        cut, n = each[CUTS], sum(each.values())
        line = f"Negative control, cures calibrated on responses shuffled within {within}: {cut} of {n} cut"
        console.print(line, highlight=False)
    for within, each in summary["control"].items():
        console.print(
            f"Negative control, responses shuffled within {within}: {each['cuts']} of {each['compared']} cut",
            highlight=False,
        )
    for note in found.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)


def print_plan(plan: StudyPlan, expected: pd.DataFrame, console: Console, *, jobs: int) -> None:
    """Print the plan, its cost, and what can be detected."""
    print_table(plan_table(plan), title=f"Plan ({plan.splits.how})", console=console, max_rows=60)
    cost = plan.cost()
    workers = "one worker per processor" if jobs < 0 else f"{jobs} worker{'s' * (jobs != 1)}"
    console.print(
        f"{cost['tasks']:,.0f} tasks, {cost['fits']:,.0f} fits, about {cost['core_seconds'] / 60:,.0f} core-minutes; "
        f"at most {cost['worker_mb']:,.0f} MB of data per worker beside the libraries; {workers}",
        highlight=False,
    )
    shown = pd.DataFrame(
        {
            "degrees of freedom": expected["degrees_of_freedom"],
            "seed sd of random items": POINTS * expected["v_k_sd"],
            "of all items": POINTS * expected["seed_sd_full"],
            "ratio to random items": expected["detectable_ratio_random"],
            "ratio to all items": expected["detectable_ratio_full"],
        }
    ).set_index(pd.MultiIndex.from_frame(expected[[BENCHMARK, "size"]]))
    title = "Seed sds (percentage points), and the ratios of seed sds that are detected with 80% power"
    print_table(shown, title=title, console=console, max_rows=60)
    text = "A subset that reduces the seed sd by less, to a ratio nearer to 1, would probably go unnoticed."
    console.print(Text(text, style="dim"), end="\n\n")
    for note in plan.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)


def error_table(table: pd.DataFrame, size: int) -> pd.DataFrame:
    """Mean absolute errors in points at one size: one row per method with its weights, one column per estimator.

    The first three rows are the mean and the 5% and 95% quantiles of random subsets.
    """
    part = table[table["size"] == size]
    titles = [ESTIMATORS[name].title for name in dict.fromkeys(part["estimator"])]
    rows = {}
    for label, column in (("mean", "random"), ("5%", "random_q05"), ("95%", "random_q95")):
        rows[f"random subsets: {label}"] = part.groupby("estimator", sort=False)[column].first().to_numpy() * POINTS
    for (method, weights), group in part.groupby(["method", "weights"], sort=False):
        rows[f"{method}, {weights}"] = group["mae"].to_numpy() * POINTS
    return pd.DataFrame.from_dict(rows, orient="index", columns=titles).rename_axis("method, weights")


def best_table(table: pd.DataFrame, size: int, n_rows: int = 10) -> pd.DataFrame:
    """List the recipes with the smallest errors at one size: error, bias and width in points, Kendall's tau, coverage.

    ``random subsets that are better`` is the share of them whose error is no larger.
    """
    part = table[table["size"] == size].nsmallest(n_rows, "mae")
    recipe = part["method"] + ", " + part["weights"] + ", " + part["estimator"]
    columns = {
        "error": part["mae"] * POINTS,
        "bias": part["bias"] * POINTS,
        "width": part["width"] * POINTS,
        "Kendall": part["kendall"],
        "coverage": part["coverage"],
        "random subsets that are better": part["percentile"],
    }
    return pd.DataFrame(columns).set_index(recipe.rename("method, weights, estimator"))


def coverage_table(coverage: pd.DataFrame) -> pd.DataFrame:
    """Coverage pooled over methods, one row per size and estimator, in percent with 90% intervals."""
    rows = [f"{size} items, {title_of(name)}" for size, name in coverage.index]
    columns = {
        "covered": coverage["coverage"],
        "5%": coverage["coverage_q05"],
        "95%": coverage["coverage_q95"],
        "methods with 86 to 94%": coverage["in_range"],
        "expected if intervals are exact": coverage["in_range_expected"],
    }
    return (100 * pd.DataFrame(columns)).set_index(pd.Index(rows, name="size, estimator"))


def shift_table(shifted: pd.DataFrame) -> pd.DataFrame:
    """Bias in points by estimator and size: the median over methods, and the value furthest from 0."""
    furthest = shifted.loc[shifted["bias"].abs().groupby([shifted["size"], shifted["estimator"]]).idxmax()]
    median = shifted.pivot_table(index="estimator", columns="size", values="bias", aggfunc="median", sort=False)
    worst = furthest.pivot_table(index="estimator", columns="size", values="bias", sort=False).reindex(median.index)
    table = pd.DataFrame(
        {f"{size}: median": median[size] for size in median} | {f"{size}: worst": worst[size] for size in worst}
    )
    return (POINTS * table).rename(index=title_of)


def title_of(estimator: str) -> str:
    """Title of an estimator; other names stay."""
    return ESTIMATORS[estimator].title if estimator in ESTIMATORS else estimator


def markdown(frame: pd.DataFrame, decimals: int = 2) -> str:
    """Write a frame with its index as a Markdown table; undefined numbers are dashes."""
    head = [str(frame.index.name or ""), *map(str, frame.columns)]
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(['---', *['--:'] * len(frame.columns)])}|"]
    for label, values in frame.iterrows():
        cells = [f"{value:.{decimals}f}" if np.isfinite(value) else "–" for value in values]
        lines.append(f"| {' | '.join([str(label), *cells])} |")
    return "\n".join(lines)
