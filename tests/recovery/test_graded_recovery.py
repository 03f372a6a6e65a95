"""Models of ordered scores recover what made the scores: slopes near one, intervals that cover, by NUTS."""

import numpy as np
import pandas as pd
import pytest

from irt_bench import (
    GeneralizedPartialCredit,
    GradedResponse,
    LaplaceSettings,
    NUTSSettings,
    TwoPL,
    fit,
    simulate_responses,
)
from irt_bench.irt_models.model import arranged

SETTINGS = NUTSSettings(chains=1, warmup=150, draws=250, jobs=1)
DESIGNS = [(100, 10, 3), (200, 16, 1)]  # models, items, data sets
KINDS = [GradedResponse, GeneralizedPartialCredit]


def simulate(kind, n_models, n_items, seed):
    """Scores of 0 to 3, thresholds nine tenths apart on average."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0.0, 1.0, n_items)
    gaps = np.exp(rng.normal(-0.3, 0.4, (n_items, 2)))
    away = np.hstack([np.zeros((n_items, 1)), gaps.cumsum(axis=1)])
    threshold = difficulty[:, None] + away - away.mean(axis=1, keepdims=True)
    given = {"difficulty": difficulty, "threshold": threshold}
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
    assert covered.between(0.82, 0.96).all()
    assert slopes["ability"] == pytest.approx(1.0, abs=0.07)
    assert slopes["threshold"] == pytest.approx(1.0, abs=0.1)  # four scales, each known to 7%


@pytest.mark.filterwarnings("ignore")  # overdispersion is caught by a check, too
def test_points_taken_for_independent_trials_are_caught():
    """The control: a 2PL of k of 3 trials takes thresholds for answers that tell three times as much."""
    simulation = simulate(GradedResponse, 200, 16, seed=0)
    trials = arranged(GradedResponse(), simulation.table.counts())
    table = fit(trials, TwoPL(dispersion=None), LaplaceSettings(refine=False), seed=0, model_clusters=False).abilities()
    truth = simulation.truth["ability"].to_numpy()
    covered = ((table["ability_q05"] < truth) & (truth < table["ability_q95"])).mean()
    print(covered)
    assert covered < 0.8
