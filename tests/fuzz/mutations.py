"""Valid files made invalid by hypothesis: bytes, structure of JSON, columns, and what compressed files hold."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
import zstandard
from hypothesis import strategies as st

TOKENS = (
    b"", b"\x00", b"\xff\xfe", b"NaN", b"inf", b"-1", b"2", b"1e999", b"0.5", b"yes", b"null", b"true", b'"', b"'",
    b",", b"\n", b"\r", b"\t", b"{", b"}", b"[", b"]", b":", b"=1+1", b"<script>", b"../", b"\xe2\x80\xae", b"\xcc\x81",
    b"9" * 400, b"9" * 5000, b"[" * 2000, b"x" * 20_000, b'"a":1,"a":2', b"\\ud83d", b"PAR1",
    b"PK\x03\x04", b"\x1f\x8b", b"2025-01-01", b"1;0", b"model", b"item", b"correct", b"score", b"n_samples", b"trial",
    b"benchmark",
)  # fmt: skip
DEEP: list[Any] = []
for _ in range(150):
    DEEP = [DEEP]
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, 1e308, float("nan"), float("inf"), 10**30, 10**400, -(2**63), "", " ", "x",
    "yes", "nan", "C", "0", "1" * 5000, "x" * 10_000, "\ud83d", "a\nb", "../..", [], [[]], [1, "a"], {},
    {"a": {"b": [1]}}, {"value": {"a": 1}}, DEEP, "step5", "2025-01-01", ["acc"], {"acc": 1},
)  # fmt: skip
PLACE = st.floats(0, 1, exclude_max=True, allow_nan=False)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["replace", "insert", "delete", "repeat", "cut", "flip"]),
        PLACE,
        st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6)),
        st.integers(1, 64),
    ),
    min_size=1,
    max_size=5,
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "set", "delete", "swap", "nest", "key"]), PLACE, PLACE, st.sampled_from(VALUES)),
    min_size=1,
    max_size=4,
)


class Example(NamedTuple):
    """A folder of the corpus with some of its files changed."""

    name: str
    files: dict[str, bytes]  # by path in the folder, '/' between


def examples(root: Path, names: list[str]) -> st.SearchStrategy[Example]:
    """Changed copies of the corpus' folders."""
    folders = {
        name: {path.relative_to(root / name).as_posix(): path.read_bytes() for path in sorted((root / name).rglob("*"))
               if path.is_file()}
        for name in names
    }  # fmt: skip
    return st.sampled_from(names).flatmap(lambda name: _changed_folder(name, folders[name]))


@st.composite
def _changed_folder(draw: st.DrawFn, name: str, files: dict[str, bytes]) -> Example:
    changed = dict(files)
    for path in draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=2, unique=True)):
        how = draw(st.sampled_from(["inside", "inside", "bytes"]))
        change = _change_for(path) if how == "inside" else _edited_bytes
        changed[path] = draw(change(files[path]))
    if draw(st.integers(0, 19)) == 0:
        del changed[draw(st.sampled_from(sorted(changed)))]
    return Example(name, changed)


def _change_for(path: str) -> Callable[[bytes], st.SearchStrategy[bytes]]:
    """How the inside of a file is changed, by its ending."""
    ending = path.rsplit(".", 1)[-1]
    inside = {"gz": _repacked(gzip.decompress, gzip.compress), "zst": _repacked(_unzstd, zstandard.compress)}
    return inside.get(ending) or {
        "json": _subset if path == "subset.json" else _changed_json, "jsonl": _changed_lines, "eval": _changed_archive,
        "npz": _changed_archive, "parquet": _changed_parquet, "nc": _changed_netcdf,
    }.get(ending, _edited_bytes)  # fmt: skip


def _edited_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    def edit(edits: list[tuple[str, float, bytes, int]]) -> bytes:
        out = bytearray(content)
        for kind, place, token, length in edits:
            at = int(place * (len(out) + 1))
            if kind == "insert":
                out[at:at] = token
            elif kind == "replace":
                out[at : at + max(len(token), 1)] = token
            elif kind == "delete":
                del out[at : at + length]
            elif kind == "repeat":
                out[at:at] = out[at : at + 16 * length] * (1 + length % 4)
            elif kind == "cut":
                del out[at:]
            elif at < len(out):
                out[at] ^= 1 << length % 8
        return bytes(out)

    return EDITS.map(edit)


def _repacked(unpack: Callable[[bytes], bytes], pack: Callable[[bytes], bytes]) -> Callable[[bytes], Any]:
    return lambda content: _edited_bytes(unpack(content)).map(pack)


