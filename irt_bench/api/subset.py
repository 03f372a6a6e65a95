"""Reduced benchmarks: make one, save it, hand it to a harness, and score models with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.api.display import draw, html_frame, notebook_html
from irt_bench.errors import SubsetError
from irt_bench.inference.fit import FitResult
from irt_bench.names import EstimatorName, ExportName, SelectorName, WeightingName
from irt_bench.report import figures
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.table import ResponseTable
from irt_bench.subsets.adaptive import AdaptiveSettings, adaptive_course, compare_adaptive, replay_adaptive
from irt_bench.subsets.harness.export import MODEL, ExportOptions, export_subset
from irt_bench.subsets.harness.export_tasks import AdaptiveRules
from irt_bench.subsets.make import (
    asked_number,
    calibrated,
    calibration_plan,
    check_names,
    make_subsets,
    prompt_hashes,
)
from irt_bench.subsets.score import estimate_full_score
from irt_bench.subsets.subset import SubsetRecord, read_subset, write_subset
from irt_bench.workers import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from irt_bench.report.figures import FigureLook

SubsetPlot = Literal["items", "scores", "estimates", "adaptive"]


@dataclass(frozen=True, repr=False)
class Subset:
    """A reduced benchmark: some items, their weights, and all it takes to estimate the full score from answers to them.

    Made by `make_subset`, or read from a file by `Subset.load`.

    Parameters
    ----------
    record : SubsetRecord
        All that the file holds.

    Examples
    --------
    >>> from irt_bench import load_example, make_subset
    >>> table = load_example("benchmark")
    >>> subset = make_subset(table, 20, seed=1)
    >>> subset
    Subset(20 of 100 items of benchmark, anchors-proportional, p_irt_residual)
    >>> subset.items().columns[:3].tolist()
    ['weight', 'difficulty', 'discrimination']
    >>> scores = subset.score(table)
    >>> scores.columns.tolist()[:3]
    ['estimate', 'q05', 'q95']
    """

    record: SubsetRecord

    def __repr__(self) -> str:
        about = self.record
        return (
            f"Subset({about.size:,} of {about.n_items_full:,} items of {about.benchmark}, {about.method}, "
            f"{about.estimator})"
        )

    def _repr_html_(self) -> str:
        heaviest = self.items().sort_values("weight", ascending=False, kind="stable")
        columns = ("weight", "difficulty", "discrimination", "mean", "subtask")
        return notebook_html(
            repr(self),
            html_frame(100 * self.summary(), "What to expect, in percentage points"),
            html_frame(heaviest, "Items, largest weight first", columns),
        )

    @property
    def ids(self) -> tuple[str, ...]:
        """Labels of the items, in the order of the benchmark."""
        return self.record.ids

    @property
    def size(self) -> int:
        """Number of items."""
        return self.record.size

    def items(self) -> pd.DataFrame:
        """Items of the subset, indexed by label: weight, parameters, and identifiers in the harness."""
        rows = [item.model_dump() for item in self.record.items]
        first = ["weight", "difficulty", "discrimination", "mean", "subtask"]
        table = pd.DataFrame(rows).set_index("id").rename_axis(names.ITEM)
        return table[[*first, *table.columns.difference(first, sort=False)]]

    def summary(self) -> pd.DataFrame:
        """Errors to expect of the estimated full score, in [0, 1], with 90% intervals.

        Returns
        -------
        pd.DataFrame
            Rows "models like these" (held out by cluster), "abler models" (weaker half against strongest 30%), and
            "smallest gap", the difference of two models that is ordered correctly 8 times in 10; columns ``error,
            error_q05, error_q95`` (mean absolute), ``bias``, ``rmse``. NaN: not known.
        """
        about, rows = self.record, {}
        rows["models like these"] = (about.expected_error, about.expected_error_interval, about.expected_bias,
                                     about.expected_se)  # fmt: skip
        if about.abler is not None:
            rows["abler models"] = (about.abler.error, about.abler.error_interval, about.abler.bias, about.abler.se)
        if about.smallest_gap is not None:
            rows["smallest gap"] = (about.smallest_gap.gap, about.smallest_gap.interval, np.nan, np.nan)
        table = {
            name: (error, *(interval or (np.nan, np.nan)), bias, rmse)
            for name, (error, interval, bias, rmse) in rows.items()
        }
        columns = ["error", "error_q05", "error_q95", "bias", "rmse"]
        return pd.DataFrame.from_dict(table, orient="index", columns=columns).rename_axis("of")

    def score(
        self,
        responses: Responses,
        *,
        models: Sequence[object] | None = None,
        items: Sequence[object] | None = None,
    ) -> pd.DataFrame:
        """Estimate the full score of each model from its answers to the subset.

        Parameters
        ----------
        responses : ResponseCounts, or what `as_counts` takes
            Answers, joined by label; items outside the subset are ignored.
        models, items
            As in `fit`.

        Returns
        -------
        pd.DataFrame
            Indexed by model: ``estimate, q05, q95`` (full score in [0, 1] with its 90% interval), ``ability,
            ability_sd, n_items, n_missing, flags``.
        """
        return estimate_full_score(as_counts(responses, models=models, items=items), self.record)

    def compare(self, responses: Responses) -> pd.DataFrame:
        """Compare estimated full scores with the true scores of models that answered all items.

        Parameters
        ----------
        responses : ResponseCounts, or what `as_counts` takes
            Answers to the full benchmark, of models that took no part in the calibration.

        Returns
        -------
        pd.DataFrame
            Indexed by model: ``score`` (mean over all items), ``estimate, q05, q95``, ``error`` and ``covered``.

        Raises
        ------
        SubsetError
            If no model answered all items, or the full score is a mean over subtasks.
        """
        counts, about = as_counts(responses), self.record
        if not np.allclose([item.target_weight for item in about.items], 1 / about.n_items_full):
            raise SubsetError("the full score of this subset is a mean over subtasks; compare knows means over items.")
        whole = np.asarray(counts.asked.all(axis=1))
        if counts.n_items != about.n_items_full or not whole.any():
            gap = "" if whole.all() else f", first without: {counts.models.index[int((~whole).argmax())]!r}"
            raise SubsetError(
                f"{int(whole.sum())} of {counts.n_models} models answered all of {counts.n_items} items{gap}; answers "
                f"to all {about.n_items_full} items of {about.benchmark!r} are needed. Use score for those of the "
                "subset."
            )
        counts = counts.take(models=whole)
        table = self.score(counts)[["estimate", "q05", "q95"]]
        table.insert(0, "score", counts.accuracy())
        table["error"] = table["estimate"] - table["score"]
        return table.assign(covered=table["score"].between(table["q05"] - 1e-12, table["q95"] + 1e-12))

    def compare_adaptive(
        self,
        fit: FitResult,
        responses: Responses | None = None,
        *,
        stop_sd: float = 0.3,
        max_items: int = 200,
        n_models: int = 500,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Compare the subset with random items and with adaptive tests, on simulated models or on real answers.

        Parameters
        ----------
        fit : Fit
            To all items of the benchmark.
        responses : ResponseCounts, or what `as_counts` takes, optional
            Real answers to all items, from which tests take what they ask; without them, models are simulated.
        stop_sd : float
            A test ends when the posterior standard deviation of ability is at most this.
        max_items : int
            Largest number of items of a test.
        n_models : int
            Number of simulated models.
        seed
            As in `fit`.

        Returns
        -------
        pd.DataFrame
            Indexed by design: ``n_items``, ``ability_error``, ``score_error``, ``error_ratio``, with intervals.
        """
        settings = AdaptiveSettings(
            stop_sd=stop_sd, min_items=min(5, max_items), max_items=max_items, n_models=n_models, seed=seed
        )
        if responses is None:
            return compare_adaptive(fit.posterior, self.ids, settings)
        return replay_adaptive(fit.posterior, self.ids, as_counts(responses), settings)

    def export(
        self,
        to: ExportName,
        path: str | Path,
        *,
        metric: str | None = None,
        split: str | None = None,
        base_yaml: str | Path | None = None,
        task: str | None = None,
        model: str | None = None,
        responses: Responses | None = None,
        rules: AdaptiveRules | None = None,
        fit: FitResult | None = None,
        safe_csv: bool = False,
    ) -> str:
        """Write the subset for an evaluation harness or another tool.

        Parameters
        ----------
        to : {"lm-eval", "lm-eval-task", "lm-eval-round", "inspect", "inspect-adaptive", "py-irt", "params", "ids"}
            lm-evaluation-harness (list of samples, a task of its own, or the next round of an adaptive test), Inspect
            (as it is, or asked adaptively), py-irt, a table of item parameters, or a list of items.
        path : str or Path
            File to write, for "lm-eval-task" and "inspect-adaptive" a folder.
        metric, split, base_yaml : optional
            "lm-eval-task": the metric of the calibration where the subset does not name it, the split that is
            evaluated, and the YAML of the full task.
        task, model : str, optional
            "inspect", "inspect-adaptive": the task, such as "file.py@task", and the model of the run.
        responses : ResponseCounts, or what `as_counts` takes, optional
            "py-irt": the calibration responses. "lm-eval-round": the answers of one model so far.
        rules, fit : optional
            Adaptive tests: when they end, and how items are chosen; a fit, so that the test allows for the uncertainty
            of the items.
        safe_csv
            As in `FitChecks.save`.

        Returns
        -------
        str
            What to do with it: mostly the command to run.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from irt_bench import load_example, make_subset
        >>> subset = make_subset(load_example("benchmark"), 5, method="random")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     command = subset.export("ids", Path(folder) / "ids.txt")
        ...     len((Path(folder) / "ids.txt").read_text().split())
        5
        """
        options = ExportOptions(
            metric=metric,
            split=split,
            base_yaml=None if base_yaml is None else Path(base_yaml),
            task=task,
            model=model or MODEL,
            responses=None if responses is None else as_counts(responses),
            safe_csv=safe_csv,
            rules=rules or AdaptiveRules(),
            posterior=None if fit is None else fit.posterior,
        )
        return export_subset(self.record, to, Path(path), options)

    def plot(
        self,
        kind: SubsetPlot = "items",
        *,
        responses: Responses | None = None,
        fit: FitResult | None = None,
        stop_sd: float = 0.3,
        max_items: int = 200,
        **look: Unpack[FigureLook],
    ) -> Figure:
        """Draw the items, estimated full scores, or adaptive tests.

        Parameters
        ----------
        kind : {"items", "scores", "estimates", "adaptive"}
            "items": difficulty, discrimination and weight. "estimates": full scores, as `score` estimates them, with
            intervals. "scores": these against full scores. "adaptive": ability with its interval against the number of
            items asked, in adaptive tests of three models.
        responses : ResponseCounts, or what `as_counts` takes, optional
            "estimates": answers to the subset. "scores": answers to the full benchmark, of models that answered all
            items. "adaptive": the same, or none, for simulated models.
        fit : Fit, optional
            "adaptive": of all items of the benchmark.
        stop_sd, max_items
            "adaptive": as of `compare_adaptive`.
        **look
            ``width`` or ``figsize`` in inches, and ``title``, as in `Fit.plot`.
        """
        if kind in ("scores", "estimates") and responses is None:
            what = "the full benchmark" if kind == "scores" else "the subset"
            raise SubsetError(f"plot({kind!r}) needs answers to {what}; give responses=.")
        if kind == "adaptive" and fit is None:
            raise SubsetError("plot('adaptive') needs a fit to all items of the benchmark; give fit=.")
        counts = None if responses is None else as_counts(responses)
        of = f"{self.record.size:,} of {self.record.n_items_full:,} items"
        rules = AdaptiveSettings(stop_sd=stop_sd, min_items=min(5, max_items), max_items=max_items)
        kinds = {
            "items": lambda: figures.subset_items_figure(self.items()),
            "scores": lambda: figures.subset_scores_figure(self.compare(cast(Responses, responses))),
            "estimates": lambda: figures.scored_figure(self.score(cast(Responses, responses)), of),
            "adaptive": lambda: figures.adaptive_figure(
                adaptive_course(cast(FitResult, fit).posterior, rules, counts), stop_sd
            ),
        }
        return draw(kind, kinds, **look)

    def save(self, path: str | Path) -> None:
        """Write the subset as one JSON file, which `Subset.load` and ``irt-bench score`` read."""
        write_subset(self.record, path)

    @classmethod
    def load(cls, path: str | Path) -> Subset:
        """Read a subset that `save` or ``irt-bench subset`` wrote; a file that was changed since is refused."""
        return cls(read_subset(path))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.record.model_dump(mode="json")


