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
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import xarray as xr

from irt_bench import NUTSSettings, SVISettings
from irt_bench.analysis.curves import response_probabilities
from irt_bench.analysis.labelled_draws import ASYMPTOTES, ItemParameters
from irt_bench.errors import FitError, ModelError
from irt_bench.files import replacing
from irt_bench.inference.fit import fit
from irt_bench.inference.sampling import svi
from irt_bench.inference.sampling.coordinates import Coordinates, find_coordinates
from irt_bench.inference.settings import LaplaceSettings, Settings
from irt_bench.irt_models.logistic import FourPL, Logistic, OnePL, ThreePL, TwoPL
from irt_bench.irt_models.model import HalfNormal, Hierarchical, Normal
from irt_bench.irt_models.simulate import simulate_responses
from irt_bench.responses.counts import ResponseCounts

SIZE = "40x20"  # models x items: small enough for the exact method, and where approximations show
N_DRAWS = 99  # among which the truth is ranked
IRT_MODELS: dict[str, Logistic] = {
    "1pl": OnePL(), "2pl": TwoPL(), "3pl, guessing 0.25": ThreePL(guessing=0.25), "3pl": ThreePL(), "4pl": FourPL(),
}  # fmt: skip
METHODS = ("laplace", "svi", "nuts")
WRONG_GUIDE = "wrong guide"
CONTROLS = ("wrong prior", "swapped answers", "narrow draws", WRONG_GUIDE)
WRONG_PRIOR = Hierarchical(Normal(0.0, 0.2), HalfNormal(0.2))
NARROW = 0.6  # of the sd
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
        """The fast method does not learn asymptotes, and only SVI has a guide."""
        if self.control == WRONG_GUIDE:
            return self.method == "svi"
        return self.method != "laplace" or self.irt_model not in ("3pl", "4pl")


def cells_of(models: list[str], methods: list[str], sizes: list[str]) -> list[Cell]:
    """All that is fitted, the negative controls with the 2PL after the rest."""
    cells = [Cell(model, method, size=size) for method in methods for size in sizes for model in models]
    cells += [Cell("2pl", method, control) for method in methods for control in CONTROLS]
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
    irt_model = IRT_MODELS[cell.irt_model]
    n_models, n_items = map(int, cell.size.split("x"))
    simulated = simulate_responses(irt_model, n_models=n_models, n_items=n_items, seed=seed, hyperparameters={})
    counts = simulated.table.counts()
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
            with mock.patch.object(svi, "find_coordinates", blind) if cell.control == WRONG_GUIDE else nullcontext():
                fitted = fit(fitted_to, believed, settings(cell, seed))
        except (FitError, ModelError) as error:  # counted, not hidden
            return {**about, "refused": str(error)}
    seconds = time.process_time() - start
    posterior = thinned(fitted.posterior)
    if cell.control == "narrow draws":
        posterior = posterior.mean("draw") + NARROW * (posterior - posterior.mean("draw"))
    found = ranks(simulated.truth, posterior, counts)
    return {**about, "converged": fitted.converged, "seconds": seconds, "ranks": found}


def settings(cell: Cell, seed: int) -> Settings:
    """Enough draws to thin to `N_DRAWS`, which are then nearly independent; the same for every data set."""
    if cell.method == "nuts":
        return NUTSSettings(seed=seed, chains=1, warmup=200, draws=8 * N_DRAWS, jobs=1)
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


def ranks(truth: xr.Dataset, posterior: xr.Dataset, counts: ResponseCounts) -> dict[str, int]:
    """Draws below the truth, quantity by quantity."""
    found = {}
    for name in posterior.data_vars:
        if name not in truth or (name == "guessing" and float(posterior[name].std()) == 0):
            continue
        drawn, true = posterior[name].transpose(..., "draw").to_numpy(), truth[name].to_numpy()
        places = (0, 1) if name == "ability" else (0,)
        for place in places if drawn.ndim == 2 else (None,):
            label = str(name) if place is None else f"{name}[{place}]"
            found[label] = int((drawn[... if place is None else place] < true[() if place is None else place]).sum())
    found["log_likelihood"] = int((log_likelihood(posterior, counts) < log_likelihood(truth, counts)).sum())
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
