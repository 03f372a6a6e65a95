"""How answers arise: item response models as priors and a formula, and simulated answers from them.

Nothing here imports torch but `program`, the models' Pyro program.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from irt_bench.irt_models.logistic import IRT_MODELS, irt_model_from_dict
from irt_bench.irt_models.model import SCORE_MODEL, IRTModel, ScoreModel
from irt_bench.irt_models.multidimensional import multidimensional_from_dict
from irt_bench.irt_models.ordered_and_continuous import GeneralizedPartialCredit, GradedResponse, ZeroOneBeta
from irt_bench.irt_models.raters import ManyFacet
from irt_bench.irt_models.simulate import simulate_benchmark

SCORE_MODELS: Final[Mapping[str, type[ScoreModel]]] = {
    kind.name: kind for kind in (GradedResponse, GeneralizedPartialCredit, ManyFacet, ZeroOneBeta)
}


def irt_model_from_about(about: Mapping[str, Any]) -> IRTModel | None:
    """Rebuild a model of the package from `to_dict`; None where it is another."""
    if about["name"] in SCORE_MODELS:
        return SCORE_MODELS[about["name"]].from_dict(about)
    known = irt_model_from_dict(dict(about)) if about["name"] in IRT_MODELS else None
    return known or multidimensional_from_dict(about)


def score_model_of(attributes: Mapping[Any, Any]) -> ScoreModel | None:
    """Rebuild the model of scores that labelled draws name in their attributes; None where it is another."""
    about = json.loads(attributes.get(SCORE_MODEL, "null"))
    return None if about is None else SCORE_MODELS[about["name"]].from_dict(about)


__all__ = ["SCORE_MODELS", "irt_model_from_about", "score_model_of", "simulate_benchmark"]
