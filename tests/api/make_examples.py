"""Make ``irt_bench/examples/benchmark.parquet`` again: python tests/api/make_examples.py FOLDER."""

import sys
from pathlib import Path

import pandas as pd

from irt_bench import ResponseTable, table_from_frame, write_table
from irt_bench.irt_models.simulate import simulate_benchmark


def make_benchmark(plan: dict[str, int], seed: int) -> ResponseTable:
    """Simulate a benchmark, and keep the models without training run and the items that tell models apart."""
    simulation = simulate_benchmark(seed=seed, **plan)
    frame = simulation.table.to_frame()
    planted = simulation.truth["planted"].to_series()
    constant = planted.index[planted.isin(["never_solved", "always_solved"])]
    model, item = (frame[name].astype(str) for name in ("model", "item"))
    kept = model.str.startswith("other") & ~item.isin(constant)
    number = pd.factorize(item[kept], sort=True)[0] + 1
    new = {
        "model": model[kept].str.replace("other", "model"),
        "item": [f"item-{each:03d}" for each in number],
        **{name: frame.loc[kept, name] for name in ("correct", "size", "subtask")},
    }
    return table_from_frame(pd.DataFrame(new), roles={"size": "model", "subtask": "item"})


if __name__ == "__main__":
    plan = {"n_items": 102, "n_other_models": 120, "n_mis_keyed": 2}
    write_table(make_benchmark(plan, seed=1), Path(sys.argv[1]) / "benchmark.parquet")
