"""Models with several abilities: patterns, rotation, and draws in one frame."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.decomposition._factor_analysis import _ortho_rotation

from irt_bench import (
    BifactorTwoPL,
    ConfirmatoryTwoPL,
    HalfNormal,
    Hierarchical,
    LaplaceSettings,
    MultidimensionalTwoPL,
    Normal,
    fit,
    simulate_responses,
)
from irt_bench.errors import ModelError
from irt_bench.irt_models.multidimensional import Slots, multidimensional_from_dict, oblimin, varimax

ITEMS = pd.DataFrame(
    {"topic": ["a", "a;b", "b", "b"], "passage": ["p", "p", None, "q"]}, index=["i1", "i2", "i3", "i4"]
)


def test_varimax_is_that_of_another_library():
    loading = np.random.default_rng(1).normal(size=(40, 3)) @ np.diag([2.0, 1.0, 0.5])
    rotation = varimax(loading)
    assert np.allclose(rotation.T @ rotation, np.eye(3))
    expected = _ortho_rotation(loading, method="varimax", tol=1e-10, max_iter=500).T
    for column in (loading @ rotation).T:
        assert np.abs(np.abs(column @ expected) / (np.linalg.norm(column) * np.linalg.norm(expected, axis=0))).max() > (
            1 - 1e-6
        )


def test_varimax_finds_simple_structure_from_any_start():
    simple = np.kron(np.eye(3), np.array([[1.5], [1.0], [0.8]]))
    for seed in range(5):
        turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
        found = np.abs(simple @ turn @ varimax(simple @ turn))
        assert np.allclose(np.sort(found, axis=1)[:, :2], 0, atol=1e-4)


# Rotator(method="oblimin", normalize=False, gamma=0) of factor_analyzer 0.5.1 on `crossed_loadings`.
OBLIMIN = [
    [1.5951, 0.1297], [1.0564, -0.1095], [0.8451, -0.0876], [1.2676, -0.1314], [0.0528, 1.4702], [-0.1761, 1.002],
    [0.0282, 0.7841], [0.0422, 1.1761],
]  # fmt: skip
OBLIMIN_CORRELATION = 0.5528


def crossed_loadings():
    loading = np.kron(np.eye(2), np.array([[1.5], [1.0], [0.8], [1.2]]))
    loading[0, 1], loading[5, 0] = 0.3, -0.2
    return loading @ np.linalg.cholesky([[1, 0.5], [0.5, 1]])


def test_oblimin_is_that_of_another_library():
    loading = crossed_loadings()
    turn = varimax(loading)
    turn = turn @ oblimin(loading @ turn)
    axes = np.linalg.inv(turn).T
    np.testing.assert_allclose(loading @ turn, OBLIMIN, atol=2e-4)
    np.testing.assert_allclose(axes.T @ axes, [[1, OBLIMIN_CORRELATION], [OBLIMIN_CORRELATION, 1]], atol=2e-4)


def test_oblimin_finds_simple_structure_and_the_correlations():
    simple = np.kron(np.eye(3), np.array([[1.5], [1.0], [0.8]]))
    correlation = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, -0.3], [0.2, -0.3, 1.0]])
    loading = simple @ np.linalg.cholesky(correlation)
    turn = varimax(loading)
    turn = turn @ oblimin(loading @ turn)
    axes = np.linalg.inv(turn).T
    np.testing.assert_allclose(np.sort(np.abs(loading @ turn), axis=1)[:, :2], 0, atol=1e-3)
    found = np.sort(np.abs((axes.T @ axes)[np.triu_indices(3, 1)]))
    np.testing.assert_allclose(found, [0.2, 0.3, 0.5], atol=1e-3)


@pytest.fixture(scope="module")
def correlated():
    """Answers of models with two abilities of correlation .6 to items on one of them each."""
    model = ConfirmatoryTwoPL(dimensions=tuple([("a",)] * 15 + [("b",)] * 15))
    given = {"ability_correlation": np.array([[1.0, 0.6], [0.6, 1.0]])}
    return simulate_responses(model, n_models=500, n_items=30, seed=2, parameters=given)


def exploratory(made, rotation):
    model = MultidimensionalTwoPL(dimensions=2, rotation=rotation)
    return fit(made.table, model, LaplaceSettings(refine=False, draws=200), seed=1, model_clusters=False)


def test_correlated_abilities_are_found_with_intervals_by_oblimin(correlated):
    found = exploratory(correlated, "oblimin")
    drawn = found.posterior["ability_correlation"].to_numpy()[0, :, 0, 1]
    print(drawn.mean(), np.quantile(drawn, [0.05, 0.95]))
    assert drawn.mean() == pytest.approx(0.6, abs=0.12)
    assert 0.01 < np.ptp(np.quantile(drawn, [0.05, 0.95])) < 0.4
    loading = found.posterior["loading"].mean(("chain", "draw")).to_numpy()
    crossed = np.sort(np.abs(loading), axis=1)[:, 0].mean()
    upright = exploratory(correlated, "varimax")
    other = np.sort(np.abs(upright.posterior["loading"].mean(("chain", "draw")).to_numpy()), axis=1)[:, 0].mean()
    assert crossed < 0.18 and other > 1.5 * crossed  # the control: uncorrelated ones have loadings on both
    chances = [each.irt_model.expected_score(last_draw(each), last_draw(each)["ability"]) for each in (found, upright)]
    np.testing.assert_allclose(*chances, atol=1e-4)
    scores = found.score(correlated.table)["ability"]
    assert np.corrcoef(scores, found.abilities()["ability"])[0, 1] > 0.98


def last_draw(fitted):
    posterior = fitted.posterior.isel(chain=0, draw=-1)
    return {name: posterior[name].to_numpy().astype(float) for name in ("loading", "intercept", "ability")}


def test_confirmatory_dimensions_come_from_a_column_a_mapping_or_a_sequence():
    expected = [[1, 0], [1, 1], [0, 1], [0, 1]]
    for given in ("topic", {"a": ["i1", "i2"], "b": ["i2", "i3", "i4"]}, (("a",), ("a", "b"), ("b",), ("b",))):
        model = ConfirmatoryTwoPL(dimensions=given).for_items(ITEMS)
        assert model.dimension_names == ["a", "b"]
        assert model.pattern(4).tolist() == np.array(expected, dtype=bool).tolist()
    assert Slots.from_pattern(model.pattern(4)).dimension.T.tolist() == [[0, 2], [0, 1], [1, 2], [1, 2]]


def test_items_without_a_group_have_the_general_ability_alone():
    model = BifactorTwoPL(groups="passage").for_items(ITEMS)
    assert model.dimension_names == ["general", "p", "q"]
    assert model.pattern(4).sum(axis=1).tolist() == [2, 2, 1, 2]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (BifactorTwoPL(groups="chapter"), "item column 'chapter'"),
        (BifactorTwoPL(groups=("a", "b", "c", "d")), "none with two items"),
        (ConfirmatoryTwoPL(dimensions="passage"), "'i3' has no value"),
        (ConfirmatoryTwoPL(dimensions={"a": ["i1", "i5"]}), "'i5'"),
        (ConfirmatoryTwoPL(dimensions={"a": ["i1", "i2"]}), "item number 3 has no dimension"),
        (ConfirmatoryTwoPL(dimensions=(("a",),)), "for 1 items, and there are 4"),
    ],
)
def test_patterns_that_do_not_fit_the_items_are_refused(model, message):
    with pytest.raises(ModelError, match=message):
        model.for_items(ITEMS)


@pytest.mark.parametrize("fields", [{"dimensions": 0}, {"dimensions": 21}, {"rotation": "variimax"}])
def test_wrong_fields_are_refused(fields):
    with pytest.raises(ModelError):
        MultidimensionalTwoPL(**fields)


@pytest.mark.parametrize(
    "model",
    [
        MultidimensionalTwoPL(dimensions=3, loading=Hierarchical(Normal(0.5, 1.0), HalfNormal(0.5))),
        ConfirmatoryTwoPL(dimensions="topic").for_items(ITEMS),
        BifactorTwoPL(groups="passage").for_items(ITEMS),
    ],
)
def test_a_model_is_rebuilt_from_json(model):
    assert multidimensional_from_dict(json.loads(json.dumps(model.to_dict()))) == model


def turned_draws(rng, n_draws=50, n_items=30, n_models=20):
    """The same loadings and abilities in every draw, each turned and reflected by chance, with a little noise."""
    loading, ability = rng.normal(0.5, 1, (n_items, 3)), rng.normal(size=(n_models, 3))
    turns = np.linalg.qr(rng.normal(size=(n_draws, 3, 3)))[0]
    sites = {"ability": ability @ turns, "loading": loading @ turns + 0.01 * rng.normal(size=(n_draws, n_items, 3))}
    arrays = {
        name: (("chain", "draw", "dimension", "model" if name == "ability" else "item"), value.swapaxes(1, 2)[None])
        for name, value in sites.items()
    }
    arrays["intercept"] = ("chain", "draw", "item"), np.zeros((1, n_draws, n_items))
    coords = {"model": np.arange(n_models).astype(str), "item": np.arange(n_items).astype(str)}
    return xr.Dataset(arrays, coords=coords), loading, ability


@pytest.mark.parametrize("rotation", ["varimax", "none"])
def test_draws_turned_by_chance_come_to_one_frame_and_curves_stay(rotation):
    drawn, loading, ability = turned_draws(np.random.default_rng(3))
    found = MultidimensionalTwoPL(dimensions=3, rotation=rotation).oriented(drawn)
    assert found["loading"].dims == ("chain", "draw", "item", "dimension")
    assert found["ability"].dims == ("chain", "draw", "model", "dimension")
    assert float(found["loading"].std("draw").max()) < 0.05  # turned by chance they have sds of one
    mean = found["loading"].mean(("chain", "draw")).to_numpy()
    assert (mean.sum(axis=0) > 0).all()
    assert (np.diff((mean**2).sum(axis=0)) <= 0).all()
    product = found["ability"][0, 0].to_numpy() @ found["loading"][0, 0].to_numpy().T
    assert np.allclose(product, ability @ loading.T, atol=0.2)


def test_signs_of_dimensions_that_may_not_be_rotated_agree_over_draws():
    drawn, loading, _ = turned_draws(np.random.default_rng(4))
    signs = np.random.default_rng(5).choice([-1.0, 1.0], (1, 50, 3, 1))
    mine = xr.zeros_like(drawn["loading"]) + loading.T
    correlation = signs[0, :, :, 0][None, :, :, None] * signs[0, :, :, 0][None, :, None, :] * 0.5
    drawn = drawn.assign(
        loading=mine * signs,
        ability=drawn["ability"] * 0 + signs,
        ability_correlation=(("chain", "draw", "one", "two"), correlation),
    )
    found = ConfirmatoryTwoPL(dimensions=tuple([("a", "b", "c")] * 30)).oriented(drawn)
    assert float(found["loading"].std("draw").max()) < 1e-6
    assert float(found["ability_correlation"].std("draw").max()) < 1e-6
    assert found["dimension"].to_numpy().tolist() == ["a", "b", "c"]


def test_simulated_profiles_are_answered_as_the_formula_says():
    model = BifactorTwoPL(groups=tuple(["a"] * 40 + ["b"] * 40 + [""] * 20))
    made = simulate_responses(model, n_models=400, n_items=100, seed=1)
    truth = made.truth
    chance = model.expected_score({"loading": truth["loading"], "intercept": truth["intercept"]}, truth["ability"])
    counts = made.table.counts()
    assert counts.items["subtask"].value_counts(dropna=False).to_dict() == {"a": 40, "b": 40, np.nan: 20}
    away = (counts.correct - chance) / np.sqrt(chance * (1 - chance))
    assert abs(away.mean()) < 0.02 and abs(away.std() - 1) < 0.02
    again = simulate_responses(model, n_models=400, n_items=100, seed=1)
    assert (again.table.counts().correct == counts.correct).all()
    with pytest.raises(ModelError, match="ability has shape"):
        simulate_responses(model, n_models=4, n_items=100, seed=1, parameters={"ability": np.zeros((4, 2))})
