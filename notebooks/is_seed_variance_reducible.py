# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Is my benchmark's seed variance reducible?
#
# Train the same recipe with another seed and its score moves. Would fewer, or otherwise weighted, items move less? The
# whole study, on simulated training runs in which half of the items carry noise of their own: each seed gets these
# right or wrong more often for no reason that another seed shares. With your own results, replace the next cell by
# `table = read_responses(["results/"])`; models need a `seed`, and `run` and `step` where there are any.
#
# Open as a notebook: `jupytext --to ipynb --set-kernel python3 notebooks/is_seed_variance_reducible.py`

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from irt_bench import table_from_frame
from irt_bench.report.figures.study_figures import forest_figure, paths_figure
from irt_bench.report.tables.score_tables import null_table, verdict_counts
from irt_bench.study.design import make_design
from irt_bench.study.plan import plan_study
from irt_bench.study.rows import predict_power
from irt_bench.study.run import run_study
from irt_bench.variance.seed_variance import analyse_seed_variance

RUNS, SEEDS, ITEMS, NOISY, OTHERS = 10, 4, 80, 40, 10
rng = np.random.default_rng(3)
rows, logits = [], []
for run in range(RUNS):
    level = rng.normal(scale=0.7)
    for seed in range(SEEDS):
        own = np.where(np.arange(ITEMS) < NOISY, 2.5 * rng.normal(size=ITEMS), 0.0)  # the planted noise
        rows.append({"model": f"run {run}, seed {seed}", "run": f"run {run}", "seed": seed})
        logits.append(level + rng.normal(scale=0.2) + own)
for other in range(OTHERS):
    rows.append({"model": f"other {other}", "run": None, "seed": None})
    logits.append(np.full(ITEMS, rng.normal()))
chance = expit(np.array(logits) - rng.normal(scale=0.5, size=ITEMS))
frame = pd.DataFrame(rows).astype({"seed": "Int64"}).loc[np.repeat(np.arange(len(rows)), ITEMS)].reset_index(drop=True)
frame["item"] = np.tile([f"item {number:02d}" for number in range(ITEMS)], len(rows))
frame["n_correct"], frame["n_samples"] = rng.binomial(4, chance).ravel(), 4
table = table_from_frame(frame, benchmark="simulated")

# %% [markdown]
# ## How noisy is it, and what is the noise made of?
# The part of the noise that is each item's own shrinks with the number of items, and a choice of items can touch it.
# The part that all items share is there whatever the subset.

# %%
variance = analyse_seed_variance(table, seed=1, n_subsets=100, n_bootstrap=100)
variance.components[["component", "estimate", "q05", "q95"]].round(5)

# %% [markdown]
# ## What could these seeds show?
# Seeds are few. Before looking, ask which cut of the seed sd would be found with 80% power; a smaller one may be there
# and not be shown.

# %%
design = make_design(
    {
        "sizes": (25,),
        "methods": ("discrimination", "anchors", "variance"),
        "estimators": ("weighted", "p_irt"),
        "n_folds": 2,
        "n_random": 400,
        "n_reweighted": 200,
        "transfer_splits": 5,
        "seed": 1,
    }
)
with tempfile.TemporaryDirectory() as folder:
    expected = predict_power(plan_study(table, design, Path(folder)))
expected[["size", "degrees_of_freedom", "compared", "detectable_ratio_random", "detectable_ratio_full"]].round(2)

# %% [markdown]
# ## The study
# Items are chosen on some runs and judged on others, in turn. Beside each choice stand random subsets of the same size,
# scored by the same estimator with the same weights: whatever the estimator does by itself, they do too. Cells are kept
# in the folder, so that a study that was stopped goes on.

# %%
with tempfile.TemporaryDirectory() as folder:
    found = run_study(table, design, Path(folder) / "study")
forest_figure(found.results, "simulated")

# %% [markdown]
# Verdicts come from intervals, after Holm's correction; with few seeds most are *no difference shown*. "per signal"
# divides the noise by how far the score moves between runs: an estimate that merely shrinks gains nothing there.

# %%
verdict_counts(found.results)

# %% [markdown]
# What the estimator does by itself, to the same random items:

# %%
null_table(found.results)

# %% [markdown]
# ## Dropping items one by one
# The paper's way: sort by discrimination, drop the lowest. Compare with the band, not with the first point: fewer items
# are noisier whichever they are.

# %%
paths_figure(found.paths, "simulated")

# %% [markdown]
# ## Can the answer be trusted?
# Methods calibrated on shuffled answers have nothing to go by. Any cut there would be a fault of the comparison.

# %%
control = found.to_dict()["control"]
assert control["models"]["cuts"] <= 1  # one in ten studies may have one
pooled = found.results.query("run == 'pooled' and method == 'discrimination' and estimator == 'weighted'").iloc[0]
print(
    f"{pooled['size']:.0f} items by discrimination: seed sd {pooled['ratio']:.2f} "
    f"[{pooled['ratio_q05']:.2f}, {pooled['ratio_q95']:.2f}] times that of random ones: {pooled['verdict']}; "
    f"against the full benchmark {pooled['ratio_full']:.2f}: {pooled['verdict_full']}"
)

# %% [markdown]
# The same from the command line: `irt-bench study results/ -o study`, then `irt-bench report study -o report.html`.
