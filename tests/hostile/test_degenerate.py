"""Degenerate responses: each command does what is stated here, an answer with its warnings or a refusal in one line."""

import json
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

FIT_NEEDS_TWO = "has 1 models with answers; an IRT model needs 2 or more"
ONE_CLUSTER = "all 10 models belong to one cluster"
NO_SEED = "no model has a seed"
FEW_RESULTS = "each of 1 runs has one seed"


def answered(n_models: int, n_items: int, seed: int = 0) -> np.ndarray:
    """Answers of a Rasch model."""
    rng = np.random.default_rng(seed)
    ability, difficulty = rng.normal(size=(n_models, 1)), rng.normal(size=n_items)
    return (rng.random((n_models, n_items)) < 1 / (1 + np.exp(difficulty - ability))).astype(float)


def long(matrix: np.ndarray, **columns: object) -> pd.DataFrame:
    """Long table of a matrix, NaN for cells not asked; every model is of a family of its own."""
    model, item = np.nonzero(~np.isnan(matrix))
    frame = pd.DataFrame({"model": [f"org{m}/model" for m in model], "item": [f"q{i}" for i in item]})
    return frame.assign(correct=matrix[model, item].astype(int), **columns)


def sparse(share: float) -> np.ndarray:
    matrix = answered(60, 200)
    matrix[np.random.default_rng(1).random(matrix.shape) < share] = np.nan
    return matrix


def in_blocks() -> np.ndarray:
    matrix = np.full((20, 30), np.nan)
    matrix[:10, :15], matrix[10:, 15:] = answered(10, 15), answered(10, 15, seed=1)
    return matrix


def runs(seeds: int, steps: int) -> pd.DataFrame:
    return pd.concat(
        [
            long(answered(1, 30, seed=10 * seed + step), seed=seed, step=100 * (step + 1))
            for seed in range(seeds)
            for step in range(steps)
        ]
    )


def constant_items() -> np.ndarray:
    matrix = answered(15, 12)
    matrix[:, 0], matrix[:, 1] = 1, 0
    return matrix


# What each command does: "" for an answer without a warning of this package, text for one with it, text in [] for a
# refusal with exit code 2.
Stated = dict[str, str]
EXACT = "Checks: 4 passed, 0 failed"  # sweeps carry the draws on to what prior and answers say
OF_ONE_MODEL = {
    "items": "20 of 20 items have no correlation",
    "fit": f"[{FIT_NEEDS_TWO}]",
    "variance": f"[{NO_SEED}]",
}
CASES: dict[str, tuple[Callable[[], pd.DataFrame], Stated]] = {
    "one model": (lambda: long(answered(1, 20)), {**OF_ONE_MODEL, "subset": "[there is 1 model; 3 or more]"}),
    "one item": (
        lambda: long(answered(20, 1)),
        {"items": "alpha of 20 models x 1 items is undefined", "fit": EXACT, "compare": "",
         "subset": "[size 3 was asked for, of 1 items]"},
    ),
    "one cell": (
        lambda: long(np.ones((1, 1))),
        {"items": "1 of 1 items have no correlation", "fit": f"[{FIT_NEEDS_TWO}]", "variance": f"[{NO_SEED}]"},
    ),
    "two models": (
        lambda: long(answered(2, 10)),
        {"items": "transfer is undefined", "fit": "use --method nuts", "compare": "[at least 3 models]"},
    ),
    "all right": (
        lambda: long(np.ones((10, 12))),
        {"items": "12 of 12 items have no correlation", "fit": EXACT,
         "compare": "all models have the same accuracy", "subset": f"[{ONE_CLUSTER}]"},
    ),
    "all wrong": (
        lambda: long(np.zeros((10, 12))),
        {"items": "12 of 12 items have no correlation", "fit": EXACT,
         "compare": "all models have the same accuracy"},
    ),
    "constant items": (
        lambda: long(constant_items()),
        {"items": "2 of 12 items have no correlation", "fit": "", "compare": "", "subset": ""},
    ),
    "duplicated models": (
        lambda: long(np.repeat(answered(5, 20), 4, axis=0)),
        {"items": "have no correlation", "fit": "", "compare": "", "subset": ""},
    ),
    "identical models": (
        lambda: long(np.repeat(answered(1, 20), 10, axis=0)),
        {"items": "20 of 20 items have no correlation", "fit": "", "compare": "all models have the same accuracy",
         "subset": f"[{ONE_CLUSTER}]"},
    ),
    "perfectly separated": (
        lambda: long(np.tril(np.ones((15, 14)))),
        {"items": "", "fit": EXACT, "compare": "", "subset": ""},
    ),
    "disconnected blocks": (
        lambda: long(in_blocks()),
        {"items": "", "fit": "2 blocks of models and items share no answer with each other", "compare": ""},
    ),
    "one seed": (lambda: runs(1, 2), {"variance": f"[{FEW_RESULTS}]"}),
    "one seed, one step": (lambda: runs(1, 1), {"variance": f"[{FEW_RESULTS}]"}),
    "one step": (lambda: runs(5, 1), {"variance": "", "fit": ""}),
    "identical steps": (
        lambda: pd.concat([runs(5, 1), runs(5, 1).assign(step=200)]),
        {"variance": "", "fit": "", "items": ""},
    ),
    "identical seeds": (lambda: pd.concat([runs(1, 3).assign(seed=seed) for seed in range(4)]), {"variance": ""}),
}  # fmt: skip


