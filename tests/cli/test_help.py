"""The help of every command: choices, panels, examples; version and completion."""

import re
import shlex
import subprocess
import sys
from functools import partial
from typing import get_args

import pytest
from commands import printed
from typer.main import get_command
from typer.testing import CliRunner

import irt_bench
from irt_bench import LaplaceSettings, NUTSSettings, StudyDesign, SVISettings, names
from irt_bench.cli import EXAMPLES, app
from irt_bench.inference.settings import SETTINGS
from irt_bench.irt_models import SCORE_MODELS
from irt_bench.irt_models.logistic import IRT_MODELS, PRIORS
from irt_bench.irt_models.multidimensional import MULTIDIMENSIONAL_MODELS
from irt_bench.responses.formats import FORMATS
from irt_bench.subsets.estimators import ESTIMATORS
from irt_bench.subsets.harness.export import EXPORTS
from irt_bench.subsets.make import DEFAULT_ESTIMATOR, DEFAULT_METHOD
from irt_bench.subsets.select import SELECTORS, WEIGHTINGS
from irt_bench.workers import BACKENDS

COMMANDS = {command.__name__: examples for command, examples in EXAMPLES.items()}


shown = partial(printed, env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.mark.parametrize(
    ("names", "registry"),
    [
        (names.ModelName, {**IRT_MODELS, **MULTIDIMENSIONAL_MODELS, **SCORE_MODELS}),
        (names.MethodName, SETTINGS),
        (names.PriorsName, PRIORS),
        (names.SelectorName, SELECTORS),
        (names.WeightingName, WEIGHTINGS),
        (names.EstimatorName, ESTIMATORS),
        (names.ExportName, EXPORTS),
        (names.BackendName, BACKENDS),
        (names.FileFormatName, FORMATS),
        (names.GuideName, get_args(SVISettings.model_fields["guide"].annotation)),
        (names.DeviceName, get_args(SVISettings.model_fields["device"].annotation)),
    ],
)
def test_choices_are_those_of_the_library(names, registry):
    assert set(get_args(names)) == set(registry)


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_at_the_end_of_the_help_and_can_be_parsed(command):
    text = shown(command, "--help")
    parser = get_command(app).commands[command]
    for example in COMMANDS[command]:
        assert example in text
        program, name, *arguments = shlex.split(example)
        assert (program, name) == ("irt-bench", command)
        parser.make_context(name, arguments)  # refuses options that are not there


def test_an_example_with_an_unknown_option_is_caught():
    with pytest.raises(Exception, match="--no-such-option"):
        get_command(app).commands["fit"].make_context("fit", ["a.csv", "-o", "out", "--no-such-option"])


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("fit", names.ModelName),
        ("fit", names.MethodName),
        ("fit", names.GuideName),
        ("subset", names.SelectorName),
        ("subset", names.EstimatorName),
        ("export", names.ExportName),
        ("study", names.SelectorName),
        ("study", names.WeightingName),
        ("study", names.EstimatorName),
        ("study", names.StatisticName),
        ("read", names.FileFormatName),
    ],
)
def test_help_lists_the_choices(command, names):
    text = shown(command, "--help")
    assert all(name in text for name in get_args(names))


def test_options_of_a_method_are_grouped_under_it():
    text = shown("fit", "--help")
    places = [
        text.index(panel) for panel in ("Method laplace", "--max-sweeps", "Method nuts", "--chains", "Method svi")
    ]
    assert places == sorted(places) and text.index("--guide") > places[-1]


@pytest.mark.parametrize(
    ("command", "option", "default"),
    [
        *(("fit", option, LaplaceSettings.model_fields[option].default) for option in ("draws", "max_sweeps")),
        *(("fit", option, NUTSSettings.model_fields[option].default) for option in ("draws", "chains", "warmup")),
        *(("fit", option, SVISettings.model_fields[option].default) for option in ("draws", "max_steps", "guide")),
        *(("fit", "device", kind.model_fields["device"].default) for kind in (LaplaceSettings, SVISettings)),
        ("subset", "method", DEFAULT_METHOD),
        ("subset", "estimator", DEFAULT_ESTIMATOR),
        ("study", "folds", StudyDesign().n_folds),
        ("study", "n_random", StudyDesign().n_random),
        ("study", "sizes", ",".join(f"{size:g}" for size in StudyDesign().sizes)),
        ("study", "estimators", ",".join(StudyDesign().estimators)),
        ("study", "seed", StudyDesign().seed),
    ],
)
def test_help_shows_the_defaults_of_the_library(command, option, default):
    parameters = {each.name: each for each in get_command(app).commands[command].params}
    assert str(default) in re.split("[, ]", shown_default := str(parameters[option].show_default)) + [shown_default]


def test_panels_that_all_commands_share_come_last():
    for command in COMMANDS.keys() - {"report", "demo", "export"}:
        text = shown(command, "--help")
        places = [text.index(panel) for panel in ("─ Options ─", "─ Reading the files ─", "─ Output ─")]
        assert places == sorted(places), command


def test_a_seed_out_of_range_is_refused():
    assert "-1 is not a whole number from 0 to" in shown("items", "missing.csv", "--seed", "-1", code=2)


@pytest.mark.parametrize(
    ("command", "new"),
    [
        ("fit", "--model-clusters"),
        ("study", "--model-clusters"),
        ("scores", "--item-clusters"),
        ("variance", "--item-clusters"),
    ],
)
def test_the_old_name_of_clusters_is_answered_with_the_new_one(command, new):
    assert new in shown(command, "missing.csv", "-o", "out", "--cluster", "family", code=2)


def test_completion_offers_the_choices(monkeypatch):
    line = {"_IRT_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": "irt-bench fit --method ", "COMP_CWORD": "3"}
    result = CliRunner().invoke(app, [], prog_name="irt-bench", env=line)
    assert set(result.output.split()) >= {"laplace", "svi", "nuts"}


def test_columns_are_documented_where_they_are_read():
    text = shown("read", "--help")
    assert all(name in text for name in ("n_correct", "n_samples", "score", "seed", "step", "cluster", "subtask"))


def test_the_package_runs_as_a_module():
    run = [sys.executable, "-m", "irt_bench", "--version"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"irt-bench {irt_bench.__version__}"


def test_the_version_is_printed():
    assert shown("--version") == f"irt-bench {irt_bench.__version__}"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_no_type_is_shown_beside_options_without_a_value(command):
    text = shown(*([command] if command else []), "--help")
    assert "<bool>" not in text and "--help" in text
