"""Draws of a labelled posterior as arrays: chains joined, thinned, and ordered by label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError
from irt_bench.names import CHAIN, DIFFICULTY, DRAW, GUESSING, ITEM, UPPER_ASYMPTOTE

ASYMPTOTES = {GUESSING: 0.0, UPPER_ASYMPTOTE: 1.0}  # values for models without these parameters


class ItemParameters(NamedTuple):
    """Item parameters of equal shape, usually (draw, item) or (item,)."""

    difficulty: FloatArray
    discrimination: FloatArray
    guessing: FloatArray
    upper_asymptote: FloatArray

    def at(self, index: object) -> ItemParameters:
        """Index all parameters alike."""
        return ItemParameters(*(values[index] for values in self))  # type: ignore[call-overload]


def item_draws(posterior: xr.Dataset, most: int) -> tuple[ItemParameters, pd.Index]:
    """At most `most` evenly spaced draws of the item parameters, shape (draw, item), and the items' labels."""
    found: dict[str, FloatArray] = {}
    for name in ItemParameters._fields:
        if name in ASYMPTOTES and name not in posterior:
            found[name] = np.broadcast_to(np.float64(ASYMPTOTES[name]), found[DIFFICULTY].shape)
            continue
        draws, labels = draws_of(posterior, name, ITEM)
        found[name] = draws[evenly_spaced(len(draws), most)].astype(np.float64)
    return ItemParameters(**found), labels


def draws_of(posterior: xr.Dataset, name: str, dim: str) -> tuple[npt.NDArray[np.floating], pd.Index]:
    """Draws of one parameter, shape (draw, model or item), chains joined, and the labels.

    Raises
    ------
    AnalysisError
        If the parameter is missing, has other dimensions or no labels, or is not finite.
    """
    if name not in posterior:
        raise AnalysisError(
            f"the posterior has no {name!r}; it has {', '.join(map(str, posterior.data_vars)) or 'none'}."
        )
    values = posterior[name]
    if set(values.dims) != {CHAIN, DRAW, dim} or dim not in values.coords:
        raise AnalysisError(
            f"{name} has dimensions {values.dims}; ({CHAIN!r}, {DRAW!r}, {dim!r}) with labels are needed."
        )
    labels = pd.Index(values[dim].to_index()).rename(dim)
    _refuse_doubled(labels, dim, "the fit")
    draws = values.transpose(CHAIN, DRAW, dim).to_numpy().reshape(-1, len(labels))
    finite = np.isfinite(draws).all(axis=0)
    if not finite.all() or not draws.size:
        first = f"; first: {dim} {labels[int(finite.argmin())]!r}" if draws.size else f": there are {draws.shape}"
        raise AnalysisError(f"draws of {name} are missing or not finite{first}. Check the fit's convergence.")
    return draws, labels


def thin(items: ItemParameters, most: int) -> ItemParameters:
    """Keep at most `most` evenly spaced draws, shifted to the mean slope and intercept of all draws.

    Ability given the items is linear in these to first order, so its mean over the kept draws is that over all draws.
    """
    places = evenly_spaced(len(items.difficulty), most)
    if len(places) == len(items.difficulty):
        return items
    every, kept = items.discrimination * items.difficulty, items.at(places)
    mean = kept.discrimination.mean(axis=0)
    slope = kept.discrimination * np.divide(
        items.discrimination.mean(axis=0), mean, out=np.ones_like(mean), where=mean != 0
    )
    intercept = every[places] + (every.mean(axis=0) - every[places].mean(axis=0))
    difficulty = np.divide(intercept, slope, out=kept.difficulty.copy(), where=slope != 0)
    return kept._replace(difficulty=difficulty, discrimination=slope)


def evenly_spaced(n: int, most: int) -> npt.NDArray[np.intp]:
    """Positions of at most `most` of n rows, evenly spaced."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.intp)


def positions_of(wanted: pd.Index, labels: pd.Index, what: str, left: str, right: str) -> npt.NDArray[np.intp]:
    """Find the positions in `labels` (of `right`) of all `wanted` labels (of `left`).

    Raises
    ------
    AnalysisError
        If one is missing, or a label occurs twice.
    """
    labels, wanted = labels.astype("str"), wanted.astype("str")
    _refuse_doubled(labels, what, right)
    positions = labels.get_indexer(wanted)
    if (positions < 0).any():
        raise AnalysisError(
            f"{int((positions < 0).sum())} of the {len(wanted)} {what}s of {left} are not among the {len(labels)} of "
            f"{right}; first: {wanted[int((positions < 0).argmax())]!r}. Take both from the same fit."
        )
    return np.asarray(positions, dtype=np.intp)


def _refuse_doubled(labels: pd.Index, what: str, where: str) -> None:
    if not labels.is_unique:
        first = labels[labels.duplicated()][0]
        raise AnalysisError(f"{what} {first!r} occurs twice in {where}; labels must be unique.")


def match_labels(labels: pd.Index, wanted: pd.Index, what: str, left: str, right: str) -> npt.NDArray[np.intp]:
    """Find the positions in `labels` (of `left`) of the `wanted` labels (of `right`), where both have the same labels.

    Raises
    ------
    AnalysisError
        If a label is in only one of them or occurs twice.
    """
    labels, wanted = labels.astype("str"), wanted.astype("str")
    positions = labels.get_indexer(wanted) if labels.is_unique else np.full(len(wanted), -1)
    if (positions < 0).any() or len(labels) != len(wanted):
        lone = wanted.symmetric_difference(labels)
        first = f"first in only one of them: {lone[0]!r}" if len(lone) else "some occur twice"
        raise AnalysisError(
            f"{left} has {len(labels)} {what}s, {right} {len(wanted)}; {first}. Take both from the same fit."
        )
    return np.asarray(positions, dtype=np.intp)
