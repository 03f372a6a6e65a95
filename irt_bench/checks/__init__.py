"""Model checks: does the IRT model describe the answers, item by item, model by model, and as a whole."""

from irt_bench.checks.check_fit import ModelChecks, check_fit
from irt_bench.checks.limits import Check

__all__ = ["Check", "ModelChecks", "check_fit"]
