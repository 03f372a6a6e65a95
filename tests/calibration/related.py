"""Answers of related models, with the truth that intervals should cover: families, and near-copies.

*Difficulty* and *discrimination* are those of the population that clusters come from: of the 2PL to which estimates
converge as clusters are added. Near-copies leave the 2PL that the answers came from; of families it is the 2PL closest
to the answers with the families' deviations integrated out. *Expected score* of a model is the mean over the items of
its own probabilities of a right answer, what all its family answers alike included.
"""

from typing import NamedTuple

import numpy as np

N_MODELS, N_ITEMS = 150, 300


class Related(NamedTuple):
    """Answers and truth."""

    correct: np.ndarray  # (model, item), 0 or 1
    cluster: np.ndarray  # (model,)
    difficulty: np.ndarray
    discrimination: np.ndarray
    score: np.ndarray


def families(seed, *, n_families=15, sd=0.5, ability_share=0.0, n_models=N_MODELS, n_items=N_ITEMS):
    """Models of equally large families, each with deviations in log-odds of its own on every item."""
    rng = np.random.default_rng(seed)
    difficulty, slope = some_items(rng, n_items)
    cluster = np.arange(n_models) % n_families
    own, common = rng.normal(size=n_models), rng.normal(size=n_families)[cluster]
    ability = np.sqrt(1 - ability_share) * own + np.sqrt(ability_share) * common
    deviations = rng.normal(0, sd, (n_families, n_items))[cluster]
    chance = logistic(slope * (ability[:, None] - difficulty) + deviations)
    correct = (rng.random(chance.shape) < chance).astype(np.int8)
    return Related(correct, cluster, *closest_2pl(difficulty, slope, sd), chance.mean(axis=1))


def near_copies(seed, *, share=0.3, same=0.95, of_one=False, n_models=N_MODELS, n_items=N_ITEMS):
    """Models of which some give another's answers, but for some drawn anew so that `same` of them agree."""
    rng = np.random.default_rng(seed)
    difficulty, slope = some_items(rng, n_items)
    n = n_models - round(share * n_models)
    source = np.concatenate([np.arange(n), np.zeros(n_models - n, int) if of_one else rng.integers(0, n, n_models - n)])
    chance = logistic(slope * (rng.normal(size=n)[source, None] - difficulty))
    drawn = rng.random(chance.shape) < chance
    anew = rng.random(chance.shape) < (1 - same) / np.mean(2 * chance * (1 - chance))
    correct = np.where(anew, drawn, drawn[source]).astype(np.int8)
    return Related(correct, source, difficulty, slope, chance.mean(axis=1))


def some_items(rng, n_items):
    return rng.normal(0, 1.2, n_items), np.exp(rng.normal(0, 0.4, n_items))


def logistic(log_odds):
    return 1 / (1 + np.exp(-log_odds))


def closest_2pl(difficulty, slope, sd):
    """Difficulty and discrimination of the 2PL closest, over abilities ~ N(0, 1), to curves with normal deviations."""
    ability = np.linspace(-4, 4, 81)
    weight = np.exp(-(ability**2) / 2)
    nodes, mass = np.polynomial.hermite_e.hermegauss(21)
    log_odds = slope[:, None] * (ability - difficulty[:, None])
    chance = logistic(log_odds[..., None] + sd * nodes) @ (mass / mass.sum())
    a, d = slope.copy(), -slope * difficulty
    for _ in range(30):  # Newton's steps of a logistic regression
        fitted = logistic(a[:, None] * ability + d[:, None])
        pull, curve = (chance - fitted) * weight, fitted * (1 - fitted) * weight
        one, two, three = curve.sum(1), curve @ ability, curve @ ability**2
        by_d, by_a = pull.sum(1), pull @ ability
        determinant = one * three - two**2
        d = d + (three * by_d - two * by_a) / determinant
        a = a + (one * by_a - two * by_d) / determinant
    return -d / a, a


def expected_scores(posterior):
    """Draws of each model's expected score, (draw, model), from labelled draws."""
    ability, difficulty, slope = (
        posterior[name].to_numpy().reshape(-1, posterior[name].shape[-1]).astype(float)
        for name in ("ability", "difficulty", "discrimination")
    )
    draws = zip(ability, difficulty, slope, strict=True)
    return np.stack([logistic(a * (theta[:, None] - b)).mean(axis=1) for theta, b, a in draws])


def covered(posterior, truth):
    """Shares of central 90% intervals that hold: of difficulties, discriminations and expected scores."""
    drawn = {name: posterior[name].to_numpy().reshape(-1, posterior[name].shape[-1]) for name in
             ("difficulty", "discrimination")} | {"expected score": expected_scores(posterior)}  # fmt: skip
    true = {"difficulty": truth.difficulty, "discrimination": truth.discrimination, "expected score": truth.score}
    found = {}
    for name, values in drawn.items():
        low, high = np.quantile(values, (0.05, 0.95), axis=0)
        found[name] = float(np.mean((low <= true[name]) & (true[name] <= high)))
    return found
