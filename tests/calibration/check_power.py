"""How often each named check fails: where the model holds, and where it does not in a known way. Resumable.

python tests/calibration/check_power.py -o FOLDER [--data-sets 20] [--minutes 15] [--scenarios NAME,...]

Every data set is simulated here by formulas of its own, fitted by the fast method and checked; what each check said is
added to FOLDER/outcomes.csv at once, so that a run goes on from any stop. FOLDER/check_power.csv has the rates.
"""

from __future__ import annotations

import argparse
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench import LaplaceSettings, ResponseCounts, TwoPL
from irt_bench.checks import check_fit, predictive
from irt_bench.inference.fit import fit

N_MODELS, N_ITEMS, TESTLET = 100, 65, 5
LOO_CELLS = 300  # instead of 2,000: most of the time would go there
HOLDS = "true model"  # scenarios of which all data sets are made; of the others three in five
RELATIVES = ("30% near-copies of models", "10 families, sd 1")  # whose families nobody names
KEYS = ["scenario", "replicate", "check"]
Array = npt.NDArray[np.float64]


class Truth(NamedTuple):
    """What is varied; everything else is a 2PL with normal abilities."""

    ability: Array  # (model,)
    slope: Array  # (item,)
    difficulty: Array
    added: Array  # (model, item), to the log-odds
    guessing: float
    trials: npt.NDArray[np.int64]
    member: npt.NDArray[np.bool_]  # the group that a user names


def true_model(rng: np.random.Generator) -> Truth:
    """Draw a 2PL whose groups and testlets mean nothing."""
    return Truth(
        rng.normal(size=N_MODELS),
        np.exp(0.3 * rng.normal(size=N_ITEMS)),
        rng.normal(size=N_ITEMS),
        np.zeros((N_MODELS, N_ITEMS)),
        0.0,
        np.ones((N_MODELS, N_ITEMS), dtype=np.int64),
        np.arange(N_MODELS) < N_MODELS // 2,
    )


