import numpy as np

from irt_bench.variance.study.rows import KEYS, NUMBERS, SUFFIXES, _with_verdicts
from irt_bench.variance.study.verdicts import CUTS, NO_DIFFERENCE, Ratio


def row(estimator, p):
    return {"estimator": estimator} | dict.fromkeys((f"p_{name}" for name in SUFFIXES), p)


def test_holm_counts_the_ways_of_one_estimator_and_no_others():
    cut = dict.fromkeys(SUFFIXES, Ratio(0.5, 0.4, 0.6, 0.01))
    few, many = [(row("weighted", 0.04), cut)] * 2, [(row("p_irt", 0.04), cut)] * 4
    found = _with_verdicts([(dict(one), ratios) for one, ratios in few + many])
    assert [each["verdict"] for each in found] == [CUTS] * 2 + [NO_DIFFERENCE] * 4
    np.testing.assert_allclose([each["p_holm"] for each in found], [0.08] * 2 + [0.16] * 4)


def test_every_comparison_has_its_columns():
    for suffix in SUFFIXES.values():
        assert {f"ratio{suffix}", f"ratio{suffix}_q05", f"ratio{suffix}_q95", f"verdict{suffix}"} <= set(NUMBERS)
    assert not set(KEYS) & set(NUMBERS)
