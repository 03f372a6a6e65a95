"""numpyro NUTS on the dense matrix, chains one after another; the priors of this package's 2PL.

Options: chains, warmup, draws, and dense_mass (false), whether the mass matrix is. ``min_ess`` is the smallest bulk
effective sample size over all parameters.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from common import from_draws, serve
from numpyro.infer import MCMC, NUTS

numpyro.enable_x64(False)


def model(correct, asked):
    n_models, n_items = correct.shape
    difficulty_mean = numpyro.sample("difficulty_mean", dist.Normal(0, 2))
    difficulty_sd = numpyro.sample("difficulty_sd", dist.HalfNormal(2))
    slope_mean = numpyro.sample("log_discrimination_mean", dist.Normal(0, 1))
    slope_sd = numpyro.sample("log_discrimination_sd", dist.HalfNormal(0.5))
    with numpyro.plate("models", n_models):
        ability = numpyro.sample("ability", dist.Normal(0, 1))
    with numpyro.plate("items", n_items):
        difficulty = numpyro.sample("difficulty", dist.Normal(difficulty_mean, difficulty_sd))
        log_slope = numpyro.sample("log_discrimination", dist.Normal(slope_mean, slope_sd))
    log_odds = jnp.exp(log_slope) * (ability[:, None] - difficulty)
    per_cell = correct * log_odds - jnp.logaddexp(0.0, log_odds)
    numpyro.factor("responses", jnp.where(asked, per_cell, 0.0).sum())


def prepare(responses, options):
    return jnp.asarray(np.maximum(responses, 0), dtype=jnp.float32), jnp.asarray(responses >= 0)


def fit(data, options):
    mcmc = MCMC(
        NUTS(model, dense_mass=options.get("dense_mass", False)),
        num_warmup=options["warmup"],
        num_samples=options["draws"],
        num_chains=options["chains"],
        chain_method="sequential",
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(0), *data)
    return jax.block_until_ready(mcmc.get_samples(group_by_chain=True))


def export(samples, data, options):
    draws = {name: np.asarray(value, dtype=np.float64) for name, value in samples.items()}
    draws["discrimination"] = np.exp(draws.pop("log_discrimination"))
    estimates = {}
    for name in ("ability", "difficulty", "discrimination"):
        estimates |= from_draws(name, draws[name].reshape(-1, draws[name].shape[-1]))
    sizes = {name: float(np.min(numpyro.diagnostics.effective_sample_size(value))) for name, value in draws.items()}
    return estimates, {"min_ess": min(sizes.values()), "min_ess_of": min(sizes, key=sizes.get)}


if __name__ == "__main__":
    serve(prepare, fit, export, ("numpyro", "jax", "numpy"), warm_up={"warmup": 5, "draws": 5}, warm_up_shapes=None)
