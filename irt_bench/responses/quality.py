"""Findings about responses before they are analysed; they are reported, never repaired."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench import names
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.labels import last_by_group
from irt_bench.responses.table import (
    FILTER,
    METRIC,
    PROMPT_HASH,
    Finding,
    ResponseTable,
    categorical,
    item_positions,
    listed,
)

NEIGHBOURS: Final = 50  # items of similar difficulty, which give each model's probability of a correct response to 7%
MAX_EQUAL: Final = 3  # labels with equal responses that are named
BY_CHANCE: Final = 0.01  # expected number of pairs of equal items by chance, above which they are not reported


def findings(table: ResponseTable) -> tuple[Finding, ...]:
    """Report what was noticed on reading and what the responses show, of each benchmark separately.

    The table's own findings, then: items without responses, models without responses, items that all or no models
    solved, models with identical responses, items with identical responses, blocks of models and items without a common
    scale, items with different prompts.
    """
    found: dict[str, list[str]] = {
        name: []
        for name in (
            "items_without_responses",
            "models_without_responses",
            "constant_items",
            "duplicate_models",
            "duplicate_items",
            "disconnected_blocks",
        )
    }
    for benchmark in table.benchmarks:
        counts = table.select(benchmark).counts()
        where = f"{benchmark}: " if len(table.benchmarks) > 1 else ""
        found["items_without_responses"] += [
            f"{where}{label}" for label in counts.items.index[np.asarray(~counts.asked.any(axis=0))]
        ]
        found["models_without_responses"] += [
            f"{where}{label}" for label in counts.models.index[np.asarray(~counts.asked.any(axis=1))]
        ]
        found["constant_items"] += [f"{where}{label}" for label in _constant_items(counts)]
        found["duplicate_models"] += [f"{where}{_equal(group)}" for group in _same_answers(counts)]
        found["duplicate_items"] += [f"{where}{_equal(group)}" for group in _same_columns(counts)]
        found["disconnected_blocks"] += [f"{where}{block}" for block in disconnected_blocks(counts)]
    texts = {
        "items_without_responses": "items have no responses",
        "models_without_responses": "models have no responses",
        "constant_items": "items were solved by all models or by none, so they do not distinguish models",
        "duplicate_models": "groups of models have identical responses",
        "duplicate_items": "groups of items have identical responses of all models, which is not due to chance",
        "disconnected_blocks": "blocks of models and items have no responses in common, so that only the prior puts "
        "them on one scale; fit them separately",
    }
    seen = [
        Finding(name, len(labels), f"{len(labels):,} {texts[name]}; first: {listed(labels)}")
        for name, labels in found.items()
        if labels
    ]
    return (*table.findings, *seen, *_different_prompts(table))


def disconnected_blocks(counts: ResponseCounts) -> list[str]:
    """Describe the blocks of models and items that no response connects, largest first; none where all are connected.

    Notes
    -----
    Abilities of models in different blocks cannot be compared: adding a constant to all abilities and difficulties of
    one block changes no probability, so that only the priors determine its location.
    """
    asked = counts.asked
    if asked.all(axis=1).any():  # one model responded to every item
        return []
    rows, columns = np.flatnonzero(asked.any(axis=1)), np.flatnonzero(asked.any(axis=0))
    block_of = _blocks(asked[np.ix_(rows, columns)])
    sizes = np.bincount(block_of) if len(block_of) else np.zeros(1, dtype=np.int64)
    if len(sizes) < 2:
        return []
    lines = []
    for block in np.argsort(-sizes, kind="stable"):
        models = counts.models.index[rows[block_of[: len(rows)] == block]]
        items = counts.items.index[columns[block_of[len(rows) :] == block]]
        first = f"first model {str(models[0])[:80]}, first item {str(items[0])[:80]}"
        lines.append(f"{len(models):,} models x {len(items):,} items ({first})")
    return lines


def _blocks(asked: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Give each model, then each item, the number of its block: what is connected by responses."""
    n_models, n_items = asked.shape
    block_of = np.full(n_models + n_items, -1, dtype=np.int64)
    of_model, of_item = block_of[:n_models], block_of[n_models:]
    block = -1
    for start in range(n_models):
        if of_model[start] >= 0:
            continue
        block += 1
        models = np.array([start])
        while len(models):
            of_model[models] = block
            items = np.flatnonzero(asked[models].any(axis=0) & (of_item < 0))
            of_item[items] = block
            models = np.flatnonzero(asked[:, items].any(axis=1) & (of_model < 0))
    return block_of


