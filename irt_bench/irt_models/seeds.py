"""Ability over training runs, seeds and steps: the model of the seed effect, its design, its Pyro program.

theta[run, seed, step] = run_mean[run, step] + seed_effect[run, seed] + step_effect[run, seed, step], the effects
normal with mean 0 and standard deviations sd_seed and sd_step. No answer tells the two effects apart unless some seed
was seen at two steps together with another seed; without that the step effect is left out, and sd_seed is the spread
over seeds at one step, whatever of it would last.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from irt_bench import names
from irt_bench.errors import ModelError
from irt_bench.irt_models.base import HalfNormal, Normal
from irt_bench.responses.table import natural_order

SD_SEED: Final = "sd_seed"
SD_STEP: Final = "sd_step"
RUN_MEAN: Final = "run_mean"
SEED_EFFECT: Final = "seed_effect"
STEP_EFFECT: Final = "step_effect"

RUN_MEAN_PRIOR: Final = Normal(0.0, 2.0)  # from untrained to far better than the models that set the scale
# Seeds of a run differ less than models do, whose sd is 1. With half of that as scale, intervals from five seeds
# covered 97% at a seed sd of 0.3 and 65% at 1.2; with this scale 91 to 95% (tests/inference/test_seed_fit.py).
SD_PRIOR: Final = HalfNormal(1.0)

Codes = npt.NDArray[np.intp]
Likelihood = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class SeedModel:
    """Priors of the hierarchy over runs, seeds and steps.

    Parameters
    ----------
    run_mean : Normal
        Prior of the mean ability of a run at a step.
    sd_seed, sd_step : HalfNormal
        Priors of the standard deviations over seeds, and over the steps of one seed around its run's course.
    pooled : bool
        One pair of standard deviations for all runs, or a pair for each.

    Notes
    -----
    The items are known, from other models: the answers of a few seeds, most of whose items are answered alike by all,
    cannot tell the items' discrimination from the spread of the seeds.
    """

    run_mean: Normal = RUN_MEAN_PRIOR
    sd_seed: HalfNormal = SD_PRIOR
    sd_step: HalfNormal = SD_PRIOR
    pooled: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Priors as plain values."""
        return asdict(self)


class Cell(NamedTuple):
    """A (run, seed) or (run, step) pair that occurs: positions in the design's padded grids."""

    run: Codes  # (pair,)
    place: Codes  # (pair,): of the seed among the run's seeds, or of the step among its steps


@dataclass(frozen=True)
class SeedDesign:
    """Which rows of the responses are which seed of which run at which step.

    Parameters
    ----------
    rows : integer array of shape (snapshot,)
        Rows of the responses used: a snapshot with answers whose run has another seed at the same step.
    seed_of, mean_of : integer arrays of shape (snapshot,)
        Position of each snapshot's (run, seed) in `seeds` and of its (run, step) in `means`.
    seeds, means : Cell
        The (run, seed) and the (run, step) pairs that occur.
    runs : tuple of str
        Labels of the runs.
    seed_labels, step_labels : tuple of str
        Labels by position in `seeds` and in `means`.
    has_steps : bool
        Whether the step effect can be told from the seed effect.
    """

    rows: Codes
    seed_of: Codes
    mean_of: Codes
    seeds: Cell
    means: Cell
    runs: tuple[str, ...]
    seed_labels: tuple[str, ...]
    step_labels: tuple[str, ...]
    has_steps: bool

    @property
    def run_of(self) -> Codes:
        """Position of each snapshot's run, shape (snapshot,)."""
        return self.seeds.run[self.seed_of]

    @classmethod
    def from_models(cls, models: pd.DataFrame, answered: npt.NDArray[np.bool_]) -> SeedDesign:
        """Read the design off the metadata of the models.

        Parameters
        ----------
        models : pd.DataFrame
            Column ``seed``; optionally ``run`` (else all models with a seed form one run) and ``step`` (else there is
            one step).
        answered : boolean array of shape (model,)
            Whether a model has any answer.

        Raises
        ------
        ModelError
            If there is no seed, two rows are the same snapshot, or no run has two seeds at one step.
        """
        if names.SEED not in models or not models[names.SEED].notna().any():
            raise ModelError(
                f"no model says which seed it was trained with (columns: {', '.join(map(str, models)) or 'none'}); a "
                "column 'seed' is needed, and 'run' and 'step' where there are several."
            )
        frame = pd.DataFrame({name: _labels(models, name) for name in (names.RUN, names.SEED, names.STEP)})
        seeded = models[names.SEED].notna().to_numpy() & answered
        _check_unique(frame[seeded], models.index[seeded])
        shared = frame[seeded].groupby([names.RUN, names.STEP])[names.SEED].transform("size") > 1
        rows = np.flatnonzero(seeded)[shared.to_numpy()]
        if not len(rows):
            raise ModelError(
                f"{int(seeded.sum())} models with a seed and answers, but no run has two of them at one step; a spread "
                "over seeds needs at least two seeds of one run."
            )
        kept = frame.iloc[rows]
        several = kept.groupby([names.RUN, names.SEED]).size() > 1
        return cls(rows=rows, has_steps=bool(several.any()), **_positions(kept))


