import pytest
from commands import printed

from irt_bench.cli import report


@pytest.mark.parametrize("installed", [True, False])
def test_without_jinja_the_demo_ends_with_what_to_install(monkeypatch, tmp_path, installed):
    import importlib

    module = importlib.import_module("irt_bench.cli.report")
    done = []
    monkeypatch.setattr(report, "run_demo", lambda output, seed: output.mkdir())
    for name in ("check", "subset", "variance", "study"):
        monkeypatch.setattr(module, name, lambda *args, name=name, **kwargs: done.append(name))
    monkeypatch.setattr(module, "report", lambda paths, output, force: output.write_text("page"))
    monkeypatch.setattr(module, "find_spec", lambda name: object() if installed else None)
    text = printed("demo", "-o", tmp_path / "demo")
    assert done == ["check", "subset", "variance", "study"]
    assert (tmp_path / "demo" / "report.html").exists() == installed
    assert ("pip install 'irt-bench[report]'" in text) != installed


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_demo_goes_the_whole_way(tmp_path):
    printed("demo", "-o", tmp_path / "demo")
    for name in ("checks", "compared", "variance", "study", "comparison"):
        assert (tmp_path / "demo" / name / "summary.json").exists(), name
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
