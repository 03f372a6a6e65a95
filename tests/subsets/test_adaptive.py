import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, stats

from irt_bench.analysis.labelled_draws import ItemParameters, item_draws
from irt_bench.errors import AnalysisError, ResponsesWarning
from irt_bench.subsets.adaptive import (
    FIXED,
    RANDOM,
    SAME_LENGTH,
    AdaptiveSettings,
    adaptive_course,
    compare_adaptive,
    fixed_abilities,
    item_bank,
    replay_adaptive,
    run_adaptive,
    run_fixed,
)


def items_of(discrimination, difficulty):
    a, b = np.broadcast_arrays(np.asarray(discrimination, float), np.asarray(difficulty, float))
    return ItemParameters(b, a, np.zeros(len(b)), np.ones(len(b)))


def posterior_of(discrimination, difficulty, spread=0.0, n_draws=50, seed=0):
    rng = np.random.default_rng(seed)
    items = items_of(discrimination, difficulty)
    shape = (1, n_draws, len(items.difficulty))
    values = {
        "difficulty": items.difficulty + spread * rng.standard_normal(shape),
        "discrimination": items.discrimination * np.exp(spread * rng.standard_normal(shape)),
    }
    labels = [f"i{k}" for k in range(shape[2])]
    return xr.Dataset({k: (("chain", "draw", "item"), v) for k, v in values.items()}, coords={"item": labels})


def replay(answers, items, asked):
    """Posterior mean and sd after some answers, and the most telling open item, by scipy and the closed form."""

    theta = np.linspace(-8, 8, 20_001)
    p = 1 / (1 + np.exp(-items.discrimination[asked, None] * (theta - items.difficulty[asked, None])))
    density = stats.norm.pdf(theta) * np.prod(np.where(answers[asked, None], p, 1 - p), axis=0)
    total, mean, square = (integrate.simpson(theta**k * density, x=theta) for k in range(3))
    mean, square = mean / total, square / total
    p = 1 / (1 + np.exp(-items.discrimination * (round(mean / 0.05) * 0.05 - items.difficulty)))
    information = items.discrimination**2 * p * (1 - p)
    information[asked] = -1
    return mean, np.sqrt(square - mean**2), int(information.argmax())


def test_each_item_is_the_most_telling_one_at_the_posterior_mean_and_the_test_ends_at_its_sd():
    rng = np.random.default_rng(3)
    items = items_of(np.exp(0.5 * rng.standard_normal(40)), 1.3 * rng.standard_normal(40))
    answers = rng.random((3, 40)) < 0.5
    test = run_adaptive(answers, item_bank(items), AdaptiveSettings(stop_sd=0.45, min_items=2, max_items=20))
    for model, asked in enumerate(test.asked):
        asked = asked[asked >= 0]
        for step in range(len(asked)):
            mean, sd, item = replay(answers[model], items, asked[:step])
            assert sd > 0.45 or step < 2
            assert asked[step] == item
        mean, sd, _ = replay(answers[model], items, asked)
        assert sd <= 0.45 or len(asked) == 20
        assert test.estimates.ability[model] == pytest.approx(mean, abs=3e-5)
        assert test.estimates.ability_sd[model] == pytest.approx(sd, abs=3e-5)
        assert test.estimates.n_items[model] == len(asked) == len(set(asked))


def test_a_test_of_all_items_is_the_fixed_test_of_all_items():
    rng = np.random.default_rng(4)
    items = items_of(np.exp(0.3 * rng.standard_normal(12)), rng.standard_normal(12))
    answers = rng.random((5, 12)) < 0.6
    bank = item_bank(items)
    adaptive = run_adaptive(answers, bank, AdaptiveSettings(stop_sd=0, min_items=12, max_items=99)).estimates
    fixed = run_fixed(answers, bank, np.arange(12))
    each_its_own = run_fixed(answers, bank, np.array([rng.permutation(12) for _ in range(5)]))
    for one, two, three in zip(adaptive, fixed, each_its_own, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-9)
        np.testing.assert_allclose(one, three, atol=1e-9)


