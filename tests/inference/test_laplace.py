import numpy as np
import pytest

from irt_bench import FourPL, LaplaceSettings, Normal, NUTSSettings, OnePL, ThreePL, TwoPL, simulate_responses
from irt_bench.errors import FitError
from irt_bench.inference.convergence import APART_LIMIT
from irt_bench.inference.fast import laplace
from irt_bench.inference.fast.laplace import approximate, fit_laplace
from irt_bench.inference.sampling.nuts import sample_nuts

INDEPENDENT = TwoPL(difficulty=Normal(0.5, 1.0), log_discrimination=Normal(0.2, 0.4))
SHAPES = {"grid": (300, 60), "normal": (120, 1_500)}

LIMITS = {  # of the mean distance of means, in sds, and of the sds' ratio from one
    False: (("ability", 0.15, 0.1), ("difficulty", 0.3, 0.2)),
    True: (("ability", 0.12, 0.1), ("difficulty", 0.12, 0.15)),  # NUTS draws 300: its sds are uncertain by 5-10%
}


def simulate(irt_model, shape, seed, **options):
    made = simulate_responses(irt_model, n_models=shape[0], n_items=shape[1], seed=seed, **options)
    counts = made.table.counts()
    return made.truth, counts.correct, counts.trials


def standardise(ability):
    """Abilities relative to each other: what remains when location and scale are free."""
    return (ability - ability.mean(axis=-1, keepdims=True)) / ability.std(axis=-1, keepdims=True)


def covered(draws, truth):
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return np.mean((low <= truth) & (truth <= high))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL(), ThreePL(guessing=0.2)], ids=["1pl", "2pl", "3pl"])
def test_intervals_cover_what_was_planted_and_halved_ones_do_not(name, irt_model):
    truth, correct, trials = simulate(irt_model, SHAPES[name], 5, missing=0.1)
    draws = fit_laplace(irt_model, correct, trials, LaplaceSettings(seed=1))
    assert draws.notes["change"] < draws.notes["tolerance"]
    ability = draws.sites["ability"][0]
    relative, planted = standardise(ability), standardise(truth["ability"].values)
    assert 0.8 < covered(relative, planted) < 0.98
    halved = relative.mean(axis=0) + (relative - relative.mean(axis=0)) / 2
    assert covered(halved, planted) < 0.75
    assert 0.75 < covered(draws.sites["difficulty"][0], truth["difficulty"].values) < 0.98


@pytest.mark.parametrize("irt_model", [TwoPL(), INDEPENDENT], ids=["hierarchical", "independent"])
def test_means_and_sds_agree_with_nuts(irt_model):
    _, correct, trials = simulate(TwoPL(), (120, 8), 3)
    exact = sample_nuts(
        irt_model, correct, trials, NUTSSettings(chains=1, warmup=100, draws=300, jobs=1, max_tree_depth=6)
    ).sites
    for refine in (False, True):
        fast = fit_laplace(irt_model, correct, trials, LaplaceSettings(draws=4_000, refine=refine)).sites
        assert fast.keys() == exact.keys()
        check_agreement(fast, exact, LIMITS[refine])


def check_agreement(fast, exact, limits):
    for name, shift, stretch in limits:
        mean, sd = exact[name].mean((0, 1)), exact[name].std((0, 1))
        assert np.mean(np.abs(fast[name].mean((0, 1)) - mean) / sd) < shift
        assert np.median(fast[name].std((0, 1)) / sd) == pytest.approx(1, abs=stretch)


def test_results_depend_on_the_seed_and_not_on_the_threads():
    _, correct, trials = simulate(TwoPL(), (50, 40), 2)

    def draw(seed, threads):
        return fit_laplace(TwoPL(), correct, trials, LaplaceSettings(seed=seed, threads=threads)).sites["difficulty"]

    np.testing.assert_array_equal(draw(1, 1), draw(1, 1))
    np.testing.assert_allclose(draw(1, 1), draw(1, 2), atol=1e-4)
    assert (draw(1, 1) != draw(2, 1)).any()


def test_never_asked_cells_change_nothing_but_their_own_rows():
    _, correct, trials = simulate(TwoPL(), (50, 40), 2)
    none = np.zeros((50, 1), dtype=trials.dtype)
    more = [np.hstack([cells, none]) for cells in (correct, trials)]
    before, after = (fit_laplace(TwoPL(), *cells, LaplaceSettings()).sites for cells in ((correct, trials), more))
    ability = before["ability"].mean((0, 1))
    np.testing.assert_allclose(after["ability"].mean((0, 1)), ability, atol=0.08)
    assert after["difficulty"].shape[2] == 41


