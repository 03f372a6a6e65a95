"""The report: one HTML file that needs nothing else, made of what commands wrote."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from importlib import resources
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from platform import python_version
from typing import Any, Final

import pandas as pd

from irt_bench.errors import OutputError
from irt_bench.files import replacing
from irt_bench.report.page.blocks import COLOURS, FigureBlock, PageChapter, PageSection, html_table, named_from
from irt_bench.report.page.fit_sections import all_checks, item_section, model_section, trust_section
from irt_bench.report.page.folders import (
    CHECKS,
    COMPARISON,
    FIT,
    ITEMS,
    RECIPES,
    SCORES,
    STUDY,
    SUBSETS,
    VARIANCE,
    Chapter,
    ResultFolder,
    read_chapters,
    read_folders,
    read_notes,
)
from irt_bench.report.page.variance_sections import (
    noise_section,
    recipe_section,
    score_section,
    source_section,
    subset_section,
)
from irt_bench.report.tables.text import one_line

MAX_PAGE_BYTES: Final = 6_000_000  # bytes
TEMPLATES: Final = "templates"
MAX_FULL: Final = 3  # benchmarks with all figures
MAX_CHAPTERS: Final = 20  # benchmarks with a part of their own
PRINTED_ROWS: Final = 8  # of a table; a page on a screen has more
MEANINGS: Final = {  # of heads of tables, shown beside the pointer
    "proportion correct": "share of right responses over models; 90% interval",
    "item rest correlation": "correlation of the item with the score on all other items, over models; 90% interval",
    "relative ability": "sds from the mean of these models",
    "p first abler": "probability that the model of rank 1 is abler than this one",
    "difficulty": "ability at which half of the responses are right (1PL, 2PL)",
    "discrimination": "logits per unit of ability: how sharply the item separates models",
    "seed sd (points)": "standard deviation of the score over seeds, root mean square over steps",
    "item sampling sd (points)": "standard error of the score, if only the items were drawn anew",
    "monotonicity": "Kendall's tau of score and step; 1 if each step improves",
    "snr": "signal-to-noise ratio: mean / standard deviation over seeds, at the last step",
    "rank best": "best rank that is not ruled out",
    "rank worst": "worst rank that is not ruled out",
    "group": "models of one group cannot be told apart from the best of it",
    "p holm": "p after Holm's correction over all rows",
    "seeds needed": "per recipe",
}
VERSIONED: Final = ("irt-bench", "pyro-ppl", "torch", "numpy", "scipy", "pandas")


def write_report(
    paths: Iterable[str | Path],
    output: str | Path,
    *,
    title: str | None = None,
    call: str | None = None,
    kept: bool = True,
) -> Path:
    """Write the report as one HTML file.

    Parameters
    ----------
    paths : iterable of str or Path
        Folders that commands or `save` wrote, or folders that hold such folders.
    output : str or Path
        HTML file to write.
    title : str, optional
        By default the names of the benchmarks.
    call : str, optional
        Command or call that makes the page, named at its foot.
    kept : bool
        Whether the folders stay, so that the page may name their files.

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
    given, output = [Path(path) for path in paths], Path(output)
    chapters = read_chapters(given, kept=kept)
    text = render(read_folders(given, kept=kept), chapters, read_notes(given), title=title, call=call)
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


