"""How results show themselves: one line as text, tables in a notebook, figures that can be restyled."""

import re
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest

import irt_bench as ib
from irt_bench.api.display import html_frame

EVIL = "<script>alert('x')</script>"


@cache
def results():
    """Results of every kind, of models and items with labels that are markup."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wide = ib.load_example("benchmark").counts().to_frame().iloc[:, :30]
        wide = wide.rename(index={"model-001": EVIL}, columns={"item-001": EVIL, "item-018": f"{EVIL} hard"})
        fitted = ib.fit(wide, "2pl", ib.LaplaceSettings(refine=False))
        seeds = ib.load_example("seeds").to_frame()
        seeds["run"] = seeds["run"].astype(str).replace("run-1", EVIL)
        subset = ib.make_subset(wide, 12, method="information", estimator="p_irt", fit=fitted)
        study = ib.run_study(
            ib.load_example("repeats"), sizes=[10], methods=["variance"], estimators=["weighted"], n_folds=2,
            n_random=20, n_reweighted=20, transfer_splits=2, drop=[0.5],
        )  # fmt: skip
        return {
            "ItemAnalysis": ib.item_analysis(wide),
            "Fit": fitted,
            "FitChecks": fitted.check(replicates=9),
            "AccuracyComparison": fitted.compare_accuracy(n_resamples=50),
            "ScaleLink": ib.link_scales(fitted, fitted),
            "ModelScores": ib.model_scores(wide.iloc[:20]),
            "Subset": subset,
            "SubsetComparison": ib.compare_subsets(
                wide.iloc[:40, :15], [5], methods=["difficulty"], estimators=["weighted"], n_random=9, controls=False
            ),
            "CalibrationComparison": ib.compare_calibrations(
                wide.iloc[:30, :15], 5, [4, 8], method="random", estimator="weighted", repeats=2
            ),
            "SeedVariance": ib.seed_variance(seeds, n_bootstrap=20, n_subsets=20),
            "RecipeComparison": ib.compare_recipes(ib.load_example("seeds"), "run-1", "run-2"),
            "Study": study,
        }


KINDS = {
    "ItemAnalysis": ("items",),
    "Fit": ("fit", "abilities", "ranks", "items", "wright", "information", "curves", "score", "trace"),
    "FitChecks": ("checks",),
    "AccuracyComparison": ("comparison", "ranks"),
    "ModelScores": ("scores",),
    "Subset": ("items",),
    "SubsetComparison": ("errors",),
    "CalibrationComparison": ("calibrations",),
    "SeedVariance": ("steps", "curve", "subtasks"),
    "RecipeComparison": ("recipes",),
    "Study": ("forest", "path"),
}


RESULTS = (*KINDS, "ScaleLink")  # which has no figure


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_one_line_as_text(name):
    text = repr(results()[name])
    assert text.startswith(f"{name}(") and "\n" not in text and len(text) < 160


@pytest.mark.parametrize("name", RESULTS)
def test_a_notebook_shows_tables_and_never_markup_of_labels(name):
    html = results()[name]._repr_html_()
    assert "<table>" in html and "<script" not in html
    assert len(re.findall("<table>", html)) == len(re.findall("</table>", html))


def test_messages_keep_their_punctuation_and_flags_are_listed():
    checks = results()["FitChecks"]
    messages = [text for text in checks.summary()["message"] if "; " in text]
    assert messages and ",  " not in checks._repr_html_()
    flags = pd.DataFrame({"flags": ["negative;too_hard"]}, index=pd.Index(["a"], name="item"))
    assert "negative, too_hard" in html_frame(flags, "")


def test_labels_that_are_markup_are_shown_as_text():
    shown = "".join(result._repr_html_() for result in results().values())
    assert shown.count("&lt;script&gt;") >= 3  # the control: such labels are in the tables


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kinds in KINDS.items() for kind in kinds])
def test_figures_are_drawn_at_any_width_and_can_be_restyled(name, kind):
    result = results()[name]
    figure, narrow = result.plot(kind), result.plot(kind, width=5.0)
    assert narrow.get_size_inches()[0] == pytest.approx(5.0)
    axes = figure.axes[0]
    axes.set_title("restyled")
    assert axes.get_title() == "restyled"


def test_figures_of_new_models_and_of_adaptive_tests_take_answers_and_a_fit():
    fitted, subset = results()["Fit"], results()["Subset"]
    new = fitted.data.to_frame().iloc[:9]
    for figure, column, scored in (
        (fitted.plot("scores", responses=new), "ability", fitted.score(new)),
        (subset.plot("estimates", responses=new), "estimate", subset.score(new)),
    ):
        (points,) = figure.axes[0].collections[1:]
        scale = 100 if column == "estimate" else 1
        np.testing.assert_allclose(points.get_offsets()[:, 0], scale * np.sort(scored[column])[::-1])
    for responses in (None, fitted.data):
        figure = subset.plot("adaptive", fit=fitted, responses=responses, max_items=6)
        assert len(figure.legends[0].get_texts()) == 4 and figure.axes[0].get_xlim()[1] < 7
    for refused in (lambda: fitted.plot("scores"), lambda: subset.plot("estimates"), lambda: subset.plot("adaptive")):
        with pytest.raises(ib.IrtBenchError, match="give (responses|fit)="):
            refused()


def test_size_and_title_are_set_the_same_way_for_every_result():
    for name, kinds in KINDS.items():
        figure = results()[name].plot(kinds[0], figsize=(7.0, 4.5), title="My title")
        assert figure.get_size_inches() == pytest.approx([7.0, 4.5]) and figure.get_suptitle() == "My title"
        plain, bare = results()[name].plot(kinds[0]), results()[name].plot(kinds[0], title="")
        assert plain.get_suptitle() and not bare.get_suptitle()
        assert bare.get_size_inches()[0] == plain.get_size_inches()[0]
    with pytest.raises(ib.IrtBenchError, match="width and figsize"):
        results()["Fit"].plot(width=5.0, figsize=(5.0, 4.0))


def test_a_notebook_shows_figures_without_pyplot():
    figure = results()["Fit"].plot("wright")
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", KINDS)
def test_unknown_figures_and_widths_are_refused(name):
    with pytest.raises(ib.IrtBenchError, match="figure 'nonsense' is not known"):
        results()[name].plot("nonsense")
    with pytest.raises(ib.IrtBenchError, match="width is 0.5"):
        results()[name].plot(KINDS[name][0], width=0.5)


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_has_a_summary_and_plain_values(name):
    result = results()[name]
    assert isinstance(result.summary(), pd.DataFrame) and len(result.summary())
    assert isinstance(result.to_dict(), dict)


def test_scores_are_summed_up_by_the_best_model_of_each_benchmark():
    scores, summary = results()["ModelScores"], results()["ModelScores"].summary()
    table = scores.models()
    assert summary["best"].tolist() == [table["score"].idxmax()[1]] and summary["n_models"].tolist() == [20]
    assert summary["n_best"].tolist() == [(table["rank_best"] == 1).sum()] and summary["n_best"].iloc[0] > 1


def test_counts_and_tables_are_one_line():
    table = ib.load_example("seeds")
    assert repr(table) == "ResponseTable(planted: 64 models x 200 items, 12,800 answers)"
    repeats = ib.load_example("repeats")
    assert repr(repeats).endswith("2,817 answers)") and repr(repeats.counts()).endswith("2,817 answers)")
    assert repr(ib.as_counts(np.eye(2))) == "ResponseCounts(2 models x 2 items, 4 answers)"


def test_a_notebook_shows_the_first_responses_and_never_markup_of_labels():
    counts = results()["Fit"].data
    for shown in (counts, ib.as_table(counts)):
        html = shown._repr_html_()
        assert html.partition("<tbody>")[2].count("<tr") == 5
        assert "<script" not in html and "&lt;script&gt;" in html
    empty = counts.take(models=slice(0), items=slice(0))
    assert "0 models" in empty._repr_html_()


def test_what_is_saved_is_what_commands_write(tmp_path):
    written = {"FitChecks": "checks.csv", "AccuracyComparison": "models.csv", "SubsetComparison": "comparison.csv"}
    for name, file in written.items():
        results()[name].save(tmp_path / name)
        assert {file, "summary.json"} <= {path.name for path in (tmp_path / name).iterdir()}
