"""Subset → Inspect AI: a run configuration, or the text of ``--sample-id``.

Inspect matches ids as file name patterns, so ``* ? [`` in an id would match others and are escaped.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

import yaml

from irt_bench.errors import SubsetError
from irt_bench.subsets.subset import SubsetRecord

MODEL: Final = "PROVIDER/MODEL"
SPECIAL: Final = {character: f"[{character}]" for character in "[*?"}
MOST_ARGUMENT_BYTES: Final = 120_000  # the operating system takes 128 KiB


def sample_ids(subset: SubsetRecord) -> list[str]:
    """Ids as patterns that match themselves only."""
    return [id_pattern(item.id) for item in subset.items]


def id_pattern(label: str) -> str:
    """Escape what `fnmatch` would take as a pattern."""
    return "".join(SPECIAL.get(character, character) for character in label)


def run_config(subset: SubsetRecord, *, task: str | None = None, model: str = MODEL) -> str:
    """YAML for ``inspect eval --run-config``.

    Parameters
    ----------
    subset : SubsetRecord
        Whose item ids are sample ids.
    task : str, optional
        Task as Inspect names it (``file.py@task``); by default the benchmark's name.
    model : str
        Model as Inspect names it.
    """
    content = {"task": task or subset.benchmark, "model": model, "eval_config": {"sample_id": sample_ids(subset)}}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def run_command(path: Path) -> str:
    """Command that runs the configuration."""
    return f"inspect eval --run-config {shlex.quote(str(path))}"


def sample_id_text(subset: SubsetRecord) -> str:
    """Text for ``--sample-id``.

    Raises
    ------
    SubsetError
        If an id holds a comma, at which the command line splits, or the text is too long for it.
    """
    ids = sample_ids(subset)
    for label in ids:
        if "," in label:
            raise SubsetError(f"item {label!r} holds a comma, at which --sample-id splits; use the run configuration.")
    text = ",".join(ids)
    if len(text.encode()) > MOST_ARGUMENT_BYTES:
        raise SubsetError(f"{len(ids)} ids are too long for one argument; use the run configuration.")
    return text
