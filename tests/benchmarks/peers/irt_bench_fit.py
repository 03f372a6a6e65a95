"""This package's `fit`. Options: method, irt_model ("2pl"), and the method's settings (chains, draws, jobs, ...)."""

import sys
import warnings
from pathlib import Path

from common import from_draws, serve
from joblib.externals.loky import get_reusable_executor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from matrices import counts_of  # noqa: E402

from irt_bench.inference.fit import fit as fit_model  # noqa: E402
from irt_bench.inference.settings import settings_for  # noqa: E402
from irt_bench.irt_models.logistic import irt_model_from_name  # noqa: E402

NOT_SETTINGS = {"method", "irt_model", "warm_up"}


def prepare(responses, options):
    return counts_of(responses)


def fit(counts, options):
    settings = {name: value for name, value in options.items() if name not in NOT_SETTINGS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # checks that failed are in the notes
        fitted = fit_model(
            counts, irt_model_from_name(options["irt_model"]), settings_for(options["method"], seed=0, **settings)
        )
    if options.get("jobs", 1) > 1:  # processor time of workers is told when they have ended
        get_reusable_executor().shutdown(wait=True)
    return fitted


def export(fitted, counts, options):
    estimates = {}
    for name in ("ability", "difficulty", "discrimination"):
        values = fitted.posterior[name].values
        estimates |= from_draws(name, values.reshape(-1, values.shape[-1]))
    checks = {check.name: check.value for check in fitted.checks}
    failed = [f"{check.name}: {check.message}" for check in fitted.checks if check.status == "failed"]
    return estimates, {
        "timings": dict(fitted.timings),
        "min_ess": checks.get("ess_bulk"),
        "max_rhat": checks.get("r_hat"),
        "failed_checks": failed,
    }


if __name__ == "__main__":
    packages = ("irt-bench", "numpy", "torch", "pyro-ppl", "numba")
    serve(prepare, fit, export, packages, warm_up={}, warm_up_shapes=((30, 20), (60, 4_000)))
