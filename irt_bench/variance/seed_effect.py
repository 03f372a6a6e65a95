"""The seed model on responses, and from ability to accuracy: what it says about a score on all items or some.

Items come from a fit that is given, or are calibrated here on models that are no seed of any run; where these are too
few, on all models, and a note says so.

A new seed of a run at a step has ability run_mean + seed effect + step effect. Its expected score is A(ability) =
sum_i w_i P_i(ability); around it answers vary by sum_i w_i^2 P_i (1 - P_i), which is what the residual variance of the
analysis of variance measures. The variance of A over new seeds is parted into what stays with the seed from step to
step and what does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from irt_bench import names
from irt_bench.arrays import FloatArray, slices
from irt_bench.errors import AnalysisError
from irt_bench.inference.convergence import MIN_MODELS, Check
from irt_bench.inference.fit import fit
from irt_bench.inference.settings import N_ITEM_DRAWS, LaplaceSettings, NUTSSettings, SVISettings
from irt_bench.irt_models.logistic import TwoPL, log_odds, success_probability
from irt_bench.names import POOLED
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import ResponseTable
from irt_bench.variance.metrics import COLUMNS, SEEN, seen_spread
from irt_bench.variance.moments import answer_variance_ratio, answers_per_cell
from irt_bench.variance.scores import seed_layout
from irt_bench.variance.seed_variance import one_measure
from irt_bench.workers import Progress

if TYPE_CHECKING:
    from irt_bench.inference.seed_model import SeedFit


FEWEST_OTHERS: Final = MIN_MODELS  # that are no seeds, from which on they alone calibrate the items
ALL_ITEMS: Final = "all"
SOME_ITEMS: Final = "subset"
DISPERSIONS: Final = (0.1, 10.0)  # taken at most; where all seeds of a run answer alike there is no variance at all


@dataclass(frozen=True)
class SeedModelResult:
    """The seed model of one or several benchmarks.

    Parameters
    ----------
    table : pd.DataFrame
        ``benchmark, items`` (all, or subset), ``run`` (or "pooled"), ``quantity, estimate, q05, q95``: quantities of
        `irt_bench.variance.seed_effect`, and ``score_sd_seen``, the sd over seeds of the score itself.
    fits : dict
        Settings, checks of convergence and of the description (`description_checks`), ``answer_variance_ratio`` and
        where the items come from, by benchmark.
    notes : tuple of str
        What was decided, and what to beware of.
    """

    table: pd.DataFrame
    fits: dict[str, dict[str, Any]]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a file."""
        return {"fits": self.fits, "notes": list(self.notes)}


def seed_model_settings(method: str, seed: int) -> NUTSSettings | SVISettings:
    """Return the settings of a method by name.

    Raises
    ------
    AnalysisError
        If there is no such method.
    """
    if method == "nuts":
        return NUTSSettings(seed=seed, warmup=500, draws=750)
    if method == "svi":
        return SVISettings(seed=seed)
    raise AnalysisError(f"seed_model is {method!r}; 'nuts' (exact, minutes) or 'svi' (half a minute) is needed.")


