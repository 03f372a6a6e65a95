"""Time and memory of reading 20 million answers from one Parquet file: ``python tests/benchmarks/bench_read.py``.

The file is simulated: 2,000 models x 10,000 items, string labels, one row an answer. Reading happens in a process of
its own, so that its peak memory is only its own. Options: ``--models``, ``--items``, ``--csv``, ``--wide``.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

MIB = 2**20


def simulate(path: Path, n_models: int, n_items: int, *, wide: bool) -> None:
    """Write random answers; models in blocks of rows, items shuffled within each."""
    rng = np.random.default_rng(20)
    correct = (rng.random((n_models, n_items)) < 0.6).astype(np.int8)
    models = pa.array([f"organisation/model-{m:05d}" for m in range(n_models)])
    items = pa.array([f"benchmark/item-{i:06d}" for i in range(n_items)])
    if wide:
        columns = {"model": models, **{str(items[i]): correct[:, i] for i in range(n_items)}}
        write(pa.table(columns), path)
        return
    order = np.concatenate([rng.permutation(n_items) for _ in range(n_models)]).astype(np.int32)
    model = pa.DictionaryArray.from_arrays(np.repeat(np.arange(n_models, dtype=np.int32), n_items), models)
    item = pa.DictionaryArray.from_arrays(order, items)
    value = np.take_along_axis(correct, order.reshape(n_models, n_items), axis=1).ravel()
    write(pa.table({"model": model.cast(pa.string()), "item": item.cast(pa.string()), "correct": value}), path)


def write(table: pa.Table, path: Path) -> None:
    if path.suffix == ".csv":
        pacsv.write_csv(table, path)
    else:
        pq.write_table(table, path, compression="zstd")


def peak_mib() -> float:
    """Peak resident memory of this process (getrusage would count its parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def measure(path: Path) -> None:
    """Read the file and print what it took."""
    from irt_bench import read_responses

    before = peak_mib()
    start, start_cpu = time.perf_counter(), time.process_time()
    table = read_responses([path])
    read_seconds, read_peak = time.perf_counter() - start, peak_mib()
    counts = table.counts()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    dense = (counts.correct.nbytes + counts.trials.nbytes) / MIB
    size, right = path.stat().st_size / MIB, int(counts.correct.sum())
    print(f"{size:,.0f} MiB file, {len(table.answers):,} answers, {right:,} right")
    print(f"read {read_seconds:.2f} s, counts {seconds - read_seconds:.2f} s, together {seconds:.2f} s")
    print(f"{cpu_seconds:.2f} s of processor time")
    print(f"peak memory {before:.0f} MiB, +{read_peak - before:.0f} after reading, +{peak_mib() - before:.0f} in all")
    print(f"the dense matrices themselves are {dense:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=2_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--csv", action="store_true")
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answers.csv" if options.csv else "answers.parquet")
        simulate(path, options.models, options.items, wide=options.wide)
        for _ in range(3):
            subprocess.run([sys.executable, __file__, "--measure", str(path)], check=True)


if __name__ == "__main__":
    main()
