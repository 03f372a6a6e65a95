"""Hold what the package says of 3, 5 or 10 seeds against the 200 seeds of the bank in ``data/seed_bank``.

    python tests/calibration/seed_bank.py -o data/seed_bank/agreement.csv

Intervals from disjoint groups of seeds should cover the value of all seeds in 90% of the groups. Two groups of the same
recipe should differ really in at most 5%, and a difference as large as the smallest detectable one should be found in
80%. Controls are intervals .6 as wide, and groups with a real difference.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from irt_bench import compare_recipes, compare_seed_variance, seed_variance, table_from_frame

BANK = Path(__file__).resolve().parents[2] / "data" / "seed_bank"
SIZES = (3, 5, 10)
CURVE = (50, 500)  # items
NARROW = 0.6  # of an interval's logarithmic half-widths, as a control
RESAMPLES = 4_000


def base_answers(*, folder=BANK, checkpoints=(1, 2, 3, 4, 5)):
    """Answers of the base recipe's own seeds, one row per answer."""
    sys.path.insert(0, str(BANK))
    from pack import long_frame, read_bank

    bank = read_bank(folder)
    base = bank._replace(runs=bank.runs[bank.runs["recipe"] == "base"], right=bank.right[bank.runs["recipe"] == "base"])
    return long_frame(base, checkpoints=checkpoints)


def groups_of(seeds, size, rng):
    """Disjoint random groups of seeds."""
    shuffled = rng.permutation(seeds)
    return shuffled[: len(shuffled) // size * size].reshape(-1, size)


def quantities(found):
    """Rows ``quantity, part, estimate, q05, q95`` of a `SeedVariance` of one benchmark and run."""
    whole, tasks = found.runs().iloc[0], found.subtasks()
    rows = [("E", "whole", whole["e_unbiased"], whole["e_q05"], whole["e_q95"])]
    rows += [("seed sd", "whole", *whole[["seed_sd", "seed_sd_q05", "seed_sd_q95"]])]
    rows += [("robust seed sd", "whole", *whole[["seed_sd_robust", "seed_sd_robust_q05", "seed_sd_robust_q95"]])]
    for (_, task, _), row in tasks.iterrows():
        rows.append(("seed sd", task, row["seed_sd"], row["seed_sd_q05"], row["seed_sd_q95"]))
    components = found.components()
    last = components[components["design"] == "seed x item"].groupby("component").last()
    for name in ("seed", "seed:item"):
        rows.append((f"component {name}", "whole", *last.loc[name, ["estimate", "q05", "q95"]]))
    curve = found.curve().query("form == 'random'").set_index("k")
    for k in CURVE:
        row = curve.loc[k]
        rows.append(
            (f"sd of {k} items", "whole", row["predicted_sd"], row["predicted_sd_q05"], row["predicted_sd_q95"])
        )
    return pd.DataFrame(rows, columns=["quantity", "part", "estimate", "q05", "q95"])


def coverage(answers, sizes=SIZES, seed=1):
    """Intervals of groups of seeds against the value of all seeds."""
    rng, rows = np.random.default_rng(seed), []
    for framing, own in answers.groupby("benchmark", observed=True):
        truth = quantities(_variance(own)).set_index(["quantity", "part"])["estimate"]
        for size in sizes:
            for group in groups_of(own["seed"].unique(), size, rng):
                found = quantities(_variance(own[own["seed"].isin(group)]))
                true = truth.loc[pd.MultiIndex.from_frame(found[["quantity", "part"]])].to_numpy()
                rows.append(found.assign(framing=framing, n_seeds=size, true=true))
    return pd.concat(rows, ignore_index=True)


def _variance(answers):
    return seed_variance(table_from_frame(answers), n_bootstrap=20, n_subsets=20)


def coverage_table(found):
    """Share of intervals that hold the value of all seeds, by quantity and number of seeds, and of narrowed ones."""
    found = found.assign(q95=found["q95"].fillna(np.inf))  # an interval without an upper limit, with a stated reason
    covered = (found["q05"] <= found["true"]) & (found["true"] <= found["q95"])
    middle = found["estimate"]
    narrow = (middle + NARROW * (found["q05"] - middle) <= found["true"]) & (
        found["true"] <= middle + NARROW * (found["q95"] - middle)
    )
    part = found["part"].where(found["part"] == "whole", "tasks")
    keys = [found["quantity"], part.rename("part"), found["n_seeds"]]
    table = pd.DataFrame({"value": covered, "control": narrow}).groupby(keys).mean()
    table["n"] = found.groupby(keys)["true"].size()
    return table.reset_index().assign(aim="0.9")


def same_recipe(answers, sizes=SIZES, seed=2):
    """How often two groups of seeds of one recipe are said to differ really: at most .05; control: a shift of 6 sds."""
    rng, rows = np.random.default_rng(seed), []
    last = answers[answers["step"] == answers["step"].max()]
    for framing, own in last.groupby("benchmark", observed=True):
        for size in sizes:
            for pair in groups_of(own["seed"].unique(), 2 * size, rng):
                row = {"framing": framing, "n_seeds": size}
                for name, worse in (("value", 0.0), ("control", 0.08)):
                    found = _compared(own, pair[:size], pair[size:], worse, rng)
                    row |= {name: found["verdict"] == "real"}
                rows.append(row)
    table = pd.DataFrame(rows).groupby("n_seeds")[["value", "control"]].agg(["mean", "size"])
    flat = pd.DataFrame(
        {"value": table["value"]["mean"], "control": table["control"]["mean"], "n": table["value"]["size"]}
    )
    return flat.reset_index().assign(quantity="verdict 'real' for one recipe", part="whole", aim="at most 0.05")


def _compared(answers, first, second, worse, rng):
    """Row of two groups of seeds, of which the second loses a share of its right answers."""
    a, b = (answers[answers["seed"].isin(group)] for group in (first, second))
    b = b.assign(correct=b["correct"] * (rng.random(len(b)) >= worse))
    table = table_from_frame(pd.concat([a.assign(run="first"), b.assign(run="second")]))
    return compare_recipes(table, "first", "second").summary().iloc[0]


def power(answers, sizes=SIZES, seed=3):
    """Share of comparisons that find a difference as large as the smallest detectable one; control: half of it."""
    rng, rows = np.random.default_rng(seed), []
    for framing, own in answers[answers["step"] == answers["step"].max()].groupby("benchmark", observed=True):
        found = _variance(own)
        table = found.detectable().set_index("n_seeds")
        scores = own.groupby("seed")["correct"].mean().to_numpy()
        sd = scores.std(ddof=1)
        for size in sizes:
            a, b = (
                scores[rng.random((RESAMPLES, len(scores))).argsort(axis=1)[:, : 2 * size]].reshape(-1, 2, size)
            ).swapaxes(0, 1)
            df = len(scores) - 1 + 2 * (size - 1)
            pooled = np.sqrt(
                ((len(scores) - 1) * sd**2 + (size - 1) * (a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1))) / df
            )
            limit = stats.t.ppf(0.975, df) * pooled * np.sqrt(2 / size)
            row = {"quantity": "power at the smallest detectable difference", "part": framing, "n_seeds": size}
            for name, share in (("value", 1.0), ("control", 0.5)):
                row[name] = np.mean(
                    np.abs(a.mean(axis=1) + share * table.loc[size, "detectable"] - b.mean(axis=1)) > limit
                )
            rows.append(row | {"n": RESAMPLES, "aim": "0.8"})
    return pd.DataFrame(rows)


