"""Abilities from item parameters of other programs."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, optimize
from scipy.special import expit

from irt_bench import load_example, make_subset, plot_scores, score_with_items
from irt_bench.analysis.item_parameters import item_parameter_table, read_item_parameters
from irt_bench.errors import AnalysisError, ResponsesWarning

KNOWN = pd.DataFrame({"a": [1.2, 0.7, 2.0], "b": [-0.5, 0.4, 1.0]}, index=["i1", "i2", "i3"])
ANSWERS = pd.DataFrame([[1, 1, 0], [1, 0, 1], [0, 0, 0]], index=["x", "y", "z"], columns=["i1", "i2", "i3"])


def density(theta, answers, known):
    chance = expit(known["a"].to_numpy() * (theta - known["b"].to_numpy()))
    return np.prod(np.where(answers, chance, 1 - chance)) * np.exp(-(theta**2) / 2)


def test_abilities_are_those_of_numerical_integration_and_of_the_mode():
    eap, mode = (score_with_items(ANSWERS, KNOWN, method=method) for method in ("eap", "map"))
    for model, answers in ANSWERS.iterrows():
        mass, first, second = (
            integrate.quad(lambda t, k=k, own=answers: t**k * density(t, own, KNOWN), -9, 9)[0] for k in range(3)
        )
        mean = first / mass
        assert eap.loc[model, "ability"] == pytest.approx(mean, abs=1e-3)
        assert eap.loc[model, "ability_sd"] == pytest.approx(np.sqrt(second / mass - mean**2), abs=1e-3)
        top = optimize.minimize_scalar(lambda t, own=answers: -np.log(density(t, own, KNOWN)), (-3, 3)).x
        assert mode.loc[model, "ability"] == pytest.approx(top, abs=1e-4)


def test_names_of_other_programs_are_one_table(tmp_path):
    own = item_parameter_table(KNOWN)
    mirt = pd.DataFrame({"a1": KNOWN["a"], "d": -KNOWN["a"] * KNOWN["b"], "g": 0.0, "u": 1.0})
    catsim = KNOWN.assign(c=0.0, d=1.0)
    girth = KNOWN.rename(columns={"a": "Discrimination", "b": "Difficulty"}).rename_axis("item").reset_index()
    py_irt = {"disc": list(KNOWN["a"]), "diff": list(KNOWN["b"]), "item_ids": {"2": "i3", "0": "i1", "1": "i2"}}
    (tmp_path / "best_parameters.json").write_text(json.dumps(py_irt))
    for other in (mirt, catsim, girth):
        pd.testing.assert_frame_equal(item_parameter_table(other), own)
    pd.testing.assert_frame_equal(read_item_parameters(tmp_path / "best_parameters.json"), own)
    fitted = py_irt | {"irt_model": "4pl", "lambdas": [0.9, 0.8, 1.0]}
    (tmp_path / "four.json").write_text(json.dumps(fitted))
    assert read_item_parameters(tmp_path / "four.json")["upper_asymptote"].tolist() == [0.9, 0.8, 1.0]
    (tmp_path / "three.json").write_text(json.dumps(fitted | {"irt_model": "3pl", "lambdas": [0.1, 0.2, 0.0]}))
    assert read_item_parameters(tmp_path / "three.json")["guessing"].tolist() == [0.1, 0.2, 0.0]
    with pytest.raises(AnalysisError, match="lambdas are known with"):
        (tmp_path / "which.json").write_text(json.dumps({**fitted, "irt_model": "x"}))
        read_item_parameters(tmp_path / "which.json")


def test_the_exported_table_scores_as_the_subset_it_is_of(tmp_path):
    table = load_example("benchmark")
    subset = make_subset(table, 20, method="random", seed=1)
    subset.export("params", tmp_path / "items.csv")
    with pytest.warns(ResponsesWarning, match="80 of 100 items have no parameters and are left out"):
        found = score_with_items(table, tmp_path / "items.csv")
    assert (found["n_items"] == 20).all()
    assert found["ability"].corr(table.counts().accuracy()) > 0.85
    axes = plot_scores(found, of="20 known items", width=6).axes[0]
    best = found["ability"].idxmax()
    assert axes.get_yticklabels()[0].get_text() == best and axes.get_xlabel().startswith("ability")
    with pytest.raises(AnalysisError, match="scores has columns difficulty; 'ability'"):
        plot_scores(table.counts().accuracy().to_frame("difficulty"))


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        (KNOWN[["a"]], r"need a difficulty \(b\) or an intercept \(d\); the columns are a"),
        (pd.concat([KNOWN, KNOWN]), "item 'i1' has parameters twice"),
        (KNOWN.assign(b=[0.0, np.nan, 0.0]), "1 items have parameters that are not finite.*'i2'"),
        (KNOWN.assign(c=1.5), "3 items have .* first: 'i1' with .*guessing 1.5"),
        (KNOWN.assign(a=[0.0, 1, 1], d=1.0).drop(columns="b"), "not finite.*'i1'"),
        (KNOWN.iloc[:0], "has no rows"),
        (KNOWN.set_axis(["q1", "q2", "q3"]), "none of the 3 items of the responses has parameters; first: 'i1'"),
        ("nowhere.csv", "nowhere.csv is no file"),
        (__file__, "item parameters are read from .csv, .parquet, .json files"),
    ],
)
def test_wrong_tables_give_one_line(items, reason):
    with pytest.raises(AnalysisError, match=reason):
        score_with_items(ANSWERS, items)


def test_reversed_discriminations_are_said():
    with pytest.warns(ResponsesWarning, match="ability is reversed"):
        found = score_with_items(ANSWERS, KNOWN.assign(a=-KNOWN["a"]))
    assert found["ability"].idxmax() == "z"


def test_modes_are_those_of_mirt(shared_data):
    """metabench's 4PL of winogrande: 106 items, 5,476 models, abilities by mirt's fscores(method = "MAP")."""
    tables = [pd.read_parquet(shared_data / f"metabench_dev{end}.parquet") for end in ("", "_params", "_theta")]
    answers, items, theta = (table[table["benchmark"] == "winogrande"] for table in tables)
    found = score_with_items(answers, items[["item", "a1", "d", "g", "u"]], method="map")
    published = theta.set_index("model")["theta"]
    assert np.abs(found["ability"] - published).max() < 1e-3
    shuffled = items.assign(item=items["item"].sample(frac=1, random_state=1).to_numpy())
    wrong = score_with_items(answers, shuffled[["item", "a1", "d", "g", "u"]], method="map")
    assert np.abs(wrong["ability"] - published).max() > 0.5
