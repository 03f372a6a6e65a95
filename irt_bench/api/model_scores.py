"""Scores of models with standard errors, and which models can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

import pandas as pd

from irt_bench import names
from irt_bench.analysis.item_parameters import item_parameter_table, read_item_parameters, score_by_items
from irt_bench.analysis.model_scores import (
    ACCURACY_MEASURE,
    LEVEL,
    MAX_PAIRED,
    SUITE,
    pair_table,
    ranked,
    score_table,
    suite_pairs,
    suite_scores,
)
from irt_bench.api.display import draw, html_frame, html_lines, notebook_html, plural, saved_folder
from irt_bench.errors import AnalysisError, renamed, unknown_choice
from irt_bench.files import write_csv, write_json
from irt_bench.names import BENCHMARK, MODEL, ScoreMethod
from irt_bench.report import figures
from irt_bench.responses.canonical import Responses, as_counts, as_table
from irt_bench.responses.counts import ResponseCounts
from irt_bench.variance.model_pair import compare_models as compare_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from irt_bench.report.figures import FigureLook

SHOWN: Final = ("score", "rank", "group", "n_items", "n_answers")


@dataclass(frozen=True, repr=False)
class ModelScores:
    """Scores of models on one or several benchmarks, and the differences of pairs. Made by `model_scores`.

    Parameters
    ----------
    measure : str
        What was scored: "accuracy", "pass@k" or "majority@k".
    scores, differences : pd.DataFrame
        See `models` and `pairs`.
    notes : tuple of str
        What was left out.

    Examples
    --------
    >>> from irt_bench import load_example, model_scores
    >>> scores = model_scores(load_example("benchmark"))
    >>> scores
    ModelScores(accuracy, benchmark, 120 models, best: model-001)
    >>> scores.models().loc[("benchmark", "model-001"), ["score", "score_q05", "rank_worst"]].round(2).tolist()
    [0.92, 0.87, 19.0]
    """

    measure: str
    scores: pd.DataFrame
    differences: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks; the mean of several is the last."""
        return [str(name) for name in self.scores.index.unique(BENCHMARK)]

    def __repr__(self) -> str:
        last = self.models(self.benchmarks[-1])["score"]
        best = f", best: {last.idxmax()}" if last.notna().any() else ""
        which = self.benchmarks[0] if len(self.benchmarks) == 1 else plural(len(self.benchmarks) - 1, "benchmark")
        return f"ModelScores({self.measure}, {which}, {plural(len(last), 'model')}{best})"

    def _repr_html_(self) -> str:
        parts = []
        for name in self.benchmarks:
            table = self.models(name).sort_values("score", ascending=False)
            parts.append(html_frame(table, f"{name}: {self.measure}, best first", SHOWN))
        return notebook_html(repr(self), *parts, html_lines(self.notes))

    def models(self, benchmark: str | None = None) -> pd.DataFrame:
        """Score of each model.

        Parameters
        ----------
        benchmark : str, optional
            One of `benchmarks`; by default all are returned.

        Returns
        -------
        pd.DataFrame
            Indexed by benchmark and model, or by model: ``score`` with ``_se``, ``_q05``, ``_q95`` for other items
            (generalized accuracy); ``benchmark_se, benchmark_q05, benchmark_q95`` for these items and other answers
            (benchmark accuracy), NaN without repeated answers; ``rank``, the ranks that are not ruled out
            (``rank_best, rank_worst``), ``group``; ``n_items, n_answers``.
        """
        if benchmark is None:
            return self.scores
        if benchmark not in self.benchmarks:
            raise AnalysisError(unknown_choice("benchmark", benchmark, self.benchmarks))
        table: pd.DataFrame = self.scores.xs(benchmark, level=BENCHMARK)  # type: ignore[assignment]
        return table

    def pairs(self) -> pd.DataFrame:
        """Differences of pairs of models on the items that both answered.

        Returns
        -------
        pd.DataFrame
            ``benchmark, a, b, n_items, difference`` (a less b) with ``_se``, ``_q05``, ``_q95``, ``df, p, p_holm``.
        """
        return self.differences

    def summary(self) -> pd.DataFrame:
        """Name the best model of each benchmark, and count the models that may be best.

        Returns
        -------
        pd.DataFrame
            Indexed by benchmark: ``best``, its ``score`` with ``score_q05, score_q95``; ``n_best``, the number of
            models whose rank may be 1; ``n_models``.
        """
        order = self.scores.sort_values("score", ascending=False)
        best = order.groupby(BENCHMARK, sort=False).head(1).reset_index(MODEL)
        found = best[[MODEL, "score", "score_q05", "score_q95"]].rename(columns={MODEL: "best"})
        by_benchmark = (self.scores["rank_best"] == 1).groupby(BENCHMARK, sort=False)
        return found.assign(n_best=by_benchmark.sum(), n_models=by_benchmark.size()).loc[self.benchmarks]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "measure": self.measure,
            "models": self.scores.reset_index().to_dict("records"),
            "pairs": self.differences.to_dict("records"),
            "level": LEVEL,
            "notes": list(self.notes),
        }

    def plot(
        self, kind: Literal["scores"] = "scores", *, benchmark: str | None = None, **look: Unpack[FigureLook]
    ) -> Figure:
        """Draw the scores of the models with both intervals, best first.

        Parameters
        ----------
        kind : {"scores"}
            The figure.
        benchmark : str, optional
            By default the only one, or the mean of all.
        **look
            ``width`` or ``figsize`` in inches, and ``title``, as in `Fit.plot`.
        """
        chosen = self.benchmarks[-1] if benchmark is None else benchmark
        table = self.models(chosen)
        return draw(kind, {"scores": lambda: figures.scores_figure(table, chosen, self.measure)}, **look)

    def save(self, folder: str | Path, *, draw_figures: bool = True, safe_csv: bool = False) -> None:
        """Write tables, figure and summary into a folder, as ``irt-bench scores`` does.

        Parameters
        ----------
        folder, draw_figures, safe_csv
            As in `FitChecks.save`.
        """
        with saved_folder(folder) as path:
            write_csv(self.scores, path / "models.csv", safe=safe_csv)
            write_csv(self.differences, path / "pairs.csv", safe=safe_csv, index=False)
            if draw_figures:
                figures.save_figure(self.plot(), path / "scores.png")
            write_json(path / "summary.json", self.to_dict())


