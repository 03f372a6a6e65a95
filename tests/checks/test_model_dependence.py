"""Near-copies and families among models: found where they were planted, not where chance made them."""

import warnings

import numpy as np
import pandas as pd
import pytest
import related

from irt_bench import LaplaceSettings, TwoPL, fit
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.checks import check_fit
from irt_bench.checks.fitted_responses import PosteriorDraws, fit_abilities, refit, replicate_responses
from irt_bench.checks.local_dependence import (
    MAX_MODELS,
    ModelGroups,
    dependence_checks,
    group_models,
    model_similarity,
)
from irt_bench.inference.fast.laplace import approximate

ALL = ModelGroups(np.arange(100), None)


def chance_of(simulate_answers, rng, model_groups, n=19):
    answers = [simulate_answers(rng, n_models=100, n_items=80) for _ in range(n)]
    return np.array([model_similarity(each, model_groups) for each in answers])


def test_a_near_copy_is_named_with_its_original(rng, simulate, labels):
    correct, trials, items = simulate(rng, n_models=100, n_items=80)
    correct[70] = np.where(rng.random(80) < 0.95, correct[20], correct[70])
    chance = np.tile([0.3, 1.1], (9, 1))
    copies, _ = dependence_checks(fit_abilities(correct, trials, items), ALL, labels(100, "m"), chance)
    assert copies.status == "failed"
    assert copies.message == "1 models are near-copies of others; most similar: m20 and m70"


def test_independent_models_pass(rng, simulate_answers, labels):
    chance = chance_of(simulate_answers, rng, ALL)
    answers = simulate_answers(rng, n_models=100, n_items=80)
    assert [each.status for each in dependence_checks(answers, ALL, labels(100), chance)] == ["passed", "passed"]


def test_named_groups_have_the_design_effect_of_their_correlation(rng, simulate_answers):
    """Pairs of twins: one plus the correlation of the other twin's residuals."""
    answers = simulate_answers(rng, n_models=100, n_items=80)
    twins = ModelGroups(np.arange(100), np.arange(100) // 2)
    residual = answers.residual
    cosines = [
        residual[place] @ residual[place + 1] / np.linalg.norm(residual[place]) / np.linalg.norm(residual[place + 1])
        for place in range(0, 100, 2)
    ]
    assert model_similarity(answers, twins).design_effect == pytest.approx(1 + np.mean(cosines), abs=1e-5)


def test_models_that_leave_nothing_open_have_no_check(rng, simulate_answers, labels):
    answers = simulate_answers(rng, n_models=100, n_items=8)
    for each in dependence_checks(answers, ALL, labels(100), np.full((9, 2), np.nan)):
        assert each.status == "not_applicable"
        assert "residual variance of 10" in each.message


def test_of_many_models_some_are_looked_at_and_those_without_a_group_are_alone(rng):
    models = pd.Index([f"m{place}" for place in range(MAX_MODELS + 50)])
    groups = pd.Series("a", index=models[:700])
    found = group_models(models, groups, rng)
    assert len(found.models) == MAX_MODELS
    assert np.bincount(found.group).max() == (found.models < 700).sum()
    assert len(np.unique(found.group)) == 1 + (found.models >= 700).sum()
    assert group_models(models[:30], None, rng).group is None


def test_check_fit_finds_families_and_tells_what_they_cost(make_counts):
    truth = related.families(1, sd=1.2, n_models=100, n_items=100, n_families=10)
    counts = make_counts(truth.correct)
    fitted = fit(counts, TwoPL(), LaplaceSettings(refine=False), model_clusters=False)
    groups = pd.Series(truth.cluster, index=counts.models.index).map("family {}".format)
    for named, text in ((None, "family found"), (groups, "largest group has 10: m")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = check_fit(counts, fitted, groups=named, replicates=9).table().loc["families"]
        assert found["status"] == "failed"
        assert text in found["message"]
        assert "as much information on the items as" in found["message"]


def failures(truth, *, named, seed, n_replicates=19):
    """Which of the two checks fail for a fit to answers of related models, as `check_fit` would have it."""
    n_models = len(truth.cluster)
    fitted = approximate(TwoPL(), truth.correct, np.ones_like(truth.correct), threads=1).draws(100)
    slope = np.exp(fitted["log_discrimination"])
    items = ItemParameters(fitted["difficulty"], slope, np.zeros_like(slope), np.ones_like(slope))
    draws = PosteriorDraws(TwoPL(), items, fitted["ability"].astype(float))
    model_groups = ModelGroups(np.arange(n_models), truth.cluster if named else None)
    rng = np.random.default_rng(seed)
    replicates = replicate_responses(draws, np.ones_like(truth.correct), n_replicates, rng)
    chance = np.array([model_similarity(each, model_groups) for each in replicates])
    answers = refit(draws, truth.correct, np.ones_like(truth.correct))
    checks = dependence_checks(answers, model_groups, pd.RangeIndex(n_models), chance)
    return {check.name: check.status == "failed" for check in checks}


# Share of data sets in which a check must fail; with 19 replicates chance makes `families` fail in one of 20.
DESIGNS = {
    "independent": (lambda seed: related.families(seed, sd=0.0), False, {"near_copies": (0, 0), "families": (0, 0.3)}),
    "independent, 15 groups named": (lambda seed: related.families(seed, sd=0.0), True, {"families": (0, 0.3)}),
    "families, sd .5, named": (lambda seed: related.families(seed, sd=0.5), True, {"families": (0.9, 1)}),
    "families, sd 1": (lambda seed: related.families(seed, sd=1.0), False, {"near_copies": (0, 0), "families": (1, 1)}),
    "30% near-copies": (lambda seed: related.near_copies(seed), False, {"near_copies": (1, 1), "families": (1, 1)}),
    "60% near-copies": (
        lambda seed: related.near_copies(seed, share=0.6), False, {"near_copies": (1, 1), "families": (1, 1)},
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_power_and_false_alarms(design):
    """150 models x 300 items, ten data sets; families of sd .5 that are not named are found in few of them."""
    make, named, wanted = DESIGNS[design]
    found = [failures(make(seed), named=named, seed=seed) for seed in range(1, 11)]
    shares = pd.DataFrame(found).mean()
    print(design, shares.to_dict())
    for name, (low, high) in wanted.items():
        assert low <= shares[name] <= high, (design, name, shares[name])
