import shutil

import numpy as np
import pandas as pd
import pytest

from irt_bench.errors import AnalysisError, FitError
from irt_bench.names import POOLED
from irt_bench.study.design import make_design
from irt_bench.study.plan import tasks_by
from irt_bench.study.results import assemble, run_study
from irt_bench.study.split import REASON
from irt_bench.study.tasks import Store

from .conftest import draw_table

COLUMNS = (
    "benchmark", "run", "method", "weights", "estimator", "size", "seed_sd", "seed_sd_full", "v_k_sd", "ratio",
    "ratio_q05", "ratio_q95", "percentile_random", "p_holm", "verdict", "verdict_full", "bias", "snr", "monotonicity",
    "kendall_tau",
)  # fmt: skip
VERDICTS = {"cuts", "raises", "no difference shown"}


@pytest.fixture(scope="module")
def rows(result):
    return result.results


def chosen(rows, **wanted):
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows


def test_every_method_size_estimator_and_run_has_a_row_beside_random_and_full(rows):
    assert set(COLUMNS) <= set(rows.columns)
    methods = rows[~rows["method"].isin(["random", "full"])]
    assert len(methods) == 5 * 2 * 2 * 3  # runs and pooled, sizes, methods, estimators
    pooled = methods[methods["run"] == POOLED]
    assert set(pooled["verdict"]) | set(pooled["verdict_full"]) <= VERDICTS
    assert set(methods["verdict"]) | set(methods["verdict_full"]) <= {*VERDICTS, ""}
    ends = ("", "_signal", "_plain", "_full")
    for end in ends:  # a verdict where there is an interval and a p-value, and with it what could have been found
        known = methods[f"verdict{end}"] != ""
        assert (methods.loc[~known, [f"p{end}_holm", f"ratio{end}_q05"]].isna().any(axis=1)).all()
        assert methods.loc[known, f"detectable{end}"].between(0, 1).all()
        assert (methods.loc[methods["run"] != POOLED, f"verdict{end}_study"] == "").all()
    assert set(rows.loc[rows["method"] == "random", "verdict"]) == {""}


def test_random_subsets_agree_with_v_and_are_the_reference_of_the_ratio(rows):
    random = chosen(rows, method="random", estimator="weighted", run=POOLED)
    assert random["ratio_v_k"].to_numpy() == pytest.approx(1, abs=0.05)
    assert (random["ratio"] == 1).all()
    for row in chosen(rows, method="variance", estimator="weighted", run=POOLED).itertuples():
        reference = chosen(random, size=row.size if not callable(row.size) else None)
        assert row.ratio == pytest.approx(row.seed_sd / reference["seed_sd"].iloc[0])
        assert row.ratio_full == pytest.approx(row.seed_sd / row.seed_sd_full)
        assert row.ratio_q05 < row.ratio < row.ratio_q95


def test_the_full_benchmark_is_v_of_all_items(rows):
    full = chosen(rows, method="full", estimator="weighted")
    assert full["seed_sd"].to_numpy() == pytest.approx(full["v_k_sd"].to_numpy())


def test_ability_has_ratios_but_no_v_and_no_bias(rows):
    theta = rows[rows["estimator"] == "theta"]
    assert theta[["v_k_sd", "bias", "ratio_plain"]].isna().all().all()
    full = theta.loc[theta["method"] == "full", "movement"].dropna()
    assert len(full) and full.to_numpy() == pytest.approx(1)
    subsets = theta[(theta["run"] == POOLED) & (theta["method"] != "full")]
    assert np.isfinite(subsets["ratio"]).all()


def test_pooled_runs_are_averaged_in_variance(rows):
    part = chosen(rows, method="discrimination", estimator="weighted", size=10)
    runs = part[part["run"] != POOLED]
    pooled = chosen(part, run=POOLED)["seed_sd"].iloc[0]
    assert pooled == pytest.approx(np.sqrt((runs["seed_sd"] ** 2).mean()))  # all runs have three seeds


def test_holm_is_over_all_ways_of_one_estimator_and_size(rows):
    for size in (10, 20):
        for estimator in ("weighted", "p_irt", "theta"):
            part = rows[(rows["run"] == POOLED) & (rows["size"] == size) & (rows["estimator"] == estimator)]
            part = part[~part["method"].isin(["random", "full"])]
            assert part["p_holm"].min() == pytest.approx(min(len(part) * part["p_random"].min(), 1))


def test_the_paper_form_has_random_and_v_beside(result):
    row = result.paper.set_index("size").loc[20]
    random = chosen(result.results, method="random", estimator="weighted", size=20, run=POOLED).iloc[0]
    assert row["seed_sd_random"] == pytest.approx(random["seed_sd"]) and row["v_k_sd"] == random["v_k_sd"]
    assert np.isnan(row["e_gp_irt"])  # anchors were not in this design


