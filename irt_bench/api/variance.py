"""Seed variance: how far scores would move if training were repeated, where that comes from, what can be detected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

import pandas as pd

from irt_bench import names
from irt_bench.api.display import draw, html_frame, html_lines, notebook_html, plural, saved_folder
from irt_bench.api.model_scores import RecipeComparison
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.files import write_csv, write_json
from irt_bench.names import SamplerName
from irt_bench.report import figures
from irt_bench.report.tables.text import POINTS
from irt_bench.responses.canonical import Responses, as_table
from irt_bench.responses.table import ResponseTable
from irt_bench.variance.detect import DIFFERENCE, POWER
from irt_bench.variance.detect import compare_recipes as recipe_table
from irt_bench.variance.metrics import N_BOOTSTRAP
from irt_bench.variance.paired_scores import compare_variance
from irt_bench.variance.scores import ACCURACY, RunScores
from irt_bench.variance.seed_variance import SeedVarianceResult, analyse_seed_variance, one_measure, with_subtasks_from
from irt_bench.variance.variance_curve import N_SUBSETS
from irt_bench.workers import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from irt_bench.api.subset import Subset
    from irt_bench.inference.fit import FitResult
    from irt_bench.inference.settings import NUTSSettings, SVISettings
    from irt_bench.report.figures import FigureLook
    from irt_bench.variance.seed_effect import SeedModelResult

VariancePlot = Literal["steps", "curve", "measures", "subtasks", "needed"]
TABLES: Final = (
    "metrics", "pooled", "components", "coefficients", "curve", "measures", "detectable", "needed", "scores",
    "seed_checks",
)  # fmt: skip
SHOWN: Final = ("n_seeds", "n_steps", "n_items", "mean", "seed_sd", "e", "snr", "monotonicity")


@dataclass(frozen=True, repr=False)
class SeedVariance:
    """Seed variance: how much scores differ between training seeds. Made by `seed_variance`.

    All scores and standard deviations are shares, in [0, 1]; intervals are central 90% ones.

    Parameters
    ----------
    result : SeedVarianceResult
        All results.
    modelled : SeedModelResult, optional
        The hierarchical model of the seed effect, where it was asked for.

    Examples
    --------
    >>> from irt_bench import load_example, seed_variance
    >>> found = seed_variance(load_example("seeds"), n_bootstrap=20, n_subsets=20)
    >>> found
    SeedVariance(planted, 2 runs, 8 seeds, 4 steps, seed_sd=0.078)
    >>> found.subtasks()["seed_sd"].idxmax()
    ('planted', 'subtask-17', 'accuracy')
    >>> found.plot("curve").axes[-1].get_xlabel()
    'items in the subset, k'
    """

    result: SeedVarianceResult
    modelled: SeedModelResult | None = None

    def __repr__(self) -> str:
        own = self.summary().xs(ACCURACY, level="measure")
        first = own.iloc[0]
        if len(own) > 1:
            low, high = own["seed_sd"].min(), own["seed_sd"].max()
            return f"SeedVariance({len(own):,} benchmarks, seed_sd from {low:.3g} to {high:.3g})"
        return (
            f"SeedVariance({own.index[0]}, {plural(int(first['n_runs']), 'run')}, "
            f"{plural(int(first['n_seeds']), 'seed')}, {plural(int(first['n_steps']), 'step')}, "
            f"seed_sd={first['seed_sd']:.3f})"
        )

    def _repr_html_(self) -> str:
        return notebook_html(
            repr(self),
            html_frame(_in_points(self.summary()), "Accuracy, pooled over runs (percentage points)", SHOWN),
            html_frame(_in_points(self.runs()), "Accuracy of each run (percentage points)", SHOWN),
            html_lines(self.result.notes),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided, left out or could not be computed."""
        return self.result.notes

    def summary(self) -> pd.DataFrame:
        """Measures of each benchmark over all runs.

        Returns
        -------
        pd.DataFrame
            Indexed by benchmark and measure: ``seed_sd`` (standard deviation over seeds, pooled over steps and runs:
            root mean square), ``mean`` and ``snr`` (signal-to-noise ratio: mean / standard deviation over seeds, both
            at the last step), ``monotonicity``, numbers of runs, seeds, steps and items, and the columns of `runs`.
        """
        return _indexed(self.result.pooled, whole=True)

    def runs(self) -> pd.DataFrame:
        """Measures of each training run.

        Returns
        -------
        pd.DataFrame
            Indexed by benchmark, run and measure. With limits of 90% intervals (``_q05``, ``_q95``) where known:

            ``mean``
                Score at the last step, mean over seeds.
            ``seed_sd``
                Standard deviation of the score over seeds, pooled over steps (root mean square).
            ``e``, ``e_unbiased``
                E, the form of Madaan et al. (2024): the mean over steps of the standard deviation over seeds; the same
                corrected for the bias of few seeds, if scores are normal.
            ``seed_sd_final``
                Standard deviation over seeds at the last step.
            ``seed_sd_robust``, ``seed_sd_open``, ``seed_sd_df``
                A robust form of ``seed_sd``, which single outlying seeds hardly change; the reason, where the interval
                has no upper limit; the degrees of freedom of the interval.
            ``ci95_analytic``, ``ci95_bootstrap``
                Half-width of the 95% interval of a score if only the items were drawn anew: 1.96 standard errors.
                Compare a standard deviation with ``item_sampling_sd``, the standard error itself.
            ``monotonicity``
                Kendall's tau of score and step, mean over seeds.
            ``snr``, ``snr_unbiased``
                ``mean`` / ``seed_sd_final``; the same corrected for the bias of few seeds.
        """
        return _indexed(self.result.metrics, whole=True)

    def subtasks(self) -> pd.DataFrame:
        """Measures of each subtask, and of their mean, over all runs; indexed by benchmark, subtask and measure."""
        return _indexed(self.result.pooled, whole=False)

    def components(self) -> pd.DataFrame:
        """Variance components of accuracy: ``benchmark, run, step, component, estimate, q05, q95, design``.

        Of one answer: "seed" is common to all items of a seed, "item" to all seeds of an item, "seed:item" is their
        interaction, and "trial" the variance of repeated answers. The variance over seeds of a score over k items with
        n answers each is seed + (seed:item + trial / n) / k. Without repeats, "seed:item" includes "trial".
        """
        return self.result.components

    def curve(self) -> pd.DataFrame:
        """Seed standard deviation of subsets of k items: predicted, and of random subsets that were drawn."""
        return self.result.curve

    def measures(self) -> pd.DataFrame:
        """Continuous measures, such as the probability of the right choice, beside accuracy on the same seeds."""
        return self.result.measures

    def detectable(self) -> pd.DataFrame:
        """Smallest detectable differences of two recipes, and numbers of seeds or items that detect a given one."""
        return self.result.detectable

    def needed(self) -> pd.DataFrame:
        """Seeds per recipe that detect the `difference` of `seed_variance`, by task, measure, items and trials.

        Returns
        -------
        pd.DataFrame
            ``benchmark, subtask`` ("" for the whole), ``measure, difference`` (in units of the measure), ``power,
            n_items, n_trials, seeds_needed, seeds_needed_other_items``. Empty where no difference was given.
        """
        return self.result.needed

    def scores(self) -> pd.DataFrame:
        """Scores of all runs, seeds and steps."""
        return self.result.scores

    def checks(self) -> pd.DataFrame:
        """Whether single seeds are outliers, or the seeds have heavy tails."""
        return self.result.seed_checks

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.result.to_dict() | ({} if self.modelled is None else {"seed_model": self.modelled.to_dict()})

    def plot(self, kind: VariancePlot = "steps", *, benchmark: str | None = None, **look: Unpack[FigureLook]) -> Figure:
        """Draw a figure of one benchmark.

        Parameters
        ----------
        kind : {"steps", "curve", "measures", "subtasks", "needed"}
            "steps": scores over the steps of training, a line per seed. "curve": seed standard deviation over the size
            of a subset. "measures": signal-to-noise ratios of continuous measures over accuracy's. "subtasks": seed
            standard deviation of each subtask. "needed": seeds that detect the given difference.
        benchmark : str, optional
            By default the first.
        **look
            ``width`` or ``figsize`` in inches, and ``title``, as in `Fit.plot`.
        """
        known = [str(name) for name in self.result.metrics[names.BENCHMARK].unique()]
        chosen = known[0] if benchmark is None else benchmark
        if chosen not in known:
            raise AnalysisError(unknown_choice("benchmark", chosen, known))
        kinds = {
            "steps": lambda: figures.steps_figure(self.result, chosen),
            "curve": lambda: figures.curve_figure(self.result, chosen),
            "measures": lambda: self._measures_figure(chosen),
            "subtasks": lambda: self._subtasks_figure(chosen),
            "needed": lambda: self._needed_figure(chosen),
        }
        return draw(kind, kinds, **look)

    def _measures_figure(self, benchmark: str) -> Figure:
        if not len(figures.compared_measures(self.measures(), benchmark)):
            raise AnalysisError(f"the responses of {benchmark!r} hold no continuous measures with a ratio to accuracy.")
        return figures.measures_figure(self.measures(), benchmark)

    def _subtasks_figure(self, benchmark: str) -> Figure:
        table = self.subtasks().reset_index()
        rows = table[(table[names.BENCHMARK] == benchmark) & (table["measure"] == ACCURACY)]
        if not len(rows):
            raise AnalysisError(f"the items of {benchmark!r} have no subtasks; name their column as group=.")
        return figures.seed_sd_figure(rows.set_index(names.SUBTASK).sort_values("seed_sd", ascending=False))

    def _needed_figure(self, benchmark: str) -> Figure:
        if not len(self.needed()):
            raise AnalysisError("the seeds that are needed depend on the difference to detect; give difference=.")
        return figures.needed_figure(self.needed(), benchmark)

    def save(self, folder: str | Path, *, draw_figures: bool = True, safe_csv: bool = False) -> None:
        """Write tables, figures and summary into a folder, as ``irt-bench variance`` does.

        Parameters
        ----------
        folder, draw_figures, safe_csv
            As in `FitChecks.save`.
        """
        found = self.result
        with saved_folder(folder) as path:
            for name in TABLES:
                write_csv(getattr(found, name), path / f"{name}.csv", safe=safe_csv, index=False)
            if self.modelled is not None:
                write_csv(self.modelled.table, path / "seed_model.csv", safe=safe_csv, index=False)
            drawings = []
            for place, benchmark in enumerate(found.metrics[names.BENCHMARK].unique() if draw_figures else ()):
                drawn = {
                    "steps": partial(figures.steps_figure, found, str(benchmark)),
                    "curve": partial(figures.curve_figure, found, str(benchmark)),
                }
                if len(found.needed):
                    drawn["needed"] = partial(figures.needed_figure, found.needed, str(benchmark))
                if len(figures.compared_measures(found.measures, str(benchmark))):
                    drawn["measures"] = partial(figures.measures_figure, found.measures, str(benchmark))
                name = figures.file_name(str(benchmark), place)
                drawings += [(figure, path / f"{kind}-{name}.png") for kind, figure in drawn.items()]
            figures.save_figures(drawings)
            write_json(path / "summary.json", self.to_dict())


