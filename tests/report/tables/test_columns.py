import pandas as pd

from irt_bench.report.tables.text import index_columns, merged_notes, value_columns, with_gap

FRAME = pd.DataFrame(
    {
        "ability": [0.1, 0.2],
        "ability_q05": [0.0, 0.1],
        "ability_q95": [0.2, 0.3],
        "n_items": [3, 4],
        "ok": [True, False],
    },
    index=pd.Index(["m0", "m1"], name="model"),
)


def test_an_interval_is_folded_into_its_column():
    ability, n_items, ok = value_columns(FRAME, None)
    assert ability.header == "ability [90%]"
    assert ability.lines == ["0.10 [0.00, 0.20]", "0.20 [0.10, 0.30]"]
    assert n_items.lines == ["3", "4"]
    assert ok.lines == ["yes", "no"] and not ok.numeric


def test_ranks_stay_whole_numbers():
    ranks = pd.DataFrame({"rank": [1.0, 2.0], "rank_q05": [1.0, 1.0], "rank_q95": [3.95, 4.0]})
    assert value_columns(ranks, None)[0].lines == ["1 [1, 4]", "2 [1, 4]"]


def test_an_interval_goes_with_the_only_longer_name():
    renamed = FRAME.rename(columns={"ability": "ability_mean"})
    assert value_columns(renamed, None)[0].header == "ability mean [90%]"


def test_an_interval_without_its_column_stands_by_itself():
    alone = value_columns(FRAME.drop(columns="ability"), None)[0]
    assert alone.lines == ["[0.00, 0.20]", "[0.10, 0.30]"]


def test_wanted_columns_bring_their_interval_and_keep_their_order():
    assert [column.header for column in value_columns(FRAME, ["n_items", "ability"])] == ["n items", "ability [90%]"]


def test_the_index_is_a_label_and_a_gap_is_reported_in_it():
    columns = with_gap([*index_columns(FRAME), *value_columns(FRAME, ["n_items"])], 1, "... 5 more rows")
    assert columns[0].label
    assert [column.lines for column in columns] == [["m0", "... 5 more rows", "m1"], ["3", "", "4"]]


def test_notes_of_several_benchmarks_are_written_once():
    notes = ["arc: few seeds", "a: b: odd", "copa: few seeds", *(f"t{k}: many" for k in range(5)), "no name: x"]
    known = ["arc", "copa", *(f"t{k}" for k in range(5))]
    assert merged_notes(notes, known) == [
        "arc, copa: few seeds", "a: b: odd", "t0, t1, t2 and 2 more: many", "no name: x"
    ]  # fmt: skip
    assert merged_notes([], known) == []
