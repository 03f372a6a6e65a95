"""The seed model on responses: items calibrated or given, fitted, and its sds beside those seen in the scores.

Items come from a fit that is given, or are calibrated here on models that are no seed of any run; where these are too
few, on all models, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from irt_bench import names
from irt_bench.errors import AnalysisError
from irt_bench.inference.fit import fit
from irt_bench.inference.seed_fit import N_ITEM_DRAWS, fit_seed_model
from irt_bench.inference.settings import LaplaceSettings, NUTSSettings, SVISettings
from irt_bench.irt_models.logistic import TwoPL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import ResponseTable
from irt_bench.variance.benchmark_runs import one_measure
from irt_bench.variance.few_seeds import sd_interval, steps_moving_as_one
from irt_bench.variance.layout import seed_layout
from irt_bench.variance.moments import FloatArray
from irt_bench.variance.scores import RunScores
from irt_bench.variance.seed_effect import COLUMNS, POOLED, SEEN, answer_variance_ratio, seed_effect_table

Progress = Callable[[str, int, int], None]

FEWEST_OTHERS: Final = 20  # models that are no seeds, from which on they alone calibrate the items
ALL_ITEMS: Final = "all"
SOME_ITEMS: Final = "subset"
RATIO_LIMITS: Final = (0.85, 1.15)  # of the answers' variance, seen over implied; beyond, the model misses something


@dataclass(frozen=True)
class SeedModelResult:
    """The seed model of one or several benchmarks.

    Parameters
    ----------
    table : pd.DataFrame
        ``benchmark, items`` (all, or subset), ``run`` (or "pooled"), ``quantity, estimate, q05, q95``: quantities of
        `irt_bench.variance.seed_effect`, and ``score_sd_seen``, the sd over seeds of the score itself.
    fits : dict
        Settings, convergence, ``answer_variance_ratio`` and where the items come from, by benchmark.
    notes : tuple of str
        What was decided, and what to beware of.
    """

    table: pd.DataFrame
    fits: dict[str, dict[str, Any]]
    notes: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
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
    raise AnalysisError(f"--seed-model is {method!r}; 'nuts' (exact, minutes) or 'svi' (half a minute) is needed.")


def model_seed_effects(
    table: ResponseTable,
    settings: NUTSSettings | SVISettings,
    *,
    items: xr.Dataset | None = None,
    weights: pd.Series | None = None,
    run_columns: Sequence[str] | None = None,
    n_item_draws: int | None = None,
    progress: Progress | None = None,
) -> SeedModelResult:
    """Fit the seed model to every benchmark of a table.

    Parameters
    ----------
    table : ResponseTable
        Right answers, with a ``seed`` of the models.
    settings : NUTSSettings or SVISettings
        Of the seed model's fit.
    items : xr.Dataset, optional
        Posterior of the items from a fit to other models; by default they are calibrated here.
    weights : pd.Series, optional
        Of the items of a subset, by label: its seed sd besides that of the full benchmark.
    run_columns : sequence of str, optional
        See `seed_layout`.
    n_item_draws : int
        Draws of the items' parameters; 10 by default.
    progress : callable, optional
        Told (what, done, total).

    Raises
    ------
    AnalysisError
        If items or weights are given for several benchmarks; see also `seed_layout` and `seed_effect_table`.
    """
    if len(table.benchmarks) > 1 and (items is not None or weights is not None):
        raise AnalysisError(
            f"a fit or a subset belongs to one benchmark, and there are {len(table.benchmarks)}; choose one with "
            "--benchmark NAME."
        )
    frames, fits, notes = [], {}, []
    for benchmark in table.benchmarks:
        one = table.select(benchmark)
        runs, _ = one_measure(one, run_columns=run_columns)
        counts = _with_layout(one.counts(), run_columns)
        known, source = (items, "given") if items is not None else _calibrated(counts, settings.seed, progress)
        if source != "given":
            notes.append(f"{benchmark}: items calibrated on {source}")
        found = fit_seed_model(
            counts, settings, items=known, n_item_draws=n_item_draws or N_ITEM_DRAWS, progress=progress
        )
        ratio = answer_variance_ratio(counts, found.posterior)
        if not RATIO_LIMITS[0] <= ratio <= RATIO_LIMITS[1]:
            notes.append(_ratio_note(benchmark, ratio))
        for name, chosen in ((ALL_ITEMS, None), (SOME_ITEMS, weights)):
            if name == ALL_ITEMS or chosen is not None:
                own = seed_effect_table(found.posterior, weights=chosen, benchmark=benchmark)
                frame = pd.concat([own, seen_spread(runs, chosen)], ignore_index=True)
                frame.insert(1, "items", name)
                frames.append(frame)
        fits[benchmark] = found.summary() | {"items_from": source, "answer_variance_ratio": ratio}
    return SeedModelResult(pd.concat(frames, ignore_index=True), fits, tuple(notes))


def seen_spread(runs: Sequence[RunScores], weights: pd.Series | None = None) -> pd.DataFrame:
    """Tabulate the sd over seeds of the (weighted) score: variances averaged over steps, and over runs when pooled.

    The interval is the chi-square one, of as many degrees of freedom as seeds, and steps that move apart, have; NaN
    where cells are missing.
    """
    rows, variances, freedoms = [], [], []
    for run in runs:
        scores = _weighted_scores(run, weights)
        if not np.isfinite(scores).all():
            rows.append((run.benchmark, run.run, SEEN, np.nan, np.nan, np.nan))
            continue
        variances.append(float(scores.var(axis=0, ddof=1).mean()))
        freedoms.append(float((run.n_seeds - 1) / steps_moving_as_one(scores)))
        rows.append((run.benchmark, run.run, *_spread(variances[-1], freedoms[-1])))
    if variances:
        # Of variances averaged with equal weights, not pooled: Satterthwaite.
        squares = np.array(variances) ** 2 / np.array(freedoms)
        freedom = float(sum(variances) ** 2 / squares.sum()) if squares.any() else float(sum(freedoms))
        rows.append((runs[0].benchmark, POOLED, *_spread(float(np.mean(variances)), freedom)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _spread(variance: float, freedom: float) -> tuple[str, float, float, float]:
    sd = float(np.sqrt(variance))
    lower, upper = sd_interval(np.asarray(sd), freedom)
    return SEEN, sd, float(lower), float(upper)


def _weighted_scores(run: RunScores, weights: pd.Series | None) -> FloatArray:
    """Scores of shape (seed, step)."""
    if weights is None:
        return run.scores()
    by_label = pd.Series(weights.to_numpy(dtype=np.float64), weights.index.astype("str"))
    own = by_label.reindex(run.items.astype("str")).fillna(0.0).to_numpy()
    used = own != 0
    return np.asarray(run.values[..., used] @ (own[used] / own.sum()))


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
    found = fit(counts.take(models=chosen), TwoPL(), LaplaceSettings(seed=seed), progress=progress)
    return found.posterior, source


def _ratio_note(benchmark: str, ratio: float) -> str:
    what = "agree on items more" if ratio < 1 else "differ on items more"
    return (
        f"{benchmark}: answers vary {ratio:.2f} times as much around their expectation as the items imply; seeds of a "
        f"run {what} than their abilities explain. Trust the components of variance where the two differ"
    )