@renamed(cluster="item_clusters")
def model_scores(
    responses: Responses,
    *,
    measure: str = ACCURACY_MEASURE,
    models: Sequence[str] | None = None,
    baseline: str | None = None,
    item_clusters: str | None = None,
    strata: str | None = names.SUBTASK,
) -> ModelScores:
    """Score models with standard errors, and compare all pairs of them.

    Parameters
    ----------
    responses : ResponseTable, ResponseCounts, DataFrame or array
        Answers to one or several benchmarks.
    measure : str
        "accuracy"; or "pass@k" (one or more of k answers are right) or "majority@k" (more than half of k are), such as
        "pass@5", of cells with k answers or more. The unbiased estimate of avg@k is the accuracy.
    models : sequence of str, optional
        Models to compare; by default all.
    baseline : str, optional
        Compare all others with this model only; by default all pairs are compared, of up to 200 models.
    item_clusters : str, optional
        Column that names clusters of items, such as the passage that they are on.
    strata : str, optional
        Column of the items with fixed parts of the benchmark, such as subtasks: another sample of items would have as
        many of each.

    Raises
    ------
    AnalysisError
        If a model, a column or the measure is unknown, or no cell has k answers.

    Notes
    -----
    Intervals of a score do not include other training seeds; see `seed_variance`. In simulation, 90% intervals of a
    score and of a difference cover .88 to .92, and all ranks lie within their limits in 95% to 99% of data sets
    (tests/analysis/test_model_scores.py).

    Examples
    --------
    One model's score from repeated answers: for other items, and for these:

    >>> from irt_bench import load_example, model_scores
    >>> scores = model_scores(load_example("repeats"))
    >>> scores.models()[["score", "score_se", "benchmark_se"]].iloc[0].round(3).tolist()
    [0.47, 0.034, 0.027]
    >>> model_scores(load_example("repeats"), measure="pass@3").models()["score"].head(1).round(2).tolist()
    [0.78]
    """
    tables = _by_benchmark(responses)
    known = [str(label) for counts in tables.values() for label in counts.models.index]
    named = [*(models or []), *([] if baseline is None else [baseline])]
    for label in named:
        if label not in known:
            raise AnalysisError(unknown_choice("model", label, dict.fromkeys(known)))
    scores, paired, notes = {}, {}, []
    for name, counts in tables.items():
        chosen = counts if models is None else counts.take(models=counts.models.index.isin(named))
        if not chosen.n_models:
            continue
        scores[name] = score_table(chosen, measure=measure, item_clusters=item_clusters, strata=strata)
        if baseline is None and chosen.n_models > MAX_PAIRED:
            notes.append(
                f"{name}: {chosen.n_models:,} models have too many pairs; name up to {MAX_PAIRED} as models=..."
            )
        elif baseline is None or baseline in chosen.models.index:
            paired[name] = pair_table(
                chosen, measure=measure, item_clusters=item_clusters, strata=strata, baseline=baseline
            )
        if baseline is None and name in paired:
            scores[name] = ranked(scores[name], paired[name])
    if len(scores) > 1:
        _add_mean(scores, paired, notes, ranks=baseline is None)
    differences = pd.concat(paired, names=[BENCHMARK]).reset_index(BENCHMARK) if paired else pd.DataFrame()
    table = pd.concat(scores, names=[BENCHMARK, MODEL])
    return ModelScores(measure, table, differences.reset_index(drop=True), tuple(notes))


