"""The house is as the README says: its map, its layers, its public names, its start-up."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import irt_bench

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "irt_bench"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
TESTED_TOGETHER = {
    "names.py": "constants only",
    "console.py": "tests/cli/test_cli.py",
    **dict.fromkeys(
        [
            f"cli/{name}.py"
            for name in ("options", "read", "items", "fit", "score", "compare", "adaptive", "export", "demo")
        ],
        "tests/cli/test_cli.py",
    ),
    "responses/formats/base.py": "every format's tests",
    **dict.fromkeys(
        [
            *(f"report/page/{name}.py" for name in ("drawing", "folders", "html_tables", "sections", "item_section")),
            *(
                f"report/page/{name}.py"
                for name in ("model_section", "noise_sections", "subset_section", "trust_section")
            ),
            *(f"report/figures/{name}.py" for name in ("noise", "ranks", "ratios", "wright")),
            "cli/report.py",
        ],
        "tests/report/page/test_page.py",
    ),
    "inference/draws.py": "a record without behaviour",
    "inference/settings.py": "tests/inference/test_fit.py",
    "inference/sweep_numba.py": "tests/inference/test_sweep.py",
    "inference/sweep_torch.py": "tests/inference/test_sweep.py",
    "irt_models/base.py": "tests/irt_models/test_logistic.py",
    "irt_models/program.py": "tests/inference/test_posterior.py",
}


def test_the_map_in_the_readme_lists_every_module():
    text = (ROOT / "README.md").read_text()
    block = text.split("## Map of the house")[1].split("```")[1]
    listed = set(re.findall(r"[a-z_0-9]+\.py", block)) - {"__init__.py"}
    assert listed == {Path(module).name for module in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_test_file(module):
    path = Path(module)
    expected = ROOT / "tests" / path.parent / f"test_{path.name}"
    assert expected.is_file() or module in TESTED_TOGETHER


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
    modules = "irt_bench.inference.laplace, irt_bench.inference.fit, irt_bench.report.figures, irt_bench.analysis.irt"
    code = f"import sys, {modules}; sys.exit(bool({{'torch', 'pyro', 'scipy.stats'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0
