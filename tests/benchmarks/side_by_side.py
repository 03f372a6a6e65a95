"""This package and its peers on the same matrices, in turn: ``python tests/benchmarks/side_by_side.py -o FOLDER``.

Every peer runs in an environment of its own (first ``python tests/benchmarks/environments.py``); one that is not
installed is listed as such. Within a matrix all entrants run once, then all again (A B A B), and the fastest of the
repeats counts. Outcomes are kept in FOLDER/cells, one JSON a run, and not made again; delete one to repeat it. Tables
go to the screen, to FOLDER/side_by_side.md and, with everything measured, to FOLDER/side_by_side.csv.
"""

import argparse
import os
import platform
import time
from pathlib import Path

from contest import ENTRANTS, Place, run_cell
from matrices import REAL, SIZES, Matrix, make
from ratios import BASELINES, markdown, summary


def main() -> None:
    options = arguments()
    place = Place(options.output)
    baselines = BASELINES | ({"2pl": options.baseline} if options.baseline else {})
    if not options.report:
        compete(place, options)
    frame = summary(place, baselines)
    frame.to_csv(place.folder / "side_by_side.csv")
    text = f"{heading(place)}\n\n{markdown(frame, [*matrix_names(SIZES), *REAL])}"
    (place.folder / "side_by_side.md").write_text(text)
    print(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the outcomes")
    parser.add_argument("--sizes", default="S,400x500,400x1000,M", help=f"of {', '.join([*SIZES, *REAL])}, or all")
    parser.add_argument("--peers", default="all", help=f"of {', '.join(ENTRANTS)}")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--limit", type=float, default=900, help="seconds after which a run is ended")
    parser.add_argument("--threads", type=int, default=2, help="of each entrant; 0: as it chooses")
    parser.add_argument("--baseline", choices=list(ENTRANTS), help="whose time divides the others' (laplace)")
    parser.add_argument("--report", action="store_true", help="only print what was measured before")
    return parser.parse_args()


def compete(place: Place, options: argparse.Namespace) -> None:
    names = list(ENTRANTS) if options.peers == "all" else options.peers.split(",")
    if unknown := [name for name in names if name not in ENTRANTS]:
        raise SystemExit(f"no such entrant: {unknown[0]!r}; there are {', '.join(ENTRANTS)}")
    sizes = [*SIZES, *REAL] if options.sizes == "all" else options.sizes.split(",")
    for matrix in matrix_names(sizes):
        kind = "1pl" if matrix.endswith("-1pl") else "2pl"
        entrants = [name for name in names if ENTRANTS[name].irt_model == kind and not ENTRANTS[name].held_out]
        if not entrants or not available(place, matrix):
            continue
        for repeat in range(options.repeats):
            for name in entrants:
                one(place, matrix, name, repeat, options)


def one(place: Place, matrix: str, name: str, repeat: int, options: argparse.Namespace) -> None:
    outcome = run_cell(place, matrix, name, repeat, limit=options.limit, threads=options.threads)
    took = f"{outcome['fit_seconds']:.3f} s, {outcome['peak_mb']:.0f} MB" if "fit_seconds" in outcome else ""
    print(f"{time.strftime('%H:%M:%S')} {matrix} {name} {repeat}: {outcome['status']} {took}", flush=True)


def matrix_names(sizes: list[str] | dict[str, tuple[int, int]]) -> list[str]:
    """Each simulated size twice: 2PL, and 1PL for the entrants that fit only that."""
    return [name for size in sizes for name in ([size] if size in REAL else [size, f"{size}-1pl"])]


def available(place: Place, matrix: str) -> bool:
    """Make the matrix unless it is there; say so where its data are absent."""
    path = place.matrix(matrix)
    if not path.is_file():
        try:
            make(matrix).save(path)
        except FileNotFoundError as error:
            print(f"{matrix}: left out, {error}")
            return False
    return bool(Matrix.load(path).responses.size)


def heading(place: Place) -> str:
    """Date, machine, load and versions."""
    records = place.records()
    versions = {name: value for record in records for name, value in record.get("versions", {}).items()}
    loads = [record["load_average"] for record in records]
    return (
        f"{min(r['date'] for r in records)} to {max(r['date'] for r in records)} UTC, {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}, load average {min(loads):.1f}-{max(loads):.1f}. "
        f"{', '.join(f'{name} {value}' for name, value in sorted(versions.items()))}."
    )


if __name__ == "__main__":
    main()
