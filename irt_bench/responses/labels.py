"""Labels of models and items: natural order, one per checkpoint, documents by their hash; clusters of related models.

Many leaderboard rows are fine-tunes or merges of one another. A model is not new if related models were used for
calibration, so cross-validation keeps clusters whole. The cluster of a model is, in this order: the column ``cluster``
or ``run`` of the responses; the base family in the model's name; the organisation; the first word of the name. A model
whose name is uninformative is a cluster by itself. Models with identical responses share a cluster.
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

from irt_bench import names
from irt_bench.arrays import slices
from irt_bench.errors import ResponsesError, SubsetError, SubsetWarning
from irt_bench.responses.counts import ResponseCounts, check_labels, smallest_integer
from irt_bench.responses.table import CHUNK, REVISION, Finding, categorical, natural_order

Codes = npt.NDArray[np.integer]

CHECKPOINT_COLUMNS: Final = (names.RUN, REVISION, names.SEED, names.STEP)  # they distinguish rows of one model name
MODEL_NAME: Final = "name"  # column of the original model name, where the label had to be extended
_STEP: Final = re.compile(r"^(?:step|checkpoint|ckpt|iter(?:ation)?)[-_]?", flags=re.IGNORECASE)

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
ClusterLabels = npt.NDArray[np.str_]


def codes_of(values: pd.Series) -> tuple[Codes, pd.Index]:
    """Give a number to each distinct value of a column; -1 where missing.

    Raises
    ------
    TypeError
        If the values cannot be compared (lists and the like).
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        return categorical(values).codes, categorical(values).categories
    codes, distinct = pd.factorize(values)
    return codes, pd.Index(distinct)


def values_at(distinct: pd.Index, codes: Codes) -> pd.Series:
    """Look up values by their numbers; missing where the number is -1. Whole numbers stay whole."""
    values = pd.Series(distinct)
    if (codes < 0).any() and (pd.api.types.is_integer_dtype(values) or pd.api.types.is_bool_dtype(values)):
        values = values.convert_dtypes()
    return values.reindex(codes).reset_index(drop=True)


