"""Cures beside their controls: noise and signal, their intervals, and that only a cure cuts."""

import importlib.util
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from irt_bench import Study, run_study, table_from_frame
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.errors import AnalysisError
from irt_bench.study.cures import FinalScores, averaged, fitted_polynomials
from irt_bench.study.data import Checkpoints
from irt_bench.study.split import NODES, expected_curve, item_log_likelihoods, link_abilities
from irt_bench.study.verdicts import CUTS

SMALL = {"n_folds": 2, "n_random": 40, "n_reweighted": 20, "transfer_splits": 2, "drop": [0.0, 0.5]}


def checkpoints(n_runs, n_seeds, n_steps=1):
    run, seed, step = (place.ravel() for place in np.indices((n_runs, n_seeds, n_steps)))
    return Checkpoints(pd.DataFrame({"run": run, "seed": seed, "step": step}).astype(str))


def planted(rng, shared=1.0, alone=0.0, n_runs=12, n_seeds=5, replicates=200):
    """Full scores with noise .02 and signal .05; another score with a share of their noise and noise of its own."""
    level = np.repeat(rng.normal(0.5, 0.05, (replicates, n_runs)), n_seeds, axis=1)
    own, other = rng.normal(0, 0.02, (2, replicates, n_runs * n_seeds))
    return level + own, level + shared * own + alone * other


def compare_planted(rng, **noise):
    pairs = [(FinalScores(checkpoints(12, 5), x), x, y) for x, y in zip(*planted(rng, **noise), strict=True)]
    return [final.compare(final.measure(y), final.measure(x)) for final, x, y in pairs]


