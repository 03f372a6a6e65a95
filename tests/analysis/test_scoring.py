import warnings
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, stats

from irt_bench import Fit, FitWarning, LaplaceSettings, TwoPL, fit
from irt_bench.analysis.abilities import score_models
from irt_bench.errors import AnalysisError, ResponsesWarning

A, B, C = np.array([0.7, 1.0, 1.6, 2.2]), np.array([-1.0, 0.0, 0.4, 1.3]), np.array([0.0, 0.2, 0.25, 0.1])


@pytest.mark.parametrize("method", ["eap", "map"])
def test_items_that_cannot_be_answered_wrong_are_refused(make_counts, method):
    posterior = posterior_of([1.0, 1.0], [0.0, 0.0], [0.0, 1.0])
    with pytest.raises(AnalysisError, match="probability 0 under the item parameters"):
        score_models(make_counts([[1, 0], [0, 1]]), posterior, method=method)


def posterior_of(a, b, c):
    dims = ("chain", "draw", "item")
    arrays = {"discrimination": a, "difficulty": b, "guessing": c}
    labels = [f"i{k}" for k in range(len(a))]
    return xr.Dataset({n: (dims, np.tile(v, (1, 2, 1))) for n, v in arrays.items()}, coords={"item": labels})


def exact(correct, trials, a=A, b=B, c=C):
    """Posterior mean and sd by scipy's quadrature."""

    def density(theta):
        p = c + (1 - c) / (1 + np.exp(-a * (theta - b)))
        return stats.norm.pdf(theta) * np.prod(p**correct * (1 - p) ** (trials - correct))

    total, mean, square = (integrate.quad(lambda t, k=k: t**k * density(t), -9, 9)[0] for k in range(3))
    return mean / total, np.sqrt(square / total - (mean / total) ** 2)


@pytest.mark.parametrize("method", ["eap", "map"])
@pytest.mark.parametrize(("b", "a"), [(0, np.nan), (np.inf, 1), (0, 1e300), (-1e308, 1), (1e308, 1e308)])
def test_items_out_of_this_world_are_refused(make_counts, method, b, a):
    posterior = posterior_of([1.0, a], [0.0, b], [0.0, 0.0])
    with pytest.raises(AnalysisError, match="(beyond 1,000,000,000|not finite); first: (item )?'i1'"):
        score_models(make_counts([[1, 0], [0, 1]]), posterior, method=method)


def test_single_draws_that_lie_far_out_are_drawn_in(make_counts):
    """An intercept over a slope near 0: a handful of draws, which say no more than that the item tells nothing."""
    posterior = posterior_of([1.0, 1.0], [0.0, 0.0], [0.0, 0.0])
    posterior = xr.concat([posterior] * 20, "draw")
    far = posterior.copy(deep=True)
    far["difficulty"][0, 3, 1] = 5e6
    counts = make_counts([[1, 0], [0, 1]])
    near, drawn_in = (score_models(counts, each)["ability"] for each in (posterior, far))
    assert np.abs(near - drawn_in).max() < 0.1


def test_posterior_means_agree_with_numerical_integration(make_counts):
    """All right, all wrong, mixed, k of n, and cells never asked."""
    correct = np.array([[1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 1, 0], [2, 0, 3, 1], [1, 0, 0, 0]])
    trials = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [3, 3, 3, 3], [1, 0, 1, 0]])
    table = score_models(make_counts(correct, trials), posterior_of(A, B, C))
    for row, k, n in zip(table.itertuples(), correct, trials, strict=True):
        mean, sd = exact(k, n)
        assert row.ability == pytest.approx(mean, abs=1e-5)
        assert row.ability_sd == pytest.approx(sd, abs=1e-5)
    assert list(table["n_items"]) == [4, 4, 4, 4, 2]


def covered(a_of_scoring, make_counts):
    rng = np.random.default_rng(8)
    ability, a, b = rng.normal(size=2000), np.exp(0.4 * rng.normal(size=40)), rng.normal(size=40)
    correct = (rng.random((2000, 40)) < 1 / (1 + np.exp(-a * (ability[:, None] - b)))).astype(int)
    table = score_models(make_counts(correct), posterior_of(a_of_scoring(a), b, 0 * b))
    inside = (table["ability_q05"] <= ability) & (ability <= table["ability_q95"])
    return inside, np.polyfit(table["ability"], ability, 1)[0]


def test_intervals_cover_and_estimates_are_on_the_scale_of_the_truth(make_counts, record_coverage):
    inside, slope = covered(lambda a: a, make_counts)
    assert record_coverage("ability", "scored on 40 known items", inside, seeds=8).right
    assert 0.95 < slope < 1.05


def test_wrong_discriminations_are_caught_by_the_same_check(make_counts, record_coverage):
    inside, _ = covered(lambda a: 2 * a, make_counts)
    control = "discriminations twice as large"
    assert record_coverage("ability", "scored on 40 known items", inside, seeds=8, control=control).right


