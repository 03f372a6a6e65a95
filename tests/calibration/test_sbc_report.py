import pandas as pd
import pytest
import sbc
import sbc_report
from sbc import Cell

from irt_bench import fit
from irt_bench.errors import FitError


def test_a_data_set_that_a_method_refuses_is_counted(tmp_path, monkeypatch):
    def refuses_the_second(counts, model, settings):
        if settings.seed == 2:
            raise FitError("too few")
        return fit(counts, model, settings)

    monkeypatch.setattr(sbc, "fit", refuses_the_second)
    sbc.run([Cell("2pl", "laplace")], tmp_path, 4)
    assert sbc_report.load(tmp_path) == {}  # too few to say anything
    sbc.run([Cell("2pl", "laplace")], tmp_path, 7)
    table = sbc_report.tabulate(tmp_path)
    assert (table["n_replicates"] == 6).all() and (table["n_refused"] == 1).all()
    sbc_report.draw(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sbc")
    cells = [Cell("2pl", "laplace"), *(Cell("2pl", "laplace", control) for control in sbc.CONTROLS)]
    sbc.run([cell for cell in cells if cell.can_be_fitted], path, 12)
    return path


def test_every_control_fails_loudly(folder):
    table = sbc_report.tabulate(folder)
    assert set(table["control"]) == {"", *sbc.CONTROLS} - {sbc.WRONG_GUIDE} and (table["n_replicates"] == 12).all()
    failed = table[table["verdict"] != "uniform"].groupby("control").size()
    assert set(failed.index) >= {"wrong prior", "swapped answers"}
    narrow = table[table["control"] == "narrow draws"].set_index("quantity")["spread"]
    honest = table[table["control"] == ""].set_index("quantity")["spread"]
    assert (narrow > honest).mean() > 0.7


def test_a_control_that_passes_is_reported():
    rows = [("2pl", "nuts", "", "b", "uniform"), ("2pl", "nuts", "narrow draws", "b", "uniform"),
            ("1pl", "nuts", "", "b", "draws too high"), ("1pl", "svi", "", "b", "draws too high")]  # fmt: skip
    table = pd.DataFrame(rows, columns=["irt_model", "method", "control", "quantity", "verdict"]).assign(size=sbc.SIZE)
    wrong = ["1pl by nuts: b", "1pl by svi: b", "control 'narrow draws' of nuts passed"]
    assert sbc_report.verdicts(table.assign(converged=0.1)) == wrong
    assert sbc_report.verdicts(table.assign(converged=0)) == wrong[:2]  # no fit passed its own checks


def test_the_figure_has_a_panel_a_cell(folder, tmp_path):
    figure = sbc_report.draw(folder)
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert len(titles) == 4 and titles[0] == "2pl, laplace (12)"
