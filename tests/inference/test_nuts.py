from dataclasses import dataclass

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

import irt_bench
from irt_bench import Fit, LaplaceSettings, NUTSSettings, OnePL, SVISettings, TwoPL, fit, names
from irt_bench.errors import FitError, ModelError
from irt_bench.inference.sampling.coordinates import DTYPE, pyro_runtime
from irt_bench.inference.sampling.nuts import run_chain, sample_nuts
from irt_bench.inference.sampling.svi import fit_svi
from irt_bench.irt_models.program import measured, normal, number


@pytest.fixture
def answers(simulate_cells):
    cells = simulate_cells(12, 5)
    return cells.correct.numpy(), np.ones(cells.shape, dtype=np.int8)


def test_draws_do_not_depend_on_how_many_chains_run_at_once(answers):
    short = {"chains": 2, "warmup": 20, "draws": 10, "seed": 7, "max_tree_depth": 4}
    one, two = (sample_nuts(OnePL(), *answers, NUTSSettings(jobs=jobs, **short)) for jobs in (1, 2))
    for name in one.sites:
        # to rounding: in what order libraries add depends on where a process keeps its arrays
        np.testing.assert_allclose(one.sites[name], two.sites[name], rtol=1e-9, atol=1e-12)
    assert not np.array_equal(one.sites["ability"][0], one.sites["ability"][1])


def test_shapes_statistics_and_progress(answers):
    told = []
    settings = NUTSSettings(chains=2, warmup=15, draws=12, jobs=1, max_tree_depth=4)
    draws = sample_nuts(TwoPL(), *answers, settings, progress=lambda *now: told.append(now))
    assert draws.sites["ability"].shape == (2, 12, 12)
    assert draws.sites["difficulty"].shape == (2, 12, 5)
    assert draws.sites["difficulty_sd"].shape == (2, 12)
    assert {"lp", "acceptance_rate", "tree_depth", "step_size", "energy", "diverging", "n_steps"} == set(
        draws.sample_stats
    )
    for name, values in draws.sample_stats.items():
        assert values.shape == (2, 12) and np.isfinite(values).all(), name
    assert (draws.sample_stats["tree_depth"] <= 4).all()
    assert (draws.sample_stats["n_steps"] < 2 ** draws.sample_stats["tree_depth"]).all()
    assert ((draws.sample_stats["acceptance_rate"] > 0) & (draws.sample_stats["acceptance_rate"] <= 1)).all()
    assert told[-1] == ("sampling", 54, 54)


@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
def test_few_draws_give_a_fit_whose_checks_say_what_is_undefined():
    short = NUTSSettings(chains=2, warmup=5, draws=2, max_tree_depth=3)
    checks = irt_bench.fit(irt_bench.load_example("lsat6"), "1pl", short).diagnostics()
    assert not checks.loc[["r_hat", "ess_bulk"], "status"].eq("passed").any()
    assert checks.loc["ess_bulk", "message"].startswith("the bulk effective sample size of")
    with pytest.raises(ValueError, match="draws"):
        NUTSSettings(draws=1)


def test_a_normal_distribution_is_sampled_with_its_log_density():
    """Two coordinates of sds 1 and 3; lp is the log density at the draw."""

    def log_density(point):
        return -0.5 * (point / torch.tensor([1.0, 3.0], dtype=DTYPE)).square().sum()

    with pyro_runtime(seed=4, threads=1):
        chain = run_chain(log_density, torch.zeros(2, dtype=DTYPE), NUTSSettings(warmup=200, draws=2_000))
    np.testing.assert_allclose(chain.points.std(0), [1, 3], rtol=0.1)
    np.testing.assert_allclose(
        chain.statistics["lp"], [log_density(torch.tensor(point)).item() for point in chain.points], rtol=1e-9
    )
    assert (chain.statistics["energy"] >= -chain.statistics["lp"].max() - 1e-9).all()
    assert not chain.statistics["diverging"].any()


@dataclass(frozen=True, kw_only=True)
class Counted(TwoPL):
    """A model that counts how often its program runs."""

    def program(self, data):
        Counted.runs += 1
        super().program(data)


