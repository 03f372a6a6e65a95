from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from irt_bench import LaplaceSettings, OnePL, TwoPL
from irt_bench.inference.fast import joint_normal, laplace
from irt_bench.inference.fast.ability_updates import GaussianAbilities
from irt_bench.inference.fast.joint_normal import BiasCorrection, find_bias_correction
from irt_bench.inference.fast.parameter_updates import Items, covariances, item_blocks, update_items
from irt_bench.inference.fast.sweep import Sweeper

M, J, B_SD, LOG_A_SD = 150, 24, 1.2, 0.4
N_SETS = 12


def known_abilities(answers, ability):
    """Abilities without uncertainty."""
    found = GaussianAbilities(Sweeper(answers, np.ones_like(answers), threads=1))
    found.mean, found.variance = ability, np.full(len(ability), 1e-9)
    return found


def at_mode(abilities, answers, **changes):
    items = Items.start(TwoPL(), answers.mean(axis=0))
    items = replace(items, difficulty_sd=B_SD, slope_sd=LOG_A_SD, **changes)
    for _ in range(60):
        items = update_items(items, abilities.sums(items))
    return items


def exact_means(answers, ability, items):
    """Means and sds of (intercept, log slope) of each item on a grid around the mode."""
    found = []
    for j in range(answers.shape[1]):
        intercept = items.intercept[j] + np.linspace(-2.5, 2.5, 121)[:, None]
        log_slope = items.log_slope[j] + np.linspace(-1.6, 1.6, 101)
        log_odds = np.exp(log_slope) * ability[:, None, None] + intercept
        log_density = np.einsum("i,ikl->kl", answers[:, j].astype(float), log_odds) - np.logaddexp(0, log_odds).sum(0)
        difficulty = -intercept / np.exp(log_slope)
        log_density += -0.5 * (difficulty / B_SD) ** 2 - 0.5 * (log_slope / LOG_A_SD) ** 2 - log_slope
        weight = np.exp(log_density - log_density.max())
        weight /= weight.sum()
        means = [(weight * value).sum() for value in (intercept, log_slope)]
        squares = [(weight * value**2).sum() for value in (intercept, log_slope)]
        found.append([means, np.sqrt(np.array(squares) - np.square(means))])
    return np.array(found).transpose(1, 2, 0)


def test_means_agree_with_numerical_integration(rng):
    ability, difficulty = rng.normal(size=M), rng.normal(0, B_SD, J)
    slope = np.exp(rng.normal(0, LOG_A_SD, J))
    answers = (rng.random((M, J)) < expit(slope * (ability[:, None] - difficulty))).astype(np.int8)
    abilities = known_abilities(answers, ability)
    items = at_mode(abilities, answers)
    mean, sd = exact_means(answers, ability, items)

    def off(lean):
        found = lean.added_to(items)
        return np.sqrt(np.mean((np.stack([found.intercept, found.log_slope]) - mean) ** 2 / sd**2, axis=1))

    assert (off(find_bias_correction(abilities, items)[0]) < 0.02).all()
    assert off(BiasCorrection(np.zeros(J), np.zeros(J)))[1] > 0.08  # the control: modes


def test_items_told_by_their_prior_lean_by_a_bounded_share_of_their_sd(rng, monkeypatch):
    answers = np.zeros((20, 3), dtype=np.int8)
    answers[0, 1] = answers[0, 2] = answers[1, 2] = 1
    abilities = known_abilities(answers, np.linspace(-2, 2, 20))
    items = replace(at_mode(abilities, answers), difficulty_sd=9.0, slope_sd=1.5)
    sd = np.sqrt(np.diagonal(covariances(item_blocks(items, abilities.sums(items))), axis1=1, axis2=2)).T

    def largest():
        return np.abs(np.stack(find_bias_correction(abilities, items)[0]) / sd).max()

    assert largest() > 0.3
    monkeypatch.setattr(joint_normal, "MAX_CORRECTION", 0.2)
    assert largest() == pytest.approx(0.2)


def test_items_at_the_ceiling_stay_at_their_mode(rng):
    """Where nearly all answers are right first order fails: the 1PL's slope came out 2.5 times too steep."""
    ability = rng.normal(size=200)
    difficulty = rng.normal(-7, 1, 600)
    answers = (rng.random((200, 600)) < expit(ability[:, None] - difficulty)).astype(np.int8)
    mode = laplace._maximise(OnePL(), answers, np.ones_like(answers), LaplaceSettings(threads=1), None)
    assert mode.means is None and mode.shared_bias is None
    middling = (rng.random((200, 600)) < expit(ability[:, None] - difficulty - 7)).astype(np.int8)
    mode = laplace._maximise(OnePL(), middling, np.ones_like(answers), LaplaceSettings(threads=1), None)
    assert mode.means is not None and mode.shared_bias is not None


def distances(irt_model, n_models, n_items):
    """Distances of functions of all items from their truth, in sds, by data set."""
    found = []
    for seed in range(N_SETS):
        rng = np.random.default_rng(seed)
        ability, difficulty = rng.normal(size=n_models), rng.normal(0, B_SD, n_items)
        log_slope = rng.normal(0, LOG_A_SD, n_items) if irt_model.name == "2pl" else np.zeros(n_items)
        answers = rng.random((n_models, n_items)) < expit(np.exp(log_slope) * (ability[:, None] - difficulty))
        settings = LaplaceSettings(seed=seed, refine=False, threads=1)
        sites = laplace.fit_laplace(irt_model, answers.astype(np.int8), np.ones_like(answers, np.int8), settings).sites
        drawn = {name: site[0].astype(float) for name, site in sites.items()}
        scale = drawn["ability"].std(axis=1)
        logs = drawn["log_discrimination"]
        logs = logs.mean(axis=1) if logs.ndim == 2 else logs
        pairs = [
            (logs + np.log(scale), log_slope.mean() + np.log(ability.std())),
            (drawn["difficulty"].std(axis=1) / scale, difficulty.std() / ability.std()),
        ]
        found.append([(draws.mean() - truth) / draws.std() for draws, truth in pairs])
    return np.array(found)


@pytest.mark.parametrize(
    ("irt_model", "shape", "least"),
    [(TwoPL(), (400, 600), 1.2), (OnePL(), (150, 2_000), -0.8)],
    ids=["2pl", "1pl"],
)
def test_means_over_all_items_are_where_the_posterior_says(monkeypatch, irt_model, shape, least):
    """Mean log slope and spread of difficulties, against the abilities' own spread; standard error of a mean .3."""
    assert (np.abs(distances(irt_model, *shape).mean(axis=0)) < 1.0).all()
    monkeypatch.setattr(laplace, "_find_means", lambda irt_model, state, variances: (None, None))
    of_slope = distances(irt_model, *shape)[:, 0].mean()
    assert of_slope > least if least > 0 else of_slope < least  # the control: modes
