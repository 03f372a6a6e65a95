import warnings
from dataclasses import replace

import h5py
import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom, norm

from irt_bench import FitWarning, LaplaceSettings, NUTSSettings, ThreePL, TwoPL
from irt_bench.errors import FitError, ModelError
from irt_bench.inference import draws as module
from irt_bench.inference.draws import RESPONSE_GROUPS, check_room, response_groups
from irt_bench.inference.fit import FitResult, fit

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    import arviz
import arviz_stats

pytestmark = [
    pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto"),  # of one answer in 480, 0.72
]
WHOLE, SOME = "every item asked", "some items not asked"


def draws_of(counts, rng, n_chains=2, n_draws=30, **more):
    """Draws about a point, labelled; not of a posterior, which these groups do not ask for."""
    models, items = (np.asarray(frame.index, dtype=str) for frame in (counts.models, counts.items))
    shape = (n_chains, n_draws)
    per_item = {"difficulty": rng.normal(size=(*shape, len(items))), **more}
    per_item["discrimination"] = np.exp(0.3 * rng.normal(size=(*shape, len(items))))
    arrays = {name: (("chain", "draw", "item"), value) for name, value in per_item.items()}
    arrays["ability"] = (("chain", "draw", "model"), rng.normal(size=(*shape, len(models))))
    arrays["difficulty_mean"] = (("chain", "draw"), rng.normal(size=shape))
    coordinates = {"chain": range(n_chains), "draw": range(n_draws), "model": models, "item": items}
    return xr.Dataset(arrays, coordinates)


@pytest.fixture(params=[WHOLE, SOME])
def counts(request, rng, make_counts):
    trials = rng.integers(1, 5, size=(8, 5))
    if request.param == SOME:
        trials[rng.random(trials.shape) < 0.3] = 0
        trials[0] = [3, 0, 1, 1, 2]
    return make_counts(rng.binomial(trials, 0.6), trials)


def as_grid(array, counts):
    """Values by model and item, NaN where not asked, found by their labels alone."""
    if "answer" not in array.dims:
        return array.transpose("chain", "draw", "model", "item").to_numpy()
    out = np.full((array.sizes["chain"], array.sizes["draw"], *counts.trials.shape), np.nan)
    at = [
        frame.index.get_indexer(array[dim].values) for dim, frame in (("model", counts.models), ("item", counts.items))
    ]
    out[:, :, at[0], at[1]] = array.to_numpy()
    return out


def test_log_likelihood_is_the_binomial_one_of_the_cells_that_were_asked(counts, rng):
    posterior = draws_of(counts, rng, guessing=rng.uniform(0.1, 0.3, size=(2, 30, 5)))
    found = response_groups(ThreePL(), posterior, counts)
    value = {name: posterior[name].to_numpy()[:, :, None, :] for name in ("difficulty", "discrimination", "guessing")}
    logit = value["discrimination"] * (posterior["ability"].to_numpy()[..., None] - value["difficulty"])
    chance = value["guessing"] + (1 - value["guessing"]) / (1 + np.exp(-logit))
    expected = np.where(counts.asked, binom.logpmf(counts.correct, counts.trials, chance), np.nan)
    array = found["log_likelihood"]["correct"]
    np.testing.assert_allclose(as_grid(array, counts), expected, rtol=1e-9, atol=1e-12)
    without_coefficient = counts.correct * np.log(chance) + (counts.trials - counts.correct) * np.log1p(-chance)
    assert np.nanmax(np.abs(as_grid(array, counts) - without_coefficient)) > 0.5  # the negative control
    observed = found["observed_data"]["correct"].expand_dims(chain=1, draw=1)
    np.testing.assert_array_equal(as_grid(observed, counts)[0, 0], np.where(counts.asked, counts.correct, np.nan))
    assert array.dims == ("chain", "draw", *(("model", "item") if counts.asked.all() else ("answer",)))