def seed_variance(
    responses: Responses,
    *,
    run: str | Sequence[str] | None = None,
    group: str | None = None,
    difference: float | None = None,
    power: float = POWER,
    seed_model: SamplerName | NUTSSettings | SVISettings | None = None,
    fit: FitResult | None = None,
    subset: Subset | None = None,
    n_subsets: int = N_SUBSETS,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    progress: Progress | None = None,
) -> SeedVariance:
    """Measure seed variance: how much the scores of training runs differ between seeds.

    Parameters
    ----------
    responses : ResponseTable or long DataFrame
        Answers of models with a ``seed``, and a ``run`` and a ``step`` where there are several; of one or several
        benchmarks.
    run : str or sequence of str, optional
        Columns of the models that together name the training run.
    group : str, optional
        Column of the items that names their subtask or template.
    difference : float, optional
        A difference between two recipes' scores, as a share: how many seeds, items and trials detect it? See
        `SeedVariance.needed`.
    power : float
        Power of the test for that difference.
    seed_model : {"svi", "nuts"} or settings, optional
        Fit the hierarchical model of the seed effect too.
    fit : Fit, optional
        With `seed_model`: a fit of other models, whose item parameters are used.
    subset : Subset, optional
        With `seed_model`: a subset, whose seed standard deviation is given beside that of all items.
    n_subsets, n_bootstrap : int
        Numbers of random subsets of each size, and of resamples of the items.
    seed, progress
        As in `fit`.

    Raises
    ------
    AnalysisError
        If no model has a seed, or no run has two.

    Examples
    --------
    From a long DataFrame:

    >>> from irt_bench import load_example, seed_variance
    >>> long = load_example("seeds").to_frame()
    >>> found = seed_variance(long, n_bootstrap=20, n_subsets=20)
    >>> found.summary()["n_seeds"].to_dict()
    {('planted', 'accuracy'): 8}
    """
    _check_detection(difference, power)
    if seed_model is None and (fit is not None or subset is not None):
        raise AnalysisError("fit and subset belong to the seed model; give seed_model='svi' or seed_model='nuts' too.")
    settings = seed_model
    if isinstance(settings, str):
        from irt_bench.variance.seed_effect import seed_model_settings  # fits take a quarter of a second to import

        settings = seed_model_settings(settings, seed)
    table, columns = _table(responses, group), _columns(run)
    found = analyse_seed_variance(
        table, run_columns=columns, seed=seed, difference=difference, power=power,
        n_subsets=n_subsets, n_bootstrap=n_bootstrap, progress=progress,
    )  # fmt: skip
    if settings is None:
        return SeedVariance(found)
    from irt_bench.variance.seed_effect import model_seed_effects

    weights = None if subset is None else pd.Series({item.id: item.weight for item in subset.record.items})
    items = None if fit is None else fit.posterior
    return SeedVariance(
        found,
        model_seed_effects(table, settings, items=items, weights=weights, run_columns=columns, progress=progress),
    )


