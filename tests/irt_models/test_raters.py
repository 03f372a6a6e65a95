"""Scores by several raters: likelihood, reading, severities found again, and what leaving raters out does."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from irt_bench import (
    Fit,
    ManyFacet,
    NUTSSettings,
    SVISettings,
    fit,
    read_responses,
    simulate_responses,
    table_from_frame,
)
from irt_bench.errors import AnalysisError, ModelError
from irt_bench.inference.sampling import coordinates, svi
from irt_bench.irt_models.model import arranged
from irt_bench.irt_models.simulate import HYPERPARAMETERS

RATERS = ["harsh", "mild", "fair"]
SEVERITY = np.array([0.8, -0.7, -0.1])
QUICK = SVISettings(max_steps=250, draws=200)


def judged(n_models=60, n_items=6, *, seed=1, steps=3, split=False):
    """Long frame of scores of 0 to 3, and the truth; where split, the harsh rater saw the first half of the models.

    The second half is by the mild one, and one item is rated by both of all.
    """
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0.0, 0.8, n_items)
    away = np.tile([-0.8, 0.1, 0.7][:steps], (n_items, 1))
    threshold = difficulty[:, None] + away - away.mean()
    columns = [(item, rater) for item in range(n_items) for rater in range(len(RATERS))]
    model = ManyFacet(
        steps=steps,
        rated_items=tuple(f"q{item}" for item, _ in columns),
        raters=tuple(RATERS[rater] for _, rater in columns),
    )
    seen = np.array([threshold[item] + SEVERITY[rater] for item, rater in columns])
    given = {"threshold": seen, "difficulty": seen.mean(axis=1), "discrimination": 1.2}
    made = simulate_responses(model, n_models=n_models, n_items=len(columns), seed=seed, parameters=given)
    frame = made.table.to_frame()
    score = (frame["score"] * frame["highest_score"]).round()
    long = frame[["model", "rater"]].assign(item=frame["rated_item"], score=score, max_score=steps)
    if split:
        first = long["model"].astype(str).isin(made.truth["model"].to_numpy()[: n_models // 2])
        by_one = np.where(first, long["rater"] == "harsh", long["rater"] == "mild")
        long = long[by_one | ((long["item"] == "q0") & (long["rater"] != "fair"))]
    return long, made.truth


def quick_fit(data, name):
    """Fit by a short optimisation from a short start, which is told."""
    with pytest.MonkeyPatch.context() as patch, pytest.warns(Warning):
        patch.setattr(coordinates, "START_STEPS", 250)
        patch.setattr(coordinates, "MIN_DRAWS", 150)
        patch.setattr(svi, "MAX_CHECKED", 0)
        return fit(table_from_frame(data), name, QUICK, seed=1)


@pytest.fixture(scope="module")
def fitted():
    long, truth = judged()
    return quick_fit(long, "mfrm"), truth


def test_likelihood_is_that_of_partial_credit_at_ability_less_severity():
    made = simulate_responses(ManyFacet(steps=2), n_models=4, n_items=6, seed=3)
    truth, counts = made.truth, arranged(ManyFacet(), made.table.counts())
    values = {name: truth[name].to_numpy() for name in ("difficulty", "discrimination", "threshold")}
    found = ManyFacet(steps=2).log_likelihood(values, truth["ability"].to_numpy(), counts.correct, counts.trials)
    severity, items = truth["severity"].to_numpy(), counts.items
    assert severity.sum() == pytest.approx(0.0, abs=1e-12)
    for row, theta in enumerate(truth["ability"].to_numpy()):
        for column in range(6):
            rater = int(items["rater"].iloc[column][-1]) - 1
            own = values["threshold"][column] - severity[rater]  # for the average rater
            np.testing.assert_allclose(own.mean(), truth["rated_difficulty"][column // 3])
            logits = values["discrimination"][column] * (theta - severity[rater] - own)
            chances = softmax(np.concatenate([[0.0], logits.cumsum()]))
            assert found[row, column] == pytest.approx(np.log(chances[counts.correct[row, column]]))


def test_a_column_of_raters_or_judges_makes_an_item_of_each_item_and_rater(tmp_path):
    long, _ = judged(n_models=3, n_items=2)
    for name in ("rater", "judge"):
        path = tmp_path / f"{name}.csv"
        long.rename(columns={"rater": name}).to_csv(path, index=False)
        table = read_responses([path])
        counts = table.counts()
        assert list(counts.items.index[:3]) == ["q0 [fair]", "q0 [harsh]", "q0 [mild]"]
        assert counts.items["rater"].tolist() == ["fair", "harsh", "mild"] * 2
        assert counts.items["rated_item"].tolist() == ["q0"] * 3 + ["q1"] * 3
        assert any("3 raters" in finding.message for finding in table.findings)
        assert list(table_from_frame(table.to_frame()).counts().items.index) == list(counts.items.index)
    one = long[long["rater"] == "fair"]
    assert list(table_from_frame(one).counts().items.index) == ["q0", "q1"]


def test_severities_are_found_and_sum_to_zero(fitted):
    found, truth = fitted
    raters = found.raters().loc[RATERS]
    assert raters["severity"].sum() == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(raters["severity"], SEVERITY, atol=0.2)
    assert (raters["severity_q05"] < raters["severity_q95"]).all()
    assert np.corrcoef(found.abilities()["ability"], truth["ability"])[0, 1] > 0.9
    items = found.items()
    gap = items.loc["q1 [harsh]", "difficulty"] - items.loc["q1 [mild]", "difficulty"]
    assert gap == pytest.approx(raters.loc["harsh", "severity"] - raters.loc["mild", "severity"], abs=1e-5)
    assert found.plot("raters").axes[0].get_yticklabels()[-1].get_text() == "harsh"
    with pytest.raises(AnalysisError, match="no raters"):
        Fit.raters(type("Other", (), {"posterior": found.posterior.drop_vars("severity")})())


def test_a_fit_is_read_back_and_scores_new_models(fitted, tmp_path):
    found, _ = fitted
    found.save(tmp_path / "fit.nc")
    again = Fit.load(tmp_path / "fit.nc")
    assert again.irt_model == found.irt_model
    new = found.data.take(models=slice(20))
    scores = again.score(new)
    np.testing.assert_allclose(scores["ability"], found.abilities()["ability"][:20], atol=0.1)
    pd.testing.assert_frame_equal(again.raters(), found.raters(), rtol=1e-4)


def test_raters_left_out_bias_abilities_where_they_judged_different_models():
    """The control: models of the harsh rater look weaker than they are, by its severity against the mild one's."""
    long, truth = judged(n_models=80, n_items=6, split=True)
    half = np.repeat([True, False], 40)
    gaps = {}
    for name in ("mfrm", "gpcm"):
        data = long if name == "mfrm" else long.groupby(["model", "item"], observed=True).first().reset_index()
        data = data if name == "mfrm" else data.drop(columns="rater").assign(score=data["score"].astype(float))
        table = quick_fit(data, name).abilities()
        error = table["ability"] - truth["ability"].to_numpy()
        gaps[name] = error[half].mean() - error[~half].mean()
    print(gaps)
    assert abs(gaps["mfrm"]) < 0.3
    assert gaps["gpcm"] < -0.6


