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

from pydantic import Field, ValidationError, model_validator

from irt_bench.errors import ReadError, SubsetError
from irt_bench.files import replacing
from irt_bench.responses.formats.jsonlines import load_json
from irt_bench.subsets.subset_parts import (
    AblerErrors,
    CalibrationRecord,
    Count,
    EstimatorNumbers,
    Finite,
    Record,
    SmallestGap,
    Spread,
    SubsetItem,
    UnseenItems,
)

FORMAT: Final = "irt-bench subset"
VERSION: Final = 2
DIGEST: Final = "sha256"  # key of the digest over everything else in the file


class SubsetRecord(Record):
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
        held out: what to expect of models like these.
    expected_error_interval, expected_se_interval : tuple of float, optional
        90% intervals by resampling clusters of models; none where there is one cluster.
    abler : AblerErrors, optional
        What to expect of models abler than these; none where they are too few to tell, or the estimator is refused.
    smallest_gap : SmallestGap, optional
        Which differences between models the subset orders rightly; none where no two models held out differ.
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
    numbers: EstimatorNumbers
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
        """Metrics that the calibration read, sorted; empty where the responses did not name any."""
        return tuple(sorted({item.metric for item in self.items if item.metric is not None}))

    @property
    def filters(self) -> tuple[str, ...]:
        """Answer filters that the calibration read, sorted; empty where the responses did not name any."""
        return tuple(sorted({item.filter for item in self.items if item.filter is not None}))

    def digest(self) -> str:
        """SHA-256 over the content; also the identity of a subset in exported files."""
        return _digest(self.model_dump(mode="json"))


def write_subset(subset: SubsetRecord, path: str | Path) -> None:
    """Write a subset as JSON with its digest, whole or not at all."""
    content = subset.model_dump(mode="json")
    text = json.dumps({DIGEST: _digest(content), **content}, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(Path(path)) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


def read_subset(path: str | Path) -> SubsetRecord:
    """Read a subset that `write_subset` wrote.

    Raises
    ------
    SubsetError
        If the file is missing, is no subset, has another version, was changed, or contradicts itself.
    """
    path = Path(path)
    try:
        there = path.is_file()
    except OSError as error:  # a name too long, a folder that may not be searched
        raise SubsetError(f"{path} cannot be read: {error.strerror}.") from error
    if not there:
        raise SubsetError(
            f"{path} is no file; make a subset with: irt-bench subset RESPONSES --size 100 -o {path.name}"
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


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode('utf-8', 'surrogatepass')).hexdigest()}"
