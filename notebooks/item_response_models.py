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
# # Item response models, one by one
#
# One section for each family of models beyond the 2PL: when it is for, how it is fitted, what it gives, a figure. The
# data of each section are simulated, so that what comes out can be held against what was put in.

# %%
import numpy as np
import pandas as pd

from irt_bench import (
    BifactorTwoPL,
    ConfirmatoryTwoPL,
    MultidimensionalTwoPL,
    fit,
    simulate_responses,
    table_from_frame,
)

# %% [markdown]
# ## Several abilities: the multidimensional 2PL
#
# One number may not be enough: with answers of 5,041 models to 249 questions of gsm8k, held-out answers are predicted
# better with every dimension up to the eighth. The exploratory model gives each item a loading on each dimension,
# logit P = sum of loading x ability + intercept. How many dimensions there are is found by held-out answers.

# %%
made = simulate_responses(MultidimensionalTwoPL(dimensions=2), n_models=300, n_items=40, seed=2)
several = fit(made.table, "m2pl", seed=1)
several.diagnostics().loc["dimensions", "message"]

# %% [markdown]
# Abilities may be rotated without any change in what the model predicts. Draws are turned towards each other, and all
# of them by the varimax rotation, towards loadings that are large or near zero.

# %%
several.plot("loadings")

# %%
several.abilities().unstack("dimension")["ability"].head().round(2)

# %% [markdown]
# ## Known dimensions: confirmatory
#
# Where a column of the items says which ability each asks for, loadings on the others are left out, and correlations
# between abilities are learned. The two abilities here were drawn with a correlation of 0.6.

# %%
pattern = tuple(("algebra",) if number % 2 else ("geometry",) for number in range(40))
correlation = np.array([[1.0, 0.6], [0.6, 1.0]])
made = simulate_responses(
    ConfirmatoryTwoPL(dimensions=pattern),
    n_models=300,
    n_items=40,
    seed=3,
    parameters={"ability_correlation": correlation},
)
confirmatory = fit(made.table, ConfirmatoryTwoPL(dimensions="subtask"), seed=1)
drawn = confirmatory.posterior["ability_correlation"].sel(dimension="algebra", other_dimension="geometry")
low, middle, high = drawn.quantile([0.05, 0.5, 0.95]).values
print(f"correlation {middle:.2f}, 90% interval {low:.2f} to {high:.2f}")

# %%
confirmatory.plot("loadings")

# %% [markdown]
# ## Several benchmarks on one scale: bifactor
#
# A general ability, and one of each benchmark (subtask, template, passage) beside it. Models need not have taken all:
# those that took both benchmarks put them on one scale. Of these 300 models 100 took both, and 100 took each alone.

# %%
halves = tuple(["reading"] * 30 + ["maths"] * 30)
made = simulate_responses(BifactorTwoPL(groups=halves), n_models=300, n_items=60, seed=5)
answers = made.table.to_frame()
number = answers["model"].astype(str).str.removeprefix("model-").astype(int)
taken = (number <= 100) | ((number <= 200) == (answers["subtask"].astype(str) == "reading"))
benchmarks = answers[taken].assign(benchmark=lambda frame: frame["subtask"].astype(str))
columns = ["benchmark", "model", "item", "correct"]
both = table_from_frame(pd.DataFrame(benchmarks[columns])).select(["reading", "maths"])
both

# %%
stitched = fit(both, BifactorTwoPL(groups="subtask"), seed=1)
stitched.diagnostics().loc["overlap", "message"]

# %%
stitched.plot("loadings")

# %% [markdown]
# The general ability of models that took one benchmark only, against what was planted:

# %%
general = stitched.abilities().xs("general", level="dimension")
planted = made.truth["ability"].sel(dimension="general").to_series()[general.index]
one_only = general.index.str.removeprefix("model-").astype(int) > 100
covered = general["ability_q05"].lt(planted) & general["ability_q95"].gt(planted)
print(f"correlation {np.corrcoef(general['ability'][one_only], planted[one_only])[0, 1]:.2f}")
print(f"90% intervals cover {covered[one_only].mean():.0%}")
