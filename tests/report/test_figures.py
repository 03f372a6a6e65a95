import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from irt_bench.analysis.agreement import compare_ability_accuracy
from irt_bench.analysis.classical import FEW_MODELS, FLAGS, item_statistics
from irt_bench.errors import UndefinedWarning
from irt_bench.irt_models.logistic import TwoPL
from irt_bench.irt_models.planted import MIS_KEYED
from irt_bench.irt_models.simulate import simulate_benchmark, simulate_responses
from irt_bench.report.figures import (
    FLAG_STYLE,
    comparison_figure,
    curves_figure,
    fit_figure,
    information_figure,
    items_figure,
    save_figure,
)

HASHES = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(3000)]


@pytest.fixture(scope="module")
def simulation():
    return simulate_benchmark(seed=1, n_seeds=3, n_steps=3, n_items=60)


@pytest.fixture(scope="module")
def statistics(simulation):
    with pytest.warns(UndefinedWarning):
        return item_statistics(simulation.table.counts())


@pytest.fixture(scope="module")
def comparison(simulation):
    truth = simulation.truth
    rng = np.random.default_rng(0)
    draws = truth["ability"] + xr.DataArray(rng.normal(0, 0.3, (200, truth.sizes["model"])), dims=("sample", "model"))
    counts = simulation.table.counts()
    slopes = np.abs(truth["discrimination"])
    return compare_ability_accuracy(draws, counts, discrimination=slopes, n_resamples=50)


def with_limits(frame, half=0.2):
    columns = {f"{name}{end}": frame[name] + sign * half for name in frame for end, sign in (("_q05", -1), ("_q95", 1))}
    return frame.assign(**columns)


def made_abilities(n, labels=None):
    index = pd.Index([f"model-{number}" for number in range(n)] if labels is None else labels, name="model")
    return with_limits(pd.DataFrame({"ability": np.linspace(-2, 2, n)}, index=index)).assign(accuracy=0.5)


def made_items(n, slope=None, labels=None):
    rng = np.random.default_rng(n)
    index = pd.Index([f"item-{number}" for number in range(n)] if labels is None else labels, name="item")
    slopes = np.exp(rng.normal(0, 0.5, n)) if slope is None else np.full(n, slope)
    return with_limits(pd.DataFrame({"difficulty": rng.normal(size=n), "discrimination": slopes}, index=index), 0.05)


def all_axes(figure):
    """Axes of a figure and of its subfigures, from top to bottom."""
    return [axes for part in ([figure, *figure.subfigs]) for axes in part.axes] if not figure.axes else figure.axes


def marks(axes, label):
    """Places of the points with a label that begins so."""
    found = [points for points in axes.collections if str(points.get_label()).startswith(label)]
    return np.concatenate([points.get_offsets() for points in found]) if found else np.empty((0, 2))


def texts(figure):
    """All text in a figure."""
    return " | ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_every_flag_has_a_look_of_its_own():
    assert set(FLAG_STYLE) == set(FLAGS)
    assert len(set(FLAG_STYLE.values())) == len(FLAGS)


def test_items_figure_draws_every_item_once_and_tells_the_finding(statistics, simulation):
    figure = items_figure(statistics)
    axes = figure.axes[0]
    assert sum(len(points.get_offsets()) for points in axes.collections) == len(statistics)
    negative = statistics[statistics["flags"].str.contains("negative") & ~statistics["flags"].str.contains("maybe")]
    np.testing.assert_allclose(
        np.sort(marks(axes, "negative"), axis=0), np.sort(negative[["difficulty", "item_rest_correlation"]], axis=0)
    )
    assert figure.get_suptitle().startswith(f"{len(negative)} of 60 items go against the rest")
    n_constant = statistics["item_rest_correlation"].isna().sum()
    assert len(marks(axes, "constant: no correlation, at the edge")) == n_constant >= 2
    assert "share of right answers" in axes.get_xlabel()
    assert "(r)" in axes.get_ylabel()


def test_items_figure_names_the_worst_items_only(statistics, simulation):
    named = {text.get_text() for text in items_figure(statistics).axes[0].texts}
    planted = simulation.truth["planted"].to_series()
    worst = statistics.loc[planted[planted == MIS_KEYED].index, "item_rest_correlation"].nsmallest(3).index
    assert set(worst) <= named
    assert len(named) <= 5
    good = statistics.assign(flags="", item_rest_correlation=0.3)
    assert not items_figure(good).axes[0].texts