def model_seed_effects(
    table: ResponseTable,
    settings: NUTSSettings | SVISettings,
    *,
    items: xr.Dataset | None = None,
    weights: pd.Series | None = None,
    run_columns: Sequence[str] | None = None,
    n_item_draws: int = N_ITEM_DRAWS,
    progress: Progress | None = None,
) -> SeedModelResult:
    """Fit the seed model to every benchmark of a table; see `irt_bench.seed_variance`.

    `items` is a posterior from a fit to other models; by default items are calibrated here. `weights` are those of the
    items of a subset, by label, whose seed sd is given beside that of the full benchmark.

    Raises
    ------
    AnalysisError
        If items or weights are given for several benchmarks; see also `seed_layout` and `seed_effect_table`.

    Notes
    -----
    Answers are given the variance around their expectation that is seen within runs and steps, a multiple
    ``answer_variance_ratio`` of P (1 - P): seeds of a run agree on items more than their abilities explain, and with
    P (1 - P) itself the seeds' part would be understated (hellaswag in nlu_checkpoints_dev: to nearly nothing).
    """
    if len(table.benchmarks) > 1 and (items is not None or weights is not None):
        raise AnalysisError(
            f"a fit or a subset belongs to one benchmark, and there are {len(table.benchmarks)}; choose one with "
            "select(benchmark='NAME')."
        )
    frames, fits, notes = [], {}, []
    for benchmark in table.benchmarks:
        one = table.select(benchmark)
        runs, _ = one_measure(one, run_columns=run_columns)
        counts = _with_layout(one.counts(), run_columns)
        known, source = (items, "given") if items is not None else _calibrated(counts, settings.seed, progress)
        if source != "given":
            notes.append(f"{benchmark}: items calibrated on {source}")
        found, ratio = fit_as_varied(counts, known, settings, n_item_draws=n_item_draws, progress=progress)
        for name, chosen in ((ALL_ITEMS, None), (SOME_ITEMS, weights)):
            if name == ALL_ITEMS or chosen is not None:
                own = seed_effect_table(
                    found.posterior, weights=chosen, benchmark=benchmark, n_trials=answers_per_cell(counts)
                )
                frame = pd.concat([own, seen_spread(runs, chosen)], ignore_index=True)
                frame.insert(1, "items", name)
                frames.append(frame)
        whole = next(frame for frame in frames[::-1] if frame["items"].iloc[0] == ALL_ITEMS)
        checks = [*found.checks, *description_checks(ratio, whole)]
        fits[benchmark] = found.to_dict() | {
            "checks": [check.to_dict() for check in checks], "items_from": source, "answer_variance_ratio": ratio
        }  # fmt: skip
    return SeedModelResult(pd.concat(frames, ignore_index=True), fits, tuple(notes))


def fit_as_varied(
    counts: ResponseCounts,
    items: xr.Dataset,
    settings: NUTSSettings | SVISettings,
    *,
    n_item_draws: int = N_ITEM_DRAWS,
    progress: Progress | None = None,
) -> tuple[SeedFit, float]:
    """Fit the seed model with answers that vary as they are seen to; see `model_seed_effects`.

    Returns
    -------
    fit : SeedFit
    ratio : float
        ``answer_variance_ratio``.
    """
    from irt_bench.inference.seed_model import estimate_abilities, fit_seed_model  # noqa: PLC0415 - torch takes seconds

    ratio = answer_variance_ratio(counts, estimate_abilities(counts, items=items, n_item_draws=n_item_draws))
    dispersion = float(np.clip(ratio, *DISPERSIONS)) if np.isfinite(ratio) else 1.0
    found = fit_seed_model(
        counts, settings, items=items, n_item_draws=n_item_draws, dispersion=dispersion, progress=progress
    )
    return found, ratio


def _with_layout(counts: ResponseCounts, run_columns: Sequence[str] | None) -> ResponseCounts:
    """Give the models the run, seed and step that the rest of the analysis goes by."""
    layout = seed_layout(counts.models, run_columns=run_columns)
    return replace(counts, models=layout.models.reindex(counts.models.index))


def _calibrated(counts: ResponseCounts, seed: int, progress: Progress | None) -> tuple[xr.Dataset, str]:
    answered = counts.asked.any(axis=1)
    others = np.flatnonzero(counts.models[names.SEED].isna().to_numpy() & answered)
    enough = len(others) >= FEWEST_OTHERS
    chosen = others if enough else np.flatnonzero(answered)
    source = f"{len(chosen)} models that are no seeds"
    if not enough:
        source = f"all {len(chosen)} models, the seeds among them: there are fewer than {FEWEST_OTHERS} others"
    found = fit(
        counts.take(models=chosen), TwoPL(), LaplaceSettings(seed=seed), model_clusters=False, progress=progress
    )
    return found.posterior, source


QUANTITIES: Final = (
    "seed_sd_ability",  # sds on the ability scale
    "step_sd_ability",
    "mean",  # expected score
    "seed_sd",  # of the expected score, in accuracy: what stays with the seed
    "step_sd",  # ... what changes from step to step
    "checkpoint_sd",  # ... both, as at one step
    "answer_sd",  # of the score of one checkpoint around its expected score
    "score_sd",  # of the score seen: checkpoint_sd and answer_sd together, the root of V(N)
    "these_checkpoint_sd",  # checkpoint_sd and score_sd of just these seeds, whose abilities may spread more at some
    "these_score_sd",  # runs and steps than at others: what the analysis of variance estimates
)
MAX_DRAWS: Final = 2_000  # of all draws of the items together
N_NODES: Final = 15  # Gauss-Hermite: exact for polynomials to degree 29 in each effect
CURVE_SPACING: Final = 0.02  # of abilities; linear interpolation then errs by less than 1e-5 of a slope's change
CURVE_REACH: Final = 7.0  # sds beyond the outermost run means: the outermost node lies at 6.4
BLOCK_CELLS: Final = 500_000  # items x abilities at once


