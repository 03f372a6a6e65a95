"""Fit of the seed model: answers of several seeds and known items → labelled draws and their checks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from irt_bench import names
from irt_bench.errors import ConvergenceWarning, FitError, ResponsesWarning
from irt_bench.inference.convergence import Check, optimiser_checks, sampler_checks
from irt_bench.inference.draws import Draws
from irt_bench.inference.seed_sampling import fit_seed_svi, sample_seed_nuts
from irt_bench.inference.seed_table import STEEPEST, AbilityTable, KnownItems, tabulate
from irt_bench.inference.seed_target import KnownItemsTarget
from irt_bench.inference.settings import NUTSSettings, SVISettings
from irt_bench.irt_models.seeds import RUN_MEAN, SD_SEED, SD_STEP, SEED_EFFECT, STEP_EFFECT, SeedDesign, SeedModel
from irt_bench.responses.counts import ResponseCounts

Progress = Callable[[str, int, int], None]
ITEM_DRAW: Final = "item_draw"
RUN_SEED: Final = "run_seed"
RUN_STEP: Final = "run_step"
MOST_STEEP: Final = 0.01  # share of items with discriminations that no calibration should give
N_ITEM_DRAWS: Final = 10  # of the items' parameters; their part of the variance, itself small, is known to a third


@dataclass(frozen=True)
class SeedFit:
    """Draws of the seed model.

    Parameters
    ----------
    model : SeedModel
        Priors.
    settings : NUTSSettings or SVISettings
        What made the draws.
    posterior : xr.Dataset
        ``sd_seed``, ``sd_step`` (only where it can be told from the former), ``run_mean``, ``seed_effect``,
        ``step_effect`` and ``ability``, dimensions (chain, draw, item_draw, ...), on the items' ability scale; and the
        items they belong to, (item_draw, item).
    checks : tuple of Check
        Whether inference converged, and whether the step effect is in the model.
    responses : mapping
        Benchmark, sizes and fingerprint.
    """

    model: SeedModel
    settings: NUTSSettings | SVISettings
    posterior: xr.Dataset
    checks: tuple[Check, ...]
    responses: Mapping[str, Any]

    @property
    def converged(self) -> bool:
        """Whether no check failed."""
        return all(check.status != "failed" for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Say what made the draws and what the checks found, as plain values."""
        return {
            "seed_model": self.model.to_dict(),
            "method": self.settings.method,
            "seed": self.settings.seed,
            "settings": self.settings.model_dump(),
            "converged": self.converged,
            "checks": [check.to_dict() for check in self.checks],
            "responses": dict(self.responses),
        }


