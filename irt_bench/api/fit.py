"""What is asked of a fitted model: abilities, items, scores, checks, plots, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, Unpack, get_args

import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench import names
from irt_bench.analysis import irt
from irt_bench.analysis.agreement import N_RESAMPLES, compare_ability_accuracy
from irt_bench.analysis.curves import benchmark_information, outcome_curves, success_curves
from irt_bench.analysis.item_parameters import score_fitted
from irt_bench.api.analysis import AccuracyComparison, FitChecks
from irt_bench.api.display import (
    ABILITIES,
    draw,
    figures_of,
    html_checks,
    html_frame,
    notebook_html,
    posterior_of_items,
)
from irt_bench.checks import check_fit
from irt_bench.checks.check_fit import REPLICATES
from irt_bench.errors import AnalysisError, FitError, unknown_choice
from irt_bench.inference.convergence import check_table
from irt_bench.inference.draws import OBSERVED_DATA, RESPONSE_GROUPS, saved_counts
from irt_bench.inference.fit import FitResult
from irt_bench.irt_models.model import SCORE_MODEL, IRTModel, arranged
from irt_bench.names import ScoreMethod
from irt_bench.report import figures
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts
from irt_bench.workers import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from irt_bench.report.figures import FigureLook

FitPlot = Literal[
    "fit", "abilities", "ranks", "items", "wright", "information", "curves", "score", "trace", "populations",
    "loadings", "raters", "scores",
]  # fmt: skip
ProbabilitiesBy = Literal["cell", "model", "item"]
ARVIZ_NAMES: Final = {"eti90_lb": "q05", "eti90_ub": "q95"}


@dataclass(frozen=True, repr=False)
class Fit(FitResult):
    """A fitted item response model: draws of its parameters, how they were made, and results computed from them.

    Made by `fit`, or read from a file by `Fit.load`. Tables are DataFrames; intervals are central 90% ones, in columns
    ending in ``_q05`` and ``_q95``.

    Parameters
    ----------
    irt_model, settings, posterior, sample_stats, checks, responses, versions, timings, clusters, response_groups
        Results of inference: model, settings, draws with dimensions (chain, draw, model or item), checks and others.
    data : ResponseCounts, optional
        The responses. A fit that was read from a file has them where they were saved with it, as `save` does.

    Notes
    -----
    Methods take as `responses` those that were fitted, in any form, where the fit does not hold them.

    Examples
    --------
    >>> from irt_bench import Fit, LaplaceSettings, fit, load_example
    >>> fitted = fit(load_example("benchmark"), "2pl", LaplaceSettings(refine=False), seed=1)
    >>> fitted
    Fit(2pl, laplace, 120 models x 100 items, converged=True)
    >>> fitted.abilities()["ability"].nlargest(3).round(1).index.tolist()
    ['model-001', 'model-081', 'model-096']
    """

    data: ResponseCounts | None = field(default=None)

    @classmethod
    def of(cls, result: FitResult, data: ResponseCounts | None = None) -> Self:
        """Make a `Fit` of a result of inference and its responses.

        Parameters
        ----------
        result : FitResult
            Result of inference.
        data : ResponseCounts, optional
            The responses; by default those that a file held.
        """
        own = {each.name: getattr(result, each.name) for each in fields(FitResult)}
        return cls(
            **own,
            data=saved_counts(result.response_groups, result.posterior, result.responses) if data is None else data,
        )

    def __repr__(self) -> str:
        n_models, n_items = (self.responses.get(f"n_{what}s", "?") for what in (names.MODEL, names.ITEM))
        size = f"{n_models:,} models x {n_items:,} items" if isinstance(n_models, int) else "responses unknown"
        return f"Fit({self.irt_model.name}, {self.settings.method}, {size}, converged={self.converged})"

    def _repr_html_(self) -> str:
        parts = [html_checks(self.diagnostics(), "Checks of inference")]
        if figures.scalar_names(self.posterior):
            parts.append(html_frame(self.summary(), "Population of items", ("mean", "sd", "ess_bulk", "r_hat")))
        if names.DIMENSION in self.posterior.dims:
            return notebook_html(repr(self), *parts, html_frame(self.loadings().reset_index(), "Loadings"))
        ranked = self.abilities().sort_values("rank")
        columns = ("ability", "rank", "accuracy", "n_items")
        parts.append(html_frame(ranked, "Models, ablest first (ability in sds of these models)", columns))
        return notebook_html(repr(self), *parts)

    def abilities(self, responses: Responses | None = None) -> pd.DataFrame:
        """Tabulate ability and rank of each model, beside its accuracy.

        Returns
        -------
        pd.DataFrame
            Indexed by model (with several abilities also by dimension): ``ability`` (posterior mean, in sds of the
            models of the fit), ``ability_sd``, ``relative_ability`` (in sds of these models, from their mean), ``rank``
            (1: most able), ``p_first_abler`` (probability that the model of rank 1 is abler; NaN for itself), and where
            the responses are known ``accuracy``, ``n_items``. Report ``relative_ability`` to compare these models with
            one another, ``ability`` to compare with models that are scored later.
        """
        return irt.ability_table(self.posterior, self._counts(responses))

    def items(self, responses: Responses | None = None, *, maximum_likelihood: bool = False) -> pd.DataFrame:
        """Tabulate difficulty, discrimination and the other parameters of each item.

        Parameters
        ----------
        maximum_likelihood : bool
            Add marginal maximum-likelihood estimates, ``difficulty_ml, discrimination_ml`` and their ``_se``.

        Returns
        -------
        pd.DataFrame
            Indexed by item: ``difficulty``, ``discrimination`` and, where the model has them, ``guessing`` and
            ``upper_asymptote`` or ``threshold_1, ...``, each with ``_sd``, ``_q05`` and ``_q95``; ``n_models`` and
            ``flags`` ("no_information", "slope_from_prior") where the responses are there.
        """
        table = irt.item_table(self.posterior, self._counts(responses))
        if not maximum_likelihood:
            return table
        return table.join(irt.maximum_likelihood_items(self._needed(responses, "items"), self.irt_model))

    def populations(self) -> pd.DataFrame:
        """Tabulate groups of models or effects of covariates, where the model has a `population`.

        Returns
        -------
        pd.DataFrame
            For `Groups`, indexed by group: ``mean`` and ``sd`` of ability with intervals, ``n_models``, ``reference``
            (mean 0, sd 1). For `Regression`, by term: ``effect`` on ability in residual sds, per sd of a covariate,
            with interval, ``kind`` ("covariate", "group" or "sd"), ``covariate_mean``, ``covariate_sd``.
        """
        return irt.population_table(self.posterior)

    def raters(self) -> pd.DataFrame:
        """Tabulate the severities of the raters of a `ManyFacet`, with intervals; those of all raters sum to zero."""
        return irt.rater_table(self.posterior)

    def probabilities(self, responses: Responses | None = None, *, by: ProbabilitiesBy = "cell") -> pd.DataFrame:
        """Tabulate the probability of a right answer of each model to each item, or expected scores of models or items.

        Returns
        -------
        pd.DataFrame
            Indexed by model, item or both: ``probability`` (for a model of scores, the expected score as a share of its
            range) with interval, ``observed`` (share right), ``n_trials``. Where repeated answers are correlated, each
            model has its own probability for each item, estimated from these answers.
        """
        return irt.probability_table(self.irt_model, self.posterior, self._needed(responses, "probabilities"), by=by)

    def loadings(self) -> pd.DataFrame:
        """Tabulate the loadings of the items of a fit with several abilities.

        Returns
        -------
        pd.DataFrame
            Indexed by item and dimension: ``loading`` (logits per sd of ability), with ``_sd, _q05, _q95``.

        Examples
        --------
        >>> from irt_bench import BifactorTwoPL, LaplaceSettings, fit, load_example
        >>> fitted = fit(load_example("benchmark"), BifactorTwoPL(groups="subtask"), LaplaceSettings(refine=False))
        >>> fitted.loadings().loc["item-001"].index.tolist()
        ['general', 'subtask-1']
        """
        return irt.loading_table(self.posterior)

    def summary(self, names: str | Sequence[str] | None = None) -> pd.DataFrame:
        """Summarise draws as ArviZ does: mean, standard deviation, interval, effective draws and R-hat.

        Parameters
        ----------
        names : str or sequence of str, optional
            Quantities such as "difficulty"; by default the means and standard deviations of the population of items,
            and all quantities where there are none.

        Returns
        -------
        pd.DataFrame
            Indexed by quantity: ``mean, sd, q05, q95, ess_bulk, ess_tail, r_hat, mcse_mean, mcse_sd``.

        Examples
        --------
        >>> from irt_bench import LaplaceSettings, fit, load_example
        >>> fitted = fit(load_example("benchmark"), "2pl", LaplaceSettings(refine=False))
        >>> fitted.summary().index.tolist()[:2]
        ['difficulty_mean', 'difficulty_sd']
        """
        import arviz_stats

        wanted = [names] if isinstance(names, str) else list(names or figures.scalar_names(self.posterior))
        for name in wanted:
            if name not in self.posterior:
                raise AnalysisError(unknown_choice("quantity", name, self.posterior.data_vars))
        posterior = (self.posterior[wanted] if wanted else self.posterior).reset_coords(drop=True)
        table = arviz_stats.summary(posterior, ci_prob=0.9, ci_kind="eti", round_to="none")
        return pd.DataFrame(table).rename(columns=ARVIZ_NAMES)

    def diagnostics(self) -> pd.DataFrame:
        """Tabulate the checks of inference: whether it converged, and whether the draws agree with the responses.

        Returns
        -------
        pd.DataFrame
            Indexed by name: ``status`` ("passed", "failed", "not_applicable"), ``value``, ``threshold``, ``fails_if``
            (the side of the threshold), ``message, source``.
        """
        return check_table(self.checks)

    def score(
        self,
        responses: Responses,
        *,
        method: ScoreMethod = "eap",
        prior_sd: float = 1.0,
        models: Sequence[object] | None = None,
        items: Sequence[object] | None = None,
    ) -> pd.DataFrame:
        """Estimate the abilities of new models from their answers to items of this fit, whose parameters stay fixed.

        Parameters
        ----------
        responses : ResponseCounts, or what `as_counts` takes
            Answers to all or some of the items, joined by label.
        method : {"eap", "map"}
            Posterior mean, or posterior mode at the items' posterior means.
        prior_sd : float
            Standard deviation of the normal prior of ability; 3 for models far abler or weaker than those of the fit.
            Where the model has a `population`, its sds are multiplied by it; the prior is that of the new model's group
            and covariates or, if these are not known, the mixture of all.
        models, items
            As in `fit`.

        Returns
        -------
        pd.DataFrame
            Indexed by model (and dimension): ``ability, ability_sd, ability_q05, ability_q95, n_items``.

        Examples
        --------
        >>> import numpy as np
        >>> from irt_bench import LaplaceSettings, fit, load_example
        >>> fitted = fit(load_example("benchmark"), "2pl", LaplaceSettings(refine=False))
        >>> new = np.array([[1, 1, 1, 0, 1], [0, 0, 1, 0, np.nan]])
        >>> items = [f"item-{number:03d}" for number in range(1, 6)]
        >>> scores = fitted.score(new, models=["large", "small"], items=items)
        >>> scores["n_items"].to_dict(), scores["ability"].idxmax()
        ({'large': 5, 'small': 4}, 'large')
        """
        counts = as_counts(responses, models=models, items=items)
        return score_fitted(counts, self.posterior, method=method, prior_sd=prior_sd)

    def check(
        self,
        responses: Responses | None = None,
        *,
        groups: pd.Series | str | None = None,
        replicates: int = REPLICATES,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> FitChecks:
        """Check whether the model describes the responses: predictions, item and person fit, dependence, dimensions.

        Parameters
        ----------
        groups : pd.Series or str, optional
            Group of each model, indexed by model, or the column of the models' metadata that holds it. Items are then
            tested for differences between the groups.
        replicates : int
            Number of data sets simulated from the fit, with which the responses are compared.
        seed, progress
            As in `fit`.

        Examples
        --------
        >>> from irt_bench import LaplaceSettings, fit, load_example
        >>> fitted = fit(load_example("benchmark"), "2pl", LaplaceSettings(refine=False))
        >>> checks = fitted.check(replicates=9)
        >>> checks.passed  # two items are mis-keyed
        False
        """
        self._needs_one_ability("check")
        counts = self._needed(responses, "check")
        if isinstance(groups, str):
            if groups not in counts.models:
                raise AnalysisError(unknown_choice("model column", groups, counts.models.columns))
            groups = counts.models[groups]
        return FitChecks(check_fit(counts, self, groups=groups, replicates=replicates, seed=seed, progress=progress))

    def compare_accuracy(
        self, responses: Responses | None = None, *, n_resamples: int = N_RESAMPLES, seed: int = 0
    ) -> AccuracyComparison:
        """Compare the ranking of the models by ability with that by accuracy (for models of scores, by mean score).

        Parameters
        ----------
        n_resamples : int
            Number of resamples of the items.
        seed
            As in `fit`.

        Examples
        --------
        >>> from irt_bench import LaplaceSettings, fit, load_example
        >>> compared = fit(load_example("benchmark"), "2pl", LaplaceSettings(refine=False)).compare_accuracy()
        >>> bool(compared.correlations().loc["kendall_tau_b", "rankings"] > 0.8)
        True
        """
        self._needs_one_ability("compare_accuracy", scores=True)
        counts = self._needed(responses, "compare_accuracy")
        return AccuracyComparison(compare_ability_accuracy(self.posterior, counts, n_resamples=n_resamples, seed=seed))

    def information(self, abilities: npt.ArrayLike = ABILITIES) -> pd.DataFrame:
        """Fisher information of the whole benchmark at each ability, and the standard error that follows from it.

        Parameters
        ----------
        abilities : array of shape (ability,)
            Where to evaluate.

        Returns
        -------
        pd.DataFrame
            Indexed by ability: ``information`` and ``standard_error``, each with ``_q05`` and ``_q95``.
        """
        self._needs_one_ability("information")
        table: pd.DataFrame = benchmark_information(self.posterior, abilities).to_dataframe()
        return table

    def curves(self, items: Sequence[str] | None = None, abilities: npt.ArrayLike = ABILITIES) -> pd.DataFrame:
        """Probability of a right answer to each item at each ability; for a model of scores, of each score.

        Parameters
        ----------
        items : sequence of str, optional
            Labels; by default all items.
        abilities : array of shape (ability,)
            Where to evaluate.

        Returns
        -------
        pd.DataFrame
            Indexed by item and ability (and outcome): ``probability, probability_q05, probability_q95``.
        """
        some = posterior_of_items(self.posterior, items)
        if SCORE_MODEL in self.posterior.attrs:
            return outcome_curves(some, abilities).to_dataframe()
        self._needs_one_ability("curves")
        return success_curves(some, abilities).to_dataframe()

    def plot(
        self, kind: FitPlot = "fit", *, items: Sequence[str] | None = None, responses: Responses | None = None,
        **look: Unpack[FigureLook],
    ) -> Figure:  # fmt: skip
        """Draw a figure; its axes can be restyled, and it is saved by ``figure.savefig``.

        Parameters
        ----------
        kind : str
            "fit"
                Abilities of the models above the parameters of the items.
            "abilities", "ranks"
                Abilities or ranks of the models with intervals.
            "items", "wright"
                Items by difficulty and discrimination; Wright map: models and items on one scale.
            "information", "score"
                Information and standard error over ability; expected score over ability, and the models.
            "curves"
                Probability of a right answer over ability, beside observed proportions, for the given items or a few;
                for a model of scores, probability of each score.
            "populations", "raters"
                Groups of models above their abilities, or effects of covariates; severities of raters.
            "trace"
                ArviZ's densities and traces of the means and standard deviations over items.
            "loadings"
                Loadings of the items of a fit with several abilities, with intervals, dimension by dimension.
            "scores"
                Abilities of new models, as `score` estimates them from their `responses`, with intervals.
        items : sequence of str, optional
            Labels of the items whose curves are drawn.
        responses : ResponseCounts, or what `as_counts` takes, optional
            "scores": answers of the new models.
        **look
            ``width`` in inches, for a figure with a caption and so without a title; or ``figsize``, width and height in
            inches; ``title``.

        Examples
        --------
        >>> from irt_bench import LaplaceSettings, fit, load_example
        >>> fitted = fit(load_example("benchmark"), "2pl", LaplaceSettings(refine=False))
        >>> figure = fitted.plot("information", width=5)
        >>> figure.axes[0].set_title("Algebra items").get_text()
        'Algebra items'
        """
        kinds = figures_of(self, items, responses)
        if kind not in kinds and kind in get_args(FitPlot):
            self._needs_one_ability(f"the figure {kind!r}")
        return draw(kind, kinds, **look)

    def to_arviz(self, responses: Responses | None = None, *, groups: Sequence[str] = RESPONSE_GROUPS) -> Any:
        """Convert to ArviZ's container, with log-likelihood, replicated answers and answers, such as for `az.loo`.

        Parameters
        ----------
        groups : sequence of str
            Which of "log_likelihood", "posterior_predictive" and "observed_data" to make.
        """
        return super().to_arviz(self._counts(responses), groups=groups)

    def log_likelihood(self, responses: Responses | None = None) -> xr.DataArray:
        """Log-likelihood of every answer at every draw, as in `to_arviz`."""
        return super().log_likelihood(self._counts(responses))

    def save(
        self, path: str | Path, responses: Responses | None = None, *, groups: Sequence[str] = (OBSERVED_DATA,)
    ) -> None:
        """Write a netCDF file that `Fit.load` and ArviZ read; it is written whole or not at all.

        Parameters
        ----------
        path : str or Path
            The file.
        groups : sequence of str
            What is saved with the draws: "observed_data", the responses, from which the tables are made again;
            "log_likelihood" and "posterior_predictive", which are large.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from irt_bench import Fit, LaplaceSettings, fit, load_example
        >>> fitted = fit(load_example("benchmark"), "2pl", LaplaceSettings(refine=False))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fitted.save(Path(folder) / "fit.nc")
        ...     Fit.load(Path(folder) / "fit.nc")
        Fit(2pl, laplace, 120 models x 100 items, converged=True)
        """
        super().save(path, self._counts(responses), groups=groups)

    @classmethod
    def load(cls, path: str | Path, *, irt_model: IRTModel | None = None) -> Self:
        """Read a fit that `save` or ``irt-bench fit`` wrote; a folder stands for the ``fit.nc`` in it.

        Parameters
        ----------
        path : str or Path
            The file or folder.
        irt_model : IRTModel, optional
            The model of the fit, where it is one of your own.
        """
        return cls.of(FitResult.load(path, irt_model=irt_model))

    def _needs_one_ability(self, what: str, *, scores: bool = False) -> None:
        """Refuse what has no meaning, or is not there, for several abilities and, unless `scores`, models of scores."""
        several = names.DIMENSION in self.posterior.dims
        kind, own = ("for several abilities", "loadings") if several else ("of scores", "curves")
        if several or (SCORE_MODEL in self.posterior.attrs and not scores):
            raise FitError(
                f"{what} needs a 1PL to 4PL, and this is a model {kind}: abilities(), items(), {own}(), score(), "
                f"diagnostics() and the figure {own!r} work for it."
            )

    def _counts(self, responses: Responses | None) -> ResponseCounts | None:
        return self.data if responses is None else arranged(self.irt_model, as_counts(responses))

    def _needed(self, responses: Responses | None, what: str) -> ResponseCounts:
        """Responses that are given or held."""
        counts = self._counts(responses)
        if counts is None:
            raise FitError(f"{what} needs the responses, and this fit was saved without them; give responses=.")
        return counts
