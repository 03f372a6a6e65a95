"""Toy tasks for the real clients, and the clients' own environments, which tests/clients/make_environments.py makes."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("make_environments", Path(__file__).parent / "make_environments.py")
environments = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(environments)

N_DOCUMENTS = 24
TOY_YAML = """\
task: toy_sums
dataset_path: json
dataset_kwargs:
  data_files: {{test: {folder}/test.jsonl, train: {folder}/train.jsonl}}
output_type: multiple_choice
training_split: train
test_split: test
process_docs: !function toy_utils.with_question
doc_to_text: "{{{{question}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""
TOY_UTILS = """\
def with_question(dataset):
    return dataset.map(lambda row: {"question": f"What is {row['left']} plus {row['right']}?"})
"""
TOY_INSPECT = """\
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import match
from inspect_ai.solver import generate

IDS = [f"sum-{k}" for k in range(12)] + ["sum-[1]", "sum-*", "7"]


@task
def toy_sums():
    samples = [Sample(id=label, input=f"What is {k} plus 1?", target=str(k + 1)) for k, label in enumerate(IDS)]
    return Task(dataset=MemoryDataset(samples), solver=generate(), scorer=match())
"""
# A model that answers as a file says: the right choice, or the next one.
KNOWN_MODEL = """\
import json
import sys

from lm_eval.__main__ import cli_evaluate
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model


@register_model("known")
class Known(LM):
    def __init__(self, answers, **_):
        super().__init__()
        self.answers = json.loads(open(answers).read())

    def loglikelihood(self, requests, disable_tqdm=False):
        out = []
        for request in requests:
            doc = request.doc
            chosen = (doc["answer"] + (not self.answers[str(doc["left"])])) % 4
            out.append((-0.5 if request.args[1].strip() == doc["choices"][chosen] else -2.0, False))
        return out

    def generate_until(self, requests, disable_tqdm=False):
        raise NotImplementedError

    loglikelihood_rolling = generate_until


sys.argv[0] = "lm_eval"
cli_evaluate()
"""
# The mock model counts tokens with tiktoken, which would fetch its tables from the network.
TIKTOKEN = """\
class _Encoding:
    def encode(self, text, **_):
        return list(text.encode())


def get_encoding(name):
    return _Encoding()


def encoding_for_model(name):
    return _Encoding()
"""


def client(name: str) -> Path:
    """Folder of the programs of a client; skips where it is not installed."""
    if not environments.is_installed(name):
        pytest.skip(f"{name} is not installed: python tests/clients/make_environments.py {name}")
    return environments.clients_folder() / name / "bin"


def call(*arguments: object, cwd: Path, **environment: str) -> str:
    """Run a client's program without a network, and return what it printed."""
    offline = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(cwd / "hf"), "NO_COLOR": "1"}
    done = subprocess.run(
        list(map(str, arguments)), cwd=cwd, env={**os.environ, **offline, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="session")
def lm_eval(tmp_path_factory):
    """Run lm-evaluation-harness with the dummy model on the toy task or an exported one; returns the log folder."""
    program = client("lm-eval") / "lm_eval"
    folder = tmp_path_factory.mktemp("toy_task")
    rows = [{"left": k, "right": k * k % 7, "choices": ["1", "2", "3", "4"], "answer": k % 4} for k in range(40)]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:N_DOCUMENTS]))
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[N_DOCUMENTS:]))
    (folder / "toy_sums.yaml").write_text(TOY_YAML.format(folder=folder))
    (folder / "toy_utils.py").write_text(TOY_UTILS)

    (folder / "known_model.py").write_text(KNOWN_MODEL)

    def run(
        out: Path,
        *arguments: object,
        task: str = "toy_sums",
        include: Path = folder,
        answers: Path | None = None,
        **environment: str,
    ) -> Path:
        """Run a task with the dummy model, or one that answers as a file says."""
        known = (program.parent / "python", folder / "known_model.py"), ("--model", "known", "--model_args")
        command, model = known if answers is not None else ((program,), ("--model", "dummy", "--model_args"))
        arguments_of_model = "pretrained=org/toy" + (f",answers={answers}" if answers is not None else "")
        what = ("--tasks", task, "--include_path", include, "--log_samples", "--output_path", out)
        call(*command, "run", *model, arguments_of_model, *what, *arguments, cwd=out.parent, **environment)
        return out

    run.folder = folder
    return run


@pytest.fixture(scope="session")
def inspect(tmp_path_factory):
    """Run Inspect with arguments in a folder that has the toy task; returns the log folder."""
    program = client("inspect") / "inspect"
    folder = tmp_path_factory.mktemp("toy_inspect")
    (folder / "toy.py").write_text(TOY_INSPECT)
    (folder / "stub").mkdir()
    (folder / "stub" / "tiktoken.py").write_text(TIKTOKEN)

    def run(name: str, *arguments: object) -> Path:
        logs = folder / name
        call(
            program,
            "eval",
            *arguments,
            "--log-dir",
            logs,
            "--display",
            "plain",
            cwd=folder,
            PYTHONPATH=str(folder / "stub"),
        )
        return logs

    run.folder = folder
    return run


@pytest.fixture(scope="session")
def catsim():
    """Python that can import catsim."""
    return client("catsim") / "python"


@pytest.fixture(scope="session")
def py_irt():
    """Python that can import py_irt."""
    return client("py-irt") / "python"
