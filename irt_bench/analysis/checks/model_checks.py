"""ModelChecks: what the checks of a fit found, whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from irt_bench.analysis.checks.loo import LeaveOneOut
from irt_bench.analysis.checks.named import Check

RECORDS: Final = 10  # pairs of items in a summary


@dataclass(frozen=True)
class ModelChecks:
    """Named checks, and the tables behind them.

    Parameters
    ----------
    checks : tuple of Check
        All of them, also those that do not apply.
    items : pd.DataFrame
        Indexed by item: ``infit, outfit, s_x2, s_x2_df, s_x2_p, s_x2_p_holm, s_x2_rmsea, curve_surprise`` (mean squared
        standard score of the item-total curve), ``largest_q3, partner`` (of the pair furthest beyond its limit) and
        ``misfits``, names joined by ';'.
    models : pd.DataFrame
        Indexed by model: ``ability, zh, infit, outfit, score, misfit``.
    pairs : pd.DataFrame
        Pairs of items whose Q3 is furthest beyond its limit: ``item_a, item_b, q3, q3_excess, limit``.
    differences : pd.DataFrame
        Between groups of models: ``group, item, delta, delta_q05, delta_q95, large``.
    eigenvalues : pd.DataFrame
        Indexed by number: ``observed, unrelated_q95, one_dimension_q05, one_dimension_q95``.
    scores : pd.DataFrame
        Indexed by score: cumulated share of models, ``observed, predicted, predicted_q05, predicted_q95``.
    curves : pd.DataFrame
        Of the items whose curves are furthest from the fit: ``item, group, score, observed, predicted, predicted_q05,
        predicted_q95``.
    log_scores : tuple of LeaveOneOut
        Of cells and, where it can be had, of models.
    notes : tuple of str
        What was sampled, left out or done otherwise.
    replicates, seed : int
        Simulated data sets, and the seed of everything random.
    """

    checks: tuple[Check, ...]
    items: pd.DataFrame
    models: pd.DataFrame
    pairs: pd.DataFrame
    differences: pd.DataFrame
    eigenvalues: pd.DataFrame
    scores: pd.DataFrame
    curves: pd.DataFrame
    log_scores: tuple[LeaveOneOut, ...]
    notes: tuple[str, ...]
    replicates: int
    seed: int

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.status != "failed" for check in self.checks)

    def table(self) -> pd.DataFrame:
        """Tabulate the checks, indexed by name."""
        return pd.DataFrame([check.to_dict() for check in self.checks]).set_index("name")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "passed": self.passed,
            "checks": [check.to_dict() for check in self.checks],
            "log_scores": [each.to_dict() for each in self.log_scores],
            "pairs": self.pairs.head(RECORDS).to_dict("records"),
            "notes": list(self.notes),
            "replicates": self.replicates,
            "seed": self.seed,
        }
