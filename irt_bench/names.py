"""Names of dimensions, parameters and columns.

Scale, everywhere: logit P = discrimination * (ability - difficulty), the logistic metric (D = 1), with
ability ~ N(0, 1) in the calibration sample and discrimination > 0. Arrays have the orientation (model, item).

Names to choose from, as types that a type checker, completion and help texts show; importing them is fast.
"""

from typing import Final, Literal

# Dimensions of arrays; also coordinate names and Pyro plate names.
MODEL: Final = "model"
ITEM: Final = "item"
CHAIN: Final = "chain"
DRAW: Final = "draw"
DIMENSION: Final = "dimension"  # of models with several abilities
POINT: Final = "point"  # of thresholds of ordered scores, from 1
OTHER_DIMENSION: Final = "other_dimension"  # of correlations between them

# Parameters of item response models.
ABILITY: Final = "ability"  # theta, one per model
DIFFICULTY: Final = "difficulty"  # b, on the ability scale
DISCRIMINATION: Final = "discrimination"  # a > 0, logits per unit of ability
GUESSING: Final = "guessing"  # c, lower asymptote in [0, 1)
UPPER_ASYMPTOTE: Final = "upper_asymptote"  # d, in (c, 1]
LOADING: Final = "loading"  # a_d of one dimension, logits per unit of its ability, of either sign
INTERCEPT: Final = "intercept"  # logit at abilities of 0
ABILITY_CORRELATION: Final = "ability_correlation"
THRESHOLD: Final = "threshold"  # of a number of points or more, on the ability scale
DISPERSION: Final = "dispersion"  # rho in (0, 1), correlation of the trials of one model with one item beyond ability

# Columns of the canonical long table, one row per graded response.
BENCHMARK: Final = "benchmark"
TRIAL: Final = "trial"
CORRECT: Final = "correct"
N_CORRECT: Final = "n_correct"
N_SAMPLES: Final = "n_samples"
SCORE: Final = "score"
MIN_SCORE: Final = "min_score"  # range of a score that is not in [0, 1], where it is given
MAX_SCORE: Final = "max_score"
LOWEST_SCORE: Final = "lowest_score"  # metadata of items: the range that shares in [0, 1] are of
HIGHEST_SCORE: Final = "highest_score"
RUN: Final = "run"
CLUSTER: Final = "cluster"  # related models, such as fine-tunes of one base model
SEED: Final = "seed"
STEP: Final = "step"
SUBTASK: Final = "subtask"
RATER: Final = "rater"  # who gave a score, such as a judge; an item and a rater then are one item of the responses
RATED_ITEM: Final = "rated_item"  # metadata of such items: the item that was rated
DOC_HASH: Final = "doc_hash"

INTERVAL: Final = (0.05, 0.95)  # quantiles of every interval reported: central 90%
CLEAR_PROBABILITY: Final = INTERVAL[1]  # an order with at least this probability counts as shown
POOLED: Final = "pooled"  # value of the column of runs for all runs together, with variances pooled within run


ModelName = Literal["1pl", "2pl", "3pl", "4pl", "m2pl", "confirmatory", "bifactor", "grm", "gpcm", "mfrm", "beta"]
MethodName = Literal["laplace", "svi", "nuts"]
PriorsName = Literal["hierarchical", "independent"]
DispersionName = Literal["auto", "none"]
GuideName = Literal["auto", "full", "low_rank", "normal"]
DeviceName = Literal["cpu", "cuda"]
CopiesName = Literal["keep", "once"]
LinkingName = Literal["stocking-lord", "mean-sigma"]
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
WeightingName = Literal["equal", "anchor", "discrimination", "information", "minimum-variance", "balance"]
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
ExportName = Literal[
    "lm-eval", "lm-eval-task", "lm-eval-round", "inspect", "inspect-adaptive", "py-irt", "params", "ids"
]
SamplerName = Literal["svi", "nuts"]
StatisticName = Literal[
    "e", "mean", "bias", "movement", "snr", "monotonicity", "kendall_tau", "decision_accuracy", "seed_model"
]
BackendName = Literal["loky", "dask"]
FileFormatName = Literal[
    "tabular",
    "long",
    "wide",
    "json",
    "lm-eval",
    "inspect",
    "helm",
    "every-eval-ever",
    "py-irt",
    "olmes",
    "evalplus",
    "swe-bench",
    "promptfoo",
    "openai-evals",
    "alpaca-eval",
    "evalscope",
]
