"""No-U-turn sampling of a program with Pyro's kernel: chains in processes, the same however many run at once."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import joblib
import numpy as np
import torch
from pyro.infer import MCMC, NUTS
from torch import Tensor

from irt_bench.arrays import Array
from irt_bench.inference.draws import Draws
from irt_bench.inference.sampling.coordinates import Coordinates, find_coordinates, pyro_runtime
from irt_bench.inference.settings import NUTSSettings
from irt_bench.irt_models.model import IRTModel
from irt_bench.irt_models.program import DTYPE
from irt_bench.workers import Progress, processes

POLL_SECONDS: Final = 0.2
POINT: Final = "point"
TARGET_ACCEPT: Final = 0.8
FUNNEL_ACCEPT: Final = 0.9  # of hierarchies over few items: 2 divergences of 4,000 on LSAT-6, 27 at 0.8


class Chain(NamedTuple):
    """Draws of the coordinates, and how sampling went."""

    points: Array  # (draw, coordinate)
    statistics: dict[str, Array]  # (draw,), with ArviZ's names


def sample_nuts(
    irt_model: IRTModel, correct: Array, trials: Array, settings: NUTSSettings, progress: Progress | None = None
) -> Draws:
    """Draw from the posterior of an IRT model.

    Notes
    -----
    Every gradient runs the program, in whitened coordinates (`find_coordinates`). Where models outnumber items and few
    nodes do, abilities are integrated out, and drawn from their exact posterior beside each draw of the items.
    """
    with pyro_runtime(seed=settings.seed, threads=settings.threads):
        coordinates = find_coordinates(irt_model, correct, trials)
    return sample_coordinates(coordinates, settings, progress)


def sample_coordinates(coordinates: Coordinates, settings: NUTSSettings, progress: Progress | None = None) -> Draws:
    """Sample a program in given coordinates: values of its sites, shape (chain, draw, ...)."""
    seeds = np.random.SeedSequence(settings.seed).generate_state(settings.chains)
    total = settings.chains * (settings.warmup + settings.draws)
    jobs = min(settings.jobs or joblib.cpu_count(), settings.chains)
    with _watched(settings.chains, total, progress) as counter:
        tasks = (
            joblib.delayed(_run_chain)(coordinates, settings, int(seed), counter, index)
            for index, seed in enumerate(seeds)
        )
        found: list[tuple[dict[str, Array], Chain]] = list(joblib.Parallel(n_jobs=jobs, **processes())(tasks))
    sites, chains = zip(*found, strict=True)
    values = {name: np.stack([each[name] for each in sites]) for name in sites[0]}
    statistics = {name: np.stack([chain.statistics[name] for chain in chains]) for name in chains[0].statistics}
    notes = {"max_tree_depth": settings.max_tree_depth}
    return Draws(sites=values, dims=coordinates.target.dims, sample_stats=statistics, notes=notes)


def _run_chain(
    coordinates: Coordinates, settings: NUTSSettings, seed: int, counter: Path, index: int
) -> tuple[dict[str, Array], Chain]:
    done = np.memmap(counter, dtype=np.int64, mode="r+")

    def count() -> None:
        done[index] += 1

    with pyro_runtime(seed=seed, threads=settings.threads), np.errstate(over="ignore", invalid="ignore"):
        start = torch.randn(coordinates.size, dtype=DTYPE)  # as spread as the posterior
        target_accept = FUNNEL_ACCEPT if coordinates.target.data.grid is not None else TARGET_ACCEPT
        chain = run_chain(coordinates.log_density, start, settings, count, target_accept)
        values = coordinates.values(chain.points, np.random.default_rng(seed))
    return values, chain


def run_chain(
    log_density: Callable[[Tensor], Tensor],
    start: Tensor,
    settings: NUTSSettings,
    after_each: Callable[[], None] | None = None,
    target_accept: float = TARGET_ACCEPT,
) -> Chain:
    """Sample a log density of one flat vector; within `pyro_runtime`, whose seed makes the draws."""
    rows: list[dict[str, float]] = []

    def hook(kernel: _Kernel, _: object, stage: str, __: int) -> None:
        if after_each is not None:
            after_each()
        if stage.startswith("Sample"):
            rows.append(kernel.statistics())

    kernel = _Kernel(
        potential_fn=lambda point: -log_density(point[POINT]),
        target_accept_prob=settings.target_accept or target_accept,
        max_tree_depth=settings.max_tree_depth,
        adapt_mass_matrix=False,  # a few hundred draws would know it worse than the map
    )
    sampler = MCMC(
        kernel,
        num_samples=settings.draws,
        warmup_steps=settings.warmup,
        initial_params={POINT: start},
        disable_progbar=True,
        hook_fn=hook,
    )
    sampler.run()
    statistics = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    statistics["diverging"] = statistics["diverging"].astype(bool)
    return Chain(sampler.get_samples()[POINT].numpy(), statistics)


class _Kernel(NUTS):  # type: ignore[misc]
    """Pyro's kernel that remembers what ArviZ calls sample statistics."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._nested = 0
        self._start_iteration()

    def _start_iteration(self) -> None:
        self._depth, self._steps, self._accepted, self._energy = 0, 0, 0.0, float("nan")

    def _sample_r(self, name: str) -> Any:
        momentum = super()._sample_r(name)
        self._start_iteration()
        if self._potential_energy_last is not None:
            self._energy = float(self._kinetic_energy(momentum[1]) + self._potential_energy_last)
        return momentum

    def _build_tree(self, *arguments: Any) -> Any:
        self._nested += 1
        tree = super()._build_tree(*arguments)
        self._nested -= 1
        if not self._nested:  # a doubling of the whole trajectory
            self._depth += 1
            self._steps += int(tree.num_proposals)
            self._accepted += float(tree.sum_accept_probs)
        return tree

    def statistics(self) -> dict[str, float]:
        """Of the last iteration."""
        return {
            "lp": -float(self._potential_energy_last),
            "acceptance_rate": self._accepted / max(self._steps, 1),
            "tree_depth": self._depth,
            "n_steps": self._steps,
            "step_size": float(self.step_size),
            "energy": self._energy,
            "diverging": float(self._t - self._warmup_steps - 1 in self._divergences[-1:]),
        }


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
