import numpy as np
import pandas as pd
import pytest

from irt_bench import read_responses, table_from_frame
from irt_bench.responses import Finding
from irt_bench.responses.quality import findings, overview


def table_of(matrix, **columns):
    rows = [
        {"benchmark": "b", "model": f"m{m}", "item": f"q{i}", "correct": value}
        for m, row in enumerate(matrix)
        for i, value in enumerate(row)
    ]
    return table_from_frame(pd.DataFrame(rows).assign(**columns))


def named(found: tuple[Finding, ...]) -> dict[str, Finding]:
    assert len({finding.name for finding in found}) == len(found)
    return {finding.name: finding for finding in found}


N = np.nan


def test_nothing_is_found_in_ordinary_answers():
    assert findings(table_of([[1, 0, 1], [0, 1, 0]])) == ()


def test_items_and_models_without_responses_are_counted_and_named():
    found = named(findings(table_of([[1, 0, N], [0, 1, N], [N, N, N]])))
    assert set(found) == {"items_without_responses", "models_without_responses"}
    assert found["items_without_responses"].count == 1 and "'q2'" in found["items_without_responses"].message
    assert found["models_without_responses"].count == 1 and "'m2'" in found["models_without_responses"].message


def test_constant_items_need_two_models():
    found = named(findings(table_of([[1, 0, 1, 1], [1, 0, 0, N]])))
    assert found["constant_items"].count == 2
    assert "'q0', 'q1'" in found["constant_items"].message
    assert "constant_items" not in named(findings(table_of([[1, 0, 1]])))


def test_models_with_the_same_answers_and_gaps_are_grouped():
    found = named(findings(table_of([[1, 0, N], [1, 0, N], [1, 0, 0], [0, 1, 1], [0, 1, 1], [0, 1, 1]])))
    assert found["duplicate_models"].count == 2
    assert "'m0 = m1', 'm3 = m4 = m5'" in found["duplicate_models"].message


def simulated(rng, n_models, n_items, slope=1.5):
    ability, difficulty = rng.normal(size=(n_models, 1)), rng.normal(size=n_items)
    return rng.binomial(1, 1 / (1 + np.exp(-slope * (ability - difficulty)))), ability[:, 0]


def test_copies_of_items_are_named_and_items_that_one_model_solved_are_not():
    rng = np.random.default_rng(0)
    answers, ability = simulated(rng, 123, 60)
    rare = np.zeros((123, 4), dtype=int)
    rare[np.argsort(-ability)[:2], :] = [[1, 1, 0, 0], [0, 0, 1, 1]]
    found = named(findings(table_of(np.column_stack([answers, rare, answers[:, :2]]).tolist())))
    assert found["duplicate_items"].count == 2
    assert "'q0 = q64', 'q1 = q65'" in found["duplicate_items"].message


@pytest.mark.parametrize(("n_models", "n_items", "slope"), [(6, 200, 1.5), (25, 400, 1.5), (60, 400, 6.0)])
def test_equal_items_that_chance_brings_are_not_named(n_models, n_items, slope):
    rng = np.random.default_rng(1)
    for _ in range(5):
        answers, _ = simulated(rng, n_models, n_items, slope)
        assert len({tuple(column) for column in answers.T}) < n_items  # there are equal ones
        assert "duplicate_items" not in named(findings(table_of(answers.tolist())))


def test_a_gap_is_not_a_wrong_answer():
    assert "duplicate_models" not in named(findings(table_of([[1, N, 0], [1, 0, 0], [0, 1, 1]])))


def test_benchmarks_are_looked_at_one_by_one():
    frame = pd.DataFrame(
        {"benchmark": list("xxyy"), "model": list("abab"), "item": ["1", "1", "2", "2"], "correct": [1, 1, 1, 0]}
    )
    found = named(findings(table_from_frame(frame)))
    assert found["duplicate_models"].count == 1 and "'x: a = b'" in found["duplicate_models"].message
    assert found["constant_items"].message.count("x: 1") == 1


def test_items_asked_with_different_prompts_are_reported():
    frame = pd.DataFrame(
        {
            "model": list("aabb"),
            "item": ["1", "2", "1", "2"],
            "correct": [1, 0, 0, 1],
            "prompt_hash": ["p", "q", "other", None],
        }
    )
    found = named(findings(table_from_frame(frame)))
    assert found["different_prompts"].count == 1 and "'1'" in found["different_prompts"].message


def test_prompts_changed_by_a_subset_run_are_reported_in_real_logs(shared_fixtures):
    runs = [shared_fixtures / "lm_eval" / name for name in ("fs_sub", "fs_limit")]
    full = next((shared_fixtures / "lm_eval/fs_full").rglob("samples_*20-14-43*"))
    table = read_responses([full, *runs], metric="acc")
    hashes = table.answers.astype({"prompt_hash": "str"}).groupby("item", observed=True)["prompt_hash"].nunique()
    found = named(findings(table))
    assert found["different_prompts"].count == (hashes > 1).sum() > 0


@pytest.mark.filterwarnings("ignore:model .* runs")
def test_what_was_noticed_on_reading_comes_first(shared_fixtures):
    table = read_responses([shared_fixtures / "inspect_subset"], metric="choice")
    assert findings(table)[0].name == "repeated_runs"


def test_the_overview_says_by_which_metric_and_filter_responses_were_read():
    table = table_of([[1, 0], [0, 1]], metric="acc_norm", filter="strict")
    assert overview(table).loc["b", ["metric", "filter"]].tolist() == ["acc_norm", "strict"]
    assert "metric" not in overview(table_of([[1, 0], [0, 1]]))
