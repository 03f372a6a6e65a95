"""Settings of the inference methods: validated whole before any work, passed whole, kept in the result."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]


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
    threads: Positive = 1


class NUTSSettings(Settings):
    """No-U-turn sampler (Hoffman & Gelman 2014), Pyro's.

    Parameters
    ----------
    chains, warmup, draws : int
        Number of chains; iterations of each that adapt and are thrown away; iterations of each that are kept.
    target_accept : float
        Mean acceptance the step size is adapted to; higher is slower and has fewer divergences.
    max_tree_depth : int
        A trajectory has at most 2 ** max_tree_depth steps.
    jobs : int
        Chains run at once, each in a process of its own; results do not depend on it. 0: one a processor.
    """

    method: ClassVar[str] = "nuts"
    chains: Positive = 4
    warmup: Positive = 500
    draws: Positive = 1_000
    target_accept: Annotated[float, Field(gt=0, lt=1)] = 0.9
    max_tree_depth: Annotated[int, Field(gt=0, le=14)] = 10
    jobs: Annotated[int, Field(ge=0)] = 0


class SVISettings(Settings):
    """Stochastic variational inference with a Gaussian guide, Pyro's.

    Parameters
    ----------
    guide : {"item", "normal"}
        "item": the parameters of an item are correlated with each other; "normal": all are independent.
    learning_rate : float
        Adam's first step size, in conditional standard deviations of each parameter; divided by `decay` whenever the
        ELBO has stopped rising.
    max_steps : int
        Give up, and say so, after so many steps.
    window : int
        Steps whose ELBOs are averaged when two stretches are compared.
    draws : int
        Draws taken from the guide.
    """

    method: ClassVar[str] = "svi"
    guide: Literal["item", "normal"] = "item"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    decay: Annotated[float, Field(gt=1)] = 4.0
    max_steps: Positive = 20_000
    window: Positive = 100
    draws: Positive = 1_000
