"""Estimates of another program: mirt for Python 1.2.0 (from PyPI, not R's), on data drawn here without this package."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit

from irt_bench import BifactorTwoPL, Groups, LaplaceSettings, ManyFacet, ResponseCounts, SVISettings, TwoPL, fit
from irt_bench.analysis.item_parameters import equated_scores, link_draws

pytestmark = pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")  # of few items, few steps
QUICK = LaplaceSettings(refine=False)
# BifactorEMEstimator(n_quadpts=31, tol=1e-7) on `bifactor_answers`: loadings and their standard errors.
GENERAL = [
    0.925,
    0.858,
    1.029,
    0.968,
    1.109,
    1.162,
    1.165,
    1.605,
    1.28,
    1.429,
    1.501,
    1.485,
    1.547,
    1.681,
    1.976,
    2.029,
]
GENERAL_ERROR = [
    0.097, 0.094, 0.127, 0.104, 0.098, 0.102, 0.111, 0.155, 0.105, 0.116, 0.289, 0.127, 0.128, 0.14, 0.281, 0.178,
]  # fmt: skip
OWN = [0.474, 0.75, 1.303, 0.993, 0.651, 0.855, 1.129, 1.359, 0.384, 0.784, 2.036, 0.965, 0.462, 0.987, 1.949, 1.259]
OWN_ERROR = [
    0.129, 0.147, 0.286, 0.196, 0.127, 0.145, 0.19, 0.24, 0.11, 0.15, 0.632, 0.183, 0.13, 0.176, 0.465, 0.22,
]  # fmt: skip
INTERCEPT = [
    1.477, 1.251, 1.174, 0.968, 0.723, 0.595, 0.379, 0.087, -0.082, -0.262, -0.534, -0.662, -0.944, -1.192, -1.411,
    -1.515,
]  # fmt: skip
# fit_multigroup("2PL", invariance="scalar", n_quadpts=41, tol=1e-7) on `group_answers`.
GROUP_MEAN, GROUP_VARIANCE = 0.9315, 0.3387
GROUP_SLOPES = {0: 0.951282, 3: 0.852085, 7: 1.365569, 10: 1.357963, 13: 2.118171}
GROUP_DIFFICULTIES = {0: -0.265031, 3: -1.696882, 7: -1.144531, 10: -1.262512, 13: 1.521257}
# fit_mfrm(ManyFacetRaschModel) on `ratings`: severities and the sd of abilities.
SEVERITY, ABILITY_SD = np.array([1.0147, -0.7402, -0.2745]), 1.3475
# link(n_theta=41) of `linked_items`, and true_score_equating of items 0 to 4 of the first with items 5 to 9.
LINKS = {"stocking-lord": (0.68636, 0.96426), "mean-sigma": (0.69181, 0.98345)}
EQUATED = [1.507, 3.2175, 4.4712, 4.8877]  # of 5, for scores of 1 to 4


def bifactor_answers():
    rng = np.random.default_rng(11)
    theta = rng.standard_normal((1500, 5))
    general, own = np.linspace(0.8, 1.8, 16), np.tile([0.6, 1.0, 1.4, 1.0], 4)
    z = theta[:, :1] * general + theta[:, np.repeat([1, 2, 3, 4], 4)] * own + np.linspace(1.5, -1.5, 16)
    return (rng.random((1500, 16)) < expit(z)).astype(int)


def group_answers():
    rng = np.random.default_rng(12)
    group = np.repeat(["a", "b"], [250, 200])
    theta = np.where(group == "a", rng.standard_normal(450), 0.8 + 0.6 * rng.standard_normal(450))
    order = [3, 7, 11, 0, 14, 5, 9, 1, 13, 6, 2, 10, 4, 12, 8]
    slope, difficulty = np.linspace(0.7, 1.8, 15), np.linspace(-1.5, 2.0, 15)[order]
    return (rng.random((450, 15)) < expit(slope * (theta[:, None] - difficulty))).astype(int), group


def ratings():
    rng = np.random.default_rng(13)
    theta, difficulty, severity = rng.standard_normal(400), np.linspace(-1.2, 1.2, 5), np.array([0.8, -0.6, -0.2])
    item, rater = np.divmod(np.arange(15), 3)
    z = theta[:, None] - (difficulty[item] + severity[rater])
    seen = rng.random((400, 15)) < 0.6
    return (rng.random((400, 15)) < expit(1.3 * z)).astype(int), seen, item, rater


def linked_items():
    rng = np.random.default_rng(14)
    a, b = np.exp(rng.normal(0, 0.3, 10)), rng.normal(0, 1, 10)
    a2, b2 = 0.7 * a * np.exp(rng.normal(0, 0.05, 10)), (b - 1) / 0.7 + rng.normal(0, 0.1, 10)
    return known_items(a, b), known_items(a2, b2)


def known_items(a, b):
    """Two equal draws of items that are known."""
    arrays = {name: (("chain", "draw", "item"), [[x, x]]) for name, x in (("discrimination", a), ("difficulty", b))}
    return xr.Dataset(arrays, coords={"item": [f"q{place}" for place in range(len(a))]})


def distance(ours, theirs, errors):
    return float(np.mean(np.abs(np.asarray(ours) - theirs) / errors))


@pytest.mark.slow
def test_bifactor_loadings_are_within_their_standard_errors():
    """Ours are drawn towards the mean of their dimension, which has four items; intercepts, in posterior sds."""
    answers, found = bifactor_answers(), {}
    for name, groups in (("right", np.repeat(list("abcd"), 4)), ("wrong", np.tile(list("abcd"), 4))):
        fitted = fit(answers, BifactorTwoPL(groups=tuple(groups)), seed=1, model_clusters=False)
        loading = fitted.posterior["loading"].mean(("chain", "draw"))
        general, own = loading.sel(dimension="general"), loading[:, 1:].sum("dimension")
        found[name] = distance(general, GENERAL, GENERAL_ERROR), distance(own, OWN, OWN_ERROR)
        intercept = fitted.posterior["intercept"]
        mean, sd = intercept.mean(("chain", "draw")), intercept.std(("chain", "draw"))
        intercepts = {order: distance(mean, INTERCEPT[::order], sd) for order in (1, -1)}
        found[name] = (*found[name], intercepts[1])
        assert intercepts[-1] > 2.0  # the control: items in the opposite order
    print(found)
    assert max(found["right"]) < 1.0
    assert found["right"][2] < 0.5
    assert max(found["wrong"]) > 2.0  # the control: other items together


def test_mean_and_sd_of_a_group_are_those_of_multiple_group_estimation():
    answers, group = group_answers()
    labels = pd.Index([f"m{place:03d}" for place in range(450)], name="model")
    items = pd.DataFrame(index=pd.Index([f"q{place:02d}" for place in range(15)], name="item"))
    counts = ResponseCounts(answers, np.ones_like(answers), pd.DataFrame({"family": group}, index=labels), items)
    fitted = fit(counts, TwoPL(population=Groups("family", reference="a")), QUICK, seed=1, model_clusters=False)
    found, table = fitted.populations().loc["b"], fitted.items()
    assert abs(found["mean"] - GROUP_MEAN) < found["mean_sd"]
    assert abs(found["sd"] - GROUP_VARIANCE**0.5) < found["sd_sd"]
    for name, theirs in (("discrimination", GROUP_SLOPES), ("difficulty", GROUP_DIFFICULTIES)):
        ours = table.iloc[list(theirs)]
        assert distance(ours[name], list(theirs.values()), ours[f"{name}_sd"]) < 0.8
    swapped = fit(counts, TwoPL(population=Groups("family", reference="b")), QUICK, seed=1, model_clusters=False)
    assert abs(swapped.populations().loc["a", "mean"] - GROUP_MEAN) > 1  # the control: the other reference


@pytest.mark.slow
def test_severities_are_those_of_a_many_facet_rasch_model():
    """Theirs are in logits, abilities with an sd to be found; ours in sds of ability, with a slope of each item."""
    answers, seen, item, rater = ratings()
    models = pd.DataFrame(index=pd.Index([f"m{place:03d}" for place in range(400)], name="model"))
    items = pd.DataFrame(
        {"rated_item": [f"q{place}" for place in item], "rater": [f"r{place}" for place in rater]},
        index=pd.Index([f"q{i} [r{r}]" for i, r in zip(item, rater, strict=True)], name="item"),
    )
    counts = ResponseCounts(answers * seen, seen.astype(int), models, items)
    found = fit(counts, ManyFacet(steps=1), SVISettings(max_steps=3000), seed=1).raters()
    assert distance(found["severity"], SEVERITY / ABILITY_SD, found["severity_sd"]) < 1.0
    np.testing.assert_allclose(found["severity"], SEVERITY / ABILITY_SD, atol=0.05)
    assert np.abs(found["severity"] - SEVERITY).max() > 0.2  # the control: logits


@pytest.mark.parametrize("method", LINKS)
def test_links_are_those_of_another_package(method):
    first, second = linked_items()
    link, _ = link_draws(first, second, method)
    np.testing.assert_allclose(link[0], LINKS[method], atol=2e-3)
    other = LINKS["mean-sigma" if method == "stocking-lord" else "stocking-lord"]
    assert np.abs(link[0] - other).max() > 5e-3  # the control: the methods differ


def test_equated_scores_are_those_of_another_package():
    first, _ = linked_items()
    labels = first["item"].to_numpy()
    found = equated_scores(first, labels[:5], labels[5:])["equivalent"] * 5
    np.testing.assert_allclose(found, EQUATED, atol=1e-3)
    assert np.abs(found - np.arange(1, 5)).max() > 0.5  # the control: scores as they are
