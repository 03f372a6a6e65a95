"""Clusters of related models, and cross-validation splits that keep clusters whole.

Many leaderboard rows are fine-tunes or merges of one another. A model is not new if related models were used for
calibration, so splits are by cluster. The cluster of a model is, in this order: the column ``cluster`` or ``run`` of
the responses; the base family in the model's name; the organisation; the first word of the name. A model whose name is
uninformative is a cluster by itself. Models with identical responses share a cluster.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.errors import SubsetError, SubsetWarning
from irt_bench.names import CLUSTER, RUN
from irt_bench.responses.counts import ResponseCounts

# Base families in names of derived models; specific names come first.
FAMILIES: Final = (
    "codellama", "code-llama", "tinyllama", "llama-3", "llama3", "llama-2", "llama2", "vicuna", "alpaca", "wizardcoder",
    "mixtral", "mistral", "zephyr", "openchat", "neural-chat", "solar", "qwen2", "qwen1.5", "qwen", "codegemma",
    "gemma", "phi-3", "phi-2", "phi", "falcon", "starcoder", "stablelm", "stable-code", "deepseek", "internlm",
    "baichuan", "chatglm", "codegen", "codet5", "pythia", "gpt-neox", "gpt-neo", "gpt-j", "gpt2", "gpt-3.5", "gpt-4",
    "opt", "bloom", "mpt", "redpajama", "cerebras", "dolly", "claude", "gemini", "command-r", "dbrx", "yi", "olmo",
    "orca", "platypus", "llama", "t5",
)  # fmt: skip
SPELLINGS: Final = {"code-llama": "codellama", "llama2": "llama-2", "llama3": "llama-3"}
_FAMILY: Final = {name: re.compile(rf"(?<![a-z]){re.escape(name)}(?![a-z])") for name in FAMILIES}
_ORGANISATION: Final = re.compile(r"^(?P<organisation>[^/]+?)(?:/|--|__)")
_FIRST_WORD: Final = re.compile(r"^[a-z]+")
_COUNTED: Final = re.compile(r"^(?P<word>[a-z]+)[-. #]*\d+$")
_HASH: Final = re.compile(r"^(?=[a-z-]*\d)[0-9a-f]{4,}(-?[0-9a-f]{4,})+$")
GENERAL_WORDS: Final = frozenset({
    "agent", "anon", "anonymous", "candidate", "checkpoint", "ckpt", "entry", "exp", "experiment", "id", "llm", "lm",
    "model", "name", "participant", "person", "rater", "respondent", "row", "run", "sample", "seed", "student",
    "subject", "submission", "sys", "system", "team", "test", "user",
})  # fmt: skip
MIN_COUNTED: Final = 8  # models named by one word and a number: families have fewer versions than that
MIN_KEPT: Final = 2  # models outside the largest cluster: fewer cannot be fitted

Labels = npt.NDArray[np.str_]


def model_clusters(counts: ResponseCounts) -> Labels:
    """Name the cluster of each model.

    Returns
    -------
    array of str, shape (model,)
        ``cluster`` where given; else ``run``; else the result of `name_clusters`; else the label of the model. Models
        with identical responses take the cluster of the first of them.
    """
    labels = [str(label) for label in counts.models.index]
    found = [cluster or label for cluster, label in zip(name_clusters(labels), labels, strict=True)]
    clusters = pd.Series(found, index=counts.models.index)
    for column in (RUN, CLUSTER):
        if column in counts.models:
            clusters = counts.models[column].astype("object").where(counts.models[column].notna(), clusters)
    cells = np.concatenate([counts.correct, counts.trials], axis=1)
    rows = [row.tobytes() for row in np.ascontiguousarray(cells)]
    first = {row: place for place, row in reversed(list(enumerate(rows)))}
    return np.array([str(clusters.iloc[first[row]]) for row in rows], dtype=np.str_)


def models_without_family(counts: ResponseCounts) -> pd.Index:
    """Find the models whose family or run is unknown: neither a column nor the name gives it."""
    found = name_clusters([str(label) for label in counts.models.index])
    unknown = np.array([cluster is None for cluster in found])
    for column in (RUN, CLUSTER):
        if column in counts.models:
            unknown &= counts.models[column].isna().to_numpy()
    return counts.models.index[unknown]


def name_clusters(labels: Sequence[str]) -> list[str | None]:
    """Find the base family in the names of models; else the organisation; else the first word.

    Returns
    -------
    list of str or None
        None where a name is uninformative: a general word or a letter (model-3, m3, A), a number, a hash, or a word
        that many models share and that is followed by a number only (entry1 to entry60).
    """
    plain = [label.lower().replace("_", "-") for label in labels]
    counted = Counter(match["word"] for label in plain if (match := _COUNTED.match(label)))
    return [_name_cluster(label, counted) for label in plain]


def _name_cluster(label: str, counted: Mapping[str, int]) -> str | None:
    if family := next((name for name, pattern in _FAMILY.items() if pattern.search(label)), None):
        return SPELLINGS.get(family, family)
    if organisation := _ORGANISATION.match(label):
        return organisation["organisation"]
    word = _FIRST_WORD.match(label)
    if word is None or len(word.group()) == 1 or word.group() in GENERAL_WORDS or _HASH.match(label):
        return None
    is_counted = _COUNTED.match(label) is not None and counted[word.group()] >= MIN_COUNTED
    return None if is_counted else word.group()


def cluster_folds(
    clusters: Labels, n_folds: int, rng: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield (kept, held out) positions of models, whole clusters held out, folds as equal as clusters allow.

    Raises
    ------
    SubsetError
        If fewer than two models are outside the largest cluster.

    Warns
    -----
    SubsetWarning
        If one cluster holds more than half of the models.
    """
    if len(clusters) == 1:
        raise SubsetError(
            f"there is 1 model; {MIN_KEPT + 1} or more are needed, because some are held out to measure the error of "
            "the estimate for new models. Give more models."
        )
    distinct, codes = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(codes, minlength=1)
    if len(clusters) - sizes.max() < MIN_KEPT:
        which = f"{sizes.max()} of {len(clusters)}" if len(distinct) > 1 else f"all {len(clusters)}"
        raise SubsetError(
            f"{which} models belong to one cluster ({str(distinct[sizes.argmax()])!r}). Whole clusters are held out to "
            f"measure the error for new models, and {MIN_KEPT} or more models of other clusters must remain. Give more "
            "models. If these are independent of each other, name their clusters in a column 'cluster' (or 'run')."
        )
    if 2 * sizes.max() > len(clusters):
        warnings.warn(
            f"{sizes.max()} of {len(clusters)} models belong to one cluster ({str(distinct[sizes.argmax()])!r}). Their "
            f"error is measured with a fit to the other {len(clusters) - sizes.max()}, so the expected error may be "
            "too large. If they are independent of each other, name their clusters in a column 'cluster' (or 'run').",
            SubsetWarning,
            stacklevel=2,
        )
    from sklearn.model_selection import GroupKFold  # noqa: PLC0415 - takes a second

    # GroupKFold breaks ties between clusters of equal size by their codes: shuffled codes make ties random.
    shuffled = rng.permutation(len(distinct))[codes]
    folds = GroupKFold(n_splits=min(n_folds, len(distinct)))
    yield from folds.split(np.zeros(len(clusters)), groups=shuffled)
