import numpy as np
import pandas as pd
import pytest
import shift


def test_models_are_split_as_the_protocol_says():
    answers = (np.random.default_rng(0).random((40, 60)) < np.linspace(0.1, 0.9, 40)[:, None]).astype(int)
    kept, new = shift.split_models(answers, "interpolation", 1)
    assert len(new) == 10 and sorted([*kept, *new]) == list(range(40))
    score = answers.mean(axis=1)
    kept, new = shift.split_models(answers, "extrapolation", 1)
    assert (len(kept), len(new)) == (20, 12) and score[kept].max() <= score[new].min()


def test_a_model_listed_twice_has_two_rows():
    frame = pd.DataFrame({"model": list("aabbaa"), "item": list("xyxyxy"), "correct": [1, 0, 1, 1, 0, 0]})
    assert shift.matrix(frame).tolist() == [[1, 0], [0, 0], [1, 1]]


def test_the_effective_sample_of_a_random_mean_is_its_own():
    """Its mean squared error is variance x (1 / size - 1 / number of items); half of that is worth about twice."""
    columns = {"benchmark": "b", "protocol": "interpolation", "method": "random", "estimator": "weighted"}
    mse = 0.2 * (1 / 50 - 1 / 1000)
    rows = [columns | {"size": 50, "mse": mse, "variance": 0.2, "n_items": 1000, "draw": d} for d in (0, 1)]
    frame = pd.DataFrame(rows).assign(mae=0.1, bias=0.0, coverage=0.9, refused=0.0, expected=0.1)
    assert shift.summarise(frame)["effective"].iloc[0] == pytest.approx(1)
    frame["mse"] /= 2
    assert 1.9 < shift.summarise(frame)["effective"].iloc[0] < 2
