from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import halfnorm, kstest, norm

from irt_bench import (
    Groups,
    HalfNormal,
    Hierarchical,
    LaplaceSettings,
    Normal,
    OnePL,
    Regression,
    ThreePL,
    TwoPL,
    simulate_responses,
)
from irt_bench.inference.convergence import maximum_checks
from irt_bench.inference.fast.gibbs import Scales, chain_convergence, sweep
from irt_bench.inference.fast.gibbs_targets import Answers
from irt_bench.inference.fast.laplace import fit_laplace

MODELS = {
    "1pl": OnePL(),
    "2pl": TwoPL(),
    "3pl": ThreePL(guessing=0.2),
    "1pl, independent": OnePL(difficulty=Normal(0.5, 1.5), log_discrimination=Normal(0.1, 0.3)),
    "2pl, independent": TwoPL(difficulty=Normal(0.5, 1.5), log_discrimination=Normal(0.1, 0.6)),
    "2pl, independent slopes": TwoPL(log_discrimination=Normal(-0.1, 0.5)),
}
N_MODELS, N_ITEMS = 12, 6
METADATA = pd.DataFrame({"family": list("aabbbbcccddd"), "size": np.r_[:12] ** 1.5}, index=[f"m{i}" for i in range(12)])
POPULATIONS = {
    "groups": TwoPL(population=Groups("family", reference="b", mean=Normal(0.3, 1.0))),
    "groups, 1pl independent": OnePL(
        difficulty=Normal(0.5, 1.5), log_discrimination=Normal(0.1, 0.3), population=Groups("family", reference="b")
    ),
    "regression": TwoPL(population=Regression(["size"], group="family")),
}
MODELS |= {name: model.for_models(METADATA, np.ones(12, bool)) for name, model in POPULATIONS.items()}
KNOWN = {
    "ability": norm(0, 1).cdf,
    "difficulty_mean": norm(0, 2).cdf,
    "difficulty_sd": halfnorm(scale=2).cdf,
    "slope_mean": norm(0, 1).cdf,
    "slope_sd": halfnorm(scale=0.5).cdf,
}


def swept(from_prior, irt_model, n_draws, sweeps, *, wrong=None):
    """Truths drawn from the prior, answers drawn from them, and sweeps that start at the truth (Geweke 2004)."""
    rng = np.random.default_rng(3)
    scales = Scales(np.full((N_MODELS, 1, 1), 0.7), np.tile(0.6 * np.eye(2), (N_ITEMS, 1, 1)), 0.3 * np.eye(2)[None])
    if irt_model.shared_slope:
        scales = scales._replace(items=scales.items[:, :1, :1])
    learned = isinstance(irt_model.difficulty, Hierarchical), not isinstance(irt_model.log_discrimination, Normal)
    scales = scales._replace(spreads=0.3 * np.diag([learned[0], learned[1] or irt_model.shared_slope])[None])
    low = np.full(N_ITEMS, 0.2) if isinstance(irt_model, ThreePL) else None
    ends = []
    for _ in range(n_draws):
        state = from_prior(irt_model, 1, N_MODELS, N_ITEMS, rng)
        known = 1 / (1 + np.exp(-(state.ability[0][:, None] * np.exp(state.log_slope[0]) + state.intercept[0])))
        right = known if low is None else low + (1 - low) * known
        answers = Answers(rng.binomial(1, right), np.ones_like(right, int), low)
        for _ in range(sweeps):
            state = sweep(wrong or irt_model, answers, state, scales, rng)
        ends.append(state)
    return {name: np.concatenate([getattr(state, name) for state in ends]) for name in vars(ends[0])}


