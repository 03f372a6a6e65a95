import json
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from irt_bench import (
    ConvergenceWarning,
    Fit,
    FitWarning,
    FourPL,
    NUTSSettings,
    SVISettings,
    ThreePL,
    TwoPL,
    as_counts,
    fit,
)
from irt_bench.errors import FitError, ModelError
from irt_bench.inference.fit import default_method
from irt_bench.inference.settings import settings_for
from irt_bench.irt_models.logistic import IRT_MODELS

pytestmark = pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
SHORT = {
    "svi": SVISettings(max_steps=40, draws=20),
    "nuts": NUTSSettings(chains=2, warmup=20, draws=10, jobs=1, max_tree_depth=4),
}


@pytest.fixture
def counts(rng, make_counts):
    return make_counts(rng.integers(0, 2, size=(9, 6)))


@pytest.fixture(params=SHORT)
def fitted(request, counts):
    with pytest.warns(ConvergenceWarning):
        return fit(counts, TwoPL(), SHORT[request.param])


def test_draws_carry_the_labels_of_the_responses(fitted, counts):
    assert list(fitted.posterior["model"].values) == list(counts.models.index)
    assert fitted.posterior["ability"].dims == ("chain", "draw", "model")
    assert fitted.posterior["discrimination"].dims == ("chain", "draw", "item")
    assert (fitted.posterior["discrimination"] > 0).all()
    assert "log_discrimination" not in fitted.posterior


@pytest.mark.parametrize("model", ["1pl", "2pl"])
def test_draws_from_disk_are_those_from_memory(rng, tmp_path, model):
    answers = (rng.random((300, 400)) < rng.uniform(0.2, 0.9, 400)).astype(np.int8)
    np.save(tmp_path / "answers.npy", answers)
    irt_model = IRT_MODELS[model]()

    def draws(responses):
        posterior = fit(responses, irt_model, settings_for("laplace", draws=50, refine=False)).posterior
        return b"".join(posterior[name].values.tobytes() for name in sorted(posterior.data_vars))

    kept = draws(np.load(tmp_path / "answers.npy", mmap_mode="r"))
    assert kept == draws(answers) == draws(np.asfortranarray(answers)) == draws(answers.astype(float))
    assert kept != draws(1 - answers)


def test_non_convergence_is_recorded_in_the_result(fitted):
    assert not fitted.converged
    assert fitted.to_dict()["converged"] is False
    assert "failed" in {check["status"] for check in fitted.to_dict()["checks"]}


def test_a_saved_fit_loads_back(fitted, tmp_path):
    fitted.save(tmp_path / "fit.nc")
    loaded = Fit.load(tmp_path)
    assert loaded.irt_model == fitted.irt_model
    assert loaded.settings == fitted.settings
    assert loaded.checks == fitted.checks
    assert loaded.responses == fitted.responses
    xr.testing.assert_allclose(loaded.posterior, fitted.posterior, rtol=1e-6)


def test_the_same_seed_gives_the_same_bytes(counts, tmp_path):
    for name in ("one.nc", "two.nc"):
        with pytest.warns(ConvergenceWarning):
            fit(counts, TwoPL(), SHORT["svi"]).save(tmp_path / name)
    assert (tmp_path / "one.nc").read_bytes() == (tmp_path / "two.nc").read_bytes()


def test_arviz_reads_the_file_and_takes_the_fit(fitted, tmp_path):
    fitted.save(tmp_path / "fit.nc")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import arviz
    read = arviz.from_netcdf(tmp_path / "fit.nc")
    given = fitted.to_arviz()
    for container in (read, given):
        assert container["posterior"]["ability"].sizes == fitted.posterior["ability"].sizes
    assert "difficulty_mean" in list(arviz.summary(given, var_names=["difficulty_mean"]).index)