def fit_seed_model(
    counts: ResponseCounts,
    settings: NUTSSettings | SVISettings,
    *,
    items: xr.Dataset,
    model: SeedModel | None = None,
    n_item_draws: int = N_ITEM_DRAWS,
    dispersion: float = 1.0,
    progress: Progress | None = None,
) -> SeedFit:
    """Draw from the posterior of the standard deviations over seeds and steps, the items known.

    Parameters
    ----------
    counts : ResponseCounts
        Right answers and trials; k of n and cells never asked are fine. Its models have a column ``seed``, and ``run``
        and ``step`` where there are several; rows without a seed are left out.
    settings : NUTSSettings or SVISettings
        The method, its lengths and its seed.
    items : xr.Dataset
        Draws of the items' parameters from a fit to other models, dimensions (chain, draw, item), or one value each.
    model : SeedModel, optional
        Priors, and whether runs share their standard deviations (by default they do).
    n_item_draws : int
        Draws of the items' parameters to use.
    dispersion : float
        Variance of answers around their expectation as a multiple of P (1 - P).
    progress : callable, optional
        Told (what, done, total).

    Raises
    ------
    FitError
        If an item is not known, or the responses are not counts.
    ModelError
        If no run has two seeds at one step, or two rows are the same snapshot.

    Warns
    -----
    ConvergenceWarning
        If a check failed; the result says which.
    ResponsesWarning
        If snapshots are left out because no other seed of their run was seen at their step.

    Notes
    -----
    The answers of the seeds do not move the items. The items' uncertainty is carried along by fitting under each of
    several draws of all their parameters together, and counting the draws that result alike: errors of the items are
    shared by all seeds, as they must be, instead of adding noise to each.

    With a dispersion other than 1 the likelihood is a quasi-likelihood [1]_: answers that vary half as much say twice
    as much about ability. Seeds of one run share what their run finds easy and hard, so that below 1 is the rule.

    References
    ----------
    .. [1] McCullagh, Nelder, Generalized linear models, 1989, chapter 9.
    """
    if not 0 < dispersion < np.inf:
        raise FitError(f"the dispersion is {dispersion}; a number above 0 is needed, 1 for answers as the items imply.")
    model = SeedModel() if model is None else model
    design, known, table = _tabulated(counts, items, model, n_item_draws)
    _warn_of_lone(counts, design)
    table = table._replace(value=table.value / dispersion, slope=table.slope / dispersion)
    target = KnownItemsTarget(model, design, table)
    if isinstance(settings, NUTSSettings):
        draws = sample_seed_nuts(target, settings, progress)
    else:
        draws = fit_seed_svi(target, settings, progress)
    posterior = _label(draws, design, counts, known).assign(dispersion=dispersion)
    checks = (*_convergence(draws, posterior), _step_check(design), _items_check(known))
    for check in checks:
        if check.status == "failed":
            warnings.warn(f"{check.name}: {check.message}", ConvergenceWarning, stacklevel=2)
    about = {
        "benchmark": counts.benchmark,
        "n_snapshots": len(design.rows),
        "n_runs": len(design.runs),
        "n_seeds": len(design.seeds.run),
        "n_items": counts.n_items,
        "n_item_draws": known.n_draws,
        "dispersion": dispersion,
        "fingerprint": counts.fingerprint(),
    }
    return SeedFit(model=model, settings=settings, posterior=posterior, checks=checks, responses=about)


def estimate_abilities(
    counts: ResponseCounts, *, items: xr.Dataset, model: SeedModel | None = None, n_item_draws: int = N_ITEM_DRAWS
) -> xr.Dataset:
    """Estimate the ability of each snapshot by itself: what the dispersion of the answers is judged from.

    Returns
    -------
    xr.Dataset
        Labelled as `SeedFit.posterior`, of one draw: ``ability``, where the likelihood times the prior of run means is
        highest, and the items.

    Raises
    ------
    FitError, ModelError
        See `fit_seed_model`.
    """
    model = SeedModel() if model is None else model
    design, known, table = _tabulated(counts, items, model, n_item_draws)
    nodes = table.nodes()
    highest = (table.value.numpy() - (nodes / model.run_mean.scale) ** 2 / 2).argmax(-1)
    lead = (names.CHAIN, names.DRAW, ITEM_DRAW)
    arrays: dict[str, Any] = {name: ((ITEM_DRAW, names.ITEM), values) for name, values in known._asdict().items()}
    arrays[names.ABILITY] = ((*lead, names.MODEL), nodes[highest][None, None])
    return xr.Dataset(arrays, coords=_coordinates(design, counts))


def _tabulated(
    counts: ResponseCounts, items: xr.Dataset, model: SeedModel, n_item_draws: int
) -> tuple[SeedDesign, KnownItems, AbilityTable]:
    if counts.measure != "correct":
        raise FitError(f"the responses are measured as {counts.measure!r}; right answers out of trials are needed.")
    design = SeedDesign.from_models(counts.models, np.asarray(counts.asked.any(axis=1)))
    known = KnownItems.from_posterior(items, counts.items.index, n_item_draws)
    rows = design.rows
    return design, known, tabulate(counts.correct[rows], counts.trials[rows], known, prior_sd=model.run_mean.scale)