def test_unknown_items_are_refused_and_models_without_answers_get_the_prior(make_counts):
    with pytest.raises(AnalysisError, match="i4"):
        score_models(make_counts(np.ones((2, 5), int)), posterior_of(A, B, C))
    with pytest.warns(ResponsesWarning, match="no responses"):
        table = score_models(make_counts(np.zeros((1, 4), int), np.zeros((1, 4), int)), posterior_of(A, B, C))
    assert table["ability"].iloc[0] == pytest.approx(0, abs=1e-6)
    assert table["ability_sd"].iloc[0] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("method", ["eap", "map"])
def test_a_wide_prior_is_that_of_numerical_integration_and_pulls_less(make_counts, method):
    correct = np.array([[1, 1, 1, 0], [0, 1, 0, 0]])
    posterior = posterior_of(A, B, np.zeros(4))
    table = score_models(make_counts(correct), posterior, method=method, prior_sd=3.0)
    for row, answers in enumerate(correct):

        def density(theta, answers=answers):
            p = 1 / (1 + np.exp(-A * (theta - B)))
            return stats.norm.pdf(theta, scale=3) * np.prod(p**answers * (1 - p) ** (1 - answers))

        grid = np.linspace(-12, 15, 5401)
        values = np.array([density(theta) for theta in grid])
        expected = grid[values.argmax()] if method == "map" else (grid * values).sum() / values.sum()
        assert table["ability"].iloc[row] == pytest.approx(expected, abs=6e-3)
    narrow = score_models(make_counts(correct), posterior, method=method)
    assert (table["ability"].abs() > narrow["ability"].abs()).all()
    with pytest.raises(AnalysisError, match="prior_sd is 0.0; a number from"):
        score_models(make_counts(correct), posterior, prior_sd=0.0)


def test_models_beyond_all_those_of_the_fit_are_named(make_counts):
    rng = np.random.default_rng(0)
    posterior = posterior_of(np.full(60, 1.5), rng.normal(size=60), np.zeros(60))
    posterior["ability"] = (("chain", "draw", "model"), np.tile(np.linspace(-0.5, 0.5, 5), (1, 2, 1)))
    counts = make_counts([[1] * 58 + [0] * 2, [1, 0] * 30])
    with pytest.warns(ResponsesWarning, match=r"1 of 2 models lie outside .*first: 'm0'.*prior_sd=3"):
        score_models(counts, posterior)
    score_models(counts, posterior, prior_sd=3.0)  # nothing to say


@pytest.mark.slow
@pytest.mark.parametrize(("n_models", "where"), [(10, 2.0), (50, -2.0)])
def test_with_a_wide_prior_intervals_cover_models_far_from_those_of_the_fit(make_counts, n_models, where):
    """Items known from few models, new models 2 sds away: the fit's own prior, the control, covers less."""
    rng, covered = np.random.default_rng(3), {1.0: [], 3.0: []}
    for _ in range(12):
        slope, difficulty = np.exp(rng.normal(0, 0.4, 100)), rng.normal(size=100)

        def answers(ability, slope=slope, difficulty=difficulty):
            chance = 1 / (1 + np.exp(-slope * (ability[:, None] - difficulty)))
            return make_counts((rng.random(chance.shape) < chance).astype(int))

        old = rng.normal(size=n_models)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)  # few models
            fitted = fit(answers((old - old.mean()) / old.std()), TwoPL())
        new = rng.normal(where, 0.1, 30)
        counts = answers(new)
        for prior_sd, found in covered.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResponsesWarning)
                table = score_models(counts, fitted.posterior, prior_sd=prior_sd, n_draws=200)
            found.append(((table["ability_q05"] <= new) & (new <= table["ability_q95"])).mean())
    # What is left is the bias of items known from few models: .84 to .86 with 50, .97 to 1.00 with 10 of them.
    assert np.mean(covered[3.0]) >= 0.8
    assert np.mean(covered[1.0]) < np.mean(covered[3.0]) - 0.01


@pytest.mark.filterwarnings("ignore")
def test_other_documents_or_another_metric_under_the_same_labels_are_refused(make_counts, tmp_path):
    """Labels such as gsm8k/86 are numbers; the hash of the document says whether they mean the same."""
    counts = make_counts(np.random.default_rng(0).integers(0, 2, (12, 6)))
    about = counts.items.assign(doc_hash=[f"{k}" * 64 for k in range(6)], metric="acc_norm")
    fit(replace(counts, items=about), TwoPL(), LaplaceSettings(refine=False)).save(tmp_path / "fit.nc")
    fitted = Fit.load(tmp_path / "fit.nc")
    assert len(fitted.score(replace(counts, items=about.iloc[:, :0]))) == 12  # nothing known: joined by label
    assert len(fitted.score(replace(counts, items=about))) == 12
    moved = about.assign(doc_hash=about["doc_hash"].to_numpy()[[1, 0, 2, 3, 4, 5]])
    with pytest.raises(AnalysisError, match="2 items are other documents in the responses than in the fit"):
        fitted.score(replace(counts, items=moved))
    with pytest.raises(AnalysisError, match="read by metric 'acc', those of the fit by 'acc_norm'.*metric='acc_norm'"):
        fitted.score(replace(counts, items=about.assign(metric="acc")))