@pytest.mark.filterwarnings("ignore::irt_bench.errors.FitWarning")  # little data, much guessing: said, and finite
@pytest.mark.parametrize("guessing", [0.1, 0.25, 0.5])
def test_known_guessing_on_a_small_matrix_has_finite_results(guessing):
    _, correct, trials = simulate(TwoPL(), (25, 12), 3)
    draws = fit_laplace(ThreePL(guessing=guessing), correct, trials, LaplaceSettings())
    assert all(np.isfinite(values).all() for values in draws.sites.values())


@pytest.mark.parametrize("correct", [np.ones((6, 4)), np.zeros((6, 4)), np.eye(6)[:, :4]])
def test_constant_and_tiny_matrices_have_finite_results(correct):
    correct = correct.astype(np.int8)
    draws = fit_laplace(TwoPL(), correct, np.ones_like(correct), LaplaceSettings())
    assert all(np.isfinite(values).all() for values in draws.sites.values())


PRIOR = {"difficulty": Normal(1.0, 1.5), "log_discrimination": Normal(0.1, 0.4)}


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("kind", [OnePL, TwoPL])
def test_draws_under_independent_priors_cover_truths_from_them_and_a_wrong_prior_does_not(kind, refine):
    """Difficulties of N(1, 1.5^2) against abilities of N(0, 1): their own prior places them, not a learned mean."""
    found, wrong = [], []
    off = kind(difficulty=Normal(-1.0, 0.5), log_discrimination=Normal(0.1, 0.4))
    for seed in range(6):
        truth, correct, trials = simulate(kind(**PRIOR), (80, 25), seed, hyperparameters={}, missing=0.6)
        for irt_model, kept in ((kind(**PRIOR), found), (off, wrong)):
            sites = fit_laplace(irt_model, correct, trials, LaplaceSettings(refine=refine, draws=400)).sites
            assert sites.keys() == {"ability", "difficulty", "log_discrimination", "discrimination"}
            kept.append([covered(sites[name][0], truth[name].values) for name in ("ability", "difficulty")])
    assert (np.abs(np.mean(found, axis=0) - 0.9) < 0.05).all()
    assert np.mean(wrong, axis=0)[1] < 0.75


@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL()], ids=["1pl", "2pl"])
def test_an_item_nobody_was_asked_keeps_its_prior(irt_model):
    _, correct, trials = simulate(TwoPL(), (60, 30), 2)
    correct, trials = (np.hstack([cells, np.zeros((60, 1), np.int8)]) for cells in (correct, trials))
    sites = fit_laplace(irt_model, correct, trials, LaplaceSettings(refine=False)).sites
    drawn, asked = sites["difficulty"][0, :, 30], sites["difficulty"][0, :, :30]
    assert drawn.std() == pytest.approx(sites["difficulty_sd"].mean(), rel=0.4)  # normal in other coordinates
    assert drawn.std() > 2 * asked.std(axis=0).mean()


def test_steep_items_get_a_finer_grid():
    """With slopes of five, nodes laid for slopes of one would miss posteriors between them."""
    options = {"parameters": {"discrimination": 5.0}}
    truth, correct, trials = simulate(TwoPL(), (300, 40), 4, **options)
    sites = fit_laplace(TwoPL(), correct, trials, LaplaceSettings()).sites
    slope = np.exp(sites["log_discrimination"].mean((0, 1)))
    assert np.median(slope) == pytest.approx(5, rel=0.15)
    difficulty = sites["difficulty"].mean((0, 1))
    near = np.abs(truth["difficulty"].values) < 1.5
    assert np.corrcoef(difficulty[near], truth["difficulty"].values[near])[0, 1] > 0.99


def test_mis_keyed_items_do_not_keep_it_from_standing_still():
    _, correct, trials = simulate(TwoPL(), (150, 50), 4)
    wrong = np.where(np.arange(50) < 4, 1 - correct, correct).astype(np.int8)
    draws = fit_laplace(TwoPL(), wrong, trials, LaplaceSettings())
    assert draws.notes["change"] < draws.notes["tolerance"]
    slopes = np.exp(draws.sites["log_discrimination"].mean((0, 1)))
    assert slopes[:4].max() < slopes[4:].min() + 0.2  # a > 0: an item that goes against the rest tells next to nothing


@pytest.mark.parametrize("irt_model", [ThreePL(), FourPL()])
def test_learned_asymptotes_are_refused_with_what_to_do(irt_model):
    answers = np.eye(4, dtype=np.int8)
    with pytest.raises(FitError, match="guessing=0.25"):
        fit_laplace(irt_model, answers, np.ones_like(answers), LaplaceSettings())


@pytest.mark.filterwarnings("ignore::irt_bench.errors.FitWarning")
def test_draws_of_items_without_bounds_stay_where_data_could_reach(rng):
    """Four models to 40 items: some directions have no peak, and slopes of e^12 were drawn there."""
    correct = (rng.random((4, 40)) < 0.5).astype(np.int8)
    sites = fit_laplace(TwoPL(), correct, np.ones_like(correct), LaplaceSettings(refine=False)).sites
    assert np.abs(sites["log_discrimination"]).max() <= 5
    assert np.abs(sites["difficulty"] * np.exp(sites["log_discrimination"])).max() <= 40.01


