"""The seed model's design, and its Pyro program against scipy's densities."""

import numpy as np
import pandas as pd
import pytest
import torch
from pyro import poutine
from scipy import stats

from irt_bench.errors import ModelError
from irt_bench.irt_models.base import HalfNormal, Normal
from irt_bench.irt_models.seeds import SeedDesign, SeedModel, make_seed_program


def snapshots(*rows):
    frame = pd.DataFrame(rows, columns=["run", "seed", "step"])
    return frame.set_axis([f"m{place}" for place in range(len(rows))])


FOUR = snapshots(("a", 1, 10), ("a", 2, 10), ("a", 1, 2), ("a", 2, 2), ("b", 7, 10), ("b", 8, 10))


def design_of(frame, answered=None):
    return SeedDesign.from_models(frame, np.ones(len(frame), bool) if answered is None else np.array(answered))


def test_snapshots_find_their_run_seed_and_step():
    design = design_of(FOUR)
    assert design.runs == ("a", "b")
    assert [design.seed_labels[place] for place in design.seed_of] == ["1", "2", "1", "2", "7", "8"]
    assert [design.step_labels[place] for place in design.mean_of] == ["10", "10", "2", "2", "10", "10"]
    assert [design.runs[place] for place in design.run_of] == list("aaaabb")
    assert design.has_steps


def test_a_snapshot_without_another_seed_at_its_step_is_left_out():
    frame = snapshots(("a", 1, 1), ("a", 2, 1), ("a", 1, 2), ("b", 1, 1))
    design = design_of(frame)
    assert list(design.rows) == [0, 1]
    assert not design.has_steps
    assert list(design_of(frame, [True, True, False, True]).rows) == [0, 1]


def test_without_runs_and_steps_all_seeds_form_one_run_at_one_step():
    design = design_of(pd.DataFrame({"seed": [1, 2, None, 3]}, index=list("wxyz")))
    assert list(design.rows) == [0, 1, 3]
    assert design.runs == ("",)
    assert not design.has_steps


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"size": [1, 2]}, index=["x", "y"]), "which seed"),
        (snapshots(("a", 1, 1), ("a", 1, 1)), "'m1' is another run 'a', seed '1', step '1'"),
        (snapshots(("a", 1, 1), ("b", 2, 1)), "at least two seeds"),
    ],
)
def test_a_design_without_two_seeds_to_compare_is_refused(frame, message):
    with pytest.raises(ModelError, match=message):
        design_of(frame)


@pytest.mark.parametrize("pooled", [True, False])
def test_the_program_has_the_density_that_scipy_gives(pooled):
    rng = np.random.default_rng(1)
    design = design_of(FOUR)
    model = SeedModel(run_mean=Normal(0.3, 1.7), sd_seed=HalfNormal(0.4), sd_step=HalfNormal(0.2), pooled=pooled)
    shape = () if pooled else (2,)
    values = {
        "sd_seed": np.abs(rng.normal(size=shape)),
        "sd_step": np.abs(rng.normal(size=shape)),
        "run_mean": rng.normal(size=3),
        "seed_effect": rng.normal(size=4),
        "step_effect": rng.normal(size=6),
    }
    data = {name: torch.tensor(value) for name, value in values.items()}
    program = make_seed_program(model, design, likelihood=lambda ability: -(ability**2).sum())
    trace = poutine.trace(poutine.condition(program, data=data)).get_trace()
    run_of_seed, run_of_row = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0, 1, 1])
    seed_sd = np.broadcast_to(values["sd_seed"], (2,))
    step_sd = np.broadcast_to(values["sd_step"], (2,))
    # Pairs are in the order (a, 2), (a, 10), (b, 10) and (a, 1), (a, 2), (b, 7), (b, 8).
    ability = values["run_mean"][[1, 1, 0, 0, 2, 2]] + values["seed_effect"][[0, 1, 0, 1, 2, 3]] + values["step_effect"]
    expected = (
        stats.halfnorm.logpdf(values["sd_seed"], scale=0.4).sum()
        + stats.halfnorm.logpdf(values["sd_step"], scale=0.2).sum()
        + stats.norm.logpdf(values["run_mean"], 0.3, 1.7).sum()
        + stats.norm.logpdf(values["seed_effect"], 0, seed_sd[run_of_seed]).sum()
        + stats.norm.logpdf(values["step_effect"], 0, step_sd[run_of_row]).sum()
        - (ability**2).sum()
    )
    assert float(trace.log_prob_sum()) == pytest.approx(expected, rel=1e-12)
