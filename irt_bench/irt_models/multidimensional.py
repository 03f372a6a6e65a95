"""Two-parameter models with several abilities per model: exploratory, confirmatory and bifactor.

logit P = sum_d a_id theta_md + d_i, in the logistic metric (D = 1) as in mirt: ``loading`` a_id in logits per standard
deviation of ability d, ``intercept`` d_i. Abilities are N(0, R), which fixes location and scale; R is the identity
(exploratory, bifactor) or learned (confirmatory). Which loadings there are is known but for `MultidimensionalTwoPL`,
whose abilities may be rotated: draws are turned towards one another, and all of them by a rotation towards simple
structure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, ClassVar, Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
import xarray as xr
from scipy.special import expit

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.errors import ModelError, unknown_choice
from irt_bench.irt_models.model import HalfNormal, Hierarchical, Normal, field_from_dict

LOADING_PRIOR: Final = Hierarchical(Normal(0.0, 1.0), HalfNormal(1.0))
INTERCEPT_PRIOR: Final = Hierarchical(Normal(0.0, 2.0), HalfNormal(2.0))
GENERAL: Final = "general"
SEPARATOR: Final = ";"  # between the dimensions of one item
MAX_DIMENSIONS: Final = 20  # of the exploratory model; beyond, no matrix at hand shows any
Rotation = Literal["varimax", "oblimin", "none"]
ALIGNMENTS: Final = 5  # rounds of turning draws to their mean
VARIMAX_STEPS: Final = 500
VARIMAX_TOLERANCE: Final = 1e-8


class Slots(NamedTuple):
    """Which dimensions each item loads on."""

    # (slot, item): position of the dimension; the number of dimensions where an item has fewer than others
    dimension: npt.NDArray[np.intp]
    n_dims: int  # number of dimensions

    @classmethod
    def from_pattern(cls, pattern: npt.NDArray[np.bool_]) -> Slots:
        """Read off a pattern of shape (item, dimension)."""
        n_items, n_dims = pattern.shape
        most = int(pattern.sum(axis=1).max(initial=1))
        order = np.argsort(~pattern, axis=1, kind="stable")[:, :most]
        used = np.arange(most) < pattern.sum(axis=1)[:, None]
        return cls(np.where(used, order, n_dims).T, n_dims)


@cache
def item_slots(model: Multidimensional, n_items: int) -> Slots:
    """Give the slots of a model's items; looked up at every evaluation."""
    return Slots.from_pattern(model.pattern(n_items))


