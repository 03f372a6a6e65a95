"""Repeated trials: cells of one model and one item with a chance of their own."""

from dataclasses import replace

import numpy as np
import pytest
import scipy
import torch
from scipy.special import expit, logit
from scipy.stats import betabinom

from irt_bench import (
    Beta,
    Fit,
    FitWarning,
    LaplaceSettings,
    NUTSSettings,
    SVISettings,
    ThreePL,
    TwoPL,
    fit,
    simulate_responses,
)
from irt_bench.analysis.abilities import score_models
from irt_bench.analysis.irt import probability_table
from irt_bench.errors import AnalysisError, ModelError
from irt_bench.inference.draws import cell_chances, response_groups
from irt_bench.inference.fast.laplace import Dispersion
from irt_bench.inference.sampling.likelihood import ItemCurves, ResponseCells, log_likelihood
from irt_bench.irt_models.model import draw_cells

QUICK = LaplaceSettings(refine=False)
pytestmark = pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")  # of few models


def cells(kind, spread, seed, *, shape=(60, 80), n=20):
    """Cells with chances of their own: beta-distributed about the curve, or with normal effects on the log-odds."""
    made = simulate_responses(TwoPL(), n_models=shape[0], n_items=shape[1], seed=seed)
    truth = made.truth
    log_odds = truth["discrimination"].values * (truth["ability"].values[:, None] - truth["difficulty"].values)
    rng = np.random.default_rng(seed)
    if kind == "beta":
        r = 1 / spread - 1
        chance = rng.beta(r * expit(log_odds), r * expit(-log_odds))
    else:
        chance = expit(log_odds + spread * rng.normal(size=shape))
    counts = replace(made.table.counts(), correct=rng.binomial(n, chance), trials=np.full(shape, n))
    return counts, truth, chance


def coverage(draws, truth):
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return np.mean((low <= truth) & (truth <= high))


@pytest.mark.parametrize(("kind", "spread"), [("beta", 0.2), ("normal", 1.3)])
def test_chances_of_cells_are_covered_also_of_the_other_kind_and_not_without_dispersion(kind, spread):
    counts, _, chance = cells(kind, spread, 3)
    fitted = fit(counts, TwoPL(), QUICK, model_clusters=False)
    assert fitted.irt_model.dispersion == Beta(1.0, 3.0)
    if kind == "beta":
        low, high = np.quantile(fitted.posterior["dispersion"], [0.01, 0.99])
        assert low < spread < high
    assert 0.87 < coverage(cell_chances(fitted.irt_model, fitted.posterior, counts), chance) < 0.93
    scores = cell_chances(fitted.irt_model, fitted.posterior, counts).mean(axis=2)
    assert coverage(scores, chance.mean(axis=1)) > 0.8
    with pytest.warns(FitWarning, match="overdispersion: .* fit with dispersion='auto'"):
        plain = fit(counts, TwoPL(dispersion=None), QUICK, model_clusters=False)
    assert coverage(cell_chances(plain.irt_model, plain.posterior, counts), chance) < 0.4
    assert (
        plain.posterior["ability"].std(("chain", "draw")).mean()
        < 0.9 * fitted.posterior["ability"].std(("chain", "draw")).mean()
    )


def test_trials_that_are_independent_are_found_to_be():
    counts, _, chance = cells("normal", 0.0, 4)
    fitted = fit(counts, TwoPL(), QUICK, model_clusters=False)
    assert np.quantile(fitted.posterior["dispersion"], 0.95) < 0.02
    assert coverage(cell_chances(fitted.irt_model, fitted.posterior, counts), chance) > 0.85


def test_single_trials_know_no_dispersion():
    counts = simulate_responses(TwoPL(), n_models=40, n_items=20, seed=1).table.counts()
    found = fit(counts, TwoPL(), QUICK, model_clusters=False)
    assert "dispersion" not in found.posterior and found.irt_model.dispersion is None
    plain = fit(counts, TwoPL(dispersion=None), QUICK, model_clusters=False)
    np.testing.assert_array_equal(found.posterior["ability"], plain.posterior["ability"])


@pytest.mark.parametrize("guessing", [None, 0.2])
def test_the_likelihood_is_scipys_and_its_slopes_are_right(guessing):
    rng = np.random.default_rng(5)
    trials = rng.integers(0, 12, (7, 5))
    correct = rng.binomial(trials, 0.6)
    ability, slope, difficulty = (torch.tensor(rng.normal(size=n), requires_grad=True) for n in (7, 5, 5))
    rho = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    low = None if guessing is None else torch.full((5,), guessing, dtype=torch.float64)

    def value(*parts):
        theta, a, b, rho = parts
        curves = ItemCurves(a, b, low)
        return log_likelihood(ResponseCells.from_arrays(correct, trials), theta, curves, rho)

    known = expit((slope * (ability[:, None] - difficulty)).detach().numpy())
    mean, r = (guessing or 0) + (1 - (guessing or 0)) * known, 1 / 0.3 - 1
    ways = betabinom.logpmf(correct, trials, 1, 1) + np.log(trials + 1)  # both are uniform there
    expected = betabinom.logpmf(correct, trials, r * mean, r * (1 - mean)) - ways
    from scipy.special import gammaln

    expected = expected - (gammaln(trials + 1) - gammaln(correct + 1) - gammaln(trials - correct + 1))
    assert value(ability, slope, difficulty, rho).item() == pytest.approx(expected.sum(), rel=1e-9)
    assert torch.autograd.gradcheck(value, (ability, slope, difficulty, rho), eps=1e-6, atol=1e-5)


