"""Names to choose from, as types that a type checker, completion and help texts show; importing them is fast."""

from typing import Literal

ModelName = Literal["1pl", "2pl", "3pl", "4pl"]
MethodName = Literal["laplace", "svi", "nuts"]
PriorsName = Literal["hierarchical", "independent"]
GuideName = Literal["auto", "full", "low_rank", "normal"]
DeviceName = Literal["cpu", "cuda"]
CopiesName = Literal["keep", "once"]
ScoreMethod = Literal["eap", "map"]
SelectorName = Literal[
    "random",
    "subtask",
    "difficulty",
    "discrimination",
    "discrimination-bins",
    "information",
    "anchors",
    "anchors-irt",
    "anchors-proportional",
    "variance",
    "no-duplicates",
]
WeightingName = Literal["equal", "anchor", "discrimination", "minimum-variance", "balance"]
EstimatorName = Literal[
    "weighted",
    "p_irt",
    "p_irt_weighted",
    "gp_irt",
    "irt_smoothed",
    "ridge",
    "spline",
    "p_irt_ridge",
    "p_irt_wide",
    "irt_difference",
    "p_irt_residual",
    "aipw",
    "p_irt_source",
    "gp_irt_source",
]
ExportName = Literal["lm-eval", "lm-eval-task", "inspect", "py-irt", "params", "ids"]
SamplerName = Literal["svi", "nuts"]
BackendName = Literal["loky", "dask"]
