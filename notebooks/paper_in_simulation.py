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
# # Does a subset chosen by IRT raise seed variance?
#
# Madaan et al. (2024, [arXiv 2406.10229](https://arxiv.org/abs/2406.10229)) trained one recipe with ten seeds. They
# found that 100 items chosen and scored by IRT raise the spread over seeds: on ARC-C from 0.80 to 1.80 points. This
# notebook repeats their tables on simulated seeds, where the truth is known. It adds the comparison that they leave
# out: 100 items at random.

# %%
import matplotlib.pyplot as plt
import numpy as np

from irt_bench import TwoPL, run_study, seed_variance
from irt_bench.irt_models import simulate_benchmark

ITEMS, SUBSET = 600, 100
table = simulate_benchmark(
    seed=2, n_runs=1, n_seeds=10, n_steps=7, n_items=ITEMS, n_other_models=40, seed_sd=0.05, irt_model=TwoPL()
).table

# %% [markdown]
# ## How noisy is the full benchmark? (their Table 1)
# E, which the paper calls seed variance, is the standard deviation over seeds, averaged over checkpoints. The column
# `seed_sd` averages the variances instead, and takes the root at the end.

# %%
variance = seed_variance(table, seed=1, n_subsets=300, n_bootstrap=100)
variance.runs()[["mean", "e", "seed_sd", "item_sampling_sd", "ci95_analytic", "monotonicity", "snr"]].round(3)

# %%
variance.plot("steps")

# %% [markdown]
# As in the paper, E is well below `ci95_analytic`, the half-width of the 95% interval that the items alone give. But
# that compares a standard deviation with 1.96 standard deviations. Compared with `item_sampling_sd`, the standard
# deviation from the items alone, the seeds move the score about as much.

# %% [markdown]
# ## What do 100 items by IRT do? (their Tables 3 and 4)
# Items are clustered by their parameters, estimated from the forty other models, with one anchor per cluster. p-IRT
# estimates the full score by the answers to the anchors and the IRT model's predictions of the other items; gp-IRT
# mixes this with the weighted mean of the anchors. The seeds take no part in the choice.

# %%
study = run_study(
    table,
    evaluation={"run": ("run-1",)},
    sizes=[SUBSET],
    methods=["anchors-irt", "discrimination"],
    estimators=["weighted", "p_irt", "gp_irt"],
    n_random=300,
    n_reweighted=200,
    transfer_splits=5,
    seed=1,
)
row = study.tables["paper"].iloc[0]
print(f"E in points: full benchmark {100 * row['e_full']:.2f}, anchors with p-IRT {100 * row['e_p_irt']:.2f}, "
      f"with gp-IRT {100 * row['e_gp_irt']:.2f}")  # fmt: skip

# %% [markdown]
# The subset is noisier than the full benchmark, as the paper found.

# %% [markdown]
# ## Does IRT cause this?
# A hundred items are noisier than six hundred, whichever they are. Over random subsets of k items the variance is
# V(k) = s2_seed + s2_res / k. So a subset has to be compared with random subsets of its size, scored in the same way.

# %%
labels = {
    "full": "full benchmark", "random": "100 random items, mean", "random_p_irt": "100 random items, p-IRT",
    "random_gp_irt": "100 random items, gp-IRT", "p_irt": "100 anchors, p-IRT", "gp_irt": "100 anchors, gp-IRT",
}  # fmt: skip
sds = 100 * np.array([row[f"seed_sd_{name}"] for name in labels])  # pooled over checkpoints, slightly above E
figure, axes = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
axes.barh(list(labels.values()), sds, color=["#8C8C8C", *["#CFCFCF"] * 3, *["#0072B2"] * 2])
axes.axvline(100 * row["v_k_sd"], color="#009E73", linewidth=1.4, label="root of V(100)")
axes.invert_yaxis()
axes.set(xlabel="seed sd (points)")
_ = axes.legend()
# %% [markdown]
# No. The anchors are about as noisy as random items scored in the same way. The rise comes from having 100 items
# instead of 600.

# %%
pooled = study.results().query("run == 'pooled' and method == 'anchors-irt'").set_index("estimator")
columns = ["ratio_full", "verdict_full", "ratio", "ratio_q05", "ratio_q95", "verdict", "ratio_signal", "verdict_signal"]
pooled[columns].round(2).T

# %% [markdown]
# `ratio_full` is the paper's comparison. `ratio` is the one with random subsets scored alike, with its interval.
# `ratio_signal` divides it by the ratio of how far the scores move over training. Here it is close to 1, with an
# interval that holds 1: per movement, too, these anchors are as noisy as random items.

# %% [markdown]
# ## Does the formula hold?
# Random subsets agree with V(k), which needs no model of the answers.

# %%
variance.plot("curve")

# %% [markdown]
# ## Are ten seeds enough?
# A ratio of two standard deviations over ten seeds is still uncertain. What would be found with 80% power:

# %%
study.detectable()[["size", "degrees_of_freedom", "detectable_ratio_random", "detectable_ratio_full"]].round(2)