def compare_seed_variance(
    a: Responses,
    b: Responses,
    *,
    measure: str = ACCURACY,
    labels: tuple[str, str] = ("a", "b"),
    run: str | Sequence[str] | None = None,
    group: str | None = None,
    seed: int = 0,
) -> pd.Series:
    """Compare the seed variance of two versions of a benchmark, or of two benchmarks, on the same seeds.

    Parameters
    ----------
    a, b : ResponseTable or long DataFrame
        Answers of the same runs and seeds.
    measure : str
        Accuracy, or a continuous measure that both hold.
    labels : (str, str)
        Names of the two.
    run, group, seed
        As in `seed_variance`.

    Returns
    -------
    pd.Series
        ``ratio`` of the standard deviations over seeds with its interval and ``verdict``, ``snr_ratio`` with its
        interval, and the Pitman-Morgan test.

    Examples
    --------
    >>> from irt_bench import compare_seed_variance, load_example
    >>> compared = compare_seed_variance(load_example("seeds"), load_example("quiet_seeds"))
    >>> compared["verdict"]
    'higher'
    """
    tables = [_table(side, group).one_benchmark() for side in (a, b)]
    runs = [one_measure(table, measure, run_columns=_columns(run))[0] for table in tables]
    return pd.Series(compare_variance(*runs, labels=labels, seed=seed).row(), name=f"{labels[0]} against {labels[1]}")


