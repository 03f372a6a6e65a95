"""What a user does in a notebook, through public names only."""

import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from make_examples import make_benchmark
from matplotlib.figure import Figure

import irt_bench as ib
from irt_bench.examples import ExampleName
from irt_bench.names import EstimatorName, SelectorName, WeightingName

EXAMPLES = Path(ib.__file__).parent / "examples"
QUICK = ib.LaplaceSettings(refine=False)


@pytest.fixture(scope="module")
def wide():
    """A wide 0/1 DataFrame, as from a spreadsheet: a row per model, a column per item."""
    return ib.load_example("benchmark").counts().to_frame()


@pytest.fixture(scope="module")
def fitted(wide):
    return ib.fit(wide, "2pl", QUICK, seed=1)


@pytest.mark.parametrize(
    ("kind", "title"), [(SelectorName, "Methods,"), (WeightingName, "Weights of"), (EstimatorName, "Estimators of")]
)
def test_every_way_to_make_a_subset_is_explained(kind, title):
    text = ib.make_subset.__doc__
    lines = text[text.index(title) :].split("\n\n")[1].splitlines()
    heads = [line.partition(":")[0] for line in lines]
    assert [name for head in heads for name in re.findall(r'"([\w-]+)"', head)] == list(get_args(kind))


def test_item_analysis_finds_the_mis_keyed_items(wide):
    analysis = ib.item_analysis(wide)
    assert set(analysis.flagged().index[:2]) == {"item-037", "item-083"}
    assert analysis.summary().loc["alpha", "value"] == pytest.approx(0.93, abs=0.01)
    assert isinstance(analysis.plot(), Figure)


