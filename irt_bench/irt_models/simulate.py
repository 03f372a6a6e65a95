"""IRT model + known parameters → responses: what recovery tests, power statements and the demo are made of.

`simulate_responses` draws one matrix; `simulate_benchmark` draws training runs with several seeds and steps beside
other models, and plants bad items. Every kind of draw has its own stream of random numbers, so that a parameter given,
or cells left out, leave the other parameters and answers as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench import names
from irt_bench.arrays import FloatArray
from irt_bench.errors import ModelError, unknown_choice
from irt_bench.irt_models.logistic import ABILITY_PRIOR, LOG_DISCRIMINATION, Logistic, TwoPL
from irt_bench.irt_models.model import Beta, HalfNormal, Normal, ScoreModel, draw_cells
from irt_bench.irt_models.multidimensional import Multidimensional, draw_profiles
from irt_bench.irt_models.populations import OTHER_MEAN, OTHER_SD, Population
from irt_bench.responses.canonical import Role, table_from_frame
from irt_bench.responses.table import ResponseTable

HYPERPARAMETERS: Final[Mapping[str, float]] = {
    "difficulty_mean": 0.0,
    "difficulty_sd": 1.2,  # most items between 3% and 97% right at average ability
    "log_discrimination_mean": 0.0,
    "log_discrimination_sd": 0.4,  # 90% of slopes in [0.5, 1.9]
    LOG_DISCRIMINATION: 0.0,  # the 1PL's one slope: exp(0) = 1
    "loading_mean": 0.8,
    "loading_sd": 0.6,
    "intercept_mean": 0.0,
    "intercept_sd": 1.2,
}
PARTS_OF_ABILITY: Final = ("run_mean", "seed_effect", "step_effect")
PLANTED: Final = "planted"  # truth, one per item: "" or one of the three below
MIS_KEYED: Final = "mis_keyed"
NEVER_SOLVED: Final = "never_solved"
ALWAYS_SOLVED: Final = "always_solved"
UNTRAINED: Final = -1.5  # mean ability before the first step
TRAINED: Final = (-0.4, 1.0)  # mean ability after the last step, of the smallest and the largest run
STEP_SIZE: Final = 1000
SIZES: Final = ("1B", "3B", "7B", "13B", "30B", "70B")
SIZE_NOISE: Final = 0.7  # sd on the ability scale: larger models are mostly, not always, better
SUBTASK_SHIFT: Final = 0.8  # difference in mean difficulty between the first and the last subtask
OUT_OF_REACH: Final = 12.0  # |difficulty| with a slope of 2: below 1e-7 of the answers are surprises
MIN_MIS_KEYED_SLOPE: Final = 0.8  # clearly negative, and not hidden by an extreme difficulty
Streams = Sequence[np.random.Generator]


def draw_parameters(
    irt_model: Logistic,
    sizes: Mapping[str, int],
    rng: np.random.Generator,
    given: Mapping[str, npt.ArrayLike],
    hyperparameters: Mapping[str, float],
) -> dict[str, Any]:
    """Ability, item parameters and hyperparameters: all sites are drawn, then those given take their place."""
    arrays = {name: _given(name, value, irt_model, sizes) for name, value in given.items()}
    shared = [name for name, dim in irt_model.latent.items() if dim is None]
    for name in hyperparameters:
        if name not in {*shared, *HYPERPARAMETERS}:
            raise ModelError(unknown_choice("hyperparameter", name, shared))
    fixed = {**arrays, **{name: np.float64(value) for name, value in hyperparameters.items() if name in shared}}
    values: dict[str, Any] = irt_model.known_parameters(sizes[names.ITEM])
    for (name, dim), stream in zip(irt_model.latent.items(), rng.spawn(len(irt_model.latent)), strict=True):
        drawn = _draw(irt_model, name, values, None if dim is None else sizes[dim], stream)
        values[name] = fixed.get(name, drawn)
    if irt_model.population is not None and irt_model.design is not None:
        drawn = irt_model.design.draw(rng.spawn(1)[0])
        prior, named = irt_model.design.prior(drawn), irt_model.design.unpack(drawn)
        values[names.ABILITY] = fixed.get(names.ABILITY, prior.mean + prior.sd * values[names.ABILITY])
        arrays |= named | irt_model.population.reported(named)
    found = {names.ABILITY: values[names.ABILITY], **irt_model.item_parameters(values), **arrays}
    _check_asymptotes(found)
    return found | {name: values[name] for name in shared if not any(parameter in name for parameter in arrays)}


def _given(name: str, value: npt.ArrayLike, irt_model: Logistic, sizes: Mapping[str, int]) -> FloatArray:
    if name not in irt_model.dims:
        raise ModelError(unknown_choice(f"parameter of the {irt_model.name} model", name, irt_model.dims))
    array = np.array(value, dtype=np.float64)
    size = sizes[irt_model.dims[name]]
    if array.shape not in ((), (size,)) or not np.isfinite(array).all():
        raise ModelError(
            f"{name} has shape {array.shape}{'' if np.isfinite(array).all() else ' and values that are not finite'}; "
            f"one finite number, or {size} of them, one for each {irt_model.dims[name]}, are needed."
        )
    return np.broadcast_to(array, (size,)).copy()


def _check_asymptotes(values: Mapping[str, Any]) -> None:
    lower, upper = values.get(names.GUESSING, 0.0), values.get(names.UPPER_ASYMPTOTE, 1.0)
    if not (np.all(lower >= 0) and np.all(lower < upper) and np.all(upper <= 1)):
        raise ModelError("asymptotes must satisfy 0 <= guessing < upper_asymptote <= 1 in every item.")


def _draw(irt_model: Logistic, name: str, values: Mapping[str, Any], size: int | None, rng: np.random.Generator) -> Any:
    """Draw a latent quantity from its prior, given those before it."""
    field, _, part = name.rpartition("_")
    if part in ("mean", "sd"):
        prior = getattr(getattr(irt_model, field), part)
    elif f"{name}_sd" in values:
        prior = Normal(values[f"{name}_mean"], values[f"{name}_sd"])
    else:
        prior = ABILITY_PRIOR if name == names.ABILITY else getattr(irt_model, name)
    match prior:
        case Normal(loc=loc, scale=scale):
            return rng.normal(loc, scale, size)
        case HalfNormal(scale=scale):
            return np.abs(rng.normal(0.0, scale, size))
        case Beta(successes=successes, failures=failures):
            return rng.beta(successes, failures, size)


def checkpoints(shape: tuple[int, int, int], seed_sd: float, step_sd: float, rng: np.random.Generator) -> pd.DataFrame:
    """Every (run, seed, step) with its ability and the parts it is made of, indexed by model label."""
    n_runs, n_seeds, n_steps = shape
    run, seed, step = (place.ravel() for place in np.indices(shape))
    final = np.linspace(*TRAINED, n_runs)
    progress = np.log1p(np.arange(1, n_steps + 1)) / np.log1p(n_steps)
    run_mean = UNTRAINED + (final[run] - UNTRAINED) * progress[step]
    seed_effect = rng.normal(0.0, 1.0, (n_runs, n_seeds))[run, seed] * seed_sd
    step_effect = rng.normal(0.0, 1.0, shape).ravel() * step_sd
    frame = pd.DataFrame(
        {
            names.RUN: np.array(numbered_labels("run", n_runs))[run],
            names.SEED: seed + 1,
            names.STEP: (step + 1) * STEP_SIZE,
            "size": np.array(SIZES)[run * len(SIZES) // max(n_runs, len(SIZES))],
            names.ABILITY: run_mean + seed_effect + step_effect,
            "run_mean": run_mean,
            "seed_effect": seed_effect,
            "step_effect": step_effect,
        }
    )
    # As `responses.labels` would name checkpoints of one model.
    labels = [
        f"{r}[seed={s},step={t}]"
        for r, s, t in zip(frame[names.RUN], frame[names.SEED], frame[names.STEP], strict=True)
    ]
    return frame.set_axis(pd.Index(labels, name=names.MODEL), axis=0)


def other_models(n_models: int, rng: np.random.Generator) -> pd.DataFrame:
    """Independent models, ability ~ N(0, 1), with sizes that mostly rise with it, indexed by model label."""
    ability = rng.normal(size=n_models)
    place = np.argsort(np.argsort(ability + rng.normal(0.0, SIZE_NOISE, n_models)))
    sizes = np.array(SIZES)[place * len(SIZES) // max(n_models, 1)]
    labels = pd.Index(numbered_labels("other", n_models), name=names.MODEL, dtype="str")
    return pd.DataFrame({"size": sizes, names.ABILITY: ability}, index=labels)


def shift_subtasks(values: Mapping[str, Any], subtask: pd.Series) -> dict[str, Any]:
    """Make each subtask harder than the one before it."""
    codes, labels = pd.factorize(subtask)
    shift = SUBTASK_SHIFT * (codes / max(len(labels) - 1, 1) - 0.5)
    return {**values, names.DIFFICULTY: values[names.DIFFICULTY] + shift}


def plant_bad_items(values: Mapping[str, Any], n_mis_keyed: int, rng: np.random.Generator) -> dict[str, Any]:
    """Turn some items, chosen at random, into mis-keyed ones, one that nobody and one that everybody solves."""
    new = {name: np.array(value) for name, value in values.items()}
    n_items = len(new[names.DIFFICULTY])
    places = rng.permutation(n_items)[: n_mis_keyed + 2]
    never, always, wrong = places[0], places[1], places[2:]
    new[PLANTED] = np.full(n_items, "", dtype=object)
    new[PLANTED][never], new[PLANTED][always], new[PLANTED][wrong] = NEVER_SOLVED, ALWAYS_SOLVED, MIS_KEYED
    new[names.DIFFICULTY][[never, always]] = OUT_OF_REACH, -OUT_OF_REACH
    new[names.DISCRIMINATION][[never, always]] = 2.0
    if names.GUESSING in new:
        new[names.GUESSING][never] = 0.0
    if names.UPPER_ASYMPTOTE in new:
        new[names.UPPER_ASYMPTOTE][always] = 1.0
    new[names.DIFFICULTY][wrong] = np.clip(new[names.DIFFICULTY][wrong], -1, 1)
    new[names.DISCRIMINATION][wrong] = -np.maximum(new[names.DISCRIMINATION][wrong], MIN_MIS_KEYED_SLOPE)
    return new


def numbered_labels(kind: str, n: int) -> list[str]:
    """Labels kind-1, kind-2, ..., of one length, so that their natural and their alphabetic order agree."""
    return [f"{kind}-{number:0{len(str(n))}d}" for number in range(1, n + 1)]


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
        Seed of the random numbers.
    """

    table: ResponseTable
    truth: xr.Dataset
    irt_model: Logistic | Multidimensional | ScoreModel
    seed: int


