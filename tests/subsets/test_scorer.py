import numpy as np
import pytest
from scipy import integrate, stats

from irt_bench import LaplaceSettings, TwoPL
from irt_bench.subsets.basis import SelectionBasis
from irt_bench.subsets.calibration import CalibrationPlan
from irt_bench.subsets.scorer import (
    LikelihoodCurves,
    ModelScorer,
    WeightedItems,
    join_summaries,
    make_scorer,
    maximum_likelihood_node,
    summarise_responses,
)


@pytest.fixture
def made(basis):
    chosen = basis.select(np.arange(0, 60, 3))
    return make_scorer(basis, chosen, np.full(20, 1 / 20))


def reading(made, toy, **kwargs):
    return summarise_responses(made, toy.counts.take(items=slice(0, 60, 3), **kwargs))


def test_with_all_items_seen_nothing_is_left_to_expect(toy, basis):
    """p-IRT is then the plain mean."""
    made = make_scorer(basis, basis.select(np.arange(60)), np.full(60, 1 / 60))
    summary = summarise_responses(made, toy.counts)
    assert summary.unseen == pytest.approx(0, abs=1e-12)
    assert summary.observed == pytest.approx(toy.counts.correct.mean(axis=1))
    assert summary.variance == pytest.approx(0, abs=1e-12)
    assert summary.asked_share == pytest.approx(1)


def test_unseen_part_and_its_variance_agree_with_numerical_integration(toy, basis, made):
    summary = reading(made, toy, models=slice(0, 3))
    others = np.setdiff1d(np.arange(60), np.arange(0, 60, 3))
    b, a = basis.parameters.difficulty, basis.parameters.discrimination

    def chance(theta, items):
        return 1 / (1 + np.exp(-a[items] * (theta - b[items])))

    for row in range(3):
        mean, sd = summary.ability[row], summary.ability_sd[row]

        def over(function, mean=mean, sd=sd):
            return integrate.quad(lambda t: function(t) * stats.norm.pdf(t, mean, sd), mean - 8 * sd, mean + 8 * sd)[0]

        expected = over(lambda t: chance(t, others).sum() / 60)
        square = over(lambda t: (chance(t, others).sum() / 60) ** 2)
        answers = over(lambda t: (chance(t, others) * (1 - chance(t, others))).sum() / 3600)
        assert summary.unseen[row] == pytest.approx(expected, abs=1e-3)
        assert summary.variance[row] == pytest.approx(square - expected**2 + answers, rel=0.05)


def test_missing_answers_count_as_unseen(toy, basis, made):
    """Leaving an item unasked equals an instrument without it."""
    answers = toy.counts.take(items=slice(0, 60, 3))
    trials = answers.trials.copy()
    trials[:, 4] = 0
    partly = type(answers)(answers.correct * trials, trials, answers.models, answers.items, "toy")
    chosen = np.delete(np.arange(0, 60, 3), 4)
    smaller = make_scorer(basis, basis.select(chosen), np.full(19, 1 / 19))
    without, other = summarise_responses(made, partly), summarise_responses(smaller, toy.counts.take(items=chosen))
    assert without.weighted == pytest.approx(other.weighted)
    assert without.observed == pytest.approx(other.observed)
    assert without.unseen == pytest.approx(other.unseen, abs=2e-3)
    assert without.expected == pytest.approx(other.expected, abs=2e-3)
    assert without.variance == pytest.approx(other.variance, rel=0.05)
    p = 1 / (1 + np.exp(-basis.parameters.discrimination[12] * (without.ability - basis.parameters.difficulty[12])))
    assert without.answers[:, 4] == pytest.approx(p, abs=0.04)  # mean over the posterior of ability


def test_variances_of_the_full_score_are_those_of_simulated_models(simulate):
    big = simulate(n_models=4000, n_items=60, seed=5)
    basis = SelectionBasis(big.counts, big.posterior(big.counts))
    made = make_scorer(basis, basis.select(np.arange(0, 60, 3)), np.full(20, 1 / 20))
    summary = summarise_responses(made, big.counts.take(items=slice(0, 60, 3)))
    error = summary.observed + summary.unseen - big.counts.correct.mean(axis=1)
    assert (error**2 / summary.variance).mean() == pytest.approx(1, abs=0.08)


def test_the_likelihood_is_greatest_where_expected_and_observed_scores_agree(toy, made):
    """For slopes a, sum a_i (y_i - P_i) = 0 at the maximum."""
    answers = toy.counts.take(items=slice(0, 60, 3))
    found = made.nodes[maximum_likelihood_node(made, answers.correct, answers.trials)]
    inside = np.abs(found) < 4.9
    p = 1 / (1 + np.exp(-made.parameters.discrimination * (found[:, None] - made.parameters.difficulty)))
    score = ((answers.correct - p) * made.parameters.discrimination).sum(axis=1)
    step = 0.05 * (p * (1 - p) * made.parameters.discrimination**2).sum(axis=1)
    assert inside.sum() > 50 and (np.abs(score) <= step)[inside].all()


def test_joined_evidence_has_all_models(toy, made):
    parts = [reading(made, toy, models=slice(0, 5)), reading(made, toy, models=slice(5, 9))]
    joined = join_summaries(parts)
    assert len(joined.ability) == 9
    assert joined.unseen == pytest.approx(reading(made, toy, models=slice(0, 9)).unseen)


def test_random_subsets_are_read_as_those_that_are_made_also_of_models_abler_than_the_calibration(make_counts):
    """Items of few weak calibration models are uncertain, and one mean curve is no substitute for their draws."""
    away = {"records": [], "mean curves": []}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        ability = np.concatenate([rng.normal(-0.5, 0.7, 25), rng.normal(1.5, 0.3, 40)])[:, None]
        chance = 1 / (1 + np.exp(-rng.lognormal(0.3, 0.5, 200) * (ability - rng.normal(0, 1.5, 200))))
        counts = make_counts(rng.binomial(1, chance), np.ones(chance.shape, int))
        basis = CalibrationPlan(TwoPL(), LaplaceSettings(refine=False)).fit_basis(counts.take(models=slice(25)))
        abler, weights = counts.take(models=slice(25, None)), np.full(30, 1 / 30)
        drawn = np.sort([rng.choice(200, 30, replace=False) for _ in range(20)], axis=1)
        made = [summarise_responses(make_scorer(basis, basis.select(each), weights), abler, each) for each in drawn]
        for name, curves in (("records", LikelihoodCurves.of_records(basis)), ("mean curves", None)):
            scorer = ModelScorer(basis, abler, curves)
            found = [scorer.read(WeightedItems(items, weights)).unseen for items in drawn]
            away[name].append(np.mean([each - other.unseen for each, other in zip(found, made, strict=True)]))
    assert abs(np.mean(away["records"])) < 0.0045  # of the full score; what eight draws leave open
    assert abs(np.mean(away["mean curves"])) > 0.006  # the control
