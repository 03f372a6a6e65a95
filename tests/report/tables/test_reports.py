import numpy as np
import pandas as pd
import pytest
import xarray as xr

from irt_bench import TwoPL, simulate_responses
from irt_bench.analysis.agreement import compare_ability_accuracy
from irt_bench.analysis.classical import item_statistics, score_reliability
from irt_bench.analysis.transfer import compare_transfer
from irt_bench.inference.convergence import Check
from irt_bench.report.tables import (
    interval_text,
    print_checks,
    print_comparison,
    print_findings,
    print_fit,
    print_item_report,
)
from irt_bench.responses.table import Finding


def test_checks_print_their_status_and_value(console):
    out = console()
    print_checks([Check("r_hat", "failed", 1.25, 1.01, "largest R-hat 1.25, of ability of model x")], out)
    text = out.export_text()
    assert "1 failed" in text and "1.25" in text and "r_hat" in text


def test_an_item_report_shows_reliability_flags_and_transfer(console):
    counts = simulate_responses(TwoPL(), n_models=500, n_items=10, seed=2).table.counts()
    out = console()
    statistics, reliability = item_statistics(counts), score_reliability(counts)
    transfer = compare_transfer(counts, seed=0)
    print_item_report(statistics, reliability, transfer, benchmark="toy", console=out)
    text = out.export_text()
    assert "toy: 500 models x 10 items" in text
    assert interval_text(reliability.alpha, reliability.alpha_q05, reliability.alpha_q95) in text


def test_findings_are_listed_and_those_beyond_are_counted(console):
    out = console()
    print_findings([Finding(f"finding_{k}", k, "what was found [b]") for k in range(4)], out, max_rows=3)
    print_findings([], out)
    text = out.export_text()
    assert "finding_2" in text and "finding_3" not in text and "... 1 more findings" in text
    assert "[b]" in text and "Findings: none" in text


@pytest.mark.parametrize(("width", "differences"), [(80, False), (120, True)])
def test_labels_of_pairs_have_room(console, width, differences):
    simulation = simulate_responses(TwoPL(), n_models=30, n_items=10, seed=2)
    counts, rng = simulation.table.counts(), np.random.default_rng(0)
    noise = xr.DataArray(rng.normal(0, 0.5, (50, 30)), dims=("sample", "model"))
    comparison = compare_ability_accuracy(simulation.truth["ability"] + noise, counts, n_resamples=50)
    out = console(width)
    print_comparison(comparison, benchmark="toy", console=out)
    text = out.export_text()
    assert ("difference" in text.replace("differently", "")) == differences
    assert comparison.discordant["higher_ability"].iloc[0] in text


def test_items_that_without_information_do_not_head_the_hardest(console):
    index = pd.Index(["asked-in-vain", "hard", "easy"], name="item")
    items = pd.DataFrame({"difficulty": [9.0, 2.0, -1.0], "flags": ["no_information", "", ""]}, index=index)
    abilities = pd.DataFrame(
        {"rank": [1.0, 2.0], "relative_ability": [1.0, -1.0], "p_first_abler": [np.nan, 0.7]},
        index=pd.Index(["a", "b"], name="model"),
    )
    out = console()
    print_fit({}, (), abilities, items, console=out)
    text = out.export_text()
    assert text.index("hard ") < text.index("easy ") < text.index("asked-in-vain")
    assert "last 1 without informative responses" in text
    assert "a is estimated ablest; it is abler than b with probability 0.70" in " ".join(text.split())
