"""mirt for Python (not R's): marginal maximum likelihood by EM, standard errors, abilities by expected a posteriori.

Options: irt_model, "2pl" or "1pl", and n_factors, by default 1; of several factors the chances of right answers are
given, shape (model, item), and no standard errors. No priors on items: difficulties and discriminations of hard items
may run away.
"""

import warnings

import mirt
import numpy as np
from common import serve, with_bounds


def prepare(responses, options):
    return responses.astype(np.int64)


def fit(data, options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        n_factors = options.get("n_factors", 1)
        model, single = options["irt_model"].upper(), n_factors == 1
        fitted = mirt.fit_mirt(data, model=model, n_factors=n_factors, compute_standard_errors=single)
        return fitted, mirt.fscores(fitted, data, method="EAP")


def export(found, data, options):
    fitted, scores = found
    if options.get("n_factors", 1) > 1:
        return {"chance": fitted.model.probability(scores.theta)}, {"converged": bool(fitted.converged)}
    estimates = with_bounds("ability", np.ravel(scores.theta), np.ravel(scores.standard_error))
    n_items = data.shape[1]
    for name in ("difficulty", "discrimination"):
        mean = np.broadcast_to(np.ravel(getattr(fitted.model, name)), n_items).astype(float)
        sd = np.broadcast_to(np.ravel(fitted.standard_errors[name]), n_items).astype(float)
        estimates |= with_bounds(name, mean, sd)
    return estimates, {"converged": bool(fitted.converged)}


if __name__ == "__main__":
    serve(prepare, fit, export, ("mirt", "numpy", "scipy"), warm_up={})
