"""Simulation-based calibration (Talts et al. 2018): simulate, fit, rank.

A truth is drawn from the priors, answers from the truth, and draws from the answers; if inference is right, the truth's
rank among the draws is uniform. Kept are the ranks of two abilities, a difficulty, a discrimination and asymptotes of
one item, everything that all items share, and the log-likelihood, which sees what single parameters do not (Modrák et
al. 2023). Fits are kept one file each, so that a run goes on after a stop, or with more replicates. Negative controls
must fail: fits with a wrong prior, to answers with right and wrong swapped, with draws drawn in to their mean, and
(SVI) with a guide that knows no correlations.
"""

from __future__ import annotations

import json
import time
import warnings
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import xarray as xr
from sbc_models import FAST, MAKERS, unrotated
from sbc_models import log_likelihood as own_likelihood

from irt_bench import (
    FourPL,
    HalfNormal,
    Hierarchical,
    IRTModel,
    LaplaceSettings,
    Normal,
    NUTSSettings,
    OnePL,
    ResponseCounts,
    SVISettings,
    ThreePL,
    TwoPL,
    simulate_responses,
)
from irt_bench.analysis.curves import response_probabilities
from irt_bench.analysis.labelled_draws import ASYMPTOTES, ItemParameters
from irt_bench.errors import FitError, ModelError
from irt_bench.files import replacing
from irt_bench.inference.fit import fit
from irt_bench.inference.sampling import coordinates, svi
from irt_bench.inference.sampling.coordinates import Coordinates, find_coordinates
from irt_bench.inference.settings import Settings
from irt_bench.irt_models.logistic import Logistic

SIZE = "40x20"  # models x items: small enough for the exact method, and where approximations show
N_DRAWS = 99  # among which the truth is ranked
LOGISTIC: dict[str, Logistic] = {
    "1pl": OnePL(), "2pl": TwoPL(), "3pl, guessing 0.25": ThreePL(guessing=0.25), "3pl": ThreePL(), "4pl": FourPL(),
}  # fmt: skip
IRT_MODELS = (*LOGISTIC, *MAKERS)
METHODS = ("laplace", "svi", "nuts")
WRONG_GUIDE, NARROW_DRAWS = "wrong guide", "narrow draws"
CONTROLS = ("wrong prior", "swapped answers", NARROW_DRAWS, WRONG_GUIDE)
WRONG_PRIOR = Hierarchical(Normal(0.0, 0.2), HalfNormal(0.2))
NARROW = 0.6  # of the sd
START_STEPS = 400  # of the guide that gives coordinates where there is no fast method; NUTS is exact in any
REPLICATES = {"laplace": 200, "svi": 60, "nuts": 60}


class Cell(NamedTuple):
    """One IRT model and method, and what is done wrong on purpose, if anything."""

    irt_model: str
    method: str
    control: str = ""
    size: str = SIZE

    @property
    def name(self) -> str:
        """As a file name."""
        parts = (self.irt_model, self.method, self.control, "" if self.size == SIZE else self.size)
        return "-".join(part.replace(", ", "-").replace(" ", "_") for part in parts if part)

    @property
    def can_be_fitted(self) -> bool:
        """Only SVI has a guide; the fast method does not learn asymptotes, nor does it know scores."""
        if self.control == WRONG_GUIDE:
            return self.method == "svi"
        if self.irt_model in MAKERS:
            return self.method == "nuts" or (self.method == "laplace" and self.irt_model in FAST)
        return self.method != "laplace" or self.irt_model not in ("3pl", "4pl")


def cells_of(models: list[str], methods: list[str], sizes: list[str]) -> list[Cell]:
    """All that is fitted, the negative controls after the rest: with the 2PL, and draws too narrow of others."""
    cells = [Cell(model, method, size=size) for method in methods for size in sizes for model in models]
    cells += [Cell("2pl", method, control) for method in methods for control in CONTROLS if {*models} & {*LOGISTIC}]
    narrow = [model for model in models if model in FAST]
    cells += [Cell(model, "laplace", NARROW_DRAWS) for model in narrow if "laplace" in methods]
    return [cell for cell in cells if cell.can_be_fitted]


