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
# # Which models are better, and can the numbers be trusted?
#
# A benchmark gives each model one number, the share of right answers. This notebook starts from the single answers and
# asks seven questions that this number does not answer. All functions used here are in the namespace `irt_bench`.
#
# The data come with the package. They are simulated: 120 models answer 100 items, and two items have a wrong key. With
# your own results, replace the next cell by `answers = read_responses(["results/"])`, or by any DataFrame with one row
# per model, one column per item, and values 0 and 1.

# %%
import tempfile
from pathlib import Path

from irt_bench import Fit, HalfNormal, Hierarchical, Normal, TwoPL, fit, item_analysis, load_example

answers = load_example("benchmark").counts().to_frame()
answers.iloc[:5, :8]

# %% [markdown]
# ## Which items look broken?
# An item is suspicious if better models fail it more often. Then its correlation with the score on the other items is
# negative. A wrong key is the most common reason.

# %%
analysis = item_analysis(answers)
analysis.plot()

# %% [markdown]
# Two items lie far below zero. They are the ones with a wrong key. We leave them out from here on.

# %%
broken = analysis.items().query("item_rest_q95 < 0").index
print("left out:", ", ".join(broken))
answers = answers.drop(columns=broken)

# %% [markdown]
# ## How able is each model, and how certain is that?
# The 2PL gives each item a difficulty and a discrimination, and each model an ability. The default method takes some
# seconds; the first call also compiles code. It draws from the posterior, so that every number has an interval.

# %%
fitted = fit(answers, "2pl", seed=1)
fitted.plot("abilities")

# %%
fitted.abilities()[["ability", "ability_q05", "ability_q95", "accuracy", "rank", "rank_q05", "rank_q95"]].sort_values(
    "rank"
).head(8).round(2)

# %% [markdown]
# `rank_q05` and `rank_q95` are the limits of a 90% interval of the rank. The first two models are clearly better than
# the fourth and all others. Most models overlap with many: with 98 items a rank in the middle is uncertain by some
# twenty places in each direction.

# %% [markdown]
# ## Do the items suit the models?
# Models and items share one scale. A model at the same place as an item solves it in half of the cases.

# %%
fitted.plot("wright")

# %%
fitted.plot("information", width=7)

# %% [markdown]
# The items cover the range of the models. The standard error of ability is smallest a little above the middle, and
# larger at both ends. A benchmark for stronger models needs harder items.

# %% [markdown]
# ## Does the model describe the answers?
# The fit is compared with data sets that are simulated from it. Each check has a limit, `threshold`; `fails_if` says on
# which side of it a value fails, and `message` what to do.

# %%
checks = fitted.check(replicates=19, seed=1)
checks.plot()

# %%
checks.summary()[["status", "value", "fails_if", "threshold"]].round(3)

# %% [markdown]
# No check fails; with the two items that we left out, some would. Passed checks do not prove that the model is right,
# but they show no fault. The curves of three items, with the observed shares of right answers:

# %%
fitted.plot("curves", items=list(fitted.items()["discrimination"].sort_values().index[[0, 49, 97]]))

# %% [markdown]
# ## Would accuracy have ranked the models alike?

# %%
comparison = fitted.compare_accuracy(seed=1)
comparison.correlations().round(2)

# %% [markdown]
# Nearly. `rankings` is the correlation of the two rankings of these models. `estimate` is the correlation of accuracy
# with the true abilities, with its 90% interval; `further_models` is the interval for other models of the same kind.
# For a ranking alone, accuracy would have been enough here. Ability is needed where models answered different items.

# %% [markdown]
# ## How able are new models?
# The parameters of the items stay fixed. As two new models, each with answers to 20 items, we take two rows from above.

# %%
new = answers.iloc[[0, 60], :20].set_axis(["strong model", "weak model"])
fitted.score(new).round(2)

# %% [markdown]
# ## What do the priors do?
# They are fields of the model. By default, the mean difficulty is estimated from the answers. Here a prior states that
# the items are easy, which contradicts the answers. How far do the abilities move?

# %%
easy = TwoPL(difficulty=Hierarchical(mean=Normal(-1.0, 0.1), sd=HalfNormal(1.0)))
columns = ["ability", "relative_ability"]
moved = fit(answers, easy, seed=1).abilities()[columns] - fitted.abilities()[columns]
moved.agg(["mean", "min", "max"]).round(2)

# %% [markdown]
# All move down together: the same answers to easier items come from weaker models. `relative_ability`, measured from
# the mean of these models, stays as it was. So the comparison of these models does not depend on this prior.

# %% [markdown]
# ## Keep it
# A fit is one file. ArviZ opens it, too.

# %%
with tempfile.TemporaryDirectory() as folder:
    fitted.save(Path(folder) / "fit.nc")
    again = Fit.load(Path(folder) / "fit.nc")
again.summary(["difficulty_mean", "difficulty_sd"]).round(2)

# %% [markdown]
# ## A model of your own
# A model is a class with a name, a Pyro program, the score it expects and a dictionary. Here the difficulty of an item
# depends on something known about it, such as its length.

# %%
import warnings

import numpy as np
import pyro
import pyro.distributions as dist
import torch

from irt_bench import ConvergenceWarning, NUTSSettings, simulate_responses


def normal(sd):
    return dist.Normal(torch.tensor(0.0, dtype=torch.float64), torch.tensor(sd, dtype=torch.float64))


class LengthModel:
    """A 1PL: ability ~ Normal(0, 1), difficulty = effect * length + rest, rest ~ Normal(0, 0.5)."""

    name = "1pl with lengths"

    def __init__(self, length):
        self.length = np.asarray(length, dtype=float)

    def program(self, data):
        effect = pyro.sample("effect", normal(2.0))
        with data.models:
            ability = pyro.sample("ability", normal(1.0))
        with data.items:
            rest = pyro.sample("rest", normal(0.5))
            difficulty = pyro.deterministic("difficulty", effect * data.at_items(self.length) + rest, event_dim=0)
            discrimination = pyro.deterministic("discrimination", torch.ones_like(difficulty), event_dim=0)
        data.observe(ability, difficulty=difficulty, discrimination=discrimination)

    def expected_score(self, parameters, ability):
        return 1 / (1 + np.exp(parameters["difficulty"][..., None, :] - ability[..., None]))

    def to_dict(self):
        return {"name": self.name, "length": self.length.tolist()}


# %% [markdown]
# Sixty models answer twenty items whose difficulty grows by 1.2 per unit of length. NUTS samples the program. The
# chains are short, to save time here; the diagnostics show it.

# %%
rng = np.random.default_rng(8)
length = rng.normal(size=20)
truth = {"ability": rng.normal(size=60), "difficulty": 1.2 * length + 0.3 * rng.normal(size=20), "discrimination": 1.0}
simulated = simulate_responses(TwoPL(), n_models=60, n_items=20, seed=3, parameters=truth).table
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    own = fit(simulated, LengthModel(length), NUTSSettings(chains=2, warmup=100, draws=150, jobs=1, seed=1))
effect = own.posterior["effect"]
print(f"effect of length: {float(effect.mean()):.2f}, sd {float(effect.std()):.2f}")
own.diagnostics()[["status", "value", "threshold"]].head(4).round(3)

# %% [markdown]
# The estimate is close to the true effect of 1.2. Scoring, checks and subsets work with such a model as with the 2PL.
