"""Conclusions in words, made from numbers; none claims more than its interval shows.

Names come from the data. Each is cut to a length, on one line, and enclosed in Unicode isolates, so that a name in
another direction does not reverse the sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from irt_bench.report.tables.text import POINTS, against_rest, fixed, interval_decimals, lead_text, shorten
from irt_bench.study.verdicts import CUTS, RAISES

NAME_LENGTH: Final = 40
ISOLATE, END = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
COMPARED_WITH: Final = {
    "verdict": "random subsets of the same size, scored the same way",
    "verdict_signal": "random subsets, per unit of movement of the score between runs and steps",
    "verdict_full": "the full benchmark",
}
VERDICTS: Final = {
    "real": "The difference is real: p below .05.",
    "noise": "Any difference is smaller than one that matters.",
    "cannot tell": "With these seeds and items it cannot be told apart from noise at the 5% level.",
}
UNKNOWN: Final = "unknown"


def name_of(label: object) -> str:
    """Write a name from the data for a sentence."""
    return f"{ISOLATE}{shorten(str(label), NAME_LENGTH)}{END}"


def with_interval(value: float, low: float, high: float, unit: str = "") -> str:
    """Write an estimate with its 90% interval, or state that there is none."""
    if not math.isfinite(value):
        return UNKNOWN
    form = fixed(interval_decimals(high - low))
    unit = f" {unit}" if unit else ""
    if not math.isfinite(low):
        return f"{form(value)}{unit} (no interval: too few seeds)"
    if not math.isfinite(high):
        return f"{form(value)}{unit} [{form(low)}, no upper limit]"
    return f"{form(value)}{unit} [{form(low)}, {form(high)}]"


def noise_sentence(row: Mapping[Any, Any]) -> str:
    """Describe the seed sd of a benchmark; `row` as in pooled.csv."""
    moved = with_interval(*_estimate(row, "seed_sd", POINTS), "points")
    runs, seeds = int(row["n_runs"]), int(row["n_seeds"])
    base = f"{runs} run{'s' * (runs != 1)} with {'up to ' * (runs != 1)}{seeds} seeds{' each' * (runs != 1)}"
    return f"Repeating the training moves the score of {name_of(row['benchmark'])} by {moved}: sd over seeds, {base}."


def noisiest_sentence(rows: pd.DataFrame) -> str:
    """Compare the benchmarks with the largest and smallest seed sd; `rows` as in pooled.csv, two or more."""
    ranked = rows.dropna(subset=["seed_sd"]).sort_values("seed_sd", kind="stable")
    if len(ranked) < 2:
        return ""
    least, most = ranked.iloc[0], ranked.iloc[-1]
    low, high = (f"{name_of(row['benchmark'])} ({POINTS * row['seed_sd']:.2f} points)" for row in (least, most))
    apart = float(least["seed_sd_q95"]) < float(most["seed_sd_q05"])
    shown = "their intervals do not overlap" if apart else "their intervals overlap or are unknown: no difference shown"
    return f"Of {len(ranked)} benchmarks {low} has the smallest seed sd and {high} the largest; {shown}."


def detectable_sentence(row: Mapping[Any, Any]) -> str:
    """Describe the smallest detectable difference; `row` as in detectable.csv."""
    size = with_interval(*_estimate(row, "detectable", POINTS), "points")
    seeds = int(row["n_seeds"])
    return (
        f"With {seeds} seed{'s' * (seeds != 1)} of each of two recipes, {size} is the smallest difference found with "
        "80% power (two-sided test at 5%)."
    )


def score_sentence(models: pd.DataFrame, n_benchmarks: int) -> str:
    """Describe the best score and whom it can be told apart from; `models` has ``score``, its limits and ``group``."""
    ranked = models.sort_values("score", ascending=False, kind="stable")
    first = ranked.iloc[0].to_dict()
    over = f" over {n_benchmarks} benchmarks" if n_benchmarks > 1 else ""
    best = (
        f"{name_of(ranked.index[0])} has the highest score{over}, {with_interval(*_estimate(first, 'score', POINTS))}%"
    )
    if len(ranked) < 2 or "group" not in ranked or ranked["group"].isna().all():
        return f"{best}."
    alike = int((ranked["group"] == first["group"]).sum()) - 1
    if not alike:
        return f"{best}; it can be told apart from all {len(ranked) - 1} others."
    return f"{best}; {alike} of {len(ranked) - 1} others cannot be told apart from it."


def recipe_sentences(table: pd.DataFrame, recipes: tuple[object, object]) -> list[str]:
    """Describe the difference of two recipes over all tasks, and on how many it is real; `table` as in recipes.csv."""
    last, (a, b) = table.iloc[-1].to_dict(), map(name_of, recipes)
    tasks = table.iloc[:-1] if len(table) > 1 else table
    over = f" over {len(tasks)} tasks" if len(table) > 1 else ""
    size = with_interval(*_estimate(last, "difference", POINTS), "points")
    texts = [f"{a} less {b}{over}: {size}. {VERDICTS.get(str(last['verdict']), str(last['verdict']))}"]
    if str(last["verdict"]) == "cannot tell" and _known(last, "seeds_needed"):
        texts[0] += f" {int(last['seeds_needed'])} seeds per recipe would show a difference that matters."
    if len(table) > 1:
        real = [name_of(task) for task in tasks.index[tasks["verdict"] == "real"]]
        texts.append(f"Real on {len(real)} of {len(tasks)} tasks{': ' + _listed(real) if real else ''}.")
    return texts


def common_part_sentence(seed: Mapping[Any, Any], residual: Mapping[Any, Any], n_items: int) -> str:
    """Describe how much seed noise is common to all items, and how much is that of single items.

    Parameters
    ----------
    seed, residual : mapping
        ``estimate, q05, q95`` of the variance common to all items, and of the variance of single items.
    n_items : int
        Items of the full benchmark.
    """
    alone = POINTS * math.sqrt(max(float(residual["estimate"]), 0.0) / n_items)
    single = f"Seed noise of single items alone gives an sd of {alone:.2f} points over {n_items:,} items"
    low, value, high = (float(seed[name]) for name in ("q05", "estimate", "q95"))
    if low > 0:
        value, low, high = POINTS * math.sqrt(value), POINTS * math.sqrt(low), POINTS * math.sqrt(high)
        common = with_interval(value, low, high, "points")
        return f"{single}. Seed noise common to all items has an sd of {common}; no choice of items removes it."
    return f"{single}. Seed noise common to all items is not shown: its interval includes 0."


def subset_sentences(rows: pd.DataFrame) -> list[str]:
    """Describe how many recipes cut seed noise.

    Parameters
    ----------
    rows : pd.DataFrame
        Rows of results.csv for the recipes, without references: ``verdict, verdict_signal, verdict_full``.
    """
    found = []
    for column, against in COMPARED_WITH.items():
        if column not in rows:
            continue
        counts = rows[column].value_counts()
        cut, raised = int(counts.get(CUTS, 0)), int(counts.get(RAISES, 0))
        open_ = len(rows) - cut - raised
        ways = f"{len(rows)} ways to choose, weight and score items"
        if not len(rows):
            continue
        if not cut and not raised:
            found.append(f"Against {against}: no difference shown for any of {ways}.")
            continue
        texts = [f"{cut} cut seed noise" if cut else "none is shown to cut seed noise"]
        texts += [f"{raised} raise it"] if raised else []
        texts += [f"for {open_} no difference is shown"] if open_ else []
        found.append(f"Against {against}: of {ways}, {', '.join(texts)}.")
    return found


def cut_sentence(row: Mapping[Any, Any]) -> str:
    """Describe a recipe that cuts seed noise against random subsets, with its costs; `row` as in results.csv."""
    ratio = with_interval(*_estimate(row, "ratio"))
    cost = f"; its mean is {POINTS * float(row['bias']):+.1f} points off the full score" if _known(row, "bias") else ""
    what = f"{name_of(row['label'])} ({row['estimator']}) with {int(row['size'])} items"
    moves = float(row["movement"]) if _known(row, "movement") else math.nan
    cost += f"; it moves by {moves:.2f} where the full score moves by 1" if math.isfinite(moves) else ""
    return f"{what}: seed sd {ratio} times that of random subsets scored the same way{cost}."


def power_sentence(rows: pd.DataFrame) -> str:
    """Describe the power of a study; `rows` as in its detectable.csv."""
    ratios = rows["detectable_ratio_random"].dropna()
    if not len(ratios):
        return "The difference that these seeds could show is unknown."
    low, high = f"{ratios.min():.2f}", f"{ratios.max():.2f}"
    span = low if low == high else f"{low} to {high} (by size and benchmark)"
    return (
        f"These seeds could have shown, with 80% power, a cut to {span} times the seed sd of random subsets"
        f"{_against_full(rows)}; a smaller cut may be missed."
    )


def _against_full(rows: pd.DataFrame) -> str:
    could = rows["detectable_ratio_full"].median() if "detectable_ratio_full" in rows else math.nan
    return f", and to {could:.2f} times that of the full benchmark (median)" if math.isfinite(could) else ""


def control_sentence(control: Mapping[Any, Any]) -> str:
    """Describe the negative control; `control` as in the summary of a study."""
    compared, cut = (sum(int(each[name]) for each in control.values()) for name in ("compared", "cuts"))
    if not compared:
        return ""
    verdict = "as expected" if not cut else "so that cuts reported here may be due to chance"
    verb = "is" if cut == 1 else "are"
    found = f"{cut} of {compared} methods {verb} reported to cut"
    return f"Negative control: calibrated on shuffled responses, {found}, {verdict}."


def item_sentence(flags: pd.Series) -> str:
    """Describe how many items go against the rest; `flags` as in the table of item statistics."""
    raised = flags.str.split(";")
    negative, maybe = (
        int(raised.map(lambda own, flag=flag: flag in own).sum()) for flag in ("negative", "maybe_negative")
    )
    if negative:
        return f"{against_rest(negative, f'{len(flags):,} items')}."
    if maybe:
        return f"No item is shown to go against the rest; {maybe} of {len(flags):,} may (their intervals include 0)."
    return f"No item of {len(flags):,} is flagged as going against the rest."


def lead_sentence(models: pd.DataFrame) -> str:
    """Describe which model is ablest, and how certain that is; `models` has ``rank`` and ``p_first_abler``."""
    return f"{lead_text(models, name_of)}."


def order_sentence(summary: Mapping[Any, Any]) -> str:
    """Describe whether ability and accuracy order models differently; `summary` of a comparison."""
    pairs, discordant, clear = (int(summary[name]) for name in ("n_pairs", "n_discordant", "n_clear"))
    if not discordant:
        return f"Ability and accuracy order all {pairs:,} pairs of models in the same way."
    share = f"{discordant:,} of {pairs:,} pairs of models ({discordant / pairs:.1%})"
    found = f"{clear:,} of them clearly" if clear else "none of them clearly: no difference shown"
    return f"Ability and accuracy order {share} differently, {found}.{_confirmed(summary)}"


def _confirmed(summary: Mapping[Any, Any]) -> str:
    """Describe how other items order such pairs, if known."""
    row = dict(summary.get("confirmation") or {}).get("all") or {}
    if not (_known(row, "repeated") and float(row["n_pairs"]) >= 1):
        return ""
    again, turned, side = (f"{float(row[name]):.0%}" for name in ("repeated", "reversed", "ability_order"))
    return (
        f" Of pairs that one half of the items orders differently, the other half repeats {again} and reverses "
        f"{turned}; in {side} its accuracy agrees with ability."
    )


def check_sentence(checks: pd.DataFrame) -> str:
    """Describe which checks failed; `checks` has ``name`` and ``status``."""
    status = checks["status"].replace("not applicable", "not_applicable")
    counts = status.value_counts()
    failed = checks.loc[status == "failed", "name"].tolist()
    rest = int(counts.get("not_applicable", 0))
    aside = f"; {rest} do{'es' * (rest == 1)} not apply" if rest else ""
    n_applied = len(checks) - rest
    if not n_applied:
        return "No check applies, so nothing is known about the fit."
    if failed:
        return f"{len(failed)} of {n_applied} checks failed: {_listed(failed)}{aside}. Conclusions may not hold."
    return f"None of {n_applied} checks failed{aside}. Passed checks found no fault; they do not prove the model."


def _estimate(row: Mapping[Any, Any], name: str, scale: float = 1.0) -> tuple[float, float, float]:
    """Value and interval of a column."""
    return scale * float(row[name]), scale * float(row[f"{name}_q05"]), scale * float(row[f"{name}_q95"])


def _listed(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(shorten(str(name).replace("_", " "), NAME_LENGTH) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _known(row: Mapping[Any, Any], name: str) -> bool:
    value = row.get(name)
    return value is not None and math.isfinite(float(value))
