"""Runs, seeds and steps in the metadata of models, and the item scores of each run (`RunScores`).

The layout is read from the metadata; every assumption is reported in a note. Scores are accuracy, and
continuous measures from log-probabilities:

| measure | definition for one answer | better |
|---|---|---|
| gold_probability | probability of the gold choice among the choices: softmax of their log-probabilities | higher |
| gold_probability_per_char, .._per_byte | the same, each log-probability divided by its choice's length | higher |
| loglikelihood | log-probability of the gold choice, or of the only reference answer | higher |
| margin | log-probability of the gold choice minus that of the best other choice | higher |
| brier | sum over choices of (probability - [gold])^2, in [0, 2] | lower |
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from irt_bench import names
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.responses.counts import smallest_integer
from irt_bench.responses.labels import MODEL_NAME, label_text
from irt_bench.responses.table import (
    CHOICE_BYTES,
    CHOICE_CHARS,
    CHOICE_LOGPROBS,
    GOLD,
    LOGLIKELIHOOD,
    REVISION,
    ResponseTable,
    categorical,
    item_positions,
    listed,
    natural_order,
)

ALL_RUNS: Final = "all"  # name of the only run, if runs cannot be distinguished
ONLY_STEP: Final = "final"  # name of the only step, and of the step of checkpoints without one
LAST_STEPS: Final = ("best", "final", "last", "main")  # names of checkpoints that come after those with a number
_NUMBER: Final = re.compile(r"^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$")


@dataclass(frozen=True)
class SeedLayout:
    """Checkpoints of training runs.

    Parameters
    ----------
    models : pd.DataFrame
        Indexed by model label: ``run, seed, step`` as text. Only models of runs with two or more seeds.
    steps : tuple of str
        Step labels in the order of training.
    run_columns : tuple of str
        Metadata columns that name the run; empty if all models are one run.
    notes : tuple of str
        Assumptions, and models that were left out.
    """

    models: pd.DataFrame
    steps: tuple[str, ...]
    run_columns: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def runs(self) -> list[str]:
        """Names of the runs, in natural order."""
        return natural_order(set(self.models[names.RUN]))

    @property
    def n_seeds(self) -> pd.Series:
        """Number of seeds of each run."""
        return self.models.groupby(names.RUN)[names.SEED].nunique()


def seed_layout(models: pd.DataFrame, *, run_columns: Sequence[str] | None = None) -> SeedLayout:
    """Find runs, seeds and steps in the metadata of models.

    By default the run is the column ``run``; without it, the smallest set of other columns within which no seed occurs
    twice at a step. If all seeds differ, this set is empty and all models are one run.

    Raises
    ------
    AnalysisError
        If no model has a seed, a seed occurs twice in a run at one step, or no run has two seeds.
    """
    if names.SEED not in models or models[names.SEED].isna().all():
        raise AnalysisError(
            f"no model has a seed: seed variance needs a column 'seed' that names repeated trainings. Columns of "
            f"the models: {listed(models.columns, 10) or 'none'}. Where names or paths such as "
            f"{str(models.index[0])!r} hold seed and step, read them with seed_from and step_from; else join columns "
            "with models_table."
        )
    seeded = models[models[names.SEED].notna()]
    n_without = int(models[names.SEED].isna().sum())
    notes = [f"{n_without} models without a seed are left out"] if n_without else []
    step, steps = _steps(seeded, notes)
    checkpoints = pd.DataFrame({names.SEED: seeded[names.SEED].map(label_text), names.STEP: step}, index=seeded.index)
    columns = _run_columns(seeded, checkpoints, run_columns, notes)
    checkpoints.insert(0, names.RUN, _run_names(seeded, columns))
    if columns and (unnamed := checkpoints[names.RUN].isna()).any():
        notes.append(f"{int(unnamed.sum())} models with a seed but no run are left out")
        checkpoints = checkpoints[~unnamed]
    _check_unique(checkpoints)
    checkpoints = _repeated(checkpoints, notes)
    occurring = set(checkpoints[names.STEP])
    return SeedLayout(checkpoints, tuple(label for label in steps if label in occurring), tuple(columns), tuple(notes))


def _steps(seeded: pd.DataFrame, notes: list[str]) -> tuple[pd.Series, list[str]]:
    """Step of each checkpoint as text, and all steps in the order of `step_order`."""
    if names.STEP not in seeded or seeded[names.STEP].isna().all():
        if names.RUN not in seeded or seeded[names.RUN].isna().all():
            notes.append("no column names the step or checkpoint: all models are assumed to be at one step")
        return pd.Series(ONLY_STEP, index=seeded.index), [ONLY_STEP]
    given = seeded[names.STEP].astype("object")
    if given.isna().any():
        notes.append(f"{int(given.isna().sum())} checkpoints without a step are assumed to be the last, {ONLY_STEP!r}")
    labels = given.where(given.notna(), ONLY_STEP).map(label_text)
    return labels, step_order(labels.unique())


def step_order(labels: Iterable[str]) -> list[str]:
    """Sort steps in the order of training: by number, then by name, then best, final, last and main."""
    distinct = set(labels)
    numbered = sorted((label for label in distinct if _NUMBER.match(label)), key=float)
    named = natural_order(distinct - set(numbered) - {label for label in distinct if label.lower() in LAST_STEPS})
    last = sorted(label for label in distinct if label.lower() in LAST_STEPS)
    return [*numbered, *named, *last]


def _run_columns(
    seeded: pd.DataFrame, checkpoints: pd.DataFrame, asked: Sequence[str] | None, notes: list[str]
) -> list[str]:
    if asked is not None:
        for column in asked:
            if column not in seeded:
                raise AnalysisError(unknown_choice("column of the models", column, seeded.columns))
        return list(asked)
    if names.RUN in seeded and seeded[names.RUN].notna().any():
        return [names.RUN]
    columns = _distinguishing_columns(seeded, checkpoints)
    if columns:
        notes.append(f"no column 'run': models with the same {' and '.join(columns)} are one run")
    elif len(seeded) > 1:
        notes.append("no column 'run': all models with a seed are one run")
    return columns


def _distinguishing_columns(seeded: pd.DataFrame, checkpoints: pd.DataFrame) -> list[str]:
    """Find the smallest set of columns within which no (seed, step) occurs twice; ties: the most seeds per run."""
    if not checkpoints.duplicated().any():
        return []
    aside = {names.SEED, names.STEP, names.RUN, REVISION}
    columns = [column for column in seeded if column not in aside and seeded[column].nunique(dropna=False) > 1]
    columns.sort(key=lambda column: column == MODEL_NAME)  # the full name distinguishes too much: last resort
    for size in range(1, min(len(columns), 4) + 1):
        found: list[tuple[int, list[str]]] = []
        for chosen in itertools.combinations(columns, size):
            keyed = pd.concat([seeded[list(chosen)].astype("str"), checkpoints], axis=1)
            if not keyed.duplicated().any():
                n_seeds = keyed.groupby(list(chosen))[names.SEED].nunique()
                found.append((int((n_seeds >= 2).sum()), [*map(str, chosen)]))
        if found:
            return max(found, key=lambda pair: pair[0])[1]
    return []


def _run_names(seeded: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    if not columns:
        return pd.Series(ALL_RUNS, index=seeded.index)
    parts = seeded[list(columns)].astype("object")
    text = parts.map(lambda value: "" if pd.isna(value) else label_text(value)).agg("/".join, axis=1)
    return text.where(parts.notna().any(axis=1)).astype("object")


def _check_unique(checkpoints: pd.DataFrame) -> None:
    twice = checkpoints.duplicated(keep=False)
    if twice.any():
        first = checkpoints[twice].iloc[0]
        same = checkpoints.index[(checkpoints == first).all(axis=1)]
        raise AnalysisError(
            f"run {first[names.RUN]!r} has seed {first[names.SEED]!r} twice at step {first[names.STEP]!r}: models "
            f"{same[0]!r} and {same[1]!r}. Name the columns that tell runs apart: run='COLUMN', or drop one of the two."
        )


def _repeated(checkpoints: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Keep runs with two or more seeds."""
    n_seeds = checkpoints.groupby(names.RUN)[names.SEED].transform("nunique")
    single = np.asarray(n_seeds < 2)
    if single.all():
        n_runs = checkpoints[names.RUN].nunique()
        raise AnalysisError(
            f"each of {n_runs} runs has one seed, first: {checkpoints[names.RUN].iloc[0]!r}; seed variance needs two "
            "or more of a run, ten for a narrow interval."
        )
    if single.any():
        left = checkpoints.loc[single, names.RUN].unique()
        notes.append(
            f"{len(left)} runs with a single seed ({int(single.sum())} models) are left out, first: {left[0]!r}; give "
            "models of another seed of them"
        )
    return checkpoints[~single]


