"""Models of ordered scores recover what made the scores: slopes near one, intervals that cover, by NUTS."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import norm

from irt_bench import (
    GeneralizedPartialCredit,
    GradedResponse,
    LaplaceSettings,
    NUTSSettings,
    TwoPL,
    fit,
    simulate_responses,
)
from irt_bench.inference.sampling.likelihood import ResponseCells, ResponseData, ScoreGrid
from irt_bench.inference.sampling.target import Target
from irt_bench.irt_models.model import arranged
from irt_bench.irt_models.simulate import HYPERPARAMETERS

SETTINGS = NUTSSettings(chains=1, warmup=150, draws=250, jobs=1)
DESIGNS = [(100, 10, 2), (200, 16, 1)]  # models, items, data sets
N_DRAWS = 600
KINDS = [GradedResponse, GeneralizedPartialCredit]


def simulate(kind, n_models, n_items, seed):
    """Scores of 0 to 3, thresholds nine tenths apart on average.

    Abilities are normal scores of sd 1 in any order. Drawn at random, the sd of 100 of them is known to 7% only, and
    every slope of a data set, thresholds and discriminations alike, is off by as much as its abilities' sd is.
    """
    rng = np.random.default_rng(seed)
    ability = rng.permutation(norm.ppf((np.arange(n_models) + 0.5) / n_models))
    difficulty = rng.normal(0.0, 1.0, n_items)
    gaps = np.exp(rng.normal(-0.3, 0.4, (n_items, 2)))
    away = np.hstack([np.zeros((n_items, 1)), gaps.cumsum(axis=1)])
    threshold = difficulty[:, None] + away - away.mean(axis=1, keepdims=True)
    given = {"ability": ability / ability.std(), "difficulty": difficulty, "threshold": threshold}
    return simulate_responses(kind(steps=3), n_models=n_models, n_items=n_items, seed=seed, parameters=given)


def compare(fitted, truth):
    """Posterior means, truths, and whether 90% intervals hold them, by kind of quantity."""
    tables = {"ability": fitted.abilities(), "discrimination": fitted.items()}
    found = {}
    for name, table in tables.items():
        found[name] = table[name], truth[name].to_numpy(), table[f"{name}_q05"], table[f"{name}_q95"]
    items = tables["discrimination"]
    columns = [f"threshold_{point}" for point in (1, 2, 3)]
    found["threshold"] = [
        items[columns].to_numpy().ravel(),
        truth["threshold"].to_numpy().ravel(),
        *(items[[f"{name}_{end}" for name in columns]].to_numpy().ravel() for end in ("q05", "q95")),
    ]
    rows = [
        pd.DataFrame({"kind": name, "mean": mean, "truth": true, "covered": (low < true) & (true < high)})
        for name, (mean, true, low, high) in ((k, [np.asarray(each) for each in v]) for k, v in found.items())
    ]
    return pd.concat(rows, ignore_index=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # one short chain each
def test_slopes_and_coverage(kind):
    rows = [
        compare(fit(simulation.table, kind(), SETTINGS, seed=seed), simulation.truth)
        for n_models, n_items, n_sets in DESIGNS
        for seed in range(n_sets)
        for simulation in [simulate(kind, n_models, n_items, seed)]
    ]
    every = pd.concat(rows)
    covered = every.groupby("kind")["covered"].mean()
    slopes = {name: np.polyfit(part["mean"], part["truth"], 1)[0] for name, part in every.groupby("kind")}
    print(kind.name, covered.round(3).to_dict(), slopes)
    assert every["covered"].mean() == pytest.approx(0.9, abs=0.04)
    assert covered.between(0.75, 0.97).all()  # 36 discriminations: three standard errors below 0.9
    assert slopes["ability"] == pytest.approx(1.0, abs=0.07)
    assert slopes["threshold"] == pytest.approx(1.0, abs=0.1)  # few sets; many are below


def known_spreads(model, counts, truth):
    """Target of a model's program, a point of it at the truth, and which coordinates are the sds of hierarchies."""
    data = ResponseData(ResponseCells.from_arrays(counts.correct, counts.trials), ScoreGrid(counts.n_items))
    target, threshold = Target(model, data), truth["threshold"].to_numpy()
    gaps = np.diff(threshold, axis=1)
    spacing = np.log(gaps) if model.in_order else gaps
    values = {
        "difficulty": threshold.mean(axis=1),
        "log_discrimination": np.log(truth["discrimination"].to_numpy()),
        "spacing": spacing.T,
        "spacing_mean": spacing.mean(axis=0)[:, None],
        "difficulty_mean": 0.0,
        "log_discrimination_mean": 0.0,
        "difficulty_sd": 1.0,
        "log_discrimination_sd": HYPERPARAMETERS["log_discrimination_sd"],
        "spacing_sd": spacing.std(),
    }
    fixed = np.zeros(target.size, dtype=bool)
    for name in values:
        fixed[target.blocks[name].place] = name.endswith("_sd")
    return target, target.flatten(target.read(values)), fixed