@dataclass(frozen=True, kw_only=True)
class Multidimensional:
    """Fields and sites shared by the models with several abilities.

    Parameters
    ----------
    loading : Hierarchical
        Prior of the loadings on a dimension: their mean and sd over items are learned, for each dimension.
    intercept : Hierarchical
        Prior of the intercepts, likewise.
    """

    name: ClassVar[str] = ""
    measures: ClassVar[tuple[str, ...]] = ("correct",)
    rotates: ClassVar[bool] = False  # whether any rotation of the abilities is as good as another
    correlated: ClassVar[bool] = False  # whether correlations of abilities are learned
    is_approximated: ClassVar[bool] = True  # by the fast method
    loading: Hierarchical = LOADING_PRIOR
    intercept: Hierarchical = INTERCEPT_PRIOR

    @property
    def oblique(self) -> bool:
        """Whether abilities come to be correlated by rotation."""
        return False

    @property
    def dimension_names(self) -> list[str]:
        """What the dimensions are called."""
        raise NotImplementedError

    def pattern(self, n_items: int) -> npt.NDArray[np.bool_]:
        """Which loadings there are, (item, dimension)."""
        raise NotImplementedError

    def for_items(self, items: pd.DataFrame) -> Multidimensional:
        """Read the dimensions of each item off the items' columns or labels."""
        return self

    def expected_score(self, parameters: Mapping[str, Any], ability: Any) -> Any:
        """Chance of a right answer, (..., model, item), from loadings (..., item, dimension) and intercepts."""
        loading = np.swapaxes(np.asarray(parameters[names.LOADING]), -1, -2)
        return expit(np.asarray(ability) @ loading + np.asarray(parameters[names.INTERCEPT])[..., None, :])

    def item_labels(self, n_items: int) -> list[Any] | None:
        """Dimensions that not all items have, by item, joined by ";"; None where all load on all."""
        if self.rotates:
            return None
        pattern, labels = self.pattern(n_items), np.array(self.dimension_names)
        own = ~pattern.all(axis=0)
        return [SEPARATOR.join(labels[own & row]) or pd.NA for row in pattern]

    def program(self, data: Any) -> None:
        """Pyro program of the model: see `irt_bench.irt_models.program.multidimensional_program`."""
        from irt_bench.irt_models.program import multidimensional_program  # noqa: PLC0415 - torch takes seconds

        multidimensional_program(self, data)

    def oriented(self, posterior: xr.Dataset) -> xr.Dataset:
        """Give draws of one frame: rotated towards each other, signs such that most loadings are positive; labelled.

        Parameters
        ----------
        posterior : xr.Dataset
            Sites as the program has them: ``ability`` (chain, draw, dimension, model), ``loading`` (chain, draw,
            dimension, item).

        Returns
        -------
        xr.Dataset
            ``ability`` (chain, draw, model, dimension), ``loading`` (chain, draw, item, dimension), ``intercept``
            (chain, draw, item) and, where learned, ``ability_correlation`` (chain, draw, dimension, other_dimension).
        """
        lead = (names.CHAIN, names.DRAW)
        ability = posterior[names.ABILITY].transpose(*lead, names.MODEL, names.DIMENSION)
        loading = posterior[names.LOADING].transpose(*lead, names.ITEM, names.DIMENSION)
        turn = self._turns(loading.to_numpy().reshape(-1, *loading.shape[2:]))
        turn = turn.reshape(*loading.shape[:2], *turn.shape[1:]).astype(loading.dtype)
        coords = {names.DIMENSION: np.asarray(self.dimension_names, dtype=str)}
        back = np.swapaxes(np.linalg.inv(turn), -1, -2) if self.oblique else turn  # keeps the log-odds
        turned = (ability.dims, ability.to_numpy() @ back), (loading.dims, loading.to_numpy() @ turn)
        found = posterior[[names.INTERCEPT]].assign(dict(zip((names.ABILITY, names.LOADING), turned, strict=True)))
        if self.oblique or names.ABILITY_CORRELATION in posterior:
            known = np.eye(turn.shape[-1]) if self.oblique else posterior[names.ABILITY_CORRELATION].to_numpy()
            dims = (*lead, names.DIMENSION, names.OTHER_DIMENSION)
            found[names.ABILITY_CORRELATION] = dims, np.swapaxes(back, -1, -2) @ known @ back
            coords[names.OTHER_DIMENSION] = coords[names.DIMENSION]
        return found.assign_coords({**{name: posterior[name] for name in posterior.coords}, **coords})

    def _turns(self, loading: Array) -> Array:
        """Rotations or reflections for draws of loadings, (draw, item, dimension) → (draw, dimension, dimension)."""
        reference = loading[0]
        for _ in range(ALIGNMENTS):
            signs = np.where((loading * reference).sum(axis=1) < 0, -1.0, 1.0)
            reference = (loading * signs[:, None]).mean(axis=0)
        signs = signs * np.where(reference.sum(axis=0) < 0, -1.0, 1.0)
        return np.asarray(signs[:, :, None] * np.eye(loading.shape[-1]))

    def to_dict(self) -> dict[str, Any]:
        """Name and priors as plain values."""
        return {"name": self.name, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class MultidimensionalTwoPL(Multidimensional):
    """Several abilities, with loadings of every item on all of them (exploratory).

    Parameters
    ----------
    dimensions : int, optional
        How many; by default as many as predict held-out answers better than fewer do.
    rotation : {"varimax", "oblimin", "none"}
        "varimax" and "oblimin" rotate towards loadings that are large or near zero, with uncorrelated abilities or with
        correlated ones, whose ``ability_correlation`` is among the draws; "none" keeps the principal axes of the
        loadings. Dimensions are in the order of their squared loadings, and most loadings are positive.

    Examples
    --------
    >>> from irt_bench import MultidimensionalTwoPL
    >>> MultidimensionalTwoPL(dimensions=2).dimension_names
    ['dim_1', 'dim_2']
    """

    name: ClassVar[str] = "m2pl"
    rotates: ClassVar[bool] = True
    dimensions: int | None = None
    rotation: Rotation = "varimax"

    def __post_init__(self) -> None:
        if self.dimensions is not None and not 1 <= self.dimensions <= MAX_DIMENSIONS:
            raise ModelError(f"dimensions is {self.dimensions!r}; 1 to {MAX_DIMENSIONS}, or None, are needed.")
        if self.rotation not in get_args(Rotation):
            raise ModelError(unknown_choice("rotation", self.rotation, get_args(Rotation)))

    @property
    def oblique(self) -> bool:
        """Only by oblimin."""
        return self.rotation == "oblimin"

    @property
    def dimension_names(self) -> list[str]:
        """Numbers; the loadings show what the dimensions mean."""
        if self.dimensions is None:
            raise ModelError("the number of dimensions is chosen when the model is fitted.")
        return [f"dim_{number}" for number in range(1, self.dimensions + 1)]

    def pattern(self, n_items: int) -> npt.NDArray[np.bool_]:
        """All loadings."""
        return np.ones((n_items, len(self.dimension_names)), dtype=bool)

    def _turns(self, loading: Array) -> Array:
        turn, reference = _turned_together(np.asarray(loading, dtype=np.float64))
        rotation = np.linalg.eigh(reference.T @ reference)[1] if self.rotation == "none" else varimax(reference)
        rotation = rotation @ oblimin(reference @ rotation) if self.oblique else rotation
        rotated = reference @ rotation
        order = np.argsort(-(rotated**2).sum(axis=0), kind="stable")
        signs = np.where(rotated.sum(axis=0) < 0, -1.0, 1.0)
        chosen = (rotation * signs)[:, order]
        return _towards(loading @ turn, reference @ chosen, turn) if self.oblique else np.asarray(turn @ chosen)


def _towards(loading: Array, target: Array, turn: Array) -> Array:
    """Carry on rotations, each draw by least squares towards one target, abilities of unit variance."""
    gram = np.swapaxes(loading, 1, 2)
    axes = np.swapaxes(np.linalg.inv(np.linalg.solve(gram @ loading, gram @ target)), 1, 2)
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    return np.asarray(turn @ np.swapaxes(np.linalg.inv(axes), 1, 2))


def _turned_together(loading: Array) -> tuple[Array, Array]:
    """Rotate draws towards their mean (generalised Procrustes, Gower 1975): rotations, and that mean."""
    reference = loading[0]
    for _ in range(ALIGNMENTS):
        left, _, right = np.linalg.svd(np.swapaxes(loading, 1, 2) @ reference)
        turn = left @ right
        reference = np.einsum("kid,kde->ie", loading, turn, optimize=True) / len(loading)
    return turn, reference


def varimax(loading: Array) -> Array:
    """Rotation that makes the squares of the loadings vary most within dimensions, (dimension, dimension).

    Notes
    -----
    Raw varimax [1]_ by successive singular value decompositions [2]_.

    References
    ----------
    .. [1] Kaiser, The varimax criterion for analytic rotation in factor analysis, 1958, DOI 10.1007/BF02289233.
    .. [2] Jennrich, A simple general procedure for orthogonal rotation, 2001, DOI 10.1007/BF02294840.
    """
    n_items, n_dims = loading.shape
    rotation, last = np.eye(n_dims), 0.0
    for _ in range(VARIMAX_STEPS):
        rotated = loading @ rotation
        slope = rotated * (rotated**2 - (rotated**2).mean(axis=0))
        left, size, right = np.linalg.svd(loading.T @ slope)
        rotation = left @ right
        if size.sum() < last * (1 + VARIMAX_TOLERANCE):
            break
        last = size.sum()
    return np.asarray(rotation)


def oblimin(loading: Array) -> Array:
    """Transform loadings so that they are large on few dimensions, whose abilities may correlate.

    Notes
    -----
    Direct quartimin [1]_, which is oblimin with gamma 0: the matrix M of the loadings A M minimises the products of
    squared loadings on two dimensions; abilities turned by T, the transposed inverse of M, have the correlations T'T.

    References
    ----------
    .. [1] Jennrich, Sampson, Rotation for simple loadings, 1966, DOI 10.1007/BF02289465.
    """
    n_dims = loading.shape[1]

    def unit(values: Array) -> Array:
        axes = values.reshape(n_dims, n_dims)
        return np.asarray(axes / np.linalg.norm(axes, axis=0))

    def crossed(values: Array) -> float:
        squares = (loading @ np.linalg.inv(unit(values)).T) ** 2
        return float((squares.sum(axis=1) ** 2 - (squares**2).sum(axis=1)).mean())

    return np.asarray(np.linalg.inv(unit(scipy.optimize.minimize(crossed, np.eye(n_dims).ravel()).x)).T)


@dataclass(frozen=True, kw_only=True)
class ConfirmatoryTwoPL(Multidimensional):
    """Several correlated abilities, each with known items (confirmatory).

    Parameters
    ----------
    dimensions : str, mapping or sequence
        Column of the items that names the dimension of each, or several joined by ";"; dimension → labels of its items;
        or the names of each item's dimensions, in the order of the responses.

    Examples
    --------
    >>> from irt_bench import ConfirmatoryTwoPL
    >>> model = ConfirmatoryTwoPL(dimensions=(("algebra",), ("algebra", "geometry"), ("geometry",)))
    >>> model.dimension_names
    ['algebra', 'geometry']
    >>> model.pattern(3).astype(int).tolist()
    [[1, 0], [1, 1], [0, 1]]
    """

    name: ClassVar[str] = "confirmatory"
    correlated: ClassVar[bool] = True
    dimensions: str | Mapping[str, Sequence[str]] | tuple[tuple[str, ...], ...]

    def for_items(self, items: pd.DataFrame) -> ConfirmatoryTwoPL:
        """Name the dimensions of each item.

        Raises
        ------
        ModelError
            If the column or an item is not there, or an item has no dimension.
        """
        given = self.dimensions
        if isinstance(given, str):
            of_items = [tuple(part.strip() for part in text.split(SEPARATOR)) for text in _labels(items, given)]
        elif isinstance(given, Mapping):
            known = items.index.astype(str)
            for dimension, members in given.items():
                for item in members:
                    if str(item) not in known:
                        raise ModelError(f"dimension {dimension!r}: {unknown_choice('item', str(item), known)}")
            sets = {dimension: set(map(str, members)) for dimension, members in given.items()}
            of_items = [tuple(name for name, members in sets.items() if item in members) for item in known]
        else:
            of_items = list(given)
        made = replace(self, dimensions=tuple(of_items))
        made.pattern(len(items))
        return made

    @property
    def dimension_names(self) -> list[str]:
        """In the order in which items name them."""
        return list(dict.fromkeys(name for of_item in self._of_items for name in of_item))

    @property
    def _of_items(self) -> tuple[tuple[str, ...], ...]:
        if isinstance(self.dimensions, str | Mapping):
            raise ModelError("the dimensions of the items are read when the model is fitted.")
        return self.dimensions

    def pattern(self, n_items: int) -> npt.NDArray[np.bool_]:
        """Each item on its dimensions.

        Raises
        ------
        ModelError
            If these are of other items, or an item has none.
        """
        of_items = self._of_items
        if len(of_items) != n_items:
            raise ModelError(f"dimensions are given for {len(of_items)} items, and there are {n_items}.")
        dimension_names = self.dimension_names
        found = np.array([[name in of_item for name in dimension_names] for of_item in of_items])
        if not found.any(axis=1).all():
            lone = int(found.any(axis=1).argmin())
            raise ModelError(f"item number {lone + 1} has no dimension; each item needs one or more.")
        return found


@dataclass(frozen=True, kw_only=True)
class BifactorTwoPL(Multidimensional):
    """A general ability and one for each group of items, such as subtasks, templates, passages or benchmarks.

    Parameters
    ----------
    groups : str or sequence of str
        Column of the items that names the group of each, or the groups in the order of the responses; an item without a
        group (missing, "") depends on the general ability alone.

    Examples
    --------
    >>> from irt_bench import BifactorTwoPL
    >>> BifactorTwoPL(groups=("passage-1", "passage-1", "", "passage-2")).dimension_names
    ['general', 'passage-1', 'passage-2']
    """

    name: ClassVar[str] = "bifactor"
    groups: str | tuple[str, ...]

    def for_items(self, items: pd.DataFrame) -> BifactorTwoPL:
        """Name the group of each item.

        Raises
        ------
        ModelError
            If the column is not there, or no group has two items.
        """
        groups = tuple(_labels(items, self.groups, missing="")) if isinstance(self.groups, str) else self.groups
        sizes = pd.Series([group for group in groups if group]).value_counts()
        if not (sizes > 1).any():
            raise ModelError(f"{len(sizes)} groups of items, none with two items; a group's ability needs two or more.")
        return replace(self, groups=tuple(map(str, groups)))

    @property
    def dimension_names(self) -> list[str]:
        """The general ability, then the groups as items name them."""
        if isinstance(self.groups, str):
            raise ModelError("the groups of the items are read when the model is fitted.")
        return [GENERAL, *dict.fromkeys(group for group in self.groups if group)]

    def pattern(self, n_items: int) -> npt.NDArray[np.bool_]:
        """Each item on the general ability and on that of its group."""
        if len(self.groups) != n_items:
            raise ModelError(f"groups are given for {len(self.groups)} items, and there are {n_items}.")
        return np.array([[name in (GENERAL, group) for name in self.dimension_names] for group in self.groups])


def draw_profiles(
    irt_model: Multidimensional,
    models: pd.Index,
    items: pd.Index,
    rng: np.random.Generator,
    given: Mapping[str, npt.ArrayLike],
    population: Mapping[str, float],
) -> xr.Dataset:
    """Draw abilities, loadings and intercepts; those given, correlations among them, take their place.

    Raises
    ------
    ModelError
        If what is given is of another shape.
    """
    pattern = irt_model.pattern(len(items))
    labels = {names.MODEL: models.to_numpy(dtype=object), names.ITEM: items.to_numpy(dtype=object)}
    for dim in (names.DIMENSION, names.OTHER_DIMENSION):
        labels[dim] = np.array(irt_model.dimension_names, dtype=object)
    dims = {
        names.ABILITY: (names.MODEL, names.DIMENSION),
        names.LOADING: (names.ITEM, names.DIMENSION),
        names.INTERCEPT: (names.ITEM,),
        names.ABILITY_CORRELATION: (names.DIMENSION, names.OTHER_DIMENSION),
    }
    shapes = {name: tuple(len(labels[dim]) for dim in own) for name, own in dims.items()}
    for name, value in given.items():
        if np.shape(value) != shapes.get(name):
            raise ModelError(f"{name} has shape {np.shape(value)}; one of {shapes} is needed.")
    streams = rng.spawn(3)
    correlation = np.asarray(given.get(names.ABILITY_CORRELATION, np.eye(pattern.shape[1])), dtype=np.float64)
    loading = streams[1].normal(population["loading_mean"], population["loading_sd"], shapes[names.LOADING])
    values = {
        names.ABILITY: streams[0].standard_normal(shapes[names.ABILITY]) @ np.linalg.cholesky(correlation).T,
        names.LOADING: np.where(pattern, loading, 0.0),
        names.INTERCEPT: streams[2].normal(population["intercept_mean"], population["intercept_sd"], len(items)),
        **({names.ABILITY_CORRELATION: correlation} if irt_model.correlated else {}),
    }
    values |= {name: np.asarray(value, dtype=np.float64) for name, value in given.items()}
    return xr.Dataset({name: (dims[name], value) for name, value in values.items()}, coords=labels)


MULTIDIMENSIONAL_MODELS: Final[Mapping[str, type[Multidimensional]]] = {
    kind.name: kind for kind in (MultidimensionalTwoPL, ConfirmatoryTwoPL, BifactorTwoPL)
}


def multidimensional_from_dict(fields: Mapping[str, Any]) -> Multidimensional | None:
    """Rebuild a model from `to_dict` (JSON included); None where it is another."""
    if fields["name"] not in MULTIDIMENSIONAL_MODELS:
        return None
    kind = MULTIDIMENSIONAL_MODELS[fields["name"]]
    return kind(**{key: field_from_dict(value) for key, value in fields.items() if key != "name"})


def _labels(items: pd.DataFrame, column: str, missing: str | None = None) -> list[str]:
    """Values of an item column as text."""
    if column not in items:
        raise ModelError(unknown_choice("item column", column, items.columns))
    values = items[column]
    if values.isna().any() and missing is None:
        raise ModelError(f"item {values.index[values.isna()][0]!r} has no value in column {column!r}; all need one.")
    return list(values.astype(object).where(values.notna(), missing).astype(str))