def test_every_gradient_runs_the_program(answers, monkeypatch):
    from irt_bench.inference.sampling.target import Target

    gradients = []
    density = Target.log_density
    monkeypatch.setattr(Target, "log_density", lambda self, point: gradients.append(1) or density(self, point))
    Counted.runs = 0
    drawn = sample_nuts(Counted(), *answers, NUTSSettings(chains=1, warmup=10, draws=10, jobs=1))
    assert len(gradients) > drawn.sample_stats["n_steps"].sum() > 10
    assert Counted.runs >= len(gradients)


@dataclass(frozen=True, kw_only=True)
class ShiftedAbilities(OnePL):
    """Another prior of ability, written into the program: N(2, 1)."""

    def program(self, data):
        with data.models:
            ability = pyro.sample(names.ABILITY, dist.Normal(number(2.0), number(1.0)))
        with data.items:
            difficulty = pyro.sample(names.DIFFICULTY, dist.Normal(number(0.0), number(0.1)))
            pyro.deterministic(names.DISCRIMINATION, number(1.0).expand(data.n_items), event_dim=0)
        data.observe(ability, difficulty=difficulty, discrimination=number(1.0))


def test_a_prior_altered_in_the_program_alters_the_draws(simulate_counts):
    counts = simulate_counts(12, 8)
    settings = NUTSSettings(chains=1, warmup=40, draws=60, jobs=1), SVISettings(draws=200, max_steps=300)
    for each, method in zip(settings, (sample_nuts, fit_svi), strict=True):
        plain, altered = (method(kind(), *counts, each).sites for kind in (OnePL, ShiftedAbilities))
        assert altered["difficulty"].std(axis=1).max() < 0.2 < plain["difficulty"].std(axis=1).min(), method
        assert altered["ability"].mean() > plain["ability"].mean() + 0.4, method


class Covariate:
    """A user's own model: a 2PL whose difficulty depends on what is known of the item."""

    name = "covariate"

    def __init__(self, length):
        self.length = np.asarray(length, dtype=np.float64)

    def program(self, data):
        with data.models:
            ability = pyro.sample("ability", dist.Normal(number(0.0), number(1.0)))
        location, scale = data.frame(ability)
        effect = pyro.sample("effect", dist.Normal(number(0.0), number(2.0)))
        sd = pyro.sample("residual_sd", dist.HalfNormal(number(1.0)))
        with data.items:
            log_slope = pyro.sample("log_slope", dist.Normal(number(0.0), number(0.5)))
            discrimination = pyro.deterministic("discrimination", log_slope.exp(), event_dim=0)
            advice = measured(origin=location, unit=None if scale is None else 1 / discrimination)
            difficulty = pyro.sample("difficulty", dist.Normal(effect * data.at_items(self.length), sd), infer=advice)
        data.observe(ability, difficulty=difficulty, discrimination=discrimination)

    def expected_score(self, parameters, ability):
        logit = parameters["discrimination"][..., None, :] * (
            ability[..., None] - parameters["difficulty"][..., None, :]
        )
        return 1 / (1 + np.exp(-logit))

    def to_dict(self):
        return {"name": self.name}


@pytest.fixture(scope="module")
def covariate_data():
    rng = np.random.default_rng(8)
    length = rng.normal(size=24)
    difficulty = 1.2 * length + 0.3 * rng.normal(size=24)
    ability = rng.normal(size=50)
    slope = np.exp(0.3 * rng.normal(size=24))
    correct = rng.random((50, 24)) < 1 / (1 + np.exp(-slope * (ability[:, None] - difficulty)))
    return length, correct.astype(np.int8), difficulty


@pytest.mark.parametrize(
    "settings",
    [NUTSSettings(chains=1, warmup=20, draws=20, jobs=1), SVISettings(draws=20, max_steps=50)],
    ids=["nuts", "svi"],
)
@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
def test_a_users_own_model_fits_saves_and_loads(covariate_data, settings, tmp_path):
    length, correct, _ = covariate_data
    model = Covariate(length)
    fitted = fit(correct, model, settings)
    assert fitted.posterior["difficulty"].dims == ("chain", "draw", "item")
    assert fitted.posterior["effect"].dims == ("chain", "draw")
    fitted.save(tmp_path / "fit.nc")
    assert Fit.load(tmp_path / "fit.nc", irt_model=model).irt_model is model
    with pytest.raises(FitError, match="'covariate'; give that model as irt_model"):
        Fit.load(tmp_path / "fit.nc")


