import pytest

from irt_bench.study.plan import plan_study
from irt_bench.study.rows import predict_power


def test_what_is_foreseen_is_what_the_study_reports(table, design, tmp_path, result):
    before = predict_power(plan_study(table, design, tmp_path)).set_index("size")
    after = result.detectable.set_index("size")
    assert list(before.index) == list(after.index) == [10, 20]
    for column in ("degrees_of_freedom", "compared", "v_k_sd", "seed_sd_full", "detectable_ratio_full"):
        assert before[column].to_numpy() == pytest.approx(after[column].to_numpy()), column
    assert before["detectable_ratio_random"].to_numpy() == pytest.approx(
        after["detectable_ratio_random"].to_numpy(), rel=0.15
    )
