import numpy as np
import pandas as pd
import pytest

from irt_bench.report.tables.terminal import print_table


def frame(n=4):
    values = np.linspace(0.1, 0.4, n)
    columns = {"ability": values, "ability_q05": values - 0.05, "ability_q95": values + 0.05, "n_items": range(n)}
    return pd.DataFrame(columns, index=pd.Index([f"model{k}" for k in range(n)], name="model"))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_tables_keep_to_the_width_and_fold_intervals(width, console):
    out = console(width)
    print_table(frame(), title="Abilities", console=out)
    text = out.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "[0.05, 0.15]" in text and "q05" not in text


def test_labels_are_printed_as_they_are(console):
    labels = ["[bold]x[/]", "<script>", "a\x1b[31mb", "[/nothing]"]
    out = console()
    print_table(frame().set_axis(labels), title="t", console=out)
    text = out.export_text()
    assert "[bold]x[/]" in text and "<script>" in text and "[/nothing]" in text and "\x1b" not in text


def test_rows_left_out_are_counted_and_no_rows_are_reported(console):
    out = console()
    print_table(frame(30), title="t", console=out, max_rows=6)
    print_table(frame(30).head(0), title="t", console=out)
    text = out.export_text()
    assert "... 24 more" in text and "no rows" in text
    assert "model2" in text and "model29" in text and "model10" not in text


def test_columns_left_out_for_want_of_width_are_named(console):
    out = console(60)
    wide = pd.DataFrame(np.full((2, 12), 1.25), columns=[f"column_{k}" for k in range(12)])
    print_table(wide, title="t", console=out)
    assert "not shown at this width:" in out.export_text()