def compare_recipes(
    responses: Responses,
    a: str,
    b: str,
    *,
    difference: float = DIFFERENCE,
    power: float = POWER,
    run: str | Sequence[str] | None = None,
    group: str | None = None,
) -> RecipeComparison:
    """Test whether one training recipe is better than another, per task and over all, for other seeds and other items.

    Parameters
    ----------
    responses : ResponseTable or long DataFrame
        Answers of two or more seeds of each recipe, to one benchmark or several.
    a, b : str
        The two runs.
    difference : float
        Smallest difference of scores that matters; 0.01 is one point.
    power : float
        Chance with which ``seeds_needed`` would detect it.
    run : str or sequence of str, optional
        As in `seed_variance`.
    group : str, optional
        Column of the items that names their task, where one benchmark holds several.

    Returns
    -------
    RecipeComparison
        Differences, verdicts and numbers of seeds needed, per task: `RecipeComparison.summary`.

    Raises
    ------
    AnalysisError
        If a run is unknown or has one seed, or the two share too few items.

    Examples
    --------
    >>> from irt_bench import compare_recipes, load_example
    >>> table = load_example("seeds")
    >>> runs = sorted(table.models["run"].unique())
    >>> compared = compare_recipes(table, *runs[:2])
    >>> compared.summary()["verdict"].tolist()
    ['cannot tell']
    """
    _check_detection(difference, power)
    table = _table(responses, group)
    tasks: dict[str, tuple[RunScores, RunScores]] = {}
    for benchmark in table.benchmarks:
        runs = {each.run: each for each in one_measure(table.select(str(benchmark)), run_columns=_columns(run))[0]}
        for label in (a, b):
            if label not in runs:
                raise AnalysisError(f"{benchmark}: {unknown_choice('run with two or more seeds', label, runs)}")
        parts = [{str(benchmark): runs[label]} for label in (a, b)]
        if group is not None and runs[a].subtasks() and runs[b].subtasks():
            parts = [{f"{benchmark}/{name}": own for name, own in runs[label].subtasks().items()} for label in (a, b)]
        tasks |= {name: (own, parts[1][name]) for name, own in parts[0].items() if name in parts[1]}
    return RecipeComparison(recipe_table(tasks, difference=difference, power=power).set_index("task"), (a, b))


