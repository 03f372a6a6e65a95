"""Cost of a fit against the number of responses: ``python tests/benchmarks/scaling.py -o FOLDER``.

Wide matrices of 400 models and more and more items, 1e4 to 1e8 responses (beyond 2e7 with 5,000 models), and tall ones
of 50 items and up to 500,000 models, each fitted in a process of its own, intervals included; fastest of the repeats.
Prints seconds and memory, and the exponent e of ``processor seconds ~ responses^e`` over all sizes from 1e6 responses,
below which fixed costs rule (processor seconds: wall time on a shared machine measures the neighbours). Writes
scaling.csv and scaling.png.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from matrices import counts_of, simulate

FIXED_COSTS_UP_TO = 1e6  # responses
DIRECTIONS = {"wide": "C0", "tall": "C2"}  # and their colours
MOST_TALL = 2.5e7  # responses of the largest tall matrix, whose draws of abilities take 2 GB


def shape_of(n_cells: float, direction: str) -> tuple[int, int]:
    """Models and items of a matrix of about so many responses."""
    if direction == "tall":
        return round(n_cells / 50), 50
    n_models = 100 if n_cells < 1e5 else 400 if n_cells <= 2e7 else 5_000
    return n_models, round(n_cells / n_models)


def measure(n_models: int, n_items: int, method: str, repeats: int) -> dict[str, float]:
    """Fit in this process: seconds, peak memory and what it was before the fit."""
    sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
    from common import cpu_seconds, peak_mb

    from irt_bench import TwoPL, fit
    from irt_bench.inference.settings import settings_for

    fit(counts_of(simulate(30, 20, seed=0).responses), TwoPL(), settings_for(method))  # compiled code is loaded
    counts = counts_of(simulate(n_models, n_items, seed=1).responses)
    before, best, cpu = peak_mb(), np.inf, np.inf
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), cpu_seconds()
        fit(counts, TwoPL(), settings_for(method))
        best, cpu = min(best, time.perf_counter() - start), min(cpu, cpu_seconds() - start_cpu)
    return {"seconds": best, "cpu_seconds": cpu, "peak_mb": peak_mb(), "before_mb": before}


def exponent(responses: np.ndarray, seconds: np.ndarray) -> float:
    """Slope of log seconds on log responses."""
    return float(np.polyfit(np.log(responses), np.log(seconds), 1)[0])


def exponents(rows: pd.DataFrame) -> dict[str, float]:
    """Exponent of each direction with two sizes or more from a million responses."""
    large = rows[rows["responses"] >= FIXED_COSTS_UP_TO]
    return {
        str(direction): exponent(part["responses"].to_numpy(), part["cpu_seconds"].to_numpy())
        for direction, part in large.groupby("direction")
        if len(part) > 1
    }


def figure(rows: pd.DataFrame, path: Path) -> None:
    """Seconds and memory against responses, both logarithmic."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")[1]
    found = exponents(rows)
    for direction, part in rows.groupby("direction", sort=False):
        large = part[part["responses"] >= FIXED_COSTS_UP_TO]
        if len(large) > 1:
            line = large["cpu_seconds"].iloc[0] * large["responses"] / large["responses"].iloc[0]
            axes[0].plot(large["responses"], line, ls="--", color="0.6", zorder=0)
        label = f"{direction}: responses$^{{{found[direction]:.2f}}}$" if direction in found else direction
        for axis, column in zip(axes, ("cpu_seconds", "peak_mb"), strict=True):
            axis.plot(part["responses"], part[column], "o-", color=DIRECTIONS[direction], label=label)
    for axis, label in zip(axes, ("fit with intervals, processor seconds", "peak memory, MB"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="responses", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_title("time; exponents from a million responses, dashed: linear")
    axes[0].legend()
    axes[1].set_title("memory of the process")
    plt.gcf().savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("scaling"))
    parser.add_argument("--largest", type=float, default=1e8, help="responses")
    parser.add_argument("--a-decade", type=int, default=2, help="sizes a decade")
    parser.add_argument("--method", default="laplace")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--limit", type=float, default=600, help="seconds per size")
    parser.add_argument("--measure", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure, options.method, options.repeats)))
        return
    options.output.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, float | str]] = []
    for direction in DIRECTIONS:
        largest = min(options.largest, MOST_TALL if direction == "tall" else np.inf)
        for power in np.append(np.arange(4, np.log10(largest) - 0.1, 1 / options.a_decade), np.log10(largest)):
            n_models, n_items = shape_of(10**power, direction)
            arguments = ["--measure", str(n_models), str(n_items), "--method", options.method]
            command = [sys.executable, __file__, *arguments, "--repeats", str(options.repeats)]
            try:
                done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=options.limit)
            except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
                print(f"{n_models:,} x {n_items:,}: {type(error).__name__}")
                break
            shape = {"direction": direction, "responses": n_models * n_items, "models": n_models, "items": n_items}
            rows.append(shape | json.loads(done.stdout) | {"load_average": os.getloadavg()[0]})
            print({name: value if isinstance(value, str) else round(value, 3) for name, value in rows[-1].items()})
            sys.stdout.flush()
    frame = pd.DataFrame(rows)
    frame.to_csv(options.output / "scaling.csv", index=False)
    figure(frame, options.output / "scaling.png")
    for direction, power in exponents(frame).items():
        print(f"{direction}: processor seconds ~ responses^{power:.2f} from {FIXED_COSTS_UP_TO:,.0f} responses")


if __name__ == "__main__":
    main()
