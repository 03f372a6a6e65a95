import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq

from irt_bench.checks.fit_statistics import item_mean_squares, mean_square_check, model_mean_squares, worst_mean_square
from irt_bench.checks.fitted_responses import FittedResponses, fit_abilities

# eRm 1.0.2, itemfit(person.parameter(RM(raschdat1))): i.infitMSQ and i.outfitMSQ of items 1 to 5; personfit's
# p.infitMSQ of persons 1 to 3.
INFIT = (0.955985, 1.0682265, 0.9497646, 0.8883505, 1.1175912)
OUTFIT = (0.819598, 0.9975391, 0.9903065, 0.8422234, 1.0889196)
PERSON_INFIT = (1.0007023, 1.0886232, 1.0409416)
DIFFICULTY = (-1.5652697, -0.0511717, -0.7821901, 0.6502319, 1.3005789, -0.0992963, -0.6816968, -0.7317341, -0.5336623,
              1.1077272, 0.6502319, -0.3879039, 1.5111918, 2.116117, -0.3396494, 0.5971111, -0.3396494, 0.0939274,
              0.7587211, -0.6816968, -0.9365494, -0.9891735, -0.6816968, -0.0029496, 0.8142275, -1.2071335, 0.0939274,
              0.2904432, 0.7587211, -0.7317341)  # its conditional maximum likelihood estimates  # fmt: skip


def test_infit_and_outfit_are_erms(shared_data, make_items):
    frame = pd.read_parquet(shared_data / "classic_raschdat1.parquet")
    value = next(name for name in ("correct", "score", "response") if name in frame)
    wide = frame.pivot(index="model", columns="item", values=value)
    order = sorted(wide.columns, key=lambda name: int("".join(sign for sign in str(name) if sign.isdigit())))
    answers, beta = wide[order].to_numpy(dtype=float), np.array(DIFFICULTY)

    def ability(total):  # maximum likelihood, as eRm
        return brentq(lambda t: (1 / (1 + np.exp(beta - t))).sum() - total, -10, 10)

    theta = np.array([ability(total) for total in answers.sum(axis=1)])
    p = 1 / (1 + np.exp(beta - theta[:, None]))
    found = FittedResponses(answers, np.ones_like(answers), make_items(np.ones(30), beta), theta, p, p * (1 - p))
    squares = item_mean_squares(found)
    np.testing.assert_allclose(squares.infit[:5], INFIT, atol=2e-5)
    np.testing.assert_allclose(squares.outfit[:5], OUTFIT, atol=2e-5)
    persons = model_mean_squares(found).infit  # in another order than eRm's
    assert all(np.abs(persons - value).min() < 1e-4 for value in PERSON_INFIT)


def test_mean_squares_are_one_on_average_for_counts_with_missing_cells(rng, simulate):
    ability = rng.normal(size=3000)
    correct, trials, items = simulate(rng, n_items=12, trials=5, missing=0.3, ability=ability)
    p = 1 / (1 + np.exp(-items.discrimination * (ability[:, None] - items.difficulty)))
    squares = item_mean_squares(FittedResponses(correct, trials, items, ability, p, p * (1 - p)))
    np.testing.assert_allclose(squares.infit, 1, atol=0.12)
    np.testing.assert_allclose(squares.outfit, 1, atol=0.2)


def test_items_never_asked_or_answered_alike_by_all_have_no_mean_square(make_items):
    correct, trials = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1]]), np.array([[1, 0, 1]] * 3)
    found = fit_abilities(correct, trials, make_items([1.0, 1.0, 1.0], [0.0, 0.0, 0.0]))
    assert np.isnan(item_mean_squares(found).outfit).tolist() == [True, True, False]
    assert worst_mean_square(np.array([np.nan, np.nan]))[1] == -1


def test_a_swapped_key_is_caught_under_equal_slopes(rng, simulate, make_items, labels):
    correct, trials, items = simulate(rng)
    correct[:, 7] = 1 - correct[:, 7]
    flat = make_items(np.ones(30), np.where(np.arange(30) == 7, -items.difficulty, items.difficulty))
    squares = item_mean_squares(fit_abilities(correct, trials, flat))
    check = mean_square_check("outfit", squares.outfit, labels(30).to_numpy(), np.array([0.3]))
    assert check.status == "failed" and "i7" in check.message


def test_answers_of_the_model_pass(rng, simulate_answers, labels):
    squares = item_mean_squares(simulate_answers(rng))
    check = mean_square_check("infit", squares.infit, labels(30).to_numpy(), np.empty(0))
    assert check.status == "passed" and check.threshold == pytest.approx(0.5)
