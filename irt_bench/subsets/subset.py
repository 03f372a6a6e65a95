"""SubsetRecord: the items of a reduced benchmark, and all that is needed to estimate the full score from answers.

A subset is one plain JSON file with its items, the curves of the other items, the numbers of its estimator, and its
origin. Reading it executes and unpickles nothing. A file that is not a subset, has another version, or was changed
after it was written is an error. The digest in the file detects accidents and careless edits, but not a person who
computes a new digest: use subsets from sources that you trust.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, model_validator

from irt_bench.errors import ReadError, SubsetError
from irt_bench.files import replacing
from irt_bench.responses.formats.jsonlines import load_json

Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class PlainRecord(BaseModel):
    """Immutable record of plain values; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SubsetItem(PlainRecord):
    """One item of a subset.

    Parameters
    ----------
    id : str
        Label in the calibration responses.
    weight : float
        Share in the weighted score; sums to 1 over the subset.
    target_weight : float
        Share in the full score: 1 / n_items_full, or the share in a macro-average.
    difficulty, difficulty_sd, discrimination, discrimination_sd, guessing, upper_asymptote : float
        Posterior means and sds in the calibration fit.
    mean : float
        Mean share of right answers of the calibration models.
    subtask : str
        Leaf task of the harness; the benchmark if there is only one task.
    doc_id : int, optional
        Position in the evaluated split, as numbered by lm-evaluation-harness.
    doc_hash, prompt_hash : str, optional
        Hash of the document; hash of the prompt, if it was the same for all calibration models.
    metric, filter : str, optional
        Metric and answer filter of the calibration logs.
    """

    id: str
    weight: Finite
    target_weight: Share
    difficulty: Finite
    difficulty_sd: Spread
    discrimination: Finite
    discrimination_sd: Spread
    guessing: Share = 0.0
    upper_asymptote: Share = 1.0
    mean: Share
    subtask: str
    doc_id: StrictInt | None = None
    doc_hash: str | None = None
    prompt_hash: str | None = None
    metric: str | None = None
    filter: str | None = None


class UnseenItems(PlainRecord):
    """Curves of the items outside the subset, tabulated over ability; linear between nodes.

    Parameters
    ----------
    ability : tuple of float
        Nodes, increasing.
    score : tuple of float
        Sum over these items of target weight x probability P of a right answer.
    score_sd : tuple of float
        Its sd from the uncertainty of the item parameters.
    answer_variance : tuple of float
        Variance of the sum of target weight x answer at that ability: sum of target weight^2 P (1 - P).
    """

    ability: tuple[Finite, ...]
    score: tuple[Finite, ...]
    score_sd: tuple[Spread, ...]
    answer_variance: tuple[Spread, ...]

    @model_validator(mode="after")
    def _check(self) -> UnseenItems:
        lengths = {len(self.ability), len(self.score), len(self.score_sd), len(self.answer_variance)}
        if len(lengths) != 1 or len(self.ability) < 2:
            raise ValueError(
                f"the curves of the unseen items have lengths {sorted(lengths)}; one of 2 or more is needed"
            )
        if any(right <= left for left, right in zip(self.ability, self.ability[1:], strict=False)):
            raise ValueError("the abilities of the unseen items' curves do not increase")
        return self


class Spline(PlainRecord):
    """Sum of a spline in the weighted score and one in ability, tabulated; linear between and beyond the nodes."""

    score: tuple[Finite, ...]
    score_part: tuple[Finite, ...]
    ability: tuple[Finite, ...]
    ability_part: tuple[Finite, ...]


