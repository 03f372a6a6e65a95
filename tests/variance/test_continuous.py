import numpy as np
import pandas as pd
from scipy.special import softmax

from irt_bench import read_responses, table_from_frame, write_table
from irt_bench.responses.table import CHOICE_BYTES, CHOICE_CHARS, CHOICE_LOGPROBS, GOLD, item_positions
from irt_bench.variance.scores import PER_BYTE, PER_CHAR, choice_measures, continuous_measures, padded

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
    assert [measure.measure for measure in measures] == ["gold_probability", "loglikelihood", "margin", "brier"]
    np.testing.assert_allclose(measures[1].values, [[-1.0, -2.0], [-0.1, -5.0]])


def test_without_a_gold_position_only_accuracy_is_used():
    measures, notes = continuous_measures(frame([1, 1, 0, 0]))
    assert not measures and "gold" in notes[0]


def test_lengths_of_the_choices_travel_through_files_into_normalised_probabilities(tmp_path):
    rows = frame([1, 0, 1, 0]).to_frame().assign(gold=0)
    rows[CHOICE_CHARS] = [[4, 2], [4, 2], [1, 8], [5, 5]]
    rows[CHOICE_BYTES] = [[8, 2], [8, 2], [1, 8], [5, 5]]
    table = table_from_frame(rows)
    for name in ("a.csv", "a.parquet"):
        write_table(table, tmp_path / name)
        measures, _ = continuous_measures(read_responses([tmp_path / name]))
        found = {measure.measure: measure.values for measure in measures}
        np.testing.assert_allclose(found[PER_CHAR][0, 0], softmax([-1 / 4, -2 / 2])[0])
        np.testing.assert_allclose(found[PER_BYTE][1, 0], softmax([-0.1 / 1, -4 / 8])[0])


def test_lengths_read_from_harness_logs_give_the_harness_own_normalised_accuracy(shared_fixtures):
    agree, plain = [], []
    for path in sorted((shared_fixtures / "lm_eval").glob("*/*/samples_toy_mc_[b2]*.jsonl")):
        table = read_responses([path], metric="acc_norm")
        answers = table.answers
        logprobs, lengths = padded(answers[CHOICE_LOGPROBS]), padded(answers[CHOICE_CHARS])
        gold = table.items[GOLD].to_numpy()[item_positions(answers, table.items.index)]
        right = answers["correct"].to_numpy() == 1
        agree += [*(((logprobs / lengths).argmax(axis=1) == gold) == right)]
        plain += [*((logprobs.argmax(axis=1) == gold) == right)]
    assert len(agree) > 50 and all(agree)
    assert not all(plain)  # negative control: without the lengths