ACCURACY = "accuracy"
MISSING_GROUP = "(none)"  # subtask of items without one, if others have one


@dataclass(frozen=True)
class RunScores:
    """Item scores of one run.

    Parameters
    ----------
    benchmark, run, measure : str
        Names of the benchmark, the run and the measure.
    values : array of shape (seed, step, item)
        Mean over the trials of each cell; NaN in missing cells. Items that no seed answered are left out.
    trials : array of shape (seed, step, item)
        Number of answers of each cell.
    seeds, steps : tuple of str
        Labels; steps in the order of training.
    items : pd.Index
        Labels of the items.
    subtask : pd.Series or None
        Subtask of each item, if the benchmark has subtasks.
    binary : bool
        Whether each answer is 0 or 1.
    lower_is_better : bool
        Whether lower values are better, as for a loss.
    within : array of shape (seed, step, item), or None
        Variance (ddof 1) of the answers of each cell, NaN with fewer than two; None for 0/1 answers.
    """

    benchmark: str
    run: str
    measure: str
    values: FloatArray
    trials: npt.NDArray[np.integer]
    seeds: tuple[str, ...]
    steps: tuple[str, ...]
    items: pd.Index
    subtask: pd.Series | None = None
    binary: bool = True
    lower_is_better: bool = False
    within: FloatArray | None = None

    @property
    def n_seeds(self) -> int:
        """Number of seeds."""
        return len(self.seeds)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.items)

    @property
    def complete(self) -> bool:
        """Whether every seed answered every item at every step."""
        return bool(np.isfinite(self.values).all())

    def scores(self) -> FloatArray:
        """Mean over the answered items, shape (seed, step); NaN for missing checkpoints."""
        return mean_over_items(self.values)

    def take(self, items: npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> RunScores:
        """Keep some items."""
        return replace(
            self,
            values=self.values[..., items],
            trials=self.trials[..., items],
            items=self.items[items],
            subtask=None if self.subtask is None else self.subtask.iloc[items],
            within=None if self.within is None else self.within[..., items],
        )

    def subtasks(self) -> dict[str, RunScores]:
        """Scores by subtask; empty with fewer than two subtasks."""
        if self.subtask is None or self.subtask.nunique() < 2:
            return {}
        return {str(name): self.take(np.asarray(self.subtask == name)) for name in self.subtask.unique()}

    def subtask_codes(self) -> npt.NDArray[np.intp] | None:
        """Return the number of the subtask of each item, by first occurrence; None with fewer than two subtasks."""
        if self.subtask is None or self.subtask.nunique() < 2:
            return None
        return pd.factorize(self.subtask)[0]


def mean_over_items(values: FloatArray) -> FloatArray:
    """Mean over the last axis, ignoring NaN; NaN if all values are NaN."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=-1))


class ScoreMatrix(NamedTuple):
    """One measure of the answers of all models to one benchmark, as (model, item) arrays; see `RunScores`."""

    benchmark: str
    measure: str
    values: FloatArray
    trials: npt.NDArray[np.integer]
    models: pd.Index
    items: pd.DataFrame
    binary: bool = True
    lower_is_better: bool = False
    within: FloatArray | None = None


def run_scores(cells: ScoreMatrix, layout: SeedLayout) -> list[RunScores]:
    """Arrange a (model, item) matrix by run, seed and step; items may have metadata ``subtask``.

    Raises
    ------
    AnalysisError
        If no run has two seeds with answers.
    """
    found = []
    items = cells.items
    subtask = items[names.SUBTASK].astype("object").fillna(MISSING_GROUP) if names.SUBTASK in items else None
    place = pd.Series(np.arange(len(cells.models)), index=cells.models)
    answered = np.asarray(np.isfinite(cells.values).any(axis=1))
    for run in layout.runs:
        checkpoints = layout.models[layout.models[names.RUN] == run]
        checkpoints = checkpoints[checkpoints.index.isin(cells.models[answered])]
        if checkpoints[names.SEED].nunique() < 2:
            continue
        seeds = tuple(natural_order(set(checkpoints[names.SEED])))
        steps = tuple(step for step in layout.steps if step in set(checkpoints[names.STEP]))
        rows = place.reindex(checkpoints.index).to_numpy()
        own = ((names.SEED, seeds), (names.STEP, steps))
        at = tuple(pd.Index(labels).get_indexer(pd.Index(checkpoints[name])) for name, labels in own)
        shape = (len(seeds), len(steps), cells.values.shape[1])
        values = _arranged(cells.values[rows], at, shape, np.nan)
        asked: npt.NDArray[np.bool_] = np.asarray(np.isfinite(values).any(axis=(0, 1)))
        run_of = RunScores(
            cells.benchmark, run, cells.measure, values, _arranged(cells.trials[rows], at, shape, 0), seeds, steps,
            pd.Index(items.index), subtask, cells.binary, cells.lower_is_better,
            None if cells.within is None else _arranged(cells.within[rows], at, shape, np.nan),
        )  # fmt: skip
        found.append(run_of if asked.all() else run_of.take(np.flatnonzero(asked)))
    if not found:
        raise AnalysisError(
            f"benchmark {cells.benchmark!r}, {cells.measure}: no run has two seeds with answers; seed variance needs "
            "two or more."
        )
    return found


def _arranged(values: npt.NDArray[Any], at: tuple[Any, ...], shape: tuple[int, ...], empty: float) -> npt.NDArray[Any]:
    """Arrange rows in a (seed, step, item) array."""
    out = np.full(shape, empty, dtype=values.dtype)
    out[at] = values
    return out


GOLD_PROBABILITY: Final = "gold_probability"
PER_CHAR: Final = "gold_probability_per_char"
PER_BYTE: Final = "gold_probability_per_byte"
MARGIN: Final = "margin"
BRIER: Final = "brier"
LENGTHS: Final = {PER_CHAR: CHOICE_CHARS, PER_BYTE: CHOICE_BYTES}  # answer columns with one length per choice


def continuous_measures(table: ResponseTable) -> tuple[list[ScoreMatrix], list[str]]:
    """Compute all measures of one benchmark for which the answers have the columns, and say which could not be."""
    answers = table.answers
    notes: list[str] = []
    columns: dict[str, FloatArray] = {}
    if CHOICE_LOGPROBS in answers:
        logprobs = padded(answers[CHOICE_LOGPROBS])
        gold = _gold(table, logprobs, notes)
        if gold is not None:
            columns |= choice_measures(logprobs, gold)
            for name, column in LENGTHS.items():
                if column in answers:
                    columns[name] = choice_measures(logprobs / padded(answers[column]), gold)[GOLD_PROBABILITY]
    if LOGLIKELIHOOD in answers:
        reference = answers[LOGLIKELIHOOD].to_numpy(dtype=np.float64)
        known = columns.get(LOGLIKELIHOOD, np.full(len(reference), np.nan))
        columns[LOGLIKELIHOOD] = np.where(np.isfinite(known), known, reference)
    return [measure_matrix(table, name, values) for name, values in columns.items()], notes


def choice_measures(logprobs: FloatArray, gold: npt.NDArray[np.integer]) -> dict[str, FloatArray]:
    """Measures of answers to choice items.

    Parameters
    ----------
    logprobs : array of shape (answer, choice)
        Natural logarithms, NaN beyond the choices of an item.
    gold : array of shape (answer,)
        Position of the right choice; -1 if unknown.

    Returns
    -------
    dict of name to array of shape (answer,)
        NaN if the gold choice is unknown or there are fewer than two choices.
    """
    there = ~np.isnan(logprobs)
    known = (gold >= 0) & (there.sum(axis=1) > 1) & (gold < logprobs.shape[1])
    at = np.where(known, gold, 0)[:, None]
    safe = np.where(there, logprobs, -np.inf)
    safe[~known] = 0.0
    best = safe.max(axis=1, keepdims=True)
    known &= np.isfinite(best[:, 0])  # otherwise every choice has probability 0
    probability = special.softmax(np.where(np.isfinite(best), safe, 0.0), axis=1)
    own = np.take_along_axis(safe, at, axis=1)[:, 0]
    others = safe.copy()
    np.put_along_axis(others, at, -np.inf, axis=1)
    right = np.take_along_axis(probability, at, axis=1)[:, 0]
    with np.errstate(invalid="ignore"):
        found = {
            GOLD_PROBABILITY: right,
            LOGLIKELIHOOD: own,
            MARGIN: own - others.max(axis=1),
            BRIER: (probability**2).sum(axis=1) - 2 * right + 1,
        }
    return {name: np.where(known & np.isfinite(values), values, np.nan) for name, values in found.items()}


def padded(lists: pd.Series) -> FloatArray:
    """Arrange lists of numbers as rows of one array, with NaN beyond their ends; a missing list is a row of NaN."""
    rows = [np.asarray(row, dtype=np.float64) if row is not None and np.ndim(row) else np.zeros(0) for row in lists]
    lengths = np.fromiter(map(len, rows), dtype=np.intp, count=len(rows))
    out = np.full((len(rows), max(int(lengths.max(initial=0)), 1)), np.nan)
    out[np.arange(out.shape[1]) < lengths[:, None]] = np.concatenate([*rows, np.zeros(0)])
    return out


def _gold(table: ResponseTable, logprobs: FloatArray, notes: list[str]) -> npt.NDArray[np.integer] | None:
    if GOLD in table.items:
        at_item = item_positions(table.answers, table.items.index)
        gold = pd.to_numeric(table.items[GOLD], errors="coerce").fillna(-1).to_numpy(dtype=np.int64)
        return np.asarray(gold[at_item])
    position = _constant_gold(table, logprobs)
    if position is None:
        notes.append(
            "choice_logprobs without a column 'gold': only accuracy is analysed. Add the position of the right choice"
        )
        return None
    notes.append(f"no column 'gold': choice {position} is right, because answers are correct where it is the likeliest")
    return np.full(len(logprobs), position)


def _constant_gold(table: ResponseTable, logprobs: FloatArray) -> int | None:
    """Find the position that is the likeliest choice in exactly the correct answers."""
    if names.CORRECT not in table.answers:
        return None
    right = table.answers[names.CORRECT].to_numpy() == 1
    known = ~np.isnan(logprobs).all(axis=1)
    leading = np.where(np.isnan(logprobs), -np.inf, logprobs).argmax(axis=1)
    if not right[known].any():
        return None
    position = int(np.bincount(leading[known & right]).argmax())
    return position if ((leading == position) == right)[known].all() else None


def measure_matrix(table: ResponseTable, name: str, values: FloatArray) -> ScoreMatrix:
    """Arrange one value per answer as a (model, item) matrix, in the order of ``table.counts()``.

    Raises
    ------
    AnalysisError
        If the table holds several benchmarks.
    """
    if len(table.benchmarks) != 1:
        raise AnalysisError(f"one benchmark is needed, {len(table.benchmarks)} were given; choose one.")
    model = categorical(table.answers[names.MODEL])
    row = table.models.index.get_indexer(model.categories)[model.codes].astype(np.int64)
    known = np.isfinite(values)
    cell = (row * len(table.items) + item_positions(table.answers, table.items.index))[known]
    size, shape = len(table.models) * len(table.items), (len(table.models), len(table.items))
    trials = np.bincount(cell, minlength=size)
    mean = _share(np.bincount(cell, weights=values[known], minlength=size), trials)
    squares = np.bincount(cell, weights=(values[known] - mean[cell]) ** 2, minlength=size)
    within = _share(squares, trials - 1)
    counted = trials.astype(smallest_integer(int(trials.max(initial=1))))
    return ScoreMatrix(
        str(table.benchmarks[0]), name, mean.reshape(shape), counted.reshape(shape), table.models.index, table.items,
        binary=False, lower_is_better=name == BRIER, within=within.reshape(shape),
    )  # fmt: skip


def _share(total: npt.NDArray, n: npt.NDArray[np.integer]) -> FloatArray:
    return np.asarray(np.divide(total, n, out=np.full(len(total), np.nan), where=n > 0))
