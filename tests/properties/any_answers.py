"""What the properties hold for: tables of answers drawn at random, and a way to look at few or at many."""

import warnings
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from irt_bench import ResponseTable, table_from_frame
from irt_bench.responses.table import natural_order

LABELS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(str.strip)


def few_or_many(few: int, many: int) -> pytest.MarkDecorator:
    """Give a test few examples on every run, and many as a slow test."""
    return pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.slow)])


def for_all(examples: int, *strategies: st.SearchStrategy) -> Callable[[Callable[..., None]], None]:
    """Check at once, on so many examples, the same ones on every run."""

    def check_now(check: Callable[..., None]) -> None:
        def quietly(drawn: tuple[object, ...]) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that items are constant or models few
                check(*drawn)

        how = settings(
            max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=HealthCheck,
            phases=[Phase.generate],
        )  # fmt: skip
        how(given(st.tuples(*strategies))(quietly))()

    return check_now


@st.composite
def answers(
    draw: st.DrawFn, *, models: tuple[int, int] = (2, 6), items: tuple[int, int] = (2, 7), missing: float = 0.2
) -> pd.DataFrame:
    """Long table of 0/1 answers with metadata of models and items; every model and item has an answer."""
    n_models, n_items = draw(st.integers(*models)), draw(st.integers(*items))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ability, difficulty = rng.normal(size=(n_models, 1)), rng.normal(size=n_items)
    right = rng.random((n_models, n_items)) < 1 / (1 + np.exp(difficulty - ability))
    kept = rng.random(right.shape) >= draw(st.sampled_from([0.0, missing]))
    kept[np.arange(n_models), np.arange(n_models) % n_items] = True
    kept[np.arange(n_items) % n_models, np.arange(n_items)] = True
    model, item = np.nonzero(kept)
    frame = pd.DataFrame({"model": [f"m{m}" for m in model], "item": [f"q{i}" for i in item]})
    return frame.assign(correct=right[kept].astype(int), size=[f"{m % 3}B" for m in model], weight=item / 4)


@st.composite
def trained(draw: st.DrawFn) -> pd.DataFrame:
    """Long table of runs with seeds and steps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    runs, seeds, steps, items = (draw(st.integers(*range_)) for range_ in ((1, 2), (2, 4), (1, 3), (6, 12)))
    grid = pd.MultiIndex.from_product(
        [[f"run{r}" for r in range(runs)], range(seeds), range(1, steps + 1), [f"q{i}" for i in range(items)]],
        names=["run", "seed", "step", "item"],
    ).to_frame(index=False)
    chance = 0.2 + 0.5 * rng.random(items)[grid["item"].str[1:].astype(int)] + 0.05 * grid["step"]
    return grid.assign(model=grid["run"], correct=(rng.random(len(grid)) < chance).astype(int))


def new_labels(labels: list[str], *, seed: int, keep_order: bool) -> dict[str, str]:
    """Other names for all labels, in the same order or in any."""
    ordered = natural_order(labels)
    places = np.arange(len(ordered))
    places = places if keep_order else np.random.default_rng(seed).permutation(places)
    return {label: f"name {place}" for label, place in zip(ordered, places, strict=True)}


def renamed(frame: pd.DataFrame, names: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """The same answers under other names of models, items or runs, rows in another order."""
    other = frame.assign(**{column: frame[column].map(dict(mapping)) for column, mapping in names.items()})
    return other.sample(frac=1, random_state=1)


def table_of(frame: pd.DataFrame) -> ResponseTable:
    """Table of one benchmark."""
    return table_from_frame(frame, benchmark="b")


def assert_same_table(first: ResponseTable, second: ResponseTable) -> None:
    """Everything equal, types and order of rows included."""
    for name in ("answers", "models", "items", "entries"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))
