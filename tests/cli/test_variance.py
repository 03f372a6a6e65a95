import json
from functools import partial
from pathlib import Path

import commands
import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from irt_bench import SVISettings

DATA = Path(__file__).resolve().parents[2] / "irt_bench" / "examples"
SEEDS, CLOZE = DATA / "seeds.parquet", DATA / "quiet_seeds.parquet"


run = partial(commands.run, "variance")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variance") / "out"
    run(SEEDS, "-o", folder, "--seed", 3)
    return folder


def test_variance_writes_the_documented_files_and_columns(written):
    metrics = pd.read_csv(written / "metrics.csv")
    documented = "benchmark subtask run measure n_items n_seeds n_steps mean seed_sd seed_sd_q05 seed_sd_q95 \
        ci95_analytic ci95_bootstrap binomial_sd monotonicity snr"
    assert set(documented.split()) <= set(metrics)
    assert metrics["subtask"].isna().sum() == 2
    components = pd.read_csv(written / "components.csv")
    assert {"benchmark", "run", "step", "component", "estimate", "q05", "q95"} <= set(components)
    columns = list(pd.read_csv(written / "curve.csv"))
    expected = "benchmark run k predicted_sd simulated_sd simulated_q05 simulated_q95"
    assert columns[:7] == expected.split()
    assert json.loads((written / "summary.json").read_text())["seed"] == 3
    assert len(list(written.glob("*.png"))) == 2


def test_the_same_seed_gives_the_same_bytes(written, tmp_path):
    run(SEEDS, "-o", tmp_path / "again", "--seed", 3)
    for file in written.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_two_framings_are_compared_on_the_same_seeds():
    found = json.loads(run(CLOZE, SEEDS, "--compare", "--json").stdout)
    assert found["verdict"] == "lower" and found["ratio_q95"] < 1 and found["n_matched"] == 200


def test_two_models_are_compared_item_by_item():
    table = pd.read_parquet(SEEDS)
    a, b = table["model"].astype(str).unique()[:2]
    found = json.loads(run(SEEDS, "--models", a, b, "--json").stdout)
    assert found["n_items"] == 200 and found["n_groups"] == 20 and found["se_cluster"] is None
    assert found["p_with_seeds"] > found["p"] and "from the seeds of run" in found["note"]
    clustered = json.loads(run(SEEDS, "--models", a, b, "--item-clusters", "subtask", "--json").stdout)
    assert clustered["n_groups"] == 20 and clustered["se_strata"] is None
    assert "--item-clusters belongs to --models" in run(SEEDS, "--item-clusters", "subtask", code=2).output


def test_comparisons_are_tables_for_people(tmp_path):
    shown = run(CLOZE, SEEDS, "--compare", "-o", tmp_path / "out").stdout
    assert "no difference" in shown or "lower" in shown
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["verdict"] == "lower"
    table = pd.read_parquet(SEEDS)
    shown = run(SEEDS, "--models", *table["model"].astype(str).unique()[:2]).stdout
    assert "sign p" in shown and "Note: q05, q95" in shown


def test_a_difference_to_be_shown_and_its_power_are_taken(tmp_path):
    run(SEEDS, "--detect", 0.02, "--power", 0.9, "-o", tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "detectable.csv")
    assert (table["difference"] == 0.02).all() and (table["power"] == 0.9).all()
    assert "--power is 1.5" in run(SEEDS, "--power", 1.5, code=2).output


def test_curves_of_stratified_and_nested_subsets_are_in_the_file(written):
    curve = pd.read_csv(written / "curve.csv")
    assert set(curve["form"]) == {"random", "stratified", "nested"}
    assert "column of the items" in run(SEEDS, "--group", "nowhere", code=2).output


def test_normalised_choice_probabilities_come_from_the_file(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(seed, item) for seed in (1, 2, 3) for item in range(30)]
    frame = pd.DataFrame(rows, columns=["seed", "item"]).assign(model=lambda d: "m" + d["seed"].astype(str))
    logprobs, lengths = rng.normal(size=(90, 2)) - 3, rng.integers(2, 9, size=(90, 2))
    frame["gold"], frame["correct"] = 0, (logprobs[:, 0] > logprobs[:, 1]).astype(int)
    for name, values in (("choice_logprobs", logprobs), ("choice_chars", lengths), ("choice_bytes", lengths + 1)):
        frame[name] = values.tolist()
    frame.to_parquet(tmp_path / "a.parquet")
    run(tmp_path / "a.parquet", "-o", tmp_path / "out")
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv").set_index("measure")["mean"]
    for measure, length in (("gold_probability_per_char", lengths), ("gold_probability_per_byte", lengths + 1)):
        assert np.isclose(metrics[measure], softmax(logprobs / length, axis=1)[:, 0].mean())
    p = softmax(logprobs, axis=1)[:, 0]
    expected = {"loglikelihood": logprobs[:, 0], "margin": logprobs[:, 0] - logprobs[:, 1], "brier": 2 * (1 - p) ** 2}
    for measure, values in expected.items():
        assert np.isclose(metrics[measure], values.mean())
    assert len(pd.read_csv(tmp_path / "out" / "measures.csv")) == 6


@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
def test_the_seed_model_is_fitted_and_written(tmp_path, monkeypatch):
    quick = SVISettings(seed=1, max_steps=500, draws=100)
    monkeypatch.setattr("irt_bench.variance.seed_effect.seed_model_settings", lambda method, seed: quick)
    monkeypatch.setattr("irt_bench.variance.seed_effect.N_ITEM_DRAWS", 2)
    run(SEEDS, "--seed-model", "svi", "-o", tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "seed_model.csv")
    assert list(table) == ["benchmark", "items", "run", "quantity", "estimate", "q05", "q95"]
    assert {"seed_sd_ability", "step_sd_ability", "seed_sd", "score_sd_seen"} <= set(table["quantity"])
    fits = json.loads((tmp_path / "out" / "summary.json").read_text())["seed_model"]["fits"]
    assert fits["planted"]["method"] == "svi"
    assert {"answers", "equal_spread", "score_sd"} <= {check["name"] for check in fits["planted"]["checks"]}


def test_bad_input_is_one_clear_line(written, tmp_path):
    assert "needs two paths" in run(SEEDS, "--compare", code=2).output
    assert "exists" in run("no-such-file", "-o", written, code=2).output
    assert "--seed-model is 'mcmc'" in run(SEEDS, "--seed-model", "mcmc", code=2).output
    assert "belong to --seed-model" in run(SEEDS, "--subset", "s.json", code=2).output
    (tmp_path / "a.csv").write_text("model,item,correct\na,i,1\nb,i,0\n")
    assert "column 'seed'" in run(tmp_path / "a.csv", code=2).output