class EstimatorParameters(PlainRecord):
    """Parameters of the estimator and of its intervals, learned from the calibration models.

    Parameters
    ----------
    weighted_share : float
        Share of the weighted score in gp-IRT (lambda'); 0 for other estimators.
    intercept : float
        Intercept of a regression.
    coefficients : tuple of float
        Coefficients of a regression on the answers, in the order of the items; empty for other estimators.
    spline : Spline, optional
        Spline of the spline regression.
    residual_variance, unseen_variance : float
        Variance over models of the total residual of the other items, with and without conditioning on the residuals
        of the items asked; 0 for estimators that do not use them.
    misfit_sd : float
        Sd of the full score around the estimate beyond the variance of the IRT model, on held-out calibration models.
    interval_scale : float
        Half-width of the 90% interval in sds; it covers 90% of those models.
    abler_misfit_sd, abler_scale : float, optional
        The same for models abler than the calibration models; none if these were too few.
    """

    weighted_share: Share = 0.0
    intercept: Finite = 0.0
    coefficients: tuple[Finite, ...] = ()
    spline: Spline | None = None
    residual_variance: Spread = 0.0
    unseen_variance: Spread = 0.0
    misfit_sd: Spread
    interval_scale: Spread
    abler_misfit_sd: Spread | None = None
    abler_scale: Spread | None = None


class AblerErrors(PlainRecord):
    """Expected errors for models abler than the calibration models, in [0, 1].

    Measured by calibrating on the weaker half of the calibration models and scoring the strongest 30%.

    Parameters
    ----------
    error, bias, se : float
        Mean absolute error, mean error, root mean square error.
    error_interval, se_interval : tuple of float
        90% intervals of ``error`` and ``se`` from resampled models.
    """

    error: Spread
    bias: Finite
    se: Spread
    error_interval: tuple[Spread, Spread]
    se_interval: tuple[Spread, Spread]


class SmallestGap(PlainRecord):
    """Smallest gap between the full scores of two models that is ordered correctly 8 times in 10, in [0, 1].

    Parameters
    ----------
    gap : float
        Estimated on pairs of held-out models.
    interval : tuple of float, optional
        90% interval from resampled clusters of models; none with one cluster, or if all pairs were ordered correctly.
    random : float, optional
        The gap of plain means over as many random items.
    """

    gap: Spread
    interval: tuple[Spread, Spread] | None = None
    random: Spread | None = None


class CalibrationRecord(PlainRecord):
    """Responses and fit from which a subset was made.

    Parameters
    ----------
    fingerprint : str
        SHA-256 of the responses.
    n_models, n_clusters : int
        Number of models, and of clusters (families, runs) that cross-validation kept together.
    irt_model, inference : str
        Names of the IRT model and of the inference method.
    ability_range : tuple of float
        Lowest and highest ability of the calibration models; outside this range the estimate is an extrapolation.
    measure : {"correct", "score"}
        Right and wrong answers, or fractional scores.
    """

    fingerprint: str
    n_models: Count
    n_clusters: Count
    irt_model: str
    inference: str
    ability_range: tuple[Finite, Finite]
    measure: Literal["correct", "score"] = "correct"


FORMAT: Final = "irt-bench subset"
VERSION: Final = 2
DIGEST: Final = "sha256"  # key of the digest over everything else in the file


