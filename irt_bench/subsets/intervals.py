"""Intervals of the estimated full score that hold on models held out: misfit added, then scaled to cover.

The IRT model says how far the full score may be from an estimate, given the answers: ability, item parameters and
answers not seen. What held-out models scatter beyond that is misfit, the same for all models. The interval is the
estimate -+ scale x sd, with the scale at which 90% of the held-out models are covered (split conformal prediction over
cross-validation folds), so that it holds for estimators that the IRT model knows nothing of, too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from irt_bench.analysis.intervals import FloatArray
from irt_bench.names import INTERVAL

COVERAGE = INTERVAL[1] - INTERVAL[0]


class Errors(NamedTuple):
    """Errors of an estimator on models held out, and what they say of new ones."""

    mean_absolute: float
    mean: float
    root_mean_square: float
    misfit_sd: float
    interval_scale: float
    mean_half_width: float  # of the intervals of these models


def held_out_errors(error: FloatArray, variance: FloatArray) -> Errors:
    """Summarise errors of held-out models.

    Parameters
    ----------
    error, variance : arrays of shape (model,)
        Estimate minus full score, and the variance that the IRT model expects of it.

    Notes
    -----
    The misfit variance is the mean squared error beyond the mean expected variance, not below 0. The scale is the
    0.9 (n + 1)-th smallest |error| / sd, interpolated, which covers new exchangeable models with 90%; the largest where
    there are fewer than 9 models. Departs from Lei et al. (2018, DOI 10.1080/01621459.2017.1307116), who round up, so
    that few models do not make all intervals too wide.
    """
    misfit = max(0.0, float((error**2).mean() - variance.mean()))
    sd = np.sqrt(variance + misfit)
    ratio = np.abs(error) / np.maximum(sd, np.finfo(np.float64).tiny)
    scale = float(np.quantile(ratio, COVERAGE, method="weibull")) if sd.any() else 0.0
    return Errors(
        mean_absolute=float(np.abs(error).mean()),
        mean=float(error.mean()),
        root_mean_square=math.sqrt(float((error**2).mean())),
        misfit_sd=math.sqrt(misfit),
        interval_scale=scale,
        mean_half_width=scale * float(sd.mean()),
    )


def limits(
    estimate: FloatArray,
    variance: FloatArray,
    *,
    misfit_sd: float,
    scale: float,
    step: float,
    within: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper limits of the 90% interval, kept within what the answers leave possible.

    Full scores are about `step`, one item's share, apart: an interval narrower than that could hold none of them.
    """
    half = np.maximum(scale * np.sqrt(variance + misfit_sd**2), step / 2)
    low, high = within
    half = np.where(high - low > 0, half, 0)  # nothing is left to estimate
    return np.clip(estimate - half, low, high), np.clip(estimate + half, low, high)
