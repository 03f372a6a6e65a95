"""Fit: labelled draws from the posterior of an IRT model, what made them, and whether they can be trusted."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import xarray as xr

from irt_bench import names
from irt_bench.errors import ConvergenceWarning, FitError, FitWarning, ModelError, unknown_choice
from irt_bench.files import replacing
from irt_bench.inference.convergence import Check, maximum_checks, optimiser_checks, pooling_check, sampler_checks
from irt_bench.inference.draws import (
    LOG_LIKELIHOOD,
    RESPONSE_GROUPS,
    SAVED_GROUPS,
    Draws,
    check_responses,
    label_draws,
    label_stats,
    load_tree,
    model_of,
    response_groups,
)
from irt_bench.inference.response_checks import MODEL_CHECKS, response_checks
from irt_bench.inference.settings import SETTINGS, LaplaceSettings, Settings, settings_for
from irt_bench.irt_models import SCORE_MODELS
from irt_bench.irt_models.logistic import IRT_MODELS, Logistic
from irt_bench.irt_models.model import IRTModel, ScoreModel, arranged
from irt_bench.irt_models.multidimensional import Multidimensional
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.quality import disconnected_blocks
from irt_bench.workers import Progress, listening

if TYPE_CHECKING:
    from irt_bench.inference.related_models import Cluster, Copies

# Imported when called: torch and Pyro take seconds that reading a saved fit need not wait for.
_METHODS: Final = {
    "laplace": ("irt_bench.inference.fast.laplace", "fit_laplace"),
    "nuts": ("irt_bench.inference.sampling.nuts", "sample_nuts"),
    "svi": ("irt_bench.inference.sampling.svi", "fit_svi"),
}
_VARIATIONAL: Final = ("irt_bench.inference.fast.dimensional", "fit_dimensional")  # laplace, several abilities
VERSIONS_OF: Final = ("irt-bench", "pyro-ppl", "torch", "numpy", "scipy", "xarray", "arviz-stats")
FORMAT_VERSION: Final = 2
MAX_GIGABYTES: Final = 16  # of draws
MAX_DEFAULT_NUTS: Final = 50_000  # cells; of more, NUTS takes hours


@dataclass(frozen=True)
class FitResult:
    """Draws of the parameters of an IRT model given the responses of one benchmark.

    Parameters
    ----------
    irt_model : IRTModel
        Priors and formula.
    settings : Settings
        Of the method that made the draws, its seed included.
    posterior : xr.Dataset
        ``ability`` (chain, draw, model), ``difficulty``, ``discrimination`` and so on (chain, draw, item), and the
        hierarchy's means and sds (chain, draw); labelled.
    sample_stats : xr.Dataset
        Per draw (NUTS: ``energy``, ``diverging``) or per step (SVI: ``elbo``).
    checks : tuple of Check
        Whether inference converged, and whether the draws agree with the responses.
    responses : mapping
        Benchmark, number of models and items, fingerprint of the responses; metric and filter where logs name them.
    versions : mapping
        Of the packages that made the draws.
    timings : mapping
        Wall seconds by stage; not saved with the draws, which are the same whenever they are made.
    clusters : mapping
        Where intervals hold with clusters of models: the fields of `irt_bench.inference.cluster_robust.ClusterEffect`,
        ``n_effective`` models among it; where near-copies count once: ``n_copies`` left out of the items' estimates.
    response_groups : mapping
        Those of ``log_likelihood``, ``posterior_predictive`` and ``observed_data`` that a file held.
    """

    irt_model: IRTModel
    settings: Settings
    posterior: xr.Dataset
    sample_stats: xr.Dataset
    checks: tuple[Check, ...]
    responses: Mapping[str, Any]
    versions: Mapping[str, str]
    timings: Mapping[str, float] = field(default_factory=dict)
    clusters: Mapping[str, Any] = field(default_factory=dict)
    response_groups: Mapping[str, xr.Dataset] = field(default_factory=dict)

    @property
    def converged(self) -> bool:
        """Whether no check of inference failed; `MODEL_CHECKS` are of the IRT model and may fail."""
        return all(check.status != "failed" for check in self.checks if check.name not in MODEL_CHECKS)

    def to_dict(self) -> dict[str, Any]:
        """Return what made the draws and what the checks found, as plain values."""
        return {
            "irt_model": self.irt_model.to_dict(),
            "method": self.settings.method,
            "seed": self.settings.seed,
            "settings": self.settings.model_dump(),
            "converged": self.converged,
            "checks": [check.to_dict() for check in self.checks],
            "responses": dict(self.responses),
            "versions": dict(self.versions),
            "clusters": dict(self.clusters),
        }

    def thin(self, draws: int) -> Self:
        """Keep at most so many draws, chains together, evenly spaced; checks stay those of all draws.

        Raises
        ------
        FitError
            If there are fewer draws than chains.
        """
        n_chains, n_draws = self.posterior.sizes[names.CHAIN], self.posterior.sizes[names.DRAW]
        if draws < n_chains:
            raise FitError(f"draws is {draws:,}; one of each of the {n_chains} chains, or more, is needed.")
        places = np.linspace(0, n_draws - 1, min(draws // n_chains, n_draws)).round().astype(np.intp)

        def kept(group: xr.Dataset) -> xr.Dataset:
            return group.isel({names.DRAW: places}, missing_dims="ignore")

        groups = {name: kept(group) for name, group in self.response_groups.items()}
        posterior, sample_stats = kept(self.posterior), kept(self.sample_stats)
        return replace(self, posterior=posterior, sample_stats=sample_stats, response_groups=groups)

    def log_likelihood(self, responses: Responses | None = None) -> xr.DataArray:
        """Log-likelihood of every answer at every draw, as in `to_arviz`; from the file where `load` found it there."""
        found = self._with_responses(responses, (LOG_LIKELIHOOD,))
        if LOG_LIKELIHOOD not in found:
            raise FitError("responses are None; the log-likelihood needs those that were fitted.")
        return found[LOG_LIKELIHOOD][names.CORRECT]

    def _with_responses(self, responses: Responses | None, groups: Sequence[str]) -> Mapping[str, xr.Dataset]:
        """Make groups of the responses; without these, give those that a file held."""
        if responses is None:
            return self.response_groups
        counts = arranged(self.irt_model, as_counts(responses))
        check_responses(self.responses, counts)
        if LOG_LIKELIHOOD in groups and "n_effective" in self.clusters:
            warnings.warn(
                "these draws were widened for clusters of models, and az.loo takes them for draws of the posterior; "
                "fit with model_clusters=False for it.",
                FitWarning,
                stacklevel=4,
            )
        return response_groups(self.irt_model, self.posterior, counts, groups=groups, seed=self.settings.seed)

    def to_datatree(
        self, responses: Responses | None = None, *, groups: Sequence[str] = RESPONSE_GROUPS
    ) -> xr.DataTree:
        """Draws, statistics and what `responses` add, as groups of an `xarray.DataTree`; see `to_arviz`."""
        attributes = {"irt_bench": json.dumps({"format": FORMAT_VERSION, **self.to_dict()})}
        own = {"/": xr.Dataset(attrs=attributes), "posterior": self.posterior, "sample_stats": self.sample_stats}
        return xr.DataTree.from_dict({**own, **self._with_responses(responses, groups)})

    def to_arviz(self, responses: Responses | None = None, *, groups: Sequence[str] = RESPONSE_GROUPS) -> Any:
        """ArviZ's own container: `InferenceData` before ArviZ 1, an `xarray.DataTree` since.

        Parameters
        ----------
        responses : ResponseCounts, or what `as_counts` takes, optional
            Those that were fitted, for the groups that need them. Without: those groups that a file held.
        groups : sequence of str
            Which of ``log_likelihood``, ``posterior_predictive`` and ``observed_data`` to make of them; for their
            layout see `irt_bench.inference.draws.response_groups`.

        Raises
        ------
        FitError
            If the responses are not those fitted, a group is not known, or the groups would take more than 4 GB;
            `thin` first, then.

        Warns
        -----
        FitWarning
            If the draws were widened for clusters: they then are no draws of the posterior that `az.loo` asks for.

        Notes
        -----
        `az.loo` estimates how well one answer is predicted from all others, of the same model and item among them. Its
        weights take the draws for those of the posterior, which NUTS's are.

        Examples
        --------
        >>> from irt_bench import TwoPL, fit, simulate_responses
        >>> counts = simulate_responses(TwoPL(), n_models=40, n_items=12, seed=1).table.counts()
        >>> container = fit(counts, TwoPL()).to_arviz(counts)
        >>> container["log_likelihood"]["correct"].dims
        ('chain', 'draw', 'model', 'item')
        >>> import arviz
        >>> bool(arviz.loo(container).elpd_loo < 0)
        True
        """
        tree = self.to_datatree(responses, groups=groups)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # ArviZ announces its version 1 on import
            import arviz  # noqa: PLC0415 - takes a second that only this method should cost
        if hasattr(arviz, "InferenceData"):
            return arviz.InferenceData.from_datatree(tree)
        return tree

    def save(
        self, path: str | Path, responses: Responses | None = None, *, groups: Sequence[str] = RESPONSE_GROUPS
    ) -> None:
        """Write a netCDF file that `load` and ArviZ can read; the old file or the new one is there, never a part.

        Parameters
        ----------
        path : str or Path
            The file.
        responses, groups
            To save what `to_arviz` makes of them, too.
        """
        tree = self.to_datatree(responses, groups=groups)
        encoding = {
            f"/{group}": {
                name: {"dtype": "float32"} for name, array in tree[group].data_vars.items() if array.dtype.kind == "f"
            }
            for group in tree.children
        }
        # By way of memory, since h5py prints a line of its own on a full disk; unpacked, since draws are noise.
        content = tree.to_netcdf(engine="h5netcdf", encoding=encoding)
        with replacing(Path(path)) as beside:
            beside.write_bytes(content)

    @classmethod
    def load(cls, path: str | Path, *, irt_model: IRTModel | None = None) -> Self:
        """Read a fit that `save` wrote; a folder stands for the `fit.nc` in it.

        Parameters
        ----------
        path : str or Path
            The file.
        irt_model : IRTModel, optional
            A model that is not the package's own, whose name the fit bears.

        Raises
        ------
        FitError
            If the file is missing, is no netCDF file, or was not written by this package.
        """
        path = Path(path)
        try:
            path = path / "fit.nc" if path.is_dir() else path
            there = path.is_file()
        except OSError as error:  # a name too long, a folder that may not be searched
            raise FitError(f"{path} cannot be read: {error.strerror}.") from error
        if not there:
            raise FitError(f"{path} does not exist; make a fit with: irt-bench fit RESPONSES -o FOLDER")
        try:
            tree = load_tree(path)
            about = json.loads(tree.attrs["irt_bench"])
            if about["format"] != FORMAT_VERSION:
                raise FitError(
                    f"{path} has format {about['format']}; this version reads format {FORMAT_VERSION}. Fit again."
                )
            return cls(
                irt_model=model_of(about["irt_model"], irt_model),
                settings=_settings_of(about["method"], about["settings"]),
                posterior=tree["posterior"].to_dataset(),
                sample_stats=tree["sample_stats"].to_dataset(),
                checks=tuple(Check(**check) for check in about["checks"]),
                responses=dict(about["responses"]),
                versions=dict(about["versions"]),
                clusters=dict(about.get("clusters", {})),
                response_groups={name: tree[name].to_dataset() for name in SAVED_GROUPS if name in tree.children},
            )
        except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise FitError(f"{path} is not a fit written by irt-bench ({type(error).__name__}: {reason}).") from error


def _settings_of(method: str, fields: Mapping[str, Any]) -> Settings:
    """Return the settings of a saved fit, less those of an earlier version that there are no more."""
    kind = SETTINGS[method]
    return kind(**{name: value for name, value in fields.items() if name in kind.model_fields})


def fit(
    counts: Responses,
    irt_model: IRTModel,
    settings: Settings | None = None,
    *,
    model_clusters: Cluster = None,
    copies: Copies = "keep",
    progress: Progress | None = None,
) -> FitResult:
    """Draw from the posterior of an IRT model given responses, settings by default those of `default_method`.

    What the arguments mean, what is refused and of what is warned: `irt_bench.fit`.
    """
    counts = arranged(irt_model, as_counts(counts))
    from irt_bench.inference.related_models import find_relatives  # noqa: PLC0415 - as the methods above

    settings = settings_for(default_method(irt_model, counts)) if settings is None else settings
    _check_model(irt_model, settings)
    _check_fittable(counts, irt_model, settings)
    start = time.perf_counter()
    several, choice = isinstance(irt_model, Multidimensional), None
    if isinstance(irt_model, Multidimensional):
        from irt_bench.inference.fast.dimensional import choose_dimensions  # noqa: PLC0415 - as the methods above

        with listening(progress):
            irt_model, choice = choose_dimensions(irt_model.for_items(counts.items), counts, settings.seed)
    relatives = find_relatives(counts, irt_model, model_clusters, copies)
    distinct = relatives.distinct
    if isinstance(irt_model, Logistic | ScoreModel):
        irt_model = irt_model.for_responses(distinct)
    module, function = _VARIATIONAL if several and settings.method == "laplace" else _METHODS[settings.method]
    draw = getattr(import_module(module), function)
    with listening(progress):
        draws: Draws = draw(irt_model, distinct.correct, distinct.trials, settings, progress)
    posterior = label_draws(draws, distinct, irt_model)
    posterior = posterior.drop_vars(getattr(irt_model, "auxiliary", ()), errors="ignore")
    posterior = irt_model.oriented(posterior) if isinstance(irt_model, Multidimensional | ScoreModel) else posterior
    sample_stats = label_stats(draws.sample_stats)
    checks = (
        *_checks(settings, posterior, sample_stats, draws.notes),
        *(() if choice is None else (Check("dimensions", "passed", choice.chosen, None, choice.message),)),
        pooling_check(posterior, distinct.trials),
        *response_checks(irt_model, posterior, distinct, seed=settings.seed),
    )
    for check in checks:
        if check.status == "failed":
            category = FitWarning if check.name in MODEL_CHECKS else ConvergenceWarning
            warnings.warn(f"{check.name}: {check.message}", category, stacklevel=2)
    posterior, clusters = relatives.account_for(posterior, settings.seed)
    return FitResult(
        irt_model=irt_model,
        settings=settings,
        posterior=posterior,
        sample_stats=sample_stats,
        checks=checks,
        responses=_about(counts),
        versions=versions(),
        timings={"fit": time.perf_counter() - start},
        clusters=clusters,
    )


def draw_unchecked(counts: ResponseCounts, irt_model: Logistic, settings: LaplaceSettings) -> xr.Dataset:
    """Draw from the posterior by the fast method, and check nothing but that it can be drawn from."""
    from irt_bench.inference.fast.laplace import fit_laplace  # noqa: PLC0415 - as the methods above

    _check_fittable(counts, irt_model, settings)
    irt_model = irt_model.for_responses(counts)
    return label_draws(fit_laplace(irt_model, counts.correct, counts.trials, settings), counts, irt_model)


def default_method(irt_model: IRTModel, counts: ResponseCounts) -> str:
    """Choose "laplace" where it knows the model; else, with a warning, "nuts", or "svi" of a large matrix.

    Warns
    -----
    FitWarning
        If it is not the fast method.
    """
    _check_members(irt_model)
    if getattr(irt_model, "is_approximated", False):
        return "laplace"
    method = "nuts" if counts.correct.size <= MAX_DEFAULT_NUTS else "svi"
    what = "is of scores" if isinstance(irt_model, ScoreModel) else "has a program of its own"
    if isinstance(irt_model, Logistic) and not irt_model.has_own_program:
        what = "learns asymptotes" if irt_model.learns_asymptotes else "regresses items on covariates"
    warnings.warn(
        f"the {irt_model.name} model {what}, which the fast method does not know: method={method!r} is used, which "
        "takes minutes. Choose it, or another, to go without this message.",
        FitWarning,
        stacklevel=3,
    )
    return method


def _about(counts: ResponseCounts) -> dict[str, Any]:
    size = {"n_models": counts.n_models, "n_items": counts.n_items}
    return {"benchmark": counts.benchmark, **size, "fingerprint": counts.fingerprint(), **counts.read_by()}


@cache
def versions() -> Mapping[str, str]:
    """Versions of the packages that made a fit; reading them takes as long as a small fit."""
    return {name: version(name) for name in VERSIONS_OF}


def _check_members(irt_model: IRTModel) -> None:
    if missing := [name for name in ("name", "program", "expected_score", "to_dict") if not hasattr(irt_model, name)]:
        raise ModelError(f"{type(irt_model).__name__} lacks {', '.join(missing)}; see irt_bench.IRTModel.")


def _check_model(irt_model: IRTModel, settings: Settings) -> None:
    """Refuse what is no model, and what the fast method does not know."""
    _check_members(irt_model)
    known = isinstance(irt_model, Multidimensional) or (
        isinstance(irt_model, Logistic) and not irt_model.has_own_program
    )
    if isinstance(settings, LaplaceSettings) and getattr(irt_model, "item_regression", None) is not None:
        raise ModelError("method 'laplace' does not regress items on covariates; give NUTSSettings() or SVISettings().")
    if isinstance(settings, LaplaceSettings) and not known:
        kinds = ", ".join(kind.__name__ for kind in IRT_MODELS.values())
        raise ModelError(
            f"method 'laplace' approximates {kinds} only, and {type(irt_model).__name__} ({irt_model.name!r}) has a "
            "program of its own; give NUTSSettings() or SVISettings()."
        )


def _check_fittable(counts: ResponseCounts, irt_model: IRTModel, settings: Settings) -> None:
    if settings.method not in _METHODS:
        raise FitError(unknown_choice("method", settings.method, _METHODS))
    if counts.measure not in getattr(irt_model, "measures", ("correct",)):
        raise ModelError(
            f"benchmark {counts.benchmark!r} holds scores, and the {irt_model.name} model needs right answers out of a "
            "number of trials. Give 'correct' (0/1), or 'n_correct' and 'n_samples', or fit a model of scores: "
            f"{', '.join(map(repr, SCORE_MODELS))}."
        )
    answering = int(counts.asked.any(axis=1).sum())
    if answering < 2:
        raise FitError(
            f"benchmark {counts.benchmark!r} has {answering} models with answers; an IRT model needs 2 or more."
        )
    if isinstance(irt_model, Logistic):
        irt_model.known_parameters(counts.n_items)  # refuses guessing of other items
    gigabytes = 8e-9 * settings.n_draws * (counts.n_models + 2 * counts.n_items)
    if gigabytes > MAX_GIGABYTES:
        raise FitError(
            f"{settings.n_draws:,} draws of the parameters of {counts.n_models:,} models and {counts.n_items:,} items "
            f"take {gigabytes:,.0f} GB; up to {MAX_GIGABYTES} are made. Give fewer draws."
        )
    if getattr(settings, "device", "cpu") == "cuda":
        _check_cuda()
    if blocks := disconnected_blocks(counts):
        warnings.warn(
            f"{len(blocks)} blocks of models and items share no answer with each other, so that nothing but the prior "
            f"puts them on one scale: {'; '.join(blocks[:3])}. Fit them one by one, or compare within blocks only.",
            FitWarning,
            stacklevel=3,
        )


def _check_cuda() -> None:
    import torch  # noqa: PLC0415 - takes a second that the CPU's default method should not cost

    if not torch.cuda.is_available():
        raise FitError("device is 'cuda', which needs a GPU that PyTorch can use; it finds none here. Give 'cpu'.")


def _checks(
    settings: Settings, posterior: xr.Dataset, sample_stats: xr.Dataset, notes: Mapping[str, Any]
) -> tuple[Check, ...]:
    match settings.method:
        case "nuts":
            return sampler_checks(posterior, sample_stats, max_tree_depth=notes["max_tree_depth"])
        case "svi":
            return optimiser_checks(notes)
    return maximum_checks(notes)
