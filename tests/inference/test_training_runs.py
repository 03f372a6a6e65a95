"""Rows of the responses find their run, seed and step."""

import numpy as np
import pandas as pd
import pytest

from irt_bench.errors import ModelError
from irt_bench.inference.sampling.known_items import SeedDesign


def checkpoints(*rows):
    frame = pd.DataFrame(rows, columns=["run", "seed", "step"])
    return frame.set_axis([f"m{place}" for place in range(len(rows))])


FOUR = checkpoints(("a", 1, 10), ("a", 2, 10), ("a", 1, 2), ("a", 2, 2), ("b", 7, 10), ("b", 8, 10))


def design_of(frame, answered=None):
    return SeedDesign.from_models(frame, np.ones(len(frame), bool) if answered is None else np.array(answered))


def test_checkpoints_find_their_run_seed_and_step():
    design = design_of(FOUR)
    assert list(design.runs) == ["a", "b"]
    assert list(design.seeds.labels[design.seeds.of]) == ["1", "2", "1", "2", "7", "8"]
    assert list(design.steps.labels[design.steps.of]) == ["10", "10", "2", "2", "10", "10"]
    assert list(design.steps.labels) == ["2", "10", "10"]
    assert list(design.runs[design.run_of]) == list("aaaabb")
    assert design.has_steps


def test_a_checkpoint_without_another_seed_at_its_step_is_left_out():
    frame = checkpoints(("a", 1, 1), ("a", 2, 1), ("a", 1, 2), ("b", 1, 1))
    design = design_of(frame)
    assert list(design.rows) == [0, 1]
    assert not design.has_steps
    assert list(design_of(frame, [True, True, False, True]).rows) == [0, 1]


def test_without_runs_and_steps_all_seeds_form_one_run_at_one_step():
    design = design_of(pd.DataFrame({"seed": [1, 2, None, 3]}, index=list("wxyz")))
    assert list(design.rows) == [0, 1, 3]
    assert list(design.runs) == [""]
    assert not design.has_steps


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"size": [1, 2]}, index=["x", "y"]), "has the seed"),
        (checkpoints(("a", 1, 1), ("a", 1, 1)), "'m1' is another run 'a', seed '1', step '1'"),
        (checkpoints(("a", 1, 1), ("b", 2, 1)), "at least two seeds"),
    ],
)
def test_a_design_without_two_seeds_to_compare_is_refused(frame, message):
    with pytest.raises(ModelError, match=message):
        design_of(frame)
