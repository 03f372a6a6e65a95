import json

import numpy as np
import pytest
from scipy.special import expit

from irt_bench import Beta, FourPL, HalfNormal, Hierarchical, IRTModel, Normal, OnePL, ThreePL, TwoPL, names
from irt_bench.errors import ModelError
from irt_bench.irt_models.logistic import (
    IRT_MODELS,
    irt_model_from_dict,
    irt_model_from_name,
    log_odds,
    success_probability,
)

VARIANTS = [
    *(kind() for kind in IRT_MODELS.values()),
    TwoPL(difficulty=Hierarchical(Normal(0.5, 1.0), HalfNormal(3.0))),
    OnePL(difficulty=Normal(0.0, 2.0), log_discrimination=Normal(0.0, 0.3)),
    TwoPL(difficulty=Normal(0.0, 3.0)),
    TwoPL(log_discrimination=Normal(0.0, 1.0)),
    ThreePL(guessing=0.25),
    FourPL(guessing=(0.1, 0.2, 0.3), upper_share=Beta(9.0, 1.0)),
]


def values_of(irt_model, rng, n_items=3):
    """Values of the sites as a program would draw them."""
    found = irt_model.known_parameters(n_items)
    for name, dim in irt_model.latent.items():
        size = None if dim is None else n_items
        found[name] = rng.uniform(0.1, 0.9, size) if name in ("guessing", "upper_share") else rng.normal(size=size)
    return found


def test_the_probability_of_a_right_answer_is_the_four_parameter_logistic():
    """Worked by hand: a = 2, theta - b = 0.5, c = 0.2, d = 0.9."""
    known = 1 / (1 + np.exp(-1.0))
    assert log_odds(1.5, 2.0, 1.0) == 1.0
    assert success_probability(expit(log_odds(1.5, 2.0, 1.0)), 0.2, 0.9) == pytest.approx(0.2 + 0.7 * known)


@pytest.mark.parametrize("irt_model", VARIANTS, ids=repr)
def test_every_model_keeps_the_contract(irt_model, rng):
    assert isinstance(irt_model, IRTModel)
    assert IRT_MODELS[irt_model.name] is type(irt_model)
    parameters = irt_model.item_parameters(values_of(irt_model, rng))
    assert {names.ABILITY, *parameters} == set(irt_model.dims)
    assert all(np.shape(value) == (3,) for value in parameters.values())
    assert (parameters[names.DISCRIMINATION] > 0).all()
    lower = parameters.get(names.GUESSING, np.zeros(3))
    upper = parameters.get(names.UPPER_ASYMPTOTE, np.ones(3))
    assert ((lower >= 0) & (lower < upper) & (upper <= 1)).all()


@pytest.mark.parametrize("irt_model", [TwoPL(), ThreePL(guessing=0.25), FourPL()], ids=lambda each: each.name)
def test_expected_scores_are_the_formula(irt_model):
    b, a, c, d, theta = np.array([0.5, -1.0]), np.array([1.2, 0.7]), 0.25, 0.9, np.array([0.3, -0.2, 2.0])
    items = {"difficulty": b, "discrimination": a}
    items |= {"guessing": np.full(2, c)} if irt_model.guessing is not None else {}
    items |= {"upper_asymptote": np.full(2, d)} if irt_model.upper_share is not None else {}
    low, high = c if "guessing" in items else 0.0, d if "upper_asymptote" in items else 1.0
    wanted = low + (high - low) / (1 + np.exp(-a * (theta[:, None] - b)))
    np.testing.assert_allclose(irt_model.expected_score(items, theta), wanted)
    stacked = {name: np.stack([value, value]) for name, value in items.items()}
    assert irt_model.expected_score(stacked, np.stack([theta, theta])).shape == (2, 3, 2)


@pytest.mark.parametrize("irt_model", VARIANTS, ids=repr)
def test_a_model_comes_back_from_json(irt_model):
    assert irt_model_from_dict(json.loads(json.dumps(irt_model.to_dict()))) == irt_model


def test_models_are_nested_as_their_names_say():
    assert set(OnePL().dims) == set(TwoPL().dims) < set(ThreePL().dims) < set(FourPL().dims)
    assert OnePL().latent["log_discrimination"] is None


