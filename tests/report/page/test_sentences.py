import math

import numpy as np
import pandas as pd
import pytest

from irt_bench.report.page import sentences as texts

NAN = math.nan


def pooled(**changes):
    return {
        "benchmark": "b", "n_runs": 2, "n_seeds": 5, "seed_sd": 0.02, "seed_sd_q05": 0.015, "seed_sd_q95": 0.03,
    } | changes  # fmt: skip


def test_noise_is_reported_with_its_interval_in_points():
    assert texts.noise_sentence(pooled()) == (
        f"Repeating the training moves the score of {texts.name_of('b')} by 2.00 points [1.50, 3.00]: sd over "
        "seeds, 2 runs with up to 5 seeds each."
    )


def test_a_value_without_an_interval_states_it():
    assert "no interval" in texts.noise_sentence(pooled(seed_sd_q05=NAN, seed_sd_q95=NAN))
    assert "unknown" in texts.noise_sentence(pooled(seed_sd=NAN))


@pytest.mark.parametrize(("limits", "apart"), [((0.05, 0.09), True), ((0.02, 0.09), False), ((NAN, NAN), False)])
def test_benchmarks_differ_only_where_their_intervals_do(limits, apart):
    other = pooled(benchmark="c", seed_sd=0.06, seed_sd_q05=limits[0], seed_sd_q95=limits[1])
    text = texts.noisiest_sentence(pd.DataFrame([pooled(), other]))
    assert ("no difference shown" in text) != apart
    assert ("do not overlap" in text) == apart


def test_one_benchmark_is_compared_with_nothing():
    assert texts.noisiest_sentence(pd.DataFrame([pooled()])) == ""


def test_a_common_part_is_shown_only_by_an_interval_above_0():
    residual = {"estimate": 0.18, "q05": 0.16, "q95": 0.2}
    unshown = texts.common_part_sentence({"estimate": 4e-4, "q05": -1e-4, "q95": 2e-3}, residual, 200)
    assert "not shown" in unshown and "no choice" not in unshown
    shown = texts.common_part_sentence({"estimate": 4e-4, "q05": 1e-4, "q95": 1.6e-3}, residual, 200)
    assert "2.00 points [1.00, 4.00]" in shown and "not shown" not in shown
    assert "3.00 points" in shown  # the square root of 0.18 / 200


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["no difference shown"] * 3, "no difference shown for any of 3"),
        (["cuts", "no difference shown", "raises"], "1 cut seed noise, 1 raise it, for 1 no difference is shown"),
        (["raises", "raises", "no difference shown"], "none is shown to cut seed noise, 2 raise it"),
    ],
)
def test_subsets_are_counted_by_verdict(verdicts, expected):
    rows = pd.DataFrame({"verdict": verdicts, "verdict_full": "raises"})
    first, second = texts.subset_sentences(rows)
    assert expected in first
    assert second.startswith("Against the full benchmark") and "none is shown to cut" in second


def test_point_values_alone_make_no_cut():
    rows = pd.DataFrame({"verdict": ["no difference shown"], "verdict_full": [""], "ratio": [0.2]})
    assert all("no difference shown" in text for text in texts.subset_sentences(rows))


def test_a_cut_is_reported_with_its_interval_and_its_cost():
    row = {
        "label": "anchors", "estimator": "weighted", "size": 20, "ratio": 0.5, "ratio_q05": 0.4, "ratio_q95": 0.65,
        "bias": -0.031,
    }  # fmt: skip
    text = texts.cut_sentence(row)
    assert "0.50 [0.40, 0.65] times that of random subsets" in text and "-3.1 points off" in text
    assert "points off" not in texts.cut_sentence(row | {"bias": NAN})
    assert "it moves by 0.31 where the full score moves by 1" in texts.cut_sentence(row | {"movement": 0.31})


def test_power_shows_what_may_be_missed():
    text = texts.power_sentence(pd.DataFrame({"detectable_ratio_random": [0.7, 0.75]}))
    assert "0.70 to 0.75" in text and "may be missed" in text
    assert "unknown" in texts.power_sentence(pd.DataFrame({"detectable_ratio_random": [NAN]}))


def test_cuts_in_shuffled_answers_take_the_others_back():
    assert "as expected" in texts.control_sentence({"items": {"compared": 9, "cuts": 0}})
    assert "may be due to chance" in texts.control_sentence({"items": {"compared": 9, "cuts": 2}})
    assert texts.control_sentence({}) == ""


