"""girth's marginal maximum likelihood, abilities by expected a posteriori. Option: irt_model, "2pl" or "1pl".

girth's matrices are items x persons; it has no intervals.
"""

import warnings

import girth
import numpy as np
from common import serve
from girth.unidimensional.dichotomous import ability_eap


def prepare(responses, options):
    transposed = np.ascontiguousarray(responses.T.astype(np.int64))  # its code for missing does not fit int8
    return girth.tag_missing_data(transposed, [0, 1]) if (responses < 0).any() else transposed


def fit(data, options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = girth.rasch_mml(data) if options["irt_model"] == "1pl" else girth.twopl_mml(data)
        difficulty = found["Difficulty"]
        discrimination = np.broadcast_to(found.get("Discrimination", 1.0), difficulty.shape).astype(float)
        ability = found.get("Ability")
        if ability is None:
            ability = ability_eap(data, difficulty, discrimination)
    return {"ability": ability, "difficulty": difficulty, "discrimination": discrimination}


def export(estimates, data, options):
    return estimates, {}


if __name__ == "__main__":
    serve(prepare, fit, export, ("girth", "numpy", "scipy"), warm_up={})
