"""IRT model + known parameters → responses: what recovery tests, power statements and the demo are made of.

`simulate_responses` draws one matrix; `simulate_benchmark` draws training runs with several seeds and steps beside
other models, and plants bad items. Every kind of draw has its own stream of random numbers, so that a parameter given,
or cells left out, leave the other parameters and answers as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy.special import expit

from irt_bench import names
from irt_bench.errors import ModelError
from irt_bench.irt_models.logistic import Logistic, TwoPL, log_odds, success_probability
from irt_bench.irt_models.planted import (
    PARTS_OF_ABILITY,
    numbered_labels,
    other_models,
    plant_bad_items,
    shift_subtasks,
    snapshots,
)
from irt_bench.irt_models.prior_draws import HYPERPARAMETERS, draw_parameters
from irt_bench.responses.canonical import Role, table_from_frame
from irt_bench.responses.table import ResponseTable

Streams = Sequence[np.random.Generator]


@dataclass(frozen=True)
class Simulation:
    """Simulated responses and what they were made from.

    Parameters
    ----------
    table : ResponseTable
        The responses, as if read from files.
    truth : xr.Dataset
        ``ability`` (model) and the item parameters (item), labelled in the order of ``table.counts()``, with the
        hyperparameters used as scalars. `simulate_benchmark` adds ``run_mean, seed_effect, step_effect`` (model; NaN
        for other models), ``planted`` (item) and the scalars ``seed_sd, step_sd``.
    irt_model : Logistic
        How answers arose.
    seed : int
        Of everything random.
    """

    table: ResponseTable
    truth: xr.Dataset
    irt_model: Logistic
    seed: int


def simulate_responses(
    irt_model: Logistic,
    *,
    n_models: int,
    n_items: int,
    seed: int,
    n_samples: int = 1,
    missing: float = 0.0,
    parameters: Mapping[str, npt.ArrayLike] | None = None,
    hyperparameters: Mapping[str, float] = HYPERPARAMETERS,
) -> Simulation:
    """Simulate the answers of models to items.

    Parameters
    ----------
    irt_model : Logistic
        Its priors are drawn from, its formula gives the probability of a right answer.
    n_models, n_items : int
        Size of the matrix.
    seed : int
        Same seed, same responses.
    n_samples : int
        Answers a cell; above 1 the table holds ``n_correct`` of ``n_samples``.
    missing : float
        Probability of a cell never asked, in [0, 1), independent of everything else.
    parameters : mapping, optional
        Reported parameter → values of shape (), (model,) or (item,), in the order of the labels; the others are drawn.
    hyperparameters : mapping
        Values of what all items share. What is not named is drawn from its prior: ``{}`` for simulation-based
        calibration.

    Raises
    ------
    ModelError
        If a size is out of range, or a parameter is unknown, of the wrong shape or out of range.

    Examples
    --------
    >>> from irt_bench import TwoPL, simulate_responses
    >>> simulation = simulate_responses(TwoPL(), n_models=30, n_items=20, seed=1)
    >>> simulation.table
    ResponseTable(simulated: 30 models x 20 items, 600 answers)
    >>> simulation.truth["difficulty"].dims
    ('item',)
    """
    _check_sizes({"n_models": n_models, "n_items": n_items, "n_samples": n_samples}, least=1)
    streams = np.random.default_rng(seed).spawn(3)
    sizes = {names.MODEL: n_models, names.ITEM: n_items}
    values = draw_parameters(irt_model, sizes, streams[0], parameters or {}, hyperparameters)
    models = pd.DataFrame(index=pd.Index(numbered_labels("model", n_models), name=names.MODEL))
    items = pd.DataFrame(index=pd.Index(numbered_labels("item", n_items), name=names.ITEM))
    truth = _dataset(values, models.index, items.index)
    table = _answer(truth, models, items, n_samples=n_samples, missing=missing, streams=streams[1:])
    return _simulation(table, truth, irt_model, seed)


def simulate_benchmark(
    *,
    seed: int,
    n_runs: int = 3,
    n_seeds: int = 5,
    n_steps: int = 6,
    n_items: int = 200,
    n_other_models: int = 40,
    subtasks: int = 2,
    seed_sd: float = 0.15,
    step_sd: float = 0.05,
    n_mis_keyed: int = 4,
    n_samples: int = 1,
    missing: float = 0.0,
    irt_model: Logistic | None = None,
) -> Simulation:
    """Simulate a benchmark taken by training runs with several seeds and steps, and by other models.

    Parameters
    ----------
    seed : int
        Same seed, same responses.
    n_runs, n_seeds, n_steps : int
        Runs, training seeds of each, checkpoints of each seed.
    n_items, n_other_models, subtasks : int
        Items; independent models, ability ~ N(0, 1), to calibrate on; subtasks, the later the harder.
    seed_sd, step_sd : float
        Standard deviations of ability over seeds, and over steps beyond the run's course.
    n_mis_keyed : int
        Items whose discrimination is negative, as with a wrong gold answer. One item nobody solves and one that all
        solve are planted besides.
    n_samples, missing
        See `simulate_responses`.
    irt_model : Logistic, optional
        Default: 2PL.

    Raises
    ------
    ModelError
        If a size or standard deviation is out of range.

    Notes
    -----
    theta[r, s, t] = run_mean[r, t] + seed_effect[r, s] + step_effect[r, s, t], the effects normal with mean 0. All
    runs start alike, and their mean rises with the logarithm of the step; larger ones get further. Models carry ``run,
    seed, step, size`` (other models only ``size``), items ``subtask``.
    """
    sizes = {"n_runs": n_runs, "n_seeds": n_seeds, "n_steps": n_steps, "subtasks": subtasks, "n_samples": n_samples}
    _check_sizes(sizes, least=1)
    _check_sizes({"n_other_models": n_other_models, "n_mis_keyed": n_mis_keyed}, least=0)
    _check_sizes({"n_items": n_items}, least=max(n_mis_keyed + 2, subtasks))
    if not (seed_sd >= 0 and step_sd >= 0):
        raise ModelError(
            f"seed_sd is {seed_sd!r} and step_sd {step_sd!r}; standard deviations of at least 0 are needed."
        )
    irt_model = TwoPL() if irt_model is None else irt_model
    streams = np.random.default_rng(seed).spawn(6)
    trained = snapshots((n_runs, n_seeds, n_steps), seed_sd, step_sd, streams[0])
    models = pd.concat([trained, other_models(n_other_models, streams[1])])
    items = pd.DataFrame(index=pd.Index(numbered_labels("item", n_items), name=names.ITEM))
    items[names.SUBTASK] = np.array(numbered_labels("subtask", subtasks))[np.arange(n_items) * subtasks // n_items]
    shape = {names.MODEL: len(models), names.ITEM: n_items}
    given = {names.ABILITY: models[names.ABILITY].to_numpy()}
    values = draw_parameters(irt_model, shape, streams[2], given, HYPERPARAMETERS)
    reported = {name: values[name] for name in irt_model.dims}  # no hyperparameters: items are changed below
    values = plant_bad_items(shift_subtasks(reported, items[names.SUBTASK]), n_mis_keyed, streams[3])
    values |= {name: models[name].to_numpy() for name in PARTS_OF_ABILITY}
    values |= {"seed_sd": np.float64(seed_sd), "step_sd": np.float64(step_sd)}
    truth = _dataset(values, models.index, items.index)
    metadata = models[[names.RUN, names.SEED, names.STEP, "size"]].astype({names.SEED: "Int64", names.STEP: "Int64"})
    table = _answer(truth, metadata, items, n_samples=n_samples, missing=missing, streams=streams[4:])
    return _simulation(table, truth, irt_model, seed)


def response_probability(truth: xr.Dataset) -> xr.DataArray:
    """Probability of a right answer, shape (model, item), from abilities and item parameters by name."""
    known = xr.apply_ufunc(expit, log_odds(truth[names.ABILITY], truth[names.DISCRIMINATION], truth[names.DIFFICULTY]))
    probability: xr.DataArray = success_probability(
        known, truth.get(names.GUESSING, 0.0), truth.get(names.UPPER_ASYMPTOTE, 1.0)
    )
    return probability.transpose(names.MODEL, names.ITEM)


def _answer(
    truth: xr.Dataset,
    models: pd.DataFrame,
    items: pd.DataFrame,
    *,
    n_samples: int,
    missing: float,
    streams: Streams,
) -> ResponseTable:
    """Draw the answers and arrange them as a table, metadata beside them; cells never asked have no value."""
    if not 0 <= missing < 1:
        raise ModelError(f"missing is {missing!r}; a probability of at least 0 and below 1 is needed.")
    probability = response_probability(truth).to_numpy()
    right = streams[0].binomial(n_samples, probability).ravel()
    asked = streams[1].random(right.size) >= missing
    model, item = (place.ravel() for place in np.indices(probability.shape))
    frame = pd.DataFrame(
        {
            names.MODEL: pd.Categorical.from_codes(model, models.index),
            names.ITEM: pd.Categorical.from_codes(item, items.index),
        }
    )
    value = names.CORRECT if n_samples == 1 else names.N_CORRECT
    frame[value] = (
        right.astype(np.int8 if n_samples == 1 else np.int32) if asked.all() else np.where(asked, right, np.nan)
    )
    if n_samples > 1:
        frame[names.N_SAMPLES] = n_samples
    for metadata, at in ((models, model), (items, item)):
        for column in metadata:
            frame[column] = metadata[column].array[at]
    roles: dict[str, Role] = {**dict.fromkeys(models.columns, "model"), **dict.fromkeys(items.columns, "item")}
    return table_from_frame(frame, benchmark="simulated", roles=roles)


def _dataset(values: Mapping[str, Any], models: pd.Index, items: pd.Index) -> xr.Dataset:
    on_models = {names.ABILITY, *PARTS_OF_ABILITY}
    dims = {name: names.MODEL if name in on_models else names.ITEM for name, value in values.items() if np.ndim(value)}
    return xr.Dataset(
        {name: ((dims[name],) if name in dims else (), value) for name, value in values.items()},
        coords={names.MODEL: models.to_numpy(dtype=object), names.ITEM: items.to_numpy(dtype=object)},
    )


def _simulation(table: ResponseTable, truth: xr.Dataset, irt_model: Logistic, seed: int) -> Simulation:
    """Put the truth in the order of the table, whose labels are in natural order."""
    counts_order = {
        names.MODEL: table.models.index.to_numpy(dtype=object),
        names.ITEM: table.items.index.get_level_values(names.ITEM).to_numpy(dtype=object),
    }
    return Simulation(table, truth.sel(counts_order), irt_model, seed)


def _check_sizes(sizes: Mapping[str, int], *, least: int) -> None:
    for name, size in sizes.items():
        if size < least:
            raise ModelError(f"{name} is {size!r}; at least {least} is needed.")