def simulate_responses(
    irt_model: Logistic | Multidimensional | ScoreModel,
    *,
    n_models: int,
    n_items: int,
    seed: int,
    n_samples: int = 1,
    missing: float = 0.0,
    models: pd.DataFrame | None = None,
    parameters: Mapping[str, npt.ArrayLike] | None = None,
    hyperparameters: Mapping[str, float] = HYPERPARAMETERS,
) -> Simulation:
    """Simulate the answers of models to items.

    Parameters
    ----------
    irt_model : Logistic, Multidimensional or ScoreModel
        Parameters are drawn from its priors, and its formula gives the probability of a right answer or a score. The
        dimensions of a model with several abilities become the items' column ``subtask``.
    n_models, n_items : int
        Size of the matrix.
    seed : int
        Same seed, same responses.
    n_samples : int
        Answers of a model per item; above 1, the table holds ``n_correct`` of ``n_samples``.
    missing : float
        Probability that a model was not asked an item, in [0, 1), independent of everything else.
    models : pd.DataFrame, optional
        Metadata of the models, indexed by label, such as the groups that a model with a population draws them from.
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

    From groups:

    >>> import pandas as pd
    >>> from irt_bench import Groups
    >>> families = pd.DataFrame({"family": list("ab") * 15}, index=[f"model-{number}" for number in range(30)])
    >>> of_groups = TwoPL(population=Groups("family"))
    >>> simulation = simulate_responses(of_groups, n_models=30, n_items=20, seed=1, models=families)
    >>> simulation.truth["group_mean"].dims
    ('group',)
    """
    _check_sizes({"n_models": n_models, "n_items": n_items, "n_samples": n_samples}, least=1)
    streams = np.random.default_rng(seed).spawn(3)
    sizes = {names.MODEL: n_models, names.ITEM: n_items}
    if models is None:
        models = pd.DataFrame(index=pd.Index(numbered_labels("model", n_models), name=names.MODEL))
    elif len(models) != n_models or not models.index.is_unique:
        raise ModelError(f"models has {len(models)} rows for {n_models} models; one per model is needed, each once.")
    items = pd.DataFrame(index=pd.Index(numbered_labels("item", n_items), name=names.ITEM))
    given = parameters or {}
    if isinstance(irt_model, ScoreModel):
        items = irt_model.item_metadata(items.index)
        truth = irt_model.draw_truth(models.index, items.index, streams[0], given, hyperparameters)
        scores = irt_model.draw_scores(_of_items(truth), truth[names.ABILITY].to_numpy(), streams[1])
        columns = irt_model.score_columns(scores)
        table = _arrange(columns, models, items, streams[2].random(scores.size) >= _checked_share(missing))
        return _simulation(table, truth, irt_model, seed)
    if isinstance(irt_model, Multidimensional):
        if (of_items := irt_model.item_labels(n_items)) is not None:
            items[names.SUBTASK] = of_items
        population = {**HYPERPARAMETERS, **hyperparameters}
        truth = draw_profiles(irt_model, models.index, items.index, streams[0], given, population)
    else:
        models = models.set_axis(models.index.astype(str))
        irt_model = irt_model.for_models(models, np.ones(n_models, dtype=bool))
        values = draw_parameters(irt_model, sizes, streams[0], given, hyperparameters)
        truth = _dataset(values, models.index, items.index, irt_model.population)
    table = _answer(irt_model, truth, models, items, n_samples=n_samples, missing=missing, streams=streams[1:])
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
    trained = checkpoints((n_runs, n_seeds, n_steps), seed_sd, step_sd, streams[0])
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
    table = _answer(irt_model, truth, metadata, items, n_samples=n_samples, missing=missing, streams=streams[4:])
    return _simulation(table, truth, irt_model, seed)


