"""Adaptive test of a task of Inspect: ask the most informative sample next, stop when ability is known well enough.

`Subset.export` with "inspect-adaptive" copies this file beside ``items.json`` and the task to run. It needs Python and
Inspect alone. The test is that of `irt_bench.subsets.adaptive`: the posterior of ability on a grid of nodes under a
normal prior, the item with the most Fisher information at its mean, and an end at a given posterior sd.
"""

import importlib
import importlib.util
import json
import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

QUIET_SECONDS = 0.5  # without a new sample: Inspect has started all that it starts at once
LOST_SECONDS = 1800.0  # a sample without a score for so long has failed, and the test goes on without it
TINY = 1e-12


class LiveTest:
    """One adaptive test under way: what was asked, and what is known of ability.

    Parameters
    ----------
    content : mapping
        As in ``items.json``: ``nodes``, ``items`` with their curves, ``settings``, and ``scale`` or None.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.nodes: list[float] = content["nodes"]
        self.items: dict[str, Mapping[str, Any]] = {str(item["id"]): item for item in content["items"]}
        self.settings: Mapping[str, Any] = content["settings"]
        self.scale: list[list[float]] | None = content.get("scale")
        self.log_density = [-(node**2) / 2 for node in self.nodes]
        self.asked: dict[str, float] = {}
        self.random = random.Random(self.settings["seed"])  # noqa: S311

    def record(self, label: str, score: float) -> None:
        """Take the score of an item, in [0, 1], into account."""
        right = self.items[label]["right"]
        self.asked[label] = score
        self.log_density = [
            value + score * math.log(max(p, TINY)) + (1 - score) * math.log(max(1 - p, TINY))
            for value, p in zip(self.log_density, right, strict=True)
        ]

    def density(self, *, scaled: bool = True) -> list[float]:
        """Posterior mass of each node; `scaled` adds the uncertainty that all items share."""
        top = max(self.log_density)
        mass = [math.exp(value - top) for value in self.log_density]
        total = sum(mass)
        mass = [value / total for value in mass]
        if self.scale is None or not scaled:
            return mass
        moved = [0.0] * len(mass)
        for value, row in zip(mass, self.scale, strict=True):
            if value > TINY:
                moved = [now + value * part for now, part in zip(moved, row, strict=True)]
        return moved

    def ability(self) -> tuple[float, float]:
        """Posterior mean and sd of ability."""
        mass = self.density()
        mean = sum(p * node for p, node in zip(mass, self.nodes, strict=True))
        variance = sum(p * (node - mean) ** 2 for p, node in zip(mass, self.nodes, strict=True))
        return mean, math.sqrt(variance)

    @property
    def finished(self) -> bool:
        """Whether no further item is to be asked."""
        n = len(self.asked)
        if n >= min(self.settings["max_items"], len(self.items)):
            return True
        return bool(n >= self.settings["min_items"] and self.ability()[1] <= self.settings["stop_sd"])

    def choose(self, open_items: Iterable[str]) -> str | None:
        """Choose the next item among those not asked yet: the most informative one, as far as the settings allow.

        With ``balance``, from the subtask that has had fewest of its share; with ``exposure`` above 1, at random among
        as many of the most informative.
        """
        left = [label for label in open_items if label in self.items and label not in self.asked]
        if not left:
            return None
        if self.settings["balance"]:
            wanted = self._shortest({str(self.items[label]["subtask"]) for label in left})
            left = [label for label in left if str(self.items[label]["subtask"]) == wanted]
        step = self.nodes[1] - self.nodes[0]
        place = round((self.ability()[0] - self.nodes[0]) / step)
        ranked = sorted(left, key=lambda label: -self.items[label]["information"][place])
        return self.random.choice(ranked[: self.settings["exposure"]]) if self.settings["exposure"] > 1 else ranked[0]

    def _shortest(self, subtasks: set[str]) -> str:
        """Subtask that is furthest below its share of the items asked so far."""

        def shortfall(subtask: str) -> float:
            there = sum(str(item["subtask"]) == subtask for item in self.items.values())
            asked = sum(str(self.items[label]["subtask"]) == subtask for label in self.asked)
            return there / len(self.items) * (len(self.asked) + 1) - asked

        return max(sorted(subtasks), key=shortfall)

    def summary(self) -> dict[str, Any]:
        """Summarise: ability with its sd and 90% interval, the estimated share of right answers, the items asked."""
        mean, sd = self.ability()
        plain, mass = self.density(scaled=False), self.density()
        curve = [
            sum(column) / len(self.items) for column in zip(*(i["right"] for i in self.items.values()), strict=True)
        ]
        return {
            "ability": mean,
            "ability_sd": sd,
            "ability_q05": _quantile(mass, self.nodes, 0.05),
            "ability_q95": _quantile(mass, self.nodes, 0.95),
            "estimated_score": sum(p * share for p, share in zip(plain, curve, strict=True)),
            "n_items": len(self.asked),
            "n_items_full": len(self.items),
            "stopped": "ability is known well enough"
            if sd <= self.settings["stop_sd"]
            else "the most items were asked",
            "asked": list(self.asked),
        }


def _quantile(mass: Sequence[float], nodes: Sequence[float], level: float) -> float:
    """Quantile of a density on nodes; half of the mass of a node lies below it."""
    below = 0.0
    last = (nodes[0], 0.0)
    for node, value in zip(nodes, mass, strict=True):
        here = below + value / 2
        if here >= level:
            rise = here - last[1]
            return node if rise <= 0 else last[0] + (node - last[0]) * (level - last[1]) / rise
        last, below = (node, here), below + value
    return nodes[-1]


class AdaptiveStopping:
    """Early stopping of Inspect that asks samples in the order of their information.

    Inspect starts samples in the order of the data set. Each waits here until it is the most informative one, or the
    test has ended. For that all samples must be started at once: ``--max-samples`` at least as large as the data set.
    With fewer, the best of those that wait is taken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.test: LiveTest | None = None

    async def start_task(self, task: Any, samples: Sequence[Any], epochs: int) -> str:
        """Begin a test."""
        del task, epochs
        self.test = LiveTest(json.loads(self.path.read_text(encoding="utf-8")))
        self.expected = [str(sample.id) for sample in samples if str(sample.id) in self.test.items]
        if not self.expected:
            raise ValueError(f"no sample of the task has parameters in {self.path.name}; is it the task of the subset?")
        self.waiting: dict[str, Any] = {}
        self.running: dict[str, float] = {}
        self.lost: set[str] = set()
        return "irt_bench adaptive test"

    async def schedule_sample(self, id: str | int, epoch: int) -> Any:
        """Wait until the sample is to be asked, or is not."""
        import anyio
        from inspect_ai.util import EarlyStop

        label = str(id)
        if self.test is None or label not in self.test.items:
            return EarlyStop(id=id, epoch=epoch, reason="has no item parameters")
        if epoch > 1:
            return EarlyStop(id=id, epoch=epoch, reason="an adaptive test asks each sample once")
        turn = self.waiting[label] = anyio.Event()
        self._release(self.test, quiet=False)
        while not turn.is_set():
            with anyio.move_on_after(QUIET_SECONDS):
                await turn.wait()
            self._release(self.test, quiet=True)
        self.waiting.pop(label)
        if label in self.running:
            return None
        return EarlyStop(id=id, epoch=epoch, reason="not needed: the adaptive test has ended")

    async def complete_sample(self, id: str | int, epoch: int, scores: Mapping[str, Any]) -> None:
        """Take a score into account, and let the next sample start."""
        del epoch
        if self.test is None or self.running.pop(str(id), None) is None:
            return
        name = self.test.settings.get("scorer")
        found = scores[name] if name else next(iter(scores.values()))
        self.test.record(str(id), share_of(found.score.value))
        self._release(self.test, quiet=False)

    async def complete_task(self) -> dict[str, Any]:
        """Summarise the test for the log."""
        return {} if self.test is None else self.test.summary()

    def _release(self, test: LiveTest, *, quiet: bool) -> None:
        """Let samples start while fewer run than may, or all go where the test has ended."""
        now = time.monotonic()
        for label in [label for label, started in self.running.items() if now - started > LOST_SECONDS]:
            self.running.pop(label)
            self.lost.add(label)
        settings, most = test.settings, min(test.settings["max_items"], len(self.expected))
        while not test.finished and len(self.running) < settings["parallel"]:
            if len(test.asked) + len(self.running) >= most:
                break
            ready = [label for label, turn in self.waiting.items() if not turn.is_set()]
            free = [label for label in self.expected if label not in self.running and label not in self.lost]
            chosen = test.choose(ready if quiet or set(free) <= {*ready, *test.asked} else free)
            if chosen is None or chosen not in ready:
                return
            self.running[chosen] = now
            self.waiting[chosen].set()
        over = test.finished or len(test.asked) + len(self.lost) >= most
        if over and not self.running:
            for turn in self.waiting.values():
                turn.set()


def share_of(value: Any) -> float:
    """Read a score of Inspect as a share in [0, 1]: C, I, P, N, numbers and truth values."""
    letters = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
    if isinstance(value, str) and value in letters:
        return letters[value]
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"the score {value!r} is not in [0, 1]; an adaptive test needs right or wrong answers.")
    return number


def full_task(name: str) -> Any:
    """Make the task of the whole benchmark from ``file.py@task`` or ``package.module@task``."""
    place, _, function = name.partition("@")
    if place.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(place).stem, Path(place).resolve())
        if spec is None or spec.loader is None:
            raise ValueError(f"{place} is no Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    return getattr(module, function)()
