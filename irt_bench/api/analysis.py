"""Item analysis without a model, and what is found by holding a fit against its responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

import pandas as pd

from irt_bench.analysis.classical import Reliability, item_statistics, score_reliability
from irt_bench.analysis.transfer import compare_transfer
from irt_bench.api.display import draw, html_checks, html_frame, html_lines, notebook_html, saved_folder
from irt_bench.files import replacing, write_csv, write_json
from irt_bench.report import figures
from irt_bench.report.tables.text import interval_text
from irt_bench.responses.canonical import Responses, as_counts, as_table
from irt_bench.responses.quality import findings
from irt_bench.responses.table import Finding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from irt_bench.analysis.agreement import AbilityAccuracyComparison
    from irt_bench.checks.check_fit import ModelChecks
    from irt_bench.report.figures import FigureLook

SHOWN: Final = ("proportion_correct", "item_rest_correlation", "flags")
RANKS: Final = {"rank_by_ability": "rank", "rank_by_accuracy": "accuracy_rank"}  # names that the figure takes


@dataclass(frozen=True, repr=False)
class ItemAnalysis:
    """Item statistics and reliability. Made by `item_analysis`.

    Parameters
    ----------
    benchmark : str
        Name of the benchmark.
    statistics : pd.DataFrame
        One row per item; see `items`.
    reliability : Reliability
        Of the score over all items.
    transfers : pd.DataFrame
        See `transfer`.
    findings : tuple of Finding
        Notes on the responses, such as identical models or items without answers.

    Examples
    --------
    >>> from irt_bench import item_analysis, load_example
    >>> analysis = item_analysis(load_example("benchmark"))
    >>> analysis
    ItemAnalysis(benchmark, 120 models x 100 items, alpha=0.93, 4 items flagged)
    >>> analysis.flagged().index[:2].tolist()
    ['item-083', 'item-037']
    """

    benchmark: str
    statistics: pd.DataFrame
    reliability: Reliability
    transfers: pd.DataFrame
    findings: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        about = self.reliability
        return (
            f"ItemAnalysis({self.benchmark}, {about.n_models:,} models x {about.n_items:,} items, "
            f"alpha={about.alpha:.2f}, {len(self.flagged()):,} items flagged)"
        )

    def _repr_html_(self) -> str:
        about = self.reliability
        lines = [
            f"Mean score {about.mean:.3f}, standard deviation over models {about.sd:.3f}, standard error of "
            f"measurement {about.sem:.3f}; alpha {interval_text(about.alpha, about.alpha_q05, about.alpha_q95)}",
            *(finding.message for finding in self.findings),
        ]
        flagged = html_frame(self.flagged(), "Flagged items, lowest correlation first", SHOWN)
        return notebook_html(repr(self), html_lines(lines), flagged)

    def items(self) -> pd.DataFrame:
        """Statistics of each item.

        Returns
        -------
        pd.DataFrame
            Indexed by item: ``n_models``, ``proportion_correct``, ``item_total_correlation``,
            ``item_rest_correlation``, ``biserial``, ``flags`` ("constant", "negative", "maybe_negative",
            "near_zero", "too_easy", "too_hard",
            "few_models"), and limits of 90% intervals.
        """
        return self.statistics

    def flagged(self) -> pd.DataFrame:
        """Items with a flag, lowest item-rest correlation first."""
        flagged = self.statistics[self.statistics["flags"] != ""]
        return flagged.sort_values("item_rest_correlation", kind="stable")

    def summary(self) -> pd.DataFrame:
        """Reliability of the score: alpha with its interval, mean, standard deviation, standard error."""
        return pd.DataFrame({"value": asdict(self.reliability)}).rename_axis("statistic")

    def transfer(self) -> pd.DataFrame:
        """How well item statistics from weaker models hold for stronger ones, beside random halves of the models."""
        return self.transfers

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "benchmark": self.benchmark,
            "reliability": asdict(self.reliability),
            "transfer": self.transfers.reset_index().to_dict("records"),
            "items": self.statistics.reset_index().to_dict("records"),
        }

    def plot(self, kind: Literal["items"] = "items", **look: Unpack[FigureLook]) -> Figure:
        """Draw every item by its share of right answers and item-rest correlation.

        Parameters
        ----------
        kind : {"items"}
            The figure.
        **look
            ``width`` or ``figsize`` in inches, and ``title``, as in `Fit.plot`.
        """
        return draw(kind, {"items": lambda: figures.items_figure(self.statistics)}, **look)

    def save(self, path: str | Path, *, safe_csv: bool = False) -> None:
        """Write the statistics of the items as a CSV file, as ``irt-bench items`` does.

        Parameters
        ----------
        path : str or Path
            The file.
        safe_csv : bool
            Whether texts that a spreadsheet would run as a formula get a ' in front.
        """
        with replacing(Path(path)) as beside:
            write_csv(self.statistics, beside, safe=safe_csv)


def item_analysis(
    responses: Responses,
    *,
    seed: int = 0,
    models: Sequence[object] | None = None,
    items: Sequence[object] | None = None,
) -> ItemAnalysis:
    """Analyse items classically: shares of right answers, correlations, flags; reliability of the score.

    Parameters
    ----------
    responses : ResponseCounts, ResponseTable, DataFrame or array
        Answers; see `fit`.
    seed : int
        Of the random halves in `ItemAnalysis.transfer`.
    models, items
        As in `fit`.

    Raises
    ------
    ResponsesError
        If the responses are of no known form.
    AnalysisError
        If there are too few models with answers.

    Warns
    -----
    UndefinedWarning
        If a statistic is undefined, such as the correlation of an item that all models solve.

    Examples
    --------
    From a wide DataFrame, a row per model and a column per item:

    >>> from irt_bench import item_analysis, load_example
    >>> wide = load_example("benchmark").counts().to_frame()
    >>> wide.shape
    (120, 100)
    >>> item_analysis(wide).items()["proportion_correct"].head(3).round(2).to_dict()
    {'item-001': 0.22, 'item-002': 0.91, 'item-003': 0.87}
    """
    counts = as_counts(responses, models=models, items=items)
    table = as_table(counts if models is not None or items is not None else responses)
    return ItemAnalysis(
        benchmark=counts.benchmark,
        statistics=item_statistics(counts),
        reliability=score_reliability(counts),
        transfers=compare_transfer(counts, seed=seed),
        findings=findings(table),
    )


@dataclass(frozen=True, repr=False)
class FitChecks:
    """Whether a model describes the responses: named checks, and the tables behind them. Made by `Fit.check`.

    Parameters
    ----------
    result : ModelChecks
        All results.

    Examples
    --------
    >>> from irt_bench import LaplaceSettings, fit, load_example
    >>> checks = fit(load_example("benchmark"), "2pl", LaplaceSettings(refine=False)).check(replicates=9)
    >>> "s_x2" in checks.failed()  # two items are mis-keyed
    True
    >>> sorted(checks.items()["s_x2"].nlargest(2).index)
    ['item-037', 'item-083']
    """

    result: ModelChecks

    def __repr__(self) -> str:
        counts = self.summary()["status"].value_counts()
        named = (
            f"{counts.get(status, 0)} {status.replace('_', ' ')}" for status in ("passed", "failed", "not_applicable")
        )
        return f"FitChecks({', '.join(named)})"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), html_checks(self.summary(), "Checks, those that failed first"))

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return self.result.passed

    def failed(self) -> list[str]:
        """Names of the checks that failed."""
        return [check.name for check in self.result.checks if check.status == "failed"]

    def summary(self) -> pd.DataFrame:
        """Tabulate the checks, indexed by name: ``status, value, threshold, fails_if, message, source``."""
        return self.result.table()

    def items(self) -> pd.DataFrame:
        """Item fit: ``infit, outfit, s_x2, s_x2_df, s_x2_p, s_x2_p_holm, s_x2_rmsea, curve_misfit`` and others."""
        return self.result.items

    def models(self) -> pd.DataFrame:
        """Person fit, the fit of each model: ``ability, zh, infit, outfit, score, misfit``."""
        return self.result.models

    def pairs(self) -> pd.DataFrame:
        """Pairs of items that depend on each other most, given ability: ``item_a, item_b, q3, q3_excess, limit``."""
        return self.result.pairs

    def differences(self) -> pd.DataFrame:
        """Items that differ between groups of models, where groups were given."""
        return self.result.differences

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.result.to_dict()

    def plot(self, kind: Literal["checks"] = "checks", **look: Unpack[FigureLook]) -> Figure:
        """Draw scores, eigenvalues, item curves and person fit beside data simulated from the fit.

        Parameters
        ----------
        kind : {"checks"}
            The figure.
        **look
            ``width`` or ``figsize`` in inches, and ``title``, as in `Fit.plot`.
        """
        return draw(kind, {"checks": lambda: figures.checks_figure(self.result)}, **look)

    def save(
        self,
        folder: str | Path,
        *,
        about: Mapping[str, Any] | None = None,
        draw_figures: bool = True,
        safe_csv: bool = False,
    ) -> None:
        """Write tables, figure and summary into a folder, as ``irt-bench check`` does.

        Parameters
        ----------
        folder : str or Path
            A new folder, or one that was written before.
        about : mapping, optional
            Further entries of ``summary.json``.
        draw_figures : bool
            Whether figures are written too.
        safe_csv : bool
            Whether texts that a spreadsheet would run as a formula get a ' in front.
        """
        found = self.result
        with saved_folder(folder) as path:
            for name, table in (("checks", found.table()), ("items", found.items), ("models", found.models)):
                write_csv(table, path / f"{name}.csv", safe=safe_csv)
            for name, table in (("pairs", found.pairs), ("differences", found.differences)):
                write_csv(table, path / f"{name}.csv", safe=safe_csv, index=False)
            if draw_figures:
                figures.save_figure(figures.checks_figure(found), path / "checks.png")
            write_json(path / "summary.json", found.to_dict() | dict(about or {}))


@dataclass(frozen=True, repr=False)
class AccuracyComparison:
    """How the ranking of models by ability compares with that by accuracy. Made by `Fit.compare_accuracy`.

    Parameters
    ----------
    result : AbilityAccuracyComparison
        All results.

    Examples
    --------
    >>> from irt_bench import LaplaceSettings, fit, load_example
    >>> compared = fit(load_example("benchmark"), "2pl", LaplaceSettings(refine=False)).compare_accuracy()
    >>> compared.reliability()["estimate"].round(1).to_dict()
    {'ability': 0.9, 'accuracy': 0.9}
    """

    result: AbilityAccuracyComparison

    def __repr__(self) -> str:
        found = self.result
        return (
            f"AccuracyComparison({len(found.models):,} models, {found.n_discordant:,} of {found.n_pairs:,} pairs "
            f"ordered differently, {found.n_clear:,} of them clearly)"
        )

    def _repr_html_(self) -> str:
        pairs = self.pairs().set_index(["higher_ability", "higher_accuracy"])
        return notebook_html(
            repr(self),
            html_frame(self.correlations(), "Rank correlation of ability and accuracy"),
            html_frame(self.reliability(), "Reliability over these models"),
            html_frame(pairs, "Pairs most probably ordered differently"),
        )

    def summary(self) -> pd.DataFrame:
        """Rank correlations and reliabilities in one table: ``estimate, q05, q95``."""
        parts = {"rank correlation": self.correlations(), "reliability": self.reliability()}
        return pd.concat({name: part[["estimate", "q05", "q95"]] for name, part in parts.items()})

    def correlations(self) -> pd.DataFrame:
        """Rank correlations of ability and accuracy, Kendall's tau-b and Spearman's, with intervals."""
        return self.result.correlations

    def reliability(self) -> pd.DataFrame:
        """Reliability of ability and of accuracy over these models, with intervals."""
        return self.result.reliability

    def models(self) -> pd.DataFrame:
        """Ability, accuracy and both ranks of each model."""
        return self.result.models

    def pairs(self) -> pd.DataFrame:
        """Pairs of models that ability and accuracy order differently, most certain first."""
        return self.result.discordant

    def items(self) -> pd.DataFrame:
        """Items that cause these differences, with their contributions."""
        return self.result.items

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.result.to_dict()

    def plot(self, kind: Literal["comparison", "ranks"] = "comparison", **look: Unpack[FigureLook]) -> Figure:
        """Draw ability against accuracy, with such pairs marked, or the ranks by both.

        Parameters
        ----------
        kind : {"comparison", "ranks"}
            The figure.
        **look
            ``width`` or ``figsize`` in inches, and ``title``, as in `Fit.plot`.
        """
        kinds = {
            "comparison": lambda: figures.comparison_figure(self.result),
            "ranks": lambda: figures.ranks_figure(self.models().rename(columns=RANKS)),
        }
        return draw(kind, kinds, **look)

    def save(
        self,
        folder: str | Path,
        *,
        about: Mapping[str, Any] | None = None,
        draw_figures: bool = True,
        safe_csv: bool = False,
    ) -> None:
        """Write tables, figure and summary into a folder, as ``irt-bench compare`` does; see `FitChecks.save`."""
        with saved_folder(folder) as path:
            for name in ("models", "discordant", "confirmation", "items"):
                write_csv(getattr(self.result, name), path / f"{name}.csv", safe=safe_csv, index=name != "discordant")
            if draw_figures:
                figures.save_figure(figures.comparison_figure(self.result), path / "comparison.png")
            write_json(path / "summary.json", self.result.to_dict() | dict(about or {}))
