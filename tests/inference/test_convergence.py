import numpy as np
import pytest
import xarray as xr

from irt_bench.inference.convergence import maximum_checks, optimiser_checks, sampler_checks


def dataset(values, **more):
    coords = {"item": [f"i{k}" for k in range(values.shape[2])]}
    return xr.Dataset({"difficulty": (("chain", "draw", "item"), values), **more}, coords=coords)


def stats(rng, n_diverging=0):
    diverging = np.zeros((4, 500), dtype=bool)
    diverging[0, :n_diverging] = True
    energy = rng.normal(size=(4, 500))
    return xr.Dataset({"diverging": (("chain", "draw"), diverging), "energy": (("chain", "draw"), energy)})


def by_name(checks):
    return {check.name: check for check in checks}


def test_independent_draws_pass_every_check(rng):
    checks = by_name(sampler_checks(dataset(rng.normal(size=(4, 500, 3))), stats(rng)))
    assert {check.status for check in checks.values()} == {"passed"}
    assert set(checks) == {"r_hat", "ess_bulk", "ess_tail", "divergences", "bfmi"}


def test_a_chain_elsewhere_fails_r_hat_and_is_named(rng):
    values = rng.normal(size=(4, 500, 3))
    values[2, :, 1] += 1.0
    check = by_name(sampler_checks(dataset(values), stats(rng)))["r_hat"]
    assert check.status == "failed"
    assert "difficulty of item i1" in check.message


def test_slow_chains_fail_effective_sample_size(rng):
    values = np.cumsum(rng.normal(size=(4, 500, 3)), axis=1) / 20
    checks = by_name(sampler_checks(dataset(values), stats(rng)))
    assert checks["ess_bulk"].status == "failed"
    assert checks["ess_bulk"].value < 100


def test_divergences_and_low_energy_variation_fail(rng):
    trouble = stats(rng, n_diverging=3)
    trouble["energy"] = (("chain", "draw"), np.cumsum(rng.normal(size=(4, 500)), axis=1))
    checks = by_name(sampler_checks(dataset(rng.normal(size=(4, 500, 3))), trouble))
    assert checks["divergences"].status == "failed"
    assert checks["divergences"].value == 3
    assert checks["bfmi"].status == "failed"


def test_undefined_draws_fail(rng):
    values = rng.normal(size=(4, 500, 3))
    values[0, 0, 2] = np.nan
    with np.errstate(all="ignore"):
        checks = by_name(sampler_checks(dataset(values), stats(rng)))
    assert checks["r_hat"].status == "failed"
    assert checks["ess_bulk"].status == "failed"


def test_one_chain_has_no_r_hat_and_parameters_that_are_known_are_left_out(rng):
    values = rng.normal(size=(1, 500, 3))
    known = (("chain", "draw", "item"), np.full((1, 500, 3), 0.25))
    checks = by_name(sampler_checks(dataset(values, guessing=known), stats(rng).isel(chain=[0])))
    assert checks["r_hat"].status == "not_applicable"
    assert checks["ess_bulk"].status == "passed"


def test_a_rising_elbo_fails():
    good, bad = (
        by_name(optimiser_checks({"plateau_reached": done, "steps": 900}))["elbo_plateau"] for done in (True, False)
    )
    assert (good.status, bad.status) == ("passed", "failed")
    assert "--max-steps" in bad.message


@pytest.mark.parametrize(
    ("changes", "failed"),
    [({}, []), ({"change": 0.1}, ["maximum"]), ({"n_items": 5}, ["hierarchy"]), ({"n_models": 29}, ["normality"])],
)
def test_the_fast_method_says_when_its_approximations_do_not_bear(changes, failed):
    notes = {"change": 1e-4, "tolerance": 1e-3, "sweeps": 12, "n_items": 100, "n_models": 400} | changes
    checks = maximum_checks(notes)
    assert [check.name for check in checks if check.status == "failed"] == failed
    assert all(
        "use --method nuts" in check.message for check in checks if check.name in failed[:1] and check.name != "maximum"
    )


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "passed"),
        ({"hierarchy_spread": 1.3}, "failed"),
        ({"hierarchy_spread": 1.3, "redrawn": True}, "passed"),
        ({"hierarchy_spread": 1.5, "redrawn": True}, "failed"),
        ({"hierarchy_moved": 0.6}, "failed"),
        ({"n_items": 12}, "failed"),
        ({"n_draws": 399, "hierarchy_spread": 1.3}, "not_applicable"),
        ({"n_draws": 1, "hierarchy_spread": np.nan, "hierarchy_moved": np.nan}, "not_applicable"),
    ],
)
def test_a_hierarchy_that_its_items_contradict_fails(changes, status):
    notes = {"plateau_reached": True, "steps": 900, "refined": False, "n_items": 150, "n_draws": 1_000}
    check = by_name(optimiser_checks(notes | {"hierarchy_spread": 1.1, "hierarchy_moved": 0.1} | changes))["hierarchy"]
    assert check.status == status
