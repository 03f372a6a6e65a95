import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from irt_bench.analysis.classical import item_statistics, score_reliability
from irt_bench.analysis.transfer import compare_transfer
from irt_bench.inference.convergence import Check
from irt_bench.irt_models.logistic import TwoPL
from irt_bench.irt_models.simulate import simulate_responses
from irt_bench.report.tables import interval_text, print_checks, print_item_report, print_table, shorten


def console(width=80):
    return Console(record=True, width=width, file=io.StringIO())


def frame(n=4):
    values = np.linspace(0.1, 0.4, n)
    columns = {"ability": values, "ability_q05": values - 0.05, "ability_q95": values + 0.05, "n_items": range(n)}
    return pd.DataFrame(columns, index=pd.Index([f"model{k}" for k in range(n)], name="model"))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_tables_keep_to_the_width_and_fold_intervals(width):
    out = console(width)
    print_table(frame(), title="Abilities", console=out)
    text = out.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "[0.05, 0.15]" in text and "q05" not in text


def test_labels_are_printed_as_they_are():
    labels = ["[bold]x[/]", "<script>", "a\x1b[31mb", "[/nothing]"]
    out = console()
    print_table(frame().set_axis(labels), title="t", console=out)
    text = out.export_text()
    assert "[bold]x[/]" in text and "<script>" in text and "[/nothing]" in text and "\x1b" not in text


def test_rows_left_out_are_counted_and_no_rows_are_told():
    out = console()
    print_table(frame(30), title="t", console=out, max_rows=6)
    print_table(frame(30).head(0), title="t", console=out)
    text = out.export_text()
    assert "... 24 more rows" in text and "no rows" in text
    assert "model2" in text and "model29" in text and "model10" not in text


def test_checks_print_their_status_and_value():
    out = console()
    print_checks([Check("r_hat", "failed", 1.25, 1.01, "largest R-hat 1.25, of ability of model x")], out)
    text = out.export_text()
    assert "1 failed" in text and "1.25" in text and "r_hat" in text


def test_an_item_report_tells_reliability_flags_and_transfer():
    counts = simulate_responses(TwoPL(), n_models=500, n_items=10, seed=2).table.counts()
    out = console()
    statistics, reliability = item_statistics(counts), score_reliability(counts)
    transfer = compare_transfer(counts, seed=0)
    print_item_report(statistics, reliability, transfer, benchmark="toy", console=out)
    text = out.export_text()
    assert "toy: 500 models x 10 items" in text
    assert interval_text(reliability.alpha, reliability.alpha_q05, reliability.alpha_q95) in text


def test_labels_are_cut_in_the_middle():
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert shorten("abc", 5) == "abc"
