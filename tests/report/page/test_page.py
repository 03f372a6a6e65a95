import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from commands import run

from irt_bench import write_report
from irt_bench.errors import ReadError

EVIL = '<script>alert("x")</script></script>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What `fit`, `items` and `variance` write for models and items with hostile names."""
    folder = tmp_path_factory.mktemp("results")
    rng = np.random.default_rng(0)
    ability, difficulty = rng.normal(size=24), rng.normal(size=20)
    rows = [
        {
            "model": f"{EVIL}{m}",
            "item": f"{EVIL}q{i}",
            "run": f"run-{m // 6}",
            "seed": m % 6,
            "correct": int(rng.random() < 1 / (1 + np.exp(-ability[m // 6 * 6] + difficulty[i]))),
        }
        for m in range(24)
        for i in range(20)
    ]
    pd.DataFrame(rows).to_csv(folder / "responses.csv", index=False)
    for command, output in (("fit", "fit"), ("items", "items.csv"), ("variance", "variance")):
        run(command, folder / "responses.csv", "-o", folder / output)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    write_report([folder / "fit", folder / "variance"], folder / "report.html")
    return (folder / "report.html").read_text()


def test_names_from_the_data_are_escaped(page):
    assert EVIL not in page
    assert page.count("<script") == len(re.findall(r"<script[^>]*>", page)) <= 2
    assert "&lt;script&gt;" in page or "\\u003cscript" in page.lower()


def test_nothing_is_loaded_from_elsewhere(page):
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//""", page)
    assert not re.findall(r"@import|url\(\s*['\"]?http", page)
    assert len(page) < 6_000_000


def test_questions_come_in_their_order_and_missing_parts_name_their_command(page):
    questions = re.findall(r"<h2[^>]*>(.*?)</h2>", page, re.DOTALL)
    text = " ".join(re.sub(r"<[^>]+>", "", each).strip() for each in questions)
    order = [text.index(word) for word in ("How noisy", "made of", "who is ahead", "How far to trust")]
    assert order == sorted(order)
    assert "subsets help" not in text  # nothing to show: left out, and named at the foot
    foot = page[page.index("<footer>") :]
    assert "Do subsets help?" in foot and "irt-bench study" in foot


def test_the_foot_says_how_the_page_was_made(folder, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    path = write_report([folder / "fit"], folder / "other.html", call="irt-bench report <x>")
    foot = path.read_text().partition("<footer>")[2]
    summary = json.loads((folder / "fit" / "summary.json").read_text())
    assert summary["responses"]["fingerprint"] in foot and f"torch {summary['versions']['torch']}" in foot
    assert "1970-01-02" in foot and "irt-bench report &lt;x&gt;" in foot and "Python 3." in foot


def test_folders_that_do_not_stay_are_not_named(folder):
    path = write_report([folder / "fit"], folder / "gone.html", call="report", kept=False)
    assert "abilities.csv" not in path.read_text() and f"{folder.name}/fit" not in path.read_text()


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ReadError):
        write_report([tmp_path], tmp_path / "report.html")
    run("report", tmp_path, "-o", tmp_path / "r.html", code=2)
    assert not (tmp_path / "r.html").exists()


def test_a_browser_opens_it_without_an_error(page, folder, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("Chromium is not installed")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--v=0"]
    done = subprocess.run(
        [browser, *flags, f"--user-data-dir={tmp_path}", "--dump-dom", (folder / "report.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "How noisy" in done.stdout
    assert "CONSOLE" not in done.stderr
