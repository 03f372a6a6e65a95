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
# # Do 30 of 150 items give the full score?
#
# Evaluating a model on a whole benchmark costs time and money. If other models have answered all items, a well-chosen
# part is often enough. This notebook chooses 30 of 150 items, estimates the full score of new models from their answers
# to these alone, and compares with 30 items drawn at random.
#
# The data are simulated. With your own results, replace the next cell by
# `calibration = read_responses(["results/"])`.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from irt_bench import Subset, TwoPL, fit, make_subset, simulate_responses

rng = np.random.default_rng(4)
truth = {
    "ability": rng.normal(size=260),
    "difficulty": rng.normal(scale=1.2, size=150),
    "discrimination": rng.lognormal(0.5, 0.4, size=150),
}
answers = simulate_responses(TwoPL(), n_models=260, n_items=150, seed=1, parameters=truth).table.counts()
calibration, new = answers.take(models=slice(0, 120)), answers.take(models=slice(120, 260))

# %% [markdown]
# ## Which 30 items?
# The default groups items with similar answers into clusters, and takes items from each cluster in proportion to its
# size. Only the 120 calibration models are used.
# Give `target_se=0.03` instead of a number to get the smallest subset that is accurate enough.

# %%
fitted = fit(calibration, "2pl", seed=1)
subset = make_subset(calibration, 30, fit=fitted, seed=1)
(100 * subset.summary()).round(1)

# %% [markdown]
# This is what to expect of the subset, in percentage points, with 90% intervals. `error` is the mean absolute error of
# the full score, for new models as able as the calibration models, and for abler ones. `smallest gap` is the smallest
# difference between the full scores of two models that the subset orders correctly 8 times in 10.

# %%
subset.plot("items")

# %% [markdown]
# The chosen items are spread over difficulty.

# %% [markdown]
# ## How near are the estimates to the full scores?
# The 140 new models were not used to make the subset. Only their answers to the 30 items are used for the estimate.

# %%
subset.plot("scores", responses=new)

# %%
table = subset.compare(new)
error = 100 * table["error"].abs().mean()
print(f"mean error {error:.1f} points; {table['covered'].mean():.0%} of the 90% intervals cover the full score")
table.head().round(3)

# %% [markdown]
# ## Is that better than 30 items at random?
# Random items are the comparison that matters, since most of the saving comes from the number of items alone. They are
# scored with the same estimator, and with the plain mean that one would otherwise take.


# %%
def random_errors(estimator, n=10):
    """Mean absolute error in points of random subsets of the same size."""
    drawn = [
        make_subset(calibration, 30, method="random", weights="equal", estimator=estimator, fit=fitted, seed=seed)
        for seed in range(n)
    ]
    return np.array([100 * each.compare(new)["error"].abs().mean() for each in drawn])


same, plain = random_errors("p_irt_residual"), random_errors("weighted")  # the default estimator, the plain mean
figure, axes = plt.subplots(figsize=(6.5, 2.2), layout="constrained")
axes.scatter(plain, np.zeros(len(plain)), color="#8C8C8C", label="ten random subsets")
axes.scatter(same, np.ones(len(same)), color="#56B4E9")
axes.axvline(error, color="#0072B2", linewidth=2, label="the chosen subset")
axes.set(yticks=[0, 1], yticklabels=["random, plain mean", "random, same estimator"], ylim=(-0.6, 1.6))
axes.set(xlabel="mean absolute error of the full score (points)", xlim=(0, None))
_ = axes.legend(loc="upper left")
# %% [markdown]
# Yes. The chosen items are off by 4.0 points, random ones by about 4.7 with the same estimator and by 5.2 with their
# plain mean. The estimator and the choice of items both help.

# %% [markdown]
# ## Would an adaptive test need fewer?
# An adaptive test asks each model the item that is most informative for it, until its ability is known well enough.

# %%
adaptive = subset.compare_adaptive(fitted, stop_sd=0.3, n_models=200, seed=1)
adaptive[["n_items", "ability_error", "score_error", "error_ratio"]].round(2)

# %% [markdown]
# Yes, about half as many: 14 items on average give the same error of ability (`error_ratio` is relative to the fixed
# subset). But the whole benchmark must be available, and a model has to answer its items one after the other.

# %% [markdown]
# ## How do I run it?
# A subset is one file. It is exported for a harness, here as a list of items. If the calibration responses are logs of
# lm-evaluation-harness or Inspect, `"lm-eval"`, `"lm-eval-task"` and `"inspect"` write files for these programs and
# return the command to run.

# %%
with tempfile.TemporaryDirectory() as folder:
    subset.save(Path(folder) / "subset.json")
    again = Subset.load(Path(folder) / "subset.json")
    again.export("ids", Path(folder) / "ids.txt")
    print((Path(folder) / "ids.txt").read_text().split()[:10])

# %% [markdown]
# On the command line: `irt-bench subset`, `irt-bench export` and `irt-bench score --subset`. Whether a subset also cuts
# the noise between training seeds is another question; see `is_seed_variance_reducible`.
