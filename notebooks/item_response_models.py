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
# There is one section for each family of models beyond the 2PL: when to use it, how to fit it, what it gives, and a
# figure. The data of each section are simulated, so that estimates can be compared with the true values.

# %%
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

from irt_bench import (
    BifactorTwoPL,
    ConfirmatoryTwoPL,
    GradedResponse,
    Groups,
    ItemRegression,
    LaplaceSettings,
    ManyFacet,
    MultidimensionalTwoPL,
    Regression,
    SVISettings,
    TwoPL,
    ZeroOneBeta,
    fit,
    predict_items,
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
# Abilities may be rotated without any change in what the model predicts. All draws are rotated to agree with one
# another, and then together by the varimax rotation, which makes loadings large or near zero.

# %%
several.plot("loadings")

# %%
several.abilities().unstack("dimension")["ability"].head().round(2)

# %% [markdown]
# ## Known dimensions: confirmatory
#
# Where a column of the items names the ability that each requires, loadings on the other abilities are left out, and
# correlations between abilities are estimated. The two abilities here were drawn with a correlation of 0.6.

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
# A general ability and, beside it, one for each benchmark (or subtask, template, passage). Models need not have taken
# all benchmarks: those that took both put them on one scale. Of these 300 models 100 took both, and 100 took each
# alone.

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
# The general ability of models that took one benchmark only, compared with the true values:

# %%
general = stitched.abilities().xs("general", level="dimension")
planted = made.truth["ability"].sel(dimension="general").to_series()[general.index]
one_only = general.index.str.removeprefix("model-").astype(int) > 100
covered = general["ability_q05"].lt(planted) & general["ability_q95"].gt(planted)
print(f"correlation {np.corrcoef(general['ability'][one_only], planted[one_only])[0, 1]:.2f}")
print(f"90% intervals cover {covered[one_only].mean():.0%}")

# %% [markdown]
# ## Groups of models that answered different items
# Two groups of models share a third of the items; the rest each group has to itself. The second group is abler by 1.4
# standard deviations of the first.

# %%
quick = LaplaceSettings(refine=False)
warnings.simplefilter("ignore")  # of checks, which are shown below
rng = np.random.default_rng(1)
second = np.arange(240) >= 120
ability = rng.standard_normal(240) + 1.4 * second
made = simulate_responses(TwoPL(), n_models=240, n_items=60, seed=1, parameters={"ability": ability})
counts = made.table.counts()
third = np.arange(60) // 20  # 0: first group only, 1: both, 2: second group only
asked = (third == 1) | (third == np.where(second, 2, 0)[:, None])
counts = replace(counts, correct=counts.correct * asked, trials=counts.trials * asked)
counts = replace(counts, models=counts.models.assign(group=np.where(second, "second", "first")))

# %% [markdown]
# With one population, the prior pulls the groups together, and a check reports it.

# %%
one = fit(counts, TwoPL(), quick, model_clusters=False)
one.diagnostics().loc["missing_pattern", ["status", "value", "message"]].to_dict()

# %% [markdown]
# With `Groups`, each group has a mean and a standard deviation of its own. The reference group has mean 0 and standard
# deviation 1. The interval of the second mean contains the truth, and that difference is larger than the one found
# with a single population.

# %%
grouped = fit(counts, TwoPL(population=Groups("group", reference="first")), quick, model_clusters=False)
means = one.abilities()["ability"].groupby(counts.models["group"].to_numpy()).mean()
apart = (means["second"] - means["first"]) / one.abilities()["ability"][~second].std()
print(f"difference with one population: {apart:.2f}; with groups:")
grouped.populations().round(2)

# %%
grouped.plot("populations")

# %% [markdown]
# ## Ability and covariates of models
# With covariates, such as the logarithm of the number of parameters, ability is regressed on them. The effects of
# families are random: many small families are possible. Effects are per standard deviation of a covariate, in residual
# standard deviations of ability.

# %%
family, log_params = rng.integers(0, 10, 150), rng.normal(2, 1.5, 150)
ability = 0.8 * (log_params - 2) / 1.5 + 0.5 * rng.standard_normal(10)[family] + rng.standard_normal(150)
models = pd.DataFrame({"log_params": log_params, "family": [f"family-{number}" for number in family]})
made = simulate_responses(TwoPL(), n_models=150, n_items=80, seed=3, models=models, parameters={"ability": ability})
regressed = TwoPL(population=Regression(["log_params"], group="family"))
fitted = fit(made.table, regressed, quick, model_clusters=False)
print("true effect of log_params: 0.80")
fitted.plot("populations")

# %% [markdown]
# ## Repeated trials
# Where a model answers an item several times, its answers agree more than its ability explains, since some items suit
# it and others do not. By default such repeated answers are taken as correlated, and each pair of model and item has
# its own probability of a right answer. Here each pair has a normal effect on the log-odds, with standard deviation
# 1.3, and 10 trials.

# %%
made = simulate_responses(TwoPL(), n_models=60, n_items=80, seed=5)
truth = made.truth
log_odds = truth["discrimination"].values * (truth["ability"].values[:, None] - truth["difficulty"].values)
chance = 1 / (1 + np.exp(-log_odds - 1.3 * rng.standard_normal((60, 80))))
counts = replace(made.table.counts(), correct=rng.binomial(10, chance), trials=np.full((60, 80), 10))
correlated = fit(counts, TwoPL(), quick, model_clusters=False)
correlated.summary("dispersion").round(3)

# %% [markdown]
# 90% intervals contain nine in ten of the true probabilities. If trials are taken as independent, few do.

# %%
independent = fit(counts, TwoPL(dispersion=None), quick, model_clusters=False)


def share_covered(fitted):
    """Share of the cells whose chance is in its 90% interval."""
    table = fitted.probabilities()
    return float(((table["probability_q05"] <= chance.ravel()) & (chance.ravel() <= table["probability_q95"])).mean())


print(
    f"covered, correlated trials: {share_covered(correlated):.2f}, independent trials: {share_covered(independent):.2f}"
)

# %%
scores = correlated.probabilities(by="model").sort_values("probability")
axes = scores.reset_index().plot(
    x="probability", y="observed", kind="scatter", xlabel="expected score", ylabel="observed share", figsize=(5, 4)
)
axes.hlines(scores["observed"], scores["probability_q05"], scores["probability_q95"], color="0.6", linewidth=1)
# %% [markdown]
# ## Estimates without priors
# Maximum-likelihood estimates of the items stand beside the Bayesian ones on request. They agree where many models
# answered, and scatter more where few did.

# %%
answers = simulate_responses(TwoPL(), n_models=400, n_items=30, seed=7)
table = fit(answers.table, "2pl", quick, model_clusters=False).items(maximum_likelihood=True)
table[["difficulty", "difficulty_sd", "difficulty_ml", "difficulty_ml_se"]].head().round(2)

# %% [markdown]
# ## Ordered scores
# A judge gives 1 to 5 points, or an item counts how many instructions were followed. In the graded response model
# (`GradedResponse`, "grm") each item has a threshold of ability for every score above the lowest; in the generalized
# partial credit model (`GeneralizedPartialCredit`, "gpcm") thresholds are where neighbouring scores are equally likely.
# A DataFrame of whole-number scores is all they need. The default method is NUTS; variational inference is faster.

# %%
judged = simulate_responses(GradedResponse(steps=4), n_models=100, n_items=8, seed=6)
frame = judged.table.to_frame()
frame["score"] = 1 + 4 * frame["score"]
graded = fit(frame[["model", "item", "score"]], "grm", SVISettings(max_steps=3000, draws=500), seed=1)
graded.items()[["difficulty", "discrimination", *(f"threshold_{point}" for point in range(1, 5))]].round(2).head()

# %%
graded.plot("curves")

# %% [markdown]
# Abilities compared with the true values, and the expected score of each judged model, as a share of the range from 1
# to 5:

# %%
abilities, planted = graded.abilities(), judged.truth["ability"].to_series()
held = abilities["ability_q05"].lt(planted) & abilities["ability_q95"].gt(planted)
print(f"correlation {np.corrcoef(abilities['ability'], planted)[0, 1]:.2f}; 90% intervals cover {held.mean():.0%}")
graded.probabilities(by="model")[["probability", "probability_q05", "probability_q95", "observed"]].head().round(2)

# %% [markdown]
# ## Scores in [0, 1]
# Scores such as ROUGE, or shares of unit tests passed, lie between 0 and 1, and many are exactly 0 or 1. `ZeroOneBeta`
# ("beta") gives each item two thresholds, beyond which scores are 0 or 1, and a beta distribution between them.

# %%
half = {"difficulty_mean": 0, "difficulty_sd": 1, "log_discrimination_mean": 0, "log_discrimination_sd": 0.3}
half |= {"log_below_mean": 0.3, "log_above_mean": 0.3, "log_precision_mean": 1.8}
partial_scores = simulate_responses(ZeroOneBeta(), n_models=80, n_items=8, seed=9, hyperparameters=half)
continuous = fit(partial_scores.table, "beta", SVISettings(max_steps=3000, draws=500), seed=1)
continuous.items()[["difficulty", "discrimination", "threshold_zero", "threshold_one", "precision"]].round(2).head()

# %%
continuous.plot("curves")

# %% [markdown]
# ## Several raters: the many-facet model
# Where several judges score answers, some are stricter than others, and a model that a strict one judged looks weak.
# With a column `rater` (or `judge`) each item and rater become one item, and `ManyFacet` ("mfrm") gives each rater a
# severity: it sees a model of ability 1 as others see one of 1 less its severity. Below the judges see different
# models: the first half is judged by the first rater, the second by the second, and only one of six items by both.

# %%
rated = simulate_responses(
    ManyFacet(steps=3), n_models=80, n_items=18, seed=11, hyperparameters=half | {"severity_sd": 0.8}
)
scores = rated.table.to_frame().assign(first=lambda frame: frame["model"].cat.codes < 40)
own = np.where(scores["first"], scores["rater"] == "rater-1", scores["rater"] == "rater-2")
kept = scores[own | ((scores["rated_item"] == "q1") & (scores["rater"] != "rater-3"))]
long = kept.assign(item=kept["rated_item"], score=3 * kept["score"], max_score=3)
long = long[["model", "item", "rater", "score", "max_score"]]
seen = fit(long, "mfrm", SVISettings(max_steps=2000, draws=500), seed=1)
strict = rated.truth["severity"].to_numpy()[:2]
print(f"planted: the first rater {strict[0] - strict[1]:+.2f} stricter than the second")
seen.raters().round(2)

# %%
seen.plot("raters")

# %% [markdown]
# If raters are left out, their severity is mistaken for ability of the models that they judged:

# %%
blind = fit(
    long.groupby(["model", "item"], observed=True).first().reset_index().drop(columns="rater"),
    "gpcm",
    SVISettings(max_steps=2000, draws=500),
    seed=1,
)
off = {
    name: (found.abilities()["ability"] - rated.truth["ability"].to_series())
    .groupby(np.arange(80) < 40)
    .mean()
    .diff()[True]
    for name, found in (("with raters", seen), ("without", blind))
}
print("first half of the models less second half, beyond what was planted:")
pd.Series(off).round(2)

# %% [markdown]
# ## Covariates of items
# What is known of an item before anyone answers it (its length, its subtask, the columns of an embedding) may predict
# its difficulty and discrimination. `ItemRegression` regresses difficulty and log discrimination on such columns, and
# `predict_items` predicts those of items that no model has answered. Its intervals include the residual variation.

# %%
length, subtask = rng.normal(300, 100, 80), rng.choice(["maths", "reading"], 80)
difficulty = 0.7 * (length - 300) / 100 + 0.8 * (subtask == "maths") + rng.normal(0, 0.3, 80)
made = simulate_responses(TwoPL(), n_models=80, n_items=80, seed=8, parameters={"difficulty": difficulty})
items = pd.DataFrame({"length": length, "subtask": subtask}, index=made.truth["item"].to_series().astype(str))
counts = made.table.counts()
counts = replace(counts, items=items).take(items=slice(60))
explained = fit(
    counts, TwoPL(item_regression=ItemRegression(["length", "subtask"])), SVISettings(), seed=1, model_clusters=False
)
print("true effect of length: 0.70 per sd; maths less reading: 0.80")
explained.summary("difficulty_effect")[["mean", "sd", "q05", "q95"]].round(2)

# %%
unseen = predict_items(explained, items.iloc[60:], seed=1)
axes = unseen.assign(planted=difficulty[60:]).plot(
    x="difficulty", y="planted", kind="scatter", xlabel="predicted difficulty", ylabel="planted", figsize=(5, 4)
)
axes.hlines(difficulty[60:], unseen["difficulty_q05"], unseen["difficulty_q95"], color="0.6", linewidth=1)
inside = unseen["difficulty_q05"].lt(difficulty[60:]) & unseen["difficulty_q95"].gt(difficulty[60:])
print(f"90% intervals cover {inside.mean():.0%} of 20 unseen items")
