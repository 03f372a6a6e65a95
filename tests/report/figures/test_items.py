import numpy as np
import pandas as pd
import pytest
import xarray as xr

from irt_bench import TwoPL, save_figure, simulate_responses
from irt_bench.analysis.classical import FEW_MODELS, FLAGS, item_statistics
from irt_bench.errors import UndefinedWarning
from irt_bench.irt_models.simulate import MIS_KEYED
from irt_bench.report.figures import item_cards_figure, items_figure
from irt_bench.report.figures.item_figures import FLAG_STYLE


def test_every_flag_has_a_look_of_its_own():
    assert set(FLAG_STYLE) == set(FLAGS)
    assert len(set(FLAG_STYLE.values())) == len(FLAGS)


def test_items_figure_draws_every_item_once_and_shows_the_finding(statistics, simulation, marks):
    figure = items_figure(statistics)
    axes = figure.axes[0]
    assert sum(len(points.get_offsets()) for points in axes.collections) == len(statistics)
    negative = statistics[statistics["flags"].str.contains("negative") & ~statistics["flags"].str.contains("maybe")]
    np.testing.assert_allclose(
        np.sort(marks(axes, "negative"), axis=0),
        np.sort(negative[["proportion_correct", "item_rest_correlation"]], axis=0),
    )
    assert figure.get_suptitle().startswith(f"{len(negative)} of 60 items go against the rest")
    n_constant = statistics["item_rest_correlation"].isna().sum()
    assert len(marks(axes, "constant: no correlation, at the edge")) == n_constant >= 2
    assert "share of right responses" in axes.get_xlabel()
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


def test_items_figure_shows_few_models_in_a_note(statistics, marks):
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
def test_items_figure_shows_what_is_not_found(statistics, flag, correlation, title):
    figure = items_figure(statistics.assign(flags=flag, item_rest_correlation=correlation))
    assert figure.get_suptitle() == title


def test_thousands_of_items_stay_small_in_svg(tmp_path):
    simulation = simulate_responses(TwoPL(), n_models=25, n_items=3000, seed=0)
    counts = simulation.table.counts()
    with pytest.warns(UndefinedWarning):
        figure = items_figure(item_statistics(counts))
    save_figure(figure, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size < 1_500_000


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_same_input_gives_the_same_bytes(statistics, tmp_path, ending):
    for number in range(2):
        save_figure(items_figure(statistics), tmp_path / f"{number}.{ending}")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_a_card_of_an_item_with_a_wrong_key_shows_falling_shares_and_a_dashed_curve():
    ability = np.linspace(-2, 2, 5)
    rising = np.linspace(0.2, 0.8, 5)
    nodes = xr.DataArray(np.tile(rising, (2, 1)), dims=("item", "ability"), coords={"item": ["ok", "bad"]})
    curves = xr.Dataset({f"probability{end}": nodes for end in ("", "_q05", "_q95")}).assign_coords(ability=ability)
    shares = {"ok": rising, "bad": rising[::-1]}
    observed = pd.concat(
        pd.DataFrame({"item": item, "ability": ability, "proportion_correct": own}) for item, own in shares.items()
    )
    observed = observed.assign(proportion_correct_q05=0.1, proportion_correct_q95=0.9)
    items = pd.DataFrame({"item_rest_correlation": [0.4, -0.4], "flags": ["near_zero", "negative"]}, index=shares)
    good, bad = item_cards_figure(curves, observed, items).axes[:2]
    assert good.lines[0].get_linestyle() == "-" and bad.lines[0].get_linestyle() == "--"
    np.testing.assert_allclose(bad.lines[1].get_ydata(), rising[::-1])
    assert bad.get_title(loc="left") == "bad, r -0.40" and "cannot fall" in bad.lines[0].get_label()
