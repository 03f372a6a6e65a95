"""Short modules and functions, public names, a light start-up."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import irt_bench

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "irt_bench"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_stay_short(module):
    text = (PACKAGE / module).read_text()
    assert len(text.splitlines()) <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            documentation = len((ast.get_docstring(node) or "").splitlines())
            assert node.end_lineno - node.lineno + 1 - documentation <= 60, node.name


def test_public_names_are_importable():
    for name in irt_bench.__all__:
        assert getattr(irt_bench, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        irt_bench.no_such_name  # noqa: B018


@pytest.mark.parametrize("statement", ["import irt_bench", "import irt_bench.cli"])
def test_start_up_imports_no_heavy_library(statement):
    code = f"import sys; {statement}; sys.exit(bool({{'torch', 'pyro', 'numpy', 'pandas'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fitting_imports_neither_a_sampler_nor_scipy_stats():
    """Half a second each, which a fit by the fast method with its figures need not wait for."""
    modules = (
        "irt_bench.inference.fast.laplace, irt_bench.inference.fit, irt_bench.report.figures, irt_bench.analysis.irt"
    )
    code = f"import sys, {modules}; sys.exit(bool({{'torch', 'pyro', 'scipy.stats'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0
