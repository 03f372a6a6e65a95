import numpy as np
import pandas as pd
import pytest
import xarray as xr

from irt_bench.analysis.agreement import compare_ability_accuracy
from irt_bench.analysis.classical import item_statistics
from irt_bench.errors import UndefinedWarning
from irt_bench.irt_models.simulate import simulate_benchmark


@pytest.fixture(scope="session")
def simulation():
    return simulate_benchmark(seed=1, n_seeds=3, n_steps=3, n_items=60)


@pytest.fixture(scope="session")
def statistics(simulation):
    with pytest.warns(UndefinedWarning):
        return item_statistics(simulation.table.counts())


@pytest.fixture(scope="session")
def comparison(simulation):
    truth = simulation.truth
    rng = np.random.default_rng(0)
    noise = xr.DataArray(rng.normal(0, 0.3, (1, 200, truth.sizes["model"])), dims=("chain", "draw", "model"))
    every = xr.zeros_like(noise.isel(model=0, drop=True))
    posterior = xr.Dataset({"ability": truth["ability"] + noise, "difficulty": truth["difficulty"] + every})
    posterior["discrimination"] = np.abs(truth["discrimination"]) + every
    return compare_ability_accuracy(posterior, simulation.table.counts(), n_resamples=50)


def with_limits(frame, half=0.2):
    columns = {f"{name}{end}": frame[name] + sign * half for name in frame for end, sign in (("_q05", -1), ("_q95", 1))}
    return frame.assign(**columns)


@pytest.fixture(scope="session")
def made_abilities():

    def made(n, labels=None):
        index = pd.Index([f"model-{number}" for number in range(n)] if labels is None else labels, name="model")
        ability = np.linspace(-2, 2, n)
        table = with_limits(pd.DataFrame({"ability": ability, "relative_ability": ability}, index=index))
        rank = np.arange(n, 0, -1.0)
        return table.assign(accuracy=0.5, rank=rank, p_first_abler=np.where(rank == 1, np.nan, 0.6 + 0.4 * rank / n))

    return made


@pytest.fixture(scope="session")
def made_items():

    def made(n, slope=None, labels=None):
        rng = np.random.default_rng(n)
        index = pd.Index([f"item-{number}" for number in range(n)] if labels is None else labels, name="item")
        slopes = np.exp(rng.normal(0, 0.5, n)) if slope is None else np.full(n, slope)
        return with_limits(
            pd.DataFrame({"difficulty": rng.normal(size=n), "discrimination": slopes}, index=index), 0.05
        )

    return made


@pytest.fixture(scope="session")
def all_axes():
    """Axes of a figure and of its subfigures, from top to bottom."""

    def found(figure):
        return [axes for part in ([figure, *figure.subfigs]) for axes in part.axes] if not figure.axes else figure.axes

    return found


@pytest.fixture(scope="session")
def marks():
    """Places of the points with a label that begins so."""

    def found(axes, label):
        found = [points for points in axes.collections if str(points.get_label()).startswith(label)]
        return np.concatenate([points.get_offsets() for points in found]) if found else np.empty((0, 2))

    return found


@pytest.fixture(scope="session")
def texts():
    """All text in a figure."""

    def found(figure):
        return " | ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))

    return found
