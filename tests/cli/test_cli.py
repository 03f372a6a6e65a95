"""The commands as a user runs them: files in, files and text out, one clear line and exit code 2 on bad input."""

import ast
import json
import os
import re
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import related
import torch
import typer
from commands import run
from typer.testing import CliRunner

import irt_bench
from irt_bench import (
    BifactorTwoPL,
    ConvergenceWarning,
    Fit,
    ManyFacet,
    TwoPL,
    read_responses,
    simulate_responses,
    write_table,
)
from irt_bench.cli.command import out, say_written
from irt_bench.errors import OutputError

N_MODELS, N_ITEMS = 25, 12
QUICK = ["--draws", "64"]
SHORT = ["--method", "svi", "--max-steps", "60", "--draws", "50"]


@pytest.fixture(scope="module")
def responses(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "responses.parquet"
    write_table(simulate_responses(TwoPL(), n_models=N_MODELS, n_items=N_ITEMS, seed=3).table, path)
    return path


@pytest.fixture(scope="module")
def two_benchmarks(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "two.csv"
    rows = [(b, m, i, int((m + i) % 3 > 0)) for b in ("arc", "gsm8k") for m in range(5) for i in range(4)]
    pd.DataFrame(rows, columns=["benchmark", "model", "item", "correct"]).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def fitted(responses, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "fit"
    run("fit", responses, "-o", folder, "--seed", 4, *SHORT)
    return folder


def test_help_lists_the_commands():
    output = run("--help").output
    for command in ("read", "items", "fit", "score", "compare", "demo"):
        assert command in output


def test_read_writes_the_canonical_table_and_says_what_it_found(two_benchmarks, tmp_path):
    output = run("read", two_benchmarks, "-o", tmp_path / "all.parquet").output
    assert "arc" in output and "gsm8k" in output
    assert read_responses([tmp_path / "all.parquet"]).benchmarks == ["arc", "gsm8k"]
    run("read", two_benchmarks, "--benchmark", "arc", "-o", tmp_path / "arc.csv")
    assert read_responses([tmp_path / "arc.csv"]).benchmarks == ["arc"]


def test_read_tells_machines_the_same_as_json(two_benchmarks, tmp_path):
    told = json.loads(run("read", two_benchmarks, "-o", tmp_path / "all.parquet", "--json").stdout)
    assert [row["benchmark"] for row in told["benchmarks"]] == ["arc", "gsm8k"]
    assert {finding["name"] for finding in told["findings"]} >= {"duplicate_models"}


def test_items_writes_the_documented_columns(responses, tmp_path):
    run("items", responses, "-o", tmp_path / "items.csv", "--figure", tmp_path / "items.png")
    written = pd.read_csv(tmp_path / "items.csv")
    documented = {
        "item",
        "n_models",
        "proportion_correct",
        "item_total_correlation",
        "item_rest_correlation",
        "biserial",
        "flags",
    }
    assert documented <= set(written.columns)
    counts = read_responses([responses]).counts()
    np.testing.assert_allclose(written["proportion_correct"], counts.correct.mean(axis=0), rtol=1e-8)
    assert (tmp_path / "items.png").read_bytes().startswith(b"\x89PNG")


def test_items_tells_machines_the_same_as_json(responses):
    told = json.loads(run("items", responses, "--json").stdout)
    assert len(told["items"]) == N_ITEMS
    assert 0 < told["reliability"]["alpha"] < 1
    assert told["seed"] == 0


def test_fit_writes_what_is_documented(fitted, responses):
    assert {file.name for file in fitted.iterdir()} == {
        "fit.nc",
        "items.csv",
        "abilities.csv",
        "observed.csv",
        "summary.json",
        "fit.png",
    }
    items, abilities = pd.read_csv(fitted / "items.csv"), pd.read_csv(fitted / "abilities.csv")
    for name in ("difficulty", "discrimination"):
        assert {name, f"{name}_sd", f"{name}_q05", f"{name}_q95"} <= set(items.columns)
    assert {"model", "ability", "ability_sd", "ability_q05", "ability_q95", "accuracy", "n_items"} <= set(abilities)
    counts = read_responses([responses]).counts()
    np.testing.assert_allclose(abilities.set_index("model")["accuracy"], counts.accuracy(), rtol=1e-8)
    summary = json.loads((fitted / "summary.json").read_text())
    assert summary["method"] == "svi" and summary["seed"] == 4 and summary["irt_model"]["name"] == "2pl"
    assert summary["converged"] is False and summary["checks"][0]["status"] == "failed"
    assert set(summary["timings"]) == {"read", "fit", "write"}
    assert summary["responses"]["fingerprint"] == counts.fingerprint()
    assert summary["versions"]["pyro-ppl"]


def test_log_likelihood_is_saved_when_asked_for_and_refused_before_the_fit_if_too_large(
    responses, tmp_path, monkeypatch
):
    run("fit", responses, "-o", tmp_path / "fit", "--draws", 20, "--log-likelihood")
    found = Fit.load(tmp_path / "fit").log_likelihood()
    counts = read_responses([responses]).counts()
    assert found.shape == (1, 20, *counts.trials.shape) and (found < 0).all()
    monkeypatch.setattr("irt_bench.inference.draws.MAX_GIGABYTES", 1e-5)
    monkeypatch.setattr("irt_bench.inference.fit.fit", lambda *_, **__: pytest.fail("it was fitted"))
    result = run("fit", responses, "-o", tmp_path / "large", "--log-likelihood", code=2)
    assert "Take at most" in result.output and not (tmp_path / "large").exists()


def test_a_fit_that_did_not_converge_warns_and_is_still_written(responses, tmp_path):
    result = run("fit", responses, "-o", tmp_path / "fit", *SHORT)
    assert "Warning:" in result.output and "--max-steps" in result.output
    assert not Fit.load(tmp_path / "fit").converged


def test_the_same_seed_gives_the_same_bytes(fitted, responses, tmp_path):
    run("fit", responses, "-o", tmp_path / "again", "--seed", 4, *SHORT)
    run("fit", responses, "-o", tmp_path / "other", "--seed", 5, *SHORT)
    for name in ("fit.nc", "items.csv", "abilities.csv", "fit.png"):
        assert (tmp_path / "again" / name).read_bytes() == (fitted / name).read_bytes(), name
    assert (tmp_path / "other" / "items.csv").read_bytes() != (fitted / "items.csv").read_bytes()


def test_the_default_method_is_the_fast_one_and_offers_relative_intervals(responses, tmp_path):
    run("fit", responses, "-o", tmp_path / "fit", "--seed", 1)
    summary = json.loads((tmp_path / "fit" / "summary.json").read_text())
    assert summary["method"] == "laplace"
    of_inference, of_responses = (
        {"maximum", "stationary", "mixed", "r_hat", "pooling"},
        {"expected_scores", "missing_pattern"},
    )
    assert {check["name"] for check in summary["checks"]} == of_inference | of_responses | {"overdispersion"}
    abilities = pd.read_csv(tmp_path / "fit" / "abilities.csv")
    assert abilities["relative_ability"].mean() == pytest.approx(0, abs=1e-6)
    assert (abilities["relative_ability_q05"] < abilities["relative_ability_q95"]).all()


def test_fit_with_nuts_and_known_guessing(responses, tmp_path):
    arguments = ["--method", "nuts", "--irt-model", "3pl", "--guessing", "0.25", "--chains", 1, "--jobs", 1]
    run("fit", responses, "-o", tmp_path / "fit", *arguments, "--warmup", 10, "--draws", 10, "--target-accept", 0.6)
    assert (pd.read_csv(tmp_path / "fit" / "items.csv")["guessing"] == 0.25).all()


@pytest.mark.parametrize("method", ["eap", "map"])
def test_score_writes_the_documented_columns(fitted, responses, tmp_path, method):
    run("score", responses, "--fit", fitted, "--method", method, "-o", tmp_path / "scores.csv")
    written = pd.read_csv(tmp_path / "scores.csv")
    assert list(written.columns) == ["model", "ability", "ability_sd", "ability_q05", "ability_q95", "n_items"]
    assert (written["n_items"] == N_ITEMS).all()
    told = json.loads(run("score", responses, "--fit", fitted, "--method", method, "--json").stdout)
    assert [row["model"] for row in told["scores"]] == list(written["model"])


def test_compare_writes_tables_and_a_figure(fitted, responses, tmp_path):
    run("compare", responses, "--fit", fitted, "-o", tmp_path / "out")
    written = {file.name for file in (tmp_path / "out").iterdir()}
    tables = {"models.csv", "discordant.csv", "confirmation.csv", "items.csv"}
    assert written == tables | {"comparison.png", "summary.json"}
    told = json.loads(run("compare", responses, "--fit", fitted, "--json").stdout)
    assert told == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert told["correlations"]["kendall_tau_b"]["rankings"] > 0.5
    assert told["n_pairs"] == N_MODELS * (N_MODELS - 1) // 2


def test_reading_without_an_output_lists_what_there_is_and_what_is_to_choose(shared_cases):
    folder = shared_cases / "lm_eval_suite"
    output = " ".join(run("read", folder).output.split())
    assert "arc acc_norm none 2 4 8 to choose" in output and "Models (2): org/m1, org/m2" in output
    assert "--metric arc=acc|acc_norm,ifeval=prompt_level_strict_acc|prompt_level_loose_acc" in output
    assert "--filter gsm=strict-match|flexible-extract" in output
    chosen = run("read", folder, "--metric", "arc=acc_norm", "--benchmark", "arc").output
    assert "Nothing is left to choose" in chosen and "ifeval" not in chosen
    rows = json.loads(run("read", folder, "--json").stdout)["contents"]
    assert len(rows) == 12 and rows[0]["benchmark"] == "arc" and rows[0]["chosen"] is False


@pytest.mark.parametrize("command", ["read", "items", "fit", "score", "compare"])
def test_an_existing_output_is_refused_before_anything_is_read(command, fitted, tmp_path):
    folder = command in ("fit", "compare")
    path = tmp_path / ("out" if folder else "out.csv")
    if folder:
        path.mkdir()
    else:
        path.write_text("precious")
    rest = ["--fit", fitted] if command in ("score", "compare") else []
    result = run(command, "no-such-file.csv", "-o", path, *rest, code=2)
    assert "exists; choose another name, or replace it with --force" in result.output
    assert folder or path.read_text() == "precious"


def test_force_replaces_an_existing_output(two_benchmarks, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    run("read", two_benchmarks, "-o", path, "--force")
    assert path.read_text().startswith('"benchmark"')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["items", "no-such-file.csv"], "no-such-file.csv"),
        (["items", "{two}"], "one benchmark is needed, 2 were found: arc, gsm8k"),
        (["items", "{two}", "--benchmark", "gsm8"], "Did you mean 'gsm8k'"),
        (["items", "{two}", "--format", "csvv"], "csvv"),
        (["fit", "{one}", "-o", "{out}", "--method", "nut"], "Did you mean 'nuts'"),
        (["fit", "{one}", "-o", "{out}", "--irt-model", "5pl"], "Choices: 1pl, 2pl, 3pl, 4pl"),
        (["fit", "{one}", "-o", "{out}", "--chains", "4"], "--chains is no option of the method 'laplace'"),
        (
            ["fit", "{one}", "-o", "{out}", "--irt-model", "3pl", "--method", "laplace"],
            "does not learn asymptotes",
        ),
        (["fit", "{one}", "-o", "{out}", "--guessing", "0.2"], "the 2pl model has no guessing"),
        (["fit", "{one}", "-o", "{out}", "--method", "nuts", "--target-accept", "2"], "--target-accept is 2.0"),
        *(
            pytest.param(
                ["fit", "{one}", "-o", "{out}", "--method", method, "--device", "cuda"],
                "finds none here",
                marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here"),
            )
            for method in ("laplace", "svi")
        ),
        (["score", "{one}", "--fit", "{one}"], "is not a fit written by irt-bench"),
        (["compare", "{two}", "--benchmark", "arc", "--fit", "{fit}"], "0"),
        (["score", "{two}", "--benchmark", "arc", "--fit", "{fit}"], "are not among the 12 of the fit"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(arguments, message, responses, two_benchmarks, fitted, tmp_path):
    places = {"one": responses, "two": two_benchmarks, "fit": fitted, "out": tmp_path / "out"}
    result = run(*(argument.format(**places) for argument in arguments), code=2)
    assert message in result.output
    assert result.output.startswith("Error:") and len(result.output.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_warnings_of_this_package_reach_the_user_and_those_for_developers_do_not(capsys):
    from irt_bench.cli.command import show_warning

    shown: set[str] = set()
    for _ in range(2):  # the same again says nothing new
        show_warning(shown, {}, ConvergenceWarning("R-hat is 1.5"), ConvergenceWarning)
    show_warning(shown, {}, FutureWarning("argument x will go"), FutureWarning)
    assert capsys.readouterr().err.split() == ["Warning:", "R-hat", "is", "1.5"]


def test_a_group_of_options_arrives_as_one_record():
    from irt_bench.cli.command import Seed, WriteOptions, command, options_of

    arrived = []

    @command
    def grouped(output: str, writing: WriteOptions, seed: Seed = 3):
        arrived.append((output, writing, seed))

    assert options_of(grouped) == {"force": "--force", "json": "--json", "seed": "--seed"}
    own = typer.Typer()
    own.command()(grouped)
    assert CliRunner().invoke(own, ["out", "--force", "--seed", "5"]).exit_code == 0
    grouped(output="again")
    assert arrived == [("out", WriteOptions(force=True), 5), ("again", WriteOptions(), 3)]
    with pytest.raises(TypeError, match="jsn"):
        grouped(output="out", jsn=True)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_end_lets_a_command_clean_up_and_gives_its_number(name, capsys):
    from irt_bench.cli.command import command

    number, left = getattr(signal, name), []
    signal.signal(number, signal.SIG_DFL)  # a test run under nohup ignores hang-ups, as do its commands

    @command
    def stopped_by_a_signal():
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            left.append("cleaned up")

    with pytest.raises(typer.Exit) as stopped:
        stopped_by_a_signal()
    assert stopped.value.exit_code == 128 + number and left == ["cleaned up"]
    assert "Stopped" in capsys.readouterr().err
    assert signal.getsignal(number) is signal.SIG_DFL


def test_fit_takes_clusters_by_column_or_name_and_counts_copies_once(tmp_path):
    truth = related.near_copies(1, share=0.2, n_models=120, n_items=60)
    model = [f"base{source}-{place}" for place, source in enumerate(truth.cluster)]
    frame = pd.DataFrame(truth.correct, index=pd.Index(model, name="model")).add_prefix("item")
    long = frame.reset_index().melt("model", var_name="item", value_name="correct")
    long["family"] = long["model"].str.split("-").str[0]
    long.to_csv(tmp_path / "answers.csv", index=False)
    found = {}
    for name, options in (("column", ["--model-clusters", "family"]), ("once", ["--copies", "once"])):
        run("fit", tmp_path / "answers.csv", "-o", tmp_path / name, "--draws", 100, *options)
        found[name] = json.loads((tmp_path / name / "summary.json").read_text())["clusters"]
        assert len(pd.read_csv(tmp_path / name / "abilities.csv")) == 120
    assert found["column"]["n_clusters"] == 96
    assert found["column"]["n_effective"] < 115
    assert 15 <= found["once"]["n_copies"] <= 24
    run("fit", tmp_path / "answers.csv", "-o", tmp_path / "no", "--model-clusters", "famly", code=2)
    assert not (tmp_path / "no").exists()


def test_a_figure_of_no_known_format_is_refused_before_anything_is_written(responses, tmp_path):
    output = run("items", responses, "-o", tmp_path / "items.csv", "--figure", tmp_path / "items.txt", code=2).output
    assert "figure format" in output and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("items are skewed; use method='nuts'.", "items are skewed; use --method nuts."),
        (
            "2 were found: x, y. Choose one: select(benchmark='NAME').",
            "2 were found: x, y. Choose one: --benchmark NAME.",
        ),
        ("choose another name, or replace it with force=True.", "choose another name, or replace it with --force."),
        ("12 trajectories diverged; raise target_accept", "12 trajectories diverged; raise --target-accept"),
        ("not converged; allow more: max_steps=...", "not converged; allow more: --max-steps"),
        ("fix guessing (guessing=0.25, or a column)", "fix guessing (--guessing 0.25, or a column)"),
        ("target_accept is 2.0: too large", "--target-accept is 2.0: too large"),
        ("model 'run-1[seed=1,step=100]' occurs twice", "model 'run-1[seed=1,step=100]' occurs twice"),
        ("model 'my seed=1' occurs twice", "model 'my seed=1' occurs twice"),
        ("item 'max_steps' has no answer", "item 'max_steps' has no answer"),
        ("all_runs=True takes all.", "irt-bench read --all-runs takes all."),
        ("name others in group_columns, or drop", "name others in irt-bench read --group-columns, or drop"),
        ("tell runs apart: run='COLUMN', or drop", "tell runs apart: irt-bench variance --run COLUMN, or drop"),
        (
            "ThreePL(guessing=0.25), counts.take(items=..., seed=1)",
            "ThreePL(guessing=0.25), counts.take(items=..., seed=1)",
        ),
    ],
)
def test_parameters_in_messages_are_written_as_options_of_the_command(message, shown):
    from irt_bench.cli.command import options_of, with_options
    from irt_bench.cli.fit import fit

    assert with_options(message, options_of(fit)) == shown


OF_PYTHON_ALONE = {"population", "item_regression", "difficulty", "log_discrimination", "framed"}
OF_NO_MESSAGE = {"index_col", "pretrained"}  # code and commands of other programs
PACKAGE = Path(irt_bench.__file__).parent


def texts(path):
    """Strings of a module other than docstrings and reprs, with the name of the function or class around each."""
    tree = ast.parse(path.read_text())
    for top in tree.body:
        inside = list(ast.walk(top))
        reprs = [node for node in inside if str(getattr(node, "name", "")).endswith(("__repr__", "_html_"))]
        documentation = [node for node in inside if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
        left_out = {id(node) for each in (*reprs, *documentation) for node in ast.walk(each)}
        for node in inside:
            if id(node) not in left_out and isinstance(node, ast.JoinedStr | ast.Constant):
                parts = node.values if isinstance(node, ast.JoinedStr) else [node]
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)
                yield getattr(top, "name", ""), text


@pytest.fixture(scope="module")
def options():
    """Options of each command, by the names of their parameters."""
    from irt_bench.cli import TASKS
    from irt_bench.cli.command import options_of

    return {each.__name__: options_of(each) for task in TASKS.values() for each in task}


def unknown_options(text, own, options):
    """Options of irt-bench in a text that neither a command of `own` nor the command named before them has."""
    every = {option for found in options.values() for option in found.values()}
    named = re.findall(r"(?:irt-bench (\w+) )?(?<![\w-])(--[a-z][\w-]+)", text)
    return [
        option
        for other, option in named
        if option in every and not any(option in options[name].values() for name in ([other] if other else own))
    ]


def test_a_message_of_the_library_names_options_that_the_command_has_or_another_one_that_it_names(options):
    """A parameter with a value is written as an option by every command, apart from those of Python alone."""
    from irt_bench.cli.command import with_options

    written, left = 0, {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name in ("cli", "harness"):  # harnesses have options of their own
            continue
        for home, text in texts(path):
            for name, own in options.items() if re.search(r"(^|[ (])[a-z]\w*=", text) else ():
                shown = with_options(text, own)
                assert not unknown_options(shown, [name], options), (name, path.name, home, shown)
                written += shown != text
                parameters = re.findall(r"(?<![^\s(])(?<!\w\()(?<!, )([a-z_]+)=(?:'\w|\.\.\.|[A-Z]\w+\(|True)", shown)
                left |= dict.fromkeys(parameters, (path.name, shown))
    assert written > 300
    assert left.keys() <= OF_PYTHON_ALONE | OF_NO_MESSAGE, left


def test_texts_of_the_commands_name_options_that_they_have(options):
    """In a command those of its own; in a function that commands of a module share, those of any of them."""
    from irt_bench.cli import TASKS

    homes = {each.__name__: each.__module__.split(".")[-1] for task in TASKS.values() for each in task}
    checked = 0
    for module in sorted(set(homes.values())):
        for home, text in texts(PACKAGE / "cli" / f"{module}.py"):
            own = [home] if home in homes else [name for name in homes if homes[name] == module]
            assert not unknown_options(text, own, options), (module, home, text)
            checked += "--" in text
    assert checked > 30


def test_groups_and_covariates_of_models_are_columns(responses, tmp_path):
    frame = read_responses([responses]).to_frame()
    number = frame["model"].astype(str).str.extract(r"(\d+)")[0].astype(int)
    frame["family"], frame["size"] = np.where(number > 12, "new", "old"), number * 1.5
    frame.to_csv(tmp_path / "of_families.csv", index=False)
    output = run("fit", tmp_path / "of_families.csv", "-o", tmp_path / "groups", "--groups", "family", *QUICK).output
    assert "Populations of abilities" in output
    table = pd.read_csv(tmp_path / "groups" / "populations.csv", index_col="group")
    assert table.loc["new", ["mean", "sd", "n_models", "reference"]].tolist() == [0, 1, 13, True]
    assert table.loc["old", "mean_q05"] < table.loc["old", "mean"] < table.loc["old", "mean_q95"]
    run("fit", tmp_path / "of_families.csv", "-o", tmp_path / "regression", "--covariates", "size", *QUICK)
    table = pd.read_csv(tmp_path / "regression" / "populations.csv", index_col="term")
    assert table.index.tolist() == ["size"] and table.loc["size", "covariate_mean"] == pytest.approx(19.5)
    scores = tmp_path / "scores.csv"
    run("score", tmp_path / "of_families.csv", "--fit", tmp_path / "groups", "-o", scores)
    abilities = pd.read_csv(tmp_path / "groups" / "abilities.csv", index_col="model")["ability"]
    np.testing.assert_allclose(pd.read_csv(scores, index_col="model")["ability"], abilities, atol=0.02)
    for wrong, message in (
        (["--groups", "familly"], "Did you mean 'family'"),
        (["--reference", "old"], "there are none of these"),
    ):
        result = run("fit", tmp_path / "of_families.csv", "-o", tmp_path / "none", *wrong, *QUICK, code=2)
        assert message in result.output
        assert not (tmp_path / "none").exists()


@pytest.fixture
def passages(tmp_path):
    """Answers to two passages of ten items, as a file."""
    model = BifactorTwoPL(groups=tuple(["p1"] * 10 + ["p2"] * 10))
    path = tmp_path / "answers.parquet"
    write_table(simulate_responses(model, n_models=40, n_items=20, seed=1).table, path)
    return path


def test_fit_and_score_with_several_abilities(passages, tmp_path):
    options = ["--irt-model", "bifactor", "--item-groups", "subtask", "--draws", "50"]
    run("fit", passages, "-o", tmp_path / "fit", *options)
    loadings = pd.read_csv(tmp_path / "fit" / "loadings.csv")
    assert loadings["dimension"].value_counts().to_dict() == {"general": 20, "p1": 10, "p2": 10}
    assert len(pd.read_csv(tmp_path / "fit" / "abilities.csv")) == 3 * 40
    run("score", passages, "--fit", tmp_path / "fit", "-o", tmp_path / "scores.csv")
    assert pd.read_csv(tmp_path / "scores.csv")["n_items"].tolist()[:3] == [20, 10, 10]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--irt-model", "bifactor"], "needs --item-groups"),
        (["--irt-model", "2pl", "--dimensions", "2"], "--dimensions is no option of the model '2pl'"),
        (["--irt-model", "m2pl", "--item-groups", "subtask"], "--item-groups is no option"),
        (["--irt-model", "5pl"], "Choices: 1pl, 2pl, 3pl, 4pl, beta, bifactor, confirmatory, gpcm, grm, m2pl, mfrm"),
        (["--method", "nuts", "--max-sweeps", "5"], "--max-sweeps is no option of the method 'nuts'"),
        (["--irt-model", "m2pl", "--dimensions", "2", "--priors", "independent"], "--priors is no option"),
        (["--irt-model", "confirmatory", "--item-groups", "chapter"], "item column 'chapter' is not known"),
    ],
)
def test_options_of_other_models_are_refused_before_the_fit(passages, tmp_path, options, message):
    shown = run("fit", passages, "-o", tmp_path / "fit", *options, code=2)
    assert message in " ".join(shown.output.split())
    assert not (tmp_path / "fit").exists()


@pytest.fixture
def short_svi(monkeypatch):
    """Few steps from a short start, which the check of the guide is spared."""
    from irt_bench.inference.sampling import coordinates, svi

    monkeypatch.setattr(svi, "MAX_CHECKED", 0)
    monkeypatch.setattr(coordinates, "START_STEPS", 60)
    return ["--method", "svi", "--max-steps", "60", "--draws", "50"]


def test_items_are_regressed_on_columns_of_a_table_of_items(responses, tmp_path, short_svi):
    labels = read_responses([responses]).counts().items.index
    items = pd.DataFrame({"item": labels, "length": np.arange(len(labels)) % 7, "kind": np.arange(len(labels)) % 2})
    items.assign(kind=items["kind"].map({0: "a", 1: "b"})).to_csv(tmp_path / "items.csv", index=False)
    covariates = ["--item-covariates", "length", "--item-covariates", "kind"]
    given = ["fit", responses, "-o", tmp_path / "fit", *covariates]
    run(*given, "--items-table", tmp_path / "items.csv", *short_svi)
    effects = pd.read_csv(tmp_path / "fit" / "item_effects.csv", index_col="item_covariate")
    assert effects.index[0] == "length" and effects.index[1] in ("kind: b - a", "kind: a - b")
    assert (effects["difficulty_effect_q05"] < effects["difficulty_effect_q95"]).all()
    assert "log_discrimination_effect" in effects
    items[1:].to_csv(tmp_path / "fewer.csv", index=False)
    (tmp_path / "none.csv").write_text("label,length\nq,1\n")
    for wrong, message in (
        (["--items-table", tmp_path / "fewer.csv"], "have no row in the table of items"),
        (["--items-table", tmp_path / "none.csv"], "has no column 'item'"),
        (["--items-table", tmp_path / "nowhere.csv"], "is no file"),
        ([], "item column 'length' is not known"),
        (["--irt-model", "grm"], "--item-covariates is no option of the model 'grm'"),
        (["--method", "laplace", "--items-table", tmp_path / "items.csv"], "does not regress items"),
    ):
        method = [] if "--method" in wrong else short_svi
        result = run("fit", responses, "-o", tmp_path / "wrong", *covariates, *method, *wrong, code=2)
        assert message in " ".join(result.output.split())
        assert not (tmp_path / "wrong").exists()


def test_severities_of_raters_are_written(tmp_path, short_svi):
    made = simulate_responses(ManyFacet(steps=2), n_models=20, n_items=6, seed=1)
    frame = made.table.to_frame()
    long = frame[["model", "score"]].assign(item=frame["rated_item"], judge=frame["rater"], max_score=1)
    long.to_csv(tmp_path / "judged.csv", index=False)
    run("fit", tmp_path / "judged.csv", "-o", tmp_path / "fit", "--irt-model", "mfrm", *short_svi)
    raters = pd.read_csv(tmp_path / "fit" / "raters.csv", index_col="rater")
    assert raters.index.tolist() == ["rater-1", "rater-2", "rater-3"]
    assert raters["severity"].sum() == pytest.approx(0.0, abs=1e-6)


def test_what_was_written_is_named_file_by_file_and_of_many_figures_by_kind(responses, tmp_path):
    text = " ".join(run("scores", responses, "-o", tmp_path / "scores").output.split())
    assert "generalized accuracy" in text and ("benchmark accuracy" in text) == ("benchmark se" in text)
    assert text.endswith(": models.csv, pairs.csv, scores.png, summary.json")
    text = " ".join(run("fit", responses, "-o", tmp_path / "fit", *QUICK).output.split())
    assert " s: abilities.csv, fit.nc, fit.png, items.csv, observed.csv, summary.json" in text
    for name in ("a.csv", *(f"{kind}-{task}.png" for kind in ("curve", "steps") for task in ("x", "y"))):
        (tmp_path / "many").mkdir(exist_ok=True)
        (tmp_path / "many" / name).touch()
    with out.capture() as captured:
        say_written(tmp_path / "many")
    assert " ".join(captured.get().split()).endswith(": a.csv, 4 figures (curve-*.png, steps-*.png)")


def test_responses_without_seeds_are_told_how_names_become_seeds(responses):
    text = " ".join(run("variance", responses, code=2).output.split())
    assert "irt-bench read --seed-from" in text and "irt-bench read --models-table" in text
    assert " seed_from" not in text


@pytest.fixture
def arc_and_mmlu(tmp_path):
    """A file with two benchmarks, of which some models took one only."""
    rng = np.random.default_rng(4)
    grid = [(b, f"m{m}", f"q{q}") for b, n in (("arc", 30), ("mmlu/algebra", 20)) for m in range(n) for q in range(15)]
    frame = pd.DataFrame(grid, columns=["benchmark", "model", "item"])
    frame.assign(correct=rng.integers(0, 2, len(frame))).to_csv(tmp_path / "two.csv", index=False)
    return tmp_path / "two.csv"


def test_each_of_several_benchmarks_is_fitted_into_a_folder(arc_and_mmlu, tmp_path):
    options = ["--draws", 50, "--irt-model", "1pl"]
    run("fit", arc_and_mmlu, "-o", tmp_path / "all", "--each-benchmark", "--workers", 1, *options)
    run("fit", arc_and_mmlu, "-o", tmp_path / "one", "--benchmark", "mmlu/algebra", *options)
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["arc", "mmlu_algebra-2", "summary.json"]
    run("fit", arc_and_mmlu, "-o", tmp_path / "all", "--each-benchmark", "--workers", 1, *options)
    other = ["fit", arc_and_mmlu, "-o", tmp_path / "all", "--each-benchmark", "--draws", 60]
    assert "by another model or with other settings" in run(*other, code=2).output
    for name in ("fit.nc", "items.csv", "abilities.csv"):
        assert (tmp_path / "all" / "mmlu_algebra-2" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    again = ["fit", arc_and_mmlu, "-o", tmp_path / "no", "--each-benchmark", *options]
    assert "--log-likelihood is of one benchmark" in run(*again, "--log-likelihood", code=2).output
    assert "--model-clusters names is of one" in run(*again, "--model-clusters", "names", code=2).output
    assert "needs backend 'dask'" in run(*again, "--scheduler", "tcp://nowhere:1", code=2).output
    assert not (tmp_path / "no").exists()


@pytest.mark.filterwarnings(
    "ignore::irt_bench.errors.ConvergenceWarning", "ignore::irt_bench.errors.FitWarning"
)  # few items
def test_fits_that_were_stopped_go_on_with_those_that_ended(arc_and_mmlu, tmp_path):
    quick, table = irt_bench.LaplaceSettings(refine=False, draws=50), read_responses([arc_and_mmlu])
    folder, made = tmp_path / "fits", []

    def stop(name, done, of):
        made.append((name, done, of))
        if len(made) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        irt_bench.fit_benchmarks(table, "1pl", quick, folder=folder, progress=stop)
    first = (folder / "arc" / "fit.nc").stat()
    fits = irt_bench.fit_benchmarks(table, "1pl", quick, folder=folder, progress=stop)
    assert made == [("arc", 1, 2), ("mmlu/algebra", 1, 1)]
    assert (folder / "arc" / "fit.nc").stat().st_mtime_ns == first.st_mtime_ns
    assert fits["arc"].irt_model.dispersion is None  # as fitted, not as asked for
    for name, fitted in irt_bench.fit_benchmarks(table, "1pl", quick).items():
        assert fitted.posterior.identical(fits[name].posterior) and fitted.checks == fits[name].checks
    with pytest.raises(OutputError, match="written from other answers, by another model or with other settings"):
        irt_bench.fit_benchmarks(table, "2pl", quick, folder=folder)
    assert (folder / "arc" / "fit.nc").stat().st_mtime_ns == first.st_mtime_ns
    with pytest.raises(KeyboardInterrupt):
        made.clear()
        irt_bench.fit_benchmarks(table, "2pl", quick, folder=folder, force=True, progress=stop)
    assert not (folder / "mmlu_algebra-2" / "fit.nc").exists()  # of the other call
    replaced = irt_bench.fit_benchmarks(table, "2pl", quick, folder=folder)
    assert irt_bench.Fit.load(folder / "arc").posterior.identical(replaced["arc"].posterior)


@pytest.mark.filterwarnings("ignore")  # of the cluster's own threads
def test_fits_on_a_dask_cluster_are_those_made_here(arc_and_mmlu):
    distributed = pytest.importorskip("distributed")
    quick, table = irt_bench.LaplaceSettings(refine=False, draws=50), read_responses([arc_and_mmlu])
    here = irt_bench.fit_benchmarks(table, "1pl", quick)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        there = irt_bench.fit_benchmarks(table, "1pl", quick, backend="dask", scheduler=cluster.scheduler_address)
    assert list(there) == list(here) == ["arc", "mmlu/algebra"]
    for name, fitted in here.items():
        assert fitted.posterior.identical(there[name].posterior) and there[name].checks == fitted.checks
    assert not here["arc"].posterior.equals(here["mmlu/algebra"].posterior)


def test_warnings_of_fits_name_the_benchmark(arc_and_mmlu):
    table = read_responses([arc_and_mmlu])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        irt_bench.fit_benchmarks(table, "1pl", irt_bench.LaplaceSettings(refine=False, max_sweeps=1, draws=20))
    assert {str(each.message).partition(": maximum")[0] for each in caught if "max_sweeps" in str(each.message)} == {
        "arc",
        "mmlu/algebra",
    }
