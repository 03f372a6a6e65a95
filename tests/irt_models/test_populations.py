"""Populations of models: what is refused, simulated and fitted, and how new models are scored."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from irt_bench import (
    Fit,
    FitWarning,
    Groups,
    HalfNormal,
    LaplaceSettings,
    Normal,
    NUTSSettings,
    OnePL,
    Regression,
    SVISettings,
    TwoPL,
    fit,
    simulate_responses,
)
from irt_bench.analysis.abilities import score_models
from irt_bench.analysis.irt import ability_table, population_table
from irt_bench.errors import AnalysisError, ModelError, ResponsesWarning
from irt_bench.irt_models.logistic import irt_model_from_dict

QUICK = LaplaceSettings(refine=False)
SIZES, MEANS, SDS = (120, 60, 60), (0.0, 1.2, -0.7), (1.0, 0.6, 1.3)


def of_groups(seed, *, n_items=60, sizes=SIZES, forms=False):
    """Three groups with known means and sds; with forms, each has a third of the items to itself."""
    group = np.repeat(np.arange(3), sizes)
    rng = np.random.default_rng(seed)
    ability = np.array(MEANS)[group] + np.array(SDS)[group] * rng.standard_normal(len(group))
    made = simulate_responses(TwoPL(), n_models=len(group), n_items=n_items, seed=seed, parameters={"ability": ability})
    counts = made.table.counts()
    counts = replace(counts, models=counts.models.assign(family=np.array(list("abc"))[group]))
    if forms:
        own = np.arange(n_items) % 5
        asked = (own >= 3) | (own == group[:, None])
        counts = replace(counts, correct=counts.correct * asked, trials=counts.trials * asked)
    return counts, made.truth


def of_regression(seed, *, n_models=240, n_items=60):
    rng = np.random.default_rng(seed)
    models = pd.DataFrame(
        {"log_params": rng.normal(3, 2, n_models), "family": [f"f{at}" for at in rng.integers(0, 12, n_models)]},
        index=range(n_models),  # numbers are labels, too
    )
    model = TwoPL(population=Regression(["log_params"], group="family"))
    made = simulate_responses(model, n_models=n_models, n_items=n_items, seed=seed, models=models)
    return made.table.counts(), made.truth, models, model


def covered(array, truth):
    low, high = array.quantile([0.05, 0.95], ("chain", "draw")).values
    return (low <= truth) & (truth <= high)


@pytest.mark.parametrize("forms", [False, True], ids=["one form", "three forms"])
def test_means_and_sds_of_groups_are_found_and_one_population_does_not(forms):
    counts, truth = of_groups(3, forms=forms)
    table = population_table(fit(counts, TwoPL(population=Groups("family")), QUICK).posterior)
    assert table["reference"].tolist() == [True, False, False] and table["n_models"].tolist() == list(SIZES)
    assert table.loc["a", ["mean", "mean_sd", "sd", "sd_sd"]].tolist() == [0, 0, 1, 0]
    for place, name in ((1, "b"), (2, "c")):
        row = table.loc[name]
        assert row["mean_q05"] < MEANS[place] < row["mean_q95"]
        assert row["sd_q05"] < SDS[place] < row["sd_q95"]
    if forms:  # the negative control: N(0, 1) for all draws groups together that answered different items
        with pytest.warns(FitWarning, match="population="):
            one = fit(counts, TwoPL(), QUICK, model_clusters=False).posterior["ability"].mean(("chain", "draw")).values
        planted = truth["ability"].values
        b, a = (counts.models["family"] == name for name in "ba")
        gap, wanted = ((each[b].mean() - each[a].mean()) / each[a].std() for each in (one, planted))
        assert gap < wanted - 0.1


def test_a_regression_finds_what_was_drawn_and_shuffled_covariates_do_not():
    counts, truth, models, model = of_regression(5)
    fitted = fit(counts, model, QUICK)
    for name in ("coefficient", "group_effect", "group_effect_sd"):
        assert covered(fitted.posterior[name], truth[name].values).mean() > 0.7
    table = population_table(fitted.posterior)
    assert table.index[0] == "log_params" and table.index[-1] == "sd of groups"
    assert table["covariate_mean"].iloc[0] == pytest.approx(models["log_params"].mean())
    shuffled = models["log_params"].sample(frac=1, random_state=1).to_numpy()
    other = replace(counts, models=counts.models.assign(log_params=shuffled))
    row = population_table(fit(other, model, QUICK).posterior).loc["log_params"]
    assert row["effect_q05"] < 0.1 and row["effect_q95"] > -0.1
    assert abs(float(truth["coefficient"][0])) > 0.3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")  # of eight items
@pytest.mark.parametrize(
    "population", [Groups("family"), Regression(["x"], group="family")], ids=["groups", "regression"]
)
def test_nuts_svi_and_the_fast_method_agree(population):
    rng = np.random.default_rng(1)
    group, x = np.arange(36) % 3, rng.normal(size=36)
    ability = x + 0.7 * (group - 1) + rng.standard_normal(36)
    made = simulate_responses(OnePL(), n_models=36, n_items=8, seed=1, parameters={"ability": ability})
    counts = made.table.counts()
    counts = replace(counts, models=counts.models.assign(family=np.array(list("abc"))[group], x=x))
    model = OnePL(difficulty=Normal(0, 1.5), log_discrimination=Normal(0, 0.5), population=population)
    fast = fit(counts, model, LaplaceSettings(draws=1_000), model_clusters=False).posterior
    exact = fit(counts, model, NUTSSettings(chains=1, warmup=150, draws=500, jobs=1), model_clusters=False).posterior
    rough = fit(counts, model, SVISettings(max_steps=2_000), model_clusters=False).posterior
    assert set(fast.data_vars) == set(exact.data_vars) == set(rough.data_vars)
    for name in population.dims:
        drawn = exact[name].std(("chain", "draw")).values > 0  # not the reference
        mean, sd = (getattr(exact[name], what)(("chain", "draw")).values[drawn] for what in ("mean", "std"))
        for other, shift in ((fast, 0.3), (rough, 0.5)):
            there = other[name].mean(("chain", "draw")).values[drawn]
            assert np.abs(there - mean).max() < shift * sd.max(), name
        np.testing.assert_allclose(fast[name].std(("chain", "draw")).values[drawn], sd, rtol=0.35)


def test_the_program_has_the_density_that_the_definition_says():
    from irt_bench.inference.sampling.likelihood import ResponseCells, ResponseData
    from irt_bench.inference.sampling.target import Target

    metadata = pd.DataFrame({"family": list("aabbbcc")}, index=list("tuvwxyz"))
    model = TwoPL(population=Groups("family", reference="b")).for_models(metadata, np.ones(7, bool))
    cells = ResponseCells.from_arrays(np.zeros((7, 3), int), np.zeros((7, 3), int))
    target = Target(model, ResponseData(cells, framed=False))
    rng = np.random.default_rng(2)
    found = []
    for scale in (1.0, 2.0):
        values = {"other_mean": np.array([0.4, -0.2]), "other_sd": np.array([0.5, 1.5]) * scale, "ability": np.ones(7)}
        values |= {"difficulty_mean": 0.1, "difficulty_sd": 1.0, "log_discrimination_mean": 0.0}
        values |= {"log_discrimination_sd": 0.4, "difficulty": np.zeros(3), "log_discrimination": np.zeros(3)}
        point = target.flatten(target.read(values))
        value, slope = target.value_and_gradient(point)
        step = 1e-5 * rng.normal(size=len(point))
        ahead, behind = (target.value_and_gradient(point + sign * step)[0] for sign in (1, -1))
        assert (ahead - behind) / 2 == pytest.approx(slope @ step, rel=1e-4)
        mean = np.array([0.4, 0.4, 0, 0, 0, -0.2, -0.2])
        sd = np.array([0.5, 0.5, 1, 1, 1, 1.5, 1.5]) * np.array([scale, scale, 1, 1, 1, scale, scale])
        mapped = norm.logpdf(norm.ppf(2 * norm.cdf(values["other_sd"]) - 1)).sum()  # of sds, in their coordinates
        found.append((value, norm.logpdf(1.0, mean, sd).sum() + mapped))
    assert found[1][0] - found[0][0] == pytest.approx(found[1][1] - found[0][1], abs=1e-6)


def test_a_new_model_gets_the_prior_of_its_group_and_one_without_the_mixture():
    counts, _ = of_groups(4, n_items=20)
    fitted = fit(counts, TwoPL(population=Groups("family")), QUICK)
    new = counts.take(models=[0, 1, 2, 3])
    silent = replace(new, correct=new.correct * 0, trials=new.trials * 0)
    silent = replace(silent, models=silent.models.assign(family=["a", "b", "c", "elsewhere"]))
    with (
        pytest.warns(ResponsesWarning, match="no responses and get the prior, that of their population"),
        pytest.warns(ResponsesWarning, match="1 of 4 models have no group .* Their prior is the mixture"),
    ):
        scores = score_models(silent, fitted.posterior)
    table = population_table(fitted.posterior)
    np.testing.assert_allclose(scores["ability"].iloc[:3], table["mean"], atol=0.02)
    share = np.array(SIZES) / sum(SIZES)
    mean = share @ table["mean"]
    sd = np.sqrt(share @ (table["mean"] ** 2 + table["sd"] ** 2 + table["mean_sd"] ** 2) - mean**2)
    assert scores["ability"].iloc[3] == pytest.approx(mean, abs=0.03)
    assert scores["ability_sd"].iloc[3] == pytest.approx(sd, rel=0.05)
    same = replace(new, models=new.models.assign(family=["a", "b", "c", "c"]))
    one, three = (
        score_models(replace(same, correct=same.correct * 0 + [[1, 0] * 10]), fitted.posterior, method=each)
        for each in ("eap", "map")
    )
    for found in (one, three):  # the same answers: the abler the group, the abler the model
        assert found["ability"].iloc[1] > found["ability"].iloc[0] > found["ability"].iloc[2]


def test_a_saved_fit_knows_its_populations(tmp_path):
    counts, _ = of_groups(4, n_items=20)
    fitted = fit(counts, TwoPL(population=Groups("family")), QUICK)
    fitted.save(tmp_path / "fit.nc", counts)
    again = Fit.load(tmp_path / "fit.nc")
    assert again.irt_model == fitted.irt_model
    assert irt_model_from_dict(json.loads(json.dumps(fitted.irt_model.to_dict()))) == fitted.irt_model
    pd.testing.assert_frame_equal(population_table(again.posterior), population_table(fitted.posterior), atol=1e-5)
    bare = replace(counts, models=counts.models[[]])  # metadata from the fit
    wanted = ability_table(fitted.posterior, counts)["ability"]
    np.testing.assert_allclose(ability_table(again.posterior, bare)["ability"], wanted, atol=1e-4)


def test_what_makes_no_sense_is_refused():
    models = pd.DataFrame(
        {"one": "a", "lone": ["a"] * 5 + ["b"], "gap": ["a", "b", None] * 2, "flat": 1.0, "text": list("abcdef"),
         "x": np.arange(6.0), "twice": 2 * np.arange(6.0)},
        index=list("uvwxyz"),
    )  # fmt: skip
    everyone = np.ones(6, bool)
    for population, message in (
        (Groups("family"), "column of the models 'family' is not known"),
        (Groups("one"), "has one group"),
        (Groups("lone"), "group 'b' of column 'lone' has 1 models"),
        (Groups("gap"), "2 models have no group in column 'gap'; first: 'w'"),
        (Regression(["flat"]), "'flat' is the same in all models"),
        (Regression(["text"]), "covariate 'text' is 'a' for model 'u'"),
        (Regression(["x", "twice"]), "follows from the others"),
        (Regression(["x"], group="lone"), "has 2 groups; an sd of groups needs 3"),
    ):
        with pytest.raises(ModelError, match=message):
            TwoPL(population=population).for_models(models, everyone)
    with pytest.raises(ModelError, match="neither covariates nor a group"):
        Regression(())
    with pytest.raises(ModelError, match="a list of columns"):
        Regression("log_params")
    with pytest.raises(ModelError, match="population='family', where None or Groups or Regression"):
        TwoPL(population="family")
    counts, _ = of_groups(4, n_items=20)
    with pytest.raises(ModelError, match="suppose one population"):
        fit(counts, TwoPL(population=Groups("family")), QUICK, copies="once")
    with pytest.raises(AnalysisError, match="one population"):
        population_table(fit(counts, TwoPL(), QUICK, model_clusters=False).posterior)
    assert Groups("family", sd=HalfNormal(0.5)) != Groups("family")
