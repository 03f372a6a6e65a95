"""One page for the usual case: scores, items, abilities, checks, variance over seeds; of one benchmark or several."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Final

import pandas as pd

from irt_bench import names
from irt_bench.analysis.classical import item_statistics
from irt_bench.api.fit import Fit
from irt_bench.api.fitting import fit, fit_tables
from irt_bench.api.model_scores import model_scores
from irt_bench.api.variance import compare_recipes, seed_variance
from irt_bench.checks.check_fit import REPLICATES
from irt_bench.errors import AnalysisError, IrtBenchError
from irt_bench.files import write_csv, write_json
from irt_bench.report.figures.variance_figures import file_name
from irt_bench.report.page import MAX_FULL, need_template_engine, write_report
from irt_bench.report.page.folders import CHAPTER, CHAPTERS, CHECKS, COMPARISON, FIT, NOTES, RECIPES, SCORES, VARIANCE
from irt_bench.responses.canonical import Responses, as_table
from irt_bench.responses.table import ResponseTable, natural_order
from irt_bench.variance.detect import DIFFERENCE
from irt_bench.workers import Progress

MANY_REPLICATES: Final = 19  # data sets behind the checks of each of many benchmarks: a 5% level, in half the time
FRACTIONAL: Final = "Scores of this benchmark are fractional: shares of right responses are mean scores here."
NO_MODEL: Final = (
    "Abilities and checks are left out, as IRT models of fractional scores are sampled, which takes minutes: make the "
    "page with score_models, or fit one (beta; grm of ordered scores) and give its folder."
)
NO_CHECKS: Final = "Checks of the model and ability against accuracy are left out: they are of right and wrong answers."


def report_responses(
    responses: Responses,
    output: str | Path,
    *,
    benchmark: str | None = None,
    keep: str | Path | None = None,
    title: str | None = None,
    score_models: bool = False,
    seed: int = 0,
    call: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Analyse responses and write everything on one HTML page: scores, items, 2PL, checks, variance over seeds.

    Parameters
    ----------
    responses : ResponseTable, ResponseCounts, DataFrame or array
        Answers; see `fit`.
    output : str or Path
        HTML file to write.
    benchmark : str, optional
        Which to analyse, where there are several; by default all, each in its own part of the page.
    keep : str or Path, optional
        Folder for the tables and draws behind the page; by default they are not kept.
    title : str, optional
        Title of the page; by default the name of the benchmark.
    score_models : bool
        Whether benchmarks of fractional scores get an IRT model too: "grm" of ordered scores, else "beta". Both are
        sampled, which takes minutes per benchmark.
    seed
        As in `fit`.
    call : str, optional
        Text at the foot of the page that tells how it was made; by default this call.
    progress
        As in `fit`.

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    OutputError
        If Jinja is not installed, or the page is too large or cannot be written.
    IrtBenchError
        If the benchmark is unknown or, of one benchmark, the answers cannot be fitted. Of several, the page says which
        could not.

    Notes
    -----
    Seed variance is analysed where a run has two or more seeds, and where there are two such runs, they are compared;
    otherwise the page has no such sections. For fractional scores the page has scores, item statistics and, with
    `score_models`, abilities; checks and the comparison with accuracy are for right and wrong answers only.

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
    table = as_table(responses)
    if benchmark is not None:
        table = table.one_benchmark(benchmark)
    given = {"benchmark": benchmark, "score_models": score_models or None, "seed": seed}
    named = ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)
    with nullcontext(keep) if keep is not None else tempfile.TemporaryDirectory() as folder:
        _analyse(table, Path(folder), seed, progress, score_models=score_models, draw_figures=keep is not None)
        call = call or f"report_responses({named})"
        return write_report([Path(folder)], Path(output), title=title, call=call, kept=keep is not None)


def _analyse(
    table: ResponseTable,
    folder: Path,
    seed: int,
    progress: Progress | None,
    *,
    score_models: bool,
    draw_figures: bool,
) -> None:
    """Write the results of all commands as these do, each into a folder of its own, and of several benchmarks too.

    The page has figures of its own: those of the folders are for who keeps them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    notes = _analyse_models(table, folder, seed, progress, draw_figures=draw_figures)
    benchmarks = [str(name) for name in table.benchmarks]
    n_replicates = MANY_REPLICATES if len(benchmarks) > MAX_FULL else REPLICATES
    analyse = partial(
        _analyse_benchmark,
        seed=seed,
        progress=progress,
        score_models=score_models,
        replicates=n_replicates,
        draw_figures=draw_figures,
    )
    if len(benchmarks) == 1:
        notes += analyse(table.one_benchmark(), folder)
    for place, benchmark in enumerate(benchmarks if len(benchmarks) > 1 else []):
        own = folder / CHAPTERS / file_name(benchmark, place)
        own.mkdir(parents=True, exist_ok=True)
        try:
            said = analyse(table.one_benchmark(benchmark), own)
        except IrtBenchError as reason:  # too few models or items, for example
            said = [str(reason)]
        write_json(own / CHAPTER, {"benchmark": benchmark, "place": place, "notes": said})
    if notes:
        write_json(folder / NOTES, {"notes": notes})


