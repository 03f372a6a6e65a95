"""The shipped files of the seed bank: written from the runs that are there, and read again.

==================  ===================================================================================================
runs.csv            one row per run: recipe, seeds of initialisation and of data order, SHA-256 digest of its answers
items.csv           one row per item: task, prompt, choices, right answer
answers.npz         whether each answer is right: (run, checkpoint, framing, item), eight to a byte
probability.npz     at the last checkpoint, float16, (run, framing, item): ``probability``, the mass of the right choice
                    among the choices, and ``margin``, its log-probability less that of the best other choice
manifest.json       numbers, versions, and the digest of each file
==================  ===================================================================================================
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from recipes import RECIPES, Run
from tasks import PAD, TASKS, VOCABULARY, Array, Examples

HERE: Final = Path(__file__).parent
FRAMINGS: Final = ("completion", "choice")
CHECKPOINTS: Final = (1, 2, 3, 4, 5)
EXAMPLE: Final = HERE.parents[1] / "irt_bench" / "examples" / "seed_bank.parquet"
EXAMPLE_EVERY: Final = 8  # of the items of each task, in the example that comes with the package


class Bank(NamedTuple):
    """Answers of all packed runs."""

    runs: pd.DataFrame
    """``recipe, initialisation, data``, one row per run."""

    items: pd.DataFrame
    """``item, task, ...``, one row per item."""

    right: Array
    """bool, (run, checkpoint, framing, item)."""


def pack(runs: list[tuple[Run, Path]], tasks: Array, items: Examples, folder: Path = HERE) -> None:
    """Write the shipped files from files of runs."""
    right, probability, margin, digests, versions = [], [], [], [], set()
    for _, path in runs:
        with np.load(path, allow_pickle=False) as found:
            scores = found["log_probability"].astype(np.float64)
            facts = json.loads(str(found["facts"]))
        versions.add((facts["torch"], facts["numpy"]))
        gold, others = split_gold(scores, items.gold)
        right.append(gold > others)
        mass = np.nansum(np.exp(scores - gold[..., None]), axis=-1)
        probability.append((1 / mass)[-1].astype(np.float16))
        margin.append((gold - others)[-1].astype(np.float16))
        digests.append(hashlib.sha256(np.packbits(right[-1]).tobytes()).hexdigest()[:16])
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame([(run.recipe, run.initialisation, run.data) for run, _ in runs], columns=list(RUN_COLUMNS))
    table.assign(answers_sha256=digests).to_csv(folder / "runs.csv", index=False)
    item_table(tasks, items).to_csv(folder / "items.csv", index=False)
    np.savez_compressed(folder / "answers.npz", right=np.packbits(np.stack(right), axis=-1))
    np.savez_compressed(folder / "probability.npz", probability=np.stack(probability), margin=np.stack(margin))
    manifest = {
        "runs": len(runs),
        "shape": list(np.stack(right).shape),
        "recipes": table["recipe"].value_counts().to_dict(),
        "made_with": [{"torch": torch, "numpy": numpy} for torch, numpy in sorted(versions)],
        "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in PACKED},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


RUN_COLUMNS: Final = ("recipe", "initialisation", "data")
PACKED: Final = ("runs.csv", "items.csv", "answers.npz", "probability.npz")


def split_gold(scores: Array, gold: Array) -> tuple[Array, Array]:
    """Log-probability of the right choice and of the best other one, shape (..., item)."""
    places = np.broadcast_to(gold[:, None], (*scores.shape[:-1], 1))
    right = np.take_along_axis(scores, places, axis=-1)[..., 0]
    others = scores.copy()
    np.put_along_axis(others, places, -np.inf, axis=-1)
    return right, np.nanmax(others, axis=-1)


def item_table(tasks: Array, items: Examples) -> pd.DataFrame:
    """Items as text."""

    def text(tokens: Array) -> str:
        return " ".join(VOCABULARY[token] for token in tokens if token != PAD)

    rows = [
        {
            "item": f"{TASKS[task]}-{place:04d}",
            "task": TASKS[task],
            "prompt": text(prompt),
            "choices": "|".join(text(choice) for choice in choices if choice[0] != PAD),
            "answer": text(choices[gold]),
        }
        for place, (task, prompt, choices, gold) in enumerate(zip(tasks, *items, strict=True))
    ]
    return pd.DataFrame(rows)


def read_bank(folder: Path = HERE) -> Bank:
    """Read the shipped answers."""
    items, shape = pd.read_csv(folder / "items.csv"), json.loads((folder / "manifest.json").read_text())["shape"]
    with np.load(folder / "answers.npz", allow_pickle=False) as found:
        right = np.unpackbits(found["right"], axis=-1, count=shape[-1]).astype(bool)
    return Bank(pd.read_csv(folder / "runs.csv")[list(RUN_COLUMNS)], items, right)


def read_measures(folder: Path = HERE, *, every: int = 1) -> dict[str, Array]:
    """Continuous measures of the right choice at the last checkpoint, in the order of `long_frame`'s rows.

    ``probability`` is its share of the probability of all choices; ``margin`` that of its log-probability over the best
    other choice, rescaled to [0, 1].
    """
    runs = pd.read_csv(folder / "runs.csv")
    own = (runs["initialisation"] == runs["data"]).to_numpy()
    with np.load(folder / "probability.npz", allow_pickle=False) as found:
        parts = {name: found[name][own, :, ::every].astype(np.float64).ravel() for name in ("probability", "margin")}
    low, high = parts["margin"].min(), parts["margin"].max()
    return parts | {"margin": (parts["margin"] - low) / (high - low)}


def long_frame(
    bank: Bank, *, checkpoints: tuple[int, ...] = CHECKPOINTS[-1:], every: int = 1, crossed: bool = False
) -> pd.DataFrame:
    """Responses, one row per answer, as `irt_bench.table_from_frame` reads them.

    The two framings are two benchmarks of the same items, and ``run, seed, step`` are recipe, seed and training step.
    With ``crossed``, all runs of the base recipe are kept, and ``initialisation`` and ``data`` name their seeds.
    """
    own = bank.runs["initialisation"] == bank.runs["data"]
    items = bank.items.iloc[::every]
    parts = []
    for place in np.flatnonzero((bank.runs["recipe"] == "base") if crossed else own):
        recipe, initialisation, data = bank.runs.iloc[place]
        seeds = {"initialisation": initialisation, "data": data} if crossed else {"seed": data}
        for checkpoint in checkpoints:
            step = RECIPES[recipe].steps * checkpoint // bank.right.shape[1]
            label = "/".join([recipe, *map(str, seeds.values()), str(step)])
            for number, framing in enumerate(FRAMINGS):
                frame = pd.DataFrame({"item": items["item"], "subtask": items["task"]})
                frame = frame.assign(benchmark=framing, model=label, run=recipe, step=step, **seeds)
                parts.append(frame.assign(correct=bank.right[place, checkpoint - 1, number, ::every].astype(np.int8)))
    return pd.concat(parts, ignore_index=True)


def write_example(bank: Bank, path: Path = EXAMPLE) -> None:
    """Write the part of the bank that comes with the package: every checkpoint, an eighth of the items."""
    frame = long_frame(bank, checkpoints=CHECKPOINTS, every=EXAMPLE_EVERY)
    texts = frame.select_dtypes(exclude="number").columns
    frame.astype(dict.fromkeys(texts, "category")).to_parquet(path, compression="zstd", index=False)
    manifest = path.with_name("manifest.json")
    entries = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
    entries[path.name] = {
        "what": f"{frame['run'].nunique()} recipes of small transformers, 5 checkpoints, one item in {EXAMPLE_EVERY}",
        "maker": "data/seed_bank/make.py",
        "benchmark": list(FRAMINGS),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    manifest.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
