"""Which models calibrate and which are judged: never both, by whole clusters.

Three ways, in this order: the models named in the design; folds over clusters that take turns; and where there is
nothing but the seeds of one run, its halves: each half of the seeds is judged with what the other half chose.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench import names
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.responses.table import listed, natural_order
from irt_bench.study.design import MODEL_LABEL, Models, StudyDesign
from irt_bench.subsets.clusters import cluster_folds
from irt_bench.variance.scores import SeedLayout

Places = npt.NDArray[np.intp]

FEWEST_CALIBRATION: Final = 4  # models: with fewer no item statistic has an interval
FEWEST_SEEDS_HALVED: Final = 4  # of one run, to have two in each half
HALF: Final = "half"  # name of a split begins so
HALVES: Final = "halves of the seeds"
FOLDS: Final = "folds over clusters"
NAMED: Final = "models named"


class Split(NamedTuple):
    """Labels of the models that calibrate, and of those that are evaluated with their run, seed and step."""

    name: str
    calibration: pd.Index
    evaluation: pd.DataFrame


class Splits(NamedTuple):
    """All splits of a study, how they were made (`HALVES`, `FOLDS`, `NAMED`), and notes in words."""

    splits: tuple[Split, ...]
    how: str
    notes: tuple[str, ...]


def make_splits(models: pd.DataFrame, layout: SeedLayout, design: StudyDesign) -> Splits:
    """Part the models.

    Parameters
    ----------
    models : pd.DataFrame
        Metadata of all models, indexed by label.
    layout : SeedLayout
        Runs, seeds and steps of those that have them.
    design : StudyDesign
        What was asked for.

    Raises
    ------
    AnalysisError
        If a filter names what is not there or overlaps, or too few models are left to calibrate.
    """
    clusters = _clusters(models, layout, design.cluster)
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
    what = design.cluster or "run"
    note = f"{len(splits)} folds over {distinct} clusters ({what}): each is judged with what the others chose"
    return _checked(splits, FOLDS, [note])


def _clusters(models: pd.DataFrame, layout: SeedLayout, column: str | None) -> pd.Series:
    """Cluster of each model as text: the column asked for, else the run; models without either are their own."""
    own = pd.Series([f"model {label}" for label in models.index], index=models.index, dtype="object")
    if column is not None:
        if column not in models:
            raise AnalysisError(unknown_choice("cluster: column of the models", column, models.columns))
        values = models[column].astype("object")
        return values.where(values.notna(), own).astype(str)
    run = layout.models[names.RUN].reindex(models.index).astype("object")
    if layout.run_columns:  # single seeds of other runs belong together too
        parts = models[list(layout.run_columns)].astype("object")
        text = parts.map(lambda value: "" if pd.isna(value) else _text(value)).agg("/".join, axis=1)
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
                f"{first!r}. A cluster can do one of the two; name another --cluster column, or other models."
            )
    return _checked([Split("named", kept, evaluated)], NAMED, notes)


def _matching(models: pd.DataFrame, wanted: Models, what: str) -> pd.Index:
    keep = np.ones(len(models), dtype=bool)
    for column, values in wanted.items():
        if column != MODEL_LABEL and column not in models:
            raise AnalysisError(unknown_choice(f"{what}: column of the models", column, [MODEL_LABEL, *models.columns]))
        have = pd.Series(models.index, index=models.index) if column == MODEL_LABEL else models[column]
        text = have.astype("object").map(lambda value: "" if pd.isna(value) else _text(value))
        for value in values:
            if not (text == value).any():
                raise AnalysisError(unknown_choice(f"{what}: {column}", value, set(text) - {""}))
        keep &= text.isin(values).to_numpy()
    return models.index[keep]


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _halves(layout: SeedLayout, design: StudyDesign) -> Splits:
    """Cross-fit over halves of the seeds of the only run."""
    seeds = natural_order(set(layout.models[names.SEED]))
    if len(seeds) < FEWEST_SEEDS_HALVED:
        raise AnalysisError(
            f"there is nothing but {len(seeds)} seeds of one run: choosing items on one half and judging on the other "
            f"needs {FEWEST_SEEDS_HALVED} seeds. Add models that did not come from this run."
        )
    order = np.random.default_rng(design.seed).permutation(len(seeds))
    first = {seeds[place] for place in order[: len(seeds) // 2]}
    inside = layout.models[names.SEED].isin(first).to_numpy()
    splits = []
    for number, judged in enumerate((inside, ~inside)):
        evaluation = layout.models[judged].copy()
        evaluation[names.RUN] = evaluation[names.RUN] + f" (half {number + 1})"
        splits.append(Split(f"{HALF}-{number + 1}", layout.models.index[~judged], evaluation))
    note = (
        f"there is nothing but the {len(seeds)} seeds of one run: items are chosen on one half of the seeds and judged "
        "on the other, in turn (cross-fitting); what holds for these seeds may not hold for another recipe"
    )
    return _checked(splits, HALVES, [note])


def _checked(splits: list[Split], how: str, notes: list[str]) -> Splits:
    for split in splits:
        if len(split.calibration) < FEWEST_CALIBRATION:
            raise AnalysisError(
                f"split {split.name!r} leaves {len(split.calibration)} models to calibrate; {FEWEST_CALIBRATION} or "
                "more are needed, of clusters that are not evaluated. Add models, or take more folds."
            )
    return Splits(tuple(splits), how, tuple(notes))
