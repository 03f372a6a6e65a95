"""Execute the notebooks' sources and keep them with their outputs: ``python tests/notebooks/execute.py [NAME ...]``."""

import argparse
import base64
import io
import os
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
SECONDS = 600  # of one cell
COLOURS = 64  # of a figure: enough for charts, and a third of the size
QUIET = "ignore:IProgress not found"  # a warning that names a folder of the machine


def executed(source: Path, *, expected: str = "") -> nbformat.NotebookNode:
    """Run a source in an empty folder, with a last cell that checks what a reader is told."""
    notebook = jupytext.read(source)
    cells = list(notebook.cells)
    if expected:
        notebook.cells.append(nbformat.v4.new_code_cell(expected))
    os.environ["PYTHONWARNINGS"] = QUIET
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "notebooks"  # beside the data, as in the repository
        folder.mkdir()
        (Path(place) / "data").symlink_to(FOLDER.parent / "data")
        resources = {"metadata": {"path": str(folder)}}
        client = NotebookClient(
            notebook, timeout=SECONDS, kernel_name="python3", resources=resources, record_timing=False
        )
        client.execute()
        assert not list(folder.iterdir()), "the notebook leaves files behind"
    notebook.cells = cells
    for place, cell in enumerate(cells):
        cell.id, cell.metadata = f"cell-{place}", {}
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = fewer_colours(output.data["image/png"])
    notebook.metadata = {key: notebook.metadata[key] for key in ("kernelspec",)}
    return notebook


def fewer_colours(png: str) -> str:
    """A figure as base64, with a palette."""
    packed = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="by default all")
    for name in parser.parse_args().names or sorted(path.stem for path in FOLDER.glob("*.py")):
        nbformat.write(executed(FOLDER / f"{name}.py"), FOLDER / f"{name}.ipynb")
        print(f"{name}: {(FOLDER / f'{name}.ipynb').stat().st_size / 1000:.0f} kB")
