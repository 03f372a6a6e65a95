"""Simulated answers of models with several abilities, and how far posteriors recover what was planted."""

from typing import NamedTuple

import numpy as np

from irt_bench import as_counts


class Planted(NamedTuple):
    counts: object
    ability: np.ndarray
    loading: np.ndarray
    intercept: np.ndarray


def plant(pattern, *, n_models, seed, correlation=None, trials=1, missing=0.0, shuffled=False):
    """Draw abilities N(0, R), loadings of the pattern (the first dimension mostly positive), and answers."""
    rng = np.random.default_rng(seed)
    n_items, n_dims = pattern.shape
    root = np.eye(n_dims) if correlation is None else np.linalg.cholesky(correlation)
    ability = rng.normal(size=(n_models, n_dims)) @ root.T
    loading = np.where(pattern, rng.normal(0.4, 0.9, pattern.shape), 0.0)
    loading[:, 0] = np.where(pattern[:, 0], np.exp(rng.normal(0.0, 0.3, n_items)), 0.0)
    intercept = rng.normal(0.0, 1.2, n_items)
    chance = 1 / (1 + np.exp(-(ability @ loading.T + intercept)))
    correct = rng.binomial(trials, chance).astype(float)
    if shuffled:
        correct = rng.permuted(correct, axis=0)
    if trials == 1:
        correct[rng.random(correct.shape) < missing] = np.nan
        return Planted(as_counts(correct), ability, loading, intercept)
    counts = as_counts(np.zeros(correct.shape))
    made = type(counts)(correct.astype(int), np.full(correct.shape, trials), counts.models, counts.items, "planted")
    return Planted(made, ability, loading, intercept)


def draws(posterior, name):
    """Chains one after the other."""
    values = posterior[name].to_numpy()
    return values.reshape(-1, *values.shape[2:]).astype(float)


def judge(posterior, planted, *, rotates):
    """Per quantity and dimension: covariance of truth and posterior mean, variance of the latter, coverage of 90%
    intervals and of a third of them.

    Where abilities may be rotated the truth is turned towards the posterior mean first.
    """
    loading, ability = planted.loading, planted.ability
    mean = draws(posterior, "loading").mean(axis=0)
    turn = np.diag(np.sign((loading * mean).sum(axis=0)))
    if rotates:
        left, _, right = np.linalg.svd(loading.T @ mean)
        turn = left @ right
    truths = {"loading": loading @ turn, "ability": ability @ turn, "intercept": planted.intercept[:, None]}
    found = {}
    for name, truth in truths.items():
        drawn = draws(posterior, name).reshape(-1, *truth.shape)
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        mean = drawn.mean(axis=0)
        for at in range(truth.shape[1]):
            there = truth[:, at] != 0
            inside = (low <= truth) & (truth <= high)
            narrow = np.abs(truth - mean) < (high - low) / 6
            shared = np.cov(mean[there, at], truth[there, at])
            found[name, at] = shared[0, 1], shared[0, 0], inside[there, at].mean(), narrow[there, at].mean()
    return found


def averaged(many):
    """Over data sets: (quantity, dimension) → slope of truth on posterior mean, coverage, that of narrow intervals.

    The slope is pooled: where the loadings of a small group are nearly alike, that of one data set may be anything.
    """
    found = {}
    for key in many[0]:
        shared, variance, coverage, narrow = np.mean([each[key] for each in many], axis=0)
        found[key] = np.array([shared / variance, coverage, narrow])
    return found