def response_probability(irt_model: Logistic | Multidimensional, truth: xr.Dataset) -> FloatArray:
    """Probability of a right answer, (model, item)."""
    return np.asarray(irt_model.expected_score(_of_items(truth), truth[names.ABILITY].to_numpy()))


def _of_items(truth: xr.Dataset) -> dict[str, Any]:
    return {str(name): array.to_numpy() for name, array in truth.data_vars.items() if names.ITEM in array.dims}


def _answer(
    irt_model: Logistic | Multidimensional,
    truth: xr.Dataset,
    models: pd.DataFrame,
    items: pd.DataFrame,
    *,
    n_samples: int,
    missing: float,
    streams: Streams,
) -> ResponseTable:
    """Draw the answers and arrange them as a table, metadata beside them; cells never asked have no value."""
    probability = response_probability(irt_model, truth)
    if names.DISPERSION in truth:
        probability = draw_cells(probability, float(truth[names.DISPERSION]), streams[0])
    right = streams[0].binomial(n_samples, probability).ravel()
    asked = streams[1].random(right.size) >= _checked_share(missing)
    columns = {names.CORRECT if n_samples == 1 else names.N_CORRECT: right.astype(np.int8 if n_samples == 1 else "i4")}
    if n_samples > 1:
        columns[names.N_SAMPLES] = np.full(right.size, n_samples)
    return _arrange(columns, models, items, asked)