def make_subset(
    responses: Responses,
    size: float | None = None,
    *,
    target_se: float | None = None,
    method: SelectorName | None = None,
    weights: WeightingName | None = None,
    estimator: EstimatorName | None = None,
    fit: FitResult | None = None,
    macro: bool = False,
    keep_negative: bool = False,
    ability_range: tuple[float, float] | None = None,
    seed: int = 0,
    models: Sequence[object] | None = None,
    items: Sequence[object] | None = None,
    progress: Progress | None = None,
) -> Subset:
    """Make a reduced benchmark that estimates the full score of new models, with intervals.

    Parameters
    ----------
    responses : ResponseCounts, ResponseTable, DataFrame or array
        Answers of the calibration models to all items; see `fit`.
    size : float, optional
        Number of items; below 1, the share of all items.
    target_se : float, optional
        Instead of a size: the smallest subset whose predicted error is at most this.
    method : str
        How to choose items; see Notes. By default "anchors-proportional", with fewer than ten models "random".
    weights : str, optional
        How to weight the answers; see Notes. By default "anchor" for "anchors" and "anchors-irt", else "equal".
    estimator : str
        How to estimate the full score; see Notes. By default "p_irt_residual", with fewer than ten models "weighted".
    fit : Fit, optional
        A fit to these responses, instead of a 2PL by the fast method. Cross-validation fits its IRT model anew: by the
        fast method where that knows the model, else by SVI.
    macro : bool
        Whether the full score is the mean over subtasks, not over items.
    keep_negative : bool
        Whether items with negative discrimination may be chosen.
    ability_range : (float, float), optional
        Lowest and highest ability for which the method "information" chooses items.
    seed : int
        Seed of the random numbers: choice, weights, cross-validation.
    models, items, progress
        As in `fit`.

    Raises
    ------
    SubsetError
        If neither size nor target is given, a name is not known, or there are too few models or items.

    Notes
    -----
    Methods, which choose items:

    - "random": a simple random sample
    - "subtask": at random within subtasks, in proportion to their share of the full score
    - "difficulty": at random within ten classes of the share of right answers
    - "discrimination": the items with the highest item-rest correlation
    - "discrimination-bins": the same within classes of the share of right answers
    - "information": in turn for abilities over `ability_range`, the item with the most Fisher information
    - "anchors": clusters of items with similar answers, of each the item nearest to its centre
    - "anchors-irt": the same with clusters of similar difficulty and discrimination
    - "anchors-proportional": fewer clusters, and from each a number of items in proportion to its size
    - "variance": in turn, the item that makes the variance of the score over seeds (else over models) smallest
    - "no-duplicates": at random, one of each group of items whose answers are nearly the same

    Weights of the answers, whose weighted mean some estimators use:

    - "equal": the same for all items
    - "anchor": the share of the full score of the items that an item stands for
    - "discrimination": in proportion to the discrimination
    - "information": in proportion to the mean Fisher information over `ability_range`
    - "minimum-variance": those that make the variance of the score over seeds (else over models) smallest
    - "balance": each subtask has its share of the full score

    Estimators of the full score. P is the probability of a right answer by the IRT model, given the answers:

    - "weighted": the weighted mean of the answers
    - "p_irt": the answers, and P of all items that were not asked
    - "p_irt_weighted": the same with the weighted mean in place of the plain mean of the answers
    - "gp_irt": a mixture of "weighted" and "p_irt", whose share is learned on held-out calibration models
    - "irt_smoothed": P of all items
    - "ridge": ridge regression of the full score on the answers
    - "spline": regression on splines of the weighted mean and of ability
    - "p_irt_ridge": "p_irt", and a ridge regression of its error
    - "p_irt_wide": "p_irt" with a wide prior of ability, which does not shrink towards the calibration models
    - "irt_difference": P of all items, and the weighted mean of the residuals (answer less P) of those asked
    - "p_irt_residual": "p_irt_wide", and a linear prediction of the other items' residuals from those observed
    - "aipw": "irt_difference" with predictions by ridge regression in place of P (Zhang et al. 2025)
    - "p_irt_source", "gp_irt_source": p-IRT and gp-IRT as tinyBenchmarks published them (Maia Polo et al. 2024)

    On five benchmarks, the defaults have small errors for models like those of the calibration and for abler ones.

    Examples
    --------
    >>> from irt_bench import load_example, make_subset
    >>> subset = make_subset(load_example("benchmark"), 0.1, method="information", estimator="p_irt")
    >>> subset.size
    10
    >>> bool(subset.summary().loc["models like these", "error"] < 0.1)
    True
    """
    counts = as_counts(responses, models=models, items=items)
    if (size is None) == (target_se is None):
        raise SubsetError("give either size (a number of items, or a share of them) or target_se, such as 0.02.")
    check_names([method], [weights], [estimator])
    number = asked_number(size, counts.n_items)
    plan = calibration_plan(
        counts, fit, macro=macro, keep_negative=keep_negative, ability_range=ability_range, seed=seed
    )
    calibration = calibrated(counts, plan, fit, seed=seed, progress=progress)
    hashes = prompt_hashes(responses) if isinstance(responses, ResponseTable) else None
    made = make_subsets(
        calibration, number, target_se=target_se, method=method, weights=weights, estimator=estimator, seed=seed,
        hashes=hashes,
    )  # fmt: skip
    return Subset(made[0])
