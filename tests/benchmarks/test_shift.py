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
    rows = [columns | {"size": 50, "mse": mse, "variance": 0.2, "n_items": 1000, "split": d, "draw": 0} for d in (0, 1)]
    frame = pd.DataFrame(rows).assign(mae=0.1, bias=0.0, coverage=0.9, refused=0.0, expected=0.1)
    assert shift.summarise(frame)["effective"].iloc[0] == pytest.approx(1)
    frame["mse"] /= 2
    assert 1.9 < shift.summarise(frame)["effective"].iloc[0] < 2


def test_differences_from_aipw_are_of_the_same_models_and_those_above_are_told():
    """Splits differ by far more than the two do; one benchmark has a true difference, the other none."""
    rng, rows = np.random.default_rng(1), []
    for benchmark, apart in (("worse", 0.01), ("equal", 0.0)):
        for split in range(12):
            hard = rng.uniform(0, 0.3)
            for draw in range(2):
                about = {"benchmark": benchmark, "protocol": "extrapolation", "size": 20, "split": split, "draw": draw}
                for (method, estimator), more in ((shift.AIPW, 0.0), (("anchors", "p_irt"), apart)):
                    error = hard + more + 0.001 * rng.normal()
                    rows.append(about | {"method": method, "estimator": estimator, "mae": error})
    found = shift.differences(pd.DataFrame(rows)).set_index("benchmark")
    assert found.loc["worse", "difference"] == pytest.approx(0.01, abs=0.001)
    assert (found["difference_se"] < 0.001).all()
    assert found.loc["worse", "holm"] < 1e-6 and found.loc["equal", "holm"] > 0.05


def test_at_most_so_many_models_are_taken_and_always_the_same():
    answers = np.arange(40).reshape(20, 2)
    taken = shift.at_most(answers, 8)
    assert len(np.unique(taken, axis=0)) == 8 and (taken == shift.at_most(answers, 8)).all()
    assert shift.at_most(answers, None) is answers
