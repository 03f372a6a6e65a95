"""Items regressed on their covariates: recovery, predictions of unseen items, files, refusals."""

import numpy as np
import pandas as pd
import pytest

from irt_bench import (
    ConvergenceWarning,
    Fit,
    FitWarning,
    ItemRegression,
    LaplaceSettings,
    Normal,
    OnePL,
    SVISettings,
    TwoPL,
    as_counts,
    fit,
    predict_items,
    simulate_responses,
)
from irt_bench.errors import AnalysisError, ModelError
from irt_bench.inference.fit import default_method
from irt_bench.inference.sampling import svi

KINDS = ["maths", "reading", "code"]
EFFECTS = {"maths": 0.8, "reading": -0.6, "code": 0.0}
QUICK = SVISettings(max_steps=500, draws=400)


def simulated(seed, n_models=60, n_items=60):
    """Answers to items whose difficulty rises with length and differs between subtasks; the last ten are held back."""
    rng = np.random.default_rng(seed)
    items = pd.DataFrame({"length": rng.normal(300, 100, n_items), "subtask": rng.choice(KINDS, n_items)})
    standard = ((items["length"] - 300) / 100).to_numpy()
    difficulty = 0.7 * standard + items["subtask"].map(EFFECTS).to_numpy() + rng.normal(0, 0.3, n_items)
    slope = np.exp(0.4 * standard + rng.normal(0, 0.2, n_items))
    given = {"difficulty": difficulty, "discrimination": slope}
    made = simulate_responses(TwoPL(), n_models=n_models, n_items=n_items, seed=seed, parameters=given)
    frame = made.table.to_frame()
    items = items.set_axis(made.truth["item"].to_numpy().astype(str))
    frame = frame.merge(items, left_on="item", right_index=True)
    return frame[frame["item"].isin(items.index[:-10])], items, made.truth


@pytest.fixture(scope="module")
def known():
    return simulated(1, n_items=40)


@pytest.fixture(scope="module")
def fitted(known):
    answers, _, _ = known
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(svi, "MAX_CHECKED", 0)
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of few steps
        return fit(
            answers, TwoPL(item_regression=ItemRegression(["length", "subtask"])), QUICK, seed=1, model_clusters=False
        )


def test_effects_are_found_and_named(fitted, known):
    effects = fitted.summary("difficulty_effect")
    assert effects.index.tolist()[0] == "difficulty_effect[length]"
    length = effects.loc["difficulty_effect[length]"]
    planted = 0.7 * known[1]["length"].iloc[:-10].std() / 100
    assert abs(length["mean"] - planted) < 3 * length["sd"]
    assert length["q05"] > 0
    most = known[1]["subtask"].iloc[:-10].value_counts().index[0]
    for value in {*KINDS} - {most}:
        found = effects.loc[f"difficulty_effect[subtask: {value} - {most}]"]
        assert abs(found["mean"] - (EFFECTS[value] - EFFECTS[most])) < 3 * found["sd"]
        assert found["sd"] < 0.4
    assert float(fitted.posterior["log_discrimination_effect"].sel(item_covariate="length").mean()) > 0.1


def test_unseen_items_are_predicted_better_than_by_their_mean(fitted, known):
    _, items, truth = known
    unseen = items.iloc[-10:]
    table = predict_items(fitted, unseen, seed=1)
    planted = truth["difficulty"].to_series()[unseen.index].to_numpy()
    assert table.index.tolist() == unseen.index.tolist()
    error = np.sqrt(np.mean((table["difficulty"] - planted) ** 2))
    assert error < 0.7 * planted.std()
    assert ((table["difficulty_q05"] < planted) & (planted < table["difficulty_q95"])).mean() >= 0.6
    shuffled = unseen.sample(frac=1, random_state=2).set_axis(unseen.index)  # the control
    assert np.sqrt(np.mean((predict_items(fitted, shuffled)["difficulty"] - planted) ** 2)) > 1.3 * error
    new = predict_items(fitted, pd.DataFrame({"length": [300.0], "subtask": ["law"]}, index=["new"]))
    assert new["difficulty_sd"].item() > 0.2


def test_a_saved_fit_predicts_the_same(fitted, known, tmp_path):
    fitted.save(tmp_path / "fit.nc")
    again = Fit.load(tmp_path / "fit.nc")
    assert again.irt_model == fitted.irt_model
    unseen = known[1].iloc[-10:]
    pd.testing.assert_frame_equal(predict_items(again, unseen), predict_items(fitted, unseen), rtol=1e-4)


@pytest.mark.filterwarnings("ignore")  # of few models
def test_what_cannot_be_regressed_is_refused(known):
    answers, items, _ = known
    with pytest.raises(ModelError, match="does not regress items"):
        fit(answers, TwoPL(item_regression=ItemRegression(["length"])), LaplaceSettings())
    with pytest.raises(ModelError, match=r"(?i)unknown item column|no item column|width"):
        fit(answers, TwoPL(item_regression=ItemRegression(["width"])), QUICK)
    with pytest.raises(ModelError, match="is the same in all items"):
        ItemRegression(["flat"]).bind(items.assign(flat=1.0))
    with pytest.raises(ModelError, match="needs a hierarchical prior"):
        TwoPL(difficulty=Normal(0, 1), item_regression=ItemRegression(["length"]))
    with pytest.raises(ModelError, match="a list of columns"):
        ItemRegression("length")
    plain = fit(answers, "2pl", LaplaceSettings(refine=False, draws=20), model_clusters=False)
    with pytest.raises(AnalysisError, match="no regression of items"):
        predict_items(plain, items)


def test_another_method_is_chosen_and_named(known):
    counts = as_counts(known[0])
    with pytest.warns(FitWarning, match="regresses items on covariates.*method='nuts' is used"):
        assert default_method(OnePL(item_regression=ItemRegression(["length"])), counts) == "nuts"


@pytest.mark.slow
@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.{ConvergenceWarning.__name__}")
@pytest.mark.filterwarnings("ignore")
def test_predictions_cover_over_data_sets():
    """90% intervals of unseen items; the control, covariates dealt out at random, predicts nothing."""
    covered, errors, controls = [], [], []
    for seed in range(6):
        answers, items, truth = simulated(seed)
        model = TwoPL(item_regression=ItemRegression(["length", "subtask"]))
        unseen = items.iloc[-10:]
        fitted = fit(answers, model, SVISettings(), seed=seed)
        table = predict_items(fitted, unseen)
        for name in ("difficulty", "discrimination"):
            planted = truth[name].to_series()[unseen.index].to_numpy()
            covered.append((table[f"{name}_q05"] < planted) & (planted < table[f"{name}_q95"]))
        planted = truth["difficulty"].to_series()[unseen.index].to_numpy()
        errors.append(table["difficulty"] - planted)
        mixed = predict_items(fitted, unseen.sample(frac=1, random_state=1))
        controls.append(mixed["difficulty"].to_numpy() - planted)
    print(np.mean(covered), np.sqrt(np.mean(np.square(errors))), np.sqrt(np.mean(np.square(controls))))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.06)
    assert np.sqrt(np.mean(np.square(errors))) < 0.5
    assert np.sqrt(np.mean(np.square(controls))) > 0.8