def arguments(command: str, path: object, folder: object) -> list[object]:
    if command == "compare":
        return ["compare", path, "--fit", folder / "fit-out", "-o", folder / "compare-out"]
    if command == "subset":
        return ["subset", path, "--size", 3, "-o", folder / "subset.json"]
    return [command, path, "-o", folder / ("items.csv" if command == "items" else f"{command}-out")]


FAST = ("one model", "one cell", "two models", "disconnected blocks", "one seed", "one step")


@pytest.mark.parametrize(
    "case", [case if case in FAST else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_each_command_does_what_is_stated(run, refused, tmp_path, case):
    make, stated = CASES[case]
    path = tmp_path / "a.parquet"
    make().to_parquet(path)
    for command, message in stated.items():
        given = arguments(command, path, tmp_path)
        if message.startswith("["):
            assert message[1:-1] in refused(*given, within=tmp_path)
        else:
            assert message in run(*given).output


def test_estimates_from_degenerate_responses_are_ordered_and_finite(run, tmp_path):
    """The prior keeps abilities of the all-right and all-wrong finite, and more right answers are never less able."""
    matrix = np.tril(np.ones((15, 14)))
    long(matrix).to_parquet(tmp_path / "a.parquet")
    run("fit", tmp_path / "a.parquet", "-o", tmp_path / "fit")
    ability = pd.read_csv(tmp_path / "fit" / "abilities.csv", index_col="model")["ability"]
    ability = ability[[f"org{m}/model" for m in range(15)]]
    assert np.isfinite(ability).all() and (np.diff(ability) > -0.1).all()  # the last two have the same answers


@pytest.mark.slow
def test_identical_steps_are_told_and_have_no_signal(run, tmp_path):
    path = tmp_path / "a.parquet"
    pd.concat([runs(5, 1), runs(5, 1).assign(step=200)]).to_parquet(path)
    run("variance", path, "-o", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert "NaN" not in json.dumps(told)
    found = json.loads(run("read", path, "-o", tmp_path / "b.parquet", "--json").stdout)["findings"]
    assert "duplicate_models" in {finding["name"] for finding in found}


def test_blocks_without_a_common_scale_are_told_wherever_responses_are_read(run, tmp_path):
    path = tmp_path / "a.parquet"
    long(in_blocks()).to_parquet(path)
    told = json.loads(run("read", path, "-o", tmp_path / "b.parquet", "--json").stdout)["findings"]
    (blocks,) = [finding for finding in told if finding["name"] == "disconnected_blocks"]
    assert blocks["count"] == 2 and "10 models x 15 items (first model org0/model, first item q0)" in blocks["message"]
    one_bridge = in_blocks()
    one_bridge[0, 29] = 1
    long(one_bridge).to_parquet(path)
    told = json.loads(run("read", path, "-o", tmp_path / "c.parquet", "--json").stdout)["findings"]
    assert "disconnected_blocks" not in {finding["name"] for finding in told}


@pytest.mark.slow
@pytest.mark.parametrize(("n_models", "n_items", "seconds"), [(12, 41_871, 400), (20_000, 5, 200)])
def test_very_wide_and_very_tall_matrices_go_all_the_way(run, tmp_path, n_models, n_items, seconds):
    path = tmp_path / "a.parquet"
    long(answered(n_models, n_items)).to_parquet(path)
    start = time.process_time()
    run("items", path, "-o", tmp_path / "items.csv")
    run("fit", path, "-o", tmp_path / "fit")
    run("score", path, "--fit", tmp_path / "fit", "-o", tmp_path / "scores.csv")
    if n_models < 1000:
        run("subset", path, "--size", 100, "-o", tmp_path / "subset.json")
    assert time.process_time() - start < seconds
    assert np.isfinite(pd.read_csv(tmp_path / "fit" / "abilities.csv")["ability"]).all()
    assert len(pd.read_csv(tmp_path / "items.csv")) == n_items


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.9, 0.97])
def test_matrices_with_most_cells_missing_are_fitted_and_told(run, tmp_path, share):
    path = tmp_path / "a.parquet"
    long(sparse(share)).to_parquet(path)
    run("items", path, "-o", tmp_path / "items.csv")
    run("fit", path, "-o", tmp_path / "fit")
    items = pd.read_csv(tmp_path / "fit" / "items.csv")
    assert np.isfinite(items["difficulty"]).all() and (items["difficulty_sd"] > 0).all()


@pytest.mark.slow
def test_a_large_matrix_of_which_one_cell_in_a_hundred_was_asked_is_recovered(run, tmp_path):
    """2,000 x 5,000 with 1% answered: 50 answers per model, 20 per item; difficulties are ordered as planted."""
    rng = np.random.default_rng(3)
    ability, difficulty = rng.normal(size=2_000), rng.normal(size=5_000)
    model, item = np.divmod(rng.choice(10_000_000, 100_000, replace=False), 5_000)
    right = rng.random(100_000) < 1 / (1 + np.exp(difficulty[item] - ability[model]))
    path = tmp_path / "a.parquet"
    pd.DataFrame({"model": model, "item": item, "correct": right.astype(int)}).astype(
        {"model": str, "item": str}
    ).to_parquet(path)
    start = time.process_time()
    run("items", path, "-o", tmp_path / "items.csv")
    run("fit", path, "-o", tmp_path / "fit")
    run("score", path, "--fit", tmp_path / "fit", "-o", tmp_path / "scores.csv")
    assert time.process_time() - start < 120
    for name, planted, least in (("abilities", ability, 0.9), ("items", difficulty, 0.8)):
        found = pd.read_csv(tmp_path / "fit" / f"{name}.csv", index_col=0)
        truth = pd.Series(planted)[found.index.astype(int)].to_numpy()
        estimate = found["ability" if name == "abilities" else "difficulty"]
        assert np.isfinite(estimate).all()
        assert np.corrcoef(estimate, truth)[0, 1] > least
        assert abs(np.corrcoef(estimate, rng.permutation(truth))[0, 1]) < 0.1


def test_two_answers_a_model_are_too_few_for_the_fast_method_which_says_so(run, tmp_path):
    path = tmp_path / "a.parquet"
    long(sparse(0.99)).to_parquet(path)
    run("fit", path, "-o", tmp_path / "fit")
    checks = json.loads((tmp_path / "fit" / "summary.json").read_text())["checks"]
    assert any(check["status"] == "failed" and "method='nuts'" in check["message"] for check in checks)
