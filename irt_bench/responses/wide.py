"""Columns of tables: accepted names, and wide tables, with one row per model and one column per item."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench import names
from irt_bench.errors import ResponsesError, ResponsesWarning
from irt_bench.responses.measures import WORDS
from irt_bench.responses.table import REVISION, categorical, listed

CellArray = npt.NDArray[np.int8] | npt.NDArray[np.float32] | npt.NDArray[np.float64]
EMPTY: Final = -1  # an empty cell of a one-byte matrix
INDEX_NAMES: Final = ("", "__index_level_0__", "Unnamed: 0")  # names that pandas gives an index without a name
WIDE_METADATA: Final = (
    names.BENCHMARK, names.CLUSTER, names.RUN, REVISION, names.SEED, names.STEP, names.TRIAL, "name", "size"
)  # fmt: skip
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    names.MODEL: ("subject_id", "model_id", "model_name", "model_name_or_path", "llm"),
    names.ITEM: ("item_id", "sample_id", "question_id", "example_id", "question"),
    names.BENCHMARK: ("benchmark_id", "evaluation_name", "task", "task_name"),
    names.TRIAL: ("epoch", "train_trial_index", "generation_index"),
    names.CORRECT: ("is_correct", "acc", "response", "resp"),
    names.N_SAMPLES: ("count",),
    names.STEP: ("checkpoint",),
    names.SUBTASK: ("subgroup",),
    names.RATER: ("judge", "judge_model", "annotator"),
}
ID_NAMES: Final = (
    "id",
    "subject",
    "person",
    "respondent",
    "participant",
    "student",
    "examinee",
    "case",
    "row",
    "index",
)
ITEM_NAMES: Final = ("item", "items", "item_id", "sample_id", "question", "question_id", "example_id", "doc_id")
MEAN_NAMES: Final = ("accuracy", "acc", "average", "avg", "mean", "overall", "score", "total")
MEAN_TOLERANCE: Final = 0.006  # means are written with two decimals


def rename_aliases(columns: Iterable[str]) -> dict[str, str]:
    """Map accepted aliases of columns to the canonical names, capitals or not; a canonical column wins, then the first.

    Capitals of other columns stay: they may be labels of items.
    """
    present = {str(column).lower(): column for column in reversed(list(columns))}
    present |= {column: column for column in columns}
    renames = {}
    for canonical, others in ALIASES.items():
        found = [present[other] for other in (canonical, *others) if other in present]
        if found and found[0] != canonical:
            renames[found[0]] = canonical
    return renames


def wide_columns(columns: Mapping[str, pd.Series]) -> dict[str, pd.Series]:
    """Give the column of models and metadata of a wide table their canonical names; item columns keep theirs."""
    others = {
        other: name for name in (names.MODEL, *WIDE_METADATA) for other in ALIASES.get(name, ()) if name not in columns
    }
    renamed = {others.get(name, name): values for name, values in columns.items()}
    if names.MODEL not in renamed:
        return renamed
    return {name: values for name, values in renamed.items() if name not in INDEX_NAMES}


def model_column(columns: Mapping[str, pd.Series]) -> str | None:
    """Name of the column of models: ``model``, an index, or a first column of distinct texts or ids; None without one.

    Raises
    ------
    ResponsesError
        If that column names items: the table is transposed.
    """
    if names.MODEL in columns:
        return names.MODEL
    index = next((name for name in columns if name in INDEX_NAMES), None)
    first = next(iter(columns), None)
    if index is None and first is not None and columns[first].is_unique:
        index = first if _is_text(columns[first]) or str(first).lower() in ID_NAMES else None
    if index is not None:
        refuse_transposed(index)
    return index


def refuse_transposed(name: object) -> None:
    """Refuse a table whose rows have the name of items.

    Raises
    ------
    ResponsesError
        If they have.
    """
    if str(name).lower() in ITEM_NAMES:
        raise ResponsesError(
            f"the rows of the table are named by {str(name)!r}, as if they were items; one row per model and one "
            "column per item is needed. Transpose it."
        )


def cell_matrix(columns: dict[str, pd.Series], models: pd.Series | pd.Index) -> CellArray:
    """Arrange the values of items, shape (model, item): int8 with -1 where empty, or shares with NaN where empty.

    Parameters
    ----------
    columns : dict
        Item → values: numbers, or texts such as "1", "yes", "C". Emptied on the way, to save memory.
    models : pd.Series or pd.Index
        Labels of the rows, for messages.

    Raises
    ------
    ResponsesError
        If a column holds what is no number; names the column, the model and the value.
    """
    cells: CellArray = np.empty((len(models), len(columns)), dtype=np.int8)
    for position, name in enumerate(list(columns)):
        values = _numbers(columns.pop(name), name, models)
        if cells.dtype == np.int8 and not (np.isin(values, (0, 1)) | np.isnan(values)).all():
            cells = np.where(cells < 0, np.nan, cells.astype(np.float64))
        cells[:, position] = np.nan_to_num(values, nan=EMPTY) if cells.dtype == np.int8 else values
    return cells


def without_means(cells: CellArray, items: pd.Index) -> tuple[CellArray, pd.Index]:
    """Leave out columns with the name and the values of means over the others.

    Warns
    -----
    ResponsesWarning
        Names them.
    """
    named = np.flatnonzero([str(name).strip().lower() in MEAN_NAMES for name in items])
    if not len(named) or len(named) == len(items) or cells.dtype == np.int8:
        return cells, items
    others = np.delete(cells, named, axis=1).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a model without answers has no mean
        mean = np.nanmean(others, axis=1)
    known = np.isfinite(mean)
    shares = [cells[:, place] / scale for place in named for scale in (1, 100, others.shape[1])]
    near = [np.allclose(share[known], mean[known], rtol=0, atol=MEAN_TOLERANCE, equal_nan=True) for share in shares]
    means = named[np.reshape(near, (len(named), 3)).any(axis=1)]
    if not len(means) or not known.any():
        return cells, items
    what = listed([str(items[place]) for place in means])
    warnings.warn(
        f"column {what} holds the mean of the other columns; it is left out of the items.",
        ResponsesWarning,
        stacklevel=4,
    )
    return np.delete(cells, means, axis=1), items.delete(means)


def _is_text(values: pd.Series) -> bool:
    """Whether a column holds texts, of which some are no cells."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values) or values.isna().any():
        return False
    texts = list(values.unique())
    return all(isinstance(text, str) for text in texts) and any(_number(text) is None for text in texts)