def test_items_figure_counts_all_items_in_its_margins(statistics):
    _, above, beside = items_figure(statistics).axes
    assert sum(bar.get_height() for bar in above.patches) == len(statistics)
    assert sum(bar.get_width() for bar in beside.patches) == statistics["item_rest_correlation"].notna().sum()


def test_items_figure_tells_few_models_in_a_note(statistics):
    few = statistics.assign(n_models=5, flags=[f"{flags};few_models".strip(";") for flags in statistics["flags"]])
    figure = items_figure(few)
    assert not len(marks(figure.axes[0], "few_models"))
    assert len(marks(figure.axes[0], "no flag")) == (statistics["flags"] == "").sum()
    assert f"fewer than {FEW_MODELS} models" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("flag", "correlation", "title"),
    [
        ("", 0.3, "None of 60 items goes against the rest"),
        ("maybe_negative", -0.1, "No item is shown to go against the rest; 60 of 60 items may"),
        ("constant", np.nan, "Correlations of 60 items with the rest are undefined"),
    ],
)
def test_items_figure_says_what_is_not_found(statistics, flag, correlation, title):
    figure = items_figure(statistics.assign(flags=flag, item_rest_correlation=correlation))
    assert figure.get_suptitle() == title


def test_fit_figure_draws_all_models_and_items_with_units():
    figure = fit_figure(made_abilities(29), made_items(40))
    forest, cloud = all_axes(figure)
    assert [label.get_text() for label in forest.get_yticklabels()] == [f"model-{n}" for n in range(28, -1, -1)]
    np.testing.assert_allclose(forest.collections[1].get_offsets()[:, 0], np.linspace(2, -2, 29))
    assert "sds" in forest.get_xlabel()
    assert len(marks(cloud, "items")) == 40
    assert len(marks(cloud, "abilities")) == 29
    assert "logits" in cloud.get_ylabel()
    assert (
        figure.get_suptitle().replace("\n", " ").startswith("model-28 is estimated ablest; its 90% interval overlaps")
    )


def test_fit_figure_samples_the_models_where_there_are_many():
    forest, cloud = all_axes(fit_figure(made_abilities(5476), made_items(2500)))
    labels = [label.get_text() for label in forest.get_yticklabels()]
    assert len(labels) == 40
    assert labels[0] == "model-5475  #1"
    assert labels[9] == "model-5466  #10"
    assert labels[-1] == "model-0  #5,476"
    assert len(set(labels)) == 40
    assert "10 best, 20 evenly spaced and 10 worst of 5,476" in forest.get_title(loc="left")
    assert len(marks(cloud, "items")) == 2500


def test_fit_figure_says_how_many_intervals_overlap_the_best():
    abilities = made_abilities(5)
    assert "that of no other" in fit_figure(abilities, made_items(5)).get_suptitle().replace("\n", " ")
    wide = abilities.assign(ability_q95=abilities["ability"] + 1.0)
    assert "those of 1 of 4 others" in fit_figure(wide, made_items(5)).get_suptitle().replace("\n", " ")


def test_fit_figure_orders_items_by_difficulty_where_they_share_one_discrimination():
    items = made_items(30, slope=1.5)
    _, lower = all_axes(fit_figure(made_abilities(4), items))
    assert "one discrimination for all, 1.50" in lower.get_title(loc="left")
    np.testing.assert_allclose(marks(lower, "items")[:, 0], np.sort(items["difficulty"]))


@pytest.mark.parametrize(("n_models", "n_items"), [(1, 1), (2, 5), (61, 3)])
def test_fit_figure_can_be_small(n_models, n_items, tmp_path):
    save_figure(fit_figure(made_abilities(n_models), made_items(n_items)), tmp_path / "a.png")


def test_fit_figure_takes_discriminations_of_either_sign():
    items = made_items(10)
    items.loc["item-0", "discrimination"] = -1.0
    _, cloud = all_axes(fit_figure(made_abilities(4), items))
    assert cloud.get_yscale() == "linear"


def test_long_labels_are_shortened_in_the_middle():
    forest, _ = all_axes(fit_figure(made_abilities(4, HASHES[:4]), made_items(4, labels=HASHES[:4])))
    label = forest.get_yticklabels()[0].get_text()
    assert label == f"{HASHES[3][:17]}…{HASHES[3][-16:]}"