def _warn_of_lone(counts: ResponseCounts, design: SeedDesign) -> None:
    seeded = counts.models[names.SEED].notna().to_numpy() & counts.asked.any(axis=1)
    seeded[design.rows] = False
    if seeded.any():
        warnings.warn(
            f"{int(seeded.sum())} snapshots are left out: no other seed of their run was seen at their step; first: "
            f"{counts.models.index[int(seeded.argmax())]!r}.",
            ResponsesWarning,
            stacklevel=3,
        )


def _label(draws: Draws, design: SeedDesign, counts: ResponseCounts, known: KnownItems) -> xr.Dataset:
    lead = (names.CHAIN, names.DRAW, ITEM_DRAW)
    per_run = draws.sites[SD_SEED].ndim > len(lead)
    last = {
        **dict.fromkeys((SD_SEED, SD_STEP), (names.RUN,) if per_run else ()),
        RUN_MEAN: (RUN_STEP,),
        SEED_EFFECT: (RUN_SEED,),
        STEP_EFFECT: (names.MODEL,),
        names.ABILITY: (names.MODEL,),
    }
    arrays: dict[str, Any] = {name: ((*lead, *last[name]), values) for name, values in draws.sites.items()}
    arrays |= {name: ((ITEM_DRAW, names.ITEM), values) for name, values in known._asdict().items()}
    return xr.Dataset(arrays, coords=_coordinates(design, counts))


def _coordinates(design: SeedDesign, counts: ResponseCounts) -> dict[str, Any]:
    runs = np.array(design.runs, dtype=str)
    return {
        names.RUN: runs,
        names.MODEL: np.asarray(counts.models.index[design.rows], dtype=str),
        names.ITEM: np.asarray(counts.items.index, dtype=str),
        "run_of_seed": (RUN_SEED, runs[design.seeds.run]),
        "seed": (RUN_SEED, np.array(design.seed_labels, dtype=str)),
        "run_of_step": (RUN_STEP, runs[design.means.run]),
        "step": (RUN_STEP, np.array(design.step_labels, dtype=str)),
        "run_of_model": (names.MODEL, runs[design.run_of]),
        "step_of_model": (names.MODEL, np.array(design.step_labels, dtype=str)[design.mean_of]),
    }


def _convergence(draws: Draws, posterior: xr.Dataset) -> tuple[Check, ...]:
    """Check the standard deviations and run means, under each draw of the items."""
    if "diverging" not in draws.sample_stats:
        return optimiser_checks(draws.notes)
    checked = {}
    for name in (SD_SEED, SD_STEP, RUN_MEAN):
        if name in posterior:
            values = posterior[name].to_numpy()
            flat = values.reshape(*values.shape[:2], -1)
            checked[name] = ((names.CHAIN, names.DRAW, "value"), flat)
    dims = (names.CHAIN, names.DRAW)
    stats = {name: (dims, values) for name, values in draws.sample_stats.items()}
    sizes = {name: np.arange(values[1].shape[-1]) for name, values in checked.items()}
    labelled = [
        xr.DataArray(v[1], dims=(*dims, f"{n}_value"), coords={f"{n}_value": sizes[n]}, name=n)
        for n, v in checked.items()
    ]
    return sampler_checks(xr.merge(labelled), xr.Dataset(stats))


def _step_check(design: SeedDesign) -> Check:
    if design.has_steps:
        return Check("step_effect", "passed", None, None, "sd_seed and sd_step are both in the model")
    message = (
        "no seed was seen at two steps beside another seed, so the step effect is left out: sd_seed is the spread over "
        "seeds at one step, lasting or not"
    )
    return Check("step_effect", "not_applicable", None, None, message)


def _items_check(known: KnownItems) -> Check:
    """Whether the items' draws are such as a calibration with a peak gives."""
    share = float((np.abs(known.discrimination) >= STEEPEST).mean(axis=1).max())
    good = share < MOST_STEEP
    message = f"{share:.1%} of the items of a draw have a discrimination of {STEEPEST:g} or more" + (
        "" if good else ": too few models calibrated them, or ones too much alike; give a better --fit"
    )
    return Check("known_items", "passed" if good else "failed", share, MOST_STEEP, message)
