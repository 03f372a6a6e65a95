import numpy as np
import pandas as pd
import pytest

from irt_bench import table_from_frame
from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.errors import SubsetError
from irt_bench.inference.settings import settings_for
from irt_bench.responses.labels import model_clusters
from irt_bench.subsets import calibration
from irt_bench.subsets import score as scoring
from irt_bench.subsets.compare import ComparisonDesign, compare, methods_for, shift, summarise
from irt_bench.subsets.estimators import ESTIMATORS
from irt_bench.subsets.score import interval_limits


@pytest.fixture
def design(plan):
    methods = (("random", "equal"), ("discrimination", "equal"))
    return ComparisonDesign(plan, (8, 20), methods, ("weighted", "p_irt", "gp_irt", "ridge"), n_random=6, n_folds=2)


def test_every_model_is_held_out_once_and_random_subsets_stand_beside(known_fits, design):
    counts = known_fits.counts.take(models=slice(0, 60))
    clusters = model_clusters(counts)
    found = compare(counts, clusters, design)
    assert len(found.table) == 2 * 2 * 4 and (found.table["n_models"] == 60).all()
    assert len(found.random) == 2 * 4 * 6
    table = found.table.set_index(["size", "method", "estimator"])
    assert table.loc[(20, "random", "p_irt"), "mae"] < table.loc[(8, "random", "p_irt"), "mae"]
    # The most discriminating items are not of the benchmark's difficulty: their plain mean is off.
    assert table.loc[(20, "discrimination", "weighted"), "percentile"] > 0.85
    small = design._replace(sizes=(8,), methods=design.methods[:1], estimators=("p_irt",), n_random=2)
    first, again = (compare(counts, clusters, small).table for _ in range(2))
    pd.testing.assert_frame_equal(first, again)


def test_errors_of_random_subsets_are_those_of_their_plain_means(known_fits, design):
    """The weighted score of a random subset is its mean: V(k) by enumeration over many draws."""
    counts = known_fits.counts
    small = design._replace(sizes=(20,), methods=(("random", "equal"),), n_random=100, estimators=("weighted",))
    drawn = compare(counts, model_clusters(counts), small)
    shares, rng = counts.correct, np.random.default_rng(5)
    errors = []
    for _ in range(2000):
        chosen = rng.choice(60, 20, replace=False)
        errors.append(np.abs(shares[:, chosen].mean(axis=1) - shares.mean(axis=1)).mean())
    row = drawn.table.iloc[0]
    assert row["random"] == pytest.approx(np.mean(errors), rel=0.08)
    assert row["random_q95"] == pytest.approx(np.quantile(errors, 0.95), rel=0.2)


def test_summaries_by_hand():
    held_out = pd.DataFrame(
        {
            "size": 2, "method": "m", "weights": "w", "estimator": "e",
            "truth": [0.1, 0.2, 0.3], "estimate": [0.2, 0.2, 0.1], "q05": [0.0, 0.3, 0.0], "q95": [0.3, 0.4, 0.3],
            "cluster": ["x", "y", "z"],
        }
    )  # fmt: skip
    row = summarise(held_out, np.random.default_rng(0)).iloc[0]
    assert row["mae"] == pytest.approx(0.1) and row["bias"] == pytest.approx(-0.1 / 3)
    assert row["coverage"] == pytest.approx(2 / 3)


def test_calibration_on_the_weaker_half_is_judged_on_the_stronger_half(known_fits, design):
    table = shift(known_fits.counts, model_clusters(known_fits.counts), design)
    assert (table["n_models"] == 60).all()
    bias = table.set_index(["size", "method", "estimator"])["bias"]
    # A regression towards the calibration models' mean underestimates models that are all above it.
    assert bias[8, "random", "ridge"] < -0.01


def test_sizes_out_of_range_are_refused(known_fits, design):
    with pytest.raises(SubsetError, match="60"):
        compare(known_fits.counts, model_clusters(known_fits.counts), design._replace(sizes=(60,)))


