from unittest import mock

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from irt_bench import item_analysis, load_example, save_figure
from irt_bench.errors import OutputError
from irt_bench.report.figures import canvas
from irt_bench.report.figures.canvas import (
    LABEL_GAP,
    MANY_POINTS,
    WIDTH,
    band,
    name_points,
    new_figure,
    padded,
    point_style,
    styled,
)


@styled
def plain_figure(title="A finding", n_points=3) -> Figure:
    figure = new_figure(2.0, title)
    axes = figure.subplots()
    axes.scatter(range(n_points), range(n_points), **point_style(n_points))
    return figure


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf", ".PNG"])
def test_the_same_figure_is_saved_as_the_same_bytes(tmp_path, ending):
    figure = plain_figure()
    for number, each in enumerate((figure, figure, plain_figure())):
        save_figure(each, tmp_path / f"{number}{ending}")
    saved = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(saved) == 1
    assert b"20" + b"26-" not in saved.pop()


def test_many_figures_are_drawn_by_processes_to_the_same_bytes(tmp_path, monkeypatch):
    items = item_analysis(load_example("benchmark"))
    for folder, most in (("alone", 4), ("shared", 3)):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(canvas, "MANY_FIGURES", most)
        drawn_here = mock.Mock(wraps=canvas.save_figure)
        monkeypatch.setattr(canvas, "save_figure", drawn_here)
        canvas.save_figures([(items.plot, tmp_path / folder / f"{place}.png") for place in range(4)])
        assert drawn_here.call_count == (4 if folder == "alone" else 0)
        monkeypatch.undo()
    for place in range(4):
        alone, shared = ((tmp_path / folder / f"{place}.png").read_bytes() for folder in ("alone", "shared"))
        assert alone == shared


def test_figures_are_1200_pixels_wide(tmp_path):
    save_figure(plain_figure(), tmp_path / "a.png")
    header = (tmp_path / "a.png").read_bytes()[16:20]
    assert int.from_bytes(header, "big") == 1200 == round(WIDTH * 150)


def test_other_endings_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(OutputError, match=r"'\.jpg' is not known"):
        save_figure(plain_figure(), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        save_figure(plain_figure(), tmp_path / "missing" / "a.png")


def test_settings_of_the_caller_neither_matter_nor_change(tmp_path):
    save_figure(plain_figure(), tmp_path / "plain.svg")
    with mpl.rc_context({"font.size": 20, "axes.grid": False, "svg.hashsalt": "other"}):
        before = dict(mpl.rcParams)
        save_figure(plain_figure(), tmp_path / "changed.svg")
        assert dict(mpl.rcParams) == before
    assert (tmp_path / "plain.svg").read_bytes() == (tmp_path / "changed.svg").read_bytes()


def test_labels_with_dollar_signs_and_other_scripts_are_drawn_without_warning(tmp_path):
    save_figure(plain_figure("cost $\\broken_ of 漢字"), tmp_path / "a.png")


def test_long_titles_are_broken_into_lines_of_similar_length():
    lines = plain_figure("word " * 20 + "end").get_suptitle().split("\n")
    assert len(lines) == 2
    assert abs(len(lines[0]) - len(lines[1])) < 25


def test_many_points_become_faint_pixels_unless_they_are_to_stand_out():
    assert point_style(MANY_POINTS)["rasterized"] is False
    assert point_style(MANY_POINTS + 1)["rasterized"] is True
    assert point_style(MANY_POINTS + 1)["alpha"] < point_style(MANY_POINTS + 1, faint=False)["alpha"]


def test_limits_leave_out_what_is_not_finite():
    assert padded(np.array([0.0, 1.0, np.nan, np.inf]), 0.1) == (-0.1, 1.1)
    assert padded(np.array([2.0]), 0.1) == (1.5, 2.5)
    assert padded(np.array([np.nan]), 0.1) == (-0.1, 1.1)


def test_labels_of_close_points_do_not_touch():
    figure = plain_figure()
    (axes,) = figure.axes
    x, y = np.array([0.5, 0.5, 0.52, 1.8]), np.array([0.2, 0.2, 0.22, 0.2])
    name_points(axes, x, y, ["a", "b", "c", "d" * 64])
    places = [text.get_position() for text in axes.texts]
    heights = sorted(height for across, height in places[:3])
    assert min(np.diff(heights)) >= LABEL_GAP - 1e-9
    assert len({across for across, _ in places[:3]}) == 1
    assert [text.get_ha() for text in axes.texts] == ["left", "left", "left", "right"]
    assert "…" in axes.texts[3].get_text()
    np.testing.assert_allclose([text.xy for text in axes.texts], np.column_stack([x, y]))


def test_bands_lie_between_the_limits():
    figure = plain_figure()
    frame = pd.DataFrame({"s": [1.0, 2.0], "s_q05": [0.5, 1.5], "s_q95": [1.5, 2.5]}, index=[0.0, 1.0])
    band(figure.axes[0], frame, "s", label="curve")
    (line,) = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_xydata(), [[0, 1], [1, 2]])
    vertices = figure.axes[0].collections[-1].get_paths()[0].vertices
    assert (vertices[:, 1].min(), vertices[:, 1].max()) == (0.5, 2.5)
