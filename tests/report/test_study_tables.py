import numpy as np
import pandas as pd

from irt_bench.report.tables.score_tables import PAPER, model_table, paper_form, verdict_table


def test_the_papers_form_is_in_points_with_random_and_v_beside():
    columns = [f"{what}_{name}" for what in ("e", "seed_sd", "monotonicity") for name in PAPER]
    paper = pd.DataFrame(
        [{"benchmark": "b", "size": size, "v_k_sd": 0.02, **dict.fromkeys(columns, 0.01)} for size in (20, 50)]
    )
    table = paper_form(paper)
    assert list(table.index) == [("b", 50)]
    np.testing.assert_allclose(table[["E full", "root V(k)", "mon p-IRT"]].to_numpy(), [[1.0, 2.0, 0.01]])


def test_verdicts_are_counted_over_pooled_rows_only():
    row = {"method": "m", "weights": "equal", "estimator": "weighted", "verdict_full": "raises", "ratio": 0.8,
           "ratio_signal": 1.0, "ratio_plain": 0.7, "ratio_full": 2.0, "verdict_signal": "no difference shown",
           "verdict_plain": "cuts", "bias": 0.0, "movement": 1.0, "detectable": 0.6, "detectable_signal": 0.5,
               "detectable_plain": 0.5, "detectable_full": 0.3}  # fmt: skip
    rows = [{**row, "run": "pooled", "verdict": "cuts"}, {**row, "run": "r", "verdict": "cuts"},
            {**row, "run": "pooled", "verdict": "no difference shown"}]  # fmt: skip
    found = verdict_table(pd.DataFrame(rows)).loc[("m", "equal", "weighted")]
    assert found["compared"] == 2 and found["random: cuts"] == 1 and found["full: raises"] == 2
    assert found["plain: cuts"] == 2 and found["per signal: cuts"] == 0


def test_ratios_of_the_model_leave_out_what_they_are_ratios_to():
    row = {"run": "pooled", "weights": "equal", "estimator": "weighted", "model_ratio": 1.2, "model_ratio_full": 1.5}
    ends = {f"{name}{end}": 1.0 for name in ("model_ratio", "model_ratio_full") for end in ("_q05", "_q95")}
    rows = [{**row, **ends, "method": "m"}, {**row, **ends, "method": "random"}]
    assert list(model_table(pd.DataFrame(rows)).index) == [("m", "equal")]
