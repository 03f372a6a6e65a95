import numpy as np
import pandas as pd
import pytest

from irt_bench.checks import local_dependence as module
from irt_bench.checks.fitted_responses import fit_abilities
from irt_bench.checks.local_dependence import ResidualCorrelations, residual_correlations


@pytest.fixture
def items():
    """Thirty items in six subtasks, with columns that put nothing, or everything, together."""
    columns = {
        "subtask": np.repeat([f"s{at}" for at in range(6)], 5),
        "doc_hash": [f"h{at}" for at in range(30)],
        "language": "en",
        "choices": np.tile([3, 4], 15),
    }
    return pd.DataFrame(columns, index=pd.Index([f"i{at}" for at in range(30)], name="item"))


@pytest.fixture
def answers_with(rng, simulate):
    def make(sd):
        shared = np.repeat(sd * rng.normal(size=(300, 6)), 5, axis=1)
        _, trials, parameters = simulate(rng)
        log_odds = parameters.discrimination * (rng.normal(size=(300, 1)) - parameters.difficulty + shared)
        return fit_abilities(rng.binomial(trials, 1 / (1 + np.exp(-log_odds))), trials, parameters)

    return make


def test_columns_of_text_that_put_some_items_together_are_found(items):
    assert [each.column for each in module.testlets_of(items, np.arange(30))] == ["subtask"]
    assert module.testlets_of(items, np.arange(0, 30, 5)) == []
    some = items.assign(subtask=items["subtask"].where(items["subtask"] != "s0"))
    (found,) = module.testlets_of(some, np.arange(30))
    assert not found.together()[0, 1] and found.together()[5, 6] and found.mean_partners == 4


def test_answers_that_go_together_within_subtasks_are_caught(items, answers_with):
    testlets, everything = module.testlets_of(items, np.arange(30)), np.arange(30)
    chance = np.array(
        [module.design_effects(residual_correlations(answers_with(0.0), everything), testlets) for _ in range(19)]
    )
    for sd, status in ((0.0, "passed"), (1.0, "failed")):
        check = module.testlet_check(residual_correlations(answers_with(sd), everything), testlets, chance)
        assert check.status == status
    assert "within 'subtask'" in check.message and "largest in s" in check.message and check.value > 1.3


def test_the_figure_is_the_design_effect_of_equal_residuals(items):
    testlets = module.testlets_of(items, np.arange(30))
    correlation = np.where(testlets[0].together(), 0.2, 0.0)
    np.fill_diagonal(correlation, np.nan)
    found = ResidualCorrelations(correlation, 0.0, np.full((30, 30), 50.0))
    assert module.design_effects(found, testlets) == pytest.approx(1 + 4 * 0.2)
    check = module.testlet_check(found, testlets, np.array([[1.02], [1.05]]))
    assert check.threshold == 1.1 and check.value == pytest.approx(1.8)


def test_without_testlets_the_check_does_not_apply(items):
    nothing = ResidualCorrelations(np.full((30, 30), np.nan), np.nan, np.zeros((30, 30)))
    assert module.testlet_check(nothing, [], np.empty((19, 0))).status == "not_applicable"
    check = module.testlet_check(nothing, module.testlets_of(items, np.arange(30)), np.full((19, 1), np.nan))
    assert check.status == "not_applicable"
