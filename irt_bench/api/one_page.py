"""One page for the usual case: items, abilities, checks and, where there are seeds, their variance, of responses."""

from __future__ import annotations

import tempfile
from pathlib import Path

from irt_bench import names
from irt_bench.analysis.curves import observed_shares
from irt_bench.api.analysis import item_analysis
from irt_bench.api.fit import Fit
from irt_bench.api.fitting import fit
from irt_bench.api.variance import seed_variance
from irt_bench.errors import AnalysisError
from irt_bench.files import write_csv, write_json
from irt_bench.report.page.page import need_template_engine, write_report
from irt_bench.responses.canonical import Responses, as_table
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import ResponseTable
from irt_bench.workers import Progress


def report_responses(
    responses: Responses,
    output: str | Path,
    *,
    benchmark: str | None = None,
    keep: str | Path | None = None,
    title: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Analyse responses and write everything on one HTML page: items, 2PL, checks, accuracy, variance over seeds.

    Parameters
    ----------
    responses : ResponseTable, ResponseCounts, DataFrame or array
        Answers; see `fit`.
    output : str or Path
        HTML file to write.
    benchmark : str, optional
        Which to analyse, where there are several.
    keep : str or Path, optional
        Folder for the tables and draws behind the page; by default they are not kept.
    title : str, optional
        Title of the page; by default the name of the benchmark.
    seed : int
        Seed of the random numbers.
    progress : callable, optional
        Called with (what, done, total).

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    OutputError
        If Jinja is not installed, or the page is too large or cannot be written.
    IrtBenchError
        If there are several benchmarks and none is chosen, or the answers cannot be fitted.

    Notes
    -----
    Seed variance is analysed where a run has two or more seeds; otherwise the page has no such section.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from irt_bench import load_example, report_responses
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = report_responses(load_example("benchmark"), Path(folder) / "page.html")
    ...     page.stat().st_size > 100_000
    True
    """
    need_template_engine()
    table = as_table(responses).one_benchmark(benchmark)
    if keep is not None:
        _analyse(table, Path(keep), seed, progress)
        return write_report([Path(keep)], Path(output), title=title)
    with tempfile.TemporaryDirectory() as folder:
        _analyse(table, Path(folder), seed, progress)
        return write_report([Path(folder)], Path(output), title=title)


def _analyse(table: ResponseTable, folder: Path, seed: int, progress: Progress | None) -> None:
    """Write the results of all commands as these do, each into a folder of its own."""
    counts = table.counts()
    (folder / "fit").mkdir(parents=True, exist_ok=True)
    item_analysis(counts).save(folder / "items.csv")
    fitted = fit(counts, "2pl", seed=seed, progress=progress)
    _save_fit(fitted, counts, folder / "fit")
    about = {"benchmark": counts.benchmark, "fit": "fit", "converged": fitted.converged}
    fitted.check(seed=seed, progress=progress).save(folder / "checks", about=about | {"group": None})
    fitted.compare_accuracy(seed=seed).save(folder / "comparison", about=about)
    if names.SEED in counts.models and counts.models[names.SEED].notna().any():
        try:
            seed_variance(table, seed=seed, progress=progress).save(folder / "variance")
        except AnalysisError as reason:  # no run has two seeds
            write_json(folder / "no_variance.json", {"reason": str(reason)})


def _save_fit(fitted: Fit, counts: ResponseCounts, folder: Path) -> None:
    """Write a fit with its tables, as ``irt-bench fit`` does."""
    abilities = fitted.abilities()
    fitted.save(folder / "fit.nc")
    write_csv(fitted.items(), folder / "items.csv")
    write_csv(abilities, folder / "abilities.csv")
    write_csv(observed_shares(abilities["ability"], counts).to_dataframe(), folder / "observed.csv")
    write_json(folder / "summary.json", fitted.to_dict())