def _analyse_models(
    table: ResponseTable, folder: Path, seed: int, progress: Progress | None, *, draw_figures: bool
) -> list[str]:
    """Scores over all benchmarks; where there are seeds, their variance, and two recipes compared; what is left out."""
    notes = []
    try:
        model_scores(table, models=_last_checkpoints(table.models)).save(folder / SCORES, draw_figures=draw_figures)
    except AnalysisError as reason:
        notes.append(f"Scores of models are left out: {reason}")
    seeded = names.SEED in table.models and table.models[names.SEED].notna().any()
    try:
        if seeded:
            found = seed_variance(table, difference=DIFFERENCE, seed=seed, progress=progress)
            found.save(folder / VARIANCE, draw_figures=draw_figures)
            recipes = list(found.result.metrics[names.RUN].unique())
            if len(recipes) == 2:
                compare_recipes(table, *map(str, recipes)).save(folder / RECIPES)
    except AnalysisError as reason:  # no run has two seeds
        notes.append(f"Seed variance is left out: {reason}")
    return notes


def _last_checkpoints(models: pd.DataFrame) -> list[str] | None:
    """Models at the last step of their run and seed, whose scores are compared; None where there are no steps."""
    if names.STEP not in models or models[names.STEP].isna().all():
        return None
    steps = models[names.STEP].astype("string")
    order = {step: place for place, step in enumerate(natural_order(steps.dropna().unique()))}
    place = steps.map(order)
    keys = [models[name] for name in (names.RUN, names.SEED) if name in models]
    last = place.groupby(keys, dropna=False).transform("max") if keys else place.max()
    return [str(label) for label in models.index[place.isna() | (place == last)]]


def _analyse_benchmark(
    table: ResponseTable,
    folder: Path,
    *,
    seed: int,
    progress: Progress | None,
    score_models: bool,
    replicates: int,
    draw_figures: bool,
) -> list[str]:
    """Items, a fit, its checks, and ability against accuracy, on one benchmark; what of this is left out, and why."""
    counts = table.counts()
    of_scores = counts.measure == "score"
    write_csv(item_statistics(counts), folder / "items.csv")
    if of_scores and not score_models:
        return [FRACTIONAL, NO_MODEL]
    (folder / FIT).mkdir(exist_ok=True)
    ordered = names.HIGHEST_SCORE in counts.items
    fitted = fit(counts, ("grm" if ordered else "beta") if of_scores else "2pl", seed=seed, progress=progress)
    _save_fit(fitted, folder / FIT)
    if of_scores:
        return [FRACTIONAL, NO_CHECKS]
    about = {"benchmark": counts.benchmark, "fit": FIT, "converged": fitted.converged}
    fitted.check(replicates=replicates, seed=seed, progress=progress).save(
        folder / CHECKS, about=about | {"group": None}, draw_figures=draw_figures
    )
    fitted.compare_accuracy(seed=seed).save(folder / COMPARISON, about=about, draw_figures=draw_figures)
    return []


def _save_fit(fitted: Fit, folder: Path) -> None:
    """Write a fit with its tables, as ``irt-bench fit`` does."""
    fitted.save(folder / "fit.nc")
    for name, table in fit_tables(fitted).items():
        write_csv(table, folder / f"{name}.csv")
    write_json(folder / "summary.json", fitted.to_dict())
