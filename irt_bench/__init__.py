"""Bayesian item response models for language-model benchmarks.

The journey in six lines::

    from irt_bench import TwoPL, ability_table, fit, item_statistics, read_responses

    table = read_responses(["logs/"])                     # any known format, files or folders
    counts = table.select("gsm8k").counts()               # (model, item): right answers and trials
    item_statistics(counts)                               # share right, item-rest correlation, flags
    fitted = fit(counts, TwoPL())                         # draws, labelled, with convergence checks
    ability_table(fitted.posterior, counts)               # abilities with intervals, beside accuracy
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Fit": "irt_bench.api.fit",
    "FourPL": "irt_bench.irt_models.logistic",
    "IRTModel": "irt_bench.irt_models.base",
    "IrtBenchError": "irt_bench.errors",
    "LaplaceSettings": "irt_bench.inference.settings",
    "NUTSSettings": "irt_bench.inference.settings",
    "OnePL": "irt_bench.irt_models.logistic",
    "ResponseCounts": "irt_bench.responses",
    "ResponseTable": "irt_bench.responses",
    "SVISettings": "irt_bench.inference.settings",
    "ThreePL": "irt_bench.irt_models.logistic",
    "TwoPL": "irt_bench.irt_models.logistic",
    "ability_table": "irt_bench.analysis.irt",
    "compare_ability_accuracy": "irt_bench.analysis.agreement",
    "fit": "irt_bench.api.fit",
    "item_statistics": "irt_bench.analysis.classical",
    "item_table": "irt_bench.analysis.irt",
    "read_responses": "irt_bench.responses",
    "score_models": "irt_bench.analysis.abilities",
    "simulate_responses": "irt_bench.irt_models.simulate",
    "table_from_frame": "irt_bench.responses",
    "write_table": "irt_bench.responses",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the libraries behind it take seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'irt_bench' has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
