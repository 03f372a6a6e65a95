"""Fits of the seed model: labels and refusals; planted seed sds inside their intervals as often as they say."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from irt_bench.errors import ConvergenceWarning, FitError, ResponsesWarning
from irt_bench.inference.seed_fit import fit_seed_model
from irt_bench.inference.settings import NUTSSettings, SVISettings
from irt_bench.irt_models.base import HalfNormal
from irt_bench.irt_models.seeds import SD_PRIOR, SeedModel
from irt_bench.responses.counts import ResponseCounts

QUICK = SVISettings(seed=1, max_steps=600, draws=200)
PER_RUN = SeedModel(pooled=False)


def simulate(rng, *, n_runs, n_seeds, n_steps, n_items, sd_seed, sd_step=0.0, n_trials=1, missing=0.0):
    """Answers of seeds of runs, written out here apart from the package's simulator, and the items behind them."""
    run, seed, step = (place.ravel() for place in np.indices((n_runs, n_seeds, n_steps)))
    per_run = np.broadcast_to(sd_seed, (n_runs,))
    effect = per_run[:, None] * rng.normal(size=(n_runs, n_seeds))
    mean = 0.7 * rng.normal(size=(n_runs, n_steps))
    ability = mean[run, step] + effect[run, seed] + sd_step * rng.normal(size=len(run))
    difficulty, slope = 1.2 * rng.normal(size=n_items), np.exp(0.4 * rng.normal(size=n_items))
    chance = 1 / (1 + np.exp(-slope * (ability[:, None] - difficulty)))
    trials = n_trials * (rng.random(chance.shape) >= missing)
    models = pd.DataFrame({"run": [f"r{r:04d}" for r in run], "seed": seed, "step": step})
    models.index = pd.Index([f"m{row}" for row in range(len(run))], name="model")
    labels = pd.Index([f"i{column}" for column in range(n_items)], name="item")
    counts = ResponseCounts(rng.binomial(trials, chance), trials, models, pd.DataFrame(index=labels), "b")
    items = xr.Dataset(
        {"difficulty": ("item", difficulty), "discrimination": ("item", slope)}, coords={"item": labels.to_numpy(str)}
    )
    return counts, items