def _check_detection(difference: float | None, power: float) -> None:
    if not 0.05 < power < 1:
        raise AnalysisError(f"power is {power}; a chance above 0.05 and below 1, such as 0.8, is needed.")
    if difference is not None and not 0 < difference < 1:
        raise AnalysisError(f"difference is {difference}; one of scores, between 0 and 1, such as 0.01, is needed.")


def _columns(run: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return (run,) if isinstance(run, str) else None if run is None else tuple(run)


def _table(responses: Responses, group: str | None) -> ResponseTable:
    table = as_table(responses)
    return table if group is None else with_subtasks_from(table, group)


def _in_points(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of accuracy, with scores and their standard deviations in percentage points."""
    rows = table[table.index.get_level_values("measure") == ACCURACY].droplevel("measure")
    columns = [f"{name}{end}" for name in ("mean", "seed_sd", "e") for end in ("", "_q05", "_q95")]
    columns = [name for name in columns if name in rows]
    rows[columns] = POINTS * rows[columns]
    return rows


def _indexed(table: pd.DataFrame, *, whole: bool) -> pd.DataFrame:
    """Rows of whole benchmarks or of their subtasks, indexed by what they are of."""
    rows = table[(table[names.SUBTASK] == "") == whole]
    keys = [
        names.BENCHMARK,
        *([] if whole else [names.SUBTASK]),
        *([names.RUN] if names.RUN in rows else []),
        "measure",
    ]
    return rows.drop(columns=[names.SUBTASK] if whole else []).set_index(keys)
