import numpy as np
import pandas as pd
import pytest

from irt_bench.report.tables.text import general, interval_text, number_format, one_line, shorten, shorten_all


def test_labels_are_cut_in_the_middle():
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert shorten("abc", 5) == "abc"


def test_labels_are_cut_where_they_stay_apart():
    long = [f"counterfactual-corpus-{what}-det_removal/1e-3" for what in ("all", "only_other", "none")]
    assert len({shorten(label, 30) for label in long}) == 1  # cut in the middle
    cut = shorten_all(long, 30)
    assert len(set(cut)) == 3 and max(map(len, cut)) <= 30
    assert shorten_all(["a", "b"], 4) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.5312, 0.41, 0.62, "0.53 [0.41, 0.62]"),
        (0.53124, 0.5301, 0.5324, "0.5312 [0.5301, 0.5324]"),
        (1234.5, 1100.0, 1400.0, "1,234 [1,100, 1,400]"),
        (-0.001, -0.2, 0.2, "0.00 [-0.20, 0.20]"),
        (0.5, np.nan, np.nan, "0.50"),
    ],
)
def test_intervals_show_two_digits_of_their_width(value, low, high, text):
    assert interval_text(value, low, high) == text


def test_numbers_of_a_column_share_their_decimals():
    form = number_format(pd.Series([0.0312, 12.5, np.nan]))
    assert [form(value) for value in (0.0312, 12.5, np.nan)] == ["0.0", "12.5", "–"]
    assert number_format(pd.Series([3.0, 4000.0]))(4000.0) == "4,000"
    assert number_format(pd.Series([0.00123, 0.0004]))(0.0004) == "0.00040"


def test_undefined_numbers_are_a_dash_and_not_zero():
    assert general(None) == general(np.nan) == "–"
    assert general(0.0) == "0"


def test_what_would_steer_the_terminal_is_replaced():
    assert one_line("a\n b\x1b[31m") == "a b\N{REPLACEMENT CHARACTER}[31m"
