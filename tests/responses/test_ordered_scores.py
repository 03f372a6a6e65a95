"""Ordered scores keep their range: as shares in [0, 1] that the items' metadata turn back into scores."""

import numpy as np
import pandas as pd
import pytest

from irt_bench import as_counts, as_table, read_responses, table_from_frame, write_table
from irt_bench.errors import ResponsesError, ResponsesWarning

RNG = np.random.default_rng(1)
JUDGED = pd.DataFrame(
    [(model, item, int(RNG.integers(1, 11))) for model in "abcdefgh" for item in ("q1", "q2", "q3")],
    columns=["model", "item", "score"],
)


def scores_of(table):
    """Scores in their own range, from shares and metadata."""
    frame = table.to_frame()
    return frame["lowest_score"] + frame["score"] * (frame["highest_score"] - frame["lowest_score"])


def test_a_judge_s_scores_are_kept_and_come_back():
    table = table_from_frame(JUDGED, benchmark="judge")
    assert table.measure == "score"
    assert set(table.items["lowest_score"]) == {1}
    assert set(table.items["highest_score"]) == {10}
    assert [finding.name for finding in table.findings] == ["ordered_scores"]
    np.testing.assert_allclose(scores_of(table), JUDGED.sort_values(["model", "item"])["score"], rtol=1e-12)


def test_all_forms_give_the_same_counts(tmp_path):
    table = table_from_frame(JUDGED, benchmark="benchmark")
    wide = JUDGED.pivot(index="model", columns="item", values="score")
    write_table(table, tmp_path / "table.parquet")
    JUDGED.assign(benchmark="benchmark").to_csv(tmp_path / "long.csv", index=False)
    wide.reset_index().assign(benchmark="benchmark").to_csv(tmp_path / "wide.csv", index=False)
    with pytest.warns(ResponsesWarning, match="whole numbers from 1 to 10"):
        of_wide = as_counts(wide)
    again = [table_from_frame(table.to_frame()), as_table(table.counts())]
    again += [read_responses(tmp_path / name) for name in ("table.parquet", "long.csv", "wide.csv")]
    assert {counts.fingerprint() for counts in (of_wide, *(each.counts() for each in again))} == {
        table.counts().fingerprint()
    }


def test_files_of_one_benchmark_have_one_range(tmp_path):
    for name, part in JUDGED.groupby(JUDGED["score"] > 5):
        part.assign(benchmark="judge").to_csv(tmp_path / f"{name}.csv", index=False)
    np.testing.assert_array_equal(read_responses(tmp_path).counts().correct, table_from_frame(JUDGED).counts().correct)


def test_a_range_that_is_named_counts():
    points = JUDGED.assign(score=[1, 3, 9] * 8, max_score=[3, 5, 10] * 8)
    counts = table_from_frame(points).counts()
    assert counts.items["highest_score"].tolist() == [3, 5, 10]
    assert counts.items["lowest_score"].tolist() == [0, 0, 0]
    np.testing.assert_allclose(counts.correct[0], [1 / 3, 3 / 5, 0.9])
    shares = table_from_frame(JUDGED.assign(score=JUDGED["score"] * 7.5, max_score=100)).counts()
    np.testing.assert_allclose(shares.correct.max(), JUDGED["score"].max() * 0.075)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"score": JUDGED["score"] * 7}, "divide percentages by 100, or name the range"),
        ({"score": JUDGED["score"] + 0.5}, "divide percentages by 100"),
        ({"score": np.where(JUDGED["score"] > 9, 9, 0)}, "9 is outside|9.0 is outside"),
        ({"score": np.where(JUDGED["score"] > 5, 1, -1)}, "-1.0 is outside"),
        ({"max_score": 5}, "is outside its range"),
        ({"max_score": 0}, "min_score is not below max_score"),
    ],
)
def test_what_is_no_ordered_score_is_refused(changes, reason):
    with pytest.raises(ResponsesError, match=reason):
        table_from_frame(JUDGED.assign(**changes))


def test_benchmarks_of_right_and_wrong_answers_stay_as_they_are():
    both = pd.concat(
        [JUDGED.assign(benchmark="judge"), JUDGED.assign(benchmark="quiz", score=JUDGED["score"] % 2)],
        ignore_index=True,
    )
    table = table_from_frame(both)
    assert "lowest_score" not in table.select("quiz").items
    assert set(table.select("quiz").counts().correct.ravel()) == {0, 1}
    assert (table.select("quiz").measure, table.select("judge").measure) == ("correct", "score")


def test_ordered_scores_of_which_only_the_ends_occur_stay_scores():
    ends = JUDGED.assign(benchmark="ends", score=np.where(JUDGED["score"] > 5, 4.0, 0.0), max_score=4)
    both = pd.concat([ends, JUDGED.assign(benchmark="judge", max_score=10)], ignore_index=True)
    assert table_from_frame(both).select("ends").measure == "score"
