"""Fit an item response model, and all that is asked of a fit: abilities, items, scores, checks, plots, files."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from irt_bench.inference.fit import FitResult, Progress
from irt_bench.inference.fit import fit as fit_result
from irt_bench.inference.related_models import Cluster, Copies
from irt_bench.inference.settings import Settings, settings_for
from irt_bench.irt_models.base import IRTModel
from irt_bench.irt_models.logistic import irt_model_from_name
from irt_bench.responses.canonical import Responses

ModelName = Literal["1pl", "2pl", "3pl", "4pl"]
MethodName = Literal["laplace", "svi", "nuts"]


@dataclass(frozen=True)
class Fit(FitResult):
    """A fitted item response model."""

    @classmethod
    def of(cls, result: FitResult) -> Fit:
        """Wrap the result of inference."""
        return cls(**{field.name: getattr(result, field.name) for field in fields(result)})


def fit(
    responses: Responses,
    model: ModelName | IRTModel = "2pl",
    method: MethodName | Settings = "laplace",
    *,
    seed: int | None = None,
    cluster: Cluster = None,
    copies: Copies = "keep",
    progress: Progress | None = None,
) -> Fit:
    """Fit a Bayesian item response model to responses."""
    settings = method if isinstance(method, Settings) else settings_for(method)
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed})
    chosen = irt_model_from_name(model) if isinstance(model, str) else model
    return Fit.of(fit_result(responses, chosen, settings, cluster=cluster, copies=copies, progress=progress))