def test_what_cannot_be_told_apart_is_refused_in_one_line():
    long, _ = judged(n_models=6, n_items=4)
    lone = long[np.where(long["item"].isin(["q0", "q1"]), long["rater"] == "fair", long["rater"] == "mild")]
    with pytest.raises(ModelError, match="no 'rated_item'"):
        fit(table_from_frame(long[long["rater"] == "fair"].drop(columns="rater")), "mfrm", QUICK)
    nested = table_from_frame(lone).counts()
    nested.items["rated_item"] = nested.items.index
    with pytest.raises(ModelError, match="'fair' and 'mild' share no item"):
        fit(nested, "mfrm", QUICK)
    nested.items["rater"] = "fair"
    with pytest.raises(ModelError, match="all scores are by the rater 'fair'"):
        fit(nested, "mfrm", QUICK)
    with pytest.raises(ModelError, match="need a multiple"):
        simulate_responses(ManyFacet(), n_models=5, n_items=7, seed=1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # one short chain each
def test_intervals_of_severities_and_abilities_cover():
    rows = []
    for seed in range(3):
        made = simulate_responses(
            ManyFacet(steps=3),
            n_models=50,
            n_items=18,
            seed=seed,
            hyperparameters=HYPERPARAMETERS | {"severity_sd": 0.6},
        )
        found = fit(made.table, "mfrm", NUTSSettings(chains=1, warmup=150, draws=250, jobs=1), seed=seed)
        for table, name in ((found.raters(), "severity"), (found.abilities(), "ability")):
            true = made.truth[name].to_numpy()
            inside = (table[f"{name}_q05"] < true) & (true < table[f"{name}_q95"])
            mean, sd = table[name], table[f"{name}_sd"]
            narrow = np.abs(mean - true) < 0.5 * sd
            rows.append(pd.DataFrame({"name": name, "inside": inside, "narrow": narrow, "mean": mean, "true": true}))
    every = pd.concat(rows)
    covered, slopes = every.groupby("name")[["inside", "narrow"]].mean(), {}
    for name, part in every.groupby("name"):
        slopes[name] = np.polyfit(part["mean"], part["true"], 1)[0]
    print(covered, slopes)
    assert covered.loc["ability", "inside"] == pytest.approx(0.9, abs=0.05)
    assert covered.loc["severity", "inside"] >= 0.7  # nine severities
    assert (covered["narrow"] < 0.6).all()  # the control: intervals a third as wide
    assert slopes["severity"] == pytest.approx(1.0, abs=0.05)
