import numpy as np
import pytest

from irt_bench import OnePL, ThreePL, TwoPL
from irt_bench.inference.draws import Draws, label_draws, label_stats, reported

CHAINS, DRAWS, M, J = 2, 3, 4, 5


@pytest.fixture
def counts(simulate_counts, make_counts):
    """Answers of some models to some items."""
    return make_counts(*simulate_counts(M, J))


def drawn(rng, irt_model, counts):
    sizes = {None: (), "model": (counts.n_models,), "item": (counts.n_items,)}
    sites = {name: rng.random((CHAINS, DRAWS, *sizes[dim])) for name, dim in irt_model.latent.items()}
    values = reported(irt_model, sites, counts.n_items)
    dims = {0: (), M: ("model",), J: ("item",)}
    return Draws(values, {name: dims[array.shape[2] if array.ndim > 2 else 0] for name, array in values.items()})


@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL(), ThreePL(guessing=0.25)], ids=lambda model: model.name)
def test_draws_carry_the_labels_of_models_and_items(rng, counts, irt_model):
    draws = drawn(rng, irt_model, counts)
    found = label_draws(draws, counts)
    assert list(found.model.values) == list(counts.models.index) and list(found.item.values) == list(counts.items.index)
    np.testing.assert_array_equal(found["ability"], draws.sites["ability"])
    assert found["discrimination"].dims == ("chain", "draw", "item")
    log_slope = draws.sites["log_discrimination"]
    expected = np.exp(log_slope if log_slope.ndim == 3 else log_slope[..., None])
    np.testing.assert_allclose(found["discrimination"], np.broadcast_to(expected, (CHAINS, DRAWS, J)))
    if irt_model.name == "3pl":
        assert (found["guessing"] == 0.25).all() and found["guessing"].shape == (CHAINS, DRAWS, J)


def test_the_hierarchy_is_labelled_by_chain_and_draw(rng, counts):
    found = label_draws(drawn(rng, TwoPL(), counts), counts)
    assert found["difficulty_mean"].dims == ("chain", "draw")


def test_statistics_are_by_step_or_by_chain_and_draw():
    found = label_stats({"elbo": np.zeros(7), "diverging": np.zeros((CHAINS, DRAWS), dtype=bool)})
    assert found["elbo"].dims == ("step",) and found["diverging"].dims == ("chain", "draw")