@pytest.mark.parametrize("shape", [(7, 6), (12, 8), (40, 20)])
@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL()], ids=["1pl", "2pl"])
def test_answers_that_say_nothing_of_slopes_do_not_make_them_circle(irt_model, shape):
    """Coins: scoring alone overshoots by a factor of two there, for ever, in five of these six cases."""
    for seed in (1, 4, 7):
        coins = np.random.default_rng(seed).integers(0, 2, shape).astype(float)
        state = approximate(irt_model, coins, np.ones(shape), threads=1).state
        assert state.change < LaplaceSettings().tolerance


def test_items_answered_worse_than_by_guessing_do_not_circle():
    """Expected information of such an item is nearly none: its intercept moved to and fro by two."""
    irt_model = ThreePL(guessing=0.25)
    for seed in (4, 40):
        counts = simulate_responses(irt_model, n_models=12, n_items=8, seed=seed, hyperparameters={}).table.counts()
        state = approximate(irt_model, counts.correct, counts.trials, threads=1).state
        assert state.change < LaplaceSettings().tolerance


def on_the_floor(slopes, seed=0):
    """Answers of 40 models to 60 hard items, forty each: many models solve none; and their trials."""
    rng = np.random.default_rng(seed)
    ability, difficulty = np.sort(rng.normal(size=40))[::-1], rng.normal(1.5, 0.25, 60)
    trials = np.full((40, 60), 40)
    return rng.binomial(trials, 1 / (1 + np.exp(-slopes * (ability[:, None] - difficulty)))), trials


@pytest.mark.filterwarnings("ignore::irt_bench.errors.FitWarning")
@pytest.mark.parametrize("refine", [False, True])
def test_on_a_floor_slopes_stay_bounded_and_the_1pl_ranks_as_accuracy_does(refine):
    """A grid whose nodes lie between the steps of the curves lets slopes rise to the bound of 148: here 5 is true."""
    correct, trials = on_the_floor(5.0)
    draws = fit_laplace(OnePL(), correct, trials, LaplaceSettings(refine=refine))
    assert draws.notes["change"] < draws.notes["tolerance"]
    assert 2.5 < np.exp(np.median(draws.sites["log_discrimination"])) < 10  # 40 abilities have an sd of their own
    solved = correct.sum(1)
    assert (solved == 0).mean() > 0.3
    some, ability = solved > 0, draws.sites["ability"][0].mean(0)
    apart = solved[some][:, None] > solved[some] + 2  # fewer lie within what draws tell
    assert (ability[some][:, None] > ability[some])[apart].all()
    assert ability[some].min() > ability[~some].max()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::irt_bench.errors.FitWarning")
def test_steep_slopes_of_a_floor_do_not_circle_and_chains_start_where_answers_let_them():
    """Items that one model alone solves: slopes of 10 to 50, abilities known to a hundredth, their scale to a third."""
    slopes = np.random.default_rng(1).uniform(8, 30, 60)
    correct, trials = on_the_floor(slopes, seed=2)
    draws = fit_laplace(TwoPL(), correct, trials, LaplaceSettings())
    assert draws.notes["change"] < draws.notes["tolerance"]
    assert draws.notes["apart"] < APART_LIMIT
    a, b = np.exp(draws.sites["log_discrimination"][0]), draws.sites["difficulty"][0]
    expected = 1 / (1 + np.exp(-np.clip(a[:, None] * (draws.sites["ability"][0][:, :, None] - b[:, None]), -50, 50)))
    np.testing.assert_allclose(expected.mean((0, 2)), correct.mean(1) / 40, atol=0.02)


@pytest.mark.parametrize("shape", [(900, 20), (900, 600)], ids=["grid", "normal"])
def test_a_maximum_begun_from_some_of_the_models_is_that_of_all(monkeypatch, shape):
    """A fifth of the models lead elsewhere: what comes of them alone is the negative control."""
    _, correct, trials = simulate(TwoPL(), shape, 8, missing=0.05)
    settings = LaplaceSettings(threads=1, tolerance=1e-5)
    found = {}
    for enough in (10_000, 180):
        monkeypatch.setattr(laplace, "ENOUGH_MODELS", enough)
        found[enough] = laplace._maximise(TwoPL(), correct, trials, settings, None).items
    some = laplace._maximise(TwoPL(), correct[::5], trials[::5], settings, None).items
    for name in ("log_slope", "intercept"):
        whole, begun, part = (getattr(items, name) for items in (found[10_000], found[180], some))
        np.testing.assert_allclose(begun, whole, atol=2e-3)
        assert np.abs(part - whole).max() > 0.1
