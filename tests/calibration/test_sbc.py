import json

import numpy as np
import pytest
import sbc
import xarray as xr
from sbc import Cell
from sbc_models import MAKERS, unrotated

from irt_bench import ThreePL, TwoPL, simulate_responses
from irt_bench.irt_models.simulate import response_probability


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
    p = response_probability(simulated.irt_model, simulated.truth)
    expected = (counts.correct * np.log(p) + (counts.trials - counts.correct) * np.log(1 - p)).sum()
    assert sbc.log_likelihood(simulated.truth, counts) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["m2pl", "confirmatory", "bifactor"])
def test_what_is_ranked_does_not_depend_on_the_directions_of_axes(name):
    truth, _, irt_model = MAKERS[name](7, 6, 1)
    signs = xr.DataArray([1.0, -1.0, -1.0][: truth.sizes["dimension"]], dims="dimension")
    turned = {each: truth[each] * signs for each in ("ability", "loading")}
    if (correlation := truth.get("ability_correlation")) is not None:
        turned["ability_correlation"] = correlation * signs * signs.rename(dimension="other_dimension")
    other = truth.assign(turned)
    xr.testing.assert_allclose(unrotated(irt_model, truth), unrotated(irt_model, other))
    assert not truth["loading"].equals(other["loading"])  # the control: unturned they differ


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


def test_only_svi_has_a_guide_to_get_wrong():
    assert Cell("2pl", "svi", sbc.WRONG_GUIDE).can_be_fitted
    assert not any(Cell("2pl", method, sbc.WRONG_GUIDE).can_be_fitted for method in ("laplace", "nuts"))
    assert sbc.settings(Cell("2pl", "svi", sbc.WRONG_GUIDE), 1).guide == "normal"


def test_the_wrong_guide_is_not_helped_by_whitened_coordinates():
    correct = (np.random.default_rng(1).random((40, 20)) < 0.6).astype(np.int8)
    found = sbc.blind(TwoPL(), correct, np.ones_like(correct))
    plain = sbc.find_coordinates(TwoPL(), correct, np.ones_like(correct))
    root, whitened = (
        each.whitening.place(np.eye(each.size)) - each.whitening.place(np.zeros(each.size)) for each in (found, plain)
    )
    relative = np.linalg.solve(whitened.T, root.T)  # of the pairs, as the whitened posterior sees them
    np.testing.assert_allclose((relative @ relative.T)[0, 1], (4**2 - 1) / 2, rtol=0.2)


def test_the_fast_method_is_not_asked_to_learn_asymptotes():
    assert not Cell("3pl", "laplace").can_be_fitted and Cell("3pl, guessing 0.25", "laplace").can_be_fitted
    assert Cell("3pl, guessing 0.25", "nuts").name == "3pl-guessing_0.25-nuts"
    assert Cell("2pl", "laplace", size="200x100").name == "2pl-laplace-200x100"
