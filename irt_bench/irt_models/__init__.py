"""How answers arise: item response models as priors and a formula, and simulated answers from them.

`IRT_MODELS` maps the names ``1pl`` to ``4pl`` to the models, `MULTIDIMENSIONAL_MODELS` those with several abilities;
`simulate_responses` and `simulate_benchmark` draw responses with known parameters. Nothing here imports torch but
`program`, the models' Pyro program.
"""

from irt_bench.irt_models.logistic import IRT_MODELS, FourPL, OnePL, ThreePL, TwoPL, irt_model_from_name
from irt_bench.irt_models.model import IRTModel
from irt_bench.irt_models.multidimensional import (
    MULTIDIMENSIONAL_MODELS,
    BifactorTwoPL,
    ConfirmatoryTwoPL,
    MultidimensionalTwoPL,
)
from irt_bench.irt_models.simulate import Simulation, simulate_benchmark, simulate_responses

__all__ = [
    "IRT_MODELS",
    "MULTIDIMENSIONAL_MODELS",
    "BifactorTwoPL",
    "ConfirmatoryTwoPL",
    "FourPL",
    "IRTModel",
    "MultidimensionalTwoPL",
    "OnePL",
    "ThreePL",
    "TwoPL",
    "Simulation",
    "irt_model_from_name",
    "simulate_benchmark",
    "simulate_responses",
]
