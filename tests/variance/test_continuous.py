import numpy as np
import pandas as pd
from scipy.special import softmax

from irt_bench.responses.canonical import table_from_frame
from irt_bench.variance.continuous import choice_measures, continuous_measures

LOGPROBS = np.array([[-1.0, -2.0, -0.5], [-3.0, -1.0, np.nan]])


def test_measures_follow_from_the_softmax():
    found = choice_measures(LOGPROBS, np.array([0, 1]))
    p = softmax(LOGPROBS[0])
    np.testing.assert_allclose(found["gold_probability"], [p[0], 1 / (1 + np.exp(-2))])
    np.testing.assert_allclose(found["margin"], [-0.5, 2.0])
    np.testing.assert_allclose(found["loglikelihood"], [-1.0, -1.0])
    np.testing.assert_allclose(found["brier"][0], ((p - [1, 0, 0]) ** 2).sum())


def frame(correct):
    rows = [[-1.0, -2.0], [-2.0, -1.0], [-0.1, -4.0], [-5.0, -1.0]]
    return table_from_frame(
        pd.DataFrame({"model": list("aabb"), "item": list("ijij"), "correct": correct, "choice_logprobs": rows})
    )


def test_a_constant_gold_position_is_found_from_which_answers_are_right_and_said():
    measures, notes = continuous_measures(frame([1, 0, 1, 0]))
    assert "choice 0" in notes[0]
    assert [measure.name for measure in measures] == ["gold_probability", "loglikelihood", "margin", "brier"]
    np.testing.assert_allclose(measures[1].values, [[-1.0, -2.0], [-0.1, -5.0]])


def test_without_a_gold_position_only_accuracy_is_used():
    measures, notes = continuous_measures(frame([1, 1, 0, 0]))
    assert not measures and "gold" in notes[0]