def overview(table: ResponseTable) -> pd.DataFrame:
    """Tabulate the number of models, items and responses, the density and the mean accuracy of each benchmark.

    Returns
    -------
    pd.DataFrame
        Indexed by benchmark; ``n_models, n_items, n_answers`` (graded responses, including repeats), ``density``
        (proportion of (model, item) cells with a response, in [0, 1]) and ``accuracy`` (mean over models, in [0, 1]);
        ``metric, filter`` by which they were read, where this is known.
    """
    rows = {}
    for benchmark in table.benchmarks:
        counts = table.select(benchmark).counts()
        rows[benchmark] = {
            "n_models": counts.n_models,
            "n_items": counts.n_items,
            "n_answers": int(counts.trials.sum()),
            "density": float(counts.asked.mean()),
            "accuracy": float(counts.accuracy().mean()),
            **{
                name: ", ".join(counts.items[name].dropna().astype("str").unique())
                for name in (METRIC, FILTER)
                if name in counts.items
            },
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(names.BENCHMARK)


def _equal(group: list[str]) -> str:
    """Labels with equal responses, the first few of many."""
    more = f" = {len(group) - MAX_EQUAL} more" if len(group) > MAX_EQUAL else ""
    return " = ".join(group[:MAX_EQUAL]) + more


def _constant_items(counts: ResponseCounts) -> list[str]:
    """Items with the same proportion correct, 0 or 1, for all of two or more models."""
    n_models = counts.asked.sum(axis=0)
    right, trials = counts.correct.sum(axis=0), counts.trials.sum(axis=0)
    return list(counts.items.index[(n_models > 1) & ((right == 0) | (right == trials))])


def _same_answers(counts: ResponseCounts) -> list[list[str]]:
    """Group models with equal responses to every item, including missing ones."""
    groups = _equal_rows(counts.correct, counts.trials, np.flatnonzero(counts.asked.any(axis=1)))
    return [[str(counts.models.index[place]) for place in group] for group in groups]


def _same_columns(counts: ResponseCounts) -> list[list[str]]:
    """Group items with equal responses of every model, where this is not due to chance."""
    share = np.where(counts.asked, counts.correct / np.maximum(counts.trials, 1), np.nan)
    varying = np.flatnonzero(counts.asked.any(axis=0) & ~np.isin(_means(share), (0.0, 1.0)))
    groups = _equal_rows(counts.correct.T, counts.trials.T, varying)
    chances = [_chance_of_equality(share, varying, np.asarray(group)) for group in groups]
    n_pairs = len(varying) * (len(varying) - 1) / 2
    return [
        [str(counts.items.index[place]) for place in group]
        for group, chance in zip(groups, chances, strict=True)
        if n_pairs * chance < BY_CHANCE
    ]


def _means(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean proportion correct of each item over the models that responded; NaN where there are none."""
    n = np.isfinite(share).sum(axis=0)
    return np.asarray(np.nansum(share, axis=0) / np.where(n > 0, n, np.nan))


def _chance_of_equality(
    share: npt.NDArray[np.float64], varying: npt.NDArray[np.intp], group: npt.NDArray[np.intp]
) -> float:
    """Probability that an unrelated item with as many correct responses has the same ones from all models.

    The unrelated item is represented by the `NEIGHBOURS` items nearest in difficulty, shifted to the same difficulty.
    Equal responses are common where items discriminate well or few models solve them.
    """
    means = _means(share[:, varying])
    order = np.argsort(np.abs(means - means[varying == group[0]]), kind="stable")
    near = varying[order[~np.isin(varying[order], group)][:NEIGHBOURS]]
    asked = np.isfinite(share[:, group[0]])
    known = np.isfinite(share[:, near])
    right = ((np.nansum(share[:, near], axis=1) + 0.5) / (known.sum(axis=1) + 1))[asked]
    log_odds, (low, high) = np.log(right / (1 - right)), (-50.0, 50.0)
    for _ in range(40):
        middle = (low + high) / 2
        moved = 1 / (1 + np.exp(-log_odds - middle))
        low, high = (low, middle) if moved.mean() > share[asked, group[0]].mean() else (middle, high)
    return float(np.prod(moved**2 + (1 - moved) ** 2))


def _equal_rows(correct: npt.NDArray[Any], trials: npt.NDArray[Any], places: npt.NDArray[np.intp]) -> list[list[int]]:
    """Group rows that are equal in both arrays."""
    groups: dict[bytes, list[int]] = {}
    for row in places.tolist():
        answers = np.ascontiguousarray(correct[row]).tobytes() + np.ascontiguousarray(trials[row]).tobytes()
        groups.setdefault(hashlib.blake2b(answers).digest(), []).append(row)
    return [group for group in groups.values() if len(group) > 1]


def _different_prompts(table: ResponseTable) -> list[Finding]:
    """Items whose prompt differs between responses."""
    if PROMPT_HASH not in table.answers:
        return []
    prompts = categorical(table.answers[PROMPT_HASH]).codes
    places = item_positions(table.answers, table.items.index)
    _, differs = last_by_group(prompts, places, len(table.items))
    if not differs.any():
        return []
    labels = table.items.index[differs]
    first = labels.get_level_values(names.ITEM) if len(table.benchmarks) == 1 else ["/".join(pair) for pair in labels]
    message = (
        f"{len(labels):,} items have different prompts (prompt_hash differs); first: {listed(first)}. "
        "Few-shot examples may have changed between runs"
    )
    return [Finding("different_prompts", len(labels), message)]
