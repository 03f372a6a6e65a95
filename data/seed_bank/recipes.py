"""Recipes of the seed bank, and the order in which its runs are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import numpy as np
from tasks import TASKS, Array

BASE_SEEDS: Final = 200
RECIPE_SEEDS: Final = 10
CROSSED: Final = 10


@dataclass(frozen=True)
class Recipe:
    """How a model is built and trained."""

    name: str = "base"
    width: int = 48
    layers: int = 2
    heads: int = 4
    steps: int = 1000
    batch: int = 48
    rate: float = 4e-3
    weight_decay: float = 0.01
    choice_share: float = 0.4
    repeat_share: float = 0.15
    label_noise: float = 0.0
    constant_rate: bool = False
    emphasis: dict[str, float] = field(default_factory=dict)
    """Weight of a task in the mixture, where it is not 1."""

    @property
    def shares(self) -> Array:
        """Probability of each task."""
        weights = np.array([self.emphasis.get(task, 1.0) for task in TASKS])
        return np.asarray(weights / weights.sum())


@dataclass(frozen=True)
class Run:
    """One training run: a recipe, a seed of initialisation and a seed of data order."""

    recipe: str
    initialisation: int
    data: int

    @property
    def name(self) -> str:
        """Unique, and the name of its file."""
        return f"{self.recipe}_i{self.initialisation:03d}_d{self.data:03d}"


ARITHMETIC: Final = ("add", "subtract", "progression", "compare", "modular_sum")
STRINGS: Final = ("sort", "reverse", "pick", "count", "majority")
RELATIONS: Final = ("pick", "lookup", "two_hop")


def _weighted(tasks: tuple[str, ...], weight: float) -> dict[str, float]:
    return dict.fromkeys(tasks, weight)


RECIPES: Final = {
    recipe.name: recipe
    for recipe in (
        Recipe(),
        Recipe("width_32", width=32),
        Recipe("width_64", width=64),
        Recipe("layers_1", layers=1),
        Recipe("layers_3", layers=3),
        Recipe("heads_2", heads=2),
        Recipe("steps_500", steps=500),
        Recipe("steps_750", steps=750),
        Recipe("steps_1500", steps=1500),
        Recipe("rate_1e-3", rate=1e-3),
        Recipe("rate_2e-3", rate=2e-3),
        Recipe("rate_8e-3", rate=8e-3),
        Recipe("batch_32", batch=32),
        Recipe("batch_96", batch=96),
        Recipe("decay_0.1", weight_decay=0.1),
        Recipe("constant_rate", constant_rate=True),
        Recipe("noise_0.1", label_noise=0.1),
        Recipe("noise_0.3", label_noise=0.3),
        Recipe("choice_0.2", choice_share=0.2),
        Recipe("choice_0.6", choice_share=0.6),
        Recipe("repeat_0", repeat_share=0.0),
        Recipe("repeat_0.3", repeat_share=0.3),
        Recipe("more_arithmetic", emphasis=_weighted(ARITHMETIC, 3.0)),
        Recipe("less_arithmetic", emphasis=_weighted(ARITHMETIC, 0.3)),
        Recipe("more_strings", emphasis=_weighted(STRINGS, 3.0)),
        Recipe("more_relations", emphasis=_weighted(RELATIONS, 3.0)),
        Recipe("more_rules", emphasis=_weighted(("brackets", "agreement"), 3.0)),
        Recipe("more_facts", emphasis=_weighted(("facts",), 5.0)),
        Recipe("narrow_long", width=32, steps=1500),
        Recipe("wide_short", width=64, steps=600),
    )
}


def planned_runs() -> list[Run]:
    """Every run of the bank, in an order in which any first part of it is a bank of its own.

    Three parts, each spread evenly over the whole: the base recipe with ``BASE_SEEDS`` seeds; the other recipes with
    ``RECIPE_SEEDS`` seeds, one seed of all before the next; and initialisations crossed with orders of data, in growing
    squares whose diagonal the base recipe's own seeds are.
    """
    base = [Run("base", seed, seed) for seed in range(BASE_SEEDS)]
    others = [Run(recipe, seed, seed) for seed in range(RECIPE_SEEDS) for recipe in RECIPES if recipe != "base"]
    pairs = [(first, second) for first in range(CROSSED) for second in range(CROSSED) if first != second]
    crossed = [Run("base", *pair) for pair in sorted(pairs, key=lambda pair: (max(pair), pair))]
    placed = [(Fraction(place, len(part)), run) for part in (others, base, crossed) for place, run in enumerate(part)]
    return [run for _, run in sorted(placed, key=lambda pair: pair[0])]