@pytest.mark.parametrize("kind", IRT_MODELS.values())
def test_a_normal_prior_is_each_items_own_and_learns_no_mean_and_sd(kind):
    """Of the 1PL's slope it is the prior of one number: then, too, there is nothing over items."""
    irt_model = kind(difficulty=Normal(0.0, 3.0), log_discrimination=Normal(0.0, 1.0))
    dims = irt_model.latent
    assert not [name for name in dims if name.endswith(("_mean", "_sd"))]
    assert dims["difficulty"] == names.ITEM
    assert dims["log_discrimination"] == (None if irt_model.name == "1pl" else names.ITEM)
    assert "difficulty=Normal(loc=0.0, scale=3.0)" in repr(irt_model)
    assert irt_model.to_dict()["difficulty"] == {"loc": 0.0, "scale": 3.0}


@pytest.mark.parametrize("build", [lambda: Normal(float("nan"), 1.0), lambda: Normal(0.0, float("inf"))])
def test_normal_priors_that_are_none_are_refused(build):
    with pytest.raises(ModelError, match="finite number is needed"):
        build()


@pytest.mark.parametrize("name", IRT_MODELS)
def test_independent_priors_are_to_be_had_by_name(name):
    irt_model = irt_model_from_name(name, priors="independent")
    assert irt_model.name == name
    assert not [name for name in irt_model.latent if name.endswith(("_mean", "_sd"))]
    assert irt_model == irt_model_from_name(name).with_independent_priors() != irt_model_from_name(name)
    with pytest.raises(ModelError, match="Did you mean 'independent'"):
        irt_model_from_name(name, priors="independant")


def test_an_unknown_name_is_refused_with_the_choices():
    with pytest.raises(ModelError, match="IRT model '2PL' is not known. Did you mean '2pl'"):
        irt_model_from_name("2PL")


@pytest.mark.parametrize("guessing", [-0.1, 1.0, (0.2, 1.5)])
def test_guessing_out_of_range_is_refused(guessing):
    with pytest.raises(ModelError, match="must be at least 0 and below 1"):
        ThreePL(guessing=guessing)


@pytest.mark.parametrize("build", [lambda: Normal(0.0, 0.0), lambda: HalfNormal(-1.0), lambda: Beta(1.0, float("nan"))])
def test_priors_without_a_positive_scale_are_refused(build):
    with pytest.raises(ModelError, match="a positive finite number is needed"):
        build()


def test_as_many_known_guessings_as_items_are_needed():
    with pytest.raises(ModelError, match="guessing has 2 values for 3 items"):
        ThreePL(guessing=(0.1, 0.2)).known_parameters(3)


def test_guessing_is_fixed_from_a_number_or_from_the_number_of_choices():
    columns = {"n_choices": np.array([2, 4, 5])}
    assert ThreePL().with_guessing("0.25", columns).guessing == 0.25
    assert ThreePL().with_guessing("n_choices", columns).guessing == (0.5, 0.25, 0.2)


@pytest.mark.parametrize(
    ("irt_model", "value", "message"),
    [
        (TwoPL(), "0.25", "the 2pl model has no guessing; choose 3pl or 4pl"),
        (ThreePL(), "n_choice", "Did you mean 'n_choices'"),
        (ThreePL(), "bad", "must hold the number of choices, 2 or more, of every item; 1 items have none"),
        (ThreePL(), "1.5", "must be at least 0 and below 1"),
    ],
)
def test_guessing_that_cannot_be_is_refused(irt_model, value, message):
    columns = {"n_choices": np.array([2, 4, 5]), "bad": np.array([2, 4, np.nan])}
    with pytest.raises(ModelError, match=message):
        irt_model.with_guessing(value, columns)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: OnePL(log_discrimination=TwoPL().log_discrimination), "use TwoPL or ThreePL or FourPL"),
        (lambda: TwoPL(difficulty=HalfNormal(3)), "TwoPL has difficulty=HalfNormal"),
        (lambda: TwoPL(guessing=0.2), "None is needed; use ThreePL or FourPL"),
        (lambda: ThreePL(guessing=None), "use OnePL or TwoPL"),
        (lambda: ThreePL(guessing=True), "guessing=True"),
        (lambda: ThreePL(upper_share=Beta(9.0, 1.0)), "use FourPL"),
        (lambda: FourPL(upper_share=0.9), "Beta is needed"),
    ],
)
def test_priors_of_another_kind_are_refused_and_the_model_that_has_them_is_named(build, message):
    with pytest.raises(ModelError, match=message):
        build()