def test_comparison_figure_draws_models_pairs_and_items(comparison):
    figure = comparison_figure(comparison)
    cloud, bars = all_axes(figure)
    assert len(marks(cloud, "models")) == len(comparison.models)
    top = comparison.discordant.head(10)
    np.testing.assert_allclose(
        marks(cloud, "higher ability"), comparison.models.loc[top["higher_ability"].unique(), ["accuracy", "ability"]]
    )
    assert len(cloud.lines) == len(top)
    named = {text.get_text() for text in cloud.texts}
    assert named == {*top["higher_ability"].head(3), *top["higher_accuracy"].head(3)}
    assert [label.get_text() for label in bars.get_yticklabels()] == list(comparison.items.index[:12])
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], comparison.items["contribution"].head(12))
    assert "share of right answers" in cloud.get_xlabel()
    assert f"{comparison.n_discordant:,} of {comparison.n_pairs:,} pairs" in figure.get_suptitle().replace("\n", " ")


def test_comparison_figure_shows_the_note_where_there_are_no_items(comparison):
    empty = replace(comparison, items=comparison.items.head(0), note="discriminations are equal")
    figure = comparison_figure(empty)
    assert len(all_axes(figure)) == 1
    assert "No items are shown: discriminations are equal." in texts(figure)


def test_comparison_figure_without_discordant_pairs(comparison, tmp_path):
    alike = replace(
        comparison,
        discordant=comparison.discordant.head(0),
        items=comparison.items.head(0),
        n_discordant=0,
        note="none",
    )
    figure = comparison_figure(alike)
    assert figure.get_suptitle() == f"Ability and accuracy order all {comparison.n_pairs:,} pairs of models alike"
    assert not len(marks(figure.axes[0], "higher"))
    save_figure(figure, tmp_path / "a.png")


def test_only_clear_pairs_are_joined_by_solid_lines(comparison):
    clear = comparison.discordant.assign(
        p_ability=0.96, p_accuracy=np.where(comparison.discordant.index < 2, 0.97, 0.5)
    )
    cloud, _ = all_axes(comparison_figure(replace(comparison, discordant=clear)))
    assert [line.get_linestyle() for line in cloud.lines].count("-") == 2


def curve(name, values):
    frame = pd.DataFrame({name: values, f"{name}_q05": values * 0.9, f"{name}_q95": values * 1.1})
    return frame.set_axis(pd.Index(np.linspace(-3, 3, len(values)), name="ability"), axis=0)


def test_information_figure_draws_information_error_and_abilities():
    information = curve("information", 20 * np.exp(-(np.linspace(-3, 3, 61) ** 2)))
    figure = information_figure(information, made_abilities(100)["ability"])
    top, middle, bottom = figure.axes
    np.testing.assert_allclose(top.lines[0].get_ydata(), information["information"])
    np.testing.assert_allclose(middle.lines[0].get_ydata(), 1 / np.sqrt(information["information"]))
    assert sum(bar.get_height() for bar in bottom.patches) == 100
    assert figure.get_suptitle() == "Abilities near 0.0 are measured best, to a standard error of 0.22"
    assert "squared unit" in top.get_ylabel()
    assert middle.get_ylim()[1] < 2


def test_information_figure_takes_the_standard_error_where_it_is_given():
    both = curve("information", np.full(5, 4.0)).join(curve("standard_error", np.full(5, 0.7)))
    figure = information_figure(both.to_xarray())
    assert len(figure.axes) == 2
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), 0.7)


def test_few_abilities_are_single_lines():
    figure = information_figure(curve("information", np.linspace(1, 5, 20)), made_abilities(6)["ability"])
    assert len(figure.axes[2].collections[0].get_segments()) == 6


def test_curves_figure_draws_curve_and_models():
    score = curve("score", np.linspace(0.1, 0.9, 25))
    figure = curves_figure(score.to_xarray(), made_abilities(30))
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), score["score"])
    assert len(marks(axes, "models")) == 30
    assert figure.get_suptitle() == "Expected score goes from 10% at ability -3.0 to 90% at 3.0"
    assert len(curves_figure(score).axes[0].collections) == 1


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_figures_are_saved_as_the_same_bytes(statistics, comparison, tmp_path, ending):
    figures = {
        "items": lambda: items_figure(statistics),
        "fit": lambda: fit_figure(made_abilities(8), made_items(9)),
        "comparison": lambda: comparison_figure(comparison),
    }
    for name, draw in figures.items():
        figure = draw()
        for number, each in enumerate((figure, figure, draw())):
            save_figure(each, tmp_path / f"{name}{number}.{ending}")
        assert len({path.read_bytes() for path in tmp_path.glob(f"{name}*")}) == 1, name


def test_thousands_of_items_stay_small_in_svg(tmp_path):
    simulation = simulate_responses(TwoPL(), n_models=25, n_items=3000, seed=0)
    counts = simulation.table.counts()
    with pytest.warns(UndefinedWarning):
        figure = items_figure(item_statistics(counts))
    save_figure(figure, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size < 1_500_000
