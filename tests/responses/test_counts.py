import tracemalloc

import numpy as np
import pandas as pd
import pytest

from irt_bench import ResponseCounts, as_counts, table_from_frame
from irt_bench.errors import ResponsesError
from irt_bench.responses.counts import smallest_integer


def counts(correct, trials=None, *, models="ab", items="xyz", **more):
    frames = [pd.DataFrame(index=pd.Index(list(labels))) for labels in (models, items)]
    correct = np.array(correct)
    return ResponseCounts(correct, np.ones_like(correct) if trials is None else np.array(trials), *frames, **more)


def test_arrays_are_copied_and_read_only():
    array = np.ones((2, 3), dtype=int)
    made = counts(array)
    array[0, 0] = 0
    assert made.correct[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        made.correct[0, 0] = 0


def test_a_file_mapped_read_only_is_not_copied_and_trials_alike_are_one_number(tmp_path):
    np.save(tmp_path / "answers.npy", np.random.default_rng(1).integers(0, 2, (2_000, 10_000), dtype=np.int8))

    def allocated(mode):
        answers = np.load(tmp_path / "answers.npy", mmap_mode=mode)
        tracemalloc.start()
        made = as_counts(answers)
        part = made.take(models=slice(1_500))
        found, most = made.fingerprint(), tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert made.n_models == 2_000 and part.asked.all()
        return found, np.shares_memory(part.correct, answers), most

    found, shared, most = allocated("r")
    assert shared and most < 15e6  # blocks of some million cells; the matrix has 20
    copied, shared, most = allocated("r+")  # the control: whoever can write to it might change it
    assert copied == found and not shared and most > 20e6


@pytest.mark.parametrize(
    ("correct", "options", "message"),
    [
        ([[1, 0]], {}, r"correct has shape \(1, 2\); 2 models x 3 items need \(2, 3\)"),
        ([[1, 0, 0], [2, 0, 0]], {}, r"first: model 'b', item 'x' \(2 of 1\). Check for duplicate rows"),
        ([[1, 0, 0], [-1, 0, 0]], {}, r"model 'b', item 'x' \(-1 of 1\)"),
        ([[1, 0, 0], [1, 0, 0]], {"items": "xyx"}, "item label 'x' occurs twice"),
    ],
)
def test_cells_and_labels_that_cannot_be_are_refused(correct, options, message):
    with pytest.raises(ResponsesError, match=message):
        counts(correct, **options)


def test_unasked_cells_do_not_count_as_wrong():
    made = counts([[2, 0, 0], [0, 0, 0]], [[4, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(made.proportions(), [[0.5, 0, np.nan], [np.nan] * 3])
    assert made.accuracy().iloc[0] == 0.25 and np.isnan(made.accuracy().iloc[1])
    assert made.asked.sum() == 2 and (made.n_models, made.n_items) == (2, 3)


def test_parts_keep_their_labels():
    part = counts([[1, 0, 0], [0, 1, 1]]).take(models=[1], items=np.array([True, False, True]))
    assert list(part.models.index) == ["b"] and list(part.items.index) == ["x", "z"]
    assert part.correct.tolist() == [[0, 1]]


def test_fingerprints_depend_on_cells_and_labels_not_on_types():
    first = counts([[1, 0, 0], [0, 1, 1]]).fingerprint()
    assert counts(np.array([[1, 0, 0], [0, 1, 1]], dtype=np.int8)).fingerprint() == first
    assert counts([[1, 0, 0], [0, 1, 0]]).fingerprint() != first
    assert counts([[1, 0, 0], [0, 1, 1]], models="ac").fingerprint() != first
    assert counts([[1, 0, 0], [0, 1, 1]], benchmark="other").fingerprint() != first


@pytest.mark.parametrize(("maximum", "dtype"), [(127, np.int8), (128, np.int16), (40_000, np.int32), (2**40, np.int64)])
def test_integers_are_as_small_as_they_can_be(maximum, dtype):
    assert smallest_integer(maximum) is dtype


@pytest.mark.parametrize(
    ("label", "reason"),
    [("a\0b", "cannot hold"), ("a\ud800", "cannot hold"), ("x" * 20_001, "20,001 characters"), (" ", "is empty")],
)
def test_labels_that_no_file_can_hold_are_refused_where_they_enter(label, reason):
    ones, index = np.ones((1, 2), dtype=int), pd.Index(["p", label], dtype=object)
    with pytest.raises(ResponsesError, match=reason):
        ResponseCounts(ones, ones, pd.DataFrame(index=["m"]), pd.DataFrame(index=index))
    with pytest.raises(ResponsesError, match=f"{reason}|empty"):
        table_from_frame(pd.DataFrame({"model": pd.Series(["a", label], dtype=object), "item": "q", "correct": [0, 1]}))
