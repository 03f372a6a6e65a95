"""Short modules and functions, public names, a light start-up."""

import ast
import inspect
import os
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import irt_bench

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "irt_bench"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name[:2] != "__")


def test_rooms_are_small_and_names_are_used_once():
    """At most 14 modules side by side; a class bears its name alone, and a module but those of the front doors."""
    assert len(MODULES) <= 140
    siblings = Counter(Path(module).parent for module in MODULES)
    assert max(siblings.values()) <= 14, siblings.most_common(1)
    stems = Counter(Path(module).stem for module in MODULES if not module.startswith(("api/", "cli/")))
    assert max(stems.values()) == 1, stems.most_common(1)
    trees = [ast.parse((PACKAGE / module).read_text()) for module in MODULES]
    classes = Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))
    assert max(classes.values()) == 1, classes.most_common(1)


def test_modules_import_each_other_in_one_direction():
    """No circle among modules, not even inside a room."""
    imports = {}
    for module in MODULES:
        name = "irt_bench." + module.removesuffix(".py").replace("/", ".")
        nodes = [n for n in ast.parse((PACKAGE / module).read_text()).body if isinstance(n, ast.ImportFrom)]
        imports[name] = {n.module for n in nodes} | {f"{n.module}.{alias.name}" for n in nodes for alias in n.names}
    graph = {name: found & imports.keys() for name, found in imports.items()}
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_stay_short(module):
    text = (PACKAGE / module).read_text()
    assert len(text.splitlines()) <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            documentation = len((ast.get_docstring(node) or "").splitlines())
            assert node.end_lineno - node.lineno + 1 - documentation <= 60, node.name
            assert len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs) <= 14, node.name


PUBLIC = [
    "AccuracyComparison",
    "AdaptiveRules",
    "Beta",
    "BifactorTwoPL",
    "CalibrationComparison",
    "ConfirmatoryTwoPL",
    "ConvergenceWarning",
    "Fit",
    "FitChecks",
    "FitWarning",
    "FourPL",
    "GeneralizedPartialCredit",
    "GradedResponse",
    "Groups",
    "HalfNormal",
    "Hierarchical",
    "IRTModel",
    "IrtBenchError",
    "ItemAnalysis",
    "ItemRegression",
    "LaplaceSettings",
    "ManyFacet",
    "ModelScores",
    "MultidimensionalTwoPL",
    "NUTSSettings",
    "Normal",
    "OnePL",
    "RecipeComparison",
    "Regression",
    "ResponseCounts",
    "ResponseTable",
    "SVISettings",
    "ScaleLink",
    "SeedVariance",
    "Study",
    "StudyDesign",
    "Subset",
    "SubsetComparison",
    "ThreePL",
    "TwoPL",
    "ZeroOneBeta",
    "as_counts",
    "as_table",
    "calibrate_items",
    "compare_calibrations",
    "compare_models",
    "compare_recipes",
    "compare_seed_variance",
    "compare_subsets",
    "describe_responses",
    "equate_scores",
    "fit",
    "fit_benchmarks",
    "item_analysis",
    "link_scales",
    "load_example",
    "make_subset",
    "model_scores",
    "plot_scores",
    "predict_items",
    "read_counts",
    "read_responses",
    "report_responses",
    "run_study",
    "save_figure",
    "score_with_items",
    "seed_variance",
    "simulate_responses",
    "table_from_frame",
    "write_report",
    "write_table",
]


def test_the_public_names_are_these():
    """A snapshot: a change of it is a change of what others rely on."""
    assert irt_bench.__all__ == PUBLIC
    typed = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in typed.body if isinstance(node, ast.If))
    named = {alias.asname or alias.name for node in block.body for alias in node.names}
    assert named == set(PUBLIC)  # what a type checker sees


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_and_method_is_documented(name):
    thing = getattr(irt_bench, name)
    assert (thing.__doc__ or "").strip()
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            if not member.startswith("_") and (callable(value) or isinstance(value, property | classmethod)):
                assert inspect.getdoc(getattr(thing, member)), f"{name}.{member}"


@pytest.mark.slow
def test_a_type_checker_sees_public_names_and_their_choices(tmp_path):
    pytest.importorskip("mypy")
    code = """
import irt_bench
from irt_bench import Fit, fit, load_example
reveal_type(fit(load_example("seeds"), "2pl", method="nuts", seed=1).abilities())
reveal_type(Fit.load("fit.nc").plot("wright"))
fit(load_example("seeds"), "5pl")
irt_bench.no_such_name
"""
    (tmp_path / "typed.py").write_text(code)
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--cache-dir", str(tmp_path), "typed.py"]
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | {"MYPYPATH": str(ROOT)}
    )
    shown = [line for line in found.stdout.splitlines() if line.startswith("typed.py")]
    assert "DataFrame" in shown[0] and "Figure" in shown[1]
    assert "5pl" in shown[2] and "error" in shown[2]
    assert "no_such_name" in shown[3] and "error" in shown[3]  # no name is `Any` to a type checker


def option_strings():
    """Strings outside the command line that name an option of a command; other programs' options are no matter."""
    from typer.main import get_command

    from irt_bench.cli import app

    own = {
        option
        for command in get_command(app).commands.values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(own, key=len, reverse=True)))})(?![\w-])")
    for module in MODULES:
        if module.startswith("cli/"):
            continue
        nodes = list(ast.walk(ast.parse((PACKAGE / module).read_text())))
        if module.startswith("subsets/harness/"):  # commands of harnesses have options; messages name parameters
            nodes = [part for node in nodes if isinstance(node, ast.Raise) for part in ast.walk(node)]
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.search(node.value):
                yield f"{module}:{node.lineno}: {node.value[:80]}"


def test_no_message_of_the_library_names_an_option():
    assert list(option_strings()) == []


def past_the_front_door(text):
    """Public names that a text imports from the modules where they are defined, or from the rooms of these."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("irt_bench."):
            for name in {alias.name for alias in node.names} & irt_bench._HOMES.keys():
                home, imported = irt_bench._HOMES[name], f"{node.module}.{name}".replace(".", "/")
                if home.startswith(node.module) and not (ROOT / f"{imported}.py").exists():
                    yield f"{node.module}.{name}"


def test_tests_and_notebooks_import_public_names_through_the_front_door():
    """A module may be joined with another, and no test of what is public changes."""
    files = [path for folder in ("tests", "notebooks") for path in (ROOT / folder).rglob("*.py")]
    assert {path.name: found for path in files if (found := [*past_the_front_door(path.read_text())])} == {}


def test_imports_past_the_front_door_are_found():
    found = past_the_front_door(
        "from irt_bench import TwoPL\n"
        "from irt_bench.irt_models.logistic import IRT_MODELS, OnePL\n"
        "from irt_bench.responses import ResponseTable\n"
        "from irt_bench.inference.fit import fit\n"  # another function than the public one
        "from irt_bench.api import fit\n"  # a module
    )
    assert [*found] == ["irt_bench.irt_models.logistic.OnePL", "irt_bench.responses.ResponseTable"]


def test_public_names_are_importable():
    for name in irt_bench.__all__:
        assert getattr(irt_bench, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        irt_bench.no_such_name  # noqa: B018


@pytest.mark.parametrize("statement", ["import irt_bench", "import irt_bench.cli", "import irt_bench.__main__"])
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
