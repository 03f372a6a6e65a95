import numpy as np

from irt_bench.checks.fitted_responses import Limit, above_limit, not_applicable

LITERATURE = Limit(0.5, "A. Uthor 2000")


def test_a_value_must_be_above_the_literature_and_above_all_chance():
    chance = np.array([0.1, 0.7])
    assert above_limit("x", 0.8, "", limit=LITERATURE, chance=chance).status == "failed"
    assert above_limit("x", 0.6, "", limit=LITERATURE, chance=chance).status == "passed"
    assert above_limit("x", 0.4, "", limit=LITERATURE, chance=np.array([0.1])).status == "passed"
    assert above_limit("x", 0.2, "", limit=None, chance=np.array([0.1])).status == "failed"


def test_the_source_names_what_the_limit_rests_on():
    check = above_limit("x", 0.8, "found", limit=LITERATURE, chance=np.array([0.1, np.nan]))
    assert "A. Uthor 2000" in check.source and "largest of 1" in check.source
    assert check.threshold == 0.5 and check.to_dict()["message"] == "found"


def test_an_undefined_value_does_not_apply_rather_than_pass():
    assert above_limit("x", np.nan, "", limit=LITERATURE, chance=np.empty(0)).status == "not_applicable"
    check = not_applicable("x", "too few models")
    assert check.value is None and check.message == "too few models"
