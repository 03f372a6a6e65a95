"""What the package says of few seeds agrees with the 200 seeds of the bank, and what is done wrong does not."""

import pandas as pd
import pytest
import seed_bank

FULL = seed_bank.BANK / "agreement.csv"


@pytest.fixture(scope="module")
def shipped():
    return pd.read_csv(FULL)


def test_the_shipped_table_holds_every_claim_and_every_control_fails(shipped):
    claims = {
        "E", "seed sd", "robust seed sd", "component seed", "component seed:item", "sd of 50 items", "sd of 500 items",
        "verdict 'real' for one recipe", "power at the smallest detectable difference", "ratio of framings' seed sds",
        "verdict on framings of the wrong sign",
    }  # fmt: skip
    assert claims == set(shipped["quantity"])
    covered = shipped[shipped["aim"] == "0.9"]
    whole = covered[covered["n"] >= 100]
    assert whole["value"].between(0.8, 1).all() and (whole["control"] < whole["value"]).all()
    assert shipped.loc[shipped["aim"] == "0.8", "value"].between(0.75, 0.85).all()
    assert (shipped.loc[shipped["aim"] == "0.8", "control"] < 0.4).all()
    assert (shipped.loc[shipped["aim"] == "at most 0.05", "value"] <= 0.1).all()


@pytest.mark.slow
def test_intervals_of_a_few_groups_of_five_seeds_cover_the_value_of_all_seeds():
    """A part of ``python tests/calibration/seed_bank.py``: the choice framing, groups of five and of ten seeds."""
    answers = seed_bank.base_answers()
    found = seed_bank.coverage(answers[answers["benchmark"] == "choice"], sizes=(5, 10), seed=5)
    table = seed_bank.coverage_table(found)
    tasks = table[(table["part"] == "tasks") & (table["quantity"] == "seed sd")]
    assert (tasks["n"] >= 300).all() and tasks["value"].between(0.8, 0.97).all()
    assert (tasks["control"] < 0.82).all()


@pytest.mark.slow
def test_the_smallest_detectable_difference_is_found_as_often_as_it_says():
    found = seed_bank.power(seed_bank.base_answers(checkpoints=(5,)))
    assert found["value"].between(0.76, 0.84).all() and (found["control"] < 0.4).all()
