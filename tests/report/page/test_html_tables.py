import base64
import io

import pandas as pd

from irt_bench.report.page.blocks import MAX_BYTES, MAX_ROWS, html_table


def frame(n):
    rows = range(n)
    data = {
        "value": [k / 7 for k in rows],
        "value_q05": [k / 7 - 1 for k in rows],
        "value_q95": [k / 7 + 1 for k in rows],
    }
    return pd.DataFrame(data, index=pd.Index([f"m{k}" for k in rows], name="model"))


def downloaded(table):
    return pd.read_csv(io.BytesIO(base64.b64decode(table.csv.split(",", 1)[1])), index_col=0)


def test_intervals_are_folded_into_their_column():
    table = html_table(frame(3))
    assert table.headers == ("model", "value [90%]")
    assert table.numeric == (False, True)
    assert table.rows[0][1] == ("0.00", "[-1.00, 1.00]")
    assert not table.note and not table.csv_note


def test_the_download_holds_all_columns_of_all_rows():
    table = html_table(frame(MAX_ROWS + 5), whole="all.csv")
    assert len(table.rows) == MAX_ROWS
    assert table.note == f"First {MAX_ROWS} of {MAX_ROWS + 5} rows; all.csv has all."
    found = downloaded(table)
    assert len(found) == MAX_ROWS + 5 and list(found) == ["value", "value_q05", "value_q95"]


def test_a_long_download_is_cut_and_states_it():
    table = html_table(frame(20_000), whole="all.csv")
    assert len(table.csv) < 1.4 * MAX_BYTES
    assert table.csv_note == f"first {len(downloaded(table)):,} of 20,000 rows; all.csv has all"


def test_names_in_the_download_are_no_formulas_and_numbers_stay_numbers():
    made = frame(4).set_axis(pd.Index(["=1+1", "\t@SUM(A1)", "plain", "-m"], name="model"))
    found = downloaded(html_table(made.assign(note=["+1", "a", "-2", "=b"])))
    assert list(found.index) == ["'=1+1", "'\t@SUM(A1)", "plain", "'-m"]
    assert list(found["note"]) == ["'+1", "a", "'-2", "'=b"]
    assert found["value_q05"].min() == -1
