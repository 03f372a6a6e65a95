import numpy as np
import pandas as pd

from irt_bench.variance.scores import ScoreMatrix, run_scores, seed_layout


def test_answers_are_arranged_by_seed_and_step_whatever_the_order_of_the_rows():
    models = pd.DataFrame({"run": "r", "seed": [2, 1, 2, 1], "step": [10, 10, 9, 9]}, index=list("abcd"))
    values = np.arange(8.0).reshape(4, 2) / 8
    items = pd.DataFrame(index=pd.Index(["i", "j"], name="item"))
    (run,) = run_scores(
        ScoreMatrix("b", "accuracy", values, np.ones((4, 2), int), models.index, items), seed_layout(models)
    )
    assert run.seeds == ("1", "2") and run.steps == ("9", "10")
    np.testing.assert_array_equal(run.values[0, 0], values[3])
    np.testing.assert_array_equal(run.values[1, 1], values[0])
