import numpy as np
import pandas as pd
import pytest

from irt_bench import table_from_frame
from irt_bench.errors import AnalysisError
from irt_bench.variance.seed_variance import one_measure, with_subtasks_from


def table(**columns):
    rows = [(seed, item, trial) for seed in (1, 2) for item in "ij" for trial in (1, 2)]
    frame = pd.DataFrame(rows, columns=["seed", "item", "trial"]).assign(**columns)
    return table_from_frame(frame.assign(model="m" + frame["seed"].astype(str)))


def test_repeated_fractional_scores_keep_their_spread():
    (run,), _ = one_measure(table(score=[0.1, 0.5, 0.2, 0.2, 0.9, 0.7, 0.0, 0.3]))
    np.testing.assert_allclose(run.values[:, 0], [[0.3, 0.2], [0.8, 0.15]])
    np.testing.assert_allclose(run.within[:, 0], [[0.08, 0.0], [0.02, 0.045]])
    assert not run.binary and (run.trials == 2).all()


def test_an_unknown_measure_lists_those_there_are():
    with pytest.raises(AnalysisError, match="accuracy"):
        one_measure(table(correct=[0, 1, 1, 1, 0, 0, 1, 0]), "margin")


def test_another_column_of_the_items_can_name_their_template():
    made = with_subtasks_from(table(correct=[0, 1, 1, 1, 0, 0, 1, 0], template=list("ppqqppqq")), "template")
    (run,), _ = one_measure(made)
    assert run.subtask.tolist() == ["p", "q"]
    with pytest.raises(AnalysisError, match="template"):
        with_subtasks_from(made, "templat")
