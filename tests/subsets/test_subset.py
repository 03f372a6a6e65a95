import json

import pytest

from irt_bench import Subset
from irt_bench.errors import SubsetError
from irt_bench.subsets.subset import CalibrationRecord, EstimatorParameters, SubsetItem, SubsetRecord, UnseenItems


def subset_of(n=3, **changes):
    items = tuple(
        SubsetItem(
            id=f"i{k}", weight=1 / n, target_weight=0.1, difficulty=0.1 * k, difficulty_sd=0.1, discrimination=1.0,
            discrimination_sd=0.1, mean=0.5, subtask="toy", doc_id=k, doc_hash=f"h{k}",
        )
        for k in range(n)
    )  # fmt: skip
    flat = UnseenItems(ability=(-3, 3), score=(0.1, 0.6), score_sd=(0.01, 0.01), answer_variance=(0.001, 0.001))
    fields = {
        "benchmark": "toy", "n_items_full": 10, "items": items, "size": n, "method": "random", "weights": "equal",
        "estimator": "p_irt", "seed": 1, "expected_error": 0.02, "expected_bias": 0.0, "expected_se": 0.03,
        "unseen": flat,
        "numbers": EstimatorParameters(misfit_sd=0.01, interval_scale=1.7),
        "calibration": CalibrationRecord(
            fingerprint="sha256:0", n_models=9, n_clusters=3, irt_model="2pl", inference="laplace",
            ability_range=(-2.0, 2.0),
        ),
        "package_version": "0.1.0",
    }  # fmt: skip
    return SubsetRecord(**(fields | changes))


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "subset.json"
    Subset(subset_of()).save(path)
    return path


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_a_subset_comes_back_as_it_was_and_has_the_same_bytes_each_time(written):
    again = Subset.load(written).record
    assert again == subset_of()
    first = written.read_bytes()
    Subset(again).save(written)
    assert written.read_bytes() == first
    assert json.loads(first)["sha256"] == again.digest()


def test_a_changed_weight_is_caught(written):
    changed(written, lambda content: content["items"][0].update(weight=0.9))
    with pytest.raises(SubsetError, match="was changed after it was written"):
        Subset.load(written)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"toy_mc": [1, 4, 7]}', "not a subset"),
        ("[1, 2]", "not a subset"),
        ("id,weight", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"format": "irt-bench subset", "version": 7}', "version 7"),
    ],
)
def test_foreign_files_are_refused_with_a_reason(tmp_path, text, reason):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(SubsetError, match=reason):
        Subset.load(path)
    with pytest.raises(SubsetError, match="with the command irt-bench subset"):
        Subset.load(tmp_path / "none.json")


def test_a_pickle_is_not_executed(tmp_path):
    path = tmp_path / "subset.json"
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path).encode() + b"/ran'\ntR.")
    with pytest.raises(SubsetError, match="not JSON"):
        Subset.load(path)
    assert not (tmp_path / "ran").exists()


def test_contradictions_are_refused_even_with_a_matching_digest(written):
    from irt_bench.subsets.subset import _digest

    def twice(content):
        del content["sha256"]
        content["items"][1]["id"] = "i0"
        content["sha256"] = _digest(content)

    with pytest.raises(SubsetError, match="'i0' occurs twice"):
        Subset.load(changed(written, twice))
    with pytest.raises(ValueError, match="2 coefficients for 3 items"):
        subset_of(numbers=EstimatorParameters(misfit_sd=0, interval_scale=1, coefficients=(1.0, 2.0)))
    with pytest.raises(ValueError, match="do not agree"):
        subset_of(size=4)


@pytest.mark.parametrize("number", ["3", "toy-3", 3.5, True])
def test_document_ids_that_are_no_whole_numbers_are_refused(written, number):
    """The harness ends with a TypeError on text, and takes none of the others for what it is."""
    from irt_bench.subsets.subset import _digest

    def renumber(content):
        del content["sha256"]
        content["items"][1]["doc_id"] = number
        content["sha256"] = _digest(content)

    changed(written, renumber)
    with pytest.raises(SubsetError, match="doc_id"):
        Subset.load(written)
