"""Every notebook runs from its source, and no outputs are kept."""

from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
SOURCES = sorted(FOLDER.glob("*.py"))


def test_notebooks_are_kept_as_sources_without_outputs():
    assert SOURCES
    assert not list(FOLDER.rglob("*.ipynb"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")  # of the kernel's client
def test_notebook_runs(source, tmp_path):
    notebook = jupytext.read(source)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()
    assert not list(tmp_path.iterdir())
