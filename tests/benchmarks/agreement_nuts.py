"""Agreement of the fast method with NUTS and with mirt on real matrices: ``python tests/benchmarks/agreement_nuts.py``.

For each matrix: mean and largest difference of posterior means in NUTS's posterior sds (discriminations as
logarithms), ratio of sds, and the sd and error of NUTS itself (Monte Carlo error of a mean in posterior sds). ``--most
N`` keeps N models, drawn at random, where NUTS would take too long. ``--mirt`` compares the fast method's item
parameters on all 5,041 models of metabench gsm8k with mirt's, which lie beside the matrix: Spearman's rank correlation,
and Pearson's after putting both on one scale. NUTS's draws can be kept with ``--keep FOLDER``.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy import PARAMETERS, slope
from matrices import REAL, SHARED, counts_of, read_real
from scipy.stats import spearmanr

from irt_bench import NUTSSettings, TwoPL, fit, read_responses
from irt_bench.inference.fit import FitResult
from irt_bench.inference.settings import settings_for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("matrices", nargs="*", default=["mbpp", "humaneval"], help=f"of {', '.join(REAL)}")
    parser.add_argument("--most", type=int, default=1_000, help="models")
    parser.add_argument("--items", type=int, default=2_000, help="most items")
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--method", default="laplace")
    parser.add_argument("--mirt", action="store_true")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, load average {os.getloadavg()[0]:.1f}")
    if options.mirt:
        print(against_mirt(options.method), flush=True)
    for name in options.matrices:
        print(against_nuts(name, options), flush=True)


def against_nuts(name: str, options: argparse.Namespace) -> str:
    """Fit a real matrix both ways and compare the posteriors."""
    rng = np.random.default_rng(0)
    responses = read_real(name).responses
    rows, columns = (
        np.sort(rng.permutation(size)[:most])
        for size, most in zip(responses.shape, (options.most, options.items), strict=True)
    )
    counts = counts_of(responses[np.ix_(rows, columns)])
    start = time.perf_counter()
    ours = fit(counts, TwoPL(), settings_for(options.method, seed=0))
    ours_seconds, start = time.perf_counter() - start, time.perf_counter()
    settings = NUTSSettings(seed=1, chains=options.chains, warmup=options.warmup, draws=options.draws)
    nuts = fit(counts, TwoPL(), settings)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        nuts.save(options.keep / f"{name}.nc")
    checks = "; ".join(f"{check.name} {check.value:.3g}" for check in nuts.checks if check.value is not None)
    heading = (
        f"{name}: {counts.n_models} models x {counts.n_items} items, {options.method} {ours_seconds:.2f} s, "
        f"NUTS {time.perf_counter() - start:.0f} s ({checks})"
    )
    failed = [check.message for check in ours.checks if check.status == "failed"]
    return "\n".join([heading, *(f"  flagged: {message}" for message in failed), comparison(ours, nuts)])


def comparison(ours: FitResult, nuts: FitResult) -> str:
    """One line a parameter."""
    lines = []
    for name in PARAMETERS:
        mine, theirs = moments(ours, name), moments(nuts, name)
        difference = np.abs(mine[0] - theirs[0]) / theirs[1]
        ratio = mine[1] / theirs[1]
        lines.append(
            f"  {name:<15} difference of means in sds: mean {difference.mean():.3f}, "
            f"95% {np.quantile(difference, 0.95):.2f}, largest {difference.max():.2f}; "
            f"sd ratio: mean {ratio.mean():.3f}, 5%-95% {np.quantile(ratio, 0.05):.2f}-{np.quantile(ratio, 0.95):.2f}"
        )
    return "\n".join(lines)


def moments(fitted: FitResult, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and sd, of the logarithm for discriminations."""
    values = fitted.posterior[name].values.astype(np.float64)
    values = np.log(values) if name == "discrimination" else values
    flat = values.reshape(-1, values.shape[-1])
    return flat.mean(axis=0), flat.std(axis=0)


def against_mirt(method: str) -> str:
    """Compare item parameters on metabench gsm8k with mirt's 2PL fit of the same cells."""
    path = SHARED / "metabench_dev.parquet"
    counts = read_responses([path]).select("gsm8k").counts()
    stored = pd.read_parquet(SHARED / "metabench_dev_params.parquet")
    stored = stored[(stored["benchmark"] == "gsm8k") & (stored["itemtype"] == "2PL")].set_index("item")
    start = time.perf_counter()
    fitted = fit(counts, TwoPL(), settings_for(method, seed=0))
    seconds = time.perf_counter() - start
    items = [str(item[-1] if isinstance(item, tuple) else item) for item in counts.items.index]
    theirs = stored.loc[items]
    lines = [f"gsm8k, {counts.n_models} models x {counts.n_items} items, against mirt; {method} {seconds:.2f} s"]
    for name, column in (("difficulty", "b"), ("discrimination", "a")):
        mine, other = moments(fitted, name)[0], theirs[column].to_numpy()
        other = np.log(other) if name == "discrimination" else other
        scale = slope(other, mine)
        error = np.sqrt(np.mean((scale.location + scale.scale * mine - other) ** 2))
        lines.append(
            f"  {name:<15} Spearman {spearmanr(mine, other).statistic:.5f}, "
            f"Pearson {np.corrcoef(mine, other)[0, 1]:.5f}; "
            f"mirt = {scale.location:.3f} + {scale.scale:.3f} ours, rms difference {error:.3f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
