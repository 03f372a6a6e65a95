"""Compare the ways to make a reduced benchmark, on models that took no part in making it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy

from irt_bench.api.display import draw, html_frame, notebook_html, plural, saved_folder
from irt_bench.api.subset import Subset, make_subset
from irt_bench.errors import SubsetError, SubsetWarning
from irt_bench.files import replacing, write_json
from irt_bench.inference.fit import FitResult
from irt_bench.names import INTERVAL, EstimatorName, SelectorName
from irt_bench.report import figures
from irt_bench.report.tables.score_tables import (
    COVERAGE_TITLE,
    SHIFT_TITLE,
    coverage_table,
    error_table,
    markdown,
    shift_table,
)
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.labels import ClusterLabels, model_clusters
from irt_bench.subsets.compare import (
    N_RANDOM,
    WITHIN,
    ComparisonDesign,
    MethodComparison,
    Within,
    compare,
    methods_for,
    negative_control,
    shift,
    within_interval,
)
from irt_bench.subsets.estimators import ESTIMATORS
from irt_bench.subsets.make import DEFAULT_ESTIMATOR, DEFAULT_METHOD, calibration_plan, check_names, default_weights
from irt_bench.subsets.select import item_number
from irt_bench.workers import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from irt_bench.report.figures import FigureLook

MAX_MODELS: Final = 400  # that take part
MIN_CALIBRATED: Final = 3
MIN_JUDGED: Final = 10  # models outside the clusters that calibrate
MAX_JUDGED: Final = 200
N_MEANS: Final = 20  # random subsets whose plain means are the reference


@dataclass(frozen=True, repr=False)
class SubsetComparison:
    """Errors of all ways to make a subset, on held-out models. Made by `compare_subsets`.

    Parameters
    ----------
    result : MethodComparison
        Errors of each way, and of random subsets.
    shifted : pd.DataFrame
        Errors on abler models: calibrated on the weaker half of the models, judged on the stronger half.
    controls : mapping
        The negative control: by how answers were shuffled ("models", "items"), verdicts of the methods.
    about : mapping
        Benchmark, numbers of models, items and clusters, and the seed.

    Examples
    --------
    >>> from irt_bench import compare_subsets, load_example
    >>> answers = load_example("benchmark").counts().take(models=slice(40), items=slice(20))
    >>> compared = compare_subsets(
    ...     answers, [10], methods=["difficulty"], estimators=["weighted"], n_random=9, controls=False
    ... )
    >>> compared
    SubsetComparison(benchmark, 10 items, 2 methods, 1 estimator, 40 models)
    >>> compared.errors(10).columns.tolist()
    ['weighted']
    """

    result: MethodComparison
    shifted: pd.DataFrame
    controls: Mapping[Within, pd.DataFrame]
    about: Mapping[str, Any]

    def __repr__(self) -> str:
        table = self.table()
        sizes = ", ".join(f"{size:,}" for size in sorted(table["size"].unique()))
        return (
            f"SubsetComparison({self.about['benchmark']}, {sizes} items, "
            f"{plural(table['method'].nunique(), 'method')}, {plural(table['estimator'].nunique(), 'estimator')}, "
            f"{self.about['n_models']:,} models)"
        )

    def _repr_html_(self) -> str:
        sizes = sorted(self.table()["size"].unique())
        tables = [html_frame(self.errors(size), f"Mean absolute error in points, {size} items") for size in sizes]
        return notebook_html(repr(self), *tables)

    def table(self) -> pd.DataFrame:
        """One row per size, method, weights and estimator: ``mae, bias, rmse, kendall, coverage``, random beside."""
        return self.result.table

    def errors(self, size: int) -> pd.DataFrame:
        """Mean absolute errors of one size in percentage points: methods by estimators."""
        return error_table(self.result.table, size)

    def summary(self) -> pd.DataFrame:
        """For each size, tabulate the method, weights and estimator with the smallest error."""
        return self.table().loc[self.table().groupby("size")["mae"].idxmin()].set_index("size")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        table = self.table()
        recipe = {"method": DEFAULT_METHOD, "weights": default_weights(DEFAULT_METHOD), "estimator": DEFAULT_ESTIMATOR}
        default = table[(table[list(recipe)] == pd.Series(recipe)).all(axis=1)]
        return {
            **self.about,
            "best": table.loc[table.groupby("size")["mae"].idxmin()].to_dict("records"),
            "default": default.to_dict("records"),
            "control_least_p_holm": {
                within: {name: float(least) for name, least in frame.groupby("estimator")["p_holm"].min().items()}
                for within, frame in self.controls.items()
            },
        }

    def plot(self, kind: Literal["errors"] = "errors", **look: Unpack[FigureLook]) -> Figure:
        """Draw the error of each method beside random subsets of the same size.

        Parameters
        ----------
        kind : {"errors"}
            The figure.
        **look
            ``width`` or ``figsize`` in inches, and ``title``, as in `Fit.plot`.
        """
        return draw(kind, {"errors": lambda: figures.subset_comparison_figure(self.result.table)}, **look)

    def parts(self) -> dict[str, pd.DataFrame]:
        """Tables to print, by title."""
        sizes = sorted(self.table()["size"].unique())
        parts = {f"Mean absolute error in points, {size} items": self.errors(size) for size in sizes}
        return parts | {COVERAGE_TITLE: coverage_table(self.result.coverage), SHIFT_TITLE: shift_table(self.shifted)}

    def save(self, folder: str | Path) -> None:
        """Write tables, figure and summary into a folder, as ``irt-bench subset`` does where it compares."""
        found = self.result
        frames = {"comparison": found.table, "random": found.random, "shift": self.shifted}
        frames["coverage"] = found.coverage.reset_index()
        frames |= {f"control_within_{within}": frame for within, frame in self.controls.items()}
        text = "\n\n".join(f"{title}\n\n{markdown(table)}" for title, table in self.parts().items())
        with saved_folder(folder) as path:
            for name, frame in frames.items():
                frame.to_csv(path / f"{name}.csv", index=False, float_format="%.6g")
            (path / "errors.md").write_text(text + "\n", encoding="utf-8")
            figures.save_figure(self.plot(), path / "comparison.png")
            write_json(path / "summary.json", self.to_dict())


def compare_subsets(
    responses: Responses,
    sizes: Sequence[float] = (20, 50, 100),
    *,
    methods: Sequence[SelectorName] | None = None,
    estimators: Sequence[EstimatorName] | None = None,
    fit: FitResult | None = None,
    macro: bool = False,
    keep_negative: bool = False,
    ability_range: tuple[float, float] | None = None,
    n_random: int = N_RANDOM,
    controls: bool = True,
    max_models: int = MAX_MODELS,
    jobs: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> SubsetComparison:
    """Compare methods, weights and estimators by error, bias, ranks and coverage, and with random subsets.

    Parameters
    ----------
    responses : ResponseCounts, ResponseTable, DataFrame or array
        Answers of models to all items; see `fit`.
    sizes : sequence of float
        Numbers of items; below 1, shares of all items. Those that are not below the number of items are left out.
    methods : sequence of str, optional
        How to choose items, beside random; by default all ways.
    estimators : sequence of str, optional
        How to estimate the full score; by default all ways.
    fit, macro, keep_negative, ability_range
        As in `make_subset`; of a fit, only the IRT model is used.
    n_random : int
        Number of random subsets of each size.
    controls : bool
        Whether all is repeated with answers shuffled, as a negative control.
    max_models : int
        Largest number of models; of more, this many are drawn at random.
    jobs : int
        Folds at once; -1: one per processor. Results do not depend on it.
    seed, progress
        As in `fit`.

    Raises
    ------
    SubsetError
        If a name is not known, no size is below the number of items, or there are too few models.

    Examples
    --------
    >>> from irt_bench import compare_subsets, load_example
    >>> answers = load_example("benchmark").counts().take(models=slice(40), items=slice(20))
    >>> compared = compare_subsets(
    ...     answers, [10], methods=["difficulty"], estimators=["weighted"], n_random=9, controls=False
    ... )
    >>> compared
    SubsetComparison(benchmark, 10 items, 2 methods, 1 estimator, 40 models)
    >>> compared.errors(10).columns.tolist()
    ['weighted']
    """
    counts = as_counts(responses)
    check_names(methods or [], [], estimators or [])
    wanted = [item_number(size, counts.n_items) for size in sizes]
    fitting = tuple(dict.fromkeys(size for size in wanted if size < counts.n_items))
    if not fitting:
        raise SubsetError(f"none of the sizes {tuple(sizes)} is below the number of items, {counts.n_items}.")
    if len(fitting) < len(wanted):
        warnings.warn(f"sizes of {counts.n_items} items and more are left out.", SubsetWarning, stacklevel=2)
    plan = calibration_plan(
        counts, fit, macro=macro, keep_negative=keep_negative, ability_range=ability_range, seed=seed
    )
    if counts.n_models > max_models:
        message = f"{max_models:,} of {counts.n_models:,} models, drawn at random, take part."
        warnings.warn(message, SubsetWarning, stacklevel=2)
        rows = np.random.default_rng(seed).choice(counts.n_models, max_models, replace=False)
        counts = counts.take(models=np.sort(rows))
    chosen = methods_for(counts, None if methods is None else list(dict.fromkeys(["random", *methods])))
    design = ComparisonDesign(plan, fitting, chosen, tuple(estimators or ESTIMATORS), n_random=n_random, seed=seed)
    clusters = model_clusters(counts)
    found = compare(counts, clusters, design, jobs=jobs, progress=progress)
    middle = design._replace(sizes=fitting[len(fitting) // 2 :][:1])
    about = {
        "benchmark": counts.benchmark,
        "n_models": counts.n_models,
        "n_items": counts.n_items,
        "n_clusters": len(set(clusters)),
        "n_random": n_random,
        "n_folds": design.n_folds,
        "seed": seed,
        "fingerprint": counts.fingerprint(),
    }
    shuffled = {each: negative_control(counts, clusters, middle, each, jobs=jobs) for each in WITHIN if controls}
    return SubsetComparison(found, shift(counts, clusters, design), shuffled, about)


@dataclass(frozen=True, repr=False)
class CalibrationComparison:
    """Error of a subset by the number of calibration models. Made by `compare_calibrations`.

    Parameters
    ----------
    errors : pd.DataFrame
        See `summary`.
    size : int
        Number of items.

    Examples
    --------
    >>> from irt_bench import compare_calibrations, load_example
    >>> compare_calibrations(load_example("benchmark"), 20, [10, 40], repeats=2)
    CalibrationComparison(20 items, 10, 40 models)
    """

    errors: pd.DataFrame
    size: int

    def __repr__(self) -> str:
        return f"CalibrationComparison({plural(self.size, 'item')}, {', '.join(map(str, self.errors.index))} models)"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), html_frame(self.errors, "Error of the full score"))

    def summary(self) -> pd.DataFrame:
        """Tabulate errors, indexed by the number of calibration models.

        Returns
        -------
        pd.DataFrame
            ``method``, ``estimator``, ``error`` (mean absolute error of the estimated full score, in [0, 1]),
            ``error_q05``, ``error_q95`` (its 90% interval over draws), ``coverage`` (share of 90% intervals that
            contain the full score), ``random`` (error of the mean of as many random items, for the same models) and
            ``n_judged`` (models scored per draw, on average).
        """
        return self.errors

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"size": self.size, "calibrations": self.errors.reset_index().to_dict("records")}

    def plot(self, kind: Literal["calibrations"] = "calibrations", **look: Unpack[FigureLook]) -> Figure:
        """Draw the error against the number of calibration models, beside the mean of as many random items.

        Parameters
        ----------
        kind : {"calibrations"}
            The figure.
        **look
            ``width`` or ``figsize`` in inches, and ``title``, as in `Fit.plot`.
        """
        return draw(kind, {"calibrations": lambda: figures.calibrations_figure(self.errors, self.size)}, **look)

    def save(self, path: str | Path) -> None:
        """Write the table as a CSV file, as ``irt-bench subset`` does for numbers of calibration models."""
        with replacing(Path(path)) as beside:
            self.errors.to_csv(beside, float_format="%.6g")


def compare_calibrations(
    responses: Responses,
    size: float,
    n_models: Sequence[float] = (5, 10, 20, 50, 100),
    *,
    method: SelectorName | None = None,
    estimator: EstimatorName | None = None,
    repeats: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> CalibrationComparison:
    """Show how the error of a subset falls with the number of calibration models, and how many are enough.

    Whole clusters of models are drawn until they hold the largest number of models. From these, each number of models
    is taken to calibrate a subset, as by `make_subset`, with which the models of all other clusters are scored.

    Parameters
    ----------
    responses : ResponseCounts, ResponseTable, DataFrame or array
        Answers of models to all items; see `fit`.
    size
        As in `make_subset`.
    n_models : sequence of int
        Numbers of calibration models; those that leave fewer than ten others are left out.
    method, estimator : str, optional
        As in `make_subset`.
    repeats : int
        Draws of calibration models, 2 or more.
    seed, progress
        As in `fit`.

    Raises
    ------
    SubsetError
        If a name is not known, or no number of calibration models leaves enough others.

    Examples
    --------
    >>> from irt_bench import compare_calibrations, load_example
    >>> found = compare_calibrations(load_example("benchmark"), 20, [40], repeats=2)
    >>> bool(found.summary().loc[40, "error"] < found.summary().loc[40, "random"])
    True
    """
    counts = as_counts(responses)
    check_names([method], [], [estimator])
    number = item_number(size, counts.n_items)
    if repeats < 2:
        raise SubsetError(f"repeats is {repeats}; an interval takes 2 draws of calibration models or more.")
    wanted = sorted({int(n) for n in n_models if MIN_CALIBRATED <= n <= counts.n_models - MIN_JUDGED})
    if number >= counts.n_items or not wanted:
        raise SubsetError(
            f"{counts.n_models} models and {counts.n_items} items; with size {number}, numbers of calibration models "
            f"from {MIN_CALIBRATED} to {counts.n_models - MIN_JUDGED} and fewer items than all can be judged."
        )
    clusters = model_clusters(counts)
    rows = []
    for draw_number in range(repeats):
        rng = np.random.default_rng([seed, draw_number])
        pool, others = _apart(clusters, wanted[-1], rng)
        if len(others) < MIN_JUDGED:
            continue
        judged = counts.take(models=others[:MAX_JUDGED])
        for done, n in enumerate(wanted):
            if progress is not None:
                progress("calibration models", draw_number * len(wanted) + done, repeats * len(wanted))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of each of many fits
                made = make_subset(counts.take(models=np.sort(pool[:n])), number, method=method, estimator=estimator)
            rows.append(_judged(made, judged, n, rng))
    if not rows:
        raise SubsetError(
            f"with {wanted[-1]} models to calibrate, fewer than {MIN_JUDGED} of other clusters are left to judge; give "
            "a smaller n_models."
        )
    return CalibrationComparison(_over_draws(pd.DataFrame(rows)), number)


def _apart(
    clusters: ClusterLabels, n: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows of random clusters with `n` models or more together, and rows of all others, each in random order."""
    names, codes = np.unique(clusters, return_inverse=True)
    place = rng.permutation(len(names))
    drawn = np.cumsum(np.bincount(place[codes])) < n
    inside = np.append(True, drawn)[place[codes]]
    return rng.permutation(np.flatnonzero(inside)), rng.permutation(np.flatnonzero(~inside))