def framings(answers, size=10, seed=4):
    """Ratio of seed sds of the two framings from 10 seeds, against that of all other seeds, task by task."""
    rng, rows = np.random.default_rng(seed), []
    last = answers[answers["step"] == answers["step"].max()]
    parts = [("whole", last), *last.groupby("subtask", observed=True)]
    for group in groups_of(last["seed"].unique(), size, rng):
        for part, own in parts:
            inside = own["seed"].isin(group)
            few, many = _ratio(own[inside]), _ratio(own[~inside])
            rows.append((part, few["ratio"], few["ratio_q05"], few["ratio_q95"], many["ratio"], few["verdict"]))
    found = pd.DataFrame(rows, columns=["part", "estimate", "q05", "q95", "true", "verdict"])
    table = coverage_table(found.assign(quantity="ratio of framings' seed sds", n_seeds=size))
    wrong = ((found["verdict"] == "higher") & (found["true"] < 1)) | (
        (found["verdict"] == "lower") & (found["true"] > 1)
    )
    said = {"quantity": "verdict on framings of the wrong sign", "part": "all", "n_seeds": size, "value": wrong.mean()}
    return pd.concat([table, pd.DataFrame([said | {"n": len(found), "aim": "at most 0.05"}])])


def _ratio(answers):
    a, b = (table_from_frame(answers[answers["benchmark"] == framing]) for framing in ("completion", "choice"))
    return compare_seed_variance(a, b)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=BANK / "agreement.csv")
    parser.add_argument("--bank", type=Path, default=BANK, help="folder of the packed bank")
    given = parser.parse_args()
    answers = base_answers(folder=given.bank)
    parts = [coverage_table(coverage(answers)), same_recipe(answers), power(answers), framings(answers)]
    table = pd.concat(parts, ignore_index=True)[["quantity", "part", "n_seeds", "value", "aim", "n", "control"]]
    table.to_csv(given.output, index=False, float_format="%.4f")
    print(table.to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()
