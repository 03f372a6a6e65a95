"""How far to trust all this: checks of the fit and of the model, and what was noted on the way."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from irt_bench.report.figures.posterior import posterior_figure, scalar_names
from irt_bench.report.page import sentences
from irt_bench.report.page.folders import CHECKS, FIT, Part
from irt_bench.report.page.html_tables import html_table
from irt_bench.report.page.sections import Block, Section, figure_block
from irt_bench.report.tables.text import general

COLUMNS = ["stage", "name", "status", "value", "threshold", "message", "source"]


def trust_section(fit: Part | None, checks: Part | None) -> Section:
    """All named checks, failed ones first."""
    question = "How far to trust it?"
    if fit is None and checks is None:
        return Section("trust", question, missing=[FIT, CHECKS])
    found = all_checks(fit, checks)
    order = {"failed": 0, "passed": 1}
    found = found.sort_values("status", key=lambda status: status.map(order).fillna(2), kind="stable")
    said = [sentences.check_sentence(found)] if len(found) else []
    found["status"] = found["status"].str.replace("_", " ")
    found["name"] = found["name"].str.replace("_", " ")
    notes = [str(each.get("message", "")) for each in (fit.summary.get("findings", []) if fit else [])]
    notes += [str(note) for note in (checks.summary.get("notes", []) if checks else [])]
    for column in ("value", "threshold"):  # each of its own kind: a common number of digits would hide some
        found[column] = [general(None if pd.isna(value) else float(value)) for value in found[column]]
    table = html_table(found.set_index("name"))
    blocks = [Block("checks", "Checks", "Each with the figure found and its limit.", table, opened=True)]
    blocks = blocks if len(found) else []
    if fit is not None:
        blocks += _posterior(fit)
    missing = [kind for kind, part in ((FIT, fit), (CHECKS, checks)) if part is None]
    return Section("trust", question, said, blocks, missing=missing, notes=notes)


def _posterior(fit: Part) -> list[Block]:
    """Draw by ArviZ what belongs to no single model or item."""
    from irt_bench.inference.fit import FitResult

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a fit did not converge is said where it can be read
        posterior = FitResult.load(fit.path).posterior
    names = scalar_names(posterior)
    if not names:
        return []
    draws = {name: posterior[name].to_numpy().ravel() for name in names}
    table = pd.DataFrame(
        {
            "mean": {name: each.mean() for name, each in draws.items()},
            "sd": {name: each.std() for name, each in draws.items()},
            "q05": {name: np.quantile(each, 0.05) for name, each in draws.items()},
            "q95": {name: np.quantile(each, 0.95) for name, each in draws.items()},
        }
    ).rename_axis("quantity")
    caption = "Left: density of each chain; right: its draws in order, which should look like noise around a level."
    title = "Posterior of the items' means and sds"
    return [figure_block("posterior", title, caption, table, partial(posterior_figure, posterior))]


def all_checks(fit: Part | None, checks: Part | None) -> pd.DataFrame:
    """Tabulate checks of convergence and of the model together."""
    rows: list[dict[str, Any]] = []
    for part, stage in ((fit, "fit"), (checks, "model")):
        if part is None:
            continue
        found = part.summary.get("checks", [])
        named = [{"name": name, **each} for name, each in found.items()] if isinstance(found, dict) else found
        rows += [{"stage": stage} | each for each in named]
    return pd.DataFrame(rows, columns=COLUMNS)
