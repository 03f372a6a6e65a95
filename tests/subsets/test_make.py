import pandas as pd
import pytest

from irt_bench import table_from_frame
from irt_bench.errors import SubsetError
from irt_bench.responses.labels import model_clusters
from irt_bench.subsets.calibration import Recipe, prepare
from irt_bench.subsets.make import make_subset, parallel_forms, prompt_hashes, smallest_subset


@pytest.fixture
def prepared(known_fits, plan):
    return prepare(known_fits.counts, model_clusters(known_fits.counts), plan)


def test_a_subset_says_what_it_is_made_of(prepared, toy):
    hashes = pd.Series({"i3": "p3"})
    subset = make_subset(prepared, Recipe("anchors", "anchor", 12, 4), estimator="gp_irt", hashes=hashes)
    assert (subset.method, subset.weights, subset.estimator, subset.seed, subset.size) == (
        "anchors", "anchor", "gp_irt", 4, 12,
    )  # fmt: skip
    assert subset.calibration.fingerprint == toy.counts.fingerprint()
    assert sum(item.weight for item in subset.items) == pytest.approx(1)
    assert {item.subtask for item in subset.items} <= {"task0", "task1", "task2"}
    by_id = {item.id: item for item in subset.items}
    for label, item in by_id.items():
        place = toy.counts.items.index.get_loc(label)
        assert item.difficulty == pytest.approx(toy.difficulty[place], abs=0.1)
        assert item.mean == pytest.approx(toy.counts.correct[:, place].mean())
        assert item.prompt_hash == ("p3" if label == "i3" else None)
    assert make_subset(prepared, Recipe("anchors", "anchor", 12, 4), estimator="gp_irt", hashes=hashes) == subset


def test_the_smallest_subset_meets_its_target_and_a_harder_target_needs_more(prepared):
    recipe = Recipe("difficulty", "equal", 1)
    loose = smallest_subset(prepared, recipe, 0.07, estimator="p_irt")
    tight = smallest_subset(prepared, recipe, 0.04, estimator="p_irt")
    assert loose.expected_se <= 0.07 and tight.expected_se <= 0.04
    assert loose.size < tight.size < 60
    with pytest.raises(SubsetError, match="above 0 and below"):
        smallest_subset(prepared, recipe, 0.0)
    with pytest.raises(SubsetError, match="even 59 of the 60 items"):  # all items have no error, but are no subset
        smallest_subset(prepared, recipe, 1e-6, estimator="p_irt")


def test_parallel_forms_share_no_item_and_agree_in_difficulty(prepared):
    first, second = parallel_forms(prepared, Recipe("difficulty", "equal", 20), estimator="p_irt")
    assert not set(first.ids) & set(second.ids)
    means = [sum(item.mean for item in form.items) / 20 for form in (first, second)]
    assert means[0] == pytest.approx(means[1], abs=0.02)
    with pytest.raises(SubsetError):
        parallel_forms(prepared, Recipe("difficulty", "equal", 40))


def test_prompt_hashes_are_kept_where_all_models_agree():
    frame = pd.DataFrame(
        [("m1", "a", 1, "x"), ("m2", "a", 0, "x"), ("m1", "b", 1, "y"), ("m2", "b", 1, "z")],
        columns=["model", "item", "correct", "prompt_hash"],
    )
    found = prompt_hashes(table_from_frame(frame))
    assert found.to_dict() == {"a": "x"}
    assert prompt_hashes(table_from_frame(frame.drop(columns="prompt_hash"))) is None