def approximate(kind, simulation, counts):
    """Posterior means, truths and coverage as `compare` has them, by importance sampling about the mode.

    The sds of hierarchies are known, since with them unknown there is no mode. A thirtieth of the time of NUTS. The
    weights matter: at the mode log discriminations of partial credit are too high by .05, and all scales by as much.
    """
    model = kind().for_responses(counts)
    target, start, fixed = known_spreads(model, counts, simulation.truth)

    def lost(free):
        point = start.copy()
        point[~fixed] = free
        value, slope = target.value_and_gradient(point)
        return -value, -slope[~fixed]

    mode = minimize(lost, start[~fixed], jac=True, method="L-BFGS-B", options={"maxiter": 400}).x
    steps = 1e-4 * np.eye(len(mode))
    curvature = np.array([(lost(mode + step)[1] - lost(mode - step)[1]) / 2e-4 for step in steps])
    root, rng = np.linalg.cholesky(np.linalg.inv((curvature + curvature.T) / 2)), np.random.default_rng(0)
    standard = rng.standard_normal((N_DRAWS // 2, len(mode)))
    standard = np.vstack([standard, -standard])
    points = np.tile(start, (N_DRAWS, 1))
    points[:, ~fixed] = mode + standard @ root.T
    with torch.no_grad():
        logs = np.array([target.log_density(torch.tensor(point)).item() for point in points])
    logs += 0.5 * (standard**2).sum(axis=1)
    weights = np.exp(logs - logs.max())
    points = points[rng.choice(N_DRAWS, size=N_DRAWS, p=weights / weights.sum())]
    drawn = target.values(points, rng)
    drawn["threshold"] = np.moveaxis(drawn["threshold"], 1, 2)
    rows = []
    for name in ("ability", "discrimination", "threshold"):
        draws, true = drawn[name].reshape(N_DRAWS, -1), simulation.truth[name].to_numpy().ravel()
        draws, true = (np.log(draws), np.log(true)) if name == "discrimination" else (draws, true)
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        row = {"kind": name, "mean": draws.mean(axis=0), "truth": true, "covered": (low < true) & (true < high)}
        rows.append(pd.DataFrame(row))
    return pd.concat(rows, ignore_index=True)


def approximated(kind, of_kind, n_models, n_items, n_sets):
    """Slopes of truth on posterior mean and coverage over data sets, by kind of quantity."""
    every = []
    for seed in range(n_sets):
        simulation = simulate(of_kind, n_models, n_items, seed)
        every.append(approximate(kind, simulation, arranged(of_kind(), simulation.table.counts())))
    parts = pd.concat(every).groupby("kind")
    slopes = parts[["mean", "truth"]].apply(lambda part: np.polyfit(part["mean"], part["truth"], 1)[0])
    return slopes, parts["covered"].mean()


@pytest.mark.slow
@pytest.mark.parametrize(("n_models", "n_items", "n_sets"), [(100, 10, 24), (200, 16, 12)])
@pytest.mark.parametrize("kind", KINDS)
def test_slopes_of_many_data_sets_are_one(kind, n_models, n_items, n_sets):
    """Of truth on posterior mean; that of estimates on truth is the reliability, .73 to .86 of discriminations.

    Few of the weighted draws count, so that intervals are somewhat narrow.
    """
    slopes, covered = approximated(kind, kind, n_models, n_items, n_sets)
    print(kind.name, slopes.round(3).to_dict(), covered.round(3).to_dict())
    assert slopes.between(0.95, 1.05).all()
    assert covered.between(0.82, 0.95).all()


def test_partial_credit_taken_for_graded_response_is_caught():
    """The control: thresholds of another model, in two small data sets."""
    _, covered = approximated(GradedResponse, GeneralizedPartialCredit, 100, 10, 2)
    assert covered["threshold"] < 0.7
    assert covered["discrimination"] < 0.5


@pytest.mark.filterwarnings("ignore")  # overdispersion is caught by a check, too
def test_points_taken_for_independent_trials_are_caught():
    """The control: a 2PL of k of 3 trials takes thresholds for answers that tell three times as much."""
    covered = []
    for seed in range(3):  # .76 to .81 each
        simulation = simulate(GradedResponse, 200, 16, seed=seed)
        trials = arranged(GradedResponse(), simulation.table.counts())
        found = fit(trials, TwoPL(dispersion=None), LaplaceSettings(refine=False), seed=0, model_clusters=False)
        table, truth = found.abilities(), simulation.truth["ability"].to_numpy()
        covered.append(((table["ability_q05"] < truth) & (truth < table["ability_q95"])).mean())
    print(covered)
    assert np.mean(covered) < 0.83