def test_items_that_may_go_against_the_rest_are_not_reported_to_do_so():
    assert "2 of 3 items go against" in texts.item_sentence(pd.Series(["negative", "negative;too_hard", ""]))
    assert "No item is shown" in texts.item_sentence(pd.Series(["maybe_negative", ""]))
    assert "No item of 2" in texts.item_sentence(pd.Series(["", "too_easy"]))


def test_the_first_model_is_reported_from_others_by_the_probability_to_be_abler():
    models = pd.DataFrame({"rank": [1.0, 2.0, 3.0], "p_first_abler": [np.nan, 0.62, 0.97]}, index=["a", "b", "c"])
    plain = texts.lead_sentence(models).replace(texts.ISOLATE, "").replace(texts.END, "")
    text = "it is abler than b with probability 0.62, and than 1 of 2 others with 0.95 or more."
    assert plain == f"a is estimated ablest; {text}"
    assert "each of 2 others" in texts.lead_sentence(models.assign(p_first_abler=[np.nan, 0.99, 1.0]))
    alike = texts.lead_sentence(models.assign(rank=[1.5, 1.5, 3.0]))
    assert alike.startswith("2 models share the highest ability") and "is estimated ablest" not in alike


def test_pairs_in_unclear_order_show_no_difference():
    summary = {"n_pairs": 10, "n_discordant": 2, "n_clear": 0}
    assert texts.order_sentence(summary).endswith("no difference shown.")
    assert "1 of them clearly" in texts.order_sentence(summary | {"n_clear": 1})
    assert "in the same way" in texts.order_sentence(summary | {"n_discordant": 0})
    half = {"n_pairs": 12.0, "repeated": 0.04, "reversed": 0.03, "ability_order": 0.6}
    assert "repeats 4% and reverses 3%" in texts.order_sentence(summary | {"confirmation": {"all": half}})


def test_checks_that_pass_prove_nothing_and_failed_ones_are_named():
    checks = pd.DataFrame({"name": ["a", "b_c", "d"], "status": ["passed", "passed", "not_applicable"]})
    assert "None of 2 checks failed; 1 does not apply" in texts.check_sentence(checks)
    assert "do not prove" in texts.check_sentence(checks)
    assert "1 of 2 checks failed: b c" in texts.check_sentence(
        checks.assign(status=["passed", "failed", "not applicable"])
    )
    assert "nothing is known" in texts.check_sentence(checks.assign(status="not_applicable"))


def test_a_difference_that_can_be_found_is_reported_with_its_interval():
    row = {"n_seeds": 1, "detectable": 0.05, "detectable_q05": 0.04, "detectable_q95": 0.07}
    assert texts.detectable_sentence(row).startswith("With 1 seed of each of two recipes, 5.00 points [4.00, 7.00]")


def test_names_are_set_apart_and_cannot_turn_the_sentence():
    name = texts.name_of("evil\u202etxt\u2069")
    assert name.startswith("\u2068") and name.endswith("\u2069")
    assert "\u202e" not in name and "\u2069" not in name[1:-1]


def test_an_interval_without_an_upper_limit_states_it():
    assert texts.with_interval(0.0, 0.0, float("nan"), "points") == "0.00 points [0.00, no upper limit]"


def test_a_recipe_is_better_only_where_the_verdict_says_so():
    def table(verdict, **more):
        row = {"difference": 0.02, "difference_q05": 0.01, "difference_q95": 0.03, "verdict": verdict} | more
        return pd.DataFrame([row, row], index=["arc", "all tasks"])

    found = texts.recipe_sentences(table("real"), ("new", "old"))
    assert "2.00 points [1.00, 3.00]" in found[0] and "is real" in found[0] and "Real on 1 of 1 tasks" in found[1]
    unclear = texts.recipe_sentences(table("cannot tell", seeds_needed=12), ("new", "old"))
    assert "real:" not in unclear[0] and "12 seeds per recipe" in unclear[0] and "Real on 0 of 1" in unclear[1]


def test_the_best_score_is_given_with_those_that_cannot_be_told_apart():
    models = pd.DataFrame(
        {"score": [0.5, 0.8, 0.7], "score_q05": 0.4, "score_q95": 0.9, "group": [2, 1, 1]}, index=["a", "b", "c"]
    )
    text = texts.score_sentence(models, 1)
    assert text.startswith(texts.name_of("b")) and "1 of 2 others cannot be told apart" in text
