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
# asks six questions that this number does not settle. Everything used here is in the namespace `irt_bench`.
#
# The data come with the package. They are simulated: 120 models answer 100 items, and two items have a wrong key. With
# your own results, replace the next cell by `answers = read_responses(["results/"])`, or by any DataFrame with one row
# per model, one column per item, and values 0 and 1.

# %%
import tempfile
from pathlib import Path

from irt_bench import Fit, HalfNormal, Hierarchical, Normal, TwoPL, fit, item_analysis, load_example

answers = load_example("benchmark").to_frame().pivot(index="model", columns="item", values="correct").astype(float)
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
# ## How able is each model, and how sure is that?
# The 2PL gives each item a difficulty and a discrimination, and each model an ability. The default method takes a
# second or two. It draws from the posterior, so that every number has an interval.

# %%
fitted = fit(answers, "2pl", seed=1)
fitted.plot("abilities")

# %%
fitted.abilities()[["ability", "ability_q05", "ability_q95", "accuracy", "rank", "rank_q05", "rank_q95"]].sort_values(
    "rank"
).head(8).round(2)

# %% [markdown]
# The first two models stand clear of the rest. Most others overlap with many: with 98 items a rank in the middle is
# uncertain by some twenty places in each direction.

# %% [markdown]
# ## Do the items suit the models?
# Models and items share one scale. A model at the same place as an item solves it in half of the cases.

# %%
fitted.plot("wright")

# %%
fitted.plot("information", width=7)

# %% [markdown]
# The items cover the range of the models. Abilities are known best a little above the middle, and less well at both
# ends. A benchmark for stronger models needs harder items.

# %% [markdown]
# ## Does the model describe the answers?
# The fit is compared with data sets that are simulated from it. Each check has a limit, and its message says what to
# do.

# %%
checks = fitted.check(replicates=19, seed=1)
checks.plot()

# %%
checks.summary()[["status", "value", "threshold"]].round(2)

# %% [markdown]
# No check fails. That shows no fault; it does not prove the model. Three items by their curves, with the observed
# shares of right answers:

# %%
fitted.plot("curves", items=list(fitted.items()["discrimination"].sort_values().index[[0, 49, 97]]))

# %% [markdown]
# ## Would accuracy have ranked the models alike?

# %%
comparison = fitted.compare_accuracy(seed=1)
comparison.correlations().round(2)

# %% [markdown]
# Nearly. `rankings` compares the two orders of these models. `estimate` says how well accuracy orders the true
# abilities. For ranking alone, accuracy would have done here. Ability is needed where models answered different items.

# %% [markdown]
# ## How able are new models?
# The items stay as they are. Two new models answered 20 of them each.

# %%
new = answers.iloc[[0, 60], :20].set_axis(["strong model", "weak model"])
fitted.score(new).round(2)

# %% [markdown]
# ## What do the priors do?
# They are fields of the model. Here the mean difficulty is thought to be low, and we look at how far the abilities
# move.

# %%
easy = TwoPL(difficulty=Hierarchical(mean=Normal(-1.0, 0.5), sd=HalfNormal(1.0)))
moved = fit(answers, easy, seed=1).abilities()["ability"] - fitted.abilities()["ability"]
print(f"abilities move by at most {moved.abs().max():.2f}; their posterior sd is about "
      f"{fitted.abilities()['ability_sd'].median():.2f}")  # fmt: skip

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
# chains are short, to save time here; the diagnostics say so.

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
# The effect is found. Scoring, checks and subsets work with such a model as with the 2PL.
