"""Models whose answers go together beyond ability: near-copies and families, found in the residuals of a fit.

Residuals of two models on the same items are unrelated under the model. Those of a fine-tune and its base are not. A
fit widens intervals by clusters that are named, counts near-copies once where that is asked, and warns where neither
is.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
import xarray as xr
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtri

from irt_bench.arrays import Array
from irt_bench.errors import FitError, FitWarning, ModelError, unknown_choice
from irt_bench.inference.cluster_robust import append_models, residual_cells, widen
from irt_bench.inference.draws import label_draws
from irt_bench.inference.fast.laplace import fit_laplace
from irt_bench.inference.settings import LaplaceSettings
from irt_bench.irt_models.logistic import Logistic, OnePL
from irt_bench.irt_models.model import IRTModel
from irt_bench.responses.counts import ResponseCounts

NEAR_COPY: Final = 0.5  # residual correlation: half of what ability leaves open is answered alike
BY_CHANCE: Final = 0.01  # pairs of independent models, of all together, that pass for near-copies
MIN_INFORMATION: Final = (
    10.0  # answers that ability leaves open, counted as P (1 - P); of fewer no correlation is taken
)
FAMILY: Final = 0.1  # mean residual correlation with a family: that of item-level deviations of .8 in log-odds
MAX_PRODUCTS: Final = 5e9  # pairs times items in a matrix product: a quarter of a second
LEAST_ITEMS, MOST_ITEMS = 200, 5_000  # of which correlations are taken: with more, the search takes longer than a fit
MAX_COMPARED: Final = 5_000  # models among which copies are looked for where that is not asked for
MAX_PAIRED: Final = 100_000  # models of which all pairs can be compared, in minutes
Cluster = str | Sequence[Any] | npt.NDArray[Any] | pd.Series | Literal[False] | None
Copies = Literal["keep", "once"]
BLOCK: Final = 256  # models whose pairs with all others are looked at together
MIN_CLUSTERS: Final = 3  # two leave one degree of freedom, whose intervals are all but without bounds
MAX_ROUNDS: Final = 5  # of near-copies that show only once others are left out
QUICK: Final = LaplaceSettings(refine=False, draws=100)
SPAWN_KEY: Final = 17  # random numbers apart from those of the methods
MIN_EFFECT: Final = 1.2  # times the variance: a 90% interval covers 87%
MIN_SCORE: Final = 4.0  # standard errors beyond that; chance alone reached 3
MAX_COPIES: Final = 2.0  # of a model, itself included, mean over models: with 1.7 scores cover .91, with 3.1 .82
MAX_LINKED: Final = 600  # models among which families are looked for: a twentieth of a second


class Alikeness(NamedTuple):
    """How far models answer alike beyond ability.

    NaN for pairs with too few answers in common that ability leaves open.
    """

    correlation: Array  # of residuals: 1 for copies, 0 on average for independent models
    # the same in standard errors: those of the model, or of Fisher's transformed correlation of as many items where
    # that is less
    standardised: Array


def alikeness(residual: Array, weight: Array) -> Alikeness:
    """Correlate the residuals of every two models, (model, model) with NaN on the diagonal.

    Parameters
    ----------
    residual : array of shape (model, item)
        Right answers beyond those expected, 0 where never asked.
    weight : array of shape (model, item)
        Their variance under the model, 0 where never asked.

    Notes
    -----
    As Yen's Q3 [1]_ with models and items exchanged: the sum of the products of residuals over the items that both were
    asked, over the root of the product of their sums of squares. Its standard error under independence is taken from
    the model: the variance of the sum of products is the sum of the products of the variances. With few items and many
    trials per cell the sum is far from normal, and cells that vary more than binomially make it larger: there Fisher's
    transformation, which takes the variance from the residuals themselves, has less power.

    References
    ----------
    .. [1] Yen, Effects of local item dependence on the fit and equating performance of the three-parameter logistic
       model, 1984, DOI 10.1177/014662168400800201.
    """
    alike = _ResidualSums.make(residual, weight, len(residual)).alike()
    for values in alike:
        np.fill_diagonal(values, np.nan)
    return alike


class _ResidualSums(NamedTuple):
    """Sums over the items that both models of a pair were asked; arrays of one shape."""

    product: Array  # of their residuals
    square: Array  # of residuals, the geometric mean of the two models
    open_answers: Array  # of weights, the geometric mean of the two models
    variance: Array  # of `product` for independent models
    n_items: Array

    @classmethod
    def make(cls, residual: Array, weight: Array, n_first: int) -> _ResidualSums:
        """Pair the first models with all, (first model, model)."""
        residual, weight = (np.asarray(each, dtype=np.float32) for each in (residual, weight))
        asked = (weight > 0).astype(np.float32)
        first = slice(n_first)
        product = residual[first] @ residual.T
        n_items = np.broadcast_to(asked.shape[1], product.shape) if asked.all() else asked[first] @ asked.T
        return cls(
            product,
            _in_common(residual**2, asked, first),
            _in_common(weight, asked, first),
            weight[first] @ weight.T,
            n_items,
        )

    def alike(self) -> Alikeness:
        """Correlation of the residuals of each pair."""
        enough = (self.open_answers >= MIN_INFORMATION) & (self.square > 0)
        correlation, standardised = (
            np.divide(self.product, scale, out=np.full_like(self.product, np.nan), where=enough)
            for scale in (self.square, np.sqrt(self.variance))
        )
        fisher = np.arctanh(np.clip(correlation, -0.999, 0.999)) * np.sqrt(np.maximum(self.n_items - 3, 0))
        return Alikeness(correlation, np.minimum(standardised, fisher))


def _in_common(values: Array, asked: Array, first: slice) -> Array:
    """Geometric mean of two models' sums over the items that both were asked, (first model, model)."""
    if asked.all():
        total = np.sqrt(values.sum(axis=1))
        return np.outer(total[first], total)
    return np.asarray(np.sqrt((values[first] @ asked.T) * (asked[first] @ values.T)))


