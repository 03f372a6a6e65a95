"""Clusters of models that belong together, and splits that keep them together.

Leaderboard rows are fine-tunes and merges of each other: a model whose siblings took part in calibration is not new.
Splits are therefore by cluster: the training run where the responses name one, else the base family in the model's
name, else the organisation or first word of the name. Rows equal to an earlier row join its cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import GroupKFold

from irt_bench.errors import SubsetError
from irt_bench.names import RUN
from irt_bench.responses.counts import ResponseCounts

# Base families that names of derived models mention; the more specific ones first.
FAMILIES: Final = (
    "codellama", "code-llama", "tinyllama", "llama-3", "llama3", "llama-2", "llama2", "vicuna", "alpaca", "wizardcoder",
    "mixtral", "mistral", "zephyr", "openchat", "neural-chat", "solar", "qwen2", "qwen1.5", "qwen", "codegemma",
    "gemma", "phi-3", "phi-2", "phi", "falcon", "starcoder", "stablelm", "stable-code", "deepseek", "internlm",
    "baichuan", "chatglm", "codegen", "codet5", "pythia", "gpt-neox", "gpt-neo", "gpt-j", "gpt2", "gpt-3.5", "gpt-4",
    "opt", "bloom", "mpt", "redpajama", "cerebras", "dolly", "claude", "gemini", "command-r", "dbrx", "yi", "olmo",
    "orca", "platypus", "llama",
)  # fmt: skip
SPELLINGS: Final = {"code-llama": "codellama", "llama2": "llama-2", "llama3": "llama-3"}
_FAMILY: Final = {name: re.compile(rf"(?<![a-z]){re.escape(name)}(?![a-z])") for name in FAMILIES}
_ORGANISATION: Final = re.compile(r"^(?P<organisation>[^/]+?)(?:/|--|__)")
_FIRST_WORD: Final = re.compile(r"^[a-z]+")

Labels = npt.NDArray[np.str_]


def model_clusters(counts: ResponseCounts) -> Labels:
    """Name the cluster of each model.

    Parameters
    ----------
    counts : ResponseCounts
        Responses; the model metadata may hold ``run``.

    Returns
    -------
    array of str, shape (model,)
        ``run`` where given; else what `name_cluster` finds; models with equal responses share the first one's.
    """
    names = pd.Series([name_cluster(str(label)) for label in counts.models.index], index=counts.models.index)
    if RUN in counts.models:
        names = counts.models[RUN].astype("object").where(counts.models[RUN].notna(), names)
    cells = np.concatenate([counts.correct, counts.trials], axis=1)
    rows = [row.tobytes() for row in np.ascontiguousarray(cells)]
    first = {row: place for place, row in reversed(list(enumerate(rows)))}
    return np.array([str(names.iloc[first[row]]) for row in rows], dtype=np.str_)


def name_cluster(label: str) -> str:
    """Find the base family in a model's name; else its organisation; else its first word."""
    lower = label.lower().replace("_", "-")
    if family := next((name for name, pattern in _FAMILY.items() if pattern.search(lower)), None):
        return SPELLINGS.get(family, family)
    if organisation := _ORGANISATION.match(lower):
        return organisation["organisation"]
    word = _FIRST_WORD.match(lower)
    return word.group() if word else lower


def cluster_folds(
    clusters: Labels, n_folds: int, rng: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield (kept, held out) positions of models, whole clusters held out, folds as equal as clusters allow.

    Raises
    ------
    SubsetError
        If there are fewer than two clusters.
    """
    distinct, codes = np.unique(clusters, return_inverse=True)
    if len(distinct) < 2:
        only = str(distinct[0]) if len(distinct) else "none"
        raise SubsetError(
            f"all {len(clusters)} models belong to one cluster ({only!r}); models of two or more families or runs are "
            "needed to say how well the estimate holds for new ones."
        )
    # GroupKFold breaks ties between clusters of equal size by their codes: shuffled codes make ties random.
    shuffled = rng.permutation(len(distinct))[codes]
    folds = GroupKFold(n_splits=min(n_folds, len(distinct)))
    yield from folds.split(np.zeros(len(clusters)), groups=shuffled)
