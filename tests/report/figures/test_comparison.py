from dataclasses import replace

import numpy as np
import pytest

from irt_bench import save_figure
from irt_bench.report.figures import ability_accuracy_figure, comparison_figure


def test_comparison_figure_draws_models_pairs_and_items(comparison, all_axes, marks):
    figure = comparison_figure(comparison)
    cloud, bars = all_axes(figure)
    assert len(marks(cloud, "models")) == len(comparison.models)
    top = comparison.discordant.head(10)
    np.testing.assert_allclose(
        marks(cloud, "higher ability"),
        comparison.models.loc[top["higher_ability"].unique(), ["accuracy", "relative_ability"]],
    )
    assert len(cloud.lines) == len(top)
    named = {text.get_text() for text in cloud.texts}
    assert named >= {*top["higher_ability"].head(3), *top["higher_accuracy"].head(3)}
    assert [label.get_text() for label in bars.get_yticklabels()] == list(comparison.items.index[:12])
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], comparison.items["contribution"].head(12))
    assert "share of right responses" in cloud.get_xlabel()
    assert f"{comparison.n_discordant:,} of {comparison.n_pairs:,} pairs" in figure.get_suptitle().replace("\n", " ")


def test_comparison_figure_shows_the_note_where_there_are_no_items(comparison, all_axes, texts):
    empty = replace(comparison, items=comparison.items.head(0), note="discriminations are equal")
    figure = comparison_figure(empty)
    assert len(all_axes(figure)) == 1
    assert "No items are shown: discriminations are equal." in texts(figure)


def test_comparison_figure_without_discordant_pairs(comparison, tmp_path, marks):
    alike = replace(
        comparison,
        discordant=comparison.discordant.head(0),
        items=comparison.items.head(0),
        n_discordant=0,
        note="none",
    )
    figure = comparison_figure(alike)
    assert (
        figure.get_suptitle()
        == f"Ability and accuracy order all {comparison.n_pairs:,} pairs of models in the same way"
    )
    assert not len(marks(figure.axes[0], "higher"))
    save_figure(figure, tmp_path / "a.png")


def test_only_clear_pairs_are_joined_by_solid_lines(comparison, all_axes):
    clear = comparison.discordant.assign(
        p_ability=0.96, p_accuracy=np.where(comparison.discordant.index < 2, 0.97, 0.5)
    )
    cloud, _ = all_axes(comparison_figure(replace(comparison, discordant=clear)))
    assert [line.get_linestyle() for line in cloud.lines].count("-") == 2


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_same_input_gives_the_same_bytes(comparison, tmp_path, ending):
    for number in range(2):
        save_figure(comparison_figure(comparison), tmp_path / f"{number}.{ending}")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_all_of_few_models_are_named_within_the_axes(comparison):
    models = comparison.models.head(9)
    (axes,) = ability_accuracy_figure(models).axes
    assert {text.get_text() for text in axes.texts} == set(models.index)
    assert all(0 <= text.get_position()[1] <= 1 for text in axes.texts)
    many = ability_accuracy_figure(comparison.models, comparison.discordant).axes[0]
    assert len({*many.texts}) <= 16 + 3 and len(comparison.models) > 30
    best, worst = comparison.models["relative_ability"].idxmax(), comparison.models["relative_ability"].idxmin()
    assert {best, worst} <= {text.get_text() for text in many.texts}
