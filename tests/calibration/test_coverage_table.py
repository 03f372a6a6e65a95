import pytest
from coverage_recorder import keep
from coverage_rows import QUANTITIES, coverage_row
from coverage_table import faults, tabulate


def rows_of(quantity, **control):
    return [
        coverage_row(quantity, "d", 0.9, n=1000, seeds=1),
        coverage_row(quantity, "d", control.get("covered", 0.7), n=1000, seeds=1, control="narrow"),
    ]


@pytest.fixture
def folder(tmp_path):
    for number, quantity in enumerate(reversed(QUANTITIES)):
        keep(tmp_path, f"tests/x.py::test[{number}]", rows_of(quantity), passed=True)
    return tmp_path


def test_a_whole_table_is_without_fault_and_in_order(folder):
    table = tabulate(folder)
    assert faults(table) == []
    assert list(table["quantity"].unique()) == list(QUANTITIES)
    assert table["verdict"].value_counts().to_dict() == {"holds": len(QUANTITIES), "caught": len(QUANTITIES)}
    assert table["versions"].str.contains("scipy").all() and table["date"].str.match(r"\d{4}-\d\d-\d\d$").all()


def test_a_control_that_passes_is_told(folder):
    keep(folder, "tests/x.py::test[0]", rows_of(QUANTITIES[-1], covered=0.9), passed=True)
    found = faults(tabulate(folder))
    assert len(found) == 2 and "'narrow' is not caught" in found[0] and "no control is caught" in found[1]


def test_what_is_off_failed_or_missing_is_told(folder):
    keep(folder, "tests/x.py::test[off]", [coverage_row("E", "d", 0.8, n=1000, seeds=1)], passed=False)
    (folder / "tests-x.py-test[0].json").unlink()
    found = faults(tabulate(folder))
    assert found[0].startswith("E, d: 0.800, outside of 0.87-0.93") and found[-1] == "x.py::test[off] failed"
    assert f"{QUANTITIES[-1]}: no coverage yet" in found


def test_an_empty_folder_lacks_everything(tmp_path):
    assert len(faults(tabulate(tmp_path))) == 2 * len(QUANTITIES)
