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
# # Fit and check a 2PL
#
# The responses are simulated, so that every estimate can be held against the truth. With your own results, replace the
# first cell by `counts = read_responses(["results/"]).counts()`.
#
# Open as a notebook: `jupytext --to ipynb --set-kernel python3 notebooks/fit_and_check_2pl.py`

# %%
import matplotlib.pyplot as plt
import numpy as np
import pyro
import pyro.distributions as dist

from irt_bench import (
    LaplaceSettings,
    NUTSSettings,
    SVISettings,
    TwoPL,
    ability_table,
    compare_ability_accuracy,
    fit,
    item_statistics,
    item_table,
    score_models,
    simulate_responses,
)
from irt_bench.irt_models.program import measured, number

simulation = simulate_responses(TwoPL(), n_models=200, n_items=80, seed=1)
counts = simulation.table.counts()
print(f"{counts.n_models} models x {counts.n_items} items, {counts.correct.mean():.0%} right")

# %% [markdown]
# ## Look at the items first
# An item that better models fail more often has a negative item-rest correlation. It may have a wrong key.

# %%
statistics = item_statistics(counts)
statistics[["proportion_correct", "item_rest_correlation", "item_rest_q05", "item_rest_q95", "flags"]].sort_values(
    "item_rest_correlation"
).head().round(2)

# %% [markdown]
# ## Fit
# `LaplaceSettings` is the fast method. `SVISettings` and `NUTSSettings` take longer and confirm it.

# %%
fitted = fit(counts, TwoPL(), LaplaceSettings(seed=1))
for check in fitted.checks:
    print(f"{check.status:15} {check.name:12} {check.message}")
assert fitted.converged

# %% [markdown]
# ## Hold the estimates against the truth
# Of all 90% intervals about 90% should cover, and a line through truth against estimate should have a slope near 1.

# %%
abilities, items = ability_table(fitted.posterior, counts), item_table(fitted.posterior, counts)
figure, panels = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
coverage = {}
for axes, (name, table) in zip(
    panels, {"ability": abilities, "difficulty": items, "discrimination": items}.items(), strict=True
):
    truth = simulation.truth[name].to_series().loc[table.index]
    low, high = table[f"{name}_q05"], table[f"{name}_q95"]
    coverage[name] = ((low <= truth) & (truth <= high)).mean()
    axes.hlines(truth, low, high, color="#CFCFCF", linewidth=0.8)
    axes.scatter(table[name], truth, s=9, color="#0072B2", zorder=3)
    axes.axline((1, 1), slope=1, color="#8C8C8C", linewidth=0.8)
    axes.set(title=f"{name}: {coverage[name]:.0%} of the 90% intervals cover", xlabel="estimate", ylabel="truth")
assert all(share > 0.8 for share in coverage.values())

# %% [markdown]
# ## Would accuracy have done?
# Both rank the same models. `rankings` says how far they agree, `estimate` how well accuracy orders true ability.

# %%
comparison = compare_ability_accuracy(fitted.posterior, counts)
comparison.correlations.round(3)

# %%
comparison.reliability.round(3)

# %% [markdown]
# ## Score a model that was not in the fit
# The items stay as they are. Here a model of ability 1 answers.

# %%
newcomer = simulate_responses(
    TwoPL(),
    n_models=1,
    n_items=80,
    seed=2,
    parameters={"ability": 1.0}
    | {name: simulation.truth[name].to_numpy() for name in ("difficulty", "discrimination")},
)
scores = score_models(newcomer.table.counts(), fitted.posterior)
assert np.isfinite(scores["ability"]).all()
scores.round(2)

# %% [markdown]
# ## Write a model of your own
# A model is a class with a name, a Pyro program, the score it expects and a dictionary. Here difficulty depends on what
# is known of an item, its length say. `measured` is advice to the sampler: items are measured from the abilities' mean,
# in units of 1 / discrimination. The model is the same without it.


# %%
class LengthModel:
    """A 2PL: b ~ Normal(effect * length, sd), log a ~ Normal(0, 0.5)."""

    name = "2pl with lengths"

    def __init__(self, length):
        self.length = np.asarray(length, dtype=float)

    def program(self, data):
        with data.models:
            ability = pyro.sample("ability", dist.Normal(number(0.0), number(1.0)))
        origin, _ = data.frame(ability)
        effect = pyro.sample("effect", dist.Normal(number(0.0), number(2.0)))
        sd = pyro.sample("residual_sd", dist.HalfNormal(number(1.0)))
        with data.items:
            log_slope = pyro.sample("log_slope", dist.Normal(number(0.0), number(0.5)))
            discrimination = pyro.deterministic("discrimination", log_slope.exp(), event_dim=0)
            difficulty = pyro.sample(
                "difficulty",
                dist.Normal(effect * data.at_items(self.length), sd),
                infer=measured(origin=origin, unit=1 / discrimination),
            )
        data.observe(ability, difficulty=difficulty, discrimination=discrimination)

    def expected_score(self, parameters, ability):
        distance = ability[..., None] - parameters["difficulty"][..., None, :]
        return 1 / (1 + np.exp(-parameters["discrimination"][..., None, :] * distance))

    def to_dict(self):
        return {"name": self.name, "length": self.length.tolist()}


# %% [markdown]
# Forty models answer twenty items whose difficulty grows by 1.2 per unit of length. NUTS and SVI fit the model as it
# stands, and scoring reads the difficulty and discrimination that it reports.

# %%
rng = np.random.default_rng(8)
length = rng.normal(size=20)
truth = {"ability": rng.normal(size=40), "difficulty": 1.2 * length + 0.3 * rng.normal(size=20), "discrimination": 1.0}
answers = simulate_responses(TwoPL(), n_models=40, n_items=20, seed=3, parameters=truth).table.counts()
for settings in (NUTSSettings(chains=2, warmup=100, draws=150, jobs=1, seed=1), SVISettings(seed=1)):
    own = fit(answers, LengthModel(length), settings)
    effect = own.posterior["effect"]
    print(f"{settings.method}: effect of length {float(effect.mean()):.2f}, sd {float(effect.std()):.2f}")
    assert abs(float(effect.mean()) - 1.2) < 4 * float(effect.std())
score_models(answers.take(models=slice(0, 3)), own.posterior).round(2)
