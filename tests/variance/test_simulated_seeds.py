import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from simulated_seeds import SeedSimulation, planted_components, simulate_seeds, simulate_shares

from irt_bench import write_table
from irt_bench.errors import ModelError
from irt_bench.variance.moments import item_covariance

DATA = Path(__file__).resolve().parents[2] / "irt_bench" / "examples"


def test_answers_have_the_components_that_were_planted():
    plan = SeedSimulation(n_runs=1, n_seeds=5, n_steps=1, n_items=30, n_subtasks=6, guessing=0.25, n_trials=2)
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=30)
    found = item_covariance(simulate_shares(plan, rng, difficulty, replicates=4000)[:, 0, :, 0])
    truth = planted_components(plan, difficulty)
    for values, expected in ((found.off_diagonal, truth.seed[0]), (found.residual, truth.residual[0])):
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(4000)


def test_a_size_out_of_range_is_an_error():
    with pytest.raises(ModelError, match="n_seeds is 0"):
        SeedSimulation(n_seeds=0)


def test_the_files_of_the_repository_are_made_again_byte_for_byte(tmp_path):
    manifest = json.loads((DATA / "manifest.json").read_text())
    for name, entry in manifest.items():
        if entry.get("maker") != "tests/simulated_seeds.py":
            continue
        table = simulate_seeds(SeedSimulation(**entry["plan"]), seed=entry["seed"], benchmark=entry["benchmark"])
        write_table(table, tmp_path / name)
        digest = hashlib.sha256((DATA / name).read_bytes()).hexdigest()
        assert digest == entry["sha256"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