def make_seed_program(
    model: SeedModel, design: SeedDesign, *, likelihood: Likelihood
) -> Callable[[], dict[str, Tensor]]:
    """Return the Pyro program of the model for a design.

    Parameters
    ----------
    model : SeedModel
        Priors.
    design : SeedDesign
        Snapshots, runs, seeds and steps.
    likelihood : callable
        Abilities of the snapshots → log-likelihood of all answers, the items being known.

    Notes
    -----
    | site                                        | shape                     |
    |---------------------------------------------|---------------------------|
    | sd_seed, sd_step                            | () or (run,)              |
    | run_mean                                    | ((run, step) that occurs,)|
    | seed_effect                                 | ((run, seed) that occurs,)|
    | step_effect                                 | (snapshot,)               |
    """

    def program() -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        with nullcontext() if model.pooled else pyro.plate(names.RUN, len(design.runs)):
            values[SD_SEED] = pyro.sample(SD_SEED, dist.HalfNormal(_number(model.sd_seed.scale)))
            if design.has_steps:
                values[SD_STEP] = pyro.sample(SD_STEP, dist.HalfNormal(_number(model.sd_step.scale)))
        with pyro.plate("run_step", len(design.means.run)):
            values[RUN_MEAN] = pyro.sample(RUN_MEAN, _normal(model.run_mean))
        with pyro.plate("run_seed", len(design.seeds.run)):
            sd = values[SD_SEED] if model.pooled else values[SD_SEED][design.seeds.run]
            values[SEED_EFFECT] = pyro.sample(SEED_EFFECT, dist.Normal(torch.zeros_like(sd), sd))
        ability = values[RUN_MEAN][design.mean_of] + values[SEED_EFFECT][design.seed_of]
        if design.has_steps:
            with pyro.plate("snapshot", len(design.rows)):
                sd = values[SD_STEP] if model.pooled else values[SD_STEP][design.run_of]
                values[STEP_EFFECT] = pyro.sample(STEP_EFFECT, dist.Normal(torch.zeros_like(sd), sd))
            ability = ability + values[STEP_EFFECT]
        pyro.factor("responses", likelihood(ability))
        return values

    return program


def _normal(prior: Normal) -> Any:
    return dist.Normal(_number(prior.loc), _number(prior.scale))


def _number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _labels(models: pd.DataFrame, name: str) -> npt.NDArray[np.object_]:
    """Values of a column as text; empty where missing, or where there is no such column."""
    if name not in models:
        return np.full(len(models), "", dtype=object)
    known = models[name].notna().to_numpy()
    return np.where(known, models[name].astype("str").to_numpy(dtype=object), "")


def _check_unique(frame: pd.DataFrame, labels: pd.Index) -> None:
    twice = frame.duplicated().to_numpy()
    if twice.any():
        first = frame[twice].iloc[0]
        raise ModelError(
            f"{int(twice.sum())} models repeat a snapshot; first: {labels[int(twice.argmax())]!r} is another "
            f"run {first[names.RUN]!r}, seed {first[names.SEED]!r}, step {first[names.STEP]!r}. Give a column 'run' or "
            "'step' that tells them apart."
        )


def _positions(kept: pd.DataFrame) -> dict[str, Any]:
    """Give runs, and within each run its seeds and its steps, their positions, in natural order."""
    runs = natural_order(kept[names.RUN].unique())
    run = pd.Index(runs).get_indexer(pd.Index(kept[names.RUN]))
    found: dict[str, Any] = {"runs": tuple(runs)}
    for column, pairs, of, labels in (
        (names.SEED, "seeds", "seed_of", "seed_labels"),
        (names.STEP, "means", "mean_of", "step_labels"),
    ):
        ordered = natural_order(kept[column].unique())
        code = pd.Index(ordered).get_indexer(pd.Index(kept[column]))
        occurring, position = np.unique(run * len(ordered) + code, return_inverse=True)
        pair_run, pair_code = occurring // len(ordered), occurring % len(ordered)
        first = np.searchsorted(pair_run, pair_run)  # pairs are sorted by run: the first of each run
        found[pairs] = Cell(pair_run, np.arange(len(pair_run)) - first)
        found[of], found[labels] = position, tuple(ordered[place] for place in pair_code)
    return found
