"""The page of responses: everything is computed, and what is no result and no response gives one line."""

import json
import re
from functools import partial

import commands
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("jinja2")


run = partial(commands.run, "report")


def test_one_command_makes_the_page_and_keeps_what_is_behind_it(tmp_path):
    rng = np.random.default_rng(1)
    wide = (rng.random((24, 15)) < 1 / (1 + np.exp(-rng.normal(size=(24, 1)) + rng.normal(size=15)))).astype(int)
    frame = pd.DataFrame(wide, index=[f"m{k}" for k in range(24)], columns=[f"q{k}" for k in range(15)])
    frame.rename_axis("model").to_csv(tmp_path / "wide.csv")
    run(tmp_path / "wide.csv", "-o", tmp_path / "page.html", "--keep", tmp_path / "kept", "--title", "Fifteen")
    text = (tmp_path / "page.html").read_text()
    assert "Fifteen" in text and "q3" in text and "m3" in text
    assert {each.name for each in (tmp_path / "kept").iterdir()} == {
        "items.csv",
        "fit",
        "checks",
        "comparison",
        "scores",
    }
    run(tmp_path / "kept", "-o", tmp_path / "again.html", "--title", "Fifteen")
    assert "q3" in (tmp_path / "again.html").read_text()


@pytest.mark.parametrize(("name", "text"), [("nowhere", None), ("notes.md", "no responses"), ("folder", "")])
def test_what_is_neither_results_nor_responses_gives_one_line(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text) if text else (tmp_path / name).mkdir()
    done = run(tmp_path / name, "-o", tmp_path / "page.html", code=2)
    assert name in done.output and not (tmp_path / "page.html").exists()


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """Two recipes with three seeds and two steps, on two benchmarks."""
    rng, rows = np.random.default_rng(2), []
    for recipe, level in (("old", -0.5), ("new <b>mix</b>", 1.2)):
        for seed in range(3):
            for step in (100, 200):
                model = {"model": f"{recipe}-{seed}-{step}", "run": recipe, "seed": seed, "step": step}
                ability = level + 0.001 * step + rng.normal(0, 0.1)
                for i, difficulty in enumerate(np.linspace(-1.5, 1.5, 24)):
                    right = int(rng.random() < 1 / (1 + np.exp(difficulty - ability)))
                    rows.append(model | {"benchmark": "arc", "item": f"a{i}", "correct": right})
                rows += [model | {"benchmark": "all <i>right</i>", "item": f"b{i}", "correct": 1} for i in range(4)]
    path = tmp_path_factory.mktemp("suite") / "logs.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_several_benchmarks_share_a_page_with_a_part_of_each(suite, tmp_path):
    run(suite, "-o", tmp_path / "page.html", "--keep", tmp_path / "kept")
    text = (tmp_path / "page.html").read_text()
    assert {each.name for each in (tmp_path / "kept").iterdir()} == {"benchmarks", "scores", "variance", "recipes"}
    assert text.count('<details class="chapter"') == 2 and "<i>right" not in text and "<b>mix" not in text
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids)) and {"b1-item-table", "b1-ranks", "recipes", "scores"} <= set(ids)
    questions = [re.sub("<[^>]*>", "", each) for each in re.findall("<h2.*?</h2>", text, re.DOTALL)]
    assert any("training recipe better" in each for each in questions)
    assert "all &lt;i&gt;right&lt;/i&gt;" in text
    run(tmp_path / "kept", "-o", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text().count('<details class="chapter"') == 2
    models = pd.read_csv(tmp_path / "kept" / "scores" / "models.csv")  # the last checkpoints of each run
    assert sorted(models.loc[models["benchmark"] == "arc", "model"]) == sorted(
        f"{recipe}-{seed}-200" for recipe in ("old", "new <b>mix</b>") for seed in range(3)
    )
    needed = pd.read_csv(tmp_path / "kept" / "variance" / "needed.csv")
    assert (needed["difference"] == 0.01).all()
    foot = text.partition("<footer>")[2]
    assert "irt-bench report logs.csv --seed 0" in foot and str(tmp_path) not in foot


@pytest.mark.slow
def test_a_page_of_responses_is_the_same_again_and_names_no_folder_that_is_gone(suite, tmp_path):
    for name in ("a.html", "b.html"):
        run(suite, "-o", tmp_path / name, "--benchmark", "arc")
    text = (tmp_path / "a.html").read_bytes()
    assert text == (tmp_path / "b.html").read_bytes()
    assert b"abilities.csv" not in text and b"<dt>made from" not in text


def judged(tmp_path, benchmarks=("summaries", "translations", "quiz")):
    """Fractional scores, and of the quiz right and wrong answers, all in one column."""
    rng, rows = np.random.default_rng(0), []
    for benchmark in benchmarks:
        for model, item in np.ndindex(12, 8):
            chance = 1 / (1 + np.exp(0.4 * (item - model / 2)))
            score = float(rng.random() < chance) if benchmark == "quiz" else round(float(chance), 3)
            rows.append({"benchmark": benchmark, "model": f"m{model}", "item": f"{benchmark}-{item}", "score": score})
    pd.DataFrame(rows).to_csv(tmp_path / "judged.csv", index=False)
    return tmp_path / "judged.csv"


def test_each_benchmark_of_scores_or_of_right_answers_gets_what_it_can_have(tmp_path):
    done = run(judged(tmp_path), "-o", tmp_path / "page.html", "--keep", tmp_path / "kept")
    assert "Warning: whether" not in done.output
    parts = (tmp_path / "page.html").read_text().split('<details class="chapter"')[1:]
    assert len(parts) == 3
    for part in parts:
        is_quiz = ">quiz<" in part
        assert "Which items are bad?" in part
        assert ("who is ahead?" in part, "How far to trust it?" in part) == (is_quiz, is_quiz)
        assert ("make the page with score_models" in part) == (not is_quiz)
    kept = {each.name: {inner.name for inner in each.iterdir()} for each in (tmp_path / "kept/benchmarks").iterdir()}
    assert sorted(map(len, kept.values())) == [2, 2, 5], kept


def test_one_benchmark_of_scores_has_a_page_that_says_what_is_left_out(tmp_path):
    run(judged(tmp_path, ["summaries"]), "-o", tmp_path / "page.html", "--keep", tmp_path / "kept")
    text = (tmp_path / "page.html").read_text()
    assert "Which items are bad?" in text and text.count("make the page with score_models") == 1
    run(tmp_path / "kept", "-o", tmp_path / "again.html")
    assert "make the page with score_models" in (tmp_path / "again.html").read_text()


@pytest.mark.slow
def test_models_of_scores_are_fitted_on_request(tmp_path):
    run(judged(tmp_path, ["summaries"]), "-o", tmp_path / "page.html", "--score-models")
    text = (tmp_path / "page.html").read_text()
    assert "who is ahead?" in text and "m11" in text and "they are of right and wrong answers" in text
    assert "judged.csv --seed 0 --score-models" in text


def test_logs_with_several_metrics_say_what_is_to_be_chosen(tmp_path):
    (tmp_path / "org__m").mkdir()
    row = {"doc_id": 0, "filtered_resps": ["x"], "filter": "none", "acc": 1.0, "acc_norm": 0.0}
    row["metrics"] = ["acc", "acc_norm"]
    (tmp_path / "org__m" / "samples_toy_2026-01-01T00-00-00.000000.jsonl").write_text(json.dumps(row) + "\n")
    text = commands.printed("report", tmp_path, "-o", tmp_path / "page.html", code=2)
    assert "acc, acc_norm; choose one" in text and "--metric" in text
    assert "no results for a report" not in text and not (tmp_path / "page.html").exists()
