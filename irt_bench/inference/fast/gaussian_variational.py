"""Gaussian variational inference for logistic models with several abilities per model, and draws from its result.

logit P = sum_d a_id theta_md + d_i. Each model's abilities and each item's (loadings, intercept) have a normal
distribution of their own; a cell's log-odds are then close to normal, too, and the expected likelihood and its slopes
are one-dimensional integrals, one per cell. Everything else is a product of matrices. As in Cho, Wang, Zhang & Xu 2021
(doi:10.1111/bmsp.12219), with quadrature in place of their bound, and items that are not known either.

After every sweep abilities and items move together so that abilities have mean 0 and covariance as their prior says
(parameter expansion, Liu, Rubin & Wu 1998). What factors leave out comes back at the end: to first order what one side
does not know about the other, and exactly the location, scale and correlation that all of them share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import prange

from irt_bench.arrays import Array
from irt_bench.inference.fast.ability_updates import standard_normals
from irt_bench.inference.fast.sweep_numba import _sigmoid, compiled
from irt_bench.irt_models.model import Hierarchical
from irt_bench.irt_models.multidimensional import Multidimensional
from irt_bench.workers import Progress

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(5)  # the middle node is 0
NEAR, FAR = (np.float32(x) for x in NODES[3:])
SHARE0, SHARE1, SHARE2 = (np.float32(x) for x in WEIGHTS[2:] / WEIGHTS.sum())
BLOCK: Final = 4_000_000  # cells at once
MIN_VARIANCE: Final = np.float32(1e-9)
MAX_LOST: Final = np.float32(0.9)  # of an answer's information
MIN_SD: Final = 0.02  # of intercepts over items, and of loadings that may be rotated: below, a dimension is gone
LEAST_SPREAD: Final = 0.02  # of other loadings, in their prior's scale: factors take few answers for alike items
MAX_STEP: Final = 1.5  # of a coefficient in one sweep
START_LOADING: Final = 0.5
LOGISTIC_SD: Final = 1.7  # of the logistic distribution, as of a normal one of like slope


class ItemGroup(NamedTuple):
    """Items that load on the same dimensions."""

    items: npt.NDArray[np.intp]  # (item of the group,): their positions
    dims: npt.NDArray[np.intp]  # (k,): the dimensions


def item_groups(pattern: npt.NDArray[np.bool_]) -> list[ItemGroup]:
    """Group items, (item, dimension), by the dimensions that they load on."""
    rows, of = np.unique(pattern, axis=0, return_inverse=True)
    return [ItemGroup(np.flatnonzero(of.ravel() == at), np.flatnonzero(row)) for at, row in enumerate(rows)]


@dataclass
class Factors:
    """Normal distributions of abilities and items, and the population that they come from."""

    # (model, dimension), (model, dimension, dimension): means and covariances
    ability: Array
    ability_cov: Array
    coefficient: Array  # (item, dimension + 1): means of loadings, 0 where there is none, and intercepts
    item_cov: list[Array]  # by group, (item of a group, k + 1, k + 1): covariances
    correlation: Array  # (dimension, dimension): of abilities over models
    # (dimension + 1,), (dimension + 1, dimension + 1): of loadings and intercepts over items
    prior_mean: Array
    prior_cov: Array
    location: Array | None = None  # (dimension,): mean of the abilities' population; by default 0


@dataclass(frozen=True)
class DimensionalState:
    """One value of everything in each of several draws or chains."""

    ability: Array  # (draw, model, dimension)
    coefficient: Array  # (draw, item, dimension + 1): loadings, 0 where there is none, and intercepts
    # (draw, dimension + 1): of loadings and intercepts over items
    mean: Array
    sd: Array
    correlation: Array  # (draw, dimension, dimension)

    def part(self, chains: slice) -> DimensionalState:
        """Take some chains."""
        return DimensionalState(**{name: values[chains] for name, values in vars(self).items()})


@compiled(parallel=True, fastmath=True)
def _expected(z: Any, v: Any, right: Any, trials: Any) -> None:
    """Replace log-odds z, of variance v, by the expected residual, and v by the expected information; (row, column)."""
    for row in prange(z.shape[0]):
        for j in range(z.shape[1]):
            n, middle, sd = np.float32(trials[row, j]), z[row, j], np.sqrt(v[row, j])
            near, far = NEAR * sd, FAR * sd
            p0, p1, p2 = _sigmoid(middle), _sigmoid(middle - near), _sigmoid(middle + near)
            p3, p4 = _sigmoid(middle - far), _sigmoid(middle + far)
            p = SHARE0 * p0 + SHARE1 * (p1 + p2) + SHARE2 * (p3 + p4)
            s = SHARE0 * p0 * p0 + SHARE1 * (p1 * p1 + p2 * p2) + SHARE2 * (p3 * p3 + p4 * p4)
            z[row, j] = np.float32(right[row, j]) - n * p
            v[row, j] = n * (p - s)


def single(values: Array) -> Array:
    """Round to single precision, rows in memory."""
    return np.ascontiguousarray(values, dtype=np.float32)


def flatten(matrices: Array, off_diagonal: float = 1.0) -> Array:
    """Upper triangles of symmetric matrices, (..., k, k), entries off the diagonal times a number."""
    row, column = np.triu_indices(matrices.shape[-1])
    return matrices[..., row, column] * np.where(row == column, 1.0, off_diagonal)


def symmetric(flat: Array, k: int) -> Array:
    """Symmetric matrices, (..., k, k), from their upper triangles."""
    row, column = np.triu_indices(k)
    found = np.empty((*flat.shape[:-1], k, k))
    found[..., row, column] = flat
    found[..., column, row] = flat
    return found


def outer(values: Array) -> Array:
    """Multiply vectors by themselves, (..., k) → (..., k, k)."""
    return values[..., :, None] * values[..., None, :]


class GroupCells:
    """Answers to the items of a group, and the sums over them that updates need."""

    def __init__(self, group: ItemGroup, correct: Array, trials: Array) -> None:
        self.items, self.dims = group
        self.columns = np.append(group.dims, -1)  # of coefficients
        self._right, self._trials = (np.ascontiguousarray(each[:, group.items]) for each in (correct, trials))
        size = max(BLOCK // max(len(group.items), 1), 1)
        self._blocks = [slice(at, at + size) for at in range(0, len(correct), size)]

    def _expect(self, rows: slice, factors: Factors, item_cov: Array) -> tuple[Array, Array]:
        """Give expected residuals and information, (model, item) each, in single precision."""
        return self._integrate(rows, factors, item_cov, self._right[rows], self._trials[rows])

    def chances(self, factors: Factors, item_cov: Array) -> Array:
        """Give the expected chance of a right answer of every model to the group's items, (model, item)."""
        found = []
        for rows in self._blocks:
            wrong = np.zeros(self._right[rows].shape, np.int8)
            residual, _ = self._integrate(rows, factors, item_cov, wrong, wrong + np.int8(1))
            found.append(-residual)
        return np.concatenate(found)

    def _integrate(
        self, rows: slice, factors: Factors, item_cov: Array, right: Array, trials: Array
    ) -> tuple[Array, Array]:
        """Integrate over normal log-odds."""
        coefficient = factors.coefficient[np.ix_(self.items, self.columns)]
        cov, x = self._moments(rows, factors)
        z = single(x) @ single(coefficient).T
        weighted = np.hstack([flatten(cov, 2.0), flatten(outer(x), 2.0)])
        v = single(weighted) @ self._item_moments(coefficient, item_cov).T
        np.maximum(v, MIN_VARIANCE, out=v)
        _expected(z, v, right, trials)
        return z, v

    def _moments(self, rows: slice, factors: Factors) -> tuple[Array, Array]:
        """Covariances of the abilities of some models, and their means with a one behind."""
        mean = factors.ability[rows][:, self.dims]
        cov = factors.ability_cov[rows][:, self.dims[:, None], self.dims]
        return cov, np.column_stack([mean, np.ones(len(mean))])

    @staticmethod
    def _item_moments(coefficient: Array, item_cov: Array) -> Array:
        """Give expected products of loadings, and covariances, a row an item."""
        products = outer(coefficient[:, :-1]) + item_cov[:, :-1, :-1]
        return single(np.hstack([flatten(products), flatten(item_cov)]))

    def add_to_models(self, factors: Factors, item_cov: Array, gradient: Array, precision: Array) -> None:
        """Add what answers say about abilities: slopes, (model, dimension), and information."""
        k = len(self.dims)
        coefficient = factors.coefficient[np.ix_(self.items, self.columns)]
        right = self._item_moments(coefficient, item_cov)
        for rows in self._blocks:
            residual, weight = self._expect(rows, factors, item_cov)
            sums = (weight @ right).astype(np.float64)
            spread = symmetric(sums[:, k * (k + 1) // 2 :], k + 1)
            x = self._moments(rows, factors)[1]
            pull = residual @ single(coefficient[:, :-1]) - np.einsum("mpq,mq->mp", spread, x)[:, :-1]
            gradient[rows, self.dims] += pull
            precision[rows][:, self.dims[:, None], self.dims] += symmetric(sums[:, : k * (k + 1) // 2], k)

    def item_sums(self, factors: Factors, item_cov: Array) -> tuple[Array, Array]:
        """Slopes in the items' coefficients, (item, k + 1), and information about them, (item, k + 1, k + 1)."""
        k = len(self.dims)
        coefficient = factors.coefficient[np.ix_(self.items, self.columns)]
        gradient, sums = np.zeros(coefficient.shape), np.zeros(1)
        for rows in self._blocks:
            residual, weight = self._expect(rows, factors, item_cov)
            cov, x = self._moments(rows, factors)
            sums = sums + (weight.T @ single(np.hstack([flatten(outer(x)), flatten(cov)]))).astype(np.float64)
            gradient += residual.T @ single(x)
        wide = (k + 1) * (k + 2) // 2
        spread = symmetric(sums[:, wide:], k)
        gradient[:, :-1] -= np.einsum("ipq,iq->ip", spread, coefficient[:, :-1])
        precision = symmetric(sums[:, :wide], k + 1)
        precision[:, :-1, :-1] += spread
        return gradient, precision

    def lost_information(self, factors: Factors, item_cov: Array) -> tuple[Array, Array]:
        """Information that not knowing the other side costs, to first order.

        About abilities, (model, k, k), and about coefficients, (item, k + 1, k + 1).
        """
        k = len(self.dims)
        loading = factors.coefficient[np.ix_(self.items, self.dims)]
        squares, by_model, by_item = single(flatten(outer(loading))), [], 0.0
        for rows in self._blocks:
            _, weight = self._expect(rows, factors, item_cov)
            cov, x = self._moments(rows, factors)
            of_item = single(flatten(outer(x), 2.0)) @ single(flatten(item_cov)).T
            of_model = single(flatten(cov, 2.0)) @ squares.T
            by_model.append((weight * np.minimum(weight * of_item, MAX_LOST)) @ squares)
            lost = weight * np.minimum(weight * of_model, MAX_LOST)
            by_item = by_item + (lost.T @ single(flatten(outer(x)))).astype(np.float64)
        return symmetric(np.concatenate(by_model).astype(np.float64), k), symmetric(np.asarray(by_item), k + 1)


def update_models(factors: Factors, cells: list[GroupCells]) -> None:
    """One Newton step of every model's abilities."""
    prior = np.linalg.inv(factors.correlation)
    gradient = -(factors.ability if factors.location is None else factors.ability - factors.location) @ prior
    precision = np.broadcast_to(prior, factors.ability_cov.shape).copy()
    for each, item_cov in zip(cells, factors.item_cov, strict=True):
        each.add_to_models(factors, item_cov, gradient, precision)
    factors.ability_cov = np.linalg.inv(precision)
    step = np.einsum("mde,me->md", factors.ability_cov, gradient)
    factors.ability = factors.ability + np.clip(step, -MAX_STEP, MAX_STEP)


def update_group(factors: Factors, cells: GroupCells, at: int) -> None:
    """One Newton step of the loadings and intercepts of one group of items."""
    gradient, precision = cells.item_sums(factors, factors.item_cov[at])
    prior = np.linalg.inv(factors.prior_cov[np.ix_(cells.columns, cells.columns)])
    place, coefficient = np.ix_(cells.items, cells.columns), factors.coefficient.copy()
    gradient -= (coefficient[place] - factors.prior_mean[cells.columns]) @ prior
    factors.item_cov[at] = np.linalg.inv(precision + prior)
    step = np.einsum("ipq,iq->ip", factors.item_cov[at], gradient)
    coefficient[place] += np.clip(step, -MAX_STEP, MAX_STEP)
    factors.coefficient = coefficient


class GaussianVariational:
    """Factors that are updated in turn until they stand still.

    Parameters
    ----------
    irt_model : Multidimensional
        Priors, and what kind of frame leaves curves as they are.
    pattern : boolean array of shape (item, dimension)
        Which loadings there are.
    correct, trials : integer arrays of shape (model, item)
        Right answers and trials.
    least_spread : float
        Of loadings that cannot be rotated over items, in their prior's scale.
    """

    def __init__(
        self,
        irt_model: Multidimensional,
        pattern: Array,
        correct: Array,
        trials: Array,
        least_spread: float = LEAST_SPREAD,
    ) -> None:
        self.irt_model, self.pattern, self._least_spread = irt_model, pattern, least_spread
        self.cells = [GroupCells(group, correct, trials) for group in item_groups(pattern)]
        self.factors = start(pattern, correct, trials, rotates=irt_model.rotates)
        self.sweeps, self.change = 0, np.inf

    def optimise(self, *, tolerance: float, max_sweeps: int, progress: Progress | None = None) -> None:
        """Sweep until no coefficient moves by more than `tolerance`."""
        for _ in range(max_sweeps):
            before = self.factors.coefficient
            update_models(self.factors, self.cells)
            self.update_items()
            self.reframe()
            self.update_population()
            self.sweeps += 1
            self.change = float(np.abs(self.factors.coefficient - before).max())
            if progress is not None:
                progress("maximising", self.sweeps, max_sweeps)
            if self.change < tolerance:
                break
        if self.irt_model.rotates:  # loadings have a mean and an sd along each axis, uncorrelated
            axes = np.linalg.eigh(self.factors.prior_cov[:-1, :-1])[1][:, ::-1]
            self._move_models(axes)
            self._move_items(axes, np.zeros(len(axes)))
            self.update_population()

    def update_items(self) -> None:
        """One Newton step of every item's loadings and intercept."""
        for at, cells in enumerate(self.cells):
            update_group(self.factors, cells, at)

    def reframe(self) -> None:
        """Move abilities to mean 0 and the covariance of their prior, and items with them."""
        factors = self.factors
        mean = factors.ability.mean(axis=0)
        away = factors.ability - mean
        covariance = away.T @ away / len(away) + factors.ability_cov.mean(axis=0)
        root = frame_root(covariance, rotates=self.irt_model.rotates)
        if self.irt_model.correlated:
            factors.correlation = _correlation(covariance)
        factors.ability = away
        self._move_models(np.linalg.inv(root))
        self._move_items(root, mean)

    def _move_models(self, by: Array) -> None:
        factors = self.factors
        factors.ability = factors.ability @ by
        factors.ability_cov = by.T @ factors.ability_cov @ by

    def _move_items(self, root: Array, mean: Array) -> None:
        """Multiply loadings by `root`, and add to intercepts what `mean` abilities brought."""
        factors = self.factors
        move = np.zeros((len(root) + 1,) * 2)
        move[:-1, :-1], move[:-1, -1], move[-1, -1] = root, mean, 1.0
        factors.coefficient = factors.coefficient @ move
        for at, cells in enumerate(self.cells):
            part = move[np.ix_(cells.columns, cells.columns)]
            factors.item_cov[at] = part.T @ factors.item_cov[at] @ part

    def update_population(self) -> None:
        """Means and covariance of loadings and intercepts over items, at their mode."""
        factors, priors = self.factors, self.irt_model
        if priors.rotates:
            loading = factors.coefficient[:, :-1]
            mean = loading.mean(axis=0)
            squares = (loading - mean).T @ (loading - mean) + factors.item_cov[0][:, :-1, :-1].sum(axis=0)
            values, vectors = np.linalg.eigh(squares)
            values = _mode_of_variance(values, len(loading), priors.loading, MIN_SD)
            factors.prior_cov[:-1, :-1], factors.prior_mean[:-1] = (vectors * values) @ vectors.T, mean
        every = np.zeros(factors.coefficient.shape)
        for cells, item_cov in zip(self.cells, factors.item_cov, strict=True):
            every[np.ix_(cells.items, cells.columns)] = np.diagonal(item_cov, axis1=1, axis2=2)
        n_dims = self.pattern.shape[1]
        for column in range(n_dims if priors.rotates else 0, n_dims + 1):
            own = self.pattern[:, column] if column < n_dims else np.ones(len(self.pattern), dtype=bool)
            values, prior = factors.coefficient[own, column], priors.loading if column < n_dims else priors.intercept
            mean = _mode_of_mean(values, factors.prior_cov[column, column], prior)
            squares = np.sum((values - mean) ** 2 + every[own, column])
            factors.prior_mean[column] = mean
            low = self._least_spread * prior.sd.scale if column < n_dims else MIN_SD
            factors.prior_cov[column, column] = _mode_of_variance(squares, len(values), prior, low)

    def chances(self) -> Array:
        """Give the expected chance of a right answer in every cell, asked or not, (model, item)."""
        found = np.empty((len(self.factors.ability), len(self.pattern)), np.float32)
        for cells, item_cov in zip(self.cells, self.factors.item_cov, strict=True):
            found[:, cells.items] = cells.chances(self.factors, item_cov)
        return found

    def draw(self, rng: np.random.Generator, n_draws: int) -> DimensionalState:
        """Draw abilities, loadings, intercepts and the correlation of abilities, means and sds over items as they are.

        Notes
        -----
        Abilities and items vary by themselves, with what not knowing the other side adds, and all of them together by
        the location and covariance of the population: those of N(0, R) given so many models.
        """
        factors = self.factors
        by_model = np.linalg.inv(factors.ability_cov)
        coefficient = np.zeros((n_draws, *factors.coefficient.shape), np.float32)
        for cells, item_cov in zip(self.cells, factors.item_cov, strict=True):
            of_model, of_item = cells.lost_information(factors, item_cov)
            by_model[:, cells.dims[:, None], cells.dims] -= of_model
            noise = normal_draws(np.linalg.inv(item_cov) - of_item, n_draws, rng)
            noise += factors.coefficient[np.ix_(cells.items, cells.columns)].astype(np.float32)
            coefficient[:, cells.items[:, None], cells.columns] = noise
        ability = normal_draws(by_model, n_draws, rng) + factors.ability.astype(np.float32)
        return self._draw_population(ability, coefficient, rng)

    def _draw_population(self, ability: Array, coefficient: Array, rng: np.random.Generator) -> DimensionalState:
        """Draw location and covariance of the population given abilities, and measure by them."""
        n_draws, n_models, n_dims = ability.shape
        centre = ability.mean(axis=1, keepdims=True)
        away = (ability - centre).astype(np.float64)
        if self.irt_model.rotates or self.irt_model.correlated:
            covariance = inverse_wishart(np.swapaxes(away, 1, 2) @ away, n_models, rng)
        else:  # abilities that are known to be uncorrelated, however many
            variance = (away**2).sum(axis=1) / rng.chisquare(n_models, (n_draws, n_dims))
            covariance = variance[:, None] * np.eye(n_dims)
        root = frame_root(covariance, rotates=self.irt_model.rotates)
        shift = rng.standard_normal((n_draws, 1, n_dims)) @ np.swapaxes(np.linalg.cholesky(covariance), 1, 2)
        location = centre + shift / np.sqrt(n_models)
        loading, intercept = coefficient[..., :-1], coefficient[..., -1]
        intercept = intercept + (loading @ np.swapaxes(location, 1, 2))[..., 0]
        correlation = _correlation(covariance) if self.irt_model.correlated else np.eye(n_dims)
        return DimensionalState(
            ability=((away + (centre - location)) @ np.linalg.inv(root)).astype(np.float32),
            coefficient=np.concatenate([loading @ root, intercept[..., None]], axis=2).astype(np.float32),
            mean=np.tile(self.factors.prior_mean, (n_draws, 1)),
            sd=np.tile(np.sqrt(np.diagonal(self.factors.prior_cov)), (n_draws, 1)),
            correlation=np.broadcast_to(correlation, covariance.shape).astype(np.float32),
        )


def normal_draws(precision: Array, n_draws: int, rng: np.random.Generator) -> Array:
    """Draw from N(0, precision^-1), (unit, k, k) → (draw, unit, k)."""
    back = np.linalg.inv(np.linalg.cholesky(precision)).astype(np.float32)  # L^-1: x = L^-T z
    noise = standard_normals(rng, (n_draws, *precision.shape[:2]))
    return np.asarray(np.matmul(noise.transpose(1, 0, 2), back).transpose(1, 0, 2))


def inverse_wishart(scatter: Array, freedom: int, rng: np.random.Generator) -> Array:
    """Draw one covariance for each scatter matrix, (draw, k, k), by Bartlett's decomposition."""
    n_draws, k, _ = scatter.shape
    lower = np.tril(rng.standard_normal((n_draws, k, k)), -1)
    lower[:, np.arange(k), np.arange(k)] = np.sqrt(rng.chisquare(freedom - np.arange(k), (n_draws, k)))
    root = np.linalg.cholesky(scatter) @ np.linalg.inv(np.swapaxes(lower, 1, 2))
    return np.asarray(root @ np.swapaxes(root, 1, 2))


def _mode_of_mean(values: Array, variance: float, prior: Hierarchical) -> float:
    share = len(values) / (len(values) + variance / prior.mean.scale**2)
    return float(share * values.mean() + (1 - share) * prior.mean.loc)


def _mode_of_variance(squares: Any, n: int, prior: Hierarchical, least_sd: float) -> Any:
    """Mode of a variance under a half-normal prior of its root, given the sum of squares of n deviations; or more."""
    found = 2 * squares / (n + np.sqrt(n**2 + 4 * squares / prior.sd.scale**2))
    return np.maximum(found, least_sd**2)


def _correlation(covariance: Array) -> Array:
    sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    return np.asarray(covariance / (sd[..., :, None] * sd[..., None, :]))


def frame_root(covariance: Array, *, rotates: bool) -> Array:
    """Root of covariances, (..., dimension, dimension), that leaves loadings where they are; diagonal, or symmetric."""
    if not rotates:
        variance = np.diagonal(covariance, axis1=-2, axis2=-1)
        return np.asarray(np.sqrt(variance)[..., None] * np.eye(variance.shape[-1]))
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2))


def start(pattern: npt.NDArray[np.bool_], correct: Array, trials: Array, *, rotates: bool) -> Factors:
    """Begin at principal components of the answers, or at scores on the items of each dimension."""
    n_items, n_dims = pattern.shape
    asked = trials.sum(axis=0)
    share = (correct.sum(axis=0) + 0.5) / (asked + 1)
    residual = (correct - trials * share) / np.sqrt(np.maximum(trials, 1) * share * (1 - share))
    loading = np.where(pattern, START_LOADING, 0.0)
    if rotates:
        from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 - takes a second

        left, size, right = randomized_svd(residual, n_dims, random_state=0)
        ability = left * np.sqrt(len(left))
        correlation = np.clip((right * size[:, None]).T / np.sqrt(len(left)), -0.8, 0.8)
        loading = LOGISTIC_SD * correlation / np.sqrt(np.maximum(1 - (correlation**2).sum(axis=1), 0.3))[:, None]
    else:
        ability = np.zeros((len(correct), n_dims))
        for dim in np.argsort(-pattern.sum(axis=0), kind="stable"):  # the general one first
            score = residual[:, pattern[:, dim]].mean(axis=1)
            sd = score.std()
            ability[:, dim] = score / sd if sd > 0 else score
            if pattern[:, dim].all():
                residual = residual - np.outer(ability[:, dim], residual.T @ ability[:, dim] / len(residual))
    return Factors(
        ability=ability,
        ability_cov=np.broadcast_to(0.3 * np.eye(n_dims), (len(correct), n_dims, n_dims)).copy(),
        coefficient=np.column_stack([loading, np.log(share / (1 - share))]),
        item_cov=[
            0.1 * np.broadcast_to(np.eye(len(g.dims) + 1), (len(g.items), len(g.dims) + 1, len(g.dims) + 1))
            for g in item_groups(pattern)
        ],
        correlation=np.eye(n_dims),
        prior_mean=np.zeros(n_dims + 1),
        prior_cov=np.diag([1.0] * n_dims + [4.0]),
    )
