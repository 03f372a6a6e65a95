"""A leaderboard's table read, item-analysed and fitted within 8 GiB: ``python tests/benchmarks/leaderboard.py``.

The table is simulated: 5,000 models x 28,000 items, string labels, one row an answer, 140 million rows in one Parquet
file, written a few models at a time. Each command then is a process of its own; printed are its wall and processor
seconds and its peak memory. Options: ``--models``, ``--items``, ``--limit`` (GiB; above it the script fails).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import expit

GIB = 2**30
MODELS_AT_ONCE = 50


def simulate(path: Path, n_models: int, n_items: int) -> None:
    """Write answers that follow a 2PL; the items of every model in an order of their own."""
    rng = np.random.default_rng(28)
    difficulty, slope = rng.normal(size=n_items), np.exp(0.4 * rng.normal(size=n_items))
    items = pa.array([f"task-{i % 6}/item-{i:06d}" for i in range(n_items)])
    schema = pa.schema([("model", pa.string()), ("item", pa.string()), ("correct", pa.int8())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, n_models, MODELS_AT_ONCE):
            n = min(MODELS_AT_ONCE, n_models - start)
            chance = expit(slope * (rng.normal(size=(n, 1)) - difficulty))
            right = (rng.random((n, n_items)) < chance).astype(np.int8)
            order = np.stack([rng.permutation(n_items) for _ in range(n)]).astype(np.int32)
            labels = pa.array([f"organisation/model-{start + m:05d}" for m in range(n)])
            model = pa.DictionaryArray.from_arrays(np.repeat(np.arange(n, dtype=np.int32), n_items), labels)
            item = pa.DictionaryArray.from_arrays(order.ravel(), items)
            value = np.take_along_axis(right, order, axis=1).ravel()
            columns = [model.cast(pa.string()), item.cast(pa.string()), pa.array(value)]
            writer.write_table(pa.table(columns, schema=schema))


def run(*arguments: str) -> float:
    """Run one command, print what it took, and return its peak memory in GiB."""
    start = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    seconds, peak = time.perf_counter() - start, usage.ru_maxrss * 1024 / GIB
    print(
        f"{arguments[1]}: {seconds:.0f} s, {usage.ru_utime + usage.ru_stime:.0f} s of processor, {peak:.2f} GiB",
        flush=True,
    )
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=5_000)
    parser.add_argument("--items", type=int, default=28_000)
    parser.add_argument("--limit", type=float, default=8.0)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        simulate(options.write, options.models, options.items)
        return
    program = str(Path(sys.executable).with_name("irt-bench"))
    with tempfile.TemporaryDirectory() as folder:
        path, place = str(Path(folder, "answers.parquet")), Path(folder)
        size = ("--models", str(options.models), "--items", str(options.items))
        subprocess.run([sys.executable, __file__, *size, "--write", path], check=True)
        print(f"{options.models * options.items:,} answers, {Path(path).stat().st_size / GIB:.2f} GiB", flush=True)
        peaks = [
            run(program, "read", path, "-o", str(place / "read.parquet")),
            run(program, "items", path, "-o", str(place / "items.csv")),
            run(program, "fit", path, "-o", str(place / "fit")),
        ]
    if max(peaks) > options.limit:
        raise SystemExit(f"{max(peaks):.2f} GiB are more than {options.limit:g}")


if __name__ == "__main__":
    main()