def test_the_fast_method_refuses_a_model_that_it_does_not_know(covariate_data):
    length, correct, _ = covariate_data
    for model in (Covariate(length), ShiftedAbilities()):
        with pytest.raises(ModelError, match=rf"method 'laplace' approximates .* only, and {type(model).__name__} \("):
            fit(correct, model, LaplaceSettings())


def test_what_is_no_model_is_refused_by_what_it_lacks(covariate_data):
    with pytest.raises(ModelError, match="object lacks name, program, expected_score, to_dict"):
        fit(covariate_data[1], object(), NUTSSettings())


@pytest.mark.slow
@pytest.mark.filterwarnings(
    *(f"ignore::irt_bench.errors.{kind}" for kind in ("ConvergenceWarning", "FitWarning", "SubsetWarning"))
)
def test_subsets_work_with_a_users_own_model(covariate_data, monkeypatch, tmp_path):
    monkeypatch.setattr("irt_bench.inference.sampling.coordinates.START_STEPS", 200)
    length, correct, _ = covariate_data
    fitted = irt_bench.fit(correct[:16], Covariate(length), SVISettings(draws=100, max_steps=200))
    subset = irt_bench.make_subset(correct[:16], 8, fit=fitted, keep_negative=True)
    means = fitted.posterior["difficulty"].mean(("chain", "draw")).to_series()
    assert subset.record.calibration.irt_model == "covariate" and subset.record.calibration.inference == "svi"
    assert [item.difficulty for item in subset.record.items] == pytest.approx(means[list(subset.ids)].tolist())
    subset.save(tmp_path / "subset.json")
    scored = irt_bench.Subset.load(tmp_path / "subset.json").score(correct)
    new, truth = scored.iloc[16:], correct[16:].mean(axis=1)
    assert np.corrcoef(new["estimate"], truth)[0, 1] > 0.7
    assert ((new["q05"] <= truth) & (truth <= new["q95"])).mean() > 0.7


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [NUTSSettings(chains=1, warmup=150, draws=200, jobs=1), SVISettings(draws=400)], ids=["nuts", "svi"]
)
@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
def test_a_users_own_model_recovers_its_truth(covariate_data, settings):
    """Effect 1.2, residual sd .3; a model told the wrong lengths finds no effect (negative control)."""
    length, correct, difficulty = covariate_data
    fitted = fit(correct, Covariate(length), settings)
    effect = fitted.posterior["effect"]
    assert abs(float(effect.mean()) - 1.2) < 4 * float(effect.std()) < 0.8
    assert fitted.posterior["difficulty"].dims == ("chain", "draw", "item")
    means = fitted.posterior["difficulty"].mean(("chain", "draw"))
    assert np.corrcoef(means, difficulty)[0, 1] > 0.95
    wrong = fit(correct, Covariate(length[::-1]), settings).posterior["effect"]
    assert abs(float(wrong.mean())) < 0.6


@pytest.mark.slow
def test_without_answers_the_posterior_is_the_prior():
    """No trials at all: ability must be N(0, 1), the hierarchy its hyperprior."""
    nothing = np.zeros((6, 4), dtype=np.int8)
    draws = sample_nuts(
        TwoPL(), nothing, nothing, NUTSSettings(chains=2, warmup=200, draws=500, seed=3, max_tree_depth=6)
    )
    ability = draws.sites["ability"]
    assert abs(ability.mean()) < 0.12
    assert ability.std() == pytest.approx(1, abs=0.1)
    assert draws.sites["log_discrimination_mean"].std() == pytest.approx(1, rel=0.25)
    assert draws.sites["difficulty_mean"].std() == pytest.approx(2, rel=0.25)


def test_priors_as_distributions():
    assert normal(OnePL().log_discrimination).loc.dtype == DTYPE
