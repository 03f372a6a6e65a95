"""The seed model on responses: items calibrated or given, fitted, and its sds beside those seen in the scores.

Items come from a fit that is given, or are calibrated here on models that are no seed of any run; where these are too
few, on all models, and that is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from irt_bench import names
from irt_bench.errors import AnalysisError
from irt_bench.inference.convergence import MIN_MODELS
from irt_bench.inference.fit import fit
from irt_bench.inference.settings import N_ITEM_DRAWS, LaplaceSettings, NUTSSettings, SVISettings
from irt_bench.irt_models.logistic import TwoPL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import ResponseTable
from irt_bench.variance.benchmark_runs import one_measure
from irt_bench.variance.moments import answer_variance_ratio, answers_per_cell
from irt_bench.variance.scores import seed_layout
from irt_bench.variance.seed_checks import description_checks, seen_spread
from irt_bench.variance.seed_effect import seed_effect_table
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
        n_draws = n_item_draws or N_ITEM_DRAWS
        found, ratio = fit_as_varied(counts, known, settings, n_item_draws=n_draws, progress=progress)
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
