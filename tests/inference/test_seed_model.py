"""The seed model: its program and coordinates, its draws against quadrature, coverage of planted sds."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from pyro import poutine
from scipy import stats

from irt_bench import ConvergenceWarning, HalfNormal, Normal, NUTSSettings, ResponseCounts, SVISettings
from irt_bench.errors import FitError, ResponsesWarning
from irt_bench.inference.sampling.known_items import AbilityTable, SeedData, SeedDesign
from irt_bench.inference.sampling.target import Target
from irt_bench.inference.seed_model import SD_PRIOR, SeedModel, fit_seed_model


def design_of(frame):
    return SeedDesign.from_models(frame, np.ones(len(frame), bool))


def grid(n_runs, n_seeds, n_steps, drop=()):
    run, seed, step = (place.ravel() for place in np.indices((n_runs, n_seeds, n_steps)))
    return design_of(pd.DataFrame({"run": run, "seed": seed, "step": step}).drop(index=list(drop)))


def gaussian(design, mean, precision):
    """Data whose answers say just this of each checkpoint's ability: exact parabolas, shape (item_draw, checkpoint)."""
    nodes = np.linspace(-8, 8, 161)
    away, weight = nodes[:-1] - mean[..., None], precision[..., None]
    cubics = np.stack([0 * away, -weight / 2 + 0 * away, -weight * away, -weight / 2 * away**2], axis=-1)
    return SeedData(design, AbilityTable(nodes, torch.tensor(cubics)), prior_sd=2.0)


@pytest.mark.parametrize("pooled", [True, False])
def test_the_program_has_the_density_that_scipy_gives(rng, pooled):
    mean, precision = rng.normal(size=(2, 6)), rng.gamma(2, 5, size=(2, 6))
    rows = [("a", 1, 10), ("a", 2, 10), ("a", 1, 2), ("a", 2, 2), ("b", 7, 10), ("b", 8, 10)]
    data = gaussian(design_of(pd.DataFrame(rows, columns=["run", "seed", "step"])), mean, precision)
    model = SeedModel(run_mean=Normal(0.3, 1.7), sd_seed=HalfNormal(0.4), sd_step=HalfNormal(0.2), pooled=pooled)
    sd_shape = (2, 1) if pooled else (2, 2)
    seed_sd, step_sd = np.abs(rng.normal(size=(2, *sd_shape)))
    run_mean, seed_effect, step_effect = (rng.normal(size=(2, n)) for n in (3, 4, 6))
    given = {"sd_seed": seed_sd, "sd_step": step_sd, "run_mean": run_mean, "step_effect": step_effect}
    values = {name: torch.tensor(value) for name, value in given.items()}
    values["seed_turned"] = data.turn(torch.tensor(seed_effect))
    trace = poutine.trace(poutine.condition(model.program, data=values)).get_trace(data)
    np.testing.assert_allclose(trace.nodes["seed_effect"]["value"], seed_effect)
    # Pairs are in the order (a, 2), (a, 10), (b, 10) and (a, 1), (a, 2), (b, 7), (b, 8).
    ability = run_mean[:, [1, 1, 0, 0, 2, 2]] + seed_effect[:, [0, 1, 0, 1, 2, 3]] + step_effect
    np.testing.assert_allclose(trace.nodes["ability"]["value"], ability)
    expected = (
        stats.halfnorm.logpdf(seed_sd, scale=0.4).sum()
        + stats.halfnorm.logpdf(step_sd, scale=0.2).sum()
        + stats.norm.logpdf(run_mean, 0.3, 1.7).sum()
        + stats.norm.logpdf(seed_effect, 0, np.broadcast_to(seed_sd, (2, 2))[:, [0, 0, 1, 1]]).sum()
        + stats.norm.logpdf(step_effect, 0, np.broadcast_to(step_sd, (2, 2))[:, [0, 0, 0, 0, 1, 1]]).sum()
        - (precision * (ability - mean) ** 2).sum() / 2
    )
    assert float(trace.log_prob_sum()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 3, 1)])
