import numpy as np
import pyarrow as pa
import pytest

from irt_bench.responses.formats.tables import column_for


def built(kind, *batches, name="x"):
    column = column_for(name, kind)
    for batch in batches:
        column.add(pa.array(batch, kind))
    return column.finish()


def test_bytes_that_are_text_are_read_as_text():
    for kind in (pa.binary(), pa.large_binary()):
        column = built(kind, [b"a", None, "\u00e9".encode()])
        assert column.dropna().tolist() == ["a", "\u00e9"] and column.isna().tolist() == [False, True, False]
        with pytest.raises(pa.ArrowInvalid):
            built(kind, [b"\xff"])


def test_codes_grow_with_the_number_of_texts():
    texts = [f"t{n}" for n in range(40_000)]
    column = built(pa.string(), texts[:100], texts[100:300], texts[300:], [None, "t0"])
    assert column.array.codes.dtype == np.int32
    assert column.tolist()[:-2] == texts and column.isna().tolist()[-2:] == [True, False]
    assert built(pa.string(), texts[:100]).array.codes.dtype == np.int8


def test_dictionaries_that_fill_their_code_type_may_have_gaps():
    texts = [f"t{n}" for n in range(128)]
    array = pa.array([*texts, None]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))
    column = column_for("x", array.type)
    column.add(array)
    assert column.finish().isna().sum() == 1


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint16()])
def test_whole_numbers_with_gaps_stay_whole(kind):
    column = built(kind, [1, 2], [None, 3])
    assert column.tolist()[:2] == [1, 2] and column.isna().tolist() == [False, False, True, False]
    assert str(column.dtype).lower() == str(kind)


def test_right_answers_take_one_byte_unless_they_do_not_fit():
    assert built(pa.int64(), [0, 1], [1], name="correct").dtype == np.int8
    assert built(pa.int64(), [0, 1000], [1], name="correct").tolist() == [0, 1000, 1]
    assert built(pa.bool_(), [True, False], name="correct").dtype == np.int8
    assert built(pa.int64(), [0, 1]).dtype == np.int64


def test_columns_of_nothing_are_missing_numbers_and_empty_columns_are_empty():
    assert built(pa.null(), [None, None]).isna().all()
    assert len(built(pa.string())) == len(built(pa.float64())) == 0


def test_lists_are_kept():
    assert [None if v is None else v.tolist() for v in built(pa.list_(pa.float32()), [[1.0], None])] == [[1.0], None]
