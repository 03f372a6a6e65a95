"""Fuzz every reader: ``python tests/fuzz/fuzz.py --minutes 10``.

Hypothesis changes valid files of every kind: their bytes, the structure of their JSON, the types of their columns, what
their compressed members hold. Reading one must end in a result or in an error of this package, in a bounded time, in a
process that stays below a gigabyte. A child process reads; its parent watches, keeps the files of what goes wrong, and
starts another child. Seeds are numbers in a row, so that a run can be repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

A_PROCESS = 3000  # examples; hypothesis itself takes some 30 kB each that it does not give back
ROUND = 100  # examples between two looks at the clock
SECONDS_AN_EXAMPLE = 30.0  # a shared machine may stand still for some
MEMORY_MIB = 1000  # of the reading process, libraries and valid files included
NET = "is not laid out as"  # an error that only the last net caught


@dataclass
class Outcome:
    """What a run found."""

    examples: Counter[str] = field(default_factory=Counter)  # by kind of file
    endings: Counter[str] = field(default_factory=Counter)  # read, refused, refused by the last net
    findings: list[dict[str, Any]] = field(default_factory=list)  # crashes, hangs, too much memory
    peak_mib: int = 0
    longest_seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        about = {"n_examples": self.examples.total(), "peak_mib": self.peak_mib, "longest_s": self.longest_seconds}
        return about | {"endings": dict(self.endings), "kinds": dict(self.examples), "findings": self.findings}


def fuzz(
    minutes: float, *, names: list[str] | None = None, first_seed: int = 1, seconds: float = SECONDS_AN_EXAMPLE,
    memory_mib: int = MEMORY_MIB, most: int | None = None, keep: Path | None = None, corpus: Path | None = None,
) -> Outcome:  # fmt: skip
    """Fuzz for so many minutes, or until so many examples or findings.

    Parameters
    ----------
    names : list of str, optional
        Folders of the corpus; by default all but the negative controls.
    first_seed : int
        Of the first round; the others follow.
    seconds, memory_mib : float, int
        Bounds of one example, and of the process that reads.
    most : int, optional
        Stop after so many examples.
    keep : Path, optional
        Folder for the files of findings.
    corpus : Path, optional
        Folder of valid files, where they are made already.
    """
    out = Outcome()
    number = first_seed
    with tempfile.TemporaryDirectory() as made:
        if corpus is None:
            corpus = Path(made) / "corpus"
            _in_a_process("--corpus", corpus)
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end and (most is None or out.examples.total() < most) and len(out.findings) < 50:
            work = Path(made) / "work"
            shutil.rmtree(work, ignore_errors=True)
            number = _one_child(out, corpus, work, names, number, end, seconds, memory_mib, most)
            if keep is not None:
                _keep(work, keep)
    return out


def _keep(work: Path, keep: Path) -> None:
    """Copy what crashed, and what was read last."""
    for folder in (work / "files", *work.glob("crash*")):
        if folder.is_dir():
            shutil.copytree(folder, keep / folder.name, dirs_exist_ok=True)


def _in_a_process(*arguments: object) -> None:
    subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def _one_child(
    out: Outcome, corpus: Path, work: Path, names: list[str] | None, number: int, end: float, seconds: float,
    memory_mib: int, most: int | None,
) -> int:  # fmt: skip
    """Watch a child until the end, or until something goes wrong; returns the seed of the next round."""
    given_names = ["--names", *names] if names else []
    work.mkdir()
    with (work / "stderr").open("w") as stderr:
        child = subprocess.Popen(
            [sys.executable, __file__, "--child", str(corpus), str(work), str(number), *given_names],
            stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip
    lines: queue.Queue[str] = queue.Queue()
    pump = threading.Thread(target=_pump, args=(child, lines), daemon=True)
    pump.start()
    current = {"kind": "start of the process", "seed": number}
    patience = 300.0  # for imports
    first = out.examples.total()
    try:
        while time.monotonic() < end and out.examples.total() < min(first + A_PROCESS, most or first + A_PROCESS):
            try:
                line = lines.get(timeout=patience)
            except queue.Empty:
                out.findings.append({**current, "what": f"no end after {patience:g} s"})
                return int(current["seed"]) + 1
            patience = seconds
            if not line:
                child.wait()
                last_words = (work / "stderr").read_text(errors="replace")[-500:]
                out.findings.append({**current, "what": f"the process ended with {child.returncode}: {last_words}"})
                return int(current["seed"]) + 1
            said = json.loads(line)
            current = {**current, **{key: said[key] for key in ("kind", "seed") if key in said}}
            if "ending" not in said:
                continue
            out.examples[current["kind"]] += 1
            out.endings[said["ending"]] += 1
            out.peak_mib = max(out.peak_mib, said["mib"])
            out.longest_seconds = max(out.longest_seconds, said["seconds"])
            if said["mib"] > memory_mib:
                out.findings.append({**current, "what": f"{said['mib']} MiB"})
                return int(current["seed"]) + 1
            if said["ending"] == "crashed" and said["where"] not in {each.get("where") for each in out.findings}:
                out.findings.append({**current, "what": said["what"], "where": said["where"]})
        return int(current["seed"]) + 1
    finally:
        child.kill()
        child.wait()
        pump.join()


def _pump(child: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert child.stdout is not None
    with child.stdout as stream:
        for line in stream:
            lines.put(line)
    lines.put("")


def be_a_child(corpus: Path, work: Path, number: int, names: list[str]) -> None:
    """Read examples for ever, saying before and after each what it is and how it ended."""
    from corpus import reader_of
    from mutations import Example, examples

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (16 * 2**30, 16 * 2**30))  # whatever goes wrong, the machine lives
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    strategy = examples(corpus, names)
    crashes: set[str] = set()

    def look_at(example: Example, number: int) -> None:
        say(kind=example.name, seed=number)
        folder = work / "files"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in example.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        start = time.monotonic()
        ending = _read(lambda: reader_of(example.name)(folder, corpus))
        mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        if ending["ending"] == "crashed" and ending["where"] not in crashes:
            crashes.add(ending["where"])
            shutil.copytree(folder, work / f"crash {len(crashes)} of round {number}")
        say(seconds=round(time.monotonic() - start, 3), mib=mib, **ending)

    how = settings(
        max_examples=ROUND, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=HealthCheck
    )

    def one_round(number: int) -> Callable[[Example], None]:
        def check(example: Example) -> None:
            look_at(example, number)

        return check

    while True:
        seed(number)(how(given(strategy)(one_round(number))))()
        number += 1


def _read(read: Any) -> dict[str, str]:
    from irt_bench import IrtBenchError
    from irt_bench.cli.command import one_line

    try:
        read()
    except IrtBenchError as error:
        text = one_line(str(error))
        if not text.isprintable() or len(text) > 2000:
            return {"ending": "crashed", "what": f"no line: {text[:300]!r}", "where": "console"}
        return {"ending": "refused by the last net" if NET in text else "refused", "text": text[:300]}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        own = [step for step in traceback.extract_tb(error.__traceback__) if "irt_bench" in step.filename]
        where = f"{Path(own[-1].filename).name}:{own[-1].name}" if own else "elsewhere"
        what = "".join(traceback.format_exception(error)[-3:])[-1500:]
        return {"ending": "crashed", "what": what, "where": f"{type(error).__name__} in {where}"}
    return {"ending": "read"}


def say(**what: Any) -> None:
    """Tell the parent."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--names", nargs="+", help="folders of the corpus; by default all")
    parser.add_argument("--keep", type=Path, help="folder for the files of what goes wrong")
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.corpus is not None:
        from corpus import write_corpus

        write_corpus(options.corpus)
        return
    if options.child is not None:
        corpus, work, number = Path(options.child[0]), Path(options.child[1]), int(options.child[2])
        be_a_child(corpus, work, number, options.names or _all_names(corpus))
        return
    found = fuzz(options.minutes, names=options.names, first_seed=options.seed, keep=options.keep)
    print(json.dumps(found.to_dict(), indent=1))
    raise SystemExit(f"{len(found.findings)} findings" if found.findings else 0)


def _all_names(corpus: Path) -> list[str]:
    return sorted(path.name for path in corpus.iterdir() if not path.name.startswith("control"))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
