"""--figure of every command that has a result with a plot: written, sized, titled, refused before the work."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import printed

CASES = {  # command, options, and the figures it draws
    "items": ("items {r}", ["items"]),
    "scores": ("scores {r}", ["scores"]),
    "fit": ("fit {r} -o {t}/fit --force", ["fit", "information", "wright"]),
    "check": ("check {r} --fit {f} --replicates 9", ["checks"]),
    "compare": ("compare {r} --fit {f}", ["comparison", "ranks"]),
    "subset": ("subset {r} --size 8 -o {t}/subset.json --force", ["items"]),
    "calibrations": ("subset {r} --size 8 --calibration-models 4,8 -o {t}/errors.csv --force", ["calibrations"]),
    "score": ("score {r} --fit {f}", ["scores"]),
    "estimates": ("score {r} --subset {u}", ["estimates"]),
    "adaptive": ("adaptive {u} --fit {f} --max-items 6 --n-models 20", ["adaptive"]),
    "variance": ("variance {s} --detect 0.05", ["steps", "curve", "needed"]),
    "recipes": ("variance {s} --recipes old new", ["recipes"]),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    rng = np.random.default_rng(4)
    right = rng.random((24, 20)) < 1 / (1 + np.exp(-rng.normal(size=(24, 1)) + rng.normal(size=20)))
    wide = pd.DataFrame(right.astype(int), index=[f"m{k}" for k in range(24)], columns=[f"q{k}" for k in range(20)])
    wide.rename_axis("model").to_csv(folder / "wide.csv")
    rows = [
        {"model": f"{run}-{seed}-{step}", "run": run, "seed": seed, "step": step, "item": f"q{i}",
         "correct": int(rng.random() < 0.4 + 0.1 * step + 0.1 * (run == "new"))}
        for run in ("old", "new") for seed in range(3) for step in (1, 2) for i in range(20)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "seeds.csv", index=False)
    printed("fit", folder / "wide.csv", "-o", folder / "fit")
    printed("subset", folder / "wide.csv", "--size", "8", "-o", folder / "subset.json")
    return {"r": folder / "wide.csv", "s": folder / "seeds.csv", "f": folder / "fit", "u": folder / "subset.json"}


def size_and_text(path: Path) -> tuple[list[float], str]:
    """Size in inches, and the text that is drawn as comments of the letters' paths."""
    text = path.read_text()
    points = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"|height="([\d.]+)pt"[^>]*width="([\d.]+)pt"', text)
    values = [float(each) / 72 for each in points.groups() if each]
    return values, " ".join(re.findall(r"<!-- (.*?) -->", text))


@pytest.mark.parametrize("case", CASES)
def test_each_command_writes_its_figures_in_the_size_and_with_the_title_asked_for(case, made, tmp_path):
    command, kinds = CASES[case]
    words = command.format(**made, t=tmp_path).split()
    for place, kind in enumerate(kinds):
        path = tmp_path / f"{kind}.svg"
        look = ["--figure-size", "7,5", "--figure-title", "My own title"] if place == 0 else []
        printed(*words, "--figure", path, "--figure-kind", kind, *look)
        size, text = size_and_text(path)
        if look:
            assert sorted(size) == pytest.approx([5, 7]) and "My own title" in text
        else:
            assert max(size) > 7.9 and "My own title" not in text
    printed(*words, "--figure", tmp_path / "plain.pdf")
    assert (tmp_path / "plain.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("case", [*CASES, "compared", "study"])
def test_what_cannot_be_drawn_is_refused_before_the_work(case, made, tmp_path):
    """The responses do not exist: a refusal that names the figure came before any reading."""
    others = {"compared": "subset {r} --compare -o {t}/x", "study": "study {r} -o {t}/x"}
    command = others.get(case) or CASES[case][0]
    words = command.format(
        r=tmp_path / "none.csv", s=tmp_path / "none.csv", f=tmp_path / "nofit", t=tmp_path, u=tmp_path / "none.json"
    ).split()
    (tmp_path / "there.png").write_text("mine")
    refusals = [
        (["--figure", tmp_path / "a.gif"], "figure format '.gif'"),
        (["--figure", tmp_path / "there.png" / "a.png"], "there.png"),
        (["--figure", tmp_path / "a.png", "--figure-kind", "nonsense"], "figure 'nonsense'"),
        (["--figure", tmp_path / "a.png", "--figure-size", "8"], "--figure-size is '8'"),
        (["--figure", tmp_path / "a.png", "--figure-size", "8,90"], "90"),
        (["--figure-title", "x"], "--figure-title belongs to --figure"),
    ]
    if case != "study":  # which continues in what it wrote
        refusals += [(["--figure", tmp_path / "there.png"], "there.png"), ]  # fmt: skip
    for more, message in refusals:
        done = printed(*(word for word in words if word != "--force"), *more, code=2)
        assert message in done and "Traceback" not in done, done
    assert not list(tmp_path.glob("a.*")) and (tmp_path / "there.png").read_text() == "mine"


def test_comparisons_of_one_row_have_no_figure(made, tmp_path):
    done = printed("variance", made["s"], "--models", "old-0-1", "old-1-1", "--figure", tmp_path / "a.png", code=2)
    assert "--models and --compare give one row" in done


def test_commands_share_one_group_of_figure_options():
    options = set(re.findall(r"--figure[\w-]*", printed("items", "--help")))
    assert len(options) > 1
    for command in ("items", "scores", "fit", "check", "compare", "subset", "variance", "study", "score", "adaptive"):
        assert options <= set(re.findall(r"--figure[\w-]*", printed(command, "--help"))), command
