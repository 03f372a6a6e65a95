"""Permuting or renaming models or items changes nothing but labels, in everything that is computed from responses.

What is drawn at random is drawn in the order of the labels: under names that sort alike it is the same to the last bit,
under any others it differs as other draws do, and only what is not random must be the same.
"""

import numpy as np
import pandas as pd
import pytest
from any_answers import answers, few_or_many, for_all, new_labels, renamed, table_of, trained
from hypothesis import strategies as st

from irt_bench import Fit, LaplaceSettings, OnePL, ResponseCounts, TwoPL, fit, seed_variance
from irt_bench.analysis.abilities import score_models
from irt_bench.analysis.agreement import compare_ability_accuracy
from irt_bench.analysis.classical import item_statistics, score_reliability
from irt_bench.inference.fast.laplace import approximate
from irt_bench.variance.seed_variance import SeedVarianceResult

SEEDS = st.integers(0, 1000)
SETTINGS = LaplaceSettings(seed=1, draws=200, threads=1)
BOOTSTRAPPED = ["ci95_bootstrap"]


def both(frame: pd.DataFrame, seed: int, *, keep_order: bool) -> tuple[ResponseCounts, ResponseCounts, dict, dict]:
    """Counts under both kinds of names, and new → old names of models and items."""
    names = {
        column: new_labels(list(frame[column].unique()), seed=seed, keep_order=keep_order)
        for column in ("model", "item")
    }
    other = table_of(renamed(frame, names)).counts()
    back = [{new: old for old, new in mapping.items()} for mapping in names.values()]
    return table_of(frame).counts(), other, *back


def by_old_names(frame: pd.DataFrame, back: dict[str, str], like: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(index=back).reindex(like.index)


def assert_alike(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-9, atol=1e-9, check_names=False)


@few_or_many(15, 500)
@pytest.mark.parametrize("keep_order", [True, False])
def test_item_analysis_goes_with_the_labels(examples, keep_order):
    @for_all(examples, answers(), SEEDS)
    def check(frame, seed):
        one, other, _, items = both(frame, seed, keep_order=keep_order)
        expected = item_statistics(one)
        assert_alike(by_old_names(item_statistics(other), items, expected), expected)
        if keep_order:
            assert vars(score_reliability(other)) == pytest.approx(vars(score_reliability(one)), nan_ok=True)


def fitted_both(frame: pd.DataFrame, seed: int, *, keep_order: bool) -> tuple[Fit, Fit, dict, dict]:
    one, other, models, items = both(frame, seed, keep_order=keep_order)
    return fit(one, TwoPL(), SETTINGS), fit(other, TwoPL(), SETTINGS), models, items


@few_or_many(4, 100)
def test_a_fit_under_names_that_sort_alike_has_the_same_draws(examples):
    @for_all(examples, answers(models=(5, 9), items=(6, 10)), SEEDS)
    def check(frame, seed):
        one, other, models, items = fitted_both(frame, seed, keep_order=True)
        for name, expected in one.posterior.data_vars.items():
            np.testing.assert_array_equal(other.posterior[name].to_numpy(), expected.to_numpy())
        assert [models[label] for label in other.posterior["model"].to_numpy()] == list(one.posterior["model"])
        assert [items[label] for label in other.posterior["item"].to_numpy()] == list(one.posterior["item"])


@few_or_many(4, 100)
@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL()], ids=lambda each: each.name)
def test_a_fit_under_any_names_has_the_same_mode(examples, irt_model):
    @for_all(examples, answers(models=(5, 20), items=(5, 12)), SEEDS)
    def check(frame, seed):
        one, other, _, items = both(frame, seed, keep_order=False)
        modes = [approximate(irt_model, each.correct, each.trials, threads=1).state for each in (one, other)]
        assert max(mode.change for mode in modes) < SETTINGS.tolerance
        at = [list(one.items.index).index(items[label]) for label in other.items.index]
        for name in ("intercept", "log_slope"):
            found, expected = (getattr(mode.items, name) for mode in (modes[1], modes[0]))
            np.testing.assert_allclose(found, expected[at], atol=10 * SETTINGS.tolerance)  # the tolerance is of a sweep


