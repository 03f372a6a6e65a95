"""Subset: the items of a reduced benchmark and all it takes to estimate the full score from answers to them.

A subset is one plain JSON file. Reading it executes and unpickles nothing; a file that is no subset, of another
version, or changed since it was written is refused. The digest in the file catches accidents and careless edits, not
somebody who computes a new digest: know where a subset comes from.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from irt_bench.errors import SubsetError
from irt_bench.files import replacing

FORMAT: Final = "irt-bench subset"
VERSION: Final = 1
DIGEST: Final = "sha256"  # key of the digest over everything else in the file

Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SubsetItem(_Record):
    """One item of a subset.

    Parameters
    ----------
    id : str
        Label in the calibration responses.
    weight : float
        Share in the weighted score; sums to 1 over the subset.
    target_weight : float
        Share of the item in the full score: 1 / n_items_full, or what a macro-average gives it.
    difficulty, difficulty_sd, discrimination, discrimination_sd, guessing, upper_asymptote : float
        Posterior means and sds in the calibration fit.
    mean : float
        Mean share of right answers of the calibration models.
    subtask : str
        Leaf task of the harness; the benchmark itself where there is only one.
    doc_id : int, optional
        Position in the evaluated split, as lm-evaluation-harness numbers it.
    doc_hash, prompt_hash : str, optional
        Hash of the document, and of the prompt where all calibration models were given the same.
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
    doc_id: int | None = None
    doc_hash: str | None = None
    prompt_hash: str | None = None


class UnseenItems(_Record):
    """What the IRT model says of the items outside the subset, tabulated over ability; linear in between.

    Parameters
    ----------
    ability : tuple of float
        Nodes, increasing.
    score : tuple of float
        Sum over the unseen items of target weight x chance of a right answer.
    score_sd : tuple of float
        Its sd from the uncertainty of the item parameters.
    answer_variance : tuple of float
        Variance of the same sum of answers at that ability, items independent: sum of target weight^2 P (1 - P).
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


class Spline(_Record):
    """Sum of a curve over the weighted score and one over ability, tabulated; linear in between and beyond."""

    score: tuple[Finite, ...]
    score_part: tuple[Finite, ...]
    ability: tuple[Finite, ...]
    ability_part: tuple[Finite, ...]


class EstimatorNumbers(_Record):
    """What the estimator learned from the calibration models.

    Parameters
    ----------
    weighted_share : float
        Share of the weighted score in gp-IRT (lambda'); 0 for estimators that do not use it.
    intercept : float
        Of a regression.
    coefficients : tuple of float
        Of a regression on the answers, in the order of the items; empty for other estimators.
    spline : Spline, optional
        Of the spline regression.
    misfit_sd : float
        Sd of the full score around the estimate beyond what the IRT model explains, on calibration models that took no
        part in making the estimate.
    interval_scale : float
        Half-width of the 90% interval in sds, such that it covers 90% of those models.
    """

    weighted_share: Share = 0.0
    intercept: Finite = 0.0
    coefficients: tuple[Finite, ...] = ()
    spline: Spline | None = None
    misfit_sd: Spread
    interval_scale: Spread


class CalibrationRecord(_Record):
    """The responses and the fit behind a subset.

    Parameters
    ----------
    fingerprint : str
        SHA-256 of the responses.
    n_models, n_clusters : int
        Models, and clusters of them (families, runs) that cross-validation held out together.
    irt_model, inference : str
        Names of the IRT model and of the method of inference.
    ability_range : tuple of float
        Lowest and highest ability among the calibration models, estimated from the subset; beyond it the estimate
        extrapolates.
    measure : {"correct", "score"}
        Whether answers were right or wrong, or fractional scores.
    """

    fingerprint: str
    n_models: Count
    n_clusters: Count
    irt_model: str
    inference: str
    ability_range: tuple[Finite, Finite]
    measure: Literal["correct", "score"] = "correct"


class Subset(_Record):
    """A reduced benchmark.

    Parameters
    ----------
    benchmark : str
        Name of the full benchmark.
    n_items_full : int
        Number of its items.
    items : tuple of SubsetItem
        In the order of the benchmark; ids are unique.
    size : int
        Number of items.
    method, weights, estimator : str
        Names in `SELECTORS`, `WEIGHTINGS` and `ESTIMATORS`.
    seed : int
        Of selection, weighting and cross-validation.
    expected_error, expected_bias, expected_se : float
        Mean absolute, mean, and root mean square error of the estimated full score, in [0, 1], on calibration models
        held out.
    unseen : UnseenItems
        Curves of the other items.
    numbers : EstimatorNumbers
        What the estimator needs.
    calibration : CalibrationRecord
        Where it comes from.
    package_version : str
        Of irt_bench.
    """

    format: Literal["irt-bench subset"] = "irt-bench subset"
    version: Literal[1] = 1
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
    unseen: UnseenItems
    numbers: EstimatorNumbers
    calibration: CalibrationRecord
    package_version: str

    @model_validator(mode="after")
    def _check(self) -> Subset:
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

    def digest(self) -> str:
        """SHA-256 over the content; also the identity of a subset in exported files."""
        return _digest(self.model_dump(mode="json"))


def write_subset(subset: Subset, path: str | Path) -> None:
    """Write a subset as JSON with its digest, whole or not at all."""
    content = subset.model_dump(mode="json")
    text = json.dumps({DIGEST: _digest(content), **content}, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(Path(path)) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


def read_subset(path: str | Path) -> Subset:
    """Read a subset that `write_subset` wrote.

    Raises
    ------
    SubsetError
        If the file is missing, is no subset, has another version, was changed, or contradicts itself.
    """
    path = Path(path)
    if not path.is_file():
        raise SubsetError(
            f"{path} is no file; make a subset with: irt-bench subset RESPONSES --size 100 -o {path.name}"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SubsetError(f"{path} is not JSON ({type(error).__name__}: {error}).") from error
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
        return Subset.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise SubsetError(f"{path} contradicts itself: {where}: {first['msg']}.") from error


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode('utf-8', 'surrogatepass')).hexdigest()}"