def test_noise_and_signal_are_those_of_a_literal_computation_and_so_is_each_left_out_seed():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 20)) + np.repeat([0.0, 3.0, 5.0, 9.0], 5)
    final = FinalScores(checkpoints(4, 5), x)
    found = final.measure(y)

    def literal(kept):
        runs = [np.flatnonzero(kept & (np.arange(20) // 5 == run)) for run in range(4)]
        freedom = sum(len(run) - 1 for run in runs)

        def covariance(u, v):
            within = sum(((u[run] - u[run].mean()) * (v[run] - v[run].mean())).sum() for run in runs) / freedom
            means = np.array([[u[run].mean(), v[run].mean()] for run in runs])
            return within, np.cov(means.T)[0, 1] - within * np.mean([1 / len(run) for run in runs])

        (noise, _), (_, shared), (_, spread) = covariance(y, y), covariance(y, x), covariance(x, x)
        return noise, shared / np.sqrt(spread)

    for place in range(-1, 20):
        kept = np.arange(20) != place
        np.testing.assert_allclose((found.noise_squared[0, place + 1], found.signal[0, place + 1]), literal(kept))
    right = [
        1.0 if (y[i] - y[j]) * (np.delete(x[a], i % 5).mean() - np.delete(x[b], j % 5).mean()) > 0 else 0.0
        for i in range(20) for j in range(20) if i // 5 != j // 5
        for a, b in [(slice(i // 5 * 5, i // 5 * 5 + 5), slice(j // 5 * 5, j // 5 * 5 + 5))]
    ]  # fmt: skip
    assert found.decisions[0] == pytest.approx(np.mean(right))


def test_a_score_that_only_shrinks_is_no_cure_and_more_items_are():
    x = planted(np.random.default_rng(2))[0][0]
    final = FinalScores(checkpoints(12, 5), x)
    full, shrunk = final.measure(x), final.measure(0.3 * x + 0.2)
    same = final.compare(shrunk, full)
    assert (same.ratio, same.lower, same.upper) == pytest.approx((1, 1, 1))
    less = final.compare(full.with_noise(-0.5 * full.noise_squared[0, 0]), full)
    assert less.ratio == pytest.approx(np.sqrt(0.5)) and less.upper < 1


def test_intervals_of_the_ratio_cover_a_true_cut_which_is_found_and_no_cut_which_is_not():
    cut = compare_planted(np.random.default_rng(3), shared=0.6, alone=0.3)
    true = np.hypot(0.6, 0.3)
    assert 0.86 < np.mean([each.lower < true < each.upper for each in cut]) < 0.96
    assert np.mean([each.upper < 1 for each in cut]) > 0.9
    none = compare_planted(np.random.default_rng(4), shared=0.8, alone=0.6)  # as much noise, of which some is its own
    assert 0.86 < np.mean([each.lower < 1 < each.upper for each in none]) < 0.96


def test_runs_that_do_not_differ_have_no_signal():
    rng = np.random.default_rng(4)
    x = rng.normal(size=40)
    final = FinalScores(checkpoints(8, 5), x)
    assert not final.moves and np.isnan(final.compare(final.measure(x + rng.normal(size=40)), final.measure(x)).lower)


def test_runs_of_two_seeds_do_not_count():
    x = np.arange(14.0)
    frame = pd.DataFrame({"run": ["a"] * 6 + ["b"] * 6 + ["c"] * 2, "seed": [*"123456", *"123456", *"12"], "step": "1"})
    final = FinalScores(Checkpoints(frame), x)
    assert len(final.left_out) == 1 and len(final.rows) == 12 and final.n.tolist() == [6, 6]


def test_the_mean_of_the_last_checkpoints_needs_as_many():
    there = checkpoints(2, 3, n_steps=4)
    scores = np.arange(24.0)
    found = averaged(scores, there, 3)
    np.testing.assert_allclose(found.reshape(6, 4)[:, 2:], scores.reshape(6, 4)[:, 2:] - 1)
    assert np.isnan(found.reshape(6, 4)[:, :2]).all()


def test_abilities_are_linked_to_the_scale_of_another_fit():
    rng = np.random.default_rng(5)
    slope, difficulty, zero = np.exp(0.3 * rng.normal(size=200)), rng.normal(size=200), np.zeros(200)
    curves = [
        expected_curve(item_log_likelihoods(ItemParameters(d, a, zero, zero + 1)))
        for a, d in ((slope * 1.5, (difficulty - 0.4) / 1.5), (slope, difficulty))
    ]
    ability = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(link_abilities((ability - 0.4) / 1.5, *curves), ability, atol=0.01)
    np.testing.assert_allclose(curves[1], expit(slope[:, None] * (NODES - difficulty[:, None])).mean(axis=0))


def test_a_study_has_every_cure_beside_its_control(result):
    table = result.cures
    assert {"reweight", "choose", "average", "items", "trials"} <= set(table["cure"])
    assert "adaptive" not in set(table["cure"])  # several trials of an item
    assert table["noise"].gt(0).all() and (table["cost"] >= table["size"]).all()
    more = table.set_index("cure").loc["items"]
    assert 0.7 < more["ratio"] < 1 and more["cost"] == 2 * result.plan.benchmarks[0].n_items
    assert (table["ratio_q05"].dropna() <= table["ratio"][table["ratio_q05"].notna()]).all()
    assert table["detectable"].dropna().between(0, 1).all()
    assert set(result.cures_control["shuffled_within"]) == {"models", "items"}
    assert sum(result.to_dict()["cures"]["all"].values()) == (table["verdict"] != "").sum()


def test_all_items_are_a_size_for_other_weights(table, tmp_path):
    study = run_study(table, sizes=[60], folder=tmp_path, **SMALL)
    assert set(study.results()["method"]) == {"full"} and set(study.cures()["size"]) == {60, 15, 120}
    assert Study.load(tmp_path).cures()["how"].tolist() == study.cures()["how"].tolist()
    with pytest.raises(AnalysisError, match="no size is at most its 60 items"):
        run_study(table, sizes=[61], **SMALL)


def test_an_alternative_is_judged_on_the_scale_of_accuracy(tmp_path):
    spec = importlib.util.spec_from_file_location("drawn", f"{__file__.rpartition('/')[0]}/conftest.py")
    drawn = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawn)
    frame = drawn.draw_frame(np.random.default_rng(6), n_runs=6, n_seeds=4, n_steps=1, n_trials=1)
    soft = frame.assign(score=0.5 * frame["n_correct"] + 0.25).drop(columns=["n_correct", "n_samples"])
    study = run_study(
        table_from_frame(frame), sizes=[60], alternatives={"soft": table_from_frame(soft)}, folder=tmp_path, **SMALL
    )
    row = study.cures().set_index("how").loc["soft"]
    assert row["ratio"] == pytest.approx(1) and row["verdict"] != CUTS  # it is accuracy, shrunk
    assert [text.get_text() for text in study.plot("cures").axes[0].get_yticklabels()][-1] == "soft, 60"
    with pytest.raises(AnalysisError, match=r"has no score of 4 of 24 models at the last step; first: 'run-0"):
        few = soft[~soft["model"].str.startswith("run-0")]
        run_study(table_from_frame(frame), sizes=[60], alternatives={"few": table_from_frame(few)}, **SMALL)


def test_polynomials_are_those_of_numpy_also_where_few_values_differ():
    rng = np.random.default_rng(7)
    x, y = rng.integers(0, 8, (20, 12)) / 20, rng.normal(size=(20, 12))
    x[0], x[1] = 0.3, np.tile([0.2, 0.5], 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.RankWarning)
        expected = [np.polynomial.Polynomial.fit(each, values, 3)(each) for each, values in zip(x, y, strict=True)]
    assert fitted_polynomials(x, y) == pytest.approx(np.array(expected), abs=1e-10)
