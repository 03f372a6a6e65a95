import calibrate
import numpy as np
import pytest
import sbc
from coverage_recorder import keep
from coverage_rows import QUANTITIES, coverage_row


@pytest.fixture
def folder(tmp_path):
    """Coverage of everything, and no rank."""
    for quantity in QUANTITIES:
        rows = [coverage_row(quantity, "d", 0.9, n=1000, seeds=1),
                coverage_row(quantity, "d", 0.5, n=1000, seeds=1, control="narrow")]  # fmt: skip
        keep(tmp_path / "coverage", f"tests/{quantity}", rows, passed=True)
    return tmp_path


def test_zero_minutes_collect_only(folder, monkeypatch, capsys):
    for module, name in ((calibrate, "run_coverage"), (sbc, "run")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("was run"))
    assert calibrate.main(["-o", str(folder), "--minutes", "0", "--parts", "coverage"]) == 0
    header, first = (folder / "coverage.csv").read_text().splitlines()[:2]
    assert header == "quantity,test,design,control,n,coverage,lower,upper,limits,verdict,seeds,date,versions"
    assert first.startswith("ability,ability,d,,1000,0.9,0.8797,0.9179,0.87-0.93,holds,1,20")
    assert capsys.readouterr().out.splitlines()[-1] == "All is as it must be, and every control is caught."
    assert calibrate.main(["-o", str(folder), "--minutes", "0"]) == 1  # no ranks yet
    assert capsys.readouterr().out.splitlines()[-1].startswith("wrong: fewer than 5 data sets")


def test_a_control_that_passes_is_the_last_line_and_the_exit_code(folder, capsys):
    row = coverage_row("E", "d", 0.9, n=1000, seeds=1, control="plain bootstrap")
    keep(folder / "coverage", "tests/E", [row], passed=True)
    assert calibrate.main(["-o", str(folder), "--minutes", "0", "--parts", "coverage"]) == 1
    assert "control 'plain bootstrap' is not caught" in capsys.readouterr().out.splitlines()[-1]


def test_ranks_are_made_collected_and_not_made_again(tmp_path, monkeypatch, capsys):
    asked = ["-o", str(tmp_path), "--parts", "sbc", "--methods", "laplace", "--models", "1pl", "--replicates", "5"]
    monkeypatch.setattr(sbc, "CONTROLS", ("narrow draws",))
    drawn = np.random.default_rng(1)

    def replicate(cell, seed):
        ranks = {"difficulty_mean": 99 if cell.control else int(drawn.integers(100))}
        about = {"seed": seed, "date": "d", "versions": {}, "converged": True, "seconds": 1}
        return {**cell._asdict(), **about, "ranks": ranks}

    monkeypatch.setattr(sbc, "replicate", replicate)
    assert calibrate.main(asked) == 0
    assert len(list((tmp_path / "sbc").iterdir())) == 10 and (tmp_path / "calibration.png").stat().st_size > 1000
    assert len((tmp_path / "calibration.csv").read_text().splitlines()) == 3
    monkeypatch.setattr(sbc, "replicate", lambda *_: pytest.fail("was run"))
    assert calibrate.main(asked) == 0


def test_pytest_is_run_with_the_folder_and_stopped_in_time(tmp_path):
    assert calibrate.run_coverage(tmp_path / "kept", 0.0) == ["out of time before all coverage was measured"]
    found = calibrate.run_coverage(tmp_path / "kept", np.inf, "tests/analysis/test_intervals.py")
    assert found == [] and len(list((tmp_path / "kept").glob("*.json"))) == 1