def _judged(subset: Subset, judged: ResponseCounts, n: int, rng: np.random.Generator) -> dict[str, Any]:
    """Errors of one subset on models that took no part in it, with those of means of random items."""
    truth = judged.accuracy()
    found = subset.score(judged).assign(truth=truth)
    known = found[found["q05"].notna()]
    draws = [rng.permutation(judged.n_items)[: subset.size] for _ in range(N_MEANS)]
    plain = [(judged.take(items=items).accuracy() - truth).abs().mean() for items in draws]
    return {
        "n_models": n,
        "method": subset.record.method,
        "estimator": subset.record.estimator,
        "error": (found["estimate"] - truth).abs().mean(),
        "coverage": within_interval(known).mean(),
        "random": np.mean(plain),
        "n_judged": judged.n_models,
    }


def _over_draws(rows: pd.DataFrame) -> pd.DataFrame:
    """Average the draws of calibration models, with Student's interval of the mean error."""
    groups = rows.groupby("n_models")
    found = groups[["method", "estimator"]].first()
    found["error"], n = groups["error"].mean(), groups.size()
    half = scipy.stats.t.ppf(INTERVAL[1], (n - 1).clip(lower=1)) * groups["error"].std() / np.sqrt(n)
    found["error_q05"], found["error_q95"] = (found["error"] - half).clip(lower=0), found["error"] + half
    found[["coverage", "random", "n_judged"]] = groups[["coverage", "random", "n_judged"]].mean()
    return found
