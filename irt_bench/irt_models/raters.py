"""Many-facet models: scores of answers that several raters give, such as language models as judges.

A rater with the severity c sees a model with the ability theta as one with theta - c (Linacre 1989, Many-Facet Rasch
Measurement; here with a discrimination and steps of each item). Severities sum to zero, so that difficulties are those
for the average rater. The items of the responses are pairs of an item and a rater, as long tables with a column
``rater`` are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
import xarray as xr

from irt_bench import names
from irt_bench.errors import ModelError
from irt_bench.irt_models.model import HalfNormal
from irt_bench.irt_models.ordered_and_continuous import GeneralizedPartialCredit
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import natural_order

SEVERITY: Final = "severity"
CONTRAST: Final = "severity_contrast"  # of severities that sum to zero: one fewer than raters
RATED_DIFFICULTY: Final = "rated_difficulty"  # for the average rater, by item
SIMULATED_RATERS: Final = 3
MIN_RATERS: Final = 2


@dataclass(frozen=True, kw_only=True)
class ManyFacet(GeneralizedPartialCredit):
    """Ordered scores by several raters: a generalized partial credit model with a severity of each rater.

    Parameters
    ----------
    severity : HalfNormal
        Prior of the sd of severities, on the ability scale.
    rated_items, raters : tuple of str, optional
        Item and rater of each column of the responses; found when a model is fitted.

    Notes
    -----
    Scores of one answer by several raters are taken to be independent given ability. Where all raters see the same
    answers, intervals of abilities are too narrow, since a single answer can be better or worse than the ability of its
    model.

    Examples
    --------
    >>> from irt_bench import ManyFacet, simulate_responses
    >>> scores = simulate_responses(ManyFacet(), n_models=20, n_items=12, seed=1).table  # 4 items, 3 raters
    >>> scores.counts().items["rater"].unique().tolist()
    ['rater-1', 'rater-2', 'rater-3']
    """

    name: ClassVar[str] = "mfrm"
    dims: ClassVar[Mapping[str, tuple[str, ...]]] = {SEVERITY: (names.RATER,), RATED_DIFFICULTY: (names.RATED_ITEM,)}
    severity: HalfNormal = HalfNormal(1.0)
    rated_items: tuple[str, ...] | None = None
    raters: tuple[str, ...] | None = None

    def arranged(self, counts: ResponseCounts) -> ResponseCounts:
        """Points, as of any ordered scores, whose items and raters are known and linked."""
        for column in (names.RATED_ITEM, names.RATER):
            if column not in counts.items or counts.items[column].isna().any():
                raise ModelError(
                    f"the {self.name} model needs the rater of every score, and the items have no {column!r}; give a "
                    "long table with the columns model, item, rater and score."
                )
        asked = counts.take(items=counts.asked.any(axis=0)).items
        _check_linked(asked[names.RATED_ITEM].astype(str), asked[names.RATER].astype(str), self.name)
        return super().arranged(counts)

    def for_responses(self, counts: ResponseCounts) -> Self:
        """Take over steps, items and raters of the columns."""
        found = super().for_responses(counts)
        columns = (tuple(counts.items[name].astype(str)) for name in (names.RATED_ITEM, names.RATER))
        rated_items, raters = columns
        steps = np.asarray(found.steps)
        own = pd.Series(steps).groupby(list(rated_items)).transform("max").to_numpy()
        if (wrong := (own != steps) & counts.asked.any(axis=0)).any():
            first = int(wrong.argmax())
            raise ModelError(
                f"rater {raters[first]!r} has {steps[first]} steps for item {rated_items[first]!r}, another rater "
                f"{own[first]}; give all the range of the item by the columns min_score and max_score."
            )
        return replace(found, steps=tuple(own.tolist()), rated_items=rated_items, raters=raters)

    def facets(self, n_columns: int) -> tuple[Facet, Facet]:
        """Items and raters of the columns; of a simulation three raters of each item, unless they are given."""
        if self.rated_items is None or self.raters is None:
            at = np.arange(n_columns)
            if n_columns % SIMULATED_RATERS:
                raise ModelError(f"n_items is {n_columns}; {SIMULATED_RATERS} raters of each item need a multiple.")
            items = tuple(f"q{item + 1}" for item in at // SIMULATED_RATERS)
            return _facet(items), _facet(tuple(f"rater-{rater + 1}" for rater in at % SIMULATED_RATERS))
        return _facet(self.rated_items), _facet(self.raters)

    def program(self, data: Any) -> None:
        """Pyro program: that of the generalized partial credit model for items, seen at ability less severity."""
        import pyro  # noqa: PLC0415 - torch takes seconds to import
        import torch  # noqa: PLC0415

        from irt_bench.irt_models import program  # noqa: PLC0415

        items, raters = self.facets(data.sizes[names.ITEM])
        sd = pyro.sample(f"{SEVERITY}_sd", program.half_normal(self.severity))
        with data.plate(CONTRAST, raters.size - 1):
            contrast = pyro.sample(CONTRAST, pyro.distributions.Normal(program.number(0.0), sd))
        severity = torch.from_numpy(scipy.linalg.helmert(raters.size).T.copy()) @ contrast  # sums to zero
        with data.plate(names.RATER, raters.size):
            pyro.deterministic(SEVERITY, severity, event_dim=0)
        steps = tuple(self._steps(len(items.at))[items.first].tolist())
        seen = _SeenByRaters(data, items, raters, severity)
        super(ManyFacet, replace(self, steps=steps)).program(seen)

    def oriented(self, posterior: xr.Dataset) -> xr.Dataset:
        """Parameters of each column, difficulty and thresholds for its rater, beside those of items and raters."""
        items, raters = self.facets(posterior.sizes[names.ITEM])
        at = {names.RATED_ITEM: xr.DataArray(items.at, dims=names.ITEM)}
        severity = posterior[SEVERITY].isel({names.RATER: xr.DataArray(raters.at, dims=names.ITEM)})
        shift: dict[str, Any] = {names.DIFFICULTY: severity, names.DISCRIMINATION: 0.0, names.THRESHOLD: severity}
        columns = {
            name: (posterior[name].isel(at) + by).transpose(names.CHAIN, names.DRAW, ..., names.ITEM)
            for name, by in shift.items()
        }
        own = {RATED_DIFFICULTY: posterior[names.DIFFICULTY]}
        labels = {names.RATED_ITEM: list(items.labels), names.RATER: list(raters.labels)}
        found = posterior.drop_vars([*columns, CONTRAST]).assign({**own, **columns}).assign_coords(labels)
        return super().oriented(found)

    def draw_items(self, n_items: int, rng: np.random.Generator, shared: Mapping[str, float]) -> dict[str, Any]:
        """Draw items and severities, and give the parameters of each column."""
        items, raters = self.facets(n_items)
        streams = rng.spawn(2)
        of_items = replace(self, steps=tuple(self._steps(n_items)[items.first].tolist()))
        found = super(ManyFacet, of_items).draw_items(items.size, streams[0], shared)
        sd = shared.get(f"{SEVERITY}_sd", abs(streams[1].normal(0.0, self.severity.scale)))
        severity = scipy.linalg.helmert(raters.size).T @ streams[1].normal(0.0, sd, raters.size - 1)
        own: dict[str, Any] = {
            RATED_DIFFICULTY: found[names.DIFFICULTY],
            SEVERITY: severity,
            f"{SEVERITY}_sd": np.float64(sd),
        }
        columns = {name: value[items.at] for name, value in found.items() if np.ndim(value)}
        columns[names.DIFFICULTY] = columns[names.DIFFICULTY] + severity[raters.at]
        columns[names.THRESHOLD] = columns[names.THRESHOLD] + severity[raters.at, None]
        return found | columns | own

    def item_metadata(self, labels: pd.Index) -> pd.DataFrame:
        """Item and rater of each column."""
        items, raters = self.facets(len(labels))
        of_columns = {
            names.RATED_ITEM: np.array(items.labels)[items.at],
            names.RATER: np.array(raters.labels)[raters.at],
        }
        return pd.DataFrame(of_columns, index=labels)


@dataclass(frozen=True)
class Facet:
    """Which item, or which rater, each column of the responses belongs to."""

    labels: tuple[str, ...]
    at: npt.NDArray[np.intp]  # (column,)

    @property
    def size(self) -> int:
        """Number of items or raters."""
        return len(self.labels)

    @property
    def first(self) -> npt.NDArray[np.intp]:
        """First column of each."""
        return np.unique(self.at, return_index=True)[1]


@cache
def _facet(columns: tuple[str, ...]) -> Facet:
    """Give each label of the columns a number in natural order; the program asks at every evaluation."""
    labels = natural_order(dict.fromkeys(columns))
    return Facet(tuple(labels), pd.Index(labels).get_indexer(pd.Index(columns)))


class _SeenByRaters:
    """What the program of a model of scores is given: rated items, whose scores depend on ability less severity."""

    def __init__(self, data: Any, items: Facet, raters: Facet, severity: Any) -> None:
        self.data, self.severity = data, severity
        self.facets = (items.at, raters.at)
        self.n_items = items.size
        self.sizes = {**data.sizes, names.ITEM: items.size}
        self.items = data.plate(names.RATED_ITEM, items.size)
        self.models, self.frame = data.models, data.frame

    def at_items(self, values: Any) -> Any:
        """Known values of rated items."""
        import torch  # noqa: PLC0415

        return torch.tensor(np.array(values, dtype=np.float64))

    def observe_scores(
        self, statistics: Callable[[Any, Any], Any], coefficients: Callable[[Any], Any], ability: Any
    ) -> None:
        """Add the scores: those of a rater have the coefficients of the items at ability less severity."""
        import torch  # noqa: PLC0415

        item, rater = (self.data.at_items(at).long() for at in self.facets)

        def of_columns(at: Any) -> Any:
            seen = coefficients((at - self.severity[:, None]).ravel())  # (statistic, rater and ability, rated item)
            seen = seen.reshape(len(seen), len(self.severity), len(at), self.n_items)
            return torch.movedim(seen[:, rater, :, item], 0, -1)

        self.data.observe_scores(statistics, of_columns, ability)


def _check_linked(items: pd.Series, raters: pd.Series, model: str) -> None:
    """Refuse raters whose severities nothing but their prior compares."""
    item, rater = (pd.factorize(labels) for labels in (items, raters))
    n_items, n_raters = len(item[1]), len(rater[1])
    if n_raters < MIN_RATERS:
        raise ModelError(
            f"all scores are by the rater {rater[1][0]!r}; the {model} model needs two or more, 'gpcm' one."
        )
    shape = (n_items + n_raters,) * 2
    graph = scipy.sparse.coo_array((np.ones(len(items)), (item[0], n_items + rater[0])), shape=shape)
    block = scipy.sparse.csgraph.connected_components(graph, directed=False)[1][n_items:]
    if block.max(initial=0) > 0:
        other = rater[1][int(np.argmax(block != block[0]))]
        raise ModelError(
            f"raters {rater[1][0]!r} and {other!r} share no item, nor do raters between them, so that severity cannot "
            "be told from difficulty; let them rate some of the same items."
        )