def test_replicated_answers_are_binomial_and_the_same_with_the_same_seed(counts, rng):
    posterior = draws_of(counts, rng, n_draws=4_000).isel(draw=[0] * 4_000)  # one draw of the parameters, again
    first = response_groups(TwoPL(), posterior, counts, seed=3)
    again = response_groups(TwoPL(), posterior, counts, seed=3)
    for group in RESPONSE_GROUPS:
        xr.testing.assert_identical(first[group], again[group])
    groups = ["posterior_predictive"]
    assert not again[groups[0]].equals(response_groups(TwoPL(), posterior, counts, seed=4, groups=groups)[groups[0]])
    drawn = as_grid(first["posterior_predictive"]["correct"], counts)
    at = {name: array.to_numpy()[:, 0] for name, array in posterior.data_vars.items()}
    logit = at["discrimination"][:, None] * (at["ability"][..., None] - at["difficulty"][:, None])
    chance = 1 / (1 + np.exp(-logit))
    asked = counts.asked
    error = np.sqrt(counts.trials * chance * (1 - chance) / 4_000)[:, asked]
    assert (np.abs(drawn.mean(axis=1) - counts.trials * chance)[:, asked] < 4.5 * error).all()
    ratio = drawn.var(axis=1)[:, asked] / (counts.trials * chance * (1 - chance))[:, asked]
    assert np.median(ratio) == pytest.approx(1, abs=0.03)


@pytest.fixture(scope="module")
def answered(make_counts):
    """Answers of a 2PL, a few cells not asked, and their fit."""
    rng = np.random.default_rng(5)
    chance = 1 / (1 + np.exp(-(rng.normal(size=(40, 1)) - rng.normal(size=12))))
    made = []
    for share in (0.0, 0.1):
        trials = (rng.random(chance.shape) >= share).astype(int)
        counts = make_counts(rng.binomial(trials, chance), trials)
        made.append((counts, fit(counts, TwoPL(), LaplaceSettings(draws=1_000, seed=1))))
    return made


def plain_leave_one_out(log_likelihood):
    """Leave-one-out by importance sampling without smoothing, 1 / mean(1 / likelihood), by answer."""
    values = log_likelihood.to_numpy()
    n_draws = values.shape[0] * values.shape[1]
    return np.log(n_draws) - np.logaddexp.reduce(-values.reshape(n_draws, -1), axis=0)