def testlets(rng: np.random.Generator, sd: float) -> Truth:
    """Items in fives that share an effect of each model."""
    truth = true_model(rng)
    shared = sd * rng.normal(size=(N_MODELS, N_ITEMS // TESTLET))
    return truth._replace(added=np.repeat(shared, TESTLET, axis=1) * truth.slope)


def two_dimensions(rng: np.random.Generator) -> Truth:
    """Every other item asks for a second ability that is correlated by 0.5 with the first."""
    truth = true_model(rng)
    second = 0.5 * truth.ability + np.sqrt(0.75) * rng.normal(size=N_MODELS)
    other = np.arange(N_ITEMS) % 2 == 1
    return truth._replace(added=np.outer(second - truth.ability, truth.slope * other))


def families(rng: np.random.Generator) -> Truth:
    """Ten families of ten models with deviations of their own from every item's difficulty."""
    truth = true_model(rng)
    deviation = rng.normal(size=(10, N_ITEMS))
    return truth._replace(added=np.repeat(deviation, N_MODELS // 10, axis=0))


def groups(rng: np.random.Generator) -> Truth:
    """Four items are 1.5 harder for one group than for another, which is as able."""
    truth = true_model(rng)
    return truth._replace(added=-1.5 * np.outer(truth.member, np.arange(N_ITEMS) % 10 == 0))


def two_forms(rng: np.random.Generator, difference: float) -> Truth:
    """Each group is asked a third of the items that the other is not."""
    truth = true_model(rng)
    trials = truth.trials.copy()
    third = N_ITEMS // 3
    trials[np.ix_(truth.member, np.arange(third))] = 0
    trials[np.ix_(~truth.member, np.arange(N_ITEMS - third, N_ITEMS))] = 0
    return truth._replace(trials=trials, ability=truth.ability + difference * truth.member)


def missing(rng: np.random.Generator) -> Truth:
    """A fifth of the answers are missing at random."""
    truth = true_model(rng)
    return truth._replace(trials=truth.trials * (rng.random(truth.trials.shape) > 0.2))


def repeats(rng: np.random.Generator, cell_sd: float) -> Truth:
    """Five trials per cell, which may share an effect of their own."""
    truth = true_model(rng)
    return truth._replace(trials=5 * truth.trials, added=cell_sd * rng.normal(size=truth.trials.shape))


def answer(truth: Truth, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw right answers."""
    chance = 1 / (1 + np.exp(-truth.slope * (truth.ability[:, None] - truth.difficulty) - truth.added))
    return rng.binomial(truth.trials, truth.guessing + (1 - truth.guessing) * chance)


def copies_of_models(correct: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Three in ten models give the answers of another one to 95% of the items."""
    n = 3 * N_MODELS // 10
    return np.where(rng.random((n, N_ITEMS)) < 0.95, correct[n : 2 * n], correct[:n])


Simulate = Callable[[np.random.Generator], tuple[Truth, npt.NDArray[np.int64]]]


def _answered(make: Callable[[np.random.Generator], Truth]) -> Simulate:
    def simulate(rng: np.random.Generator) -> tuple[Truth, npt.NDArray[np.int64]]:
        truth = make(rng)
        return truth, answer(truth, rng)

    return simulate


def _models_copied(rng: np.random.Generator) -> tuple[Truth, npt.NDArray[np.int64]]:
    truth = true_model(rng)
    correct = answer(truth, rng)
    correct[: 3 * N_MODELS // 10] = copies_of_models(correct, rng)
    return truth, correct


def _items_copied(rng: np.random.Generator) -> tuple[Truth, npt.NDArray[np.int64]]:
    """Two items are copies of others in 85% of the models, of testlets of their own."""
    truth = true_model(rng)
    correct = answer(truth, rng)
    for copy, source in ((0, 12), (7, 31)):
        correct[:, copy] = np.where(rng.random(N_MODELS) < 0.85, correct[:, source], correct[:, copy])
    return truth, correct


SCENARIOS: dict[str, Simulate] = {
    "true model": _answered(true_model),
    "true model, 20% missing at random": _answered(missing),
    "true model, 5 trials per cell": _answered(lambda rng: repeats(rng, 0.0)),
    "true model, two forms, groups equal": _answered(lambda rng: two_forms(rng, 0.0)),
    "testlets of 5, sd 0.5": _answered(lambda rng: testlets(rng, 0.5)),
    "testlets of 5, sd 1": _answered(lambda rng: testlets(rng, 1.0)),
    "guessing 0.25": _answered(lambda rng: true_model(rng)._replace(guessing=0.25)),
    "two dimensions, correlation 0.5": _answered(two_dimensions),
    "items copied, 85% of answers": _items_copied,
    "30% near-copies of models": _models_copied,
    "10 families, sd 1": _answered(families),
    "4 items 1.5 harder for a group": _answered(groups),
    "two forms, groups 1.5 sd apart": _answered(lambda rng: two_forms(rng, 1.5)),
    "5 trials per cell, cells differ, sd 0.7": _answered(lambda rng: repeats(rng, 0.7)),
}


def simulated(scenario: str, replicate: int) -> tuple[ResponseCounts, pd.Series | None]:
    """Make the responses of one data set, and the group of each model, where a user would name one."""
    seed = [zlib.crc32(scenario.encode()), replicate]
    truth, correct = SCENARIOS[scenario](np.random.default_rng(seed))
    models = pd.DataFrame(index=pd.Index([f"m{row}" for row in range(N_MODELS)], name="model"))
    template = [f"t{place // TESTLET}" for place in range(N_ITEMS)]
    items = pd.DataFrame({"template": template}, index=pd.Index([f"i{at}" for at in range(N_ITEMS)], name="item"))
    counts = ResponseCounts(correct, truth.trials, models, items, "simulated")
    named = pd.Series(np.where(truth.member, "a", "b"), index=models.index)
    return counts, None if scenario in RELATIVES else named


def outcomes(scenario: str, replicate: int) -> pd.DataFrame:
    """Simulate, fit and check one data set; one row a check."""
    counts, groups_named = simulated(scenario, replicate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(counts, TwoPL(), LaplaceSettings(refine=False))
    with mock.patch.object(predictive, "MAX_CELLS", LOO_CELLS):
        found = check_fit(counts, fitted, groups=groups_named, seed=replicate)
    told = found.table()[["status", "value", "threshold"]].rename_axis("check").reset_index()
    return told.assign(scenario=scenario, replicate=replicate)[[*KEYS, "status", "value", "threshold"]]


def rates(told: pd.DataFrame) -> pd.DataFrame:
    """Share of the data sets in which each check failed, among those to which it applied; last, any check."""
    failed = told.assign(failed=told["status"] == "failed", applied=told["status"] != "not_applicable")
    anyone = failed.groupby(["scenario", "replicate"], sort=False)[["failed", "applied"]].any().reset_index()
    whole = pd.concat([failed, anyone.assign(check="any")])
    counted = whole.groupby(["scenario", "check"], sort=False)[["failed", "applied"]].sum()
    counted = counted.rename(columns={"failed": "n_failed", "applied": "n"}).astype(int).reset_index()
    return counted.assign(rate=(counted["n_failed"] / counted["n"].where(counted["n"] > 0)).round(4))


def run(output: Path, *, data_sets: int, minutes: float, scenarios: list[str]) -> pd.DataFrame:
    """Add what is missing, replicate by replicate, until the time is over; write and return the rates."""
    output.mkdir(parents=True, exist_ok=True)
    kept = output / "outcomes.csv"
    told = pd.read_csv(kept) if kept.exists() else pd.DataFrame(columns=[*KEYS, "status", "value", "threshold"])
    done = set(zip(told["scenario"], told["replicate"], strict=True))
    end = time.process_time() + 60 * minutes
    parts = [told] if len(told) else []
    for replicate in range(data_sets):
        for scenario in scenarios:
            enough = data_sets if scenario.startswith(HOLDS) else -(-3 * data_sets // 5)
            if (scenario, replicate) in done or replicate >= enough or time.process_time() > end:
                continue
            parts.append(outcomes(scenario, replicate))
            parts[-1].to_csv(kept, mode="a", header=not kept.exists(), index=False)
    found = rates(pd.concat(parts, ignore_index=True))
    order = {name: place for place, name in enumerate(SCENARIOS)}
    found = found.sort_values("scenario", key=lambda column: column.map(order), kind="stable")
    found.to_csv(output / "check_power.csv", index=False)
    return found


def main() -> None:
    """Read the arguments, run, and print the rates as a table: scenarios across, checks down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--data-sets", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=15.0, help="processor minutes; 0 to collect only")
    parser.add_argument("--scenarios", default=",,".join(SCENARIOS), help="names, between two commas")
    given = parser.parse_args()
    found = run(given.output, data_sets=given.data_sets, minutes=given.minutes, scenarios=given.scenarios.split(",,"))
    print(found.pivot(index="check", columns="scenario", values="rate").to_string())


if __name__ == "__main__":
    main()
