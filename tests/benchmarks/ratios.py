"""Records of a comparison → one row an entrant and matrix: times, ratios, accuracy; as a frame and as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from accuracy import PARAMETERS, aligned, correlation, rmse, scores, slope
from contest import ENTRANTS, Place
from matrices import Matrix

BASELINES: Final = {"2pl": "laplace", "1pl": "laplace 1pl"}
EQUAL: Final = "py-irt at equal RMSE"
TARGETS: Final[Mapping[tuple[str, str], float]] = {  # (matrix, entrant) → how many times faster this package is to be
    ("M", "py-irt"): 200,
    ("M", EQUAL): 500,
    ("L", "py-irt"): 150,
    ("XL", "py-irt"): 300,
    ("400x500", "mirt"): 50,
    ("400x1000", "mirt"): 50,
    ("400x500", "mirt with se"): 200,
    ("M-1pl", "girth rasch"): 5,
    ("L-1pl", "girth rasch"): 5,
    ("M-1pl", "lme4"): 100,
}
SHORT: Final = {"ability": "θ", "difficulty": "b", "discrimination": "a"}


def best_runs(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a matrix and entrant: of the repeats that went well that of least processor time, or else the first."""
    frame = pd.DataFrame(records)
    for name in ("fit_seconds", "cpu_seconds"):
        if name not in frame:
            frame[name] = np.nan
    frame["n_ok"] = (frame["status"] == "ok").groupby([frame["matrix"], frame["entrant"]]).transform("sum")
    if "extrapolated_from_epochs" in frame:
        asked = [options.get("epochs", np.nan) if isinstance(options, dict) else np.nan for options in frame["options"]]
        whole = (np.array(asked) / frame["extrapolated_from_epochs"]).fillna(1.0)
        frame["cpu_seconds"] = frame["cpu_seconds"] * whole  # `fit_seconds` is extrapolated by the adapter
    order = frame.sort_values(["cpu_seconds", "fit_seconds", "repeat"], na_position="last", kind="stable")
    return order.drop_duplicates(["matrix", "entrant"]).set_index(["matrix", "entrant"]).sort_index()


def with_ratios(runs: pd.DataFrame, baselines: Mapping[str, str] = BASELINES) -> pd.DataFrame:
    """Add ``times``, ``cpu_times`` and ``memory_times``: how often the baseline's go into the entrant's."""
    found = runs.copy()
    for column, source in (("times", "fit_seconds"), ("cpu_times", "cpu_seconds"), ("memory_times", "peak_mb")):
        if source not in runs:
            continue
        found[column] = [
            value / runs[source].get((matrix, baseline_of(matrix, baselines)), np.nan)
            for (matrix, _), value in runs[source].items()
        ]
    return found


def baseline_of(matrix: str, baselines: Mapping[str, str] = BASELINES) -> str:
    """Entrant that others are divided by on this matrix."""
    return baselines["1pl" if matrix.endswith("-1pl") else "2pl"]


def accuracy_of(place: Place, matrix: str, entrant: str, repeat: int, reference: str) -> dict[str, float]:
    """Scores against the truth; on real matrices, correlations with the reference entrant's estimates."""
    path = place.estimates(matrix, entrant, repeat)
    if not path.is_file():
        return {}
    estimates = dict(np.load(path))
    if "ability" not in estimates:
        return {}
    truth = Matrix.load(place.matrix(matrix)).truth
    if truth:
        return scores(truth, estimates)
    other = place.estimates(matrix, reference, 0)
    if entrant == reference or not other.is_file():
        return {}
    theirs = np.load(other)
    return {f"r_{name}": correlation(theirs[name], estimates[name]) for name in PARAMETERS}


def equal_rmse_row(place: Place, matrix: str, long: Mapping[str, Any], ours: Mapping[str, float]) -> dict[str, Any]:
    """Time of py-irt's first snapshot whose aligned RMSE of ability and difficulty is no larger than ours."""
    saved = dict(np.load(place.estimates(matrix, "py-irt long", int(long["repeat"]))))
    truth = Matrix.load(place.matrix(matrix)).truth
    epochs = sorted({int(name.split("@")[1]) for name in saved if "@" in name})
    for epoch in epochs:
        estimates = {name.split("@")[0]: value for name, value in saved.items() if name.endswith(f"@{epoch}")}
        fitted = aligned(estimates, slope(truth["ability"], estimates["ability"]))
        if all(
            rmse(truth[name], fitted[name]) <= ours[f"aligned_rmse_{name}"] * 1.005
            for name in ("ability", "difficulty")
        ):
            seconds = long[f"seconds@{epoch}"]
            return {"fit_seconds": seconds, "status": f"ok, {epoch:,} epochs", **scores(truth, estimates)}
    return {"fit_seconds": long["fit_seconds"], "status": f"not reached in {long['epochs']:,.0f} epochs"}