def _by_benchmark(responses: Responses) -> dict[str, ResponseCounts]:
    if isinstance(responses, ResponseCounts):
        return {responses.benchmark: responses}
    table = as_table(responses)
    return {str(name): as_counts(table.select(str(name))) for name in table.benchmarks}


def _add_mean(
    scores: dict[str, pd.DataFrame], paired: dict[str, pd.DataFrame], notes: list[str], *, ranks: bool
) -> None:
    """Add the mean of the benchmarks, of the models that took all."""
    n_models = len(set().union(*(table.index for table in scores.values())))
    mean = suite_scores(scores)
    if len(mean) < n_models:
        notes.append(f"{SUITE}: {len(mean):,} of {n_models:,} models, those with answers to every benchmark")
    if len(paired) == len(scores) and len(mean):
        pairs = suite_pairs(paired)
        mean = ranked(mean, pairs) if ranks else mean
        paired[SUITE] = pairs
    scores[SUITE] = mean


@dataclass(frozen=True, repr=False)
class RecipeComparison:
    """Which of two training recipes is better, per task. Made by `compare_recipes`.

    Parameters
    ----------
    tasks : pd.DataFrame
        See `summary`.
    recipes : (str, str)
        The two runs, a and b.

    Examples
    --------
    >>> from irt_bench import compare_recipes, load_example
    >>> compare_recipes(load_example("seeds"), "run-1", "run-2")
    RecipeComparison('run-1' less 'run-2' on 1 task: cannot tell)
    """

    tasks: pd.DataFrame
    recipes: tuple[str, str]

    def __repr__(self) -> str:
        (a, b), n = self.recipes, max(len(self.tasks) - 1, 1)
        return f"RecipeComparison({a!r} less {b!r} on {plural(n, 'task')}: {self.tasks['verdict'].iloc[-1]})"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), html_frame(self.tasks, "Difference, for other seeds and other items"))

    def summary(self) -> pd.DataFrame:
        """Tabulate the differences.

        Returns
        -------
        pd.DataFrame
            Indexed by task, with ``all tasks`` at the end where there are several: ``score_a``, ``score_b``,
            ``difference`` (a less b) with its interval for other seeds and items, its parts ``seed_se`` and
            ``item_se``, ``p``, ``p_holm``, ``verdict`` ("real", "noise": smaller than what matters, "cannot tell") and
            ``seeds_needed`` per recipe. Scores and differences are shares.
        """
        return self.tasks

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        a, b = self.recipes
        return {"a": a, "b": b, "tasks": self.tasks.reset_index().to_dict("records")}

    def plot(self, kind: Literal["recipes"] = "recipes", **look: Unpack[FigureLook]) -> Figure:
        """Draw the difference on each task with its interval.

        Parameters
        ----------
        kind : {"recipes"}
            The figure.
        **look
            ``width`` or ``figsize`` in inches, and ``title``, as in `Fit.plot`.
        """
        return draw(kind, {"recipes": lambda: figures.recipes_figure(self.tasks, self.recipes)}, **look)

    def save(self, folder: str | Path, *, safe_csv: bool = False) -> None:
        """Write ``recipes.csv`` and ``summary.json``, as ``irt-bench variance`` does for two recipes."""
        with saved_folder(folder) as path:
            write_csv(self.tasks, path / "recipes.csv", safe=safe_csv)
            write_json(path / "summary.json", self.to_dict())