class SubsetRecord(PlainRecord):
    """A reduced benchmark.

    Parameters
    ----------
    benchmark : str
        Name of the full benchmark.
    n_items_full : int
        Number of items of the full benchmark.
    items : tuple of SubsetItem
        Items in the order of the benchmark; ids are unique.
    size : int
        Number of items of the subset.
    method, weights, estimator : str
        Names in `SELECTORS`, `WEIGHTINGS` and `ESTIMATORS`.
    seed : int
        Seed of selection, weights and cross-validation.
    expected_error, expected_bias, expected_se : float
        Mean absolute error, mean error and root mean square error of the estimated full score, in [0, 1], for models
        like the calibration models; from cross-validation.
    expected_error_interval, expected_se_interval : tuple of float, optional
        90% intervals from resampled clusters of models; none with one cluster.
    abler : AblerErrors, optional
        Expected errors for abler models; none with too few models, or if the estimator does not extrapolate.
    smallest_gap : SmallestGap, optional
        Smallest difference between models that is ordered correctly; none if no two held-out models differ.
    unseen : UnseenItems
        Curves of the other items.
    numbers : EstimatorParameters
        Parameters of the estimator.
    calibration : CalibrationRecord
        Responses and fit.
    package_version : str
        Version of irt_bench.
    """

    format: Literal["irt-bench subset"] = "irt-bench subset"
    version: Literal[2] = 2
    benchmark: str
    n_items_full: Count
    items: Annotated[tuple[SubsetItem, ...], Field(min_length=1)]
    size: Count
    method: str
    weights: str
    estimator: str
    seed: Annotated[int, Field(ge=0)]
    expected_error: Spread
    expected_bias: Finite
    expected_se: Spread
    expected_error_interval: tuple[Spread, Spread] | None = None
    expected_se_interval: tuple[Spread, Spread] | None = None
    abler: AblerErrors | None = None
    smallest_gap: SmallestGap | None = None
    unseen: UnseenItems
    numbers: EstimatorParameters
    calibration: CalibrationRecord
    package_version: str

    @model_validator(mode="after")
    def _check(self) -> SubsetRecord:
        ids = self.ids
        if len(set(ids)) != len(ids):
            first = next(label for place, label in enumerate(ids) if label in ids[:place])
            raise ValueError(f"item {first!r} occurs twice")
        if self.size != len(ids) or self.size > self.n_items_full:
            raise ValueError(f"size {self.size} and {len(ids)} items of {self.n_items_full} do not agree")
        if self.numbers.coefficients and len(self.numbers.coefficients) != len(ids):
            raise ValueError(f"{len(self.numbers.coefficients)} coefficients for {len(ids)} items")
        return self

    @property
    def ids(self) -> tuple[str, ...]:
        """Labels of the items, in the order of the benchmark."""
        return tuple(item.id for item in self.items)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics of the calibration responses, sorted; empty if these name none."""
        return tuple(sorted({item.metric for item in self.items if item.metric is not None}))

    @property
    def filters(self) -> tuple[str, ...]:
        """Answer filters of the calibration responses, sorted; empty if these name none."""
        return tuple(sorted({item.filter for item in self.items if item.filter is not None}))

    def choice(self, name: Literal["metric", "filter"]) -> str | dict[str, str] | None:
        """Metric or filter by which to read answers: that of the calibration, per task where tasks have several."""
        by_task = {item.subtask: value for item in self.items if (value := getattr(item, name)) is not None}
        values = set(by_task.values())
        return by_task if len(values) > 1 else next(iter(values), None)

    def digest(self) -> str:
        """SHA-256 of the content, which identifies the subset in exported files."""
        return _digest(self.model_dump(mode="json"))


def write_subset(subset: SubsetRecord, path: str | Path) -> None:
    """Write a subset as JSON with its digest; the file is complete or absent."""
    content = subset.model_dump(mode="json")
    text = json.dumps({DIGEST: _digest(content), **content}, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(Path(path)) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


def read_subset(path: str | Path) -> SubsetRecord:
    """Read a subset that `write_subset` wrote.

    Raises
    ------
    SubsetError
        If the file is missing, is not a subset, has another version, was changed, or contradicts itself.
    """
    path = Path(path)
    try:
        there = path.is_file()
    except OSError as error:  # a name too long, a folder that may not be searched
        raise SubsetError(f"{path} cannot be read: {error.strerror}.") from error
    if not there:
        raise SubsetError(
            f"{path} is no file; make a subset with make_subset(responses, 100), or with the command irt-bench subset."
        )
    try:
        content = load_json(path)
    except ReadError as error:
        raise SubsetError(str(error)) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SubsetError(f"{path} is JSON, but not a subset written by irt-bench: its 'format' is not {FORMAT!r}.")
    if content.get("version") != VERSION:
        raise SubsetError(
            f"{path} has version {content.get('version')!r}; this irt-bench reads version {VERSION}. Make it again."
        )
    written = content.pop(DIGEST, None)
    if written != _digest(content):
        raise SubsetError(
            f"{path} was changed after it was written: its digest is {written!r}, its content's is "
            f"{_digest(content)!r}. Use the original file, or make the subset again."
        )
    try:
        return SubsetRecord.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise SubsetError(f"{path} contradicts itself: {where}: {first['msg']}.") from error


def bare_hash(doc_hash: str) -> str:
    """Hash without the suffix of a repeated document."""
    return doc_hash.partition("#")[0]


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode('utf-8', 'surrogatepass')).hexdigest()}"
