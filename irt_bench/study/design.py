"""StudyDesign: all that defines a study, validated before anything is computed; and the splits of its models.

Models calibrate or are evaluated, never both, by whole clusters. There are three ways to split, in this order: the
models named in the design; folds over clusters, which are evaluated in turn; and, if there are only the seeds of one
run, two halves of the seeds, each of which is evaluated with the items that the other half chose.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, get_args

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from irt_bench import names
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.responses.labels import cluster_folds, label_text
from irt_bench.responses.table import listed, natural_order
from irt_bench.subsets.compare import MAX_RANDOM
from irt_bench.subsets.estimators import ESTIMATORS
from irt_bench.subsets.select import SELECTORS, WEIGHTINGS
from irt_bench.variance.scores import SeedLayout

Statistic = names.StatisticName
SEED_MODEL: Final = "seed_model"  # only if asked for: it takes one fit per split
STATISTICS: Final[tuple[Statistic, ...]] = tuple(name for name in get_args(Statistic) if name != SEED_MODEL)
THETA: Final = "theta"  # ability as the score, beside the estimators of the full score
DEFAULT_ESTIMATORS: Final = ("weighted", "p_irt", "gp_irt", THETA)
EQUAL: Final = "equal"  # weights
MODEL_LABEL: Final = "model"  # in a filter: labels of models, not a metadata column
N_RANDOM_UNUSED: Final = (
    200  # random subsets with weights that no recipe uses: they show the effect of the weights alone
)
DESIGN_SUFFIXES: Final = (".yaml", ".yml", ".json")
MAX_DESIGN_BYTES: Final = 2**20  # longer JSON files are logs, not designs

Share = Annotated[float, Field(ge=0, lt=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]
Models = Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]


class StudyDesign(BaseModel):
    """Design of a study.

    Parameters
    ----------
    responses : tuple of str
        Files or folders; for a design read from a file, relative to that file.
    benchmarks : tuple of str
        Names; by default all.
    run : tuple of str, optional
        Model columns that together name the training run; see `irt_bench.variance.scores.seed_layout`.
    model_clusters : str, optional
        Model column. Models of one cluster calibrate or are evaluated, never both. By default the run.
    calibration, evaluation : mapping, optional
        Models by metadata: column → values, where all columns must match; "model" → labels. With `evaluation` alone,
        all other clusters calibrate. With neither, folds over clusters are evaluated in turn.
    n_folds : int
        Number of folds over clusters.
    sizes : tuple of float
        Numbers of items of the subsets; below 1: shares of all items.
    methods, weights : tuple of str, optional
        Names in `SELECTORS` and `WEIGHTINGS`. By default all methods with their own weights, and some with others. If
        `weights` are given, every method is combined with each of them.
    estimators : tuple of str
        Names in `ESTIMATORS`, and "theta": ability as the score.
    n_random : int
        Number of random subsets per size, scored by every estimator.
    n_reweighted : int
        How many of them are also scored with each weighting of a method, which takes longer. At most
        `N_RANDOM_UNUSED` are scored with weights that no method uses.
    statistics : tuple of str
        Columns beside E, ratios and verdicts. By default all but "seed_model", the seed sds of the hierarchical model,
        which takes about a minute per split.
    drop : tuple of float
        Shares of the items that are dropped along the pruning path.
    transfer_splits : int
        Random halves of the models behind the transfer of item statistics.
    control_size : float, optional
        Size of the subsets of the negative control; by default the middle one of `sizes`.
    seed : int
        Seed of all random numbers.

    Examples
    --------
    >>> from irt_bench import StudyDesign
    >>> StudyDesign(sizes=(20, 0.5), methods=("random", "discrimination")).sizes
    (0.5, 20.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    responses: tuple[str, ...] = ()
    benchmarks: tuple[str, ...] = ()
    run: Names | None = None
    model_clusters: str | None = None
    calibration: Models | None = None
    evaluation: Models | None = None
    n_folds: Annotated[int, Field(ge=2, le=1_000)] = 4
    sizes: Annotated[tuple[float, ...], Field(min_length=1)] = (20, 50, 100)
    methods: Names | None = None
    weights: Names | None = None
    estimators: Names = DEFAULT_ESTIMATORS
    n_random: Annotated[int, Field(ge=20, le=MAX_RANDOM)] = 400
    n_reweighted: Annotated[int, Field(ge=20, le=MAX_RANDOM)] = 100
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
                raise ValueError(f"{size:g} is not a size; use whole numbers of items, or shares between 0 and 1")
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
            raise ValueError(
                "calibration models are named without evaluation models; name both, or only evaluation models"
            )
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


MIN_CALIBRATION: Final = 4  # models: with fewer, no item statistic has an interval
MIN_SEEDS_HALVED: Final = 4  # of one run, so that each half has two
HALF: Final = "half"  # the name of such a split begins with it
HALVES: Final = "halves of the seeds"
FOLDS: Final = "folds over clusters"
NAMED: Final = "models named"


class Split(NamedTuple):
    """Labels of the models that calibrate, and of those that are evaluated with their run, seed and step."""

    name: str
    calibration: pd.Index
    evaluation: pd.DataFrame


class Splits(NamedTuple):
    """All splits of a study, how they were made (`HALVES`, `FOLDS` or `NAMED`), and notes."""

    splits: tuple[Split, ...]
    how: str
    notes: tuple[str, ...]


def make_splits(models: pd.DataFrame, layout: SeedLayout, design: StudyDesign) -> Splits:
    """Split the models into those that calibrate and those that are evaluated.

    Raises
    ------
    AnalysisError
        If a filter matches nothing or filters overlap, or too few models are left to calibrate.
    """
    clusters = _clusters(models, layout, design.model_clusters)
    if design.evaluation is not None:
        return _named(models, layout, clusters, design)
    if len(layout.runs) == 1 and len(models) == len(layout.models):
        return _halves(layout, design)
    evaluated = layout.models
    of_run = clusters.loc[evaluated.index]
    others = clusters.index[~clusters.isin(set(of_run))]
    distinct = of_run.nunique()
    if distinct < 2:
        return _checked([Split("all", others, evaluated)], FOLDS, [])
    folds = list(cluster_folds(of_run.to_numpy(dtype=np.str_), design.n_folds, np.random.default_rng(design.seed)))
    splits = []
    for number, (_, held) in enumerate(folds):
        inside = set(of_run.iloc[held])
        kept = clusters.index[~clusters.isin(inside)]
        splits.append(Split(f"fold-{number + 1}", kept, evaluated.iloc[np.sort(held)]))
    what = design.model_clusters or "run"
    note = (
        f"{len(splits)} folds over {distinct} clusters ({what}): each is evaluated with the items that the others chose"
    )
    return _checked(splits, FOLDS, [note])


def _clusters(models: pd.DataFrame, layout: SeedLayout, column: str | None) -> pd.Series:
    """Cluster of each model as text: the given column, else the run, else the model itself."""
    own = pd.Series([f"model {label}" for label in models.index], index=models.index, dtype="object")
    if column is not None:
        if column not in models:
            raise AnalysisError(unknown_choice("model_clusters: column of the models", column, models.columns))
        values = models[column].astype("object")
        return values.where(values.notna(), own).astype(str)
    run = layout.models[names.RUN].reindex(models.index).astype("object")
    if layout.run_columns:  # single seeds of other runs form clusters too
        parts = models[list(layout.run_columns)].astype("object")
        text = parts.map(lambda value: "" if pd.isna(value) else label_text(value)).agg("/".join, axis=1)
        run = run.where(run.notna(), text.where(parts.notna().any(axis=1)))
    return run.where(run.notna(), own).astype(str)


def _named(models: pd.DataFrame, layout: SeedLayout, clusters: pd.Series, design: StudyDesign) -> Splits:
    chosen = _matching(models, design.evaluation or {}, "evaluation")
    evaluated = layout.models[layout.models.index.isin(chosen)]
    n_seeds = evaluated.groupby(names.RUN)[names.SEED].transform("nunique")
    evaluated = evaluated[n_seeds >= 2]
    if not len(evaluated):
        raise AnalysisError(
            f"evaluation: {len(chosen)} models match, but no run has two seeds among them; runs with seeds: "
            f"{listed(layout.runs, 5)}."
        )
    inside = set(clusters.loc[evaluated.index])
    notes: list[str] = []
    if design.calibration is None:
        kept = clusters.index[~clusters.isin(inside)]
    else:
        kept = _matching(models, design.calibration, "calibration")
        both = clusters.loc[kept].isin(inside)
        if both.any():
            first = kept[both.to_numpy()][0]
            raise AnalysisError(
                f"{int(both.sum())} models would calibrate and share a cluster with models that are evaluated; first: "
                f"{first!r}. A cluster can do one of the two; name another column: "
                "model_clusters='COLUMN', or other models."
            )
    return _checked([Split("named", kept, evaluated)], NAMED, notes)


def _matching(models: pd.DataFrame, wanted: Models, what: str) -> pd.Index:
    keep = np.ones(len(models), dtype=bool)
    for column, values in wanted.items():
        if column != MODEL_LABEL and column not in models:
            raise AnalysisError(unknown_choice(f"{what}: column of the models", column, [MODEL_LABEL, *models.columns]))
        have = pd.Series(models.index, index=models.index) if column == MODEL_LABEL else models[column]
        text = have.astype("object").map(lambda value: "" if pd.isna(value) else label_text(value))
        for value in values:
            if not (text == value).any():
                raise AnalysisError(unknown_choice(f"{what}: {column}", value, set(text) - {""}))
        keep &= text.isin(values).to_numpy()
    return models.index[keep]


def _halves(layout: SeedLayout, design: StudyDesign) -> Splits:
    """Evaluate each half of the seeds of the only run with the items that the other half chose."""
    seeds = natural_order(set(layout.models[names.SEED]))
    if len(seeds) < MIN_SEEDS_HALVED:
        raise AnalysisError(
            f"there are only {len(seeds)} seeds of one run: choosing items on one half and evaluating on the other "
            f"needs {MIN_SEEDS_HALVED} seeds. Add models of other runs."
        )
    order = np.random.default_rng(design.seed).permutation(len(seeds))
    first = {seeds[place] for place in order[: len(seeds) // 2]}
    inside = layout.models[names.SEED].isin(first).to_numpy()
    splits = []
    for number, evaluated in enumerate((inside, ~inside)):
        evaluation = layout.models[evaluated].copy()
        evaluation[names.RUN] = evaluation[names.RUN] + f" (half {number + 1})"
        splits.append(Split(f"{HALF}-{number + 1}", layout.models.index[~evaluated], evaluation))
    note = (
        f"there are only the {len(seeds)} seeds of one run: items are chosen on one half of the seeds and evaluated on "
        "the other, in turn (cross-fitting). The result may not hold for another training run"
    )
    return _checked(splits, HALVES, [note])


def _checked(splits: list[Split], how: str, notes: list[str]) -> Splits:
    for split in splits:
        if len(split.calibration) < MIN_CALIBRATION:
            raise AnalysisError(
                f"split {split.name!r} leaves {len(split.calibration)} models to calibrate; {MIN_CALIBRATION} or "
                "more are needed, of clusters that are not evaluated. Add models, or use more folds."
            )
    return Splits(tuple(splits), how, tuple(notes))
