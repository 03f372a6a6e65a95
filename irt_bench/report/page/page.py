"""The report: one HTML file that needs nothing else, made of what commands wrote."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from irt_bench.errors import OutputError
from irt_bench.files import replacing
from irt_bench.report.page.blocks import COLOURS, PageSection
from irt_bench.report.page.fit_sections import item_section, model_section, trust_section
from irt_bench.report.page.folders import (
    CHECKS,
    COMPARISON,
    FIT,
    ITEMS,
    STUDY,
    SUBSETS,
    VARIANCE,
    ResultFolder,
    read_folders,
)
from irt_bench.report.page.variance_sections import noise_section, source_section, subset_section
from irt_bench.report.tables.text import one_line

MAX_PAGE_BYTES: Final = 6_000_000  # bytes
TEMPLATES: Final = "templates"


def write_report(paths: Iterable[Path], output: Path, *, title: str | None = None) -> Path:
    """Write the report as one HTML file.

    Parameters
    ----------
    paths : iterable of Path
        Folders that commands wrote, or folders of these folders; see `irt_bench.report.page.folders.read_folders`.
    output : Path
        HTML file to write.
    title : str, optional
        By default the names of the benchmarks.

    Raises
    ------
    ReadError
        If a path contains no results for a report, or a broken file.
    OutputError
        If Jinja is not installed, or the page is too large or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from irt_bench import item_analysis, load_example, write_report
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     item_analysis(load_example("benchmark")).save(Path(folder) / "items.csv")
    ...     write_report([Path(folder) / "items.csv"], Path(folder) / "report.html").name
    'report.html'
    """
    need_template_engine()
    text = render(read_folders(paths), title=title)
    content = text.encode()
    if len(content) > MAX_PAGE_BYTES:
        raise OutputError(f"the page has {len(content):,} bytes, more than {MAX_PAGE_BYTES:,}; give fewer folders.")
    with replacing(output) as beside:
        beside.write_bytes(content)
    return output


def need_template_engine() -> None:
    """Raise an OutputError where Jinja is not installed."""
    if find_spec("jinja2") is None:
        raise OutputError("the page needs Jinja; install it with: pip install 'irt-bench[report]'.")


def render(parts: Mapping[str, ResultFolder], *, title: str | None = None) -> str:
    """Make the text of the page from the results."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("irt_bench.report.page", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = page_sections(parts)
    script = _resource("page.js")
    items = next((section.items for section in sections if section.items is not None), None)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        title=one_line(title or _title(parts)),
        sections=sections,
        sources=[one_line(part.place) for part in parts.values()],
        facts=_facts(parts),
        items=items,
        colours=COLOURS,
        style=_resource("page.css"),
        script=script,
        script_hash=f"sha256-{digest}",
    )


def page_sections(parts: Mapping[str, ResultFolder]) -> list[PageSection]:
    """Make the sections, in the order of their questions."""
    get = parts.get
    return [
        noise_section(get(VARIANCE)),
        source_section(get(VARIANCE)),
        subset_section(get(STUDY), get(SUBSETS)),
        item_section(get(ITEMS), get(FIT), get(CHECKS)),
        model_section(get(FIT), get(COMPARISON)),
        trust_section(get(FIT), get(CHECKS)),
    ]


def _resource(name: str) -> str:
    return (resources.files("irt_bench.report.page") / TEMPLATES / name).read_text(encoding="utf-8")


def _title(parts: Mapping[str, ResultFolder]) -> str:
    names: list[str] = []
    for part in parts.values():
        benchmark = part.summary.get("benchmark") or part.summary.get("responses", {}).get("benchmark")
        names += [str(each) for each in part.summary.get("benchmarks", [])] + ([str(benchmark)] if benchmark else [])
    unique = list(dict.fromkeys(names))
    return ", ".join(unique[:3]) + (f" and {len(unique) - 3} more" if len(unique) > 3 else "") or "benchmark"


def _facts(parts: Mapping[str, ResultFolder]) -> list[str]:
    """Size and method in a few words."""
    facts: list[str] = []
    if FIT in parts:
        summary: Mapping[str, Any] = parts[FIT].summary
        responses = summary.get("responses", {})
        if "n_models" in responses:
            facts.append(f"{responses['n_models']:,} models x {responses['n_items']:,} items")
        name = summary.get("irt_model", {}).get("name", "")
        facts.append(f"{one_line(str(name)).upper()} by {one_line(str(summary.get('method', '')))}")
    if VARIANCE in parts:
        seeds = parts[VARIANCE].summary.get("seeds_per_run", {})
        if seeds:
            facts.append(f"{len(seeds):,} training run{'s' * (len(seeds) != 1)} of up to {max(seeds.values())} seeds")
    return facts