@pytest.mark.parametrize("drop", [(), (1,)])
def test_advice_on_coordinates_leaves_the_density_as_it_is(rng, shape, drop):
    """log p(sites) from Pyro + log |d sites / d coordinates| by differences, up to a constant: at two points."""
    model, design = SeedModel(pooled=False), grid(*shape, drop=drop)
    n = len(design.rows)
    data = gaussian(design, rng.normal(size=(1, n)), rng.gamma(2, 5, size=(1, n)))
    target = Target(model, data)

    def sites(point):
        values = target.values(point, rng)
        return {name: values[name] for name in target.blocks}

    def constant(point, step=1e-5):
        ends = [sites(point + sign * step * np.eye(target.size)) for sign in (1, -1)]
        flat = [np.concatenate([v.reshape(target.size, -1) for v in end.values()], axis=1) for end in ends]
        _, jacobian = np.linalg.slogdet((flat[0] - flat[1]) / (2 * step))
        values = {name: torch.tensor(value) for name, value in sites(point).items()}
        trace = poutine.trace(poutine.condition(model.program, data=values)).get_trace(data)
        return target.value_and_gradient(point)[0] - float(trace.log_prob_sum()) - jacobian

    first, second = (constant(rng.normal(size=target.size)) for _ in range(2))
    assert first == pytest.approx(second, abs=1e-5)


@pytest.mark.parametrize(("n_steps", "balanced"), [(1, False), (3, True)])
def test_gaussian_answers_leave_standard_normal_coordinates_and_the_marginal_density(rng, n_steps, balanced):
    """With exactly Gaussian measurements, density - log N(z) is the marginal of the sds: a multivariate normal's."""
    design = grid(2, 4, n_steps)
    n = len(design.rows)
    mean, precision = rng.normal(size=n), np.full(n, 20.0) if balanced else rng.gamma(4, 5, size=n)
    data = gaussian(design, mean[None], precision[None])
    target = Target(SeedModel(run_mean=Normal(0.4, 2.0)), data)

    def constant(point):
        n_sds = 1 + design.has_steps
        value, values = target.value_and_gradient(point)[0], target.values(point, rng)
        covariance = 4.0 * (design.steps.of[:, None] == design.steps.of)
        covariance += values["sd_seed"].item() ** 2 * (design.seeds.of[:, None] == design.seeds.of)
        covariance += np.diag(1 / precision + (values["sd_step"].item() ** 2 if n_steps > 1 else 0))
        marginal = stats.multivariate_normal.logpdf(mean, np.full(n, 0.4), covariance)
        prior = stats.norm.logpdf(point[:n_sds]).sum()  # in normal scores of the half-normal
        return value - stats.norm.logpdf(point[n_sds:]).sum() - marginal - prior

    first, second = (constant(0.7 * rng.normal(size=target.size)) for _ in range(2))
    assert first == pytest.approx(second, abs=1e-8)


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
        with pytest.warns(ResponsesWarning, match="1 checkpoints are left out.*'m2'"):
            fit_seed_model(counts.take(models=[0, 1, 2]), QUICK, items=items)


N_SEEDS, N_ITEMS = 6, 150


@pytest.fixture(scope="module")
def answers():
    """One run of six seeds at one step, planted sd 0.4."""
    return simulate(np.random.default_rng(3), n_runs=1, n_seeds=N_SEEDS, n_steps=1, n_items=N_ITEMS, sd_seed=0.4)


def fit_quietly(answers, settings, prior_sd=0.5):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit_seed_model(answers[0], settings, items=answers[1], model=SeedModel(sd_seed=HalfNormal(prior_sd)))


