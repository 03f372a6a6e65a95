"""Small data sets that come with the package, loaded by name."""

from __future__ import annotations

from importlib import resources
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import ReadError, unknown_choice
from irt_bench.responses.canonical import table_from_frame
from irt_bench.responses.read import read_responses
from irt_bench.responses.table import ResponseTable

ExampleName = Literal["benchmark", "lsat6", "seeds", "quiet_seeds", "repeats", "seed_bank"]

# Numbers of examinees by response pattern, 00000, 00001, ..., 11111 (Bock & Lieberman 1970, section 6 of the LSAT).
LSAT6: Final = (
    3, 6, 2, 11, 1, 1, 3, 4, 1, 8, 0, 16, 0, 3, 2, 15, 10, 29, 14, 81, 3, 28, 15, 80, 16, 56, 21, 173, 11, 61, 28, 298,
)  # fmt: skip


def load_example(name: ExampleName) -> ResponseTable:
    """Load a small data set that comes with the package.

    Parameters
    ----------
    name : {"benchmark", "lsat6", "seeds", "quiet_seeds", "repeats", "seed_bank"}
        "benchmark"
            120 simulated models x 100 items in two subtasks; two items are mis-keyed.
        "lsat6"
            1,000 examinees x 5 items of the Law School Admission Test, section 6 [1]_.
        "seeds"
            Two simulated training runs x 8 seeds x 4 steps, 200 items in 20 subtasks.
        "quiet_seeds"
            The same runs, seeds, steps and items with an eighth of the seed standard deviation.
        "repeats"
            One simulated run x 5 seeds x 2 steps, 100 items with three answers to each, 5% missing.
        "seed_bank"
            Real training runs of small transformers: 30 recipes, one with 200 seeds and the others with 10, 5
            checkpoints each; 400 items in 16 tasks, asked as "completion" and as "choice" (two benchmarks). An eighth
            of the items of ``data/seed_bank``, where the rest is described.

    Returns
    -------
    ResponseTable
        One benchmark; ``.counts()`` are its right answers and trials. Two benchmarks for "seed_bank".

    Raises
    ------
    ReadError
        If there is no example of this name.

    Notes
    -----
    What the simulated data sets were made with is in ``manifest.json`` beside their files, in ``irt_bench/examples``.

    References
    ----------
    .. [1] Bock, Lieberman, Fitting a response model for n dichotomously scored items, 1970, DOI 10.1007/BF02291262.

    Examples
    --------
    >>> from irt_bench import load_example
    >>> load_example("benchmark")
    ResponseTable(benchmark: 120 models x 100 items, 12,000 answers)
    >>> load_example("lsat6").counts().accuracy().mean().round(4).item()
    0.7638
    """
    if name not in get_args(ExampleName):
        raise ReadError(unknown_choice("example", name, get_args(ExampleName)))
    if name == "lsat6":
        return _lsat6()
    with resources.as_file(resources.files("irt_bench") / "examples" / f"{name}.parquet") as path:
        return read_responses([path])


def _lsat6() -> ResponseTable:
    """Expand the response patterns to a row per answer."""
    patterns = np.array([[int(digit) for digit in f"{place:05b}"] for place in range(len(LSAT6))], dtype=np.int8)
    correct = np.repeat(patterns, LSAT6, axis=0)
    person, item = (place.ravel() for place in np.indices(correct.shape))
    frame = pd.DataFrame(
        {
            names.MODEL: [f"examinee-{number + 1:04d}" for number in person],
            names.ITEM: [f"item-{number + 1}" for number in item],
            names.CORRECT: correct.ravel(),
        }
    )
    return table_from_frame(frame, benchmark="lsat6")
