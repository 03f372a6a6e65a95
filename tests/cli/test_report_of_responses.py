"""The page of responses: everything is computed, and what is no result and no response gives one line."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from irt_bench.cli import app

pytest.importorskip("jinja2")


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_one_command_makes_the_page_and_keeps_what_is_behind_it(tmp_path):
    rng = np.random.default_rng(1)
    wide = (rng.random((24, 15)) < 1 / (1 + np.exp(-rng.normal(size=(24, 1)) + rng.normal(size=15)))).astype(int)
    frame = pd.DataFrame(wide, index=[f"m{k}" for k in range(24)], columns=[f"q{k}" for k in range(15)])
    frame.rename_axis("model").to_csv(tmp_path / "wide.csv")
    done = run(tmp_path / "wide.csv", "-o", tmp_path / "page.html", "--keep", tmp_path / "kept", "--title", "Fifteen")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "page.html").read_text()
    assert "Fifteen" in text and "q3" in text and "m3" in text
    assert {each.name for each in (tmp_path / "kept").iterdir()} == {"items.csv", "fit", "checks", "comparison"}
    again = run(tmp_path / "kept", "-o", tmp_path / "again.html", "--title", "Fifteen")
    assert again.exit_code == 0, again.output
    assert "q3" in (tmp_path / "again.html").read_text()


@pytest.mark.parametrize(("name", "text"), [("nowhere", None), ("notes.md", "no responses"), ("folder", "")])
def test_what_is_neither_results_nor_responses_gives_one_line(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text) if text else (tmp_path / name).mkdir()
    done = run(tmp_path / name, "-o", tmp_path / "page.html")
    assert done.exit_code == 2 and name in done.output and not (tmp_path / "page.html").exists()