@renamed(cluster="item_clusters")
def compare_models(
    responses: Responses,
    a: str,
    b: str,
    *,
    item_clusters: str | None = None,
    run: str | Sequence[str] | None = None,
) -> pd.Series:
    """Compare two models item by item: difference of their scores with its interval, and what seeds add to it.

    Parameters
    ----------
    responses : ResponseCounts, ResponseTable, DataFrame or array
        Answers of one benchmark; see `fit`.
    a, b : str
        Labels of the models.
    item_clusters : str, optional
        Column that names clusters of items, such as the passage that they are on.
    run : str or sequence of str, optional
        Columns of the models that name the training run, where seeds are known.

    Returns
    -------
    pd.Series
        ``difference`` (a less b) with its interval and p-value, standard errors, the sign test and McNemar's, and
        ``q05_with_seeds, q95_with_seeds`` where the seeds of both are known.

    Examples
    --------
    >>> from irt_bench import compare_models, load_example
    >>> compared = compare_models(load_example("benchmark"), "model-001", "model-002")
    >>> round(compared["difference"], 2)
    0.21
    """
    counts, columns = as_counts(responses), [run] if isinstance(run, str) else run
    return pd.Series(
        asdict(compare_pair(counts, a, b, item_clusters=item_clusters, run_columns=columns)), name=f"{a} - {b}"
    )


def score_with_items(
    responses: Responses,
    items: pd.DataFrame | str | Path,
    *,
    method: ScoreMethod = "eap",
    prior_sd: float = 1.0,
) -> pd.DataFrame:
    """Estimate abilities from answers to items with known parameters, such as those of another program.

    Parameters
    ----------
    responses : ResponseCounts, ResponseTable, DataFrame or array
        Answers of one benchmark; see `fit`. Items without parameters are left out, with a warning.
    items : DataFrame or path
        Item parameters, joined by label: a table with ``item`` (or the items as index) and difficulty, discrimination,
        guessing and upper asymptote under any of their usual names (``a, b, c, d``; mirt's ``a1, d, g, u``), or a .csv,
        .parquet or py-irt's ``best_parameters.json``. ``Subset.export("params", path)`` writes such a table.
    method : {"eap", "map"}
        Posterior mean, or mode.
    prior_sd : float
        Standard deviation of the normal prior of ability, with mean 0.

    Returns
    -------
    pd.DataFrame
        Indexed by model: ``ability, ability_sd, ability_q05, ability_q95, n_items``. The items are taken as known:
        intervals leave out the uncertainty of their parameters.

    Raises
    ------
    AnalysisError
        If the table lacks difficulties, holds an item twice or values out of range, or shares no item with the
        responses.

    Notes
    -----
    P(correct) = c + (u - c) / (1 + exp(-a (ability - b))), without the factor 1.7.

    Examples
    --------
    >>> import pandas as pd
    >>> from irt_bench import plot_scores, score_with_items
    >>> answers = pd.DataFrame({"i1": [1, 0], "i2": [1, 0], "i3": [0, 1]}, index=["strong", "weak"])
    >>> known = pd.DataFrame({"a": [1.2, 1.0, 0.2], "b": [-0.5, 0.3, 0.0]}, index=["i1", "i2", "i3"])
    >>> scores = score_with_items(answers, known)
    >>> scores["ability"].round(2).to_dict()
    {'strong': 0.62, 'weak': -0.72}
    >>> figure = plot_scores(scores, of="the items of the exam")
    """
    known = read_item_parameters(items) if isinstance(items, str | Path) else item_parameter_table(items)
    return score_by_items(as_counts(responses), known, method=method, prior_sd=prior_sd)


def plot_scores(scores: pd.DataFrame, *, of: str = "known items", **look: Unpack[FigureLook]) -> Figure:
    """Draw a table of scored models: each with its 90% interval, best first.

    Parameters
    ----------
    scores : DataFrame
        Abilities from `score_with_items` or `Fit.score`, or full scores from `Subset.score`.
    of : str
        What the models were scored by, for the title.
    **look
        ``width`` or ``figsize`` in inches, and ``title``, as in `Fit.plot`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    AnalysisError
        If the table is of something else.

    Examples
    --------
    >>> from irt_bench import load_example, make_subset, plot_scores
    >>> table = load_example("benchmark")
    >>> figure = plot_scores(make_subset(table, 20).score(table), of="20 items", width=5)
    >>> figure.axes[0].get_xlabel()
    'estimated score on all items (%), with 90% interval'
    """
    if not {names.ABILITY, "estimate"} & {*scores.columns}:
        found = ", ".join(map(str, scores.columns[:8]))
        raise AnalysisError(f"scores has columns {found}; 'ability' with its interval, or 'estimate', is needed.")
    return figures.with_look(lambda: figures.scored_figure(scores, of), **look)
