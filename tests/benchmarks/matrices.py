"""Response matrices to compare on: simulated 2PL and 1PL ones with their truth, and real ones from ../shared/data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

MISSING: Final = -1
SIZES: Final[Mapping[str, tuple[int, int]]] = {  # (models, items)
    "tiny": (30, 20),
    "S": (100, 200),
    "400x500": (400, 500),
    "few": (12, 300),
    "sparse": (250, 80),
    "400x1000": (400, 1_000),
    "M": (400, 2_000),
    "L": (400, 14_000),
    "XL": (5_000, 10_000),
    "5000x28000": (5_000, 28_000),
    "1000x50": (1_000, 50),
    "5000x50": (5_000, 50),
    "50000x100": (50_000, 100),
    "500000x50": (500_000, 50),
}
REAL: Final[Mapping[str, tuple[str, str]]] = {  # name → file, benchmark
    "gsm8k": ("metabench_dev", "gsm8k"),
    "winogrande": ("metabench_dev", "winogrande"),
    "hellaswag": ("metabench_dev", "hellaswag"),
    "mbpp": ("evalplus_code", "mbpp"),
    "humaneval": ("evalplus_code", "humaneval"),
    "mmlu_pro": ("mmlu_pro", "mmlu_pro"),
}
DIFFICULTY_SD: Final = 1.2
LOG_DISCRIMINATION_SD: Final = 0.4
BLOCK: Final = 2**22  # cells drawn at once
SHARED: Final = Path(__file__).resolve().parents[2] / "../shared/data"


@dataclass(frozen=True)
class Matrix:
    """Responses 1, 0 or MISSING, int8, shape (model, item), and the true parameters where they are known."""

    responses: npt.NDArray[np.int8]
    truth: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write one .npz file."""
        np.savez(path, responses=self.responses, **{f"true_{name}": value for name, value in self.truth.items()})

    @classmethod
    def load(cls, path: Path) -> "Matrix":
        """Read what `save` wrote."""
        with np.load(path) as file:
            truth = {name.removeprefix("true_"): file[name] for name in file.files if name.startswith("true_")}
            return cls(file["responses"], truth)


def simulate(n_models: int, n_items: int, *, seed: int, irt_model: str = "2pl", missing: float = 0.0) -> Matrix:
    """Draw ability ~ N(0, 1), difficulty ~ N(0, 1.2), log discrimination ~ N(0, 0.4) (1PL: 0), and the responses."""
    rng = np.random.default_rng(seed)
    ability, difficulty = rng.normal(size=n_models), rng.normal(0, DIFFICULTY_SD, n_items)
    spread = LOG_DISCRIMINATION_SD if irt_model == "2pl" else 0.0
    discrimination = np.exp(rng.normal(0, spread, n_items))
    responses = np.empty((n_models, n_items), dtype=np.int8)
    rows = max(1, BLOCK // n_items)
    for first in range(0, n_models, rows):
        log_odds = discrimination * (ability[first : first + rows, None] - difficulty)
        cells = responses[first : first + rows]
        cells[:] = rng.random(log_odds.shape, dtype=np.float32) < 1 / (1 + np.exp(-log_odds))
        if missing:
            cells[rng.random(log_odds.shape, dtype=np.float32) < missing] = MISSING
    return Matrix(responses, {"ability": ability, "difficulty": difficulty, "discrimination": discrimination})


def read_real(name: str) -> Matrix:
    """Read a real matrix; FileNotFoundError where the data are not beside the repository."""
    from irt_bench import read_responses

    file, benchmark = REAL[name]
    path = SHARED / f"{file}.parquet"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not here")
    counts = read_responses([path]).select(benchmark).counts()
    return Matrix(np.where(counts.trials > 0, counts.correct, MISSING).astype(np.int8))


def make(name: str, *, seed: int = 20) -> Matrix:
    """Make the matrix of this name; simulated ones may end in ``-1pl``."""
    if name in REAL:
        return read_real(name)
    size, _, kind = name.partition("-")
    return simulate(*SIZES[size], seed=seed, irt_model=kind or "2pl")


def counts_of(responses: npt.NDArray[np.int8]):  # noqa: ANN201 - the package is imported when it is used
    """As the package's ResponseCounts, labels m0, m1, ... and i0, i1, ..."""
    import pandas as pd

    from irt_bench import ResponseCounts

    trials = (responses != MISSING).astype(np.int8)
    labels = [
        pd.DataFrame(index=pd.Index([f"{letter}{place}" for place in range(size)], name=kind))
        for letter, kind, size in zip("mi", ("model", "item"), responses.shape, strict=True)
    ]
    return ResponseCounts(np.where(trials, responses, 0).astype(np.int8), trials, *labels, benchmark="matrix")