def _unzstd(content: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(content)


def _change_value(value: Any, changes: list[tuple[str, float, float, Any]]) -> Any:
    """Change a JSON value at places found by walking it; where it got too deep for that, what it was."""
    try:
        return _walk_and_change(value, changes)
    except RecursionError:
        return value


def _walk_and_change(value: Any, changes: list[tuple[str, float, float, Any]]) -> Any:
    value = json.loads(json.dumps(value))
    for kind, place, other, value_given in changes:
        new = copy.deepcopy(value_given)
        nodes = list(_nodes(value))
        if not nodes:
            return new
        holder, key = nodes[int(place * len(nodes))]
        if kind == "delete":
            del holder[key]
        elif kind == "swap":
            there, at = nodes[int(other * len(nodes))]
            holder[key], there[at] = json.loads(json.dumps(there[at])), json.loads(json.dumps(holder[key]))
        elif kind == "nest":
            holder[key] = [holder[key], new]
        elif kind == "key" and isinstance(holder, dict):
            holder[str(new)[:50]] = holder.pop(key)
        else:
            holder[key] = new
    return value


def _nodes(value: Any) -> Any:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(pairs):
        yield value, key
        yield from _nodes(child)


def _changed_json(content: bytes) -> st.SearchStrategy[bytes]:
    return CHANGES.map(lambda changes: _dump(_change_value(json.loads(content), changes)))


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def _changed_lines(content: bytes) -> st.SearchStrategy[bytes]:
    lines = [json.loads(line) for line in content.splitlines()]
    return CHANGES.map(
        lambda changes: b"".join(_dump(line) + b"\n" for line in _as_list(_change_value(lines, changes)))
    )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _subset(content: bytes) -> st.SearchStrategy[bytes]:
    """A subset sealed anew: who changes one on purpose computes the digest, too."""

    def change(changes: list[tuple[str, float, float, Any]], *, seal: bool) -> bytes:
        value = json.loads(content)
        value.pop("sha256")
        value = _change_value(value, changes)
        if seal and isinstance(value, dict):
            canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            digest = hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
            value = {"sha256": f"sha256:{digest}", **value}
        return _dump(value)

    return st.builds(lambda changes, seal: change(changes, seal=seal), CHANGES, st.integers(0, 4).map(bool))


@st.composite
def _changed_archive(draw: st.DrawFn, content: bytes) -> bytes:
    """Members changed, and packed in any of the ways there are."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw(st.sampled_from(sorted(members)))
    change = _changed_json if name.endswith(".json") and draw(st.booleans()) else _edited_bytes
    members[name] = draw(change(members[name]))
    if draw(st.integers(0, 9)) == 0:
        members[
            draw(st.sampled_from(["samples/1.json", "_journal/start.json", "../x", "a" * 300, "summaries.json"]))
        ] = draw(st.sampled_from(TOKENS))
    method = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return out.getvalue()


@st.composite
def _changed_parquet(draw: st.DrawFn, content: bytes) -> bytes:
    """A table with columns of other types, other names, or one cell out of place."""
    frame = pd.read_parquet(io.BytesIO(content))
    n = len(frame)
    column = draw(st.sampled_from(list(frame.columns)))
    kinds: dict[str, Any] = {
        "text": [str(x) for x in range(n)], "words": ["yes", "no"] * n, "lists": [[1, 2]] * n,
        "records": [{"a": 1}] * n, "times": pd.date_range("2025-01-01", periods=n), "bytes": [b"\xff\x00"] * n,
        "huge": [2**62] * n,
        "reals": np.linspace(-1, 2, n), "nothing": [None] * n, "truth": np.arange(n) % 2 == 0,
        "categories": pd.Categorical(["a", "b"] * (n // 2) + ["a"] * (n % 2)), "nan": [np.nan] * n,
        "unsigned": np.full(n, 2**63, dtype=np.uint64), "infinite": [np.inf] * n,
        "small": np.arange(n, dtype=np.int8) % 2,
        "differences": pd.to_timedelta(np.arange(n), unit="s"), "decimal": [draw(st.decimals(0, 1, places=2))] * n,
    }  # fmt: skip
    kind = draw(st.sampled_from(["rename", "drop", "head", *kinds]))
    if kind == "rename":
        new = draw(
            st.sampled_from(["item", "model", "score", "trial", "n_correct", "benchmark", "doc_hash", "", "x" * 9_999])
        )
        frame.columns = [new if name == column else name for name in frame.columns]
        frame = frame.loc[:, ~frame.columns.duplicated()]
    elif kind == "drop":
        frame = frame.drop(columns=column)
    elif kind == "head":
        frame = frame.head(draw(st.integers(0, 2)))
    else:
        values = kinds[kind]
        frame[column] = list(values)[:n] if isinstance(values, list) else values[:n]
    out = io.BytesIO()
    frame.to_parquet(out, compression=draw(st.sampled_from(["snappy", "zstd", "gzip", None])))
    return out.getvalue()


@st.composite
def _changed_netcdf(draw: st.DrawFn, content: bytes) -> bytes:
    """A fit whose own words, arrays or names are others."""
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        kind = draw(st.sampled_from(["words", "words", "array", "drop", "shape", "labels", "attribute"]))
        names: list[str] = []
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        name = draw(st.sampled_from(sorted(names)))
        if kind == "words":
            about = json.loads(file.attrs["irt_bench"])
            file.attrs["irt_bench"] = json.dumps(_change_value(about, draw(CHANGES)))
        elif kind == "attribute":
            file.attrs["irt_bench"] = draw(st.sampled_from([1, b"\xff", "[]", "null", "{", [1, 2]]))
        elif kind == "drop":
            del file[name]
        elif kind == "shape":
            del file[name]
            file[name] = np.zeros(draw(st.sampled_from([(), (1,), (3, 2), (1, 20, 5), (1, 20, 8), (0,)])))
        else:
            data = file[name]
            flat = data[()].reshape(-1) if data.shape else np.array([])
            if flat.dtype.kind == "f" and len(flat):
                flat[int(draw(PLACE) * len(flat))] = draw(st.sampled_from([np.nan, np.inf, -1.0, 0.0, 1e300]))
                data[...] = flat.reshape(data.shape)
            elif len(flat):
                data[...] = np.repeat(flat[:1], len(flat)).reshape(data.shape)
    return stream.getvalue()
