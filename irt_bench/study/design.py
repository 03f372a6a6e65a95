"""StudyDesign: everything a study is told, validated whole before anything is computed; from YAML, JSON or flags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.subsets.estimators import ESTIMATORS, MAX_RANDOM
from irt_bench.subsets.select import SELECTORS
from irt_bench.subsets.weights import WEIGHTINGS

Statistic = Literal[
    "e", "mean", "bias", "movement", "snr", "monotonicity", "kendall_tau", "decision_accuracy", "seed_model"
]
SEED_MODEL: Final = "seed_model"  # seed sds of the hierarchical model: only when asked for, they take a fit a split
STATISTICS: Final[tuple[Statistic, ...]] = tuple(name for name in get_args(Statistic) if name != SEED_MODEL)
THETA: Final = "theta"  # ability as the score, beside the estimators of the full score
DEFAULT_ESTIMATORS: Final = ("weighted", "p_irt", "gp_irt", THETA)
EQUAL: Final = "equal"  # weights
MODEL_LABEL: Final = "model"  # in a filter: labels of models, not a metadata column
ALONE: Final = 200  # random subsets of a weighting that no method uses: they show what it does by itself
DESIGN_SUFFIXES: Final = (".yaml", ".yml", ".json")
MAX_DESIGN_BYTES: Final = 2**20  # a longer file is no design; logs in JSON are

Share = Annotated[float, Field(ge=0, lt=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]
Models = Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]


class StudyDesign(BaseModel):
    """What to study, and how.

    Parameters
    ----------
    responses : tuple of str
        Files or folders, where the design comes from a file; relative to it.
    benchmarks : tuple of str
        By default all.
    run : tuple of str, optional
        Model columns that together name the training run; see `irt_bench.variance.scores.seed_layout`.
    cluster : str, optional
        Model column whose values are never parted: models of one cluster calibrate or are evaluated, not both. By
        default the run.
    calibration, evaluation : mapping, optional
        Models by metadata: column → values, all of which must hold; "model" → labels. With `evaluation` alone all other
        clusters calibrate; with neither, folds over clusters take turns.
    n_folds : int
        Folds over clusters.
    sizes : tuple of float
        Items of a subset; below 1 a share of all.
    methods, weights : tuple of str, optional
        Names in `SELECTORS` and `WEIGHTINGS`. By default all methods with their own weights, and some with others;
        with `weights`, every method with each of them.
    estimators : tuple of str
        Names in `ESTIMATORS`, and "theta": ability as the score.
    n_random : int
        Size-matched random subsets, scored by every estimator.
    n_reweighted : int
        How many of them are also scored with each weighting that a method uses: weights take longer. With a weighting
        that no method uses `ALONE` are.
    statistics : tuple of str
        Columns beside E, ratios and verdicts. By default all but "seed_model", the seed sds of the hierarchical model
        (`irt_bench.study.split`): about a minute a split.
    drop : tuple of float
        Shares of the items dropped along the pruning path.
    transfer_splits : int
        Random halves of the models behind the transfer of item statistics.
    control_size : float, optional
        Size of the subsets of the negative control; by default the middle one of `sizes`.
    seed : int
        Of everything random.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    responses: tuple[str, ...] = ()
    benchmarks: tuple[str, ...] = ()
    run: Names | None = None
    cluster: str | None = None
    calibration: Models | None = None
    evaluation: Models | None = None
    n_folds: Annotated[int, Field(ge=2, le=1_000)] = 4
    sizes: Annotated[tuple[float, ...], Field(min_length=1)] = (20, 50, 100)
    methods: Names | None = None
    weights: Names | None = None
    estimators: Names = DEFAULT_ESTIMATORS
    n_random: Annotated[int, Field(ge=20, le=MAX_RANDOM)] = 1000
    n_reweighted: Annotated[int, Field(ge=20, le=MAX_RANDOM)] = 300
    statistics: tuple[Statistic, ...] = STATISTICS
    drop: tuple[Share, ...] = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    transfer_splits: Annotated[int, Field(ge=2, le=MAX_RANDOM)] = 50
    control_size: float | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @field_validator("sizes")
    @classmethod
    def _check_sizes(cls, sizes: tuple[float, ...]) -> tuple[float, ...]:
        for size in sizes:
            if not (0 < size < 1 or (size >= 1 and float(size).is_integer())):
                raise ValueError(f"{size:g} is no size; whole numbers of items, or fractions between 0 and 1, are")
        return tuple(sorted(set(sizes)))

    @model_validator(mode="after")
    def _check_names(self) -> StudyDesign:
        known = {
            "methods": SELECTORS,
            "weights": WEIGHTINGS,
            "estimators": [*ESTIMATORS, THETA],
        }
        for field, choices in known.items():
            for name in getattr(self, field) or ():
                if name not in choices:
                    raise ValueError(unknown_choice(field.removesuffix("s"), name, choices))
        if self.calibration is not None and self.evaluation is None:
            raise ValueError("calibration models are named without evaluation models; name both, or the latter alone")
        return self

    @property
    def control_at(self) -> float:
        """Size of the negative control."""
        return self.sizes[len(self.sizes) // 2] if self.control_size is None else self.control_size


def make_design(fields: Mapping[str, Any], where: str = "the study") -> StudyDesign:
    """Validate a design.

    Raises
    ------
    AnalysisError
        Naming the first field that is wrong.
    """
    try:
        return StudyDesign.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = unknown_choice("field", place, StudyDesign.model_fields)
        raise AnalysisError(f"design of {where}: {f'{place}: ' if place else ''}{message}") from error


def is_design(path: Path) -> bool:
    """Whether a path is a design file: YAML, or a JSON object that names ``responses``."""
    if not path.is_file() or path.suffix.lower() not in DESIGN_SUFFIXES:
        return False
    if path.suffix.lower() != ".json":
        return True
    try:
        content = json.loads(_text(path))
    except (ValueError, OSError, RecursionError):
        return False
    return isinstance(content, dict) and "responses" in content


def read_design(path: Path, overrides: Mapping[str, Any] | None = None) -> StudyDesign:
    """Read a design from YAML or JSON; fields in `overrides` win. Paths of responses are relative to the file.

    Raises
    ------
    AnalysisError
        If the file is neither, or a field is wrong.
    """
    try:
        text = _text(path)
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise AnalysisError(f"{path} cannot be read as a design: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(field, str) for field in content):
        raise AnalysisError(f"{path} is no design: fields and values are needed, such as 'responses: results/'.")
    given = content.get("responses") or ()
    given = [given] if isinstance(given, str) else given
    if not given or not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise AnalysisError(f"{path} names no responses; add a line such as 'responses: results/'.")
    content["responses"] = [str(path.parent / each) for each in given]
    return make_design(content | dict(overrides or {}), str(path))


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_DESIGN_BYTES:
        raise ValueError(f"it is longer than {MAX_DESIGN_BYTES:,} bytes")
    return path.read_text(encoding="utf-8")