def test_the_negative_control_finds_nothing_here_and_the_summary_states_it(result):
    summary = result.to_dict()
    assert summary["control"]["models"]["cuts"] == 0
    assert summary["split"] == "folds over clusters"
    counted = summary["verdicts"]["verdict"]
    pooled = result.results[(result.results["run"] == POOLED) & (result.results["verdict"] != "")]
    assert sum(counted[name] for name in VERDICTS) == len(pooled)
    assert 0 < counted["detectable"] < 1
    over_all = summary["study"]["verdict_full"]
    assert over_all["cuts"] <= summary["verdicts"]["verdict_full"]["cuts"]
    assert over_all["detectable"] < summary["verdicts"]["verdict_full"]["detectable"] < 1


def test_the_reference_is_scored_as_the_method_is(rows):
    for estimator in ("weighted", "p_irt", "theta"):
        part = chosen(rows, run=POOLED, estimator=estimator, size=10)
        reference = chosen(part, method="random", weights="equal")["seed_sd"].iloc[0]
        own = chosen(part, method="variance").iloc[0]
        assert own["ratio"] == pytest.approx(own["seed_sd"] / reference)


def test_per_signal_is_the_ratio_over_that_of_the_movements(rows):
    part = chosen(rows, run=POOLED, estimator="p_irt", size=20)
    reference, own = chosen(part, method="random").iloc[0], chosen(part, method="variance").iloc[0]
    moves = own["movement"] / reference["movement"]  # the null's is a mean over a few subsets
    assert own["ratio_signal"] == pytest.approx(own["ratio"] / moves, rel=0.1)
    assert own["ratio_signal_q05"] < own["ratio_signal"] < own["ratio_signal_q95"]


def test_what_an_estimator_does_to_the_same_random_items_is_reported(rows):
    part = chosen(rows, run=POOLED, method="random", size=10)
    plain, other = chosen(part, estimator="weighted").iloc[0], chosen(part, estimator="p_irt").iloc[0]
    assert other["ratio_plain"] == pytest.approx(other["seed_sd"] / plain["seed_sd"])
    assert other["ratio_plain_q05"] < other["ratio_plain"] < other["ratio_plain_q95"]
    assert other["verdict_plain"] in VERDICTS and other["verdict"] == ""
    assert np.isnan(plain["ratio_plain"])


def test_against_plain_means_even_shuffled_answers_would_seem_to_cut(result):
    """The control of the comparison itself: p-IRT with curves that say little shrinks, and that is no cut."""
    control = result.control[result.control["estimator"] == "p_irt"].set_index("shuffled_within")
    assert (control["ratio"].between(0.7, 1.4)).all()
    assert (control.loc["items", "ratio_plain"] < 0.6).all()


def test_a_benchmark_whose_models_cannot_be_fitted_is_left_out_with_the_reason(table, design, tmp_path, monkeypatch):
    def refuse(*_):
        raise FitError("too few answers")

    monkeypatch.setattr("irt_bench.study.split.fit_calibration", refuse)
    with pytest.raises(
        AnalysisError, match="toy is left out, its calibration models cannot be fitted: too few answers"
    ):
        run_study(table, design, tmp_path)


def test_shuffled_answers_that_cannot_be_fitted_leave_a_study_without_that_control(result, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "study")
    store = Store(tmp_path / "study")
    for split in result.plan.benchmarks[0].splits:
        store.write(tasks_by(split)["control", "items"], {REASON: np.array("too few answers")})
    found = assemble(result.plan, store)
    assert set(found.control["shuffled_within"]) == {"models"}
    assert any("shuffled within items cannot be fitted" in note for note in found.notes)
    pd.testing.assert_frame_equal(found.results, result.results)


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """A study of nothing but eight seeds of one run at one step, which differ by chance alone."""
    table = draw_table(3, n_runs=1, n_seeds=8, n_steps=1, n_others=0, shared=0.0, n_trials=1)
    fields = {"sizes": (10,), "methods": ("discrimination",), "estimators": ("weighted", "p_irt", "theta")}
    design = make_design(fields | {"n_random": 50, "transfer_splits": 2, "drop": (0.0, 0.5)})
    return run_study(table, design, tmp_path_factory.mktemp("halves"))


def test_with_the_seeds_of_one_run_at_one_step_nothing_is_reported_per_unit_of_movement(halves):
    rows = halves.results
    assert halves.plan.splits.how == "halves of the seeds"
    assert rows[["movement", "ratio_signal", "p_signal", "decision_accuracy"]].isna().all().all()
    assert set(rows["verdict_signal"]) == {""}
    assert any("halves of the seeds of the only run differ by chance" in note for note in halves.notes)


def test_a_degenerate_calibration_is_named_and_its_estimates_get_no_verdict_against_others(halves):
    rows = halves.results[(halves.results["run"] == POOLED) & (halves.results["method"] == "discrimination")]
    rows = rows.set_index("estimator")
    assert rows.loc["p_irt", "ratio_full"] < 1  # it hardly moves
    assert (rows.loc[["p_irt", "theta"], ["verdict_full", "verdict_plain", "verdict_full_study"]] == "").all().all()
    assert rows.loc["weighted", "verdict_full"] in VERDICTS and rows.loc["p_irt", "verdict"] in VERDICTS
    (told,) = (note for note in halves.notes if "differ by little more than chance" in note)
    assert "4 models or more" in told


def test_a_calibration_of_models_that_differ_is_not_called_degenerate(result):
    assert not any("little more than chance" in note for note in result.notes)
