import numpy as np
import pytest

from irt_bench import table_from_frame
from irt_bench.errors import AnalysisError
from irt_bench.study.plan import BenchmarkPlan, plan_study, plan_table

from .conftest import draw_frame


def names(plan, kind=None):
    return {
        task.name
        for each in plan.benchmarks
        for split in each.splits
        for task in split.tasks
        if kind in (None, task.kind)
    }


def changed(design, **fields):
    return design.model_copy(update=fields)


@pytest.fixture(scope="module")
def plan(table, design, tmp_path_factory):
    return plan_study(table, design, tmp_path_factory.mktemp("plan"))


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({"n_random": 300}, {"random"}),
        ({"drop": (0.0, 0.3)}, {"path"}),
        ({"transfer_splits": 11}, {"transfer"}),
        ({"estimators": ("weighted",)}, {"recipe", "random"}),
        ({"seed": 4}, {"full", "random", "recipe", "path", "control", "transfer"}),
    ],
)
def test_a_changed_design_changes_the_names_of_the_tasks_it_concerns(plan, table, design, tmp_path, fields, kinds):
    other = plan_study(table, changed(design, **fields), tmp_path)
    for kind in ("full", "random", "recipe", "path", "control", "transfer"):
        same = names(plan, kind) == names(other, kind)
        assert same == (kind not in kinds), kind


def test_a_size_more_adds_tasks_and_leaves_the_others(plan, table, design, tmp_path):
    other = plan_study(table, changed(design, sizes=(10, 20, 30)), tmp_path)
    assert names(plan, "recipe") < names(other, "recipe")
    assert names(plan, "random") < names(other, "random")


def test_other_answers_make_other_tasks(plan, design, tmp_path):
    frame = draw_frame(np.random.default_rng(1))
    frame.loc[0, "n_correct"] = 4 - frame.loc[0, "n_correct"]
    other = plan_study(table_from_frame(frame, benchmark="toy"), design, tmp_path)
    assert not names(plan, "full") & names(other, "full")


def test_sizes_above_the_benchmark_are_left_out_with_a_note_and_all_its_items_are_no_choice(table, design, tmp_path):
    found = plan_study(table, changed(design, sizes=(0.5, 60, 100)), tmp_path)
    assert found.benchmarks[0].sizes == (30,)
    assert any("sizes 100 are above its 60 items" in note for note in found.notes)
    with pytest.raises(AnalysisError, match="no benchmark can be studied"):
        plan_study(table, changed(design, sizes=(61,)), tmp_path)


def test_cost_and_table_say_what_will_be_done(plan):
    cost = plan.cost()
    assert cost["tasks"] == len(plan.tasks) == len(set(plan.tasks)) > 10
    assert cost["core_seconds"] > 0 and cost["worker_mb"] > 0
    row = plan_table(plan).loc["toy"]
    assert row["runs"] == 4 and row["checkpoints"] == 24 and row["splits"] == 2


def test_the_control_is_at_the_nearest_size_there_is(design):
    plan = BenchmarkPlan(changed(design, control_size=50), "toy", 200, (10, 45, 100), (), ())
    assert plan.control_size == 45


def test_random_items_are_the_reference_of_every_weighting_and_no_method(table, design, tmp_path):
    found = plan_study(table, changed(design, methods=("random", "variance"), weights=("equal", "anchor")), tmp_path)
    assert set(found.benchmarks[0].recipes) == {("variance", "equal"), ("variance", "anchor")}
    assert set(found.benchmarks[0].weightings) == {"equal", "anchor"}