def test_arviz_gets_the_beta_binomial_likelihood_and_replicates_that_vary_as_much():
    counts, _, _ = cells("beta", 0.3, 6, shape=(30, 20), n=6)
    fitted = fit(counts, TwoPL(), LaplaceSettings(refine=False, draws=200), model_clusters=False)
    groups = response_groups(fitted.irt_model, fitted.posterior, counts)
    draw = fitted.posterior.isel(chain=0, draw=7)
    mean = expit(draw["discrimination"].values * (draw["ability"].values[:, None] - draw["difficulty"].values))
    r = 1 / float(draw["dispersion"]) - 1
    wanted = betabinom.logpmf(counts.correct, 6, r * mean, r * (1 - mean))
    found = groups["log_likelihood"]["correct"].isel(chain=0, draw=7).values
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)
    replicates = groups["posterior_predictive"]["correct"].values
    ends = np.mean((replicates == 0) | (replicates == 6))
    assert ends == pytest.approx(np.mean((counts.correct == 0) | (counts.correct == 6)), abs=0.06)


def test_tables_saved_fits_and_new_models(tmp_path):
    counts, _, _ = cells("beta", 0.2, 7, shape=(40, 30), n=5)
    fitted = fit(counts, TwoPL(), QUICK, model_clusters=False)
    table = probability_table(fitted.irt_model, fitted.posterior, counts)
    assert table.index.names == ["model", "item"] and (table["n_trials"] == 5).all()
    between = (table["probability"] - table["observed"]).abs() < 0.6  # drawn in towards the curve
    assert between.all()
    scores = probability_table(fitted.irt_model, fitted.posterior, counts, by="model")
    np.testing.assert_allclose(scores["observed"], counts.accuracy())
    np.testing.assert_allclose(scores["probability"], table["probability"].groupby("model").mean(), atol=1e-3)
    assert (scores["probability_q95"] - scores["probability_q05"]).between(0.02, 0.3).all()
    with pytest.raises(AnalysisError, match="by 'family' is not known"):
        probability_table(fitted.irt_model, fitted.posterior, counts, by="family")
    fitted.save(tmp_path / "fit.nc")
    assert Fit.load(tmp_path / "fit.nc").irt_model == fitted.irt_model
    scored = score_models(counts, fitted.posterior)
    alone = score_models(counts, fitted.posterior.drop_vars("dispersion"))
    assert (scored["ability_sd"] > 1.05 * alone["ability_sd"]).all()  # trials count for less


def test_simulated_cells_vary_as_much_as_they_should():
    model, known = TwoPL(dispersion=Beta(1.0, 3.0)), {"dispersion": 0.4}
    made = simulate_responses(model, n_models=50, n_items=40, seed=2, n_samples=8, hyperparameters=known)
    assert float(made.truth["dispersion"]) == 0.4
    fitted = fit(made.table.counts(), TwoPL(), QUICK, model_clusters=False)
    assert float(fitted.posterior["dispersion"].mean()) == pytest.approx(0.4, abs=0.06)


def test_wrong_values_are_refused():
    with pytest.raises(ModelError, match="dispersion 'always' is not known"):
        TwoPL(dispersion="always")
    with pytest.raises(ModelError, match="dispersion=0.2, where None or Beta or str is needed"):
        ThreePL(dispersion=0.2)


@pytest.mark.slow
def test_the_fast_method_agrees_with_nuts_and_svi():
    counts, _, _ = cells("beta", 0.2, 1, shape=(60, 40), n=10)
    exact = fit(counts, TwoPL(), NUTSSettings(chains=1, warmup=200, draws=400, jobs=1), model_clusters=False).posterior
    for settings in (LaplaceSettings(), SVISettings(max_steps=4_000)):
        other = fit(counts, TwoPL(), settings, model_clusters=False).posterior
        for name, limit in (("ability", 0.3), ("difficulty", 0.3), ("dispersion", 0.4)):
            mean, sd = exact[name].mean(("chain", "draw")), exact[name].std(("chain", "draw"))
            assert float(np.abs((other[name].mean(("chain", "draw")) - mean) / sd).mean()) < limit, name
            assert float((other[name].std(("chain", "draw")) / sd).median()) == pytest.approx(1, abs=0.2), name


@pytest.mark.parametrize(("successes", "failures"), [(1, 9), (2, 40), (40, 60), (400, 3600)])
def test_quantiles_of_the_correlation_are_those_of_a_known_density(successes, failures):
    """Beta distributions, whose logit has a long tail towards 0 if `successes` is small."""

    def log_density(at):
        return successes * np.log(expit(at)) + failures * np.log1p(-expit(at))

    mode, sd = logit(successes / (successes + failures)), (1 / successes + 1 / failures) ** 0.5
    found = expit(np.quantile(Dispersion.from_density(mode, sd, log_density).quantiles, (0.05, 0.5, 0.95)))
    assert found == pytest.approx(scipy.stats.beta(successes, failures).ppf((0.05, 0.5, 0.95)), rel=0.02)


def test_chances_that_round_to_0_and_1_have_cells_too():
    drawn = draw_cells(np.array([0.0, 1.0, 0.5], np.float32), 0.1, np.random.default_rng(0))
    assert drawn[:2] == pytest.approx([0, 1])
