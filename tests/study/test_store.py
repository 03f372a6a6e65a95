import numpy as np
import pytest

from irt_bench.errors import OutputError
from irt_bench.study.tasks import Store, input_hash


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "study")
    store.open()
    return store


def test_a_task_is_there_whole_or_not_at_all(store, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match="No space left"):
        store.write("a", {"x": np.arange(3)})
    assert not store.has("a")
    assert not list((store.folder / "tasks").iterdir())


def test_the_same_result_has_the_same_bytes(store):
    for name in "ab":
        store.write(name, {"x": np.arange(3.0), "y": np.zeros((2, 2))})
    assert len({path.read_bytes() for path in (store.folder / "tasks").iterdir()}) == 1
    np.testing.assert_array_equal(store.read("a")["x"], [0, 1, 2])
    assert store.finished() == {"a", "b"}


def test_a_damaged_task_is_removed_with_an_error(store):
    store.write("a", {"x": np.arange(1000)})
    path = store.folder / "tasks" / "a.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(OutputError, match="run the study again"):
        store.read("a")
    assert not store.has("a")


def test_a_folder_of_others_is_refused_and_an_own_one_gone_on_in(store, tmp_path):
    store.open()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="of this version wrote"):
        Store(tmp_path / "other").open()
    with pytest.raises(OutputError, match="not a folder"):
        Store(tmp_path / "other" / "thesis.tex").open()


def test_names_depend_on_every_input_and_not_on_their_order():
    assert input_hash({"a": 1, "b": [2, 3]}) == input_hash({"b": [2, 3], "a": 1})
    assert len({input_hash({"a": 1}), input_hash({"a": 2}), input_hash({"b": 1}), input_hash({"a": [1]})}) == 4
