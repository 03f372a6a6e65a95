"""Intervals of the estimated full score that hold on models held out, and for models abler or weaker than they are.

*Models like those of the calibration.* The IRT model says how far the full score may be from an estimate, given the
answers: ability, item parameters and answers not seen. What held-out models scatter beyond that is misfit, the same for
all models. The interval is the estimate -+ scale x sd, with the scale at which 90% of the held-out models are covered
(split conformal prediction over cross-validation folds), so that it holds for estimators that the IRT model knows
nothing of, too.

*Models outside the range of the calibration's abilities.* What holds for models alike says nothing of them. The
half-width is the largest of four: the one above; the same learned by calibrating on the weaker half of the calibration
models and scoring the strongest (`ABLER`); t x the sd of a mean of as many randomly chosen items, from the scatter of
the model's own residuals, which rests on no IRT model; and 1.645 x the sd that the IRT model expects. Between the two
kinds goes the posterior probability that the ability lies outside the range.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from scipy import stats

from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.arrays import FloatArray
from irt_bench.names import INTERVAL
from irt_bench.subsets.clusters import Labels
from irt_bench.subsets.instrument import Prediction

COVERAGE = INTERVAL[1] - INTERVAL[0]
N_RESAMPLES: Final = 1000  # of clusters, for intervals of expected errors
RESAMPLING_SEED: Final = 20240522


class Expected(NamedTuple):
    """An error expected of new models with its central 90% interval, in [0, 1]; NaN where nothing tells it."""

    value: float
    q05: float
    q95: float


class Errors(NamedTuple):
    """Errors of an estimator on models held out, and what they say of new ones."""

    mean_absolute: Expected
    root_mean_square: Expected
    mean: float
    misfit_sd: float
    interval_scale: float
    mean_half_width: float  # of the intervals of these models


_NOT_KNOWN = Expected(math.nan, math.nan, math.nan)
UNKNOWN: Final = Errors(_NOT_KNOWN, _NOT_KNOWN, math.nan, math.nan, math.nan, math.nan)


def held_out_errors(error: FloatArray, variance: FloatArray, clusters: Labels | None = None) -> Errors:
    """Summarise errors of held-out models.

    Parameters
    ----------
    error, variance : arrays of shape (model,)
        Estimate minus full score, and the variance that the IRT model expects of it.
    clusters : array of str, shape (model,), optional
        Clusters that are resampled for the intervals of the errors; each model by itself by default.

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
    absolute, square = _resampled(np.stack([np.abs(error), error**2]), clusters)
    return Errors(
        mean_absolute=absolute,
        root_mean_square=Expected(*(math.sqrt(value) for value in square)),
        mean=float(error.mean()),
        misfit_sd=math.sqrt(misfit),
        interval_scale=scale,
        mean_half_width=scale * float(sd.mean()),
    )


def _resampled(values: FloatArray, clusters: Labels | None) -> list[Expected]:
    """Mean of each row with the quantiles of its mean over resampled clusters; NaN limits with one cluster."""
    codes = np.arange(values.shape[1]) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    n_clusters = int(codes.max()) + 1
    sums, sizes = np.array([np.bincount(codes, row) for row in values]), np.bincount(codes)
    if n_clusters == 1:
        return [Expected(float(mean), math.nan, math.nan) for mean in values.mean(axis=1)]
    rng = np.random.default_rng(RESAMPLING_SEED)
    drawn = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=N_RESAMPLES)
    low, high = np.quantile(drawn @ sums.T / (drawn @ sizes)[:, None], INTERVAL, axis=0)
    return [Expected(*map(float, each)) for each in zip(values.mean(axis=1), low, high, strict=True)]


class Outside(NamedTuple):
    """What widens the intervals of models outside the calibration's range of abilities, arrays of shape (model,)."""

    probability: FloatArray  # of being outside
    design_sd: FloatArray  # of a mean over randomly chosen items, from the scatter of the model's residuals
    quantile: FloatArray  # of Student's t behind it
    misfit_sd: float  # found on abler models; NaN where there were too few to find it
    scale: float


def outside_of(prediction: Prediction, probability: FloatArray, n_items: int, abler: Errors) -> Outside:
    """Say what widens intervals of models outside; `n_items` is the number of items of the full benchmark."""
    asked = prediction.asked.sum(axis=1)
    mean = prediction.residuals.sum(axis=1) / np.maximum(asked, 1)
    squares = ((prediction.residuals - mean[:, None]) ** 2 * prediction.asked).sum(axis=1)
    free = np.maximum(asked - 1, 1)
    design = np.where(asked > 1, (1 - asked / n_items) * squares / free / np.maximum(asked, 1), np.inf)
    quantile = stats.t.ppf(INTERVAL[1], free)
    return Outside(probability, np.sqrt(design), quantile, abler.misfit_sd, abler.interval_scale)


def limits(
    estimate: FloatArray,
    variance: FloatArray,
    *,
    misfit_sd: float,
    scale: float,
    step: float,
    within: tuple[FloatArray, FloatArray],
    outside: Outside | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper limits of the 90% interval, kept within what the answers leave possible.

    Full scores are about `step`, one item's share, apart: an interval narrower than that could hold none of them.
    """
    half = scale * np.sqrt(variance + misfit_sd**2)
    if outside is not None:
        abler = outside.scale * np.sqrt(variance + outside.misfit_sd**2)
        design = outside.quantile * outside.design_sd
        wide = np.fmax.reduce([half, abler, design, Z_LIMIT * np.sqrt(variance)])  # NaN: not known
        share = outside.probability
        half = np.where(share > 0, (1 - share) * half + share * np.minimum(wide, 1), half)
    half = np.maximum(half, step / 2)
    low, high = within
    half = np.where(high - low > 0, half, 0)  # nothing is left to estimate
    return np.clip(estimate - half, low, high), np.clip(estimate + half, low, high)