class EffectDraws(NamedTuple):
    """Posterior draws behind the table: runs, and variances (and the mean) by quantity, (item_draw, sample, run)."""

    runs: list[str]
    parts: dict[str, FloatArray]


class _Curves(NamedTuple):
    """Expected score and variance of answers over abilities, under each draw of the items."""

    ability: FloatArray  # (node,)
    score: FloatArray  # (item_draw, node)
    answers: FloatArray  # (item_draw, node)


def seed_effect_table(
    posterior: xr.Dataset, *, weights: pd.Series | None = None, benchmark: str = "", n_trials: float = 1
) -> pd.DataFrame:
    """Tabulate the posterior of the seed's effect on a score.

    Parameters
    ----------
    posterior : xr.Dataset
        Draws of the seed model with the items they belong to, as `SeedFit.posterior` holds them.
    weights : pd.Series, optional
        Weight of each item by label, divided by their sum here; items not named have none. Equal weights on all items
        by default; equal weights on some are a subset.
    benchmark : str
        Name for the column of that name.
    n_trials : float
        Answers per cell behind a score; their harmonic mean where cells differ.

    Returns
    -------
    pd.DataFrame
        Columns ``benchmark, run`` (or "pooled"), ``quantity`` (`QUANTITIES`), ``estimate`` (posterior median), ``q05,
        q95``. Variances are averaged over the steps of a run, and over runs when pooled, before roots are taken.
        Without a step effect in the model the step's rows are left out.

    Raises
    ------
    AnalysisError
        If weights name an unknown item, are negative, or sum to 0.

    Notes
    -----
    ``checkpoint_sd`` is of a new seed, and assumes one sd on the ability scale at all runs and steps. Where seeds
    differ much in ability just where scores hardly depend on it, that overstates their spread in accuracy (MNLI in
    nlu_checkpoints_dev: 0.0126 against 0.0084 from the analysis of variance); ``these_checkpoint_sd``, of the abilities
    of the seeds themselves, supposes nothing of the kind (0.0093).
    """
    found = seed_effect_draws(posterior, _weights(posterior, weights), n_trials=n_trials)
    rows = []
    for run, at in [*((run, [place]) for place, run in enumerate(found.runs)), (POOLED, list(range(len(found.runs))))]:
        rows += _summarise(
            benchmark, run, {name: values[..., at].mean(axis=-1) for name, values in found.parts.items()}
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def seed_effect_draws(
    posterior: xr.Dataset, weights: FloatArray, *, n_trials: float = 1, n_draws: int | None = None
) -> EffectDraws:
    """Draw the seed's effect on a score: `QUANTITIES`, squared where they are sds.

    Parameters
    ----------
    posterior : xr.Dataset
        As for `seed_effect_table`.
    weights : array of shape (item,)
        Of the items in the posterior's order, sum 1.
    n_trials : float
        Answers per cell behind a score.
    n_draws : int
        Draws used, at most, of each draw of the items; by default 2,000 in all.
    """
    chosen = _thinned(posterior, n_draws or max(1, MAX_DRAWS // posterior.sizes["item_draw"]))
    curves = _curves(posterior, weights, _range(chosen))
    answers = float(posterior["dispersion"]) if "dispersion" in posterior else 1.0
    curves = curves._replace(answers=curves.answers * answers / n_trials)
    runs, parts = _parts(chosen, curves)
    if names.ABILITY in chosen:
        parts["these_checkpoint_sd"] = _these(chosen, curves, runs)
        parts["these_score_sd"] = parts["these_checkpoint_sd"] + parts["answer_sd"]
    return EffectDraws(runs, parts)


def _weights(posterior: xr.Dataset, weights: pd.Series | None) -> FloatArray:
    labels = posterior[names.ITEM].to_index().astype("str")
    if weights is None:
        return np.full(len(labels), 1 / len(labels))
    wanted = weights.index.astype("str")
    unknown = ~wanted.isin(labels)
    if unknown.any() or not wanted.is_unique:
        first = wanted[unknown][0] if unknown.any() else wanted[wanted.duplicated()][0]
        raise AnalysisError(
            f"weights name item {first!r}, which {'the fit does not have' if unknown.any() else 'occurs twice'}; give "
            "one weight per item of the fit."
        )
    values = weights.to_numpy(dtype=np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        raise AnalysisError("weights must be finite and at least 0, with a sum above 0.")
    found = np.zeros(len(labels))
    found[labels.get_indexer(wanted)] = values / values.sum()
    return found


def _thinned(posterior: xr.Dataset, n_draws: int) -> xr.Dataset:
    """At most so many draws, chains joined, dimensions (item_draw, sample, ...)."""
    wanted = [name for name in ("sd_seed", "sd_step", "run_mean", names.ABILITY) if name in posterior]
    joined = posterior[wanted].stack(sample=(names.CHAIN, names.DRAW), create_index=False)
    places = np.linspace(0, joined.sizes["sample"] - 1, min(n_draws, joined.sizes["sample"])).astype(int)
    return joined.isel(sample=places).transpose("item_draw", "sample", ...)


def _range(draws: xr.Dataset) -> tuple[float, float]:
    spread = np.sqrt(sum(float((draws[name] ** 2).max()) for name in ("sd_seed", "sd_step") if name in draws))
    low, high = float(draws["run_mean"].min()), float(draws["run_mean"].max())
    if names.ABILITY in draws:
        low, high = min(low, float(draws[names.ABILITY].min())), max(high, float(draws[names.ABILITY].max()))
    return low - CURVE_REACH * spread, high + CURVE_REACH * spread


def _curves(posterior: xr.Dataset, weights: FloatArray, reach: tuple[float, float]) -> _Curves:
    ability = np.linspace(*reach, int(np.ceil((reach[1] - reach[0]) / CURVE_SPACING)) + 1)
    used = np.flatnonzero(weights)
    a, b, low, high = (
        posterior[name].transpose("item_draw", names.ITEM).to_numpy()[:, used]
        for name in (names.DISCRIMINATION, names.DIFFICULTY, names.GUESSING, names.UPPER_ASYMPTOTE)
    )
    score, answers = np.zeros((2, len(a), len(ability)))
    for draw in range(len(a)):
        for block in slices(len(used), BLOCK_CELLS // len(ability)):
            at = (draw, block, None)
            known = expit(log_odds(ability, a[at], b[at]))
            chance = success_probability(known, low[at], high[at])
            score[draw] += weights[used[block]] @ chance
            answers[draw] += weights[used[block]] ** 2 @ (chance * (1 - chance))
    return _Curves(ability, score, answers)


def _parts(draws: xr.Dataset, curves: _Curves) -> tuple[list[str], dict[str, FloatArray]]:
    """Mean and variances for each run, averaged over its steps, shape (item_draw, sample, run)."""
    run_of, means = draws["run_of_step"].to_numpy(), draws["run_mean"].to_numpy()
    runs = list(dict.fromkeys(run_of))
    found: dict[str, list[FloatArray]] = {}
    for place, run in enumerate(runs):
        sds = {
            name: values[..., place] if values.ndim > 2 else values
            for name, values in ((name, draws[name].to_numpy()) for name in ("sd_seed", "sd_step") if name in draws)
        }
        steps = [_at(means[..., at], sds, curves) for at in np.flatnonzero(run_of == run)]
        for name in steps[0]:
            found.setdefault(name, []).append(np.mean([step[name] for step in steps], axis=0))
    return runs, {name: np.stack(values, axis=-1) for name, values in found.items()}


def _these(draws: xr.Dataset, curves: _Curves, runs: list[str]) -> FloatArray:
    """Variance over the seeds answered of their expected scores, averaged over steps, (item_draw, sample, run)."""
    abilities = draws[names.ABILITY].transpose("item_draw", "sample", names.MODEL).to_numpy()
    scores = np.stack(
        [np.interp(ability, curves.ability, score) for ability, score in zip(abilities, curves.score, strict=True)]
    )
    run_of, step_of = (draws[name].to_numpy() for name in ("run_of_model", "step_of_model"))
    found = []
    for run in runs:
        steps = dict.fromkeys(step_of[run_of == run])
        each = [scores[..., (run_of == run) & (step_of == step)].var(axis=-1, ddof=1) for step in steps]
        found.append(np.mean(each, axis=0))
    return np.stack(found, axis=-1)


def _at(mean: FloatArray, sds: dict[str, FloatArray], curves: _Curves) -> dict[str, FloatArray]:
    """Mean and variances at one run and step, shape (item_draw, sample), by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(N_NODES)
    weights = weights / weights.sum()
    has_steps = "sd_step" in sds
    ability = (mean + sds["sd_seed"] * nodes[:, None, None])[None]  # (step node, seed node, item_draw, sample)
    inner = weights if has_steps else np.ones(1)
    if has_steps:
        ability = ability + sds["sd_step"] * nodes[:, None, None, None]
    score, answers = np.empty_like(ability), np.empty_like(ability)
    for draw in range(len(mean)):
        score[:, :, draw] = np.interp(ability[:, :, draw], curves.ability, curves.score[draw])
        answers[:, :, draw] = np.interp(ability[:, :, draw], curves.ability, curves.answers[draw])
    by_seed = np.tensordot(inner, score, 1)
    centre = np.tensordot(weights, by_seed, 1)
    parts = {
        "seed_sd_ability": sds["sd_seed"] ** 2,
        "mean": centre,
        "seed_sd": np.tensordot(weights, (by_seed - centre) ** 2, 1),
        "answer_sd": np.tensordot(weights, np.tensordot(inner, answers, 1), 1),
    }
    if has_steps:
        parts["step_sd_ability"] = sds["sd_step"] ** 2
        parts["step_sd"] = np.tensordot(weights, np.tensordot(inner, (score - by_seed) ** 2, 1), 1)
    parts["checkpoint_sd"] = parts["seed_sd"] + parts.get("step_sd", 0.0)
    parts["score_sd"] = parts["checkpoint_sd"] + parts["answer_sd"]
    return parts


def _summarise(
    benchmark: str, run: str, parts: dict[str, FloatArray]
) -> list[tuple[str, str, str, float, float, float]]:
    rows: list[tuple[str, str, str, float, float, float]] = []
    for name in (quantity for quantity in QUANTITIES if quantity in parts):
        values = parts[name] if name == "mean" else np.sqrt(parts[name])
        middle, low, high = np.quantile(values, (0.5, *names.INTERVAL))
        rows.append((benchmark, run, name, float(middle), float(low), float(high)))
    return rows


DISPERSION_LIMIT: Final = 1.25  # of the answers' variance over what the items imply, or the other way round
SPREAD_LIMIT: Final = 1.25  # of one sd of the score over another


def description_checks(ratio: float, table: pd.DataFrame) -> tuple[Check, ...]:
    """Check what the model supposes, and whether it comes to the scores seen.

    Parameters
    ----------
    ratio : float
        From `answer_variance_ratio`.
    table : pd.DataFrame
        From `seed_effect_table` and `seen_spread`, of one set of items.

    Returns
    -------
    tuple of Check
        ``answers``: they vary as P (1 - P); ``equal_spread``: seeds spread alike in ability at all runs and steps;
        ``score_sd``: the sd of these seeds' scores is that seen.
    """
    pooled = table[table["run"] == POOLED].set_index("quantity")["estimate"]
    return (
        _check(
            "answers", ratio, DISPERSION_LIMIT,
            "answers vary {:.2f} times as much around their expectation as the items imply",
            "; the model takes them so",
        ),
        _check(
            "equal_spread", pooled["score_sd"] / pooled["these_score_sd"], SPREAD_LIMIT,
            "the sd of a new seed's score is {:.2f} times that of these seeds",
            ": seeds spread more in ability at some runs or steps; go by the rows of these seeds",
        ),
        _check(
            "score_sd", pooled["these_score_sd"] / pooled[SEEN], SPREAD_LIMIT,
            "the model's sd of these seeds' scores is {:.2f} times the one seen",
            "; trust the components of variance",
        ),
    )  # fmt: skip


def _check(name: str, value: float, limit: float, text: str, consequence: str) -> Check:
    if not np.isfinite(value):
        return Check(name, "not_applicable", None, limit, "cells are missing")
    good = 1 / limit <= value <= limit
    message = text.format(value) + ("" if good else consequence)
    return Check(name, "passed" if good else "failed", float(value), limit, message)
