"""The report from the command line, and the demo that ends with it."""

import pandas as pd
import pytest
from commands import printed


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "items.csv"
    columns = {"item": ["a", "b"], "n_models": 9, "proportion_correct": 0.5, "item_rest_correlation": [-0.3, 0.2]}
    pd.DataFrame(columns | {"item_total_correlation": 0.1, "flags": ["negative", ""]}).to_csv(path, index=False)
    return path


def test_a_page_is_written_and_titled(items, tmp_path):
    assert "Wrote" in printed("report", items, "-o", tmp_path / "r.html", "--title", "<my> benchmark")
    text = (tmp_path / "r.html").read_text()
    assert "&lt;my&gt; benchmark" in text and "1 of 2 items goes against the rest" in text


def test_the_same_folders_give_the_same_bytes(items, tmp_path):
    for name in ("a.html", "b.html"):
        printed("report", items, "-o", tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_an_existing_page_is_kept_unless_forced(items, tmp_path):
    output = tmp_path / "r.html"
    output.write_text("mine")
    assert "--force" in printed("report", items, "-o", output, code=2)
    assert output.read_text() == "mine"
    printed("report", items, "-o", output, "--force")
    assert output.read_text() != "mine"


def test_a_folder_that_holds_nothing_to_show_is_one_clear_error(tmp_path):
    (tmp_path / "empty").mkdir()
    output = printed("report", tmp_path / "empty", "-o", tmp_path / "r.html", code=2)
    assert "contains no results for a report" in " ".join(output.split())
    assert not (tmp_path / "r.html").exists()


@pytest.mark.slow
def test_the_demo_ends_with_the_page_and_can_be_run_again(tmp_path):
    for extra in ([], ["--force"]):
        printed("demo", "-o", tmp_path / "demo", *extra)
        text = (tmp_path / "demo" / "report.html").read_text()
        assert text.count("Not in this report.") == 0
        assert "ways to choose, weight and score items" in text
