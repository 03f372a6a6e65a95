import check_power
import numpy as np
import pandas as pd
import pytest


def test_scenarios_depart_from_the_model_as_they_say(monkeypatch):
    monkeypatch.setattr(check_power, "N_MODELS", 2000)
    rng = np.random.default_rng(0)
    truth, correct = check_power.SCENARIOS["guessing 0.25"](rng)
    hopeless = truth.slope * (truth.ability[:, None] - truth.difficulty) < -4
    assert correct[hopeless].mean() == pytest.approx(0.25, abs=0.05)
    truth, _ = check_power.SCENARIOS["testlets of 5, sd 1"](rng)
    effect = truth.added / truth.slope
    assert effect.std() == pytest.approx(1, abs=0.05) and np.allclose(effect[:, 0], effect[:, 4])
    assert abs(np.corrcoef(effect[:, 4], effect[:, 5])[0, 1]) < 0.1
    truth, correct = check_power.SCENARIOS["30% near-copies of models"](rng)
    assert (correct[:600] == correct[600:1200]).mean() > 0.95
    truth, _ = check_power.SCENARIOS["two forms, groups 1.5 sd apart"](rng)
    difference = truth.ability[truth.member].mean() - truth.ability[~truth.member].mean()
    assert difference == pytest.approx(1.5, abs=0.2) and 0 < (truth.trials == 0).mean() < 0.5


def test_a_run_goes_on_where_it_stopped_and_counts(tmp_path, monkeypatch):
    asked = []

    def told(scenario, replicate):
        asked.append((scenario, replicate))
        failed = scenario == "true model, families" and replicate == 0
        status = ["failed" if failed else "passed", "not_applicable"]
        rows = {"check": ["q3", "dif"], "status": status, "value": 1.0, "threshold": 2.0}
        return pd.DataFrame(rows).assign(scenario=scenario, replicate=replicate)[[*check_power.KEYS, *list(rows)[1:]]]

    monkeypatch.setattr(check_power, "outcomes", told)
    names = ["true model", "true model, families"]
    check_power.run(tmp_path, data_sets=1, minutes=1, scenarios=names)
    found = check_power.run(tmp_path, data_sets=2, minutes=1, scenarios=names)
    assert asked == [("true model", 0), ("true model, families", 0), ("true model", 1), ("true model, families", 1)]
    found = found.set_index(["scenario", "check"])
    assert found.loc[("true model, families", "q3"), ["n_failed", "n", "rate"]].tolist() == [1, 2, 0.5]
    assert found.loc[("true model, families", "any"), "n_failed"] == 1 and np.isnan(
        found.loc[("true model", "dif"), "rate"]
    )
    assert len(check_power.run(tmp_path, data_sets=9, minutes=0, scenarios=names)) == len(found)


@pytest.mark.slow
def test_checks_fail_seldom_where_the_model_holds_and_often_where_it_does_not():
    """Of 8 data sets: at most 2 failures of a check (3 have probability .02 at a rate of 5%), and 6 catches."""
    names = ["true model", "testlets of 5, sd 1", "two forms, groups 1.5 sd apart"]
    told = pd.concat([check_power.outcomes(name, replicate) for name in names for replicate in range(100, 108)])
    failed = check_power.rates(told).set_index(["scenario", "check"])["n_failed"]
    assert failed["true model"].drop("any").max() <= 2, failed["true model"]
    assert failed[(names[1], "testlets")] >= 6 and failed[(names[2], "missing_pattern")] >= 6
