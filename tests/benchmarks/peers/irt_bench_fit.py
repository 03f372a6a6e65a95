"""This package's `fit`, or the fast method alone, without checks (option checks: false).

Options: method, irt_model ("2pl"), checks (true), and the method's settings (chains, draws, jobs, ...).
"""

import sys
import warnings
from pathlib import Path

from common import from_draws, serve
from joblib.externals.loky import get_reusable_executor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from matrices import counts_of  # noqa: E402

from irt_bench.inference.fast.laplace import fit_laplace  # noqa: E402
from irt_bench.inference.fit import fit as fit_model  # noqa: E402
from irt_bench.inference.settings import settings_for  # noqa: E402
from irt_bench.irt_models.logistic import irt_model_from_name  # noqa: E402

NOT_SETTINGS = {"method", "irt_model", "warm_up", "checks"}


def prepare(responses, options):
    return counts_of(responses)


def fit(counts, options):
    given = {name: value for name, value in options.items() if name not in NOT_SETTINGS}
    model, settings = irt_model_from_name(options["irt_model"]), settings_for(options["method"], seed=0, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # checks that failed are in the notes
        if not options.get("checks", True):
            return fit_laplace(model, counts.correct, counts.trials, settings)
        fitted = fit_model(counts, model, settings)
    if options.get("jobs", 1) > 1:  # processor time of workers is told when they have ended
        get_reusable_executor().shutdown(wait=True)
    return fitted


def export(fitted, counts, options):
    estimates, checked = {}, options.get("checks", True)
    for name in ("ability", "difficulty", "discrimination"):
        values = fitted.posterior[name].values if checked else fitted.sites[name]
        estimates |= from_draws(name, values.reshape(-1, values.shape[-1]))
    if not checked:
        return estimates, {}
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
