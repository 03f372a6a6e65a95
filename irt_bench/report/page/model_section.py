"""Ability against accuracy: the order of the models by both, how sure it is, and where on the scale the items lie."""

from __future__ import annotations

from functools import partial
from typing import Final

import pandas as pd

from irt_bench.report.figures.ranks import ranks_figure
from irt_bench.report.figures.wright import wright_map
from irt_bench.report.page import sentences
from irt_bench.report.page.folders import COMPARISON, FIT, Part
from irt_bench.report.page.html_tables import html_table
from irt_bench.report.page.sections import Block, Section, figure_block

RANKS: Final = {
    "rank_by_ability": "rank",
    "rank_by_accuracy": "accuracy_rank",
}


def model_section(fit: Part | None, comparison: Part | None) -> Section:
    """Ranks with intervals, pairs in different order, and the Wright map."""
    question = "Ability against accuracy: who is ahead?"
    if fit is None and comparison is None:
        return Section("models", question, missing=[FIT, COMPARISON])
    models = _ranks(fit, comparison)
    said = [sentences.lead_sentence(models)]
    if comparison is not None:
        said.append(sentences.order_sentence(comparison.summary))
    source = comparison or fit
    blocks = [
        figure_block(
            "ranks",
            "Ranks",
            "Rank 1 is the best; bars are 90% intervals of each rank by itself, which may overlap where an order is "
            "clear: hollow are models that the first is abler than with a probability below 0.95. Of more than 40 "
            "models the 20 best and some evenly spaced others are drawn.",
            models.sort_values("rank", kind="stable"),
            partial(ranks_figure, models),
            columns=[
                name
                for name in ("rank", "accuracy_rank", "relative_ability", "p_first_abler", "accuracy")
                if name in models
            ],
            whole=f"{source.place}/{'models' if comparison else 'abilities'}.csv" if source else "",
        )
    ]
    if comparison is not None and len(comparison["discordant"]):
        blocks.append(_pairs(comparison))
    if fit is not None:
        blocks.append(_wright(fit))
    missing = [kind for kind, part in ((FIT, fit), (COMPARISON, comparison)) if part is None]
    return Section("models", question, said, blocks, missing=missing)


def _ranks(fit: Part | None, comparison: Part | None) -> pd.DataFrame:
    if comparison is not None:
        return comparison["models"].set_index("model").rename(columns=RANKS)
    return pd.DataFrame() if fit is None else fit["abilities"].set_index("model")


def _pairs(comparison: Part) -> Block:
    pairs = comparison["discordant"].set_index(["higher_ability", "higher_accuracy"])
    table = html_table(pairs, whole=f"{comparison.place}/discordant.csv")
    caption = (
        "Pairs that both order differently, surest first: how much they differ, and how probable each order is by "
        "itself. Both rest on the same answers, so the product is not the probability that both hold."
    )
    return Block("pairs", "Pairs in different order", caption, table)


def _wright(fit: Part) -> Block:
    abilities = fit["abilities"].set_index("model")["ability"]
    items = fit["items"].set_index("item")
    return figure_block(
        "wright",
        "Models and items on one scale",
        "Abilities above, difficulties below (Wright map). Where items are far from all models they tell little; "
        "the outer bars hold what lies beyond.",
        items,
        partial(wright_map, abilities, items["difficulty"]),
        columns=[name for name in ("difficulty", "discrimination", "flags") if name in items],
        whole=f"{fit.place}/items.csv",
    )