def test_subtask_methods_come_only_with_subtasks(toy):
    assert ("subtask", "balance") in methods_for(toy.counts)
    plain = type(toy.counts)(
        toy.counts.correct, toy.counts.trials, toy.counts.models, toy.counts.items.drop(columns="subtask")
    )
    assert "subtask" not in dict(methods_for(plain))
    assert methods_for(plain, ["anchors"]) == (("anchors", "anchor"),)


def from_model_alone(estimate, variance, *, misfit_sd, scale, **about):
    """Limits that trust the IRT model: nothing is learned from models held out."""
    return interval_limits(estimate, variance, misfit_sd=0.0, scale=Z_LIMIT, **about)


def too_narrow(estimate, variance, *, misfit_sd, scale, **about):
    return interval_limits(estimate, variance, misfit_sd=misfit_sd, scale=0.6 * scale, **about)


def shuffled(posterior):
    """Give items the difficulties of others."""

    def fit_posterior(counts, plan):
        found = posterior(counts, plan)
        order = np.random.default_rng(3).permutation(found.sizes["item"])
        return found.assign(difficulty=found["difficulty"].copy(data=found["difficulty"].values[..., order]))

    return fit_posterior


FAMILY_DATA_SETS = range(2, 12)


@pytest.fixture
def coverage_of_families(simulate, plan, monkeypatch):
    """Coverage of full scores of models held out by family, shape (data set, method and estimator)."""
    design = ComparisonDesign(plan, (20,), (("anchors", "anchor"), ("difficulty", "equal")), n_random=1)

    def covered(interval=interval_limits, wrong=lambda posterior: posterior):
        found = []
        for seed in FAMILY_DATA_SETS:
            big = simulate(n_models=600, n_items=80, seed=seed, n_families=26)
            monkeypatch.setattr(calibration, "fit_posterior", wrong(big.posterior))
            monkeypatch.setattr(scoring, "interval_limits", interval)
            table = compare(big.counts, model_clusters(big.counts), design).table
            found.append(table.set_index(["method", "estimator"])["coverage"])
        return pd.DataFrame(found)

    return covered


@pytest.mark.slow
def test_intervals_of_all_estimators_cover_simulated_models_of_families_held_out(coverage_of_families, record_coverage):
    """Regressions learn from the answers whatever the items are said to be; what the IRT model says does not."""
    about = {"seeds": f"{FAMILY_DATA_SETS[0]}-{FAMILY_DATA_SETS[-1]}"}
    wrong = {"control": "difficulties shuffled, intervals of the model alone"}
    narrow = {"control": "intervals 0.6 as wide"}
    found, rows = coverage_of_families(), []
    without, less = coverage_of_families(from_model_alone, shuffled), coverage_of_families(too_narrow)
    for method, estimator in found:
        label, column = f"20 of 80 items by {method}, {ESTIMATORS[estimator].title}", (method, estimator)
        rows.append(record_coverage("full score", label, found[column], **about))
        rows.append(record_coverage("full score", label, less[column], **about, **narrow))
        if method == "anchors" and estimator in ("p_irt", "p_irt_weighted", "irt_smoothed", "p_irt_source"):
            rows.append(record_coverage("full score", label, without[column], **about, **wrong))
    assert all(row.right for row in rows), rows


@pytest.mark.slow
def test_on_code_models_anchors_beat_random_subsets_and_the_published_formulas_and_intervals_hold(shared_data, plan):
    frame = pd.read_parquet(shared_data / "evalplus_code.parquet").query("benchmark == 'humaneval'")
    counts = table_from_frame(frame).counts()
    design = ComparisonDesign(
        plan._replace(settings=settings_for("laplace")), (50,), (("random", "equal"), ("anchors", "anchor"))
    )
    table = compare(counts, model_clusters(counts), design._replace(n_random=50)).table
    anchors = table[table["method"] == "anchors"].set_index("estimator")
    assert anchors.loc["p_irt", "percentile"] < 0.05
    assert anchors.loc["p_irt", "mae"] < anchors.loc[["p_irt_source", "gp_irt_source"], "mae"].min()
    assert 0.83 < table["coverage"].mean() < 0.97  # 78 models know a coverage of 0.9 to 0.03
