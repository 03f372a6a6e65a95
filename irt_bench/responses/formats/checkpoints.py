"""Training step or revision of a model's weights, from the arguments a harness was given."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

LONGEST_NUMBER: Final = 16  # digits of a step; Python refuses to read thousands of them, and int64 holds 18
DEFAULT_BRANCH: Final = "main"  # where a model hub puts finished weights; says nothing about the checkpoint
_IN_TEXT: Final = re.compile(r"""\brevision['"]?\s*[:=]\s*['"]?([^'",}\s]+)""")
_STEP: Final = re.compile(
    r"(?:^|[-_])(?:global[-_]?step|step|checkpoint|ckpt|iter(?:ation)?)[-_]?(\d{1,16})(?![\d.])", re.IGNORECASE
)


class Checkpoint(NamedTuple):
    """Training step, and the revision where it says more than the step."""

    step: int | None = None
    revision: str | None = None


def checkpoint_of(revision: object) -> Checkpoint:
    """Read a revision: "step1000" is a step, "main" nothing, any other text (a branch, a hash) a revision."""
    text = str(revision).strip() if revision is not None else ""
    if not text or text.lower() in (DEFAULT_BRANCH, "none"):
        return Checkpoint()
    match = _STEP.search(text)
    if match is None:
        return Checkpoint(revision=text)
    return Checkpoint(int(match[1]), None if match[0] == text else text)


def revision_in(model_args: object) -> str | None:
    """Find the revision among model arguments: a mapping, "a=b,c=d", or a mapping printed as text."""
    if isinstance(model_args, dict):
        revision = model_args.get("revision")
        return None if revision is None else str(revision)
    match = _IN_TEXT.search(model_args) if isinstance(model_args, str) else None
    return match[1] if match else None
