"""Loadings: a panel for each dimension, items of one dimension together."""

import numpy as np
import pandas as pd
import pytest

from irt_bench.report.figures import loadings_figure


def table(pattern):
    """Loadings of a pattern (item, dimension), the general dimension first."""
    rows = [(f"item-{i}", f"d{d}", 1 + 0.01 * i) for i, row in enumerate(pattern) for d in np.flatnonzero(row)]
    frame = pd.DataFrame(rows, columns=["item", "dimension", "loading"]).set_index(["item", "dimension"])
    return frame.assign(loading_q05=frame["loading"] - 0.2, loading_q95=frame["loading"] + 0.2)


def bifactor(n_items, n_groups):
    group = np.arange(n_items) % n_groups
    return np.column_stack([np.ones(n_items, dtype=bool), group[:, None] == np.arange(n_groups)])


@pytest.mark.parametrize(("n_groups", "panels"), [(2, 3), (9, 2)])
def test_groups_of_items_stand_together_and_many_share_a_panel(n_groups, panels):
    figure = loadings_figure(table(bifactor(36, n_groups)))
    assert len(figure.axes) == panels
    labels = [int(text.get_text().split("-")[1]) % n_groups for text in figure.axes[0].get_yticklabels()]
    assert sum(np.diff(labels) != 0) == n_groups - 1


def test_items_are_ordered_by_the_dimension_they_load_on():
    figure = loadings_figure(table(np.arange(30)[:, None] % 3 == np.arange(3)))
    heights = [axes.collections[1].get_offsets()[:, 1] for axes in figure.axes]
    assert [sorted(each) == list(range(10 * at, 10 * at + 10)) for at, each in enumerate(heights)] == [True] * 3


def test_beyond_six_dimensions_the_first_are_drawn_and_the_title_says_so():
    figure = loadings_figure(table(np.ones((80, 8), dtype=bool)))
    assert len(figure.axes) == 6
    assert "the first 6 of 8" in figure.get_suptitle()