def test_abilities_from_many_subsets_are_those_from_each():
    rng = np.random.default_rng(6)
    posterior = posterior_of(np.ones(30), rng.standard_normal(30), spread=0.3)
    bank, answers = item_bank(item_draws(posterior, 50)[0]), rng.random((4, 30)) < 0.5
    subsets = np.stack([rng.choice(30, 7, replace=False) for _ in range(9)])
    found = fixed_abilities(answers, bank, subsets)
    assert found.shape == (9, 4) and np.ptp(found) > 0.5
    for own, items in zip(found, subsets, strict=True):
        assert own == pytest.approx(run_fixed(answers, bank, items).ability, abs=1e-12)


@pytest.fixture(scope="module")
def spread_bank():
    rng = np.random.default_rng(5)
    difficulty = np.concatenate([rng.normal(-2.0, 0.3, 20), rng.normal(0, 1.5, 280)])
    return posterior_of(np.exp(0.4 * rng.standard_normal(300)), difficulty, spread=0.15)


def test_adaptivity_cuts_errors_where_the_fixed_items_are_badly_placed(spread_bank):
    settings = AdaptiveSettings(stop_sd=0.35, n_models=400, seed=1)
    table = compare_adaptive(spread_bank, [f"i{k}" for k in range(20)], settings)
    assert table.loc[SAME_LENGTH, "error_ratio_q95"] < 0.9
    assert table.loc[FIXED, "error_ratio"] == 1
    stopped = table.loc["adaptive, until sd 0.35"]
    assert stopped["ability_sd"] == pytest.approx(0.34, abs=0.02)
    assert stopped["ability_error_q05"] < 0.36 < stopped["ability_error_q95"] + 0.03  # the sd is honest
    assert ((table["covered"] > 0.85) & (table["covered"] < 0.95)).all()
    assert table.loc[RANDOM, "n_distinct"] > 290


def test_adaptivity_adds_nothing_where_all_items_are_alike():
    table = compare_adaptive(
        posterior_of(np.ones(60), np.zeros(60)), [f"i{k}" for k in range(20)], AdaptiveSettings(n_models=1000)
    )
    for design in (SAME_LENGTH, RANDOM):
        assert 0.95 < table.loc[design, "error_ratio"] < 1.05


@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_abilities_are_covered_however_badly_items_are_known_and_those_of_known_items_are_caught(shared):
    """Items uncertain each by itself, or all together as well; the negative control takes posterior means as true."""
    rng = np.random.default_rng(7)
    a, b = np.exp(0.3 * rng.standard_normal(200)), rng.standard_normal(200)
    posterior = posterior_of(a, b, 0.8, n_draws=100)
    posterior["difficulty"] = posterior["difficulty"] + shared * xr.DataArray(rng.standard_normal(100), dims="draw")
    labels, settings = [f"i{k}" for k in range(50)], AdaptiveSettings(n_models=600)
    table = compare_adaptive(posterior, labels, settings)
    assert table["covered"].between(0.87, 0.94).all()
    naive = posterior.mean("draw", keepdims=True)
    drawn, known = (item_draws(each, 200)[0] for each in (posterior, naive))
    ability = rng.standard_normal(600)
    which = rng.integers(100, size=600)
    p = 1 / (1 + np.exp(-drawn.discrimination[which] * (ability[:, None] - drawn.difficulty[which])))
    test = run_adaptive(rng.random(p.shape) < p, item_bank(known), AdaptiveSettings(stop_sd=0.2)).estimates
    assert ((test.lower <= ability) & (ability <= test.upper)).mean() < 0.85


def test_the_same_seed_gives_the_same_table(spread_bank):
    tables = [
        compare_adaptive(spread_bank, ["i3", "i40", "i90"], AdaptiveSettings(n_models=30, max_items=9, seed=seed))
        for seed in (2, 2, 3)
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0].equals(tables[2])


def test_items_of_another_fit_and_settings_out_of_range_are_refused(spread_bank):
    with pytest.raises(AnalysisError, match="first: 'other'"):
        compare_adaptive(spread_bank, ["i1", "other"], AdaptiveSettings())
    doubled = spread_bank.assign_coords(item=["i1", *spread_bank["item"].to_numpy()[1:]])
    with pytest.raises(AnalysisError, match="item 'i1' occurs twice"):
        compare_adaptive(doubled, ["i1"], AdaptiveSettings())
    for wrong in ({"stop_sd": 1.0}, {"min_items": 9, "max_items": 8}, {"n_models": 1}):
        with pytest.raises(AnalysisError, match=next(iter(wrong))):
            AdaptiveSettings(**wrong)


