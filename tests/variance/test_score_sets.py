import numpy as np
import pytest

from irt_bench.variance.metrics import Z_CI, bootstrap_half_width

TABLE_1 = {  # arXiv 2406.10229: size, chance, mean, 95% CI
    "AGIEval": (2546, 20, 23.44, 1.63), "ARC-C": (1165, 25, 39.71, 2.74), "BBH": (6511, 0, 29.10, 1.07),
    "COPA": (100, 50, 78.80, 8.30), "GSM8k": (1319, 0, 4.10, 0.87), "HellaSwag": (10042, 25, 70.08, 0.93),
    "HumanEval": (164, 0, 11.89, 3.98), "MATH": (5000, 0, 1.52, 0.28), "MMLU": (14042, 25, 25.86, 0.72),
    "MMLU-Cloze": (14042, 25, 37.47, 0.79), "NQ": (3610, 0, 16.43, 1.04), "PIQA": (1838, 50, 76.93, 1.99),
    "SIQA": (1954, 33, 46.69, 2.21), "TriviaQA": (11313, 0, 42.69, 0.83),
}  # fmt: skip


def analytic_interval(score, n_items):
    """Half-width of the 95% interval of a mean of 0/1 answers."""
    return Z_CI * np.sqrt(score * (1 - score) / n_items)


def within_the_course(name, z=1.0):
    # The printed value averages over checkpoints whose scores the paper does not give, so it cannot be computed from
    # the final mean: it must lie between the smallest and the largest interval on the way there from chance.
    size, chance, mean, printed = TABLE_1[name]
    course = np.linspace(min(chance, mean), max(chance, mean), 200) / 100
    half = 100 * z * analytic_interval(course, size)
    return half.min() - 0.02 <= printed <= half.max() + 0.02


@pytest.mark.parametrize("name", TABLE_1)
def test_the_analytic_interval_agrees_with_table_1_as_an_average_over_checkpoints_must(name):
    assert within_the_course(name)


def test_another_level_or_size_is_caught_by_table_1():
    """Negative control: an interval of 90%, whose half-width is 1.645 sds, and one standard error."""
    assert sum(within_the_course(name, 1.645 / 1.96) for name in TABLE_1) <= 4
    assert sum(within_the_course(name, 1 / 1.96) for name in TABLE_1) <= 1


def test_the_bootstrap_of_binary_answers_agrees_with_the_formula():
    values = (np.random.default_rng(0).random((1, 1, 800)) < 0.3).astype(float)
    found = bootstrap_half_width(values, np.random.default_rng(1), 2000)
    np.testing.assert_allclose(found, analytic_interval(values.mean(axis=-1), 800), rtol=0.06)