def affordable_items(n_models: int, n_items: int) -> npt.NDArray[np.intp]:
    """Evenly spaced items, as many as matrix products are cheap for; fewer than `LEAST_ITEMS` tell little."""
    most = min(int(np.clip(MAX_PRODUCTS // n_models**2, LEAST_ITEMS, MOST_ITEMS)), n_items)
    return np.linspace(0, n_items - 1, most).astype(np.intp)


class NearCopies(NamedTuple):
    """Models linked by near-copies."""

    group: npt.NDArray[np.intp]  # (model,): number of each model's group; alone where it is no copy
    pair: tuple[int, int]  # positions of the two that are most alike; (0, 0) where there are no copies


def near_copies(residual: Array, weight: Array) -> NearCopies:
    """Find near-copies among all models, by what `alikeness` takes.

    Pairs of which one model comes first are looked at together, `BLOCK` models at a time.
    """
    n_models, best, pair = len(residual), 0.0, (0, 0)
    least = -ndtri(BY_CHANCE / max(n_models * (n_models - 1) / 2, 1))
    links = []
    for start in range(0, n_models, BLOCK):
        pairs = _ResidualSums.make(residual[start:], weight[start:], BLOCK)
        places = np.nonzero(np.triu(pairs.product > NEAR_COPY * pairs.square, 1))
        alike = _ResidualSums(*(values[places] for values in pairs)).alike()
        copies = alike.standardised >= least
        first, second = (start + each[copies] for each in places)
        links.append((first, second))
        found = alike.correlation[copies]
        if found.max(initial=0.0) > best:
            most = int(found.argmax())
            best, pair = found[most], (int(first[most]), int(second[most]))
    first, second = (np.concatenate(each) for each in zip(*links, strict=True))
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(n_models, n_models))
    return NearCopies(np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp), pair)


class Families(NamedTuple):
    """Groups of models found in some items, and what they amount to in others."""

    group: npt.NDArray[np.intp]  # (model,): number of each model's group
    # one plus the residual correlations of a model with the others of its group, summed, mean over models
    design_effect: float
    error: float  # standard error of `design_effect` if no models were related


def find_families(residual: Array, weight: Array) -> Families:
    """Group models by average linkage of their residual correlations.

    Notes
    -----
    Groups are found in every other item, and how alike their members are is taken from the rest: chance that made a
    group in the one has no part in the other.
    """
    found, judged = (alikeness(residual[:, half], weight[:, half]) for half in (slice(0, None, 2), slice(1, None, 2)))
    distance = 1 - np.clip(np.nan_to_num(found.correlation), -1, 1)
    np.fill_diagonal(distance, 0)
    tree = scipy.cluster.hierarchy.linkage(scipy.spatial.distance.squareform(distance, checks=False), "average")
    group = scipy.cluster.hierarchy.fcluster(tree, 1 - FAMILY, "distance")
    within = (group[:, None] == group) & np.isfinite(judged.correlation)
    related, n = judged.correlation[within], len(group)
    error = np.sqrt(2 * np.square(related / judged.standardised[within]).sum()) / n if related.size else 0.0
    return Families(np.asarray(group, dtype=np.intp), float(1 + related.sum() / n), float(error))


@dataclass(frozen=True)
class RelatedModels:
    """Related models among those of a fit, and what was asked about them."""

    # responses of all models, and of those that are to move the items
    counts: ResponseCounts
    distinct: ResponseCounts
    labels: npt.NDArray[np.str_] | None  # (model,): cluster of each of all models, where clusters were named
    # near-copies of a model, itself included, mean over models, above which to warn; 0: do not look for relatives
    most_copies: float

    def account_for(self, posterior: xr.Dataset, seed: int) -> tuple[xr.Dataset, dict[str, Any]]:
        """Widen draws by clusters, add the models that were left out, or warn; and give `FitResult.clusters`."""
        if self.most_copies:
            warn_of_relatives(
                self.distinct,
                posterior,
                most_copies=self.most_copies,
                clustered=self.labels is not None,
                stacklevel=4,
            )
        streams = np.random.default_rng([seed, SPAWN_KEY]).spawn(2)
        about: dict[str, Any] = {}
        if self.labels is not None:
            kept = self.counts.models.index.isin(self.distinct.models.index)
            posterior, effect = widen(posterior, self.distinct, self.labels[kept], streams[0])
            about |= effect.to_dict()
        if n_copies := self.counts.n_models - self.distinct.n_models:
            posterior = append_models(posterior, self.counts, streams[1])
            about["n_copies"] = n_copies
        return posterior, about


def find_relatives(counts: ResponseCounts, irt_model: IRTModel, cluster: Cluster, copies: Copies) -> RelatedModels:
    """Check what is asked about related models, and leave out near-copies if that is.

    Raises
    ------
    ModelError
        If something is asked and the model is no logistic one.
    FitError
        See `cluster_labels`; or if `copies` is neither "keep" nor "once".
    """
    if copies not in get_args(Copies):
        raise FitError(unknown_choice("copies", copies, get_args(Copies)))
    asked = copies == "once" or not (cluster is None or cluster is False)
    if asked and not isinstance(irt_model, Logistic):
        raise ModelError(
            f"model_clusters and copies need residuals of a logistic model, and {irt_model.name!r} is none; leave them "
            "out."
        )
    if asked and isinstance(irt_model, Logistic) and irt_model.population is not None:
        raise ModelError(
            "model_clusters and copies suppose one population of models; leave them out, or leave out population."
        )
    if copies == "once" and counts.n_models > MAX_PAIRED:
        raise FitError(
            f"copies='once' compares every two of {counts.n_models:,} models; up to {MAX_PAIRED:,} can be compared. "
            "Give fewer models, or leave copies='once' out."
        )
    distinct = counts.take(models=distinct_models(counts)) if copies == "once" else counts
    labels = cluster_labels(counts, cluster)
    if cluster is False or not isinstance(irt_model, Logistic):
        return RelatedModels(counts, distinct, labels, most_copies=0.0)
    # Near-copies counted once are not looked for again; within clusters they move abilities, where they are many.
    most_copies = np.inf if copies == "once" else 1.0 if labels is None else MAX_COPIES
    return RelatedModels(counts, distinct, labels, most_copies)


def cluster_labels(counts: ResponseCounts, cluster: Cluster) -> npt.NDArray[np.str_] | None:
    """Label the cluster of each model; None where none are named.

    Raises
    ------
    FitError
        If the column is not there, labels do not match the models, or there are fewer than three clusters.
    """
    if cluster is None or cluster is False:
        return None
    if isinstance(cluster, str):
        if cluster not in counts.models:
            raise FitError(unknown_choice("cluster column of the models", cluster, counts.models.columns))
        given = counts.models[cluster]
    elif isinstance(cluster, pd.Series):
        absent = ~counts.models.index.isin(cluster.index)
        if absent.any() or not cluster.index.is_unique:
            which = f"{int(absent.sum())} are missing, first: {counts.models.index[int(absent.argmax())]!r}"
            raise FitError(
                f"model_clusters must name every model once; {which if absent.any() else 'some occur twice'}."
            )
        given = cluster.reindex(counts.models.index)
    else:
        if len(cluster) != counts.n_models:
            raise FitError(
                f"model_clusters has {len(cluster)} labels for {counts.n_models} models; one per model is needed."
            )
        given = pd.Series(list(cluster), index=counts.models.index, dtype=object)
    own = "model " + counts.models.index.astype(str).to_series(index=counts.models.index)
    labels = np.where(given.notna(), "cluster " + given.astype(str), own).astype(np.str_)
    n_clusters = len(np.unique(labels[counts.asked.any(axis=1)]))
    if n_clusters < MIN_CLUSTERS:
        raise FitError(
            f"model_clusters puts the {counts.n_models} models into {n_clusters} clusters; intervals need at least "
            f"{MIN_CLUSTERS}."
        )
    return labels


def distinct_models(counts: ResponseCounts) -> npt.NDArray[np.bool_]:
    """Whether each model is the first of its near-copies.

    Notes
    -----
    Residuals are those of a quick 1PL: slopes of their own would let items turn towards a model with many copies. Those
    move the items' difficulties, too, and others hide in that: models are looked at again without the copies found,
    until none are.
    """
    answering = counts.asked.any(axis=1)
    kept = np.flatnonzero(answering)
    for _ in range(MAX_ROUNDS):
        part = counts.take(models=kept)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            draws = fit_laplace(OnePL(), part.correct, part.trials, QUICK)
        copies = near_copies(*_residuals(part, label_draws(draws, part)))
        first = np.unique(copies.group, return_index=True)[1]
        if len(first) == len(kept):
            break
        kept = kept[np.sort(first)]
    distinct = np.asarray(~answering)  # models without answers are copies of none
    distinct[kept] = True
    return distinct


def warn_of_relatives(
    counts: ResponseCounts,
    posterior: xr.Dataset,
    *,
    most_copies: float = 1.0,
    clustered: bool = False,
    stacklevel: int = 2,
) -> None:
    """Warn, in one line and by name, where models are related and the fit took them as independent.

    Warns
    -----
    FitWarning
        If there are near-copies, or families whose design effect is above 1.2 beyond chance.
    """
    models: Any = slice(None)
    of_all = "models"
    if counts.n_models > MAX_COMPARED:
        models = np.sort(np.random.default_rng(SPAWN_KEY).choice(counts.n_models, MAX_COMPARED, replace=False))
        of_all = f"models, drawn from {counts.n_models:,},"
    items = affordable_items(min(counts.n_models, MAX_COMPARED), counts.n_items)
    counts, posterior = counts.take(models=models, items=items), posterior.isel(model=models, item=items)
    residual, weight = _residuals(counts, posterior)
    copies = near_copies(residual, weight)
    sizes = np.bincount(copies.group)
    first, second = (str(counts.models.index[place]) for place in copies.pair)
    if np.square(sizes).sum() > most_copies * counts.n_models:
        so = "" if clustered else ", or name families with model_clusters=..."
        warnings.warn(
            f"{counts.n_models - len(sizes)} of {counts.n_models} {of_all} are near-copies of others (most of all "
            f"{first!r} and {second!r}): items and scores are less certain than they seem. Count them once with "
            f"copies='once'{so}.",
            FitWarning,
            stacklevel=stacklevel,
        )
    elif not clustered:
        _warn_of_families(counts, residual, weight, stacklevel + 1)


def _warn_of_families(
    counts: ResponseCounts, residual: npt.NDArray[Any], weight: npt.NDArray[Any], stacklevel: int
) -> None:
    some = np.unique(np.linspace(0, counts.n_models - 1, MAX_LINKED).astype(np.intp))
    families = find_families(residual[some], weight[some])
    if families.design_effect <= MIN_EFFECT + MIN_SCORE * families.error:
        return
    largest = some[families.group == np.bincount(families.group).argmax()]
    members = ", ".join(repr(str(label)) for label in counts.models.index[largest[:3]])
    warnings.warn(
        f"models answer alike beyond ability in families, the largest found of {len(largest)} ({members}, ...): items' "
        f"variances are at least {families.design_effect:.1f} times what they seem. Name the families with "
        "model_clusters=...",
        FitWarning,
        stacklevel=stacklevel,
    )


def _residuals(counts: ResponseCounts, posterior: xr.Dataset) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Residuals and weights, at as many items as can be afforded."""
    items = affordable_items(counts.n_models, counts.n_items)
    cells = list(residual_cells(counts.take(items=items), posterior.isel(item=items)))
    residual, weight = (
        np.concatenate([getattr(each, name) for each in cells], axis=1) for name in ("residual", "weight")
    )
    return residual, weight