def least_p(irt_model, ends):
    """Smallest p-value of Kolmogorov-Smirnov tests that the parameters are still distributed as their priors say."""
    prior = irt_model.log_discrimination
    known = KNOWN
    if isinstance(prior, Normal):
        known = {name: cdf for name, cdf in known.items() if not name.startswith("slope")}
        known["log_slope"] = norm(prior.loc, prior.scale).cdf
    if isinstance(prior := irt_model.difficulty, Normal):
        known = {name: cdf for name, cdf in known.items() if not name.startswith("difficulty")}
        known["difficulty"] = norm(prior.loc, prior.scale).cdf
        ends["difficulty"] = -ends["intercept"] / np.exp(ends["log_slope"])
    if (population := irt_model.population) is not None:
        known = {name: cdf for name, cdf in known.items() if name != "ability"}  # not N(0, 1)
        mean, sd = irt_model.design.prior(ends["population"])
        ends["standardised"] = (ends["ability"] - mean) / sd
        first, spread = irt_model.design.coefficient, irt_model.design.sd
        ends["first"], ends["spread"] = ends["population"][:, :1], ends["population"][:, -1:]
        known |= {"first": norm(first.loc, first.scale).cdf, "spread": halfnorm(scale=spread.scale).cdf}
        known["standardised"] = norm(0, 1).cdf
        if population.kind == "regression":
            ends["effect"] = ends["population"][:, 1:2] / ends["population"][:, -1:]
            known["effect"] = norm(0, 1).cdf
    return min(kstest(ends[name][:, 0], cdf).pvalue for name, cdf in known.items())


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide")
@pytest.mark.parametrize("name", MODELS)
def test_a_start_at_the_truth_stays_distributed_as_the_prior(name, from_prior):
    assert least_p(MODELS[name], swept(from_prior, MODELS[name], 400, 3)) > 0.002


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide")
def test_sweeps_with_a_wrong_prior_leave_it(from_prior):
    wrong = replace(TwoPL(), difficulty=Hierarchical(Normal(0, 2), HalfNormal(0.5)))
    assert least_p(TwoPL(), swept(from_prior, TwoPL(), 400, 3, wrong=wrong)) < 1e-4


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide")
@pytest.mark.parametrize(
    "wrong", [Groups("family", reference="b", sd=HalfNormal(0.5)), Groups("family", reference="b", mean=Normal(2, 0.5))]
)
def test_sweeps_with_a_wrong_prior_of_groups_leave_it(from_prior, wrong):
    other = TwoPL(population=wrong).for_models(METADATA, np.ones(12, bool))
    assert least_p(MODELS["groups"], swept(from_prior, MODELS["groups"], 400, 3, wrong=other)) < 1e-4


def test_draws_depend_on_the_seed_and_not_on_the_threads():
    counts = simulate_responses(TwoPL(), n_models=60, n_items=80, seed=0).table.counts()

    told = []

    def draw(seed, threads):
        settings = LaplaceSettings(seed=seed, threads=threads, draws=400)
        told.clear()
        progress = lambda *what: told.append(what)  # noqa: E731
        return fit_laplace(TwoPL(), counts.correct, counts.trials, settings, progress).sites["difficulty"]

    assert draw(0, 1).shape == (1, 400, 80)
    np.testing.assert_array_equal(draw(0, 1), draw(0, 2))
    assert (draw(0, 1) != draw(1, 1)).any()
    assert told[-1] == ("refining", 76, 76)


def test_chains_that_are_not_stationary_or_do_not_move_fail_a_check():
    rng = np.random.default_rng(5)
    good = {"difficulty_sd": 1 + 0.1 * rng.normal(size=(1, 1_000)), "ability": np.zeros((1, 1_000, 4))}
    moving = {"difficulty_sd": good["difficulty_sd"] + np.linspace(0, 0.3, 1_000)}
    stuck = {"difficulty_sd": np.tile(good["difficulty_sd"][:, :63], 16)[:, :1_000]}
    notes = {"change": 0.0, "tolerance": 1e-3, "sweeps": 9, "n_models": 5, "n_items": 5}
    for sites, wanted in ((good, set()), (moving, {"stationary"}), (stuck, {"mixed"})):
        checks = {check.name: check.status for check in maximum_checks(notes | chain_convergence(sites))}
        assert {name for name, status in checks.items() if status == "failed"} == wanted
        assert "normality" not in checks