def run(cells: list[Cell], folder: Path, replicates: int | None, minutes: float = np.inf) -> None:
    """Fit what is not there yet: a method at a time, its cells in turn, so that a stop leaves them equally far."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    wanted = {cell: replicates or REPLICATES[cell.method] for cell in cells}
    for method in dict.fromkeys(cell.method for cell in cells):
        for seed in range(1, max(wanted.values()) + 1):
            for cell in (cell for cell, n in wanted.items() if cell.method == method and seed <= n):
                path = folder / f"{cell.name}-{seed:04d}.json"
                if path.exists():
                    continue
                if time.monotonic() - start > 60 * minutes:
                    return
                found = replicate(cell, seed)
                with replacing(path) as beside:
                    beside.write_text(json.dumps(found))


def replicate(cell: Cell, seed: int) -> dict[str, Any]:
    """Simulate, fit and rank once."""
    n_models, n_items = map(int, cell.size.split("x"))
    if cell.irt_model in MAKERS:
        truth, counts, irt_model = MAKERS[cell.irt_model](n_models, n_items, seed)
    else:
        irt_model = LOGISTIC[cell.irt_model]
        simulated = simulate_responses(irt_model, n_models=n_models, n_items=n_items, seed=seed, hyperparameters={})
        truth, counts = simulated.truth, simulated.table.counts()
    fitted_to = swapped(counts) if cell.control == "swapped answers" else counts
    believed = TwoPL(difficulty=WRONG_PRIOR) if cell.control == "wrong prior" else irt_model
    about = {
        **cell._asdict(),
        "seed": seed,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": {name: version(name) for name in ("irt-bench", "pyro-ppl", "torch", "numpy")},
    }
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            blinded = cell.control == WRONG_GUIDE
            with (
                mock.patch.object(svi, "find_coordinates", blind) if blinded else nullcontext(),
                mock.patch.object(coordinates, "START_STEPS", START_STEPS),
            ):
                fitted = fit(fitted_to, believed, settings(cell, seed))
        except (FitError, ModelError) as error:  # counted, not hidden
            return {**about, "refused": str(error)}
    seconds = time.process_time() - start
    posterior = thinned(fitted.posterior)
    if cell.control == NARROW_DRAWS:
        posterior = posterior.mean("draw") + NARROW * (posterior - posterior.mean("draw"))
    found = ranks(truth, posterior, counts, None if cell.irt_model in LOGISTIC else fitted.irt_model)
    return {**about, "converged": fitted.converged, "seconds": seconds, "ranks": found}


def settings(cell: Cell, seed: int) -> Settings:
    """Enough draws to thin to `N_DRAWS`, which are then nearly independent; the same for every data set."""
    if cell.method == "nuts":
        return NUTSSettings(seed=seed, chains=1, warmup=150, draws=2 * N_DRAWS, jobs=1)
    if cell.method == "laplace":
        return LaplaceSettings(seed=seed, draws=8 * N_DRAWS)  # eight of each chain
    if cell.control == WRONG_GUIDE:
        return SVISettings(seed=seed, draws=N_DRAWS, guide="normal")
    return SVISettings(seed=seed, draws=N_DRAWS)


def blind(*arguments: Any, **options: Any) -> Coordinates:
    """Coordinates correlated in pairs: in whitened ones a guide that knows no correlations would be all but right."""
    found = find_coordinates(*arguments, **options)
    pairs = np.zeros((found.size // 2, found.size))
    places = np.arange(found.size // 2)
    pairs[places, 2 * places] = pairs[places, 2 * places + 1] = 0.5**0.5
    stretches = [*found.whitening.stretches, (pairs, np.full(len(pairs), 3.0))]
    return replace(found, whitening=replace(found.whitening, stretches=stretches))


def swapped(counts: ResponseCounts) -> ResponseCounts:
    """Call right answers wrong."""
    return ResponseCounts(
        counts.trials - counts.correct, counts.trials, counts.models, counts.items, counts.benchmark, counts.measure
    )


def thinned(posterior: xr.Dataset) -> xr.Dataset:
    """`N_DRAWS` draws, evenly spaced, chains joined."""
    joined = posterior.stack(sample=("chain", "draw")).reset_index("sample", drop=True)
    places = np.linspace(0, joined.sizes["sample"] - 1, N_DRAWS).astype(int)
    return joined.isel(sample=places).rename(sample="draw")


def ranks(
    truth: xr.Dataset, posterior: xr.Dataset, counts: ResponseCounts, irt_model: IRTModel | None = None
) -> dict[str, int]:
    """Draws below the truth, quantity by quantity; of a model that is no logistic one, its own log-likelihood's."""
    found = {}
    ranked, known = (unrotated(irt_model, parameters) for parameters in (posterior, truth))
    for name in ranked.data_vars:
        if name not in known:
            continue
        drawn = ranked[name].transpose("draw", ...)
        dims = [dim for dim in drawn.dims if dim != "draw"]
        values, true = drawn.to_numpy().reshape(N_DRAWS, -1), known[name].transpose(*dims).to_numpy().ravel()
        free = np.flatnonzero(np.nanstd(values, axis=0) > 1e-5)  # not what is known, such as the group of reference
        for place in free[:2] if name == "ability" else free[:1]:
            label = f"{name}[{place}]" if dims else str(name)
            found[label] = int((values[:, place] < true[place]).sum())
    by_answers = (
        partial(log_likelihood, counts=counts)
        if irt_model is None
        else partial(own_likelihood, irt_model, counts=counts)
    )
    found["log_likelihood"] = int((by_answers(posterior) < by_answers(truth)).sum())
    return found


def log_likelihood(parameters: xr.Dataset, counts: ResponseCounts) -> np.ndarray:
    """Log-likelihood of all answers, shape (draw,)."""
    drawn = parameters if "draw" in parameters.dims else parameters.expand_dims("draw")
    ability = drawn["ability"].transpose("draw", "model").to_numpy().astype(float)[:, :, None]
    items = ItemParameters(
        *(
            drawn[name].transpose("draw", "item").to_numpy().astype(float)[:, None] if name in drawn else missing
            for name, missing in (("difficulty", 0), ("discrimination", 1), *ASYMPTOTES.items())
        )
    )
    right, wrong = response_probabilities(items, ability)
    n_wrong = counts.trials - counts.correct
    return (counts.correct * np.log(right) + n_wrong * np.log(wrong)).sum(axis=(1, 2))
