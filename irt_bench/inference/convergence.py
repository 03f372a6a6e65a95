"""Named checks that decide whether inference has converged; nothing is taken on trust."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench import names
from irt_bench.arrays import slices, sum_of_rows

RHAT_LIMIT: Final = 1.01  # Vehtari et al. 2021, doi:10.1214/20-BA1221
ESS_PER_CHAIN: Final = 100  # the same: 400 over four chains, for stable R-hat and quantiles
MIN_ITEMS: Final = 20  # an sd over fewer items is uncertain by more than 16%
TOO_FEW: Final = 10  # models, from which items have mostly their priors
MIN_MODELS: Final = 100  # with 59 and 78 the fast method was off from NUTS by 0.2 sd of difficulty, sds by up to 10%
SHIFT_LIMIT: Final = 0.5  # sds; three to four standard errors of the difference between two halves of 63 short chains
APART_LIMIT: Final = 0.86  # ours: answers by ability gave up to 0.70, coins up to 0.92, chains that did not move 0.99
# Ours: right guides of the classic data sets reached 1.25, independent ones 1.7 and more.
SPREAD_LIMIT: Final = 1.4
POOLING_LIMIT: Final = 0.5
POOLING_SOURCE: Final = "0.5: beyond, more is pooled than not (Gelman & Pardoe 2006, doi:10.1198/004017005000000517)"
MIN_ANSWERS: Final = 20  # ours, to an item: with fewer a hierarchy does well to pool
DEPTH_LIMIT: Final = 0.01  # ours: share of draws; few cost nothing but time
BFMI_LIMIT: Final = 0.3  # Betancourt 2016, arXiv:1604.00695
BLOCK_CELLS: Final = 2**18  # draws x items at once: they stay in the processor's cache
LONGER: Final = "; draw longer with warmup and draws"

Status = Literal["passed", "failed", "not_applicable"]


@dataclass(frozen=True)
class Check:
    """Outcome of one named check.

    Parameters
    ----------
    name : str
        What was checked.
    status : {"passed", "failed", "not_applicable"}
        The outcome.
    value, threshold : float or None
        The figure and the limit it was held against.
    message : str
        What was found, in words, with the first offender; where a check does not apply, why.
    source : str
        Where the limit comes from.
    """

    name: str
    status: Status
    value: float | None
    threshold: float | None
    message: str
    source: str = ""

    @property
    def fails_if(self) -> str:
        """Side of the limit on which the check fails, such as "> 0.2"; empty where there is no limit."""
        if self.value is None or self.threshold is None:
            return ""
        above = (self.value > self.threshold) == (self.status == "failed")
        return f"{'>' if above else '<'} {self.threshold:.3g}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def check_table(checks: Iterable[Check]) -> pd.DataFrame:
    """Tabulate checks, indexed by name: ``status, value, threshold, fails_if, message, source``."""
    table = pd.DataFrame([check.to_dict() for check in checks]).set_index("name")
    table.insert(3, "fails_if", [check.fails_if for check in checks])
    return table


def judge(
    name: str, good: bool, value: float, limit: float | None, found: str, remedy: str = "", source: str = ""
) -> Check:
    """Pass or fail a check, and name the remedy where it failed."""
    return Check(name, "passed" if good else "failed", value, limit, found + ("" if good else remedy), source)


def sampler_checks(posterior: xr.Dataset, sample_stats: xr.Dataset, *, max_tree_depth: int = 10) -> tuple[Check, ...]:
    """R-hat, bulk and tail effective sample size, divergences, energy and tree depth of MCMC draws.

    Statistics are ``diverging``, ``energy`` and, where it is known, ``tree_depth``, dimensions (chain, draw).
    """
    varying = posterior[[name for name in posterior.data_vars if float(posterior[name].std()) > 0]]
    n_chains = posterior.sizes["chain"]
    return (
        _rhat_check(varying)
        if n_chains > 1
        else Check("r_hat", "not_applicable", None, RHAT_LIMIT, "one chain cannot be compared"),
        _ess_check(varying, "bulk", ESS_PER_CHAIN * n_chains),
        _ess_check(varying, "tail", ESS_PER_CHAIN * n_chains),
        _divergence_check(sample_stats["diverging"]),
        _energy_check(sample_stats["energy"]),
        *([_depth_check(sample_stats["tree_depth"], max_tree_depth)] if "tree_depth" in sample_stats else []),
    )


def pooling_check(posterior: xr.Dataset, trials: npt.NDArray[np.integer[Any]]) -> Check:
    """Whether answers distinguish difficulties, or the hierarchy has collapsed: all items alike, slopes next to zero.

    Notes
    -----
    The pooling factor of the difficulties, 1 - var_j(E b_j) / E(var_j b_j), 0 where answers determine each and 1 where
    the hierarchy does (Gelman & Pardoe 2006). Where items were chosen by earlier answers, all are answered right as
    often. The likelihood knows that some are harder from who was asked what, the prior takes items for exchangeable all
    the same: with 250 models, 15 answers each to 80 items, coins are 30 to 76 log units more probable than the truth,
    difficulties integrated out, and no prior of means and sds makes up for that. Slopes that each have a prior of their
    own do (`Logistic.with_independent_priors`): to bring all of them near zero costs what one learned mean gives away.
    """
    if names.DIFFICULTY not in posterior:
        why = "the model has no difficulties"
        return Check("pooling", "not_applicable", None, POOLING_LIMIT, why, POOLING_SOURCE)
    answers = sum_of_rows(trials)
    asked = answers > 0
    typical = float(np.median(answers[asked])) if asked.sum() > 1 else 0.0
    if typical < MIN_ANSWERS:
        why = f"{typical:.0f} answers to an item: too few for its hierarchy not to pool"
        return Check("pooling", "not_applicable", None, POOLING_LIMIT, why, POOLING_SOURCE)
    draws = posterior[names.DIFFICULTY].values[..., asked]
    draws = draws.reshape(-1, draws.shape[-1])
    blocks = slices(len(draws), BLOCK_CELLS // draws.shape[1])
    within = float(np.concatenate([draws[block].var(axis=1, dtype=np.float64) for block in blocks]).mean())
    pooled = 1 - float(draws.mean(axis=0, dtype=np.float64).var()) / within if within > 0 else 1.0
    message = f"{pooled:.0%} of the difficulties' variance comes from the hierarchy, not from answers"
    remedy = (
        ": all items seem alike, though answers are enough. Where models were asked what suited them (in "
        "adaptive tests), independent priors of each item restore difficulties and their intervals: "
        "difficulty=Normal(0, 2) and log_discrimination=Normal(0, 0.3), or Normal(0, 0.03) of a 1PL's one slope "
        "(priors 'independent'); asking each model some items at random cures it, too"
    )
    return judge("pooling", pooled < POOLING_LIMIT, pooled, POOLING_LIMIT, message, remedy, POOLING_SOURCE)


def maximum_checks(notes: Mapping[str, Any]) -> tuple[Check, ...]:
    """Whether the fast method stood still, and whether the data bear its approximations.

    Notes
    -----
    The hierarchy's log sds are drawn as normal around their mode: over few items, J, their posterior is as wide as
    1 / sqrt(2 J) and skewed. Items are normal in (intercept, log slope): with few models they are skewed, too. Draws
    that Gibbs sweeps have carried on are free of both, where these chains are stationary.
    """
    change, tolerance, sweeps = float(notes["change"]), float(notes["tolerance"]), int(notes["sweeps"])
    found = f"largest change {change:.2g} in the last of {sweeps} sweeps"
    return (
        judge("maximum", change < tolerance, change, tolerance, found, "; allow more with max_sweeps"),
        *_shape_checks(notes),
        Check("r_hat", "not_applicable", None, RHAT_LIMIT, "a mode, no chains"),
    )


def _shape_checks(notes: Mapping[str, Any]) -> tuple[Check, ...]:
    """Whether a normal distribution will do, or whether the Gibbs chains that follow it are stationary."""
    if "shift" not in notes:
        items = "items of a dimension" if notes.get("several") else "items"
        return (
            _size_check("hierarchy", int(notes["n_items"]), MIN_ITEMS, items, "the hierarchy's sds are skewed"),
            _size_check("normality", int(notes["n_models"]), MIN_MODELS, "models", "items' posteriors are skewed"),
        )
    shift, apart, other = float(notes["shift"]), float(notes["apart"]), "; use method='nuts'"
    moved = f"the hierarchy moved by at most {shift:.2f} sds in the second half of the Gibbs sweeps"
    share = f"at most {apart:.0%} of the variance of the hierarchy's draws lies between Gibbs chains"
    return (
        judge("stationary", shift < SHIFT_LIMIT, shift, SHIFT_LIMIT, moved, other),
        judge("mixed", apart < APART_LIMIT, apart, APART_LIMIT, share, other),
    )


def _size_check(name: str, size: int, least: int, what: str, why: str) -> Check:
    found, remedy = f"{size} {what}", f": {why}; use method='nuts'"
    if what == "models" and size < TOO_FEW:
        found = f"{size} models tell little: intervals are wide, and by method='nuts' only right if the priors are"
        remedy = ""
    return judge(name, size >= least, size, least, found, remedy)


def optimiser_checks(notes: Mapping[str, Any]) -> tuple[Check, ...]:
    """Whether the ELBO stopped rising before the steps ran out, and whether the guide is as wide as the posterior.

    Notes
    -----
    A Gaussian follows neither the skewed posteriors of items that few models answered nor those of sds over few items:
    at 40 x 20 (25 data sets, 2PL) difficulties covered .84 and these sds .72 to .76, with the check `guide` passed.
    """
    reached, steps = bool(notes["plateau_reached"]), int(notes["steps"])
    message = f"the ELBO {'levelled off' if reached else 'was still rising'} after {steps:,} steps"
    return (
        judge("elbo_plateau", reached, steps, None, message, "; allow more with max_steps"),
        _guide_check(notes.get("missed_spread")),
        *(_shape_checks(notes) if "n_items" in notes else ()),
        Check("r_hat", "not_applicable", None, RHAT_LIMIT, "one optimum, no chains"),
    )


def _guide_check(missed: float | None) -> Check:
    if missed is None:
        return Check("guide", "not_applicable", None, SPREAD_LIMIT, "the guide has too many coordinates to be checked")
    found = f"the posterior's sds are at most {missed:.2f} times the guide's"
    return judge("guide", missed < SPREAD_LIMIT, missed, SPREAD_LIMIT, found, "; use method='nuts'")


def _rhat_check(posterior: xr.Dataset) -> Check:
    from arviz_stats import rhat  # noqa: PLC0415 - takes a second that only samplers should cost

    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 of parameters that are fixed: left out below
        found = rhat(posterior)
    value, where = _worst(found, _moving(posterior), largest=True)
    message = f"largest R-hat {value:.4f}, of {where}" if math.isfinite(value) else f"R-hat of {where} is undefined"
    return judge("r_hat", value < RHAT_LIMIT, value, RHAT_LIMIT, message, LONGER)


def _ess_check(posterior: xr.Dataset, kind: str, needed: int) -> Check:
    from arviz_stats import ess  # noqa: PLC0415 - as above

    with np.errstate(invalid="ignore", divide="ignore"):  # as above
        found = ess(posterior, method=kind)
    value, where = _worst(found, _moving(posterior), largest=False)
    message = f"smallest {kind} effective sample size {value:.0f}, of {where}"
    if not math.isfinite(value):
        message = f"the {kind} effective sample size of {where} is undefined"
    return judge(f"ess_{kind}", value >= needed, value, needed, message, LONGER)


def _divergence_check(diverging: xr.DataArray) -> Check:
    count = int(diverging.sum())
    message = f"{count} of {diverging.size} trajectories diverged"
    return judge("divergences", count == 0, count, 0, message, "; raise target_accept")


def _energy_check(energy: xr.DataArray) -> Check:
    values = energy.values
    bfmi = float(np.min(np.mean(np.diff(values, axis=1) ** 2, axis=1) / np.var(values, axis=1)))
    message = f"smallest Bayesian fraction of missing information over the chains {bfmi:.2f}"
    return judge("bfmi", bfmi > BFMI_LIMIT, bfmi, BFMI_LIMIT, message)


def _depth_check(depth: xr.DataArray, most: int) -> Check:
    """Whether trajectories turned by themselves: those cut short at the greatest depth explore slowly, no more."""
    share = float((depth >= most).mean())
    message = f"{share:.1%} of the trajectories were cut short after {most} doublings"
    return judge("tree_depth", share <= DEPTH_LIMIT, share, DEPTH_LIMIT, message, "; allow more with max_tree_depth")


def _moving(posterior: xr.Dataset) -> xr.Dataset:
    """Whether draws of a value differ: a loading that a model does not have is 0 in all."""
    return posterior.max(("chain", "draw")) > posterior.min(("chain", "draw"))


def _worst(statistic: xr.Dataset, moving: xr.Dataset, *, largest: bool) -> tuple[float, str]:
    """Largest or smallest value over all parameters that move, and what it belongs to; infinite if one is undefined."""
    worst, where = (-math.inf if largest else math.inf), "no parameter"
    for name, array in statistic.data_vars.items():
        flat = np.where(np.isnan(array.values), math.inf if largest else -math.inf, array.values)
        flat = np.where(moving[name].transpose(*array.dims).values, flat, -math.inf if largest else math.inf).ravel()
        place = int(flat.argmax() if largest else flat.argmin())
        if (flat[place] > worst) if largest else (flat[place] < worst):
            worst = float(flat[place])
            places = zip(array.dims, np.unravel_index(place, array.shape), strict=True)
            label = ", ".join(f"{dim} {array[dim].values[at]!s}" for dim, at in places)
            where = f"{name} of {label}" if label else f"{name}"
    return worst, where
