import pandas as pd
import pytest

from irt_bench.errors import AnalysisError
from irt_bench.study.design import FOLDS, HALVES, NAMED, make_design, make_splits
from irt_bench.variance.scores import seed_layout


def models_of(rows, columns=("run", "seed")):
    labels = [f"{'-'.join(map(str, row))}" for row in rows]
    return pd.DataFrame(rows, columns=list(columns), index=pd.Index(labels, name="model"))


SEEDED = [(f"r{run}", seed) for run in range(4) for seed in range(3)]
OTHERS = [(f"other{k}", None) for k in range(5)]
MODELS = models_of(SEEDED + OTHERS)
MODELS["run"] = MODELS["run"].where(MODELS["seed"].notna())
LAYOUT = seed_layout(MODELS)


def split(design, models=MODELS, layout=LAYOUT):
    return make_splits(models, layout, make_design(design))


def test_folds_judge_every_run_once_and_never_calibrate_on_it():
    found = split({"n_folds": 2})
    assert found.how == FOLDS
    evaluated = [run for each in found.splits for run in each.evaluation["run"].unique()]
    assert sorted(evaluated) == ["r0", "r1", "r2", "r3"]
    for each in found.splits:
        assert not each.calibration.isin(each.evaluation.index).any()
        assert not set(MODELS.loc[each.calibration, "run"].dropna()) & set(each.evaluation["run"])
        assert {f"other{k}-None" for k in range(5)} <= set(each.calibration)


def test_a_cluster_column_keeps_runs_of_one_condition_together():
    rows = [(f"c{k // 2}", f"lr{k % 2}", seed) for k in range(6) for seed in range(2)]
    rows += [("c0", "lr9", 0)]  # a single seed of a condition that is judged
    models = models_of(rows, ("condition", "lr", "seed"))
    layout = seed_layout(models)
    for each in split({"model_clusters": "condition", "n_folds": 3}, models, layout).splits:
        evaluated = set(models.loc[each.evaluation.index, "condition"])
        assert not evaluated & set(models.loc[each.calibration, "condition"])
    without = split({"n_folds": 3}, models, layout)
    assert any("c0-lr9-0" in each.calibration for each in without.splits)


def test_single_seeds_of_a_run_that_is_evaluated_do_not_calibrate():
    models = models_of([("a", s) for s in range(3)] + [("b", s) for s in range(3)] + [("a", None)] + OTHERS)
    layout = seed_layout(models)
    for each in make_splits(models, layout, make_design({})).splits:
        if "a" in set(each.evaluation["run"]):
            assert "a-None" not in each.calibration


def test_models_can_be_named_by_metadata_and_label():
    found = split({"evaluation": {"run": ["r1"]}, "calibration": {"run": ["r0", "r2"]}})
    assert found.how == NAMED
    assert set(found.splits[0].evaluation["run"]) == {"r1"}
    assert set(MODELS.loc[found.splits[0].calibration, "run"]) == {"r0", "r2"}
    alone = split({"evaluation": {"model": ["r1-0", "r1-2"]}}).splits[0]
    assert list(alone.evaluation.index) == ["r1-0", "r1-2"]
    assert "r1-1" not in alone.calibration


def test_with_nothing_but_seeds_of_one_run_halves_of_the_seeds_take_turns_with_a_note():
    models = models_of([("only", seed) for seed in range(10)])
    found = split({}, models, seed_layout(models))
    assert found.how == HALVES
    assert "one half of the seeds" in found.notes[0]
    first, second = found.splits
    assert set(first.calibration) == set(second.evaluation.index)
    assert not set(first.calibration) & set(first.evaluation.index)
    assert len(first.evaluation) == len(second.evaluation) == 5


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"evaluation": {"run": ["r9"]}}, "r9"),
        ({"evaluation": {"size": ["1B"]}}, "size"),
        ({"evaluation": {"run": ["r1"]}, "calibration": {"run": ["r0", "r1"]}}, "share a cluster"),
        ({"evaluation": {"run": ["r1"]}, "calibration": {"model": ["r0-0"]}}, "1 models to calibrate"),
        ({"evaluation": {"model": ["r1-0"]}}, "two seeds"),
        ({"model_clusters": "family"}, "family"),
    ],
)
def test_what_cannot_be_split_is_refused_by_name(design, message):
    with pytest.raises(AnalysisError, match=message):
        split(design)


def test_three_seeds_of_one_run_are_too_few_to_halve():
    models = models_of([("only", seed) for seed in range(3)])
    with pytest.raises(AnalysisError, match="needs 4 seeds"):
        split({}, models, seed_layout(models))
