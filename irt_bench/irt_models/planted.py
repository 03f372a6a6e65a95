"""What is planted in a simulated benchmark: training runs with seeds and steps, other models, and bad items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from irt_bench import names

PARTS_OF_ABILITY: Final = ("run_mean", "seed_effect", "step_effect")
PLANTED: Final = "planted"  # truth, one an item: "" or one of the three below
MIS_KEYED: Final = "mis_keyed"
NEVER_SOLVED: Final = "never_solved"
ALWAYS_SOLVED: Final = "always_solved"

UNTRAINED: Final = -1.5  # mean ability before the first step
TRAINED: Final = (-0.4, 1.0)  # mean ability after the last step, of the smallest and the largest run
STEP_SIZE: Final = 1000
SIZES: Final = ("1B", "3B", "7B", "13B", "30B", "70B")
SIZE_NOISE: Final = 0.7  # sd on the ability scale: larger models are mostly, not always, better
SUBTASK_SHIFT: Final = 0.8  # difference in mean difficulty between the first and the last subtask
OUT_OF_REACH: Final = 12.0  # |difficulty| with a slope of 2: below 1e-7 of the answers are surprises
LEAST_MIS_KEYED_SLOPE: Final = 0.8  # clearly negative, and not hidden by an extreme difficulty


def snapshots(shape: tuple[int, int, int], seed_sd: float, step_sd: float, rng: np.random.Generator) -> pd.DataFrame:
    """Every (run, seed, step) with its ability and the parts it is made of, indexed by model label."""
    n_runs, n_seeds, n_steps = shape
    run, seed, step = (place.ravel() for place in np.indices(shape))
    final = np.linspace(*TRAINED, n_runs)
    progress = np.log1p(np.arange(1, n_steps + 1)) / np.log1p(n_steps)
    run_mean = UNTRAINED + (final[run] - UNTRAINED) * progress[step]
    seed_effect = rng.normal(0.0, 1.0, (n_runs, n_seeds))[run, seed] * seed_sd
    step_effect = rng.normal(0.0, 1.0, shape).ravel() * step_sd
    frame = pd.DataFrame(
        {
            names.RUN: np.array(numbered_labels("run", n_runs))[run],
            names.SEED: seed + 1,
            names.STEP: (step + 1) * STEP_SIZE,
            "size": np.array(SIZES)[run * len(SIZES) // max(n_runs, len(SIZES))],
            names.ABILITY: run_mean + seed_effect + step_effect,
            "run_mean": run_mean,
            "seed_effect": seed_effect,
            "step_effect": step_effect,
        }
    )
    # As `responses.labels` would name snapshots of one model.
    labels = [
        f"{r}[seed={s},step={t}]"
        for r, s, t in zip(frame[names.RUN], frame[names.SEED], frame[names.STEP], strict=True)
    ]
    return frame.set_axis(pd.Index(labels, name=names.MODEL), axis=0)


def other_models(n_models: int, rng: np.random.Generator) -> pd.DataFrame:
    """Independent models, ability ~ N(0, 1), with sizes that mostly rise with it, indexed by model label."""
    ability = rng.normal(size=n_models)
    place = np.argsort(np.argsort(ability + rng.normal(0.0, SIZE_NOISE, n_models)))
    sizes = np.array(SIZES)[place * len(SIZES) // max(n_models, 1)]
    labels = pd.Index(numbered_labels("other", n_models), name=names.MODEL, dtype="str")
    return pd.DataFrame({"size": sizes, names.ABILITY: ability}, index=labels)


def shift_subtasks(values: Mapping[str, Any], subtask: pd.Series) -> dict[str, Any]:
    """Make each subtask harder than the one before it."""
    codes, labels = pd.factorize(subtask)
    shift = SUBTASK_SHIFT * (codes / max(len(labels) - 1, 1) - 0.5)
    return {**values, names.DIFFICULTY: values[names.DIFFICULTY] + shift}


def plant_bad_items(values: Mapping[str, Any], n_mis_keyed: int, rng: np.random.Generator) -> dict[str, Any]:
    """Turn some items, chosen at random, into mis-keyed ones, one that nobody and one that everybody solves."""
    new = {name: np.array(value) for name, value in values.items()}
    n_items = len(new[names.DIFFICULTY])
    places = rng.permutation(n_items)[: n_mis_keyed + 2]
    never, always, wrong = places[0], places[1], places[2:]
    new[PLANTED] = np.full(n_items, "", dtype=object)
    new[PLANTED][never], new[PLANTED][always], new[PLANTED][wrong] = NEVER_SOLVED, ALWAYS_SOLVED, MIS_KEYED
    new[names.DIFFICULTY][[never, always]] = OUT_OF_REACH, -OUT_OF_REACH
    new[names.DISCRIMINATION][[never, always]] = 2.0
    if names.GUESSING in new:
        new[names.GUESSING][never] = 0.0
    if names.UPPER_ASYMPTOTE in new:
        new[names.UPPER_ASYMPTOTE][always] = 1.0
    new[names.DIFFICULTY][wrong] = np.clip(new[names.DIFFICULTY][wrong], -1, 1)
    new[names.DISCRIMINATION][wrong] = -np.maximum(new[names.DISCRIMINATION][wrong], LEAST_MIS_KEYED_SLOPE)
    return new


def numbered_labels(kind: str, n: int) -> list[str]:
    """Labels kind-1, kind-2, ..., of one length, so that their natural and their alphabetic order agree."""
    return [f"{kind}-{number:0{len(str(n))}d}" for number in range(1, n + 1)]