def quadrature(answers, prior_sd=0.5):
    """Quantiles of the sd_seed of all runs by brute force over (sd, run mean, ability)."""
    correct, items = answers[0].correct, answers[1]
    ability = np.linspace(-2.5, 2.5, 1001)
    slope, difficulty = (items[name].to_numpy()[:, None] for name in ("discrimination", "difficulty"))
    chance = 1 / (1 + np.exp(-slope * (ability - difficulty)))
    log_likelihood = correct @ np.log(chance) + (1 - correct) @ np.log(1 - chance)
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    sds, means = np.linspace(0.012, 2.0, 150), np.linspace(-2, 2, 201)
    density = np.empty(len(sds))
    for place, sd in enumerate(sds):
        kernel = stats.norm.pdf(ability, means[:, None], sd)
        seeds = (likelihood @ kernel.T).reshape(-1, N_SEEDS, len(means))
        runs = (seeds.prod(axis=1) * stats.norm.pdf(means, 0, 2)).sum(axis=1)
        density[place] = runs.prod() * stats.halfnorm.pdf(sd, scale=prior_sd)
    cumulated = np.cumsum(density) / density.sum()
    return np.interp([0.05, 0.5, 0.95], cumulated, sds)


def agree(fit, exact):
    """Limits within a tenth of the interval's width: three Monte Carlo errors of 800 draws."""
    found = np.quantile(fit.posterior["sd_seed"], [0.05, 0.5, 0.95])
    return bool(np.all(np.abs(found - exact) < 0.1 * (exact[2] - exact[0])))


def test_nuts_draws_the_posterior_that_quadrature_gives(answers):
    settings = NUTSSettings(chains=2, warmup=150, draws=400, target_accept=0.8, jobs=1, seed=5)
    fit = fit_quietly(answers, settings)
    exact = quadrature(answers)
    assert agree(fit, exact)
    assert {check.name: check.status for check in fit.checks}["divergences"] == "passed"
    assert not agree(fit, quadrature(answers, prior_sd=0.1)), "a wrong prior is not caught"


def test_svi_agrees_with_quadrature_and_an_unfinished_guide_is_caught(answers):
    fit = fit_quietly(answers, SVISettings(seed=5, draws=4000))
    assert agree(fit, quadrature(answers))
    assert fit.converged
    unfinished = fit_quietly(answers, SVISettings(seed=5, max_steps=100))
    assert [check.status for check in unfinished.checks if check.name == "elbo_plateau"] == ["failed"]


def close_seeds():
    """Four runs whose seeds differ less than their abilities are known: their sd may be near 0."""
    return simulate(np.random.default_rng(11), n_runs=4, n_seeds=N_SEEDS, n_steps=1, n_items=N_ITEMS, sd_seed=0.1)


def test_svi_says_where_the_sd_may_be_near_0(answers):
    status = [{c.name: c.status for c in fit_quietly(a, QUICK).checks}["sd_tail"] for a in (close_seeds(), answers)]
    assert status == ["failed", "passed"]


@pytest.mark.slow
def test_where_the_sd_may_be_near_0_nuts_is_right_and_svi_is_not():
    """SVI's interval begins too high, and the check of the sds' tail is the only one that fails."""
    nuts = NUTSSettings(chains=2, warmup=150, draws=1000, target_accept=0.8, jobs=1, seed=5)
    svi = fit_quietly(close_seeds(), SVISettings(seed=5, draws=4000))
    assert agree(fit_quietly(close_seeds(), nuts), quadrature(close_seeds()))
    assert not agree(svi, quadrature(close_seeds()))
    assert [check.name for check in svi.checks if check.status == "failed"] == ["sd_tail"]


def test_the_same_seed_gives_the_same_draws(answers):
    tiny = NUTSSettings(chains=2, warmup=4, draws=6, jobs=1, seed=2)
    one, two = (fit_quietly(answers, tiny).posterior for _ in range(2))
    xr.testing.assert_identical(one, two)
    assert one["ability"].shape == (2, 6, 1, N_SEEDS)


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
