"""theta-irt's marginal maximum likelihood by EM, abilities by expected a posteriori.

Options: irt_model, "2pl" or "1pl"; se, whether items get standard errors, for which it needs 8 bytes for every model,
node and parameter at once.
"""

import numpy as np
import theta
from common import serve, with_bounds


def prepare(responses, options):
    return np.where(responses < 0, np.nan, responses.astype(np.float64))


def fit(data, options):
    model = theta.fit(data, options["irt_model"].upper())
    return model, model.score(data), model.standard_errors(data) if options["se"] else None


def export(found, data, options):
    model, (ability, sd), errors = found
    estimates = with_bounds("ability", ability, sd)
    for name, at in (("difficulty", "b"), ("discrimination", "a")):
        value = np.asarray(getattr(model, at))
        estimates |= {name: value} if errors is None else with_bounds(name, value, errors[at])
    return estimates, {"converged": bool(model.converged)}


if __name__ == "__main__":
    serve(prepare, fit, export, ("theta-irt", "jax", "numpy"), warm_up={}, warm_up_shapes=None)
