"""Abilities and items of the fast method at the sizes of benchmarks, raw and on the scale of the abilities."""

import warnings
from argparse import Namespace

import pandas as pd
import pytest
from accuracy import PARAMETERS
from interval_coverage import data_set, draws_of, measures
from matrices import counts_of

from irt_bench.inference.fit import fit
from irt_bench.inference.settings import settings_for
from irt_bench.irt_models.logistic import TwoPL

N_DATA_SETS = {"S": 20, "400x500": 20, "M": 60}  # the last err most in what all abilities share, one error a data set
SCARCE = [("few", 0.0, "few models, 12x300"), ("sparse", 0.8125, "sparse, 250x80, 15 answers a model")]
N_SCARCE = 24
NARROW = 0.6  # of the sd: a coverage of 68%
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
        draws = draws_of(fit(counts_of(matrix.responses), TwoPL(), settings_for("laplace", seed=seed)))
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
