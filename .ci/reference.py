"""Build the API reference from the docstrings of the public names: ``python .ci/reference.py -o reference``."""

import argparse
from pathlib import Path

import pdoc

import irt_bench


def build(output: Path) -> None:
    """Write the reference as HTML pages; public names are imported first, because they are loaded when first used."""
    vars(irt_bench).update({name: getattr(irt_bench, name) for name in irt_bench.__all__})
    pdoc.render.configure(docformat="numpy", show_source=False)
    pdoc.pdoc("irt_bench", output_directory=output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("reference"))
    build(parser.parse_args().output)
