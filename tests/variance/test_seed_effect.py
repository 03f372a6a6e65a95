"""Accuracy points of the seed effect: against Monte Carlo, and against the analysis of variance."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit

from irt_bench import ResponseCounts, SVISettings
from irt_bench.errors import AnalysisError
from irt_bench.inference.seed_model import estimate_abilities, fit_seed_model
from irt_bench.variance.moments import answer_variance_ratio, item_covariance
from irt_bench.variance.seed_effect import seed_effect_table

N_ITEMS = 50
LABELS = np.array([f"i{place}" for place in range(N_ITEMS)])


def posterior_at(sd_seed, sd_step=None, means=(0.3,), seed=0):
    """A posterior concentrated on one point: what follows is then a calculation, not an estimate."""
    rng = np.random.default_rng(seed)
    lead = ("chain", "draw", "item_draw")
    sds = {"sd_seed": sd_seed} | ({} if sd_step is None else {"sd_step": sd_step})
    arrays = {name: (lead, np.full((1, 1, 1), value)) for name, value in sds.items()}
    arrays["run_mean"] = ((*lead, "run_step"), np.array(means).reshape(1, 1, 1, -1))
    parameters = {
        "difficulty": rng.normal(size=(1, N_ITEMS)),
        "discrimination": np.exp(0.4 * rng.normal(size=(1, N_ITEMS))),
        "guessing": np.full((1, N_ITEMS), 0.1),
        "upper_asymptote": np.ones((1, N_ITEMS)),
    }
    arrays |= {name: (("item_draw", "item"), values) for name, values in parameters.items()}
    runs = [f"r{place}" for place in range(len(means))]
    return xr.Dataset(arrays, coords={"item": LABELS, "run_of_step": ("run_step", runs)})


def expected_score(posterior, ability, weights):
    item = {name: posterior[name].values[0] for name in ("difficulty", "discrimination", "guessing")}
    chance = item["guessing"] + (1 - item["guessing"]) * expit(
        item["discrimination"] * (ability[..., None] - item["difficulty"])
    )
    return chance @ weights, (chance * (1 - chance)) @ weights**2


@pytest.mark.parametrize("weighted", [False, True])
def test_the_parts_are_those_of_a_million_simulated_seeds(weighted):
    posterior, rng = posterior_at(0.4, 0.2), np.random.default_rng(1)
    weights = rng.gamma(1, size=N_ITEMS) if weighted else np.ones(N_ITEMS)
    weights /= weights.sum()
    given = pd.Series(3 * weights, LABELS) if weighted else None
    table = seed_effect_table(posterior, weights=given).set_index(["run", "quantity"])["estimate"]["r0"]
    seeds = 0.3 + 0.4 * rng.normal(size=(1500, 1))
    score, answers = expected_score(posterior, seeds + 0.2 * rng.normal(size=(1500, 300)), weights)
    assert table["mean"] == pytest.approx(score.mean(), abs=0.006)
    assert table["checkpoint_sd"] == pytest.approx(score.std(), rel=0.05)
    assert table["step_sd"] == pytest.approx(np.sqrt(score.var(axis=1, ddof=1).mean()), rel=0.02)
    assert table["seed_sd"] == pytest.approx(score.mean(axis=1).std(), rel=0.06)
    assert table["answer_sd"] == pytest.approx(np.sqrt(answers.mean()), rel=0.01)
    assert table["score_sd"] ** 2 == pytest.approx(table["checkpoint_sd"] ** 2 + table["answer_sd"] ** 2)


def test_a_subset_of_k_items_has_the_variance_of_answers_of_k():
    posterior = posterior_at(0.3)
    subset = pd.Series(1.0, LABELS[:10])
    table = seed_effect_table(posterior, weights=subset, benchmark="b").set_index(["run", "quantity"])["estimate"]
    weights = np.where(np.arange(N_ITEMS) < 10, 0.1, 0)
    ability = 0.3 + 0.3 * np.random.default_rng(2).normal(size=100_000)
    score, answers = expected_score(posterior, ability, weights)
    assert table["pooled", "seed_sd"] == pytest.approx(score.std(), rel=0.02)
    assert table["pooled", "answer_sd"] == pytest.approx(np.sqrt(answers.mean()), rel=0.01)
    assert ("pooled", "step_sd") not in table.index


def test_pooling_averages_variances():
    table = seed_effect_table(posterior_at(0.3, means=(-1.0, 2.0))).set_index(["run", "quantity"])["estimate"]
    each = [table[run, "seed_sd"] ** 2 for run in ("r0", "r1")]
    assert table["pooled", "seed_sd"] ** 2 == pytest.approx(np.mean(each))


def test_weights_that_are_no_weights_are_refused():
    posterior = posterior_at(0.3)
    with pytest.raises(AnalysisError, match="'nowhere', which the fit does not have"):
        seed_effect_table(posterior, weights=pd.Series(1.0, ["i1", "nowhere"]))
    with pytest.raises(AnalysisError, match="finite and at least 0"):
        seed_effect_table(posterior, weights=pd.Series([1.0, -1.0], ["i1", "i2"]))


def balanced(rng, *, n_runs, n_seeds, n_items, mean, sd, own_items=0.0):
    """Answers of seeds of runs with abilities around `mean`, and the items behind them; runs find others easy."""
    run = np.repeat(np.arange(n_runs), n_seeds)
    ability = mean[run] + sd[run] * rng.normal(size=len(run))
    difficulty, slope = rng.normal(size=n_items), np.exp(0.4 * rng.normal(size=n_items))
    shift = own_items * rng.normal(size=(n_runs, n_items))[run]
    right = (rng.random((len(run), n_items)) < expit(slope * (ability[:, None] - difficulty) + shift)).astype(int)
    labels = np.array([f"i{place}" for place in range(n_items)])
    models = pd.DataFrame({"run": run, "seed": np.tile(np.arange(n_seeds), n_runs)})
    counts = ResponseCounts(right, np.ones_like(right), models, pd.DataFrame(index=labels), "b")
    known = {"difficulty": ("item", difficulty), "discrimination": ("item", slope)}
    return counts, xr.Dataset(known, coords={"item": labels}), right.reshape(n_runs, n_seeds, n_items)


@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
def test_the_seed_sd_in_accuracy_agrees_with_the_analysis_of_variance():
    """12 runs of 8 seeds: score_sd against sqrt(V(N)), answer_sd against sqrt(s2_res / N)."""
    rng = np.random.default_rng(4)
    plan = {"mean": 0.5 * rng.normal(size=12), "sd": np.full(12, 0.25)}
    counts, items, cells = balanced(rng, n_runs=12, n_seeds=8, n_items=200, **plan)
    fit = fit_seed_model(counts, SVISettings(seed=1, max_steps=1500), items=items)
    table = seed_effect_table(fit.posterior).set_index(["run", "quantity"]).loc["pooled"]
    found = item_covariance(cells)
    total, of_answers = found.full_variance().mean(), found.residual.mean() / 200
    for prefix in ("", "these_"):
        assert table["estimate"][f"{prefix}score_sd"] == pytest.approx(np.sqrt(total), rel=0.05)
        assert table["estimate"][f"{prefix}checkpoint_sd"] == pytest.approx(np.sqrt(total - of_answers), rel=0.08)
    assert table["estimate"]["answer_sd"] == pytest.approx(np.sqrt(of_answers), rel=0.03)
    assert table["q05"]["seed_sd_ability"] < 0.25 < table["q95"]["seed_sd_ability"]


@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
def test_where_able_seeds_spread_more_only_the_sd_of_these_seeds_agrees_with_the_analysis_of_variance():
    """Runs near the ceiling, whose seeds differ more in ability: one sd for all runs (the control) is caught."""
    rng = np.random.default_rng(5)
    able = np.arange(12) % 2
    plan = {"mean": 3.0 * able, "sd": 0.05 + 0.75 * able}
    counts, items, cells = balanced(rng, n_runs=12, n_seeds=8, n_items=1000, **plan)
    fit = fit_seed_model(counts, SVISettings(seed=1, max_steps=1500), items=items)
    table = seed_effect_table(fit.posterior).set_index(["run", "quantity"]).loc["pooled"]["estimate"]
    anova = np.sqrt(item_covariance(cells).off_diagonal.mean())
    assert table["these_checkpoint_sd"] == pytest.approx(anova, rel=0.08)
    assert table["checkpoint_sd"] > 1.25 * anova


@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
@pytest.mark.parametrize("seed", [6, pytest.param(8, marks=pytest.mark.slow)])
def test_where_runs_have_easy_items_of_their_own_the_dispersion_seen_gives_the_seeds_their_due(seed):
    """As in hellaswag of nlu_checkpoints_dev; answers taken as P (1 - P) (the control) hide the seeds.

    The posterior of a small sd leans on its prior, so that it is held against the analysis of variance within 25%.
    """
    rng = np.random.default_rng(seed)
    plan = {"mean": 0.3 * rng.normal(size=12), "sd": np.full(12, 0.12)}
    counts, items, cells = balanced(rng, n_runs=12, n_seeds=6, n_items=300, own_items=2.5, **plan)
    anova = np.sqrt(item_covariance(cells).off_diagonal.mean())
    ratio = answer_variance_ratio(counts, estimate_abilities(counts, items=items))
    found = {}
    for dispersion in (ratio, 1.0):
        fit = fit_seed_model(counts, SVISettings(seed=1, max_steps=1500), items=items, dispersion=dispersion)
        table = seed_effect_table(fit.posterior).set_index(["run", "quantity"]).loc["pooled"]["estimate"]
        found[dispersion] = table["these_checkpoint_sd"]
    assert ratio < 0.85
    assert found[ratio] == pytest.approx(anova, rel=0.25)
    assert found[1.0] < 0.8 * found[ratio]
