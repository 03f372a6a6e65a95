import json

import numpy as np
import pandas as pd
import pytest
import sbc
import xarray as xr
from sbc import Cell

from irt_bench.errors import FitError
from irt_bench.inference.fit import fit
from irt_bench.irt_models.logistic import ThreePL, TwoPL
from irt_bench.irt_models.simulate import response_probability, simulate_responses


def test_ranks_count_the_draws_below_the_truth():
    simulated = simulate_responses(TwoPL(), n_models=6, n_items=4, seed=1, hyperparameters={})
    truth, counts = simulated.truth, simulated.table.counts()
    offsets = xr.DataArray(np.arange(99) - 30.5, dims="draw")
    drawn = xr.Dataset({name: truth[name] + offsets for name in ("ability", "difficulty", "difficulty_sd")})
    drawn["discrimination"] = truth["discrimination"] * np.exp(offsets / 100)
    found = sbc.ranks(truth, drawn, counts)
    named = {"ability[0]", "ability[1]", "difficulty[0]", "discrimination[0]", "difficulty_sd", "log_likelihood"}
    assert set(found) == named
    assert {found[name] for name in named - {"log_likelihood"}} == {31}


def test_the_log_likelihood_is_that_of_the_answers():
    simulated = simulate_responses(ThreePL(guessing=0.25), n_models=5, n_items=3, seed=2, n_samples=4)
    counts = simulated.table.counts()
    p = response_probability(simulated.truth).to_numpy()
    expected = (counts.correct * np.log(p) + (counts.trials - counts.correct) * np.log(1 - p)).sum()
    assert sbc.log_likelihood(simulated.truth, counts) == pytest.approx(expected)


def test_runs_resume_where_they_stopped_and_leave_only_whole_files(tmp_path, monkeypatch):
    done = []

    def replicate(cell, seed):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(seed)
        return {"seed": seed}

    monkeypatch.setattr(sbc, "replicate", replicate)
    with pytest.raises(KeyboardInterrupt):
        sbc.run([Cell("2pl", "laplace")], tmp_path, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2pl-laplace-0001.json", "2pl-laplace-0002.json"]
    monkeypatch.setattr(sbc, "replicate", lambda cell, seed: {"seed": seed})
    before = (tmp_path / "2pl-laplace-0001.json").stat().st_mtime_ns
    sbc.run([Cell("2pl", "laplace")], tmp_path, 4)
    assert len(list(tmp_path.iterdir())) == 4
    assert (tmp_path / "2pl-laplace-0001.json").stat().st_mtime_ns == before
    assert json.loads((tmp_path / "2pl-laplace-0003.json").read_text()) == {"seed": 3}


def test_a_stop_leaves_the_cells_of_a_method_equally_far(tmp_path, monkeypatch):
    done = []

    def replicate(cell, seed):
        done.append((cell.method, cell.irt_model, seed))
        return {"seed": seed}

    monkeypatch.setattr(sbc, "replicate", replicate)
    sbc.run([Cell(model, method) for method in ("laplace", "svi") for model in ("1pl", "2pl")], tmp_path, 2)
    assert done[:4] == [("laplace", "1pl", 1), ("laplace", "2pl", 1), ("laplace", "1pl", 2), ("laplace", "2pl", 2)]
    assert [method for method, _, _ in done] == ["laplace"] * 4 + ["svi"] * 4


def test_a_data_set_that_a_method_refuses_is_counted(tmp_path, monkeypatch):
    def refuses_the_second(counts, model, settings):
        if settings.seed == 2:
            raise FitError("too few")
        return fit(counts, model, settings)

    monkeypatch.setattr(sbc, "fit", refuses_the_second)
    sbc.run([Cell("2pl", "laplace")], tmp_path, 4)
    assert sbc.load(tmp_path) == {}  # too few to say anything
    sbc.run([Cell("2pl", "laplace")], tmp_path, 7)
    table = sbc.tabulate(tmp_path)
    assert (table["n_replicates"] == 6).all() and (table["n_refused"] == 1).all()
    sbc.draw(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sbc")
    cells = [Cell("2pl", "laplace"), *(Cell("2pl", "laplace", control) for control in sbc.CONTROLS)]
    sbc.run([cell for cell in cells if cell.can_be_fitted], path, 12)
    return path


def test_every_control_fails_loudly(folder):
    table = sbc.tabulate(folder)
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
    assert sbc.verdicts(table) == ["1pl by nuts: b", "control 'narrow draws' of nuts passed"]


def test_the_figure_has_a_panel_a_cell(folder, tmp_path):
    figure = sbc.draw(folder)
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert len(titles) == 4 and titles[0] == "2pl, laplace (12)"


def test_only_svi_has_a_guide_to_get_wrong():
    assert Cell("2pl", "svi", sbc.WRONG_GUIDE).can_be_fitted
    assert not any(Cell("2pl", method, sbc.WRONG_GUIDE).can_be_fitted for method in ("laplace", "nuts"))
    assert sbc.settings(Cell("2pl", "svi", sbc.WRONG_GUIDE), 1).guide == "normal"


def test_the_fast_method_is_not_asked_to_learn_asymptotes():
    assert not Cell("3pl", "laplace").can_be_fitted and Cell("3pl, guessing 0.25", "laplace").can_be_fitted
    assert Cell("3pl, guessing 0.25", "nuts").name == "3pl-guessing_0.25-nuts"
    assert Cell("2pl", "laplace", size="200x100").name == "2pl-laplace-200x100"