def test_draws_are_labelled_and_steps_are_in_where_they_can_be_told(rng):
    counts, items = simulate(
        rng, n_runs=2, n_seeds=3, n_steps=2, n_items=60, sd_seed=0.3, sd_step=0.1, n_trials=3, missing=0.2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few steps on purpose
        fit = fit_seed_model(counts, QUICK, items=items)
    posterior = fit.posterior
    assert posterior["sd_seed"].dims == ("chain", "draw", "item_draw")
    assert posterior.sizes["run_step"] == 4
    assert list(posterior["step"].values) == ["0", "1", "0", "1"]
    assert list(posterior["model"].values) == list(counts.models.index)
    assert "sd_step" in posterior
    assert fit.to_dict()["responses"]["n_seeds"] == 6
    assert [check.status for check in fit.checks if check.name == "step_effect"] == ["passed"]


def test_with_one_step_the_step_effect_is_left_out_and_that_is_said(rng):
    counts, items = simulate(rng, n_runs=1, n_seeds=4, n_steps=1, n_items=60, sd_seed=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = fit_seed_model(counts, QUICK, items=items, model=SeedModel(pooled=False))
    assert "sd_step" not in fit.posterior
    assert fit.posterior["sd_seed"].dims == ("chain", "draw", "item_draw", "run")
    assert "left out" in next(check.message for check in fit.checks if check.name == "step_effect")


@pytest.mark.parametrize(("steep", "status"), [(5.0, "passed"), (1e8, "failed")])
def test_items_from_a_calibration_without_a_peak_are_named_and_do_no_harm(rng, steep, status):
    counts, items = simulate(rng, n_runs=2, n_seeds=4, n_steps=1, n_items=60, sd_seed=0.3)
    items["discrimination"][:3] = steep
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = fit_seed_model(counts, QUICK, items=items)
    assert [check.status for check in fit.checks if check.name == "known_items"] == [status]
    assert float(fit.posterior["sd_seed"].quantile(0.95)) < 3


def test_responses_that_cannot_be_used_are_refused_or_named(rng):
    counts, items = simulate(rng, n_runs=2, n_seeds=2, n_steps=1, n_items=10, sd_seed=0.3)
    with pytest.raises(FitError, match="not among the 9 known"):
        fit_seed_model(counts, QUICK, items=items.isel(item=slice(9)))
    with pytest.raises(FitError, match="'score'"):
        scores = ResponseCounts(counts.correct, counts.trials, counts.models, counts.items, "b", "score")
        fit_seed_model(scores, QUICK, items=items)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.warns(ResponsesWarning, match="1 snapshots are left out.*'m2'"):
            fit_seed_model(counts.take(models=[0, 1, 2]), QUICK, items=items)


COVERAGE = NUTSSettings(chains=1, warmup=200, draws=300, target_accept=0.8, jobs=1, seed=1)
N_REPLICATES = 400  # of runs, each with an sd and a posterior of its own: standard error of a coverage 1.5%


def covered(n_seeds, planted, *, steeper=1.0, model=PER_RUN):
    """Whether the planted sd of each run lies in its 90% interval."""
    rng = np.random.default_rng(n_seeds)
    truth = np.abs(planted[0] * rng.normal(size=N_REPLICATES)) if isinstance(planted, tuple) else planted
    truth = np.broadcast_to(truth, (N_REPLICATES,))
    counts, items = simulate(rng, n_runs=N_REPLICATES, n_seeds=n_seeds, n_steps=1, n_items=400, sd_seed=truth)
    items["discrimination"] = items["discrimination"] * steeper
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few of hundreds of values have fewer effective draws
        fit = fit_seed_model(counts, COVERAGE, items=items, model=model)
    low, high = np.quantile(fit.posterior["sd_seed"].to_numpy().reshape(-1, N_REPLICATES), [0.05, 0.95], axis=0)
    return (low <= truth) & (truth <= high)


@pytest.fixture
def record(record_coverage):
    """Record the coverage of seed sds planted."""

    def record_runs(n_seeds, planted, inside, control=""):
        said = f"half-normal({planted[0]:g})" if isinstance(planted, tuple) else planted
        about = {"seeds": n_seeds, "limits": (0.85, 0.95), "control": control}
        return record_coverage("seed model's sd", f"400 items, {n_seeds} seeds, sd {said}", inside, **about)

    return record_runs


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
def test_intervals_cover_nine_in_ten_seed_sds_drawn_from_the_prior(record, n_seeds):
    planted = (SD_PRIOR.scale,)
    assert record(n_seeds, planted, covered(n_seeds, planted)).right


@pytest.mark.slow
@pytest.mark.parametrize("planted", [0.2, 0.3, 0.8])
@pytest.mark.parametrize("n_seeds", [5, 10])
def test_intervals_cover_nine_in_ten_times_a_fixed_seed_sd(record, n_seeds, planted):
    assert record(n_seeds, planted, covered(n_seeds, planted)).right


@pytest.mark.slow
def test_items_on_a_wrong_scale_lose_the_coverage(record):
    """Negative control: a seed sd too small."""
    assert record(10, 0.3, covered(10, 0.3, steeper=3.0), "discriminations three times as large").right


@pytest.mark.slow
def test_a_prior_narrower_than_the_truth_loses_the_coverage(record):
    """Negative control: what half the width of the default prior does to large seed sds."""
    narrow = SeedModel(pooled=False, sd_seed=HalfNormal(0.5))
    assert record(5, 1.2, covered(5, 1.2, model=narrow), "prior half as wide").right
