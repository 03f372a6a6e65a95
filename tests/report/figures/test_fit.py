import hashlib

import numpy as np
import pytest

from irt_bench import save_figure
from irt_bench.report.figures import fit_figure

HASHES = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4)]


def test_fit_figure_draws_all_models_and_items_with_units(made_abilities, made_items, all_axes, marks):
    figure = fit_figure(made_abilities(29), made_items(40))
    forest, cloud = all_axes(figure)
    assert [label.get_text() for label in forest.get_yticklabels()] == [f"model-{n}" for n in range(28, -1, -1)]
    np.testing.assert_allclose(forest.collections[1].get_offsets()[:, 0], np.linspace(2, -2, 29))
    assert "sds" in forest.get_xlabel()
    assert len(marks(cloud, "items")) == 40
    assert len(marks(cloud, "abilities")) == 29
    assert "logits" in cloud.get_ylabel()
    title = "model-28 is estimated ablest; it is abler than model-27 with probability 0.63, and than 4 of 28 others"
    assert figure.get_suptitle().replace("\n", " ").startswith(title)


def test_fit_figure_samples_the_models_where_there_are_many(made_abilities, made_items, all_axes, marks):
    forest, cloud = all_axes(fit_figure(made_abilities(5476), made_items(2500)))
    labels = [label.get_text() for label in forest.get_yticklabels()]
    assert len(labels) == 40
    assert labels[0] == "model-5475  #1"
    assert labels[9] == "model-5466  #10"
    assert labels[-1] == "model-0  #5,476"
    assert len(set(labels)) == 40
    assert "10 best, 20 evenly spaced, 10 worst of 5,476" in forest.get_title(loc="left")
    assert len(marks(cloud, "items")) == 2500


def test_headline_and_hollow_marks_come_from_one_number(made_abilities, made_items, all_axes):
    abilities = made_abilities(29)
    figure = fit_figure(abilities, made_items(5))
    hollow = all_axes(figure)[0].collections[2].get_offsets()
    clear = (abilities["p_first_abler"] >= 0.95).sum()
    assert len(hollow) == 28 - clear
    assert f"than {clear} of 28 others" in figure.get_suptitle().replace("\n", " ")


def test_fit_figure_orders_items_by_difficulty_where_they_share_one_discrimination(
    made_abilities, made_items, all_axes, marks
):
    items = made_items(30, slope=1.5)
    _, lower = all_axes(fit_figure(made_abilities(4), items))
    assert "one discrimination for all, 1.50" in lower.get_title(loc="left")
    np.testing.assert_allclose(marks(lower, "items")[:, 0], np.sort(items["difficulty"]))


@pytest.mark.parametrize(("n_models", "n_items"), [(1, 1), (2, 5), (61, 3)])
def test_fit_figure_can_be_small(n_models, n_items, tmp_path, made_abilities, made_items):
    save_figure(fit_figure(made_abilities(n_models), made_items(n_items)), tmp_path / "a.png")


@pytest.mark.parametrize("slope", [None, 1.5])
def test_fit_figure_leaves_out_items_that_without_information(made_abilities, made_items, all_axes, marks, slope):
    items = made_items(10, slope=slope).assign(flags="")
    items.loc["item-3", ["difficulty", "flags"]] = 9.0, "no_information"
    items.loc["item-4", "flags"] = "slope_from_prior"
    _, cloud = all_axes(fit_figure(made_abilities(4), items))
    assert len(marks(cloud, "items")) == 9 and cloud.get_xlim()[1] < 5
    assert cloud.get_title(loc="left").startswith("Items (9)")
    if slope is None:
        assert len(marks(cloud, "items whose slope")) == 1


def test_fit_figure_takes_discriminations_of_either_sign(made_abilities, made_items, all_axes):
    items = made_items(10)
    items.loc["item-0", "discrimination"] = -1.0
    _, cloud = all_axes(fit_figure(made_abilities(4), items))
    assert cloud.get_yscale() == "linear"


def test_long_labels_are_shortened_in_the_middle(made_abilities, made_items, all_axes):
    forest, _ = all_axes(fit_figure(made_abilities(4, HASHES[:4]), made_items(4, labels=HASHES[:4])))
    label = forest.get_yticklabels()[0].get_text()
    assert label == f"{HASHES[3][:17]}…{HASHES[3][-16:]}"


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_same_input_gives_the_same_bytes(made_abilities, made_items, tmp_path, ending):
    for number in range(2):
        save_figure(fit_figure(made_abilities(8), made_items(9)), tmp_path / f"{number}.{ending}")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