def describes_models(values: pd.Series) -> bool:
    """Whether a column of a wide table holds texts of which none can be the value of an item."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return False
    texts = [text for text in values.dropna().unique() if isinstance(text, str)]
    return bool(texts) and all(_number(text) is None for text in texts)


def _as_texts(values: pd.Series) -> pd.Series:
    return values.astype("object").map(str, na_action="ignore").astype("category")


def _number(text: str) -> float | None:
    word = text.strip().lower()
    try:
        return WORDS[word] if word in WORDS else float(word)
    except ValueError:
        return None


def _numbers(values: pd.Series, item: str, models: pd.Series | pd.Index) -> npt.NDArray[np.float64]:
    """Values of one item as numbers, NaN where empty."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = categorical(values if isinstance(values.dtype, pd.CategoricalDtype) else _as_texts(values))
    numbers = []
    for text in texts.categories:
        number = _number(str(text))
        if number is None:
            row = int(np.argmax(np.asarray(texts == text)))
            model = models.iloc[row] if isinstance(models, pd.Series) else models[row]
            raise ResponsesError(
                f"column {item!r} holds {text!r} for model {str(model)!r}; an item of a wide table needs 0, 1 or "
                "nothing. A column of models is called 'model' (or is the index); metadata of models are "
                f"{listed(WIDE_METADATA, len(WIDE_METADATA))}; name others in group_columns, or drop them. "
                "A long table has columns 'model', 'item' "
                "and 'correct'."
            )
        numbers.append(number)
    return np.asarray(np.array([*numbers, np.nan])[texts.codes], dtype=np.float64)