def test_a_fit_has_tables_curves_and_scores_of_new_rows(wide, fitted):
    abilities, items = fitted.abilities(), fitted.items()
    assert abilities["accuracy"].corr(abilities["ability"]) > 0.95
    assert list(items.index) == list(wide.columns)
    information = fitted.information()
    assert (information["information_q05"] <= information["information_q95"]).all()
    assert set(fitted.curves(["item-001"]).columns) == {"probability", "probability_q05", "probability_q95"}
    new = pd.DataFrame([[1.0] * 100, [0.0] * 100], index=["best", "worst"], columns=wide.columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they lie beyond all models of the fit
        scores = fitted.score(new)
    assert scores.loc["best", "ability"] > abilities["ability"].max() > scores.loc["worst", "ability"]


def test_rows_of_the_fit_scored_again_have_the_abilities_of_the_fit(wide, fitted):
    scores = fitted.score(wide.iloc[:5])
    assert np.allclose(scores["ability"], fitted.abilities()["ability"].iloc[:5], atol=0.02)


def test_checks_name_the_items_that_do_not_fit(fitted):
    checks = fitted.check(replicates=9, seed=1)
    assert not checks.passed and {"item-037", "item-083"} == set(checks.items()["s_x2"].nlargest(2).index)
    assert checks.summary().loc["s_x2", "status"] == "failed"


def test_priors_are_changed_in_the_model_and_change_the_fit(wide, fitted):
    alike = ib.TwoPL(difficulty=ib.Normal(0.0, 0.8))
    other = ib.fit(wide, alike, QUICK, seed=1)
    assert other.items()["difficulty"].std() < 0.95 * fitted.items()["difficulty"].std()
    assert other.irt_model.difficulty == ib.Normal(0.0, 0.8)


def test_names_and_objects_give_the_same_fit(wide, fitted):
    other = ib.fit(ib.as_counts(wide), ib.TwoPL(), ib.LaplaceSettings(refine=False, seed=1))
    assert other.posterior.equals(fitted.posterior)


@pytest.mark.parametrize("form", ["wide", "wide with a column", "long", "table", "counts", "array"])
def test_every_form_of_responses_gives_the_same_fit(wide, fitted, form):
    counts = ib.as_counts(wide)
    forms = {
        "wide": lambda: wide,
        "wide with a column": lambda: wide.rename_axis("model").reset_index(),
        "long": lambda: ib.load_example("benchmark").to_frame()[["model", "item", "correct"]],
        "table": lambda: ib.as_table(wide),
        "counts": lambda: counts,
        "array": lambda: counts.to_frame().to_numpy(),
    }
    labels = {"models": wide.index, "items": wide.columns} if form == "array" else {}
    found = ib.fit(forms[form](), "2pl", QUICK, seed=1, **labels)
    assert found.items()["difficulty"].equals(fitted.items()["difficulty"])


def test_a_saved_fit_gives_the_same_tables_when_loaded(fitted, tmp_path):
    fitted.save(tmp_path / "fit.nc")
    loaded = ib.Fit.load(tmp_path / "fit.nc")
    assert np.array_equal(loaded.data.correct, fitted.data.correct)
    for name in ("abilities", "items", "summary", "diagnostics"):
        pd.testing.assert_frame_equal(getattr(loaded, name)(), getattr(fitted, name)(), rtol=1e-5)
    assert repr(loaded) == repr(fitted)


def test_responses_with_gaps_and_repeats_are_saved_and_loaded(tmp_path):
    counts = ib.load_example("repeats").counts()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten models are few
        fitted = ib.fit(counts, "1pl", QUICK)
    fitted.save(tmp_path / "fit.nc")
    loaded = ib.Fit.load(tmp_path / "fit.nc")
    assert counts.trials.max() > 1 and (counts.trials == 0).any()
    assert loaded.data.fingerprint() == counts.fingerprint()


def test_a_fit_saved_without_its_responses_asks_for_them(wide, fitted, tmp_path):
    fitted.save(tmp_path / "fit.nc", groups=())
    loaded = ib.Fit.load(tmp_path / "fit.nc")
    assert loaded.data is None and "accuracy" not in loaded.abilities()
    with pytest.raises(ib.IrtBenchError, match="check needs the responses.*give responses="):
        loaded.check()
    assert loaded.compare_accuracy(wide).models()["accuracy"].between(0, 1).all()


def test_arviz_gets_what_it_needs(fitted):
    container = fitted.thin(50).to_arviz()
    assert {"posterior", "log_likelihood", "observed_data"} <= {str(group).strip("/") for group in container.groups()}


@pytest.fixture(scope="module")
def subset(wide):
    return ib.make_subset(wide, 20, seed=1)


def test_a_subset_is_made_saved_loaded_and_scores_models(wide, subset, tmp_path):
    subset.save(tmp_path / "subset.json")
    loaded = ib.Subset.load(tmp_path / "subset.json")
    assert loaded == subset and len(loaded.items()) == 20
    scores = loaded.score(wide[list(loaded.ids)])
    full = wide.mean(axis=1)
    assert (scores["estimate"] - full).abs().mean() < 0.06
    compared = loaded.compare(wide)
    assert np.allclose(compared["score"], full) and 0.8 < compared["covered"].mean() <= 1
    assert loaded.export("ids", tmp_path / "ids.txt").startswith("irt-bench score")
    assert (tmp_path / "ids.txt").read_text().split() == list(loaded.ids)


def test_a_subset_is_compared_with_adaptive_tests(fitted, subset):
    designs = subset.compare_adaptive(fitted, n_models=50, max_items=20)
    assert {"n_items", "ability_error"} <= set(designs.columns)


@pytest.fixture(scope="module")
def seeds():
    return ib.load_example("seeds").to_frame()


def test_seed_variance_of_a_long_frame(seeds, tmp_path):
    found = ib.seed_variance(seeds, n_bootstrap=20, n_subsets=20, seed=1)
    row = found.summary().loc[("planted", "accuracy")]
    assert row["seed_sd_q05"] < row["seed_sd"] < row["seed_sd_q95"] and row["n_seeds"] == 8
    assert len(found.subtasks()) >= 20 and len(found.runs()) == 2
    found.save(tmp_path / "variance")
    report = ib.write_report([tmp_path / "variance"], tmp_path / "report.html")
    assert "planted" in report.read_text()


def test_two_framings_and_two_models_are_compared(seeds):
    compared = ib.compare_seed_variance(seeds, ib.load_example("quiet_seeds"), labels=("seeds", "quiet"))
    assert compared["verdict"] == "higher" and compared.name == "seeds against quiet"
    a, b = sorted(seeds["model"].astype(str).unique())[:2]
    assert -1 < ib.compare_models(seeds, a, b)["difference"] < 1


def test_a_study_is_run_goes_on_and_is_loaded(tmp_path):
    design = ib.StudyDesign(sizes=(10,), methods=("variance",), estimators=("weighted",), n_folds=2, n_random=20,
                            n_reweighted=20, transfer_splits=2, drop=(0.5,))  # fmt: skip
    table = ib.load_example("repeats")
    first = ib.run_study(table, design, tmp_path / "study")
    again = ib.run_study(table, design, tmp_path / "study")
    pd.testing.assert_frame_equal(first.results(), again.results())
    loaded = ib.Study.load(tmp_path / "study")
    assert loaded.benchmarks == ["planted"] and len(loaded.results()) == len(first.results())
    assert repr(loaded) == repr(first) and isinstance(loaded.plot("path"), Figure)


JUNK = [
    ([[1, 0], [0, 1]], "responses are a list"),
    (None, "responses are a NoneType"),
    ("results/", "responses are a str"),
    (np.zeros(3), r"responses are a ndarray of shape \(3,\)"),
    (np.array([[0, 7], [1, 0]]), "1 values are not from 0 to 1"),
    (pd.DataFrame({"model": ["a", "b"], "task_text": ["q", "q"], "correct": [0, 1]}), "no column 'item'"),
    (pd.DataFrame({"a": ["x", "y"], "b": ["u", "v"]}), "column 'b' holds 'u' for model 'x'"),
]
JOURNEYS = {
    "fit": lambda junk: ib.fit(junk, "2pl"),
    "item_analysis": ib.item_analysis,
    "make_subset": lambda junk: ib.make_subset(junk, 2),
    "compare_subsets": lambda junk: ib.compare_subsets(junk, [2]),
    "seed_variance": ib.seed_variance,
    "run_study": ib.run_study,
    "compare_models": lambda junk: ib.compare_models(junk, "a", "b"),
    "model_scores": ib.model_scores,
    "compare_calibrations": lambda junk: ib.compare_calibrations(junk, 2, [4]),
    "compare_recipes": lambda junk: ib.compare_recipes(junk, "a", "b"),
    "compare_seed_variance": lambda junk: ib.compare_seed_variance(junk, junk),
    "score_with_items": lambda junk: ib.score_with_items(junk, pd.DataFrame({"difficulty": [0.0]}, index=["q"])),
    "report_responses": lambda junk: ib.report_responses(junk, "page.html"),
}


@pytest.mark.parametrize(("junk", "reason"), JUNK)
@pytest.mark.parametrize("journey", JOURNEYS)
def test_junk_gives_one_clear_error(journey, junk, reason):
    with pytest.raises(ib.IrtBenchError, match=reason) as caught:
        JOURNEYS[journey](junk)
    assert "\n" not in str(caught.value) and "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda wide: ib.fit(wide, "5pl"), "IRT model '5pl' is not known"),
        (lambda wide: ib.fit(wide, "2pl", "mcmc"), "method 'mcmc' is not known"),
        (lambda wide: ib.fit(wide, "2pl", 7), r"method is 7; one of 'laplace'.*NUTSSettings\(\.\.\.\)"),
        (lambda wide: ib.fit(wide, "2pl", seed=-1), "seed is -1"),
        (lambda wide: ib.fit(wide, 3), "int lacks name, program"),
        (lambda wide: ib.fit(wide, models=["a"]), "models are given for a DataFrame"),
        (lambda wide: ib.fit(wide.to_numpy(), items=["a"]), "items has 1 labels for an array with 100 items"),
        (lambda wide: ib.make_subset(wide), "give either size"),
        (lambda wide: ib.make_subset(wide, 1_000), "size 1000 was asked for, of 100 items"),
        (lambda wide: ib.make_subset(wide, 10, method="anchor"), "method 'anchor' is not known. Did you mean 'anchors"),
        (lambda wide: ib.compare_subsets(wide, [100]), r"none of the sizes \(100,\) is below"),
        (
            lambda wide: ib.make_subset(wide, 5, fit=ib.fit(wide, ib.MultidimensionalTwoPL(dimensions=2))),
            "fit is of the model m2pl",
        ),
        (lambda wide: ib.seed_variance(wide), "no model has a seed"),
        (lambda wide: ib.seed_variance(wide, power=2), "power is 2"),
        (lambda wide: ib.run_study(wide, size=[3]), "field 'size' is not known. Did you mean 'sizes'"),
        (lambda wide: ib.load_example("lsat"), "example 'lsat' is not known. Did you mean 'lsat6'"),
        (lambda wide: ib.Fit.load("no-such-file.nc"), "no-such-file.nc does not exist"),
        (lambda wide: ib.Subset.load("no-such-file.json"), "no-such-file.json is no file"),
        (lambda wide: ib.Study.load("no-such-folder"), "no-such-folder does not exist"),
        (lambda wide: ib.load_example("seeds").select("other"), "benchmark 'other' is not known"),
    ],
)
def test_wrong_arguments_give_one_clear_error_that_names_no_flag(wide, call, reason):
    with pytest.raises(ib.IrtBenchError, match=reason) as caught:
        call(wide)
    assert "\n" not in str(caught.value) and "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "new"),
    [
        (lambda wide: ib.fit(wide, cluster=False), "model_clusters="),
        (lambda wide: ib.model_scores(wide, cluster="passage"), "item_clusters="),
        (lambda wide: ib.compare_models(wide, "a", "b", cluster="passage"), "item_clusters="),
    ],
)
def test_an_old_name_of_a_parameter_is_answered_with_the_new_one(wide, call, new):
    with pytest.raises(TypeError, match=new):
        call(wide)


