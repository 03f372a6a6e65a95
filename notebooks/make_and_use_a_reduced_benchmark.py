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
# # Make and use a reduced benchmark
#
# From the answers of many models we choose 30 of 150 items, and estimate the full score of new models from these alone.
# The responses are simulated, so that the estimates can be held against the full scores. With your own results, replace
# the first cell by `counts = read_responses(["results/"]).counts()`.
#
# Open as a notebook: `jupytext --to ipynb --set-kernel python3 notebooks/make_and_use_a_reduced_benchmark.py`

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from irt_bench import LaplaceSettings, TwoPL, simulate_responses
from irt_bench.subsets.calibration import CalibrationPlan, Recipe, prepare
from irt_bench.subsets.make import best_recipe, make_subset
from irt_bench.subsets.score import estimate_full_score
from irt_bench.subsets.subset import read_subset, write_subset

counts = simulate_responses(TwoPL(), n_models=160, n_items=150, seed=1).table.counts()
calibration_models, new_models = counts.take(models=slice(0, 120)), counts.take(models=slice(120, 160))

# %% [markdown]
# ## Calibrate
# Items are chosen and weighed on calibration models only. Models that share a cluster, such as fine-tunes of one base,
# are never parted between learning and judging; `irt_bench.subsets.clusters.model_clusters` finds families by name.
# Here every model is its own.

# %%
plan = CalibrationPlan(TwoPL(), LaplaceSettings(seed=1))
calibration = prepare(calibration_models, calibration_models.models.index.to_numpy(np.str_), plan, seed=1)

# %% [markdown]
# ## Choose 30 items
# The method with the least error on calibration models held out: anchors stand for a cluster of similar items,
# information takes those that tell most, discrimination within bins keeps the mix of difficulty. p-IRT adds what the
# items left out would probably have given.

# %%
SIZE = 30
METHODS = ("anchors", "information", "discrimination-bins")
first = Recipe(METHODS[0], "anchor", SIZE, 1)
recipe, estimator = best_recipe(calibration, first, methods=METHODS, weights=None, estimators=("p_irt",))
subset = make_subset(calibration, recipe, estimator=estimator)
print(
    f"{subset.size} of {subset.n_items_full} items by {recipe.method}; expected error {100 * subset.expected_error:.1f}"
)
print("first items:", ", ".join(map(str, subset.ids[:5])))

# %% [markdown]
# The file holds items, weights, item parameters and the expected error: all that scoring needs.

# %%
with tempfile.TemporaryDirectory() as folder:
    write_subset(subset, Path(folder) / "subset.json")
    subset = read_subset(Path(folder) / "subset.json")

# %% [markdown]
# ## Score new models from the subset alone
# Only their answers to the 30 items are looked at. Of the 90% intervals about 90% should hold the full score.

# %%
seen = new_models.items.index.get_indexer(subset.ids)
table = estimate_full_score(new_models.take(items=seen), subset)
full_score = new_models.accuracy().to_numpy()
error = table["estimate"] - full_score
covered = ((table["q05"] <= full_score) & (full_score <= table["q95"])).mean()
table[["estimate", "q05", "q95", "n_items", "flags"]].assign(full_score=full_score).head().round(3)

# %%
figure, axes = plt.subplots(figsize=(5, 4.4), layout="constrained")
axes.vlines(full_score, table["q05"], table["q95"], color="#CFCFCF", linewidth=1)
axes.scatter(full_score, table["estimate"], s=14, color="#0072B2", zorder=3)
axes.axline((0.5, 0.5), slope=1, color="#8C8C8C", linewidth=0.8)
axes.set(
    title=f"{covered:.0%} of the 90% intervals cover; mean error {100 * error.abs().mean():.1f} points",
    xlabel="full score, 150 items",
    ylabel="estimate from 30 items",
)
assert covered > 0.75

# %% [markdown]
# ## Is that better than 30 items drawn at random?
# A chosen subset is worth something where its error is below that of most random subsets of the same size, scored
# alike. One number would not show it: look at their spread.

# %%
random_errors = []
for seed in range(20):
    drawn = make_subset(calibration, Recipe("random", "equal", SIZE, seed), estimator="p_irt")
    seen = new_models.items.index.get_indexer(drawn.ids)
    estimate = estimate_full_score(new_models.take(items=seen), drawn)["estimate"]
    random_errors.append(float((estimate - full_score).abs().mean()))
low, high = np.quantile(random_errors, [0.05, 0.95])
below = np.mean(np.array(random_errors) <= error.abs().mean())
print(
    f"random subsets: {100 * np.mean(random_errors):.1f} points [{100 * low:.1f}, {100 * high:.1f}]; "
    f"chosen: {100 * error.abs().mean():.1f}, {below:.0%} of random ones are as good"
)

# %% [markdown]
# The harnesses take the subset as a file: `irt-bench export subset.json --to lm-eval`, or `--to inspect`. Whether fewer
# or other items also cut the noise between training seeds is another question: `irt-bench study` answers it.