def render(
    parts: Mapping[str, ResultFolder],
    chapters: Sequence[Chapter] = (),
    notes: Sequence[str] = (),
    *,
    title: str | None = None,
    call: str | None = None,
) -> str:
    """Make the text of the page from results on all benchmarks and, where there are several, on each."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("irt_bench.report.page", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = [*([chapter_section(chapters)] if chapters else []), *page_sections(parts)]
    script = _resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        title=one_line(title or _title(parts.values(), [each.benchmark for each in chapters])),
        sections=[section for section in found if not section.empty],
        chapters=page_chapters(chapters),
        notes=[one_line(note) for note in notes],
        absent=[(section.question, section.commands) for section in found if section.commands and not chapters],
        provenance=provenance([*parts.values(), *(part for each in chapters for part in each.parts.values())], call),
        facts=[*([f"{len(chapters)} benchmarks"] if chapters else []), *_facts(parts)],
        colours=COLOURS,
        meanings=MEANINGS,
        printed=PRINTED_ROWS,
        style=_resource("page.css"),
        script=script,
        script_hash=f"sha256-{digest}",
    )


def page_sections(parts: Mapping[str, ResultFolder]) -> list[PageSection]:
    """Make the sections, in the order of their questions."""
    get = parts.get
    return [
        recipe_section(get(RECIPES)),
        score_section(get(SCORES)),
        noise_section(get(VARIANCE)),
        source_section(get(VARIANCE)),
        subset_section(get(STUDY), get(SUBSETS)),
        item_section(get(ITEMS), get(FIT), get(CHECKS)),
        model_section(get(FIT), get(COMPARISON)),
        trust_section(get(FIT), get(CHECKS)),
    ]


def chapter_section(chapters: Sequence[Chapter]) -> PageSection:
    """Make the table of the benchmarks, each with what is found on it."""
    rows = {}
    for chapter in chapters:
        parts = chapter.parts
        row: dict[str, object] = {}
        if ITEMS in parts:
            flags = parts[ITEMS]["items"]["flags"].str.split(";")
            row |= {"items": len(flags), "items against the rest": int(flags.map(lambda own: "negative" in own).sum())}
        if FIT in parts:
            abilities = parts[FIT]["abilities"].set_index("model")
            row |= {"models": len(abilities), "ablest model": str(abilities["rank"].idxmin())}
            row["failed checks"] = int((all_checks(parts[FIT], parts.get(CHECKS))["status"] == "failed").sum())
        rows[chapter.benchmark] = row
    columns = ["models", "items", "items against the rest", "failed checks", "ablest model"]
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns).rename_axis("benchmark")
    n_items, against = int(table["items"].sum()), int(table["items against the rest"].sum())
    text = f"{len(chapters)} benchmarks with {n_items:,} items, of which {against:,} go against the rest."
    caption = "One row per benchmark; each has a part of its own below."
    block = FigureBlock("benchmarks-table", "Benchmarks", caption, html_table(table), opened=True)
    return PageSection("benchmarks", "What is found on each benchmark?", [text], [block])


def page_chapters(chapters: Sequence[Chapter]) -> list[PageChapter]:
    """Make the part of each benchmark: items, models, checks; of many benchmarks, in brief, and not of all."""
    made = []
    for place, chapter in enumerate(chapters[:MAX_CHAPTERS]):
        brief, get = len(chapters) > MAX_FULL, chapter.parts.get
        with named_from(f"b{place + 1}-"):
            sections = [
                item_section(get(ITEMS), get(FIT), get(CHECKS), brief=brief),
                model_section(get(FIT), get(COMPARISON), brief=brief),
                trust_section(get(FIT), get(CHECKS)),
            ]
        shown = [section for section in sections if not section.empty]
        title = one_line(chapter.benchmark)
        made.append(PageChapter(f"b{place + 1}-", title, _facts(chapter.parts), shown, chapter.notes))
    return made


def provenance(parts: Sequence[ResultFolder], call: str | None) -> list[tuple[str, str]]:
    """Describe how a page was made: command or folders, data, seed, versions, date.

    The date is a day, that of ``SOURCE_DATE_EPOCH`` [1]_ if set: the same results give the same page.

    References
    ----------
    .. [1] https://reproducible-builds.org/specs/source-date-epoch/
    """
    summaries = [part.summary for part in parts]
    data = [
        str(each["responses"].get("fingerprint", "")) for each in summaries if isinstance(each.get("responses"), dict)
    ]
    seeds = list(dict.fromkeys(str(each["seed"]) for each in summaries if each.get("seed") is not None))
    made = next((each["versions"] for each in summaries if isinstance(each.get("versions"), dict)), None) or {
        name: version(name) for name in VERSIONED
    }
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    day = datetime.fromtimestamp(int(epoch), UTC).date() if epoch.isdecimal() else date.today()
    rows = [
        ("made by", call or ""),
        ("made from", ", ".join(part.place for part in parts if part.kept) if call is None else ""),
        ("responses", ", ".join(each for each in dict.fromkeys(data) if each)),
        ("seed", ", ".join(seeds)),
        ("versions", ", ".join([f"Python {python_version()}", *(f"{name} {own}" for name, own in made.items())])),
        ("date", day.isoformat()),
    ]
    return [(name, one_line(text)) for name, text in rows if text]


def _resource(name: str) -> str:
    return (resources.files("irt_bench.report.page") / TEMPLATES / name).read_text(encoding="utf-8")


def _title(parts: Iterable[ResultFolder], benchmarks: Sequence[str]) -> str:
    """Name the benchmarks: those that have parts of their own, or those of the results."""
    names, parts = list(benchmarks), list(parts)
    for part in [] if names else parts:
        benchmark = part.summary.get("benchmark") or part.summary.get("responses", {}).get("benchmark")
        names += [str(each) for each in part.summary.get("benchmarks", [])] + ([str(benchmark)] if benchmark else [])
    if not names:
        names = [
            str(each) for part in parts if part.kind == SCORES for each in part["models"]["benchmark"].unique()[:1]
        ]
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
