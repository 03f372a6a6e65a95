"""ResponseTable: graded responses in long form, with the metadata of models and items."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import union_categoricals

from irt_bench import names
from irt_bench.arrays import slices
from irt_bench.errors import ResponsesError, unknown_choice
from irt_bench.responses.counts import Measure, ResponseCounts, first_rows, smallest_integer

KEYS = (names.BENCHMARK, names.MODEL, names.ITEM)
MEASURE_COLUMNS = (names.CORRECT, names.N_CORRECT, names.N_SAMPLES, names.SCORE)
CHOICE_LOGPROBS: Final = "choice_logprobs"  # log-probabilities of the choices, natural log, in the order of the item
CHOICE_CHARS: Final = "choice_chars"  # lengths of the choices, in characters, in the same order
CHOICE_BYTES: Final = "choice_bytes"  # lengths in bytes of UTF-8
CHOICE_COLUMNS: Final = (CHOICE_LOGPROBS, CHOICE_CHARS, CHOICE_BYTES)  # lists, one number per choice
LOGLIKELIHOOD: Final = "loglikelihood"  # of the one given continuation, natural log
PROMPT_HASH: Final = "prompt_hash"
PER_ANSWER: Final = (names.TRIAL, "answered", *CHOICE_COLUMNS, LOGLIKELIHOOD, PROMPT_HASH)

DOC_ID: Final = "doc_id"  # item metadata: position in the evaluated split, as lm-evaluation-harness numbers it
GOLD: Final = "gold"  # item metadata: position of the right choice
GROUP: Final = "group"  # item metadata: the groups a task belongs to, outermost first, joined by "/"
METRIC: Final = "metric"  # item metadata: name in the logs of the value that was read
FILTER: Final = "filter"  # item metadata: how lm-evaluation-harness extracted the answer from the text
QUESTION: Final = "question"  # item metadata: its first words, where logs have them
ITEM_COLUMNS: Final = (
    names.SUBTASK, GROUP, DOC_ID, names.DOC_HASH, GOLD, METRIC, FILTER, QUESTION, names.LOWEST_SCORE,
    names.HIGHEST_SCORE, names.RATER, names.RATED_ITEM,
)  # fmt: skip

REVISION: Final = "revision"  # model metadata: a revision of the weights that is not a training step
MASKED: Final = (pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray)
MIN_BENCHMARKS: Final = 2  # put together
CHUNK: Final = 2_000_000  # rows handled at once, so that scratch arrays stay near 50 MB


@dataclass(frozen=True)
class Finding:
    """Something to know about the responses; it did not change them."""

    name: str
    count: int
    message: str


@dataclass(frozen=True)
class ResponseTable:
    """Graded responses of models to the items of one or several benchmarks.

    Parameters
    ----------
    answers : pd.DataFrame
        One row per graded response: categorical ``benchmark, model, item``; optional ``trial``; then either ``correct``
        (0/1), or ``n_correct, n_samples``, or ``score`` in [0, 1] (ordered scores as shares of their range, which the
        items' ``lowest_score`` and ``highest_score`` keep); then further columns of a single response
        (``choice_logprobs, loglikelihood, answered, prompt_hash``). Rows are unique in (benchmark, model, item, trial).
    models : pd.DataFrame
        Metadata (``run, seed, step, size`` and others), indexed by model label.
    items : pd.DataFrame
        Metadata (``subtask, doc_id, doc_hash, gold`` and others), indexed by (benchmark, item).
    entries : pd.DataFrame
        The (benchmark, model) pairs that occur in the input, with or without responses.
    findings : tuple of Finding
        What was noticed or dropped on reading.

    Notes
    -----
    Models and items in the input that have no response are kept in `models`, `items` and `entries`.

    Examples
    --------
    >>> from irt_bench import load_example
    >>> table = load_example("seeds")
    >>> table
    ResponseTable(planted: 64 models x 200 items, 12,800 answers)
    >>> list(table.models)
    ['run', 'seed', 'step', 'name']
    """

    answers: pd.DataFrame
    models: pd.DataFrame
    items: pd.DataFrame
    entries: pd.DataFrame
    findings: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        names_of = ", ".join(map(str, self.benchmarks[:3])) + (", ..." if len(self.benchmarks) > 3 else "")
        counted = names.N_SAMPLES in self.answers
        n_answers = int(self.answers[names.N_SAMPLES].sum()) if counted else len(self.answers)
        size = f"{len(self.models):,} models x {len(self.items):,} items, {n_answers:,} answers"
        return f"ResponseTable({names_of}: {size})"

    def _repr_html_(self) -> str:
        return first_rows(repr(self), self.answers)

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks, in order."""
        return list(self.entries[names.BENCHMARK].unique())

    @property
    def groups(self) -> list[str]:
        """Names of the groups of benchmarks (tasks), as logs have them."""
        return list(_group_members(self.items))

    @property
    def measure(self) -> Measure:
        """What a response holds: 0/1 or counts ("correct"), or fractional scores ("score")."""
        return "score" if names.SCORE in self.answers else "correct"

    def select(self, benchmark: str | Sequence[str]) -> ResponseTable:
        """Keep one benchmark, one group of tasks (its tasks become subtasks), or several benchmarks as one.

        Several become the subtasks of one benchmark that all models of any of them belong to: what a model did not
        take is missing. `BifactorTwoPL(groups="subtask")` puts them on one scale.

        Raises
        ------
        ResponsesError
            If no benchmark or group has this name; the message lists those there are.

        Examples
        --------
        >>> import pandas as pd
        >>> from irt_bench import table_from_frame
        >>> answers = {"benchmark": ["a", "a", "b"], "model": ["m", "n", "n"], "item": ["1", "1", "1"]}
        >>> table = table_from_frame(pd.DataFrame(answers | {"correct": [1, 0, 1]}))
        >>> table.select(["a", "b"]).counts().items["subtask"].to_dict()
        {'a/1': 'a', 'b/1': 'b'}
        """
        if not isinstance(benchmark, str):
            return self._select_several(list(dict.fromkeys(benchmark)))
        if benchmark in self.benchmarks:
            return self.keep_benchmarks([benchmark])
        groups = _group_members(self.items)
        if benchmark in groups:
            return _as_one_benchmark(self.keep_benchmarks(groups[benchmark]), benchmark)
        raise ResponsesError(unknown_choice("benchmark", benchmark, [*self.benchmarks, *groups]))

    def _select_several(self, benchmarks: list[str]) -> ResponseTable:
        for name in benchmarks:
            if name not in self.benchmarks:
                raise ResponsesError(unknown_choice("benchmark", name, self.benchmarks))
        if len(benchmarks) < MIN_BENCHMARKS:
            raise ResponsesError(f"{len(benchmarks)} benchmarks are named; two or more are needed, or a name alone.")
        return _as_one_benchmark(self.keep_benchmarks(benchmarks), " + ".join(benchmarks))

    def keep_benchmarks(self, benchmarks: Sequence[str]) -> ResponseTable:
        """Keep some benchmarks, with the models and items that occur in them.

        Scores that are all 0 or 1 become right and wrong answers, as if these benchmarks had been read alone.
        """
        if set(benchmarks) == set(self.benchmarks):
            return self
        entries = self.entries[self.entries[names.BENCHMARK].isin(benchmarks)].reset_index(drop=True)
        items = self.items[self.items.index.get_level_values(names.BENCHMARK).isin(benchmarks)]
        items.index = cast(pd.MultiIndex, items.index).remove_unused_levels()
        models = self.models[self.models.index.isin(entries[names.MODEL])]
        answers = self.answers[self.answers[names.BENCHMARK].isin(benchmarks).to_numpy()].reset_index(drop=True)
        kept = {names.BENCHMARK: benchmarks, names.MODEL: models.index, names.ITEM: items.index.get_level_values(1)}
        for key, labels in kept.items():
            categories = categorical(answers[key]).categories
            places = categories.get_indexer(pd.Index(labels))  # many times as fast as isin
            answers[key] = answers[key].cat.set_categories(categories[np.unique(places[places >= 0])])
        models, items = tidied(models, dropping=models.columns), tidied(items, dropping=items.columns)
        answers = _right_or_wrong(tidied(answers, dropping=PER_ANSWER), items)
        return replace(self, answers=answers, models=models, items=items, entries=entries)

    def one_benchmark(self, benchmark: str | None = None) -> ResponseTable:
        """Return the table of one benchmark: the named one, or the only one.

        Raises
        ------
        ResponsesError
            If no name is given and there are several; the message lists them.
        """
        if benchmark is not None:
            return self.select(benchmark)
        if len(self.benchmarks) != 1:
            raise ResponsesError(
                f"one benchmark is needed, {len(self.benchmarks)} were found: {', '.join(map(str, self.benchmarks))}. "
                "Choose one: select(benchmark='NAME')."
            )
        return self

    def counts(self) -> ResponseCounts:
        """Arrange the responses to the only benchmark as (model, item) arrays; trials of a cell are summed.

        Raises
        ------
        ResponsesError
            If the table holds several benchmarks.
        """
        (benchmark,) = self.one_benchmark().benchmarks
        items = self.items.droplevel(names.BENCHMARK)
        models = self.models
        correct, trials = self._scatter(models.index, items.index)
        return ResponseCounts(correct, trials, models, items, str(benchmark), self.measure)

    def _scatter(self, models: pd.Index, items: pd.Index) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
        model, item = categorical(self.answers[names.MODEL]), categorical(self.answers[names.ITEM])
        row_start = models.get_indexer(model.categories).astype(np.int64) * len(items)
        column = items.get_indexer(item.categories).astype(np.int64)
        right, asked = _right_and_asked(self.answers)
        n_trials = self.answers[names.TRIAL].nunique(dropna=False) if names.TRIAL in self.answers else 1
        dtype = smallest_integer(max(n_trials, 1) * (1 if asked is None else int(asked.max(initial=1))))
        trials = np.zeros(len(models) * len(items), dtype=dtype)
        correct = np.zeros(len(trials), dtype=np.float64 if self.measure == "score" else dtype)
        for part in slices(len(right), CHUNK):
            cell = row_start[model.codes[part]] + column[item.codes[part]]
            n = dtype(1) if asked is None else asked[part].astype(dtype)
            if n_trials > 1:
                np.add.at(correct, cell, right[part].astype(correct.dtype))
                np.add.at(trials, cell, n)
            else:
                correct[cell] = right[part]
                trials[cell] = n
        shape = (len(models), len(items))
        return correct.reshape(shape), trials.reshape(shape)

    def to_frame(self) -> pd.DataFrame:
        """Return the canonical long table: one row per response, with metadata.

        Rows without a value, at the end, name the items and models without responses. Text is categorical.
        """
        rest = self._unanswered()
        answers = {name: _with_missing(values, len(rest)) for name, values in self.answers.items()}
        for key in KEYS:
            answers[key] = pd.Series(union_categoricals([self.answers[key], rest[key]]), copy=False)
        frame = pd.DataFrame(answers, copy=False)
        at_model = _positions(frame[names.MODEL], self.models.index)
        at_item = item_positions(frame, self.items.index)
        parts = [(self.models, at_model), (self.items, at_item)]
        return frame.assign(**{str(name): _spread(values, at) for meta, at in parts for name, values in meta.items()})

    def _unanswered(self) -> pd.DataFrame:
        """Rows without a value that keep the labels of items and models without responses."""
        benchmark_of = self.items.index.get_level_values(names.BENCHMARK)
        silent_items = np.ones(len(self.items), dtype=bool)
        silent_items[item_positions(self.answers, self.items.index)] = False
        pairs = pd.MultiIndex.from_frame(self.entries)
        silent_models = np.ones(len(pairs), dtype=bool)
        silent_models[item_positions(self.answers, pairs, names.MODEL)] = False
        any_model = self.entries.drop_duplicates(names.BENCHMARK).set_index(names.BENCHMARK)[names.MODEL]
        any_item = pd.Series(self.items.index.get_level_values(names.ITEM), index=benchmark_of)
        any_item = any_item[~any_item.index.duplicated()]
        items, models = self.items.index[silent_items], pairs[silent_models]
        rows: dict[str, list[str]] = {
            names.BENCHMARK: [*items.get_level_values(0), *models.get_level_values(0)],
            names.MODEL: [*any_model.reindex(items.get_level_values(0)), *models.get_level_values(1)],
            names.ITEM: [*items.get_level_values(1), *any_item.reindex(models.get_level_values(0))],
        }
        return pd.DataFrame({name: pd.Series(values, dtype="str").astype("category") for name, values in rows.items()})


def _right_or_wrong(answers: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """Name scores that are all 0 or 1 ``correct``, unless they are ordered scores of which only the ends occur."""
    if names.SCORE not in answers or not answers[names.SCORE].isin((0, 1)).all():
        return answers
    ranges = {names.LOWEST_SCORE, names.HIGHEST_SCORE} <= {*items}
    if ranges and (items[names.HIGHEST_SCORE] - items[names.LOWEST_SCORE] > 1).any():
        return answers
    return answers.rename(columns={names.SCORE: names.CORRECT}).astype({names.CORRECT: np.int8})


def _as_one_benchmark(table: ResponseTable, name: str) -> ResponseTable:
    """Make the tasks of a group the subtasks of one benchmark; equal item labels are prefixed by the task's name."""
    tasks, labels = (table.items.index.get_level_values(level) for level in (names.BENCHMARK, names.ITEM))
    clash = labels.isin(labels[labels.duplicated()])
    unique = pd.Index(np.where(clash, tasks + "/" + labels, labels), dtype="str")
    ordered = pd.Index(natural_order(unique), dtype="str")
    at_item = item_positions(table.answers, table.items.index)
    at_label = ordered.get_indexer(unique).astype(np.int32)
    benchmark = pd.Categorical.from_codes(np.zeros(len(at_item), dtype=np.int8), pd.Index([name], dtype="str"))
    answers = table.answers.assign(
        **{names.BENCHMARK: benchmark, names.ITEM: pd.Categorical.from_codes(at_label[at_item], ordered)}
    )
    items = table.items.assign(**{names.SUBTASK: tasks}).iloc[np.argsort(at_label)]
    items.index = pd.MultiIndex.from_product([[name], ordered], names=[names.BENCHMARK, names.ITEM])
    models = table.models.index[table.models.index.isin(table.entries[names.MODEL])]
    entries = pd.DataFrame({names.BENCHMARK: pd.Index([name] * len(models), dtype="str"), names.MODEL: models})
    return replace(table, answers=answers, items=items, entries=entries)


def _group_members(items: pd.DataFrame) -> dict[str, list[str]]:
    """Map each group of tasks to its benchmarks (tasks)."""
    if GROUP not in items:
        return {}
    paths = items[GROUP].dropna().reset_index()[[names.BENCHMARK, GROUP]].drop_duplicates()
    members: dict[str, list[str]] = {}
    for task, path in paths.itertuples(index=False):
        for group in str(path).split("/"):
            members.setdefault(group, []).append(task)
    return members


def categorical(values: pd.Series) -> pd.Categorical:
    """Return the array of a categorical column, whose codes are not copied (as ``.cat.codes`` would)."""
    return cast(pd.Categorical, values.array)


def tidied(frame: pd.DataFrame, *, dropping: Iterable[str] = ()) -> pd.DataFrame:
    """Bring columns other than keys into their simplest type, so that equal contents have equal types.

    Unused categories are removed, whole numbers without gaps lose their mask, and columns in `dropping` without any
    value are dropped.
    """
    frame = frame.drop(columns=[name for name in dropping if name in frame and frame[name].isna().all()])
    for name in frame.columns.difference([*KEYS], sort=False):
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].cat.remove_unused_categories()
        elif isinstance(frame[name].array, MASKED) and not frame[name].isna().any():
            frame[name] = frame[name].astype(cast(Any, frame[name].dtype).numpy_dtype)
    return frame


def _positions(labels: pd.Series, index: pd.Index) -> npt.NDArray[np.int32]:
    """Positions in `index` of a categorical column's values."""
    lookup = index.get_indexer(categorical(labels).categories).astype(np.int32)
    return np.asarray(lookup[categorical(labels).codes], dtype=np.int32)


def in_order(table: ResponseTable) -> ResponseTable:
    """Sort answers by benchmark, model, item and trial."""
    answers = table.answers
    place = np.zeros(len(answers), dtype=np.int64)
    for key in KEYS:
        place *= len(categorical(answers[key]).categories)
        place += categorical(answers[key]).codes
    if names.TRIAL in answers:
        trial, trials = pd.factorize(answers[names.TRIAL], sort=True)
        place = place * (len(trials) + 1) + trial + 1
    if (place[1:] > place[:-1]).all():
        return table
    return replace(table, answers=answers.take(np.argsort(place, kind="stable")).reset_index(drop=True))


def item_positions(answers: pd.DataFrame, pairs: pd.Index, key: str = names.ITEM) -> npt.NDArray[np.int32]:
    """Positions of the answers' (benchmark, item) pairs in an index of such pairs, or of (benchmark, `key`) pairs."""
    outer, inner = categorical(answers[names.BENCHMARK]), categorical(answers[key])
    if len(outer.categories) == 1 and pairs.get_level_values(0).nunique() == 1:
        return _positions(answers[key], pairs.get_level_values(1))
    place = [
        categories.get_indexer(pairs.get_level_values(level))
        for level, categories in enumerate((outer.categories, inner.categories))
    ]
    known = (place[0] >= 0) & (place[1] >= 0)
    lookup = np.full(len(outer.categories) * len(inner.categories), -1, dtype=np.int32)
    lookup[place[0][known] * len(inner.categories) + place[1][known]] = np.flatnonzero(known)
    return np.asarray(lookup[outer.codes.astype(np.int64) * len(inner.categories) + inner.codes])


def _with_missing(values: pd.Series, n_rows: int) -> pd.Series:
    """Append rows without a value to a column; whole numbers stay whole."""
    if not n_rows or values.name in KEYS:
        return values
    if pd.api.types.is_integer_dtype(values) or pd.api.types.is_bool_dtype(values):
        values = values.convert_dtypes()
    return values.reindex(range(len(values) + n_rows))


def _spread(values: pd.Series, positions: npt.NDArray[np.int32]) -> pd.Series:
    """Repeat metadata for every response; text as a categorical, which costs one code per row."""
    if pd.api.types.is_string_dtype(values):
        codes, distinct = pd.factorize(values)
        return pd.Series(pd.Categorical.from_codes(codes.astype(np.int32)[positions], pd.Index(distinct)), copy=False)
    return values.iloc[positions].reset_index(drop=True)


def _right_and_asked(answers: pd.DataFrame) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic] | None]:
    if names.N_CORRECT in answers:
        return answers[names.N_CORRECT].to_numpy(), answers[names.N_SAMPLES].to_numpy()
    return answers[names.CORRECT if names.CORRECT in answers else names.SCORE].to_numpy(), None


def listed(labels: Iterable[object], limit: int = 3) -> str:
    """List the first few labels."""
    labels = list(labels)
    shown = ", ".join(map(repr, labels[:limit]))
    return shown + (f" and {len(labels) - limit} more" if len(labels) > limit else "")


def natural_order(labels: Iterable[str]) -> list[str]:
    """Sort labels so that 'item 2' comes before 'item 10'."""

    def key(label: str) -> list[tuple[int, int, str]]:
        return [
            (0, int(part), "") if part.isdecimal() else (1, 0, part)
            for part in re.split(r"([0-9]{1,18})", label)
            if part
        ]

    return sorted(labels, key=lambda label: (key(label), label))
