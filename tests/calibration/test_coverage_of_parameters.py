"""Abilities and items of the fast method at the sizes of benchmarks, raw and on the scale of the abilities."""

import warnings
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
from accuracy import PARAMETERS
from interval_coverage import data_set, draws_of, measures
from matrices import MISSING, counts_of

from irt_bench import LaplaceSettings, TwoPL, fit

N_DATA_SETS = {"S": 20, "400x500": 20, "M": 60}  # the last err most in what all abilities share, one error a data set
SCARCE = [("few", 0.0, "few models, 12x300"), ("sparse", 0.8125, "sparse, 250x80, 15 answers a model")]
N_SCARCE = 24
NARROW = 0.6  # of the sd: a coverage of 68%
GROUP_MEANS, GROUP_SDS, GROUP_SIZE = np.array([0.0, 1.5]), np.array([0.7, 1.0]), 60
N_GROUPED = 40
KINDS = {"raw": "", "relative": "relative_"}


def narrowed(draws):
    """Draw the draws in to their mean."""
    means = {name: values.mean(axis=0) for name, values in draws.items()}
    return {name: means[name] + NARROW * (values - means[name]) for name, values in draws.items()}


def honest_and_narrow(size, truth, seed, missing=0.0):
    """Measures of one data set, as drawn and with draws too narrow."""
    matrix = data_set(size, seed, Namespace(irt_model="2pl", truth=truth, missing=missing))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draws = draws_of(fit(counts_of(matrix.responses), TwoPL(), LaplaceSettings(seed=seed)))
    return measures(matrix.truth, draws), measures(matrix.truth, narrowed(draws))


@pytest.mark.slow
@pytest.mark.parametrize("truth", ["prior", "fixed"])
@pytest.mark.parametrize("size", ["S", "400x500", "M"])
def test_abilities_and_items_are_covered_and_narrow_draws_are_caught(size, truth, record_coverage):
    """Over truths from the prior coverage is 90%; over one fixed truth only what is relative is."""
    found = [honest_and_narrow(size, truth, seed) for seed in range(1, N_DATA_SETS[size] + 1)]
    check_and_record(found, f"fast method, {size}, truth {truth}", truth, record_coverage)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "missing", "label"), SCARCE)
def test_few_models_and_sparse_answers_are_covered_and_narrow_draws_are_caught(size, missing, label, record_coverage):
    found = [honest_and_narrow(size, "prior", seed, missing) for seed in range(1, N_SCARCE + 1)]
    check_and_record(found, f"fast method, {label}, truth prior", "prior", record_coverage)


def check_and_record(found, label, truth, record_coverage):
    """Keep the coverage of each parameter, raw and relative, beside that of draws too narrow, and judge them."""
    honest, narrow = map(pd.DataFrame, zip(*found, strict=True))
    rows = []
    for kind, prefix in KINDS.items():
        wide = (truth, kind) == ("fixed", "raw") or len(found) == N_SCARCE  # few data sets, and few models in each
        limits = (0.85, 0.95) if wide else (0.87, 0.93)
        about = {"seeds": f"1-{len(found)}", "limits": limits}
        for name in PARAMETERS:
            column, control = f"{prefix}coverage_{name}", f"draws {NARROW} as wide"
            rows.append(record_coverage(name, f"{label}, {kind}", honest[column], **about))
            rows.append(record_coverage(name, f"{label}, {kind}", narrow[column], control=control, **about))
    assert all(row.right for row in rows), rows


def two_groups(seed, *, forms, n_items=60):
    """Truth and answers of a weak and a strong group, on the scale of all; of two forms each group is asked one."""
    rng = np.random.default_rng([seed, 7])
    group = np.repeat([0, 1], GROUP_SIZE)
    ability = GROUP_MEANS[group] + GROUP_SDS[group] * rng.normal(size=len(group))
    ability = (ability - GROUP_MEANS.mean()) / np.sqrt((GROUP_SDS**2).mean() + GROUP_MEANS.var())
    truth = {
        "ability": ability,
        "difficulty": rng.normal(size=n_items),
        "discrimination": np.exp(rng.normal(0.3, 0.4, n_items)),
    }
    chance = 1 / (1 + np.exp(-truth["discrimination"] * (ability[:, None] - truth["difficulty"])))
    responses = (rng.random(chance.shape) < chance).astype(np.int8)
    if forms:
        third = n_items // 3
        responses[group == 0, :third] = responses[group == 1, n_items - third :] = MISSING
    return truth, responses, group


@pytest.mark.slow
def test_two_groups_are_covered_where_all_items_are_asked_and_caught_where_each_has_a_form(record_coverage):
    """One normal population for two: answers to all items outweigh it, and forms with a third in common do not.

    There the groups are drawn towards each other, which the check `missing_pattern` reports in every data set.
    """
    rows, failed = [], {}
    for forms, what in ((False, "all items asked"), (True, "two forms, a third in common")):
        found, failed[forms] = [], 0
        for seed in range(1, N_GROUPED + 1):
            truth, responses, group = two_groups(seed, forms=forms)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fitted = fit(counts_of(responses), TwoPL(), LaplaceSettings(seed=seed, refine=False))
            draws = draws_of(fitted)
            apart = [ability[..., group == 1].mean(-1) - ability[..., group == 0].mean(-1)
                     for ability in (draws["ability"], truth["ability"])]  # fmt: skip
            low, high = np.quantile(apart[0], (0.05, 0.95))
            found.append(measures(truth, draws) | {"group difference": float(low <= apart[1] <= high)})
            failed[forms] += sum(
                check.name == "missing_pattern" and check.status == "failed" for check in fitted.checks
            )
        table = pd.DataFrame(found)
        about = {"seeds": f"1-{N_GROUPED}", "limits": (0.85, 0.95)}
        label = f"2 groups of 60, means 1.5 apart, sds .7 and 1, 60 items, {what}"
        rows += [record_coverage(name, label, table[f"relative_coverage_{name}"], **about) for name in PARAMETERS]
        control = "groups taken as one population" if forms else ""
        about["limits"] = (0.8, 1.0)
        rows.append(record_coverage("group difference", label, table["group difference"], control=control, **about))
    assert all(row.right for row in rows), rows
    assert failed == {False: 0, True: N_GROUPED}
