"""Notebooks run from their sources, what they tell a reader holds, and the executed copies are those of the sources."""

import re

import jupytext
import nbformat
import pytest
from execute import FOLDER, executed

SOURCES = sorted(FOLDER.glob("*.py"))
MAX_BYTES = 400_000
PLACES = re.compile(r"/(?:home|root|tmp|usr|work|Users|opt)/")
EXPECTED = {  # what the text says, as assertions at the end
    "fit_and_check_2pl": """
assert list(broken) == ["item-037", "item-083"]
assert fitted.converged and checks.passed
ranks = fitted.abilities().sort_values("rank")
assert (ranks["rank_q95"].iloc[:2] <= 3).all() and ranks["rank_q05"].iloc[2] >= 3
assert 30 < (ranks["rank_q95"] - ranks["rank_q05"]).iloc[59] < 50
assert comparison.correlations().loc["kendall_tau_b", "rankings"] > 0.9
assert moved["ability"].max() < -0.05 and moved["relative_ability"].abs().max() < 0.05
assert abs(float(effect.mean()) - 1.2) < 3 * float(effect.std())
""",
    "make_and_use_a_reduced_benchmark": """
assert 0.83 < table["covered"].mean() < 0.97
assert abs(error - 4.0) < 0.1 and abs(same.mean() - 4.7) < 0.2 and abs(plain.mean() - 5.2) < 0.2
assert abs(adaptive.loc["adaptive, until sd 0.3", "n_items"] - 14) < 2
assert abs(adaptive.loc["adaptive, until sd 0.3", "error_ratio"] - 1) < 0.1
""",
    "is_seed_variance_reducible": """
assert components["seed:item"] > 20 * abs(components["seed"])
assert (results.loc[["discrimination", "variance"], "verdict"] == "cuts").all()
assert not (results.loc["anchors", "verdict"] == "cuts").any()
assert not (results["verdict_full"] == "cuts").any()
assert (results.loc[["discrimination", "variance"], "verdict_full"] == "no difference shown").all()
assert (results.loc["anchors", "ratio"] > 1).all()
assert not (study.control().query("shuffled_within == 'models'")["verdict"] == "cuts").any()
""",
    "item_response_models": """
assert several.irt_model.dimensions == 2
assert low < 0.6 < high
assert stitched.diagnostics().loc["overlap", "status"] == "passed"
assert 0.82 < covered[one_only].mean() < 0.97
group = grouped.populations().loc["second"]
assert one.diagnostics().loc["missing_pattern", "status"] == "failed"
assert group["mean_q05"] < 1.4 < group["mean_q95"] and apart < group["mean"] - 0.1
effect = fitted.populations().loc["log_params"]
assert effect["effect_q05"] < 0.8 < effect["effect_q95"]
assert share_covered(correlated) > 0.86 and share_covered(independent) < 0.5
assert 0.8 < held.mean() < 0.99
assert continuous.abilities()["ability"].corr(partial_scores.truth["ability"].to_series()) > 0.8
assert abs(seen.raters().loc["rater-1", "severity"] * 2 - (strict[0] - strict[1])) < 0.4
assert abs(off["with raters"]) < 0.3 and off["without"] < -0.7
assert inside.mean() >= 0.75
assert abs(unseen["difficulty"].corr(pd.Series(difficulty[60:], index=unseen.index))) > 0.8
""",
    "seed_variance_on_a_seed_bank": """
bank_rows = cures[cures["data"] == "seed bank"].set_index(["cure", "how", "size"])
assert (silent["verdict"] != "cuts").all() and len(silent) > 40
assert bank_rows.loc[("reweight", "ability", 3200), "verdict"] == "raises"
assert (bank_rows.loc["adaptive", "verdict"] == "cuts").all()
assert bank_rows.loc[("adaptive", "ability", 200), "ratio_full_q05"] > 1
assert bank_rows.loc[("alternative", "probability", 3200), "ratio_q95"] < 0.75
assert 0.94 < bank_rows.loc[("average", "last 2 checkpoints", 3200), "ratio"] < 1.02
assert (power.loc[["items", "average"], "seed bank"] > 0.9).all()
assert 0.4 < of_chosen / at_random < 0.7 and len(order) == 30
""",
    "paper_in_simulation": """
assert variance.runs()["e"].iloc[0] < 0.7 * variance.runs()["ci95_analytic"].iloc[0]
assert row["e_p_irt"] > row["e_full"]
assert 0.7 < variance.runs()["e"].iloc[0] / variance.runs()["item_sampling_sd"].iloc[0] < 1.5
assert (pooled["verdict"] == "no difference shown").all() and (pooled["verdict_full"] == "raises").all()
assert ((pooled["ratio_signal_q05"] < 1) & (pooled["ratio_signal_q95"] > 1)).all()
random = study.results().query("run == 'pooled' and method == 'random' and weights == 'equal'").set_index("estimator")
assert abs(random.loc["weighted", "ratio_v_k"] - 1) < 0.1
""",
}


def test_every_notebook_has_claims_to_check():
    assert {source.stem for source in SOURCES} == set(EXPECTED)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")  # of the kernel's client
def test_a_notebook_runs_and_tells_what_is_so(source):
    executed(source, expected=EXPECTED[source.stem])


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_executed_copy_is_that_of_the_source(source):
    kept = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    written = jupytext.read(source)
    cells = [(cell.cell_type, cell.source) for cell in kept.cells]
    assert cells == [(cell.cell_type, cell.source) for cell in written.cells]
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    shown = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs]
    assert not [text for text in shown if PLACES.search(text)]
    assert source.with_suffix(".ipynb").stat().st_size < MAX_BYTES
