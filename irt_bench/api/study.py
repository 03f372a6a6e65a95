"""Studies: whether pruned or reweighted subsets have less seed variance, judged on models that took no part."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

import pandas as pd

from irt_bench import names
from irt_bench.api.display import draw, html_frame, html_lines, notebook_html, plural
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.files import replacing, write_csv, write_json
from irt_bench.report import figures
from irt_bench.report.page.folders import STUDY, read_folders
from irt_bench.report.tables.score_tables import paper_form, verdict_table
from irt_bench.responses.canonical import Responses, as_table
from irt_bench.responses.table import ResponseTable
from irt_bench.study.collect import is_reference
from irt_bench.study.design import StudyDesign, make_design
from irt_bench.study.results import StudyResult
from irt_bench.study.results import run_study as run_design
from irt_bench.workers import Progress, Workers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from irt_bench.report.figures import FigureLook

VERDICTS: Final = ("compared", "random: cuts", "random: raises", "random: none", "random: detectable")  # shown
TABLES: Final = ("results", "cures", "paths", "transfer", "control", "cures_control", "paper", "detectable")


@dataclass(frozen=True, repr=False)
class Study:
    """Results of a study. Made by `run_study`, or read from a folder by `Study.load`.

    Parameters
    ----------
    tables : mapping
        DataFrames by name; see the methods.
    about : mapping
        Design, benchmarks, runs, verdicts and notes, as in ``summary.json``.

    Examples
    --------
    >>> import tempfile
    >>> from irt_bench import Study, load_example, run_study
    >>> small = {"sizes": [10], "n_folds": 2, "n_random": 20, "n_reweighted": 20, "transfer_splits": 2}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = run_study(
    ...         load_example("repeats"), folder=folder, methods=["variance"], estimators=["weighted"], **small
    ...     )
    ...     Study.load(folder)
    Study(planted: 1 way x 1 size)
    """

    tables: Mapping[str, pd.DataFrame]
    about: Mapping[str, Any]

    @classmethod
    def of(cls, found: StudyResult) -> Study:
        """Make a `Study` of the result of a study."""
        return cls({name: getattr(found, name) for name in TABLES}, found.to_dict())

    def __repr__(self) -> str:
        results = self.results()
        results = results[~is_reference(results)]
        ways = results.groupby(["method", "weights", "estimator"]).ngroups
        named = ", ".join(map(str, self.benchmarks[:3])) + (", ..." if len(self.benchmarks) > 3 else "")
        return f"Study({named}: {plural(ways, 'way')} x {plural(results['size'].nunique(), 'size')})"

    def _repr_html_(self) -> str:
        return notebook_html(
            repr(self),
            html_frame(
                self.summary(), "Seed variance against random subsets: verdicts over benchmarks and sizes", VERDICTS
            ),
            html_frame(paper_form(self.tables["paper"]), "Seed standard deviation in percentage points"),
            html_lines(self.notes),
        )

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks."""
        return [str(name) for name in self.results()[names.BENCHMARK].unique()]

    @property
    def notes(self) -> list[str]:
        """What was decided, left out or done otherwise."""
        return list(self.about.get("notes", []))

    def summary(self) -> pd.DataFrame:
        """Count verdicts of each way to choose and weight items, over benchmarks and sizes.

        Returns
        -------
        pd.DataFrame
            Indexed by method, weights and estimator: ``compared`` (benchmarks and sizes); for each comparison how many
            cut seed variance, raise it or show no difference, such as ``random: cuts``, and the median ratio that would
            have been ``detectable``; the median ratios, such as ``ratio: random``. "random": with random subsets scored
            in the same way; "per signal": the same, per unit of movement; "plain": with means of random subsets;
            "full": with the full benchmark.
        """
        return verdict_table(self.results())

    def results(self) -> pd.DataFrame:
        """One row per benchmark, run, method, weights, estimator and size: seed sds, ratios, intervals, verdicts."""
        return self.tables["results"]

    def cures(self) -> pd.DataFrame:
        """One row per benchmark and cure: noise, signal, noise per signal, decision accuracy, cost, verdict.

        Each cure is compared with a control of equal cost: chosen items with random ones, weights and abilities with
        plain means of the same items, means of the last checkpoints with as many more items. ``ratio`` is of noise per
        signal to that of the control, ``ratio_full`` to that of the whole benchmark's accuracy. Signal and noise are
        defined in `irt_bench.study.cures`.
        """
        return self.tables["cures"]

    def paths(self) -> pd.DataFrame:
        """Seed standard deviation along the pruning path, items dropped by discrimination."""
        return self.tables["paths"]

    def transfer(self) -> pd.DataFrame:
        """How well item statistics from weaker models hold for stronger ones."""
        return self.tables["transfer"]

    def control(self) -> pd.DataFrame:
        """Negative control: verdicts of methods that were calibrated on shuffled answers."""
        return self.tables["control"]

    def detectable(self) -> pd.DataFrame:
        """Ratios of seed sds, to random subsets and to all items, that these seeds detect with 80% power."""
        return self.tables["detectable"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(self.about)

    def plot(
        self,
        kind: Literal["forest", "path", "cures"] = "forest",
        *,
        benchmark: str | None = None,
        **look: Unpack[FigureLook],
    ) -> Figure:
        """Draw a figure of one benchmark.

        Parameters
        ----------
        kind : {"forest", "path", "cures"}
            "forest": seed standard deviation of each way over that of random subsets. "path": what dropping items by
            their discrimination does. "cures": noise per signal of every cure over that of its control.
        benchmark : str, optional
            By default the first.
        **look
            ``width`` or ``figsize`` in inches, and ``title``, as in `Fit.plot`.
        """
        chosen = self.benchmarks[0] if benchmark is None else benchmark
        if chosen not in self.benchmarks:
            raise AnalysisError(unknown_choice("benchmark", chosen, self.benchmarks))
        kinds = {
            "forest": lambda: self._forest(chosen),
            "path": lambda: figures.paths_figure(self.paths(), chosen),
            "cures": lambda: self._cures(chosen),
        }
        return draw(kind, kinds, **look)

    def _cures(self, benchmark: str) -> Figure:
        if not self._has_cures(benchmark):
            raise AnalysisError(
                f"the study of {benchmark!r} has no ratio of noise per signal: its runs differ by no more than seed "
                "noise, or have fewer than three seeds."
            )
        return figures.cures_figure(self.cures(), benchmark)

    def _has_cures(self, benchmark: str) -> bool:
        cures = self.cures()
        return bool(len(cures) and cures.loc[cures[names.BENCHMARK] == benchmark, "ratio"].notna().any())

    def _forest(self, benchmark: str) -> Figure:
        estimator = figures.drawn_estimator(self.results(), benchmark)
        if estimator is None:
            raise AnalysisError(f"the study of {benchmark!r} has random subsets only, which have no forest plot.")
        return figures.forest_figure(self.results(), benchmark, estimator=estimator)

    def save(self, folder: str | Path, *, safe_csv: bool = False) -> None:
        """Write tables, figures and, last, the summary into a folder, as ``irt-bench study`` does.

        Parameters
        ----------
        folder : str or Path
            That of the study, or another one.
        safe_csv
            As in `FitChecks.save`.
        """
        output = Path(folder)
        output.mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            with replacing(output / f"{name}.csv") as beside:
                write_csv(self.tables[name], beside, safe=safe_csv, index=False)
        drawings = []
        for place, benchmark in enumerate(self.benchmarks):
            drawn = {"path": partial(figures.paths_figure, self.paths(), benchmark)}
            if figures.drawn_estimator(self.results(), benchmark):
                drawn["forest"] = partial(self._forest, benchmark)
            if self._has_cures(benchmark):
                drawn["cures"] = partial(figures.cures_figure, self.cures(), benchmark)
            name = figures.file_name(benchmark, place)
            drawings += [(figure, output / f"{kind}-{name}.png") for kind, figure in drawn.items()]
        figures.save_figures(drawings)
        with replacing(output / "summary.json") as beside:
            write_json(beside, self.about)

    @classmethod
    def load(cls, folder: str | Path) -> Study:
        """Read the tables of a finished study from the folder that `run_study` or ``irt-bench study`` wrote."""
        parts = read_folders([Path(folder)])
        if STUDY not in parts:
            raise AnalysisError(f"{folder} holds no finished study; run it to the end with run_study.")
        return cls({name: parts[STUDY][name] for name in TABLES}, dict(parts[STUDY].summary))


def run_study(
    responses: Responses,
    design: StudyDesign | None = None,
    folder: str | Path | None = None,
    *,
    alternatives: Mapping[str, Responses] = MappingProxyType({}),
    jobs: int = 1,
    progress: Progress | None = None,
    **fields: Any,
) -> Study:
    """Compare the seed variance of subsets and weightings of a benchmark, on models that were not used to make them.

    A study that was stopped continues when it is run again with the same folder. After a change of the design, only
    what changed is computed.

    Parameters
    ----------
    responses : ResponseTable or long DataFrame
        Answers of models with a ``seed``, and of others to calibrate on; of one or several benchmarks.
    design : StudyDesign, optional
        What to study; or its fields by name: ``sizes``, ``methods``, ``weights``, ``estimators``, ``n_random``,
        ``seed`` and others.
    folder : str or Path, optional
        Where results are kept and tables and figures are written; without it nothing is kept.
    alternatives : mapping, optional
        Name → other responses of the same models, such as another framing of the benchmark or a continuous measure of
        it. Their mean scores are compared with the benchmark's accuracy; benchmarks of the same name belong together.
    jobs : int
        Number of parallel processes; -1: one per processor. Results do not depend on it.
    progress
        As in `fit`.
    **fields
        Fields of `StudyDesign`, which replace those of `design`.

    Raises
    ------
    AnalysisError
        If a field is not known or out of range, or the responses have no seeds.
    OutputError
        If the folder holds files that no study wrote.

    Examples
    --------
    >>> from irt_bench import load_example, run_study
    >>> study = run_study(
    ...     load_example("repeats"), sizes=[10], methods=["random"], estimators=["weighted"], n_folds=2,
    ...     n_random=20, n_reweighted=20, transfer_splits=2, drop=[0.0, 0.5],
    ... )
    >>> study.benchmarks
    ['planted']
    """
    given = {} if design is None else design.model_dump(exclude_unset=True)
    chosen = make_design(given | fields)
    table = as_table(responses)
    others = {name: mean_scores(name, each, table) for name, each in alternatives.items()}
    run = partial(run_design, table, chosen, workers=Workers(jobs=jobs), progress=progress, alternatives=others)
    if folder is None:
        with tempfile.TemporaryDirectory() as place:
            return Study.of(_finished(run(Path(place))))
    found = Study.of(_finished(run(Path(folder))))
    found.save(folder)
    return found


def mean_scores(name: str, responses: Responses, table: ResponseTable) -> dict[str, pd.Series[float]]:
    """Mean score of each model by benchmark; one benchmark of any name belongs to the only one that is studied.

    Raises
    ------
    AnalysisError
        If a benchmark that is studied is missing.
    """
    other = as_table(responses)
    own, found = list(map(str, table.benchmarks)), list(map(str, other.benchmarks))
    if len(own) == len(found) == 1:
        return {own[0]: other.counts().accuracy()}
    if missing := [benchmark for benchmark in own if benchmark not in found]:
        raise AnalysisError(
            f"alternative {name!r} has no benchmark {missing[0]!r}; it has {', '.join(map(repr, found[:5]))}."
        )
    return {benchmark: other.select(benchmark).counts().accuracy() for benchmark in own}


def _finished(found: StudyResult | None) -> StudyResult:
    if found is None:  # only where a part of the study was asked for
        raise AnalysisError("the study is not finished; run it again.")
    return found