def summary(place: Place, baselines: Mapping[str, str] = BASELINES) -> pd.DataFrame:
    """Everything known of the best runs, with ratios, accuracy and targets."""
    runs = best_runs(place.records())
    rows = {}
    for (matrix, entrant), run in runs.iterrows():
        reference = baseline_of(matrix, baselines)
        rows[matrix, entrant] = dict(run) | accuracy_of(place, matrix, entrant, int(run["repeat"]), reference)
    for matrix in runs.index.unique("matrix"):
        long, ours = rows.pop((matrix, "py-irt long"), None), rows.get((matrix, baseline_of(matrix, baselines)), {})
        if long is not None and long["status"] == "ok" and "aligned_rmse_ability" in ours:
            rows[matrix, EQUAL] = long | equal_rmse_row(place, matrix, long, ours)
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["matrix", "entrant"])
    frame = with_ratios(frame, baselines)
    frame["target"] = [TARGETS.get(pair, np.nan) for pair in frame.index]
    return frame


def markdown(frame: pd.DataFrame, matrices: Sequence[str]) -> str:
    """Tables, one a matrix, entrants in the order of `ENTRANTS`."""
    order = {name: place for place, name in enumerate(ENTRANTS)} | {EQUAL: list(ENTRANTS).index("py-irt") + 0.5}
    parts = []
    for matrix in matrices:
        if matrix not in frame.index.get_level_values("matrix"):
            continue
        rows = frame.loc[[matrix]].droplevel("matrix")
        rows = rows.loc[sorted(rows.index, key=lambda name: order.get(name, 99))]
        lines = [_line(name, row) for name, row in rows.iterrows()]
        parts.append("\n".join([f"### {matrix}", "", _HEAD, _RULE, *lines, ""]))
    return "\n".join(parts)


_COLUMNS: Final = (
    "entrant", "fit s", "× ours", "target", "cpu s", "× ours", "peak MB", "× ours",
    "r θ / b / a", "RMSE θ / b / log a", "aligned RMSE",
    "slope θ / b / log a", "coverage", "aligned coverage", "load", "note",
)  # fmt: skip
_HEAD: Final = "| " + " | ".join(_COLUMNS) + " |"
_RULE: Final = "|" + "---|" * len(_COLUMNS)


def _line(name: str, row: pd.Series) -> str:
    note = "" if row["status"] == "ok" else str(row["status"])
    if np.isfinite(row.get("extrapolated_from_epochs", np.nan)):
        note = f"extrapolated from {row['extrapolated_from_epochs']:.0f} epochs"
    if np.isfinite(row.get("min_ess", np.nan)):
        note += f" min ESS {row['min_ess']:.0f}, {row['min_ess'] / row['cpu_seconds']:.3g} a processor second"
    undefined = [int(row.get(f"missing_{each}", 0) or 0) for each in PARAMETERS if row.get(f"missing_{each}", 0) > 0]
    note += f" {sum(undefined):,} estimates undefined" if undefined else ""
    cells = [
        name, number(row["fit_seconds"]), number(row.get("times")), number(row["target"]),
        number(row.get("cpu_seconds")), number(row.get("cpu_times")), number(row.get("peak_mb")),
        number(row.get("memory_times")),
        three(row, "r_"), three(row, "rmse_"), three(row, "aligned_rmse_"),
        three(row, "slope_"), three(row, "coverage_", 2), three(row, "aligned_coverage_", 2),
        number(row.get("load_average")), note.strip(),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def number(value: Any) -> str:
    """Three significant digits, no exponent; nothing where there is no number."""
    if value is None or not np.isfinite(value):
        return ""
    digits = 0 if value == 0 else max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:,.{digits}f}"


def three(row: pd.Series, prefix: str, digits: int = 3) -> str:
    """Values of ability, difficulty and discrimination."""
    values = [row.get(f"{prefix}{name}", np.nan) for name in PARAMETERS]
    if not any(np.isfinite(values)):
        return ""
    return " / ".join(f"{value:.{digits}f}".replace("0.", ".", 1) if np.isfinite(value) else "-" for value in values)