def last_by_group(codes: Codes, groups: Codes, n_groups: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Find the last known value of each group (-1: none), and which groups have several values."""
    last = np.full(n_groups, -1, dtype=np.int64)
    differs = np.zeros(n_groups, dtype=bool)
    parts = list(slices(len(codes), CHUNK))
    for part in parts:
        known = codes[part] >= 0
        last[groups[part][known]] = codes[part][known]
    for part in parts:
        other = (codes[part] >= 0) & (last[groups[part]] != codes[part])
        differs[groups[part][other]] = True
    return last, differs


def as_labels(values: pd.Series, key: str) -> pd.Categorical:
    """Write labels as text and sort them in natural order, keeping those that occur.

    Raises
    ------
    ResponsesError
        If a label is missing, empty, or cannot be written; names the row or the label.
    """
    try:
        codes, distinct = codes_of(values)
    except TypeError as error:
        raise ResponsesError(f"column {key!r} holds lists or records; every row needs a {key} as text.") from error
    texts = [label_text(label) for label in distinct]
    used = _occurring(codes, len(texts))
    empty = [position for position, text in enumerate(texts) if used[position] and not text.strip()]
    if empty or (len(codes) and codes.min() < 0):
        row = int(np.argmax((codes < 0) | np.isin(codes, empty))) + 1
        raise ResponsesError(f"column {key!r} is empty in row {row}; every row needs a {key}.")
    check_labels([text for text, occurs in zip(texts, used, strict=True) if occurs], key)
    return _in_natural_order(codes, texts, used)


def _in_natural_order(codes: Codes, texts: Sequence[str], used: npt.NDArray[np.bool_]) -> pd.Categorical:
    ordered = natural_order({text for text, occurs in zip(texts, used, strict=True) if occurs})
    if ordered != list(texts):
        position = {text: number for number, text in enumerate(ordered)}
        codes = np.array([position.get(text, -1) for text in texts], dtype=smallest_integer(len(ordered)))[codes]
    return pd.Categorical.from_codes(codes, pd.Index(ordered, dtype="str"))


def label_text(label: object) -> str:
    """Write a label as text: 7.0, as a column with gaps holds it, is 7; line ends are those that CSV can hold."""
    text = str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _occurring(codes: Codes, n_labels: int) -> npt.NDArray[np.bool_]:
    used = np.zeros(n_labels + 1, dtype=bool)
    for start in range(0, len(codes), CHUNK):
        used[codes[start : start + CHUNK]] = True  # code -1, a missing label, marks the last place
        if used[:-1].all():
            break
    return used[:-1]


def distinct_rows(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[Codes, pd.DataFrame]:
    """Give a number to each distinct row in some columns; return each row's number, and one row per number."""
    parts = [_plain_codes(frame[column]) for column in columns]
    combined = np.zeros(len(frame), dtype=np.int64)
    for codes, distinct in parts:
        combined *= len(distinct) + 1
        combined += codes
        combined += 1
    numbers, rest = pd.factorize(combined)
    lines: dict[str, pd.Series] = {}
    for column, (_, distinct) in zip(columns[::-1], parts[::-1], strict=True):
        rest, code = np.divmod(rest, len(distinct) + 1)
        lines[column] = values_at(distinct, code - 1)
    return numbers, pd.DataFrame(lines)[[*columns]]


def _plain_codes(values: pd.Series) -> tuple[Codes, pd.Index]:
    try:
        return codes_of(values)
    except TypeError as error:
        raise ResponsesError(f"column {values.name!r} holds lists or records; numbers or text are needed.") from error


def label_models(frame: pd.DataFrame) -> pd.DataFrame:
    """Give each (model, run, revision, seed, step) its own label, adding to the name what varies within it."""
    if names.STEP in frame:
        frame = frame.assign(**{names.STEP: _steps(frame[names.STEP])})
    present = [column for column in CHECKPOINT_COLUMNS if column in frame and frame[column].notna().any()]
    if not present:
        return frame
    numbers, checkpoints = distinct_rows(frame, [names.MODEL, *present])
    if checkpoints[names.MODEL].is_unique:
        return frame
    values_within = checkpoints.groupby(names.MODEL, observed=True)[present].nunique(dropna=False)
    varying = [column for column in present if (values_within[column] > 1).any()]
    shorter = [column for column in varying if column != REVISION]
    if shorter and not checkpoints.duplicated([names.MODEL, *shorter]).any():
        varying = shorter  # the step already distinguishes them
    labels = [_checkpoint_label(dict(row), varying) for _, row in checkpoints.iterrows()]
    model = _in_natural_order(numbers, labels, np.ones(len(labels), dtype=bool))
    named = {MODEL_NAME: frame[names.MODEL], names.MODEL: pd.Series(model, copy=False)}
    return frame.assign(**named)


def _checkpoint_label(row: dict[str, object], varying: list[str]) -> str:
    parts = [f"{column}={label_text(row[column])}" for column in varying if pd.notna(row[column])]  # type: ignore[call-overload]
    return f"{row[names.MODEL]}[{','.join(parts)}]" if parts else str(row[names.MODEL])


def _steps(values: pd.Series) -> pd.Series:
    """Training steps as numbers where all are numbers ('1000', 'step1000'), else unchanged."""
    codes, distinct = _plain_codes(values)
    numbers = pd.to_numeric(pd.Series([_STEP.sub("", label_text(value)) for value in distinct]), errors="coerce")
    if not len(numbers) or numbers.isna().any():
        return pd.Series(
            pd.Categorical.from_codes(codes, pd.Index([label_text(value) for value in distinct], dtype="str"))
        )
    whole = bool((numbers % 1 == 0).all())
    return values_at(pd.Index(numbers.astype("int64") if whole else numbers), codes)


SHORT_HASH: Final = 12  # characters of a hash in a label, where they tell all apart


def identify_items(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """Give one document one label: that of its id, or its hash where files disagree on which document an id means.

    Notes
    -----
    Rows labelled by their hash, as where a log has wrong ids, get the label that other rows give the same document.
    Ids that agree with the hashes stay. Two ids with one hash within one model are a document that occurs twice in the
    benchmark, not a disagreement.
    """
    if names.DOC_HASH not in frame or frame[names.DOC_HASH].isna().all():
        return frame, []
    numbers, uses = distinct_rows(frame, [names.BENCHMARK, names.MODEL, names.ITEM, names.DOC_HASH])
    uses[names.DOC_HASH] = uses[names.DOC_HASH].astype("object").map(label_text, na_action="ignore")
    label = uses[names.ITEM].astype("str").to_numpy(dtype=object)
    by_hash = (uses[names.ITEM].astype("str") == uses[names.DOC_HASH].astype("str")).to_numpy()
    known = uses[~by_hash & uses[names.DOC_HASH].notna().to_numpy()]
    if by_hash.any() and len(known):
        pairs = known[[names.BENCHMARK, names.DOC_HASH, names.ITEM]].drop_duplicates()
        unique = pairs[~pairs.duplicated([names.BENCHMARK, names.DOC_HASH], keep=False)]
        lookup = pd.Series(
            unique[names.ITEM].astype("str").to_numpy(dtype=object),
            index=pd.MultiIndex.from_frame(unique[[names.BENCHMARK, names.DOC_HASH]].astype("str")),
        )
        keys = pd.MultiIndex.from_frame(uses[[names.BENCHMARK, names.DOC_HASH]].astype("str"))
        place = lookup.index.get_indexer(keys)
        found = by_hash & (place >= 0)
        label[found] = lookup.to_numpy(dtype=object)[place[found]]
    known = uses.assign(**{names.ITEM: label})
    clash, findings = _disagreeing(known.dropna(subset=[names.DOC_HASH]))
    named = known[names.DOC_HASH].astype("str").isin(clash).to_numpy() & known[names.DOC_HASH].notna().to_numpy()
    hashed = named | (known[names.ITEM].astype("str") == known[names.DOC_HASH].astype("str")).to_numpy()
    label[hashed] = _short_labels(known[hashed])
    if (label == uses[names.ITEM].astype("str").to_numpy(dtype=object)).all():
        return frame, findings
    codes, distinct = pd.factorize(pd.Series(label, dtype=object))
    items = _in_natural_order(codes[numbers], list(distinct), np.ones(len(distinct), dtype=bool))
    return frame.assign(item=pd.Series(items, copy=False)), findings


def one_item_per_rater(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """Make each pair of an item and its rater an item, where raters of one item differ; metadata keep the two apart."""
    if names.RATER not in frame or frame[names.RATER].isna().all():
        return frame, []
    numbers, pairs = distinct_rows(frame, [names.BENCHMARK, names.ITEM, names.RATER])
    item, rated = pairs[names.ITEM].astype("str"), pairs[names.RATER].notna()
    if not pairs[rated].duplicated([names.BENCHMARK, names.ITEM]).any():
        return frame, []
    label = item.where(~rated, item + " [" + pairs[names.RATER].map(label_text, na_action="ignore").astype("str") + "]")
    codes, distinct = pd.factorize(label)
    items = _in_natural_order(codes[numbers], list(distinct), np.ones(len(distinct), dtype=bool))
    n_raters = pairs[names.RATER].nunique()
    message = f"scores of {n_raters} raters: each item and rater are one item, for the model 'mfrm'"
    split = {names.RATED_ITEM: frame[names.ITEM], names.ITEM: pd.Series(items, copy=False)}
    return frame.assign(**split), [Finding("raters", n_raters, message)]


def _disagreeing(uses: pd.DataFrame) -> tuple[pd.Series, list[Finding]]:
    """Hashes of documents whose ids disagree between files."""
    twice = uses[uses.duplicated([names.BENCHMARK, names.MODEL, names.DOC_HASH], keep=False)]
    pairs = uses[[names.BENCHMARK, names.ITEM, names.DOC_HASH]].drop_duplicates()
    one_id = pairs.duplicated([names.BENCHMARK, names.ITEM], keep=False)
    one_hash = pairs.duplicated([names.BENCHMARK, names.DOC_HASH], keep=False) & ~pairs[names.DOC_HASH].isin(
        twice[names.DOC_HASH]
    )
    several = pairs[one_id | one_hash]
    if several.empty:
        return pd.Series([], dtype="str"), []
    n_items = several[names.DOC_HASH].nunique()
    first = str(several[names.ITEM].iloc[0])
    message = f"{n_items} items are named by doc_hash, as their ids disagree between files; first id {first!r}"
    return several[names.DOC_HASH].astype("str").drop_duplicates(), [Finding("ids_disagree", n_items, message)]


def _short_labels(uses: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Benchmark and the first characters of the hash, if these tell all documents apart; else the hash."""
    hashes = uses[names.DOC_HASH].astype("str")
    short = uses[names.BENCHMARK].astype("str") + "/" + hashes.str[:SHORT_HASH]
    apart = short.nunique() == (uses[names.BENCHMARK].astype("str") + "/" + hashes).nunique()
    is_long = bool((hashes.str.len() > SHORT_HASH).all())
    return (short if apart and is_long else hashes).to_numpy(dtype=object)


def model_clusters(counts: ResponseCounts) -> ClusterLabels:
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
    for column in (names.RUN, names.CLUSTER):
        if column in counts.models:
            clusters = counts.models[column].astype("object").where(counts.models[column].notna(), clusters)
    cells = np.concatenate([counts.correct, counts.trials], axis=1)
    rows = [row.tobytes() for row in np.ascontiguousarray(cells)]
    first = {row: place for place, row in reversed(list(enumerate(rows)))}
    return clusters.to_numpy(dtype=object)[[first[row] for row in rows]].astype(np.str_)


def models_without_family(counts: ResponseCounts) -> pd.Index:
    """Find the models whose family or run is unknown: neither a column nor the name gives it."""
    found = name_clusters([str(label) for label in counts.models.index])
    unknown = np.array([cluster is None for cluster in found])
    for column in (names.RUN, names.CLUSTER):
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
    # a search takes ten times as long as looking for the plain name
    if family := next((name for name, pattern in _FAMILY.items() if name in label and pattern.search(label)), None):
        return SPELLINGS.get(family, family)
    if organisation := _ORGANISATION.match(label):
        return organisation["organisation"]
    word = _FIRST_WORD.match(label)
    if word is None or len(word.group()) == 1 or word.group() in GENERAL_WORDS or _HASH.match(label):
        return None
    is_counted = _COUNTED.match(label) is not None and counted[word.group()] >= MIN_COUNTED
    return None if is_counted else word.group()


def cluster_folds(
    clusters: ClusterLabels, n_folds: int, rng: np.random.Generator
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


def axis_labels(what: str, given: Sequence[object] | None, n: int) -> list[str]:
    """Take the labels of an axis of an array, or number it."""
    if given is None:
        return [f"{what}{number}" for number in range(n)]
    if isinstance(given, str) or len(given) != n:
        raise ResponsesError(f"{what}s has {len(given)} labels for an array with {n} {what}s; one each is needed.")
    return [str(label) for label in given]
