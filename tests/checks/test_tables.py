import numpy as np
import pytest

from irt_bench import TwoPL, fit
from irt_bench.checks.check_data import collect_check_data
from irt_bench.checks.check_fit import curve_table, eigenvalue_table, item_table, model_table, score_table
from irt_bench.checks.fit_statistics import item_mean_squares
from irt_bench.checks.local_dependence import residual_correlations
from irt_bench.checks.predictive import curve_misfit

pytestmark = pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")


@pytest.fixture
def evidence(rng, simulate, make_counts):
    correct, trials, _ = simulate(rng, n_models=120, n_items=10)
    correct[:, 4] = 1
    counts = make_counts(correct, trials)
    return collect_check_data(counts, fit(counts, TwoPL()), None, replicates=9, rng=rng)


def test_items_that_form_no_pairs_have_no_partner(evidence):
    residuals = residual_correlations(evidence.fitted, evidence.plan.q3)
    curves = curve_misfit(evidence.found.curves, [each.curves for each in evidence.repeated])
    table = item_table(evidence, item_mean_squares(evidence.fitted), None, residuals, curves)
    assert table.loc["i4", "partner"] == "" and np.isnan(table.loc["i4", "largest_q3"])
    assert table["s_x2"].isna().all() and (table["partner"].drop("i4") != "").all()
    best = table["largest_q3"].idxmax()
    assert table.loc[table.loc[best, "partner"], "partner"] == best


def test_models_keep_their_order_and_labels(evidence):
    table = model_table(evidence)
    assert table.index.tolist() == evidence.counts.models.index.tolist()
    np.testing.assert_allclose(table["score"], evidence.counts.correct.mean(axis=1))


def test_eigenvalues_are_beside_both_references(evidence):
    table = eigenvalue_table(evidence, np.ones((20, 9)))
    assert table.index.tolist() == list(range(1, 10)) and (table["unrelated_q95"] == 1).all()
    assert (table["one_dimension_q05"] <= table["one_dimension_q95"]).all()
    assert len(eigenvalue_table(evidence, None)) == 0


def test_scores_are_cumulated():
    table = score_table(np.array([0.2, 0.8, np.nan]), np.array([[0.2, 0.4, np.nan]] * 3))
    assert table.loc[0.5, "observed"] == 0.5 and table.loc[0.5, "predicted"] == 1 and table["observed"].iloc[-1] == 1


def test_curves_shown_are_those_furthest_from_the_fit(evidence):
    found = curve_misfit(evidence.found.curves, [each.curves for each in evidence.repeated])
    table = curve_table(evidence, found)
    labels = evidence.counts.items.index.to_numpy()
    assert table["item"].unique().tolist() == labels[np.argsort(-found.observed)[:4]].tolist()
    assert table.groupby("item")["score"].is_monotonic_increasing.all()