def _checked_share(missing: float) -> float:
    if not 0 <= missing < 1:
        raise ModelError(f"missing is {missing!r}; a probability of at least 0 and below 1 is needed.")
    return missing


def _arrange(
    columns: Mapping[str, Any], models: pd.DataFrame, items: pd.DataFrame, asked: npt.NDArray[np.bool_]
) -> ResponseTable:
    """Arrange values of all cells, the first column, as a table; cells never asked have none."""
    model, item = (place.ravel() for place in np.indices((len(models), len(items))))
    frame = pd.DataFrame(
        {
            names.MODEL: pd.Categorical.from_codes(model, models.index),
            names.ITEM: pd.Categorical.from_codes(item, items.index),
            **columns,
        }
    )
    if not asked.all():
        value = next(iter(columns))
        frame[value] = np.where(asked, frame[value], np.nan)
    for metadata, at in ((models, model), (items, item)):
        for column in metadata:
            frame[column] = metadata[column].array[at]
    roles: dict[str, Role] = {**dict.fromkeys(models.columns, "model"), **dict.fromkeys(items.columns, "item")}
    return table_from_frame(frame, benchmark="simulated", roles=roles)


def _dataset(
    values: Mapping[str, Any], models: pd.Index, items: pd.Index, population: Population | None = None
) -> xr.Dataset:
    on_models = {names.ABILITY, *PARTS_OF_ABILITY}
    dims = {name: names.MODEL if name in on_models else names.ITEM for name, value in values.items() if np.ndim(value)}
    labels = {names.MODEL: models.to_numpy(dtype=object), names.ITEM: items.to_numpy(dtype=object)}
    if population is not None:
        values = {name: value for name, value in values.items() if name not in (OTHER_MEAN, OTHER_SD)}
        dims |= population.dims
        labels |= {dim: np.array(each, dtype=object) for dim, each in population.coordinates.items()}
    return xr.Dataset(
        {name: ((dims[name],) if name in dims else (), value) for name, value in values.items()}, coords=labels
    )


def _simulation(
    table: ResponseTable, truth: xr.Dataset, irt_model: Logistic | Multidimensional | ScoreModel, seed: int
) -> Simulation:
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