def test_real_answers_are_replayed_and_take_more_items_where_the_model_does_not_hold(make_counts):
    """Answers as the IRT model has them take as many items as simulated ones; of very able models, more."""
    rng = np.random.default_rng(8)
    a, b = np.exp(0.3 * rng.standard_normal(150)), rng.standard_normal(150)
    posterior, items = posterior_of(a, b, spread=0.05), [f"i{k}" for k in range(30)]
    settings = AdaptiveSettings(stop_sd=0.35, n_models=300, max_items=150)
    simulated = compare_adaptive(posterior, items, settings)["n_items"].iloc[3]
    for ability, far in ((rng.standard_normal(300), False), (rng.normal(3.0, 0.5, 300), True)):
        counts = make_counts(rng.random((300, 150)) < 1 / (1 + np.exp(-a * (ability[:, None] - b))))
        found = replay_adaptive(posterior, items, counts, settings)
        assert (found["n_items"].iloc[3] > 1.5 * simulated) == far
    assert found.loc[SAME_LENGTH, "n_items"] == 30


def test_errors_of_a_replayed_test_of_all_items_are_nil_and_models_with_gaps_are_left_out(make_counts):
    rng = np.random.default_rng(9)
    correct, trials = rng.integers(0, 2, (6, 12)), np.ones((6, 12), dtype=int)
    trials[2, 3] = correct[2, 3] = 0
    posterior = posterior_of(np.ones(12), np.zeros(12), spread=0.2)
    with pytest.warns(ResponsesWarning, match="1 models did not answer all items .* first: 'm2'"):
        found = replay_adaptive(
            posterior, [f"i{k}" for k in range(12)], make_counts(correct, trials), AdaptiveSettings()
        )
    assert found.loc[FIXED, "ability_error"] == 0 and found.loc[SAME_LENGTH, "ability_error"] < 1e-9
    with pytest.raises(AnalysisError, match="1 of 1 models answered all 12 items"):
        replay_adaptive(posterior, ["i0"], make_counts(correct[:1], trials[:1]), AdaptiveSettings())


def test_the_course_of_a_test_is_that_of_its_answers_and_ends_at_the_stopping_rule(make_counts):
    """Each row is the posterior of the answers so far, by scipy; the last one is within the sd asked for."""
    rng = np.random.default_rng(4)
    a, b = np.exp(0.3 * rng.standard_normal(40)), rng.standard_normal(40)
    ability = np.linspace(-2, 2, 9)
    counts = make_counts((rng.random((9, 40)) < 1 / (1 + np.exp(-a * (ability[:, None] - b)))).astype(int))
    posterior, settings = posterior_of(a, b), AdaptiveSettings(stop_sd=0.4)
    course = adaptive_course(posterior, settings, counts)
    asked = run_adaptive(counts.correct == 1, item_bank(items_of(a, b)), settings).asked
    models = course.index.unique("model")
    assert len(models) == 3 and course.attrs["reference"] == "ability from all answers"
    assert course.groupby(level=0)["reference"].first()[models].is_monotonic_increasing
    for model in models:
        row = counts.models.index.get_loc(model)
        items = asked[row][asked[row] >= 0]
        own = course.loc[model]
        assert own.index.tolist() == list(range(len(items) + 1))
        for n in (0, 5, len(items)):
            mean, sd, _ = replay(counts.correct[row] == 1, items_of(a, b), items[:n])
            half = (own["ability_q95"] - own["ability_q05"])[n] / 2
            assert own["ability"][n] == pytest.approx(mean, abs=0.02) and half == pytest.approx(1.645 * sd, rel=0.05)
        assert sd <= 0.41
    simulated = adaptive_course(posterior, settings)
    assert simulated.groupby(level=0, sort=False)["reference"].first().tolist() == [-1.3, 0.0, 1.3]
    shuffled = counts.correct[:, rng.permutation(40)]  # the control: answers that are not of these items
    other = adaptive_course(posterior, settings, make_counts(shuffled))
    assert not other["ability"].equals(course["ability"])
