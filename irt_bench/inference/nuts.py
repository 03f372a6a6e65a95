"""No-U-turn sampling with Pyro's kernel: chains in processes, the same draws however many run at once."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from irt_bench.inference.chains import Chain, run_chain, sample_stats
from irt_bench.inference.coordinates import BaseCoordinates, find_coordinates
from irt_bench.inference.draws import Draws
from irt_bench.inference.joint_coordinates import find_joint_coordinates
from irt_bench.inference.runtime import DTYPE, pyro_runtime
from irt_bench.inference.settings import NUTSSettings
from irt_bench.irt_models.logistic import Logistic
from irt_bench.workers import PROCESSES

Progress = Callable[[str, int, int], None]
Sites = dict[str, npt.NDArray[np.float64]]  # site → (draw, ...)
POLL_SECONDS = 0.2
MAX_DENSE = 100  # coordinates of items and hierarchy up to which their covariance is adapted whole


def sample_nuts(
    irt_model: Logistic,
    correct: npt.NDArray[Any],
    trials: npt.NDArray[Any],
    settings: NUTSSettings,
    progress: Progress | None = None,
) -> Draws:
    """Draw from the posterior of an IRT model.

    Parameters
    ----------
    irt_model : IRTModel
        Priors and formula.
    correct, trials : integer arrays of shape (model, item)
        Right answers and trials; trials = 0 where never asked.
    settings : NUTSSettings
        Chains, lengths, seed.
    progress : callable, optional
        Told (what, iterations done, iterations in all).

    Notes
    -----
    With many items all parameters are whitened together by the fast method's joint normal (`JointCoordinates`). With
    few, where a grid of few nodes does, abilities are integrated out, and drawn from their exact posterior beside each
    draw of the items; otherwise their shared location and scale stand apart (`Alignment`). Coordinates are whitened so
    that Pyro's adaptation of the mass matrix starts near the truth (`Coordinates`), and hierarchies are non-centred
    item by item as far as the data are weak (`Posterior`).
    """
    with pyro_runtime(seed=settings.seed, threads=settings.threads):
        coordinates = find_joint_coordinates(irt_model, correct, trials, threads=settings.threads) or find_coordinates(
            irt_model, correct, trials
        )
    seeds = np.random.SeedSequence(settings.seed).generate_state(settings.chains)
    total = settings.chains * (settings.warmup + settings.draws)
    jobs = min(settings.jobs or joblib.cpu_count(), settings.chains)
    with _watched(settings.chains, total, progress) as counter:
        tasks = (
            joblib.delayed(_run_chain)(coordinates, settings, int(seed), counter, index)
            for index, seed in enumerate(seeds)
        )
        found: list[tuple[Sites, Chain]] = list(joblib.Parallel(n_jobs=jobs, **PROCESSES)(tasks))
    sites, chains = zip(*found, strict=True)
    values = {name: np.stack([each[name] for each in sites]) for name in sites[0]}
    notes = {"step_size": [chain.step_size for chain in chains]}
    return Draws(sites=values, sample_stats=sample_stats(chains), notes=notes)


def _run_chain(
    coordinates: BaseCoordinates, settings: NUTSSettings, seed: int, counter: Path, index: int
) -> tuple[Sites, Chain]:
    """Run one chain; abilities, where they are sampled, come first and form a block of their own."""
    done = np.memmap(counter, dtype=np.int64, mode="r+")

    def potential(point: dict[str, Tensor]) -> Tensor:
        return -coordinates.log_density(torch.cat(list(point.values())))

    def count() -> None:
        done[index] += 1

    with pyro_runtime(seed=seed, threads=settings.threads):
        posterior = coordinates.posterior
        n_abilities = 0 if posterior.integrates_abilities else posterior.cells.shape[0]
        start = torch.randn(len(coordinates.centre), dtype=DTYPE)  # as spread as the conditional posterior
        ability, rest = start[:n_abilities], start[n_abilities:]
        chain = run_chain(
            potential,
            {"ability": ability, "rest": rest} if n_abilities else {"rest": rest},
            settings,
            adapt_mass_matrix=not coordinates.whitened,  # a few draws would know it worse
            full_mass=[("rest",)] if len(coordinates.centre) - n_abilities <= MAX_DENSE else False,
            after_each=count,
        )
        points = torch.cat(list(chain.samples.values()), dim=1).numpy()
        values = coordinates.values(points, np.random.default_rng(seed))
    return values, chain


@contextmanager
def _watched(chains: int, total: int, progress: Progress | None) -> Iterator[Path]:
    """Offer a file in which each chain counts its iterations, and report the sum while the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "iterations"
        counter = np.memmap(path, dtype=np.int64, mode="w+", shape=(chains,))
        finished = threading.Event()

        def report() -> None:
            while progress is not None and not finished.wait(POLL_SECONDS):
                progress("sampling", int(counter.sum()), total)

        thread = threading.Thread(target=report, daemon=True)
        thread.start()
        try:
            yield path
        finally:
            finished.set()
            thread.join()
        if progress is not None:
            progress("sampling", total, total)
