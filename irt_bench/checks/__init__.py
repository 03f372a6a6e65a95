"""Model checks: whether the IRT model describes the responses, per item, per model, and as a whole."""

from irt_bench.checks.check_fit import ModelChecks, check_fit
from irt_bench.inference.convergence import Check

__all__ = ["Check", "ModelChecks", "check_fit"]
