"""Model checks: does the IRT model describe the answers, item by item, model by model, and as a whole."""

from irt_bench.analysis.checks.check_fit import check_fit
from irt_bench.analysis.checks.model_checks import ModelChecks
from irt_bench.analysis.checks.named import Check

__all__ = ["Check", "ModelChecks", "check_fit"]