@pytest.mark.parametrize("which", [0, 1], ids=[WHOLE, SOME])
def test_loo_and_plots_run_on_a_loaded_file_and_agree_with_a_direct_computation(answered, which, tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    counts, fitted = answered[which]
    fitted.save(tmp_path / "fit.nc", counts)
    expected = plain_leave_one_out(fitted.log_likelihood(counts)).sum()
    read, loaded = arviz.from_netcdf(tmp_path / "fit.nc"), FitResult.load(tmp_path)
    for container in (fitted.to_arviz(counts), read, loaded.to_arviz()):
        found = arviz.loo(container, pointwise=True)
        assert found.elpd_loo == pytest.approx(expected, abs=1)
        assert found.n_data_points == counts.asked.sum() and (found.pareto_k < 0.7).mean() > 0.99
        assert list(container["observed_data"].data_vars) == ["correct"]
    assert arviz_stats.loo(loaded.to_datatree()).elpd == pytest.approx(expected, abs=1)  # as in ArviZ 1
    in_sample = np.log(np.exp(fitted.log_likelihood(counts)).mean(("chain", "draw"))).sum()
    assert abs(in_sample - expected) > 10  # the negative control
    xr.testing.assert_allclose(loaded.log_likelihood(), fitted.log_likelihood(counts).astype("float32"), rtol=1e-6)
    assert arviz.summary(read, var_names=["difficulty"]).shape[0] == counts.n_items
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of matplotlib and ArviZ
        assert arviz.plot_ppc(read).figure is not None
        assert arviz.plot_trace(read, var_names=["difficulty_sd"]).shape == (1, 2)


def test_loo_of_an_answer_is_that_of_a_fit_without_it(answered):
    counts, settings = answered[0][0], LaplaceSettings(draws=8_000, seed=2)
    fitted = fit(counts, TwoPL(), settings)
    found = arviz.loo(fitted.to_arviz(counts), pointwise=True).loo_i.to_numpy()
    in_sample = np.log(np.exp(fitted.log_likelihood(counts)).mean(("chain", "draw"))).to_numpy()
    for cell in np.argsort(found, axis=None)[:2]:  # the most surprising answers
        model, item = np.unravel_index(cell, found.shape)
        trials = counts.trials.copy()
        trials[model, item] = 0
        without = replace(counts, trials=trials, correct=np.minimum(counts.correct, trials))
        draws = fit(without, TwoPL(), settings).posterior.isel(model=[model], item=[item])
        only = counts.take(models=[model], items=[item])
        alone = response_groups(TwoPL(), draws, only)["log_likelihood"]["correct"]
        expected = float(np.log(np.exp(alone).mean()))
        assert found[model, item] == pytest.approx(expected, abs=0.1)
        assert in_sample[model, item] > expected + 0.3  # the negative control


def test_loo_prefers_the_model_that_the_answers_came_from(answered):
    counts, fitted = answered[0]
    flat = fitted.posterior.assign(ability=fitted.posterior["ability"] * 0)
    groups = {"posterior": flat, **response_groups(TwoPL(), flat, counts, groups=["log_likelihood"])}
    wrong = arviz.InferenceData.from_datatree(xr.DataTree.from_dict(groups))
    assert arviz.loo(fitted.to_arviz(counts)).elpd_loo - arviz.loo(wrong).elpd_loo > 5


def test_a_file_with_a_group_of_another_name_or_a_link_in_one_is_refused(answered, tmp_path):
    counts, fitted = answered[1]
    path = tmp_path / "fit.nc"
    fitted.thin(5).save(path, counts)
    FitResult.load(path)  # the negative control
    with h5py.File(path, "a") as file:
        file.move("observed_data", "prior_predictive")
    with pytest.raises(FitError, match="it holds 'prior_predictive'"):
        FitResult.load(path)
    fitted.thin(5).save(path, counts)
    with h5py.File(path, "a") as file:
        del file["log_likelihood/correct"]
        file["log_likelihood/correct"] = h5py.ExternalLink(str(tmp_path / "other.nc"), "/x")
    with pytest.raises(FitError, match="'correct' is a link to another place"):
        FitResult.load(path)


def test_groups_are_those_asked_for_and_a_file_without_them_has_none(answered, tmp_path):
    counts, fitted = answered[0]
    assert set(fitted.to_datatree().children) == {"posterior", "sample_stats"}
    only = fitted.to_datatree(counts, groups=["log_likelihood"])
    assert set(only.children) == {"posterior", "sample_stats", "log_likelihood"}
    fitted.save(tmp_path / "fit.nc")
    with pytest.raises(FitError, match="responses are None"):
        FitResult.load(tmp_path).log_likelihood()
    with pytest.raises(FitError, match="Did you mean 'log_likelihood'"):
        fitted.to_arviz(counts, groups=["log_likelihod"])


def test_other_responses_are_refused(answered, make_counts):
    counts, fitted = answered[0]
    with pytest.raises(FitError, match="made from other responses .40 models x 12 items"):
        fitted.to_arviz(make_counts(1 - counts.correct))
    fitted.to_arviz(counts, groups=["observed_data"])  # the negative control


def test_thinned_draws_are_evenly_spaced_and_go_into_every_group(answered):
    counts, fitted = answered[0]
    thin = fitted.thin(100)
    assert thin.posterior.sizes["draw"] == thin.log_likelihood(counts).sizes["draw"] == 100
    assert set(np.diff(thin.posterior["draw"])) <= {10, 11}
    xr.testing.assert_equal(
        thin.log_likelihood(counts), fitted.log_likelihood(counts).sel(draw=thin.posterior["draw"].to_numpy())
    )
    assert fitted.thin(10**6).posterior.equals(fitted.posterior)
    with pytest.raises(FitError, match="draws is 0; one of each of the 1 chains"):
        fitted.thin(0)


def test_too_much_is_refused_and_what_is_advised_is_taken(answered, monkeypatch):
    counts, fitted = answered[1]
    monkeypatch.setattr(module, "MAX_GIGABYTES", 0.002)
    with pytest.raises(FitError, match="Take at most [0-9]+ draws in all") as caught:
        fitted.to_arviz(counts)
    advised = int(str(caught.value).split("at most ")[1].split()[0])
    found = fitted.thin(advised).to_datatree(counts)
    size = sum(found[group].dataset.nbytes for group in RESPONSE_GROUPS)
    assert 0.9 * 0.002e9 < size < 1.02 * 0.002e9
    with pytest.raises(FitError):
        check_room(counts, advised + 1)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda parameters, ability: ability, "has shape .8,.; .8, 5. .model, item. is needed"),
        (
            lambda parameters, ability: ability[..., None] - parameters["difficulty"][..., None, :],
            "a chance from 0 to 1",
        ),
        (lambda parameters, ability: np.full((8, 5), np.nan), "is nan; a chance from 0 to 1"),
    ],
)
def test_what_is_no_chance_is_refused(counts, rng, score, message):
    class Own:
        name = "own"
        expected_score = staticmethod(score)

    with pytest.raises(ModelError, match=message):
        response_groups(Own(), draws_of(counts, rng), counts)