@few_or_many(4, 100)
def test_scores_with_frozen_items_go_with_the_labels(examples):
    @for_all(examples, answers(models=(5, 9), items=(6, 10)), SEEDS, st.sampled_from(["eap", "map"]))
    def check(frame, seed, method):
        one, other, models, items = both(frame, seed, keep_order=False)
        posterior = fit(one, TwoPL(), SETTINGS).posterior
        new = {old: new for new, old in items.items()}
        same_items = posterior.assign_coords(item=[new[label] for label in posterior["item"].to_numpy()])
        expected = score_models(one, posterior, method=method, n_draws=20)
        found = by_old_names(score_models(other, same_items, method=method, n_draws=20), models, expected)
        pd.testing.assert_frame_equal(found, expected, check_exact=False, atol=1e-6, check_names=False)


@few_or_many(3, 60)
@pytest.mark.parametrize("keep_order", [True, False])
def test_the_comparison_with_accuracy_goes_with_the_labels(examples, keep_order):
    @for_all(examples, answers(models=(5, 9), items=(6, 10)), SEEDS)
    def check(frame, seed):
        one, other, models, _ = both(frame, seed, keep_order=keep_order)
        ability = fit(one, TwoPL(), SETTINGS).posterior["ability"]
        new = {old: new for new, old in models.items()}
        same = ability.assign_coords(model=[new[label] for label in ability["model"].to_numpy()])
        expected = compare_ability_accuracy(ability, one, n_resamples=50)
        found = compare_ability_accuracy(same, other, n_resamples=50)
        assert (found.n_pairs, found.n_discordant) == (expected.n_pairs, expected.n_discordant)
        given = [*("ability", "ability_sd", "ability_q05", "ability_q95"), "accuracy", *RANKS]
        columns = list(expected.models) if keep_order else given
        assert_alike(by_old_names(found.models, models, expected.models)[columns], expected.models[columns])
        rankings = ["rankings"] if not keep_order else list(expected.correlations)
        assert_alike(found.correlations[rankings], expected.correlations[rankings])


RANKS = ("rank_by_ability", "rank_by_accuracy")


def analysed(frame: pd.DataFrame) -> SeedVarianceResult:
    return seed_variance(table_of(frame), n_subsets=10, n_bootstrap=10).result


@few_or_many(2, 40)
def test_seed_variance_does_not_depend_on_the_names_of_items_and_runs(examples):
    @for_all(examples, trained(), SEEDS)
    def check(frame, seed):
        names = {name: new_labels(list(frame[name].unique()), seed=seed, keep_order=False) for name in ("item", "run")}
        expected, found = analysed(frame), analysed(renamed(frame, names).assign(model="another"))
        old = {new: old for old, new in names["run"].items()}
        for name, keys, given in (
            ("metrics", ["run", "subtask"], None),
            ("components", ["run", "step", "component", "design"], ["estimate"]),
            ("curve", ["run", "k"], ["predicted_sd"]),
        ):
            tables = [getattr(each, name) for each in (found, expected)]
            tables[0] = tables[0].assign(run=tables[0]["run"].map(lambda run: old.get(run, run)))
            by_key = [table.set_index(keys).sort_index() for table in tables]
            columns = given or [column for column in by_key[1] if column not in BOOTSTRAPPED]
            assert_alike(by_key[0][columns], by_key[1][columns])


@few_or_many(2, 40)
def test_seed_variance_under_names_that_sort_alike_is_the_same_to_the_last_digit(examples):
    @for_all(examples, trained(), SEEDS)
    def check(frame, seed):
        names = {"item": new_labels(list(frame["item"].unique()), seed=seed, keep_order=True)}
        expected, found = analysed(frame), analysed(renamed(frame, names))
        for name in ("metrics", "components", "coefficients", "curve", "scores"):
            pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name), check_exact=True)


def test_the_comparisons_see_an_answer_that_changed():
    """Negative control: the same under other names is told from nearly the same."""
    rng = np.random.default_rng(1)
    grid = [(f"m{m}", f"q{i}", int(rng.random() < 0.5)) for m in range(6) for i in range(8)]
    frame = pd.DataFrame(grid, columns=["model", "item", "correct"])
    other = frame.copy()
    other.loc[5, "correct"] = 1 - other.loc[5, "correct"]
    one, two = table_of(frame).counts(), table_of(other).counts()
    with pytest.raises(AssertionError):
        assert_alike(item_statistics(two), item_statistics(one))
    modes = [approximate(TwoPL(), each.correct, each.trials, threads=1).state.items for each in (one, two)]
    assert np.abs(modes[0].intercept - modes[1].intercept).max() > 1e-3