@pytest.mark.parametrize("name", get_args(ExampleName))
def test_examples_are_small_and_load_by_name(name):
    table = ib.load_example(name)
    assert len(table.benchmarks) == (2 if name == "seed_bank" else 1)
    assert table.select(table.benchmarks[0]).counts().n_models > 1
    assert all(path.stat().st_size < 500_000 for path in EXAMPLES.iterdir())


def test_the_example_benchmark_is_made_again_byte_for_byte(tmp_path):
    entry = json.loads((EXAMPLES / "manifest.json").read_text())["benchmark.parquet"]
    ib.write_table(make_benchmark(entry["plan"], entry["seed"]), tmp_path / "benchmark.parquet")
    made, shipped = ((folder / "benchmark.parquet").read_bytes() for folder in (tmp_path, EXAMPLES))
    assert hashlib.sha256(made).hexdigest() == hashlib.sha256(shipped).hexdigest() == entry["sha256"]


def test_lsat_has_the_published_shares_and_patterns():
    """Bock and Lieberman (1970): shares of right answers of items 1 to 5, and 298 examinees with all right."""
    counts = ib.load_example("lsat6").counts()
    assert counts.to_frame().mean().tolist() == pytest.approx([0.924, 0.709, 0.553, 0.763, 0.870])
    assert (counts.accuracy() == 1).sum() == 298 and (counts.accuracy() == 0).sum() == 3
