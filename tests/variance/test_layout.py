import pandas as pd
import pytest

from irt_bench.errors import AnalysisError
from irt_bench.variance.scores import seed_layout, step_order


def models(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=pd.Index([f"m{place}" for place in range(n)], name="model"))


def test_models_with_different_seeds_are_one_run_at_one_step_and_it_is_said():
    layout = seed_layout(models(seed=[1, 2, 3], size=["a", "a", "a"]))
    assert layout.runs == ["all"] and layout.steps == ("final",)
    assert any("one run" in note for note in layout.notes) and any("one step" in note for note in layout.notes)


def test_runs_are_told_apart_by_the_fewest_columns_within_which_no_seed_repeats():
    layout = seed_layout(models(seed=[1, 2, 1, 2], size=["a", "a", "b", "b"], other=["p", "q", "r", "s"]))
    assert layout.run_columns == ("size",) and layout.runs == ["a", "b"]


def test_steps_go_by_number_and_best_comes_last():
    assert step_order(["best", "50", "5", "warm"]) == ["5", "50", "warm", "best"]


def test_models_without_a_seed_are_an_error_that_names_the_column():
    with pytest.raises(AnalysisError, match="column 'seed'"):
        seed_layout(models(size=["a", "b"]))


def test_a_seed_that_occurs_twice_is_an_error_that_names_both_models():
    with pytest.raises(AnalysisError, match="'m0' and 'm1'"):
        seed_layout(models(run=["a", "a"], seed=[1, 1]))