def test_a_model_of_a_users_own_gives_its_own_chances(counts, rng):
    class Probit:
        """A normal ogive with an item parameter that no model of the package has."""

        name = "probit"

        def expected_score(self, parameters, ability):
            return norm.cdf(
                ability[..., None] - parameters["difficulty"][..., None, :] + parameters["hint"][..., None, :]
            )

    posterior = draws_of(counts, rng, hint=rng.normal(size=(2, 30, 5)))
    found = as_grid(response_groups(Probit(), posterior, counts)["log_likelihood"]["correct"], counts)
    shift = (posterior["hint"] - posterior["difficulty"]).to_numpy()[:, :, None]
    logit = posterior["ability"].to_numpy()[..., None] + shift
    expected = np.where(counts.asked, binom.logpmf(counts.correct, counts.trials, norm.cdf(logit)), np.nan)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-12)


class Rasch:
    """A user's model, which knows of one draw at a time only."""

    name = "rasch"

    def program(self, data):
        import pyro
        import pyro.distributions as dist
        import torch

        zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
        with data.models:
            ability = pyro.sample("ability", dist.Normal(zero, one))
        with data.items:
            difficulty = pyro.sample("difficulty", dist.Normal(zero, 2 * one))
        data.observe(ability, difficulty=difficulty, discrimination=one.expand(data.n_items))

    def expected_score(self, parameters, ability):
        return 1 / (1 + np.exp(parameters["difficulty"] - ability[:, None]))

    def to_dict(self):
        return {"name": self.name}


@pytest.mark.slow
def test_a_users_model_sampled_by_nuts_is_whole_in_arviz_after_loading(answered, tmp_path):
    counts = answered[1][0].take(models=slice(20), items=slice(8))
    assert not counts.asked.all()
    fitted = fit(counts, Rasch(), NUTSSettings(chains=2, warmup=30, draws=60, jobs=1, seed=1))
    fitted.save(tmp_path / "fit.nc", counts)
    loaded = FitResult.load(tmp_path, irt_model=Rasch())
    container = loaded.to_arviz()
    assert {*RESPONSE_GROUPS, "posterior", "sample_stats"} <= set(container.groups())
    statistics = {"lp", "acceptance_rate", "tree_depth", "step_size", "energy", "diverging"}
    assert statistics <= set(container["sample_stats"].data_vars)
    expected = plain_leave_one_out(loaded.log_likelihood()).sum()
    assert arviz.loo(container).elpd_loo == pytest.approx(expected, abs=2)
    assert arviz.summary(container, var_names=["difficulty"]).shape[0] == 8
    logit = fitted.posterior["ability"] - fitted.posterior["difficulty"]
    right = logit.transpose("chain", "draw", "model", "item").to_numpy()[..., counts.asked]
    sign = np.where(counts.correct[counts.asked], 1, -1)
    np.testing.assert_allclose(loaded.log_likelihood(), -np.log1p(np.exp(-sign * right)), rtol=1e-5)


def test_models_in_another_order_than_the_draws_are_found_by_their_labels(counts, rng):
    posterior = draws_of(counts, rng)
    turned = posterior.isel(model=slice(None, None, -1))
    groups = ["log_likelihood"]
    expected = response_groups(TwoPL(), posterior, counts, groups=groups)["log_likelihood"]
    xr.testing.assert_identical(response_groups(TwoPL(), turned, counts, groups=groups)["log_likelihood"], expected)


def test_chances_that_round_to_one_leave_the_log_likelihood_finite(counts, rng):
    posterior = draws_of(counts, rng)
    posterior["ability"] = posterior["ability"] + 1e4
    values = response_groups(TwoPL(), posterior, counts)["log_likelihood"]["correct"]
    assert np.isfinite(values).all() and values.min() < -36


def test_draws_widened_for_clusters_say_that_loo_is_not_for_them(answered):
    counts, fitted = answered[0]
    widened = fit(counts, TwoPL(), model_clusters=np.repeat(range(10), 4))
    with pytest.warns(FitWarning, match="widened for clusters"):
        widened.to_arviz(counts)
