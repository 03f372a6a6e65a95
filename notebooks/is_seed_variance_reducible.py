# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Is my benchmark's seed variance reducible?
#
# Train the same recipe with another seed, and its score changes. Would the score of fewer items, or of items with other
# weights, change less? In the simulated training runs of this notebook the answer is known: half of the items have
# noise of their own. Whether a seed gets such an item right more or less often is independent of all other seeds.
#
# With your own results, replace the next cell by `table = read_responses(["results/"])`. Models need a `seed`, and
# `run` and `step` where there are several.

# %%
import numpy as np
import pandas as pd
from scipy.special import expit

from irt_bench import run_study, seed_variance

RUNS, SEEDS, ITEMS, NOISY, OTHERS = 10, 4, 80, 40, 10
rng = np.random.default_rng(3)
rows, logits = [], []
for run in range(RUNS):
    level = rng.normal(scale=0.7)
    for seed in range(SEEDS):
        own = np.where(np.arange(ITEMS) < NOISY, 2.5 * rng.normal(size=ITEMS), 0.0)  # the noise of this seed
        rows.append({"model": f"run {run}, seed {seed}", "run": f"run {run}", "seed": seed})
        logits.append(level + rng.normal(scale=0.05) + own)
for other in range(OTHERS):
    rows.append({"model": f"other {other}", "run": None, "seed": None})
    logits.append(np.full(ITEMS, rng.normal()))
chance = expit(np.array(logits) - rng.normal(scale=0.5, size=ITEMS))
table = pd.DataFrame(rows).astype({"seed": "Int64"}).loc[np.repeat(np.arange(len(rows)), ITEMS)].reset_index(drop=True)
table["item"] = np.tile([f"item {number:02d}" for number in range(ITEMS)], len(rows))
table["n_correct"], table["n_samples"] = rng.binomial(10, chance).ravel(), 10
table["benchmark"] = "simulated"
table.head(3)

# %% [markdown]
# ## How noisy is it?
# `seed_sd` is the standard deviation of the score over seeds, pooled over the runs. It is a share, as the scores are:
# 0.05 is 5 points.

# %%
variance = seed_variance(table, seed=1, n_subsets=100, n_bootstrap=100)
variance.summary()[["mean", "seed_sd", "seed_sd_q05", "seed_sd_q95", "n_runs", "n_seeds"]].round(3)

# %% [markdown]
# ## What is the noise made of?
# A choice of items can only change the part that is each item's own. That part shrinks as the number of items grows.
# The part that all items share remains in every subset.

# %%
components = variance.components().groupby("component", sort=False)["estimate"].mean()
components.round(4).to_frame("mean over runs")

# %% [markdown]
# `seed:item`, the effect of a seed on single items, is large. `seed`, its effect on all items, is about zero. So a
# choice of items could help here. (`item` is the spread of the items' difficulties, and `trial` the variance of
# repeated answers; with ten answers per item, a tenth of it adds to `seed:item`.)

# %% [markdown]
# ## The study
# Items are chosen on some runs and judged on others, in turn. Each choice is compared with random subsets of the same
# size, scored by the same estimator with the same weights. So the comparison shows the effect of the choice alone.

# %%
study = run_study(
    table,
    sizes=[25],
    methods=["discrimination", "anchors", "variance"],
    estimators=["weighted", "p_irt"],
    n_folds=2,
    n_random=400,
    n_reweighted=200,
    transfer_splits=5,
    seed=1,
)
study.plot("forest")

# %% [markdown]
# A ratio below 1 means less seed variance than random items have. A verdict needs an interval that excludes 1, and
# survives Holm's correction for several comparisons. A score that varies less altogether, between runs as well, does
# not distinguish models any better. So `ratio_signal` divides the ratio of the seed standard deviations by the ratio of
# how far the scores of the runs differ.

# %%
results = (
    study.results().query("run == 'pooled' and method not in ('random', 'full')").set_index(["method", "estimator"])
)
columns = ["ratio", "ratio_q05", "ratio_q95", "verdict", "ratio_signal", "verdict_signal"]
results[columns].round(2)

# %% [markdown]
# Discriminating items cut the seed standard deviation to about two thirds, and so do items of least variance. This is
# as it should be: the noisy half of the items discriminates badly. Anchors do not reduce it; their ratios are above 1.
# They represent all kinds of items, noisy ones included.

# %% [markdown]
# ## And against the full benchmark?
# Fewer items are noisier, whichever they are. The full benchmark is the hardest comparison.

# %%
results[["ratio_full", "ratio_full_q05", "ratio_full_q95", "verdict_full"]].round(2)

# %% [markdown]
# No subset is less noisy than all 80 items. For the 25 discriminating items, and for those of least variance, no
# difference from all items is shown.

# %% [markdown]
# ## What could these seeds have shown?
# The table has the ratio that would be detected with 80% power. A smaller reduction may exist without being found.

# %%
study.detectable()[["size", "degrees_of_freedom", "detectable_ratio_random", "detectable_ratio_full"]].round(2)

# %% [markdown]
# ## Dropping items one by one
# As in the paper, items are sorted by discrimination, and the lowest are dropped. Compare with the band of random
# subsets, not with the first point, as fewer items are noisier in any case.

# %%
study.plot("path")

# %% [markdown]
# ## Can the answer be trusted?
# As a negative control, the methods choose items from shuffled answers, which hold no information. A cut found there
# would be a fault of the comparison.

# %%
study.control().query("shuffled_within == 'models'")[["method", "estimator", "ratio", "verdict"]].round(2)

# %% [markdown]
# None is found. With so few seeds the ratios are uncertain, and some differ from 1 by chance. On the command line:
# `irt-bench study results/ -o study`, then `irt-bench report study -o report.html`.
