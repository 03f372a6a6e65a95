"""Settings of the inference methods: validated whole before any work, passed whole, kept in the result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from irt_bench.errors import FitError, unknown_choice
from irt_bench.names import DeviceName

MAX_THREADS: Final = 1_024  # of a process, and processes at once; no machine has use for more
MAX_DRAWS: Final = 100_000  # of a chain; more digits of a mean than any table shows
MAX_CHAINS: Final = 128
MAX_STEPS: Final = 10_000_000  # of an optimisation: weeks
Steps = Annotated[int, Field(gt=0, le=MAX_STEPS)]
Workers = Annotated[int, Field(ge=0, le=MAX_THREADS)]
N_ITEM_DRAWS: Final = 10  # of the seed model's items; their part of the variance, itself small, is known to a third
ONE_THREAD = 3_000_000  # cells below which waking a second thread costs more than it does


class Settings(BaseModel):
    """What every method needs to know.

    Parameters
    ----------
    seed : int
        Of every random number drawn; the same seed gives the same draws.
    threads : int
        Threads of one process. One is fastest for matrices of up to a million cells, and far safer on a busy machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: ClassVar[str] = ""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    threads: Annotated[int, Field(gt=0, le=MAX_THREADS)] = 1

    @property
    def n_draws(self) -> int:
        """Draws that are kept, of all chains together."""
        return int(getattr(self, "draws", 1) * getattr(self, "chains", 1))


class LaplaceSettings(Settings):
    """The fast deterministic method; see `irt_bench.inference.fast.laplace`.

    Parameters
    ----------
    draws : int
        Draws taken from the joint normal posterior.
    tolerance : float
        Sweeps end when no intercept, log slope or sd of the hierarchy changes by more.
    max_sweeps : int
        Largest number of sweeps; a check fails if it is reached.
    refine : bool
        Whether draws for a small matrix are refined to the exact posterior by Gibbs sweeps, which takes some seconds:
        models times items times draws up to 1e8, with fewer than 100 models 1e9. Other draws are those of the normal
        approximation.
    threads : int
        Number of threads; results do not depend on it. 0: as many as are idle, and one for sweeps over matrices of less
        than three million cells.
    device : {"cpu", "cuda"}
        Where sweeps over the answers are computed if each model gave 500 or more, or grids of abilities would cost too
        much. All else is computed on the CPU: draws, grids, several abilities.

    Examples
    --------
    >>> from irt_bench import LaplaceSettings, fit, load_example
    >>> fit(load_example("benchmark"), "2pl", LaplaceSettings(draws=500, refine=False)).posterior.sizes["draw"]
    500
    """

    method: ClassVar[str] = "laplace"
    threads: Workers = 0
    draws: Annotated[int, Field(ge=2, le=MAX_DRAWS)] = 1_000
    tolerance: Annotated[float, Field(gt=0)] = 1e-3
    max_sweeps: Steps = 200
    refine: bool = True
    device: DeviceName = "cpu"

    @property
    def n_threads(self) -> int:
        """Threads to use: those asked for, or the processors that the last minute left idle, at least one."""
        if self.threads:
            return self.threads
        processors = os.cpu_count() or 1
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        return max(1, round(processors - load))

    def sweep_threads(self, n_cells: int) -> int:
        """Threads to use in sweeps over so many cells, and in the linear algebra after them."""
        return 1 if not self.threads and n_cells < ONE_THREAD else self.n_threads


class NUTSSettings(Settings):
    """No-U-turn sampler (Hoffman & Gelman 2014), Pyro's.

    Parameters
    ----------
    chains, warmup, draws : int
        Number of chains; iterations of each that adapt and are thrown away; iterations of each that are kept.
    target_accept : float, optional
        Mean acceptance the step size is adapted to; higher is slower and has fewer divergences. By default 0.9 where
        abilities are integrated out, since sds over few items have funnels, else 0.8.
    max_tree_depth : int
        A trajectory has at most 2 ** max_tree_depth steps.
    jobs : int
        Chains run at once, each in a process of its own; results do not depend on it. 0: one per processor.

    Examples
    --------
    >>> from irt_bench import NUTSSettings
    >>> NUTSSettings(chains=2, draws=1_000, seed=1).n_draws  # for fit(responses, "2pl", NUTSSettings(...))
    2000
    """

    method: ClassVar[str] = "nuts"
    chains: Annotated[int, Field(gt=0, le=MAX_CHAINS)] = 4
    warmup: Annotated[int, Field(gt=0, le=MAX_DRAWS)] = 500
    draws: Annotated[int, Field(ge=2, le=MAX_DRAWS)] = 2_000
    target_accept: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_tree_depth: Annotated[int, Field(gt=0, le=14)] = 10
    jobs: Workers = 0


class SVISettings(Settings):
    """Stochastic variational inference with a Gaussian guide, Pyro's.

    Parameters
    ----------
    guide : {"auto", "full", "low_rank", "normal"}
        Pyro's `AutoMultivariateNormal`, `AutoLowRankMultivariateNormal` or `AutoDiagonalNormal`, in whitened
        coordinates; "auto": full for up to 250 coordinates (100 where abilities are integrated out), else normal.
    learning_rate : float
        Adam's first step size, in conditional standard deviations of each parameter, times 3 / sqrt(n) for a full guide
        of n > 9 coordinates. It is divided by `decay` whenever the ELBO has stopped rising.
    max_steps : int
        Largest number of steps; a check fails if it is reached.
    window : int
        Number of steps whose mean ELBO is compared with that of the steps before.
    batch : int
        Number of models in the mini-batch of a step, with the same share of the items, but not fewer than 200. 0: as
        many as keep a step short, which is all of them up to 2e7 cells.
    draws : int
        Draws to return.
    device : {"cpu", "cuda"}
        Where likelihoods are summed. On a GPU every step takes all answers.

    Notes
    -----
    Abilities of the 1PL to 4PL are integrated out where models outnumber items. Under a program of a user's own, or on
    a GPU, they stay in the guide, independent of the items but for what all share: item parameters of thousands of
    models and steep items are then biased, in some data sets by an sd (5,000 x 100: 90% intervals cover .66 to .96).

    Examples
    --------
    >>> from irt_bench import SVISettings
    >>> SVISettings(guide="low_rank", max_steps=5_000).guide  # for fit(responses, "2pl", SVISettings(...))
    'low_rank'
    """

    method: ClassVar[str] = "svi"
    guide: Literal["auto", "full", "low_rank", "normal"] = "auto"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    decay: Annotated[float, Field(gt=1)] = 4.0
    max_steps: Steps = 20_000
    window: Steps = 100
    batch: Annotated[int, Field(ge=0)] = 0
    draws: Annotated[int, Field(ge=2, le=MAX_DRAWS)] = 1_000
    device: DeviceName = "cpu"


SETTINGS: Final[Mapping[str, type[Settings]]] = {
    kind.method: kind for kind in (LaplaceSettings, NUTSSettings, SVISettings)
}


def settings_for(method: str, **fields: Any) -> Settings:
    """Build the settings of a method, checked.

    Raises
    ------
    FitError
        If the method is not known, a field does not belong to it, or a value is out of range.
    """
    if method not in SETTINGS:
        raise FitError(unknown_choice("method", method, SETTINGS))
    kind = SETTINGS[method]
    for name in fields:
        if name not in kind.model_fields:
            raise FitError(unknown_choice(f"setting of method {method!r}:", name, kind.model_fields))
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise FitError(f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}.") from error