@pytest.mark.parametrize("name", IRT_MODELS)
def test_every_model_fits_with_missing_and_repeated_answers(rng, make_counts, name):
    trials = rng.integers(0, 4, size=(8, 5))
    trials[:2] += 1
    counts = make_counts(rng.binomial(trials, 0.6), trials)
    found = fit(counts, IRT_MODELS[name](), SHORT["svi"])
    assert set(found.irt_model.dims) <= set(found.posterior.data_vars)
    assert all(np.isfinite(array).all() for array in found.posterior.data_vars.values())


def test_known_guessing_is_reported_as_given(counts):
    found = fit(counts, ThreePL(guessing=0.25), SHORT["svi"])
    assert (found.posterior["guessing"] == 0.25).all()


def test_fractional_scores_are_refused(rng, make_counts):
    counts = make_counts(rng.random((5, 4)), measure="score")
    with pytest.raises(ModelError, match="holds scores, and the 2pl model needs right answers"):
        fit(counts, TwoPL(), SHORT["svi"])


def test_one_model_is_refused(make_counts):
    with pytest.raises(FitError, match="1 models with answers"):
        fit(make_counts([[1, 0, 1]]), TwoPL(), SHORT["svi"])


@pytest.mark.parametrize(
    ("method", "fields", "message"),
    [
        ("nut", {}, "Did you mean 'nuts'"),
        ("svi", {"chains": 4}, "setting of method 'svi': 'chains' is not known"),
        ("nuts", {"target_accept": 1.5}, "target_accept is 1.5"),
    ],
)
def test_wrong_settings_are_refused_with_the_choices(method, fields, message):
    with pytest.raises(FitError, match=message):
        settings_for(method, seed=1, **fields)


def test_what_is_not_a_fit_is_refused(tmp_path):
    with pytest.raises(FitError, match="does not exist"):
        Fit.load(tmp_path)
    (tmp_path / "fit.nc").write_bytes(b"no netCDF")
    with pytest.raises(FitError, match="is not a fit written by irt-bench"):
        Fit.load(tmp_path)
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(FitError, match="is not a fit written by irt-bench"):
        Fit.load(tmp_path / "other.nc")


def test_reading_a_fit_does_not_import_torch():
    code = "import sys, irt_bench.inference.fit; sys.exit('torch' in sys.modules or 'pyro' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Shifted(TwoPL):
    """A class of a user's own that bears the name of one of the package's."""


@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
def test_a_fit_of_a_derived_class_is_not_taken_for_one_of_its_parent(counts, tmp_path):
    fitted = replace(fit(counts, TwoPL()), irt_model=Shifted())
    fitted.save(tmp_path / "fit.nc")
    assert Fit.load(tmp_path / "fit.nc", irt_model=(model := Shifted())).irt_model is model
    for given in (None, TwoPL()):
        with pytest.raises(FitError, match="model '2pl' of the class Shifted; give that model as irt_model"):
            Fit.load(tmp_path / "fit.nc", irt_model=given)


@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
def test_a_fit_of_an_earlier_version_loads_with_settings_that_are_no_more(counts, tmp_path):
    fitted = fit(counts, TwoPL())
    tree = fitted.to_datatree()
    about = json.loads(tree.attrs["irt_bench"])
    about["settings"]["kernel"] = "numba"
    tree.attrs["irt_bench"] = json.dumps(about)
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    assert Fit.load(tmp_path / "fit.nc").settings == fitted.settings


@pytest.mark.parametrize(("model", "size", "method"), [(ThreePL(), 20, "nuts"), (FourPL(), 60_000, "svi")])
def test_a_model_that_learns_asymptotes_is_not_fitted_by_the_fast_method(model, size, method):
    counts = as_counts(np.zeros((size // 4, 4), dtype=np.int8))
    with pytest.warns(FitWarning, match=f"learns asymptotes.*method='{method}' is used"):
        assert default_method(model, counts) == method
    assert default_method(ThreePL(guessing=0.2), counts) == "laplace"
