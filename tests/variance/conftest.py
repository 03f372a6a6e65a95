"""What simulations of variance components are judged by."""

import numpy as np
import pytest


def print_coverage(label, design, t, covered):
    each = zip(design.components, t, covered, strict=True)
    print(f"{label}:", ", ".join(f"{name} t {one:.1f} covered {share:.3f}" for name, one, share in each))


@pytest.fixture(scope="session", name="print_coverage")
def _print_coverage():
    """Print bias and coverage of each component."""
    return print_coverage


@pytest.fixture(scope="session")
def unbiased_coverage():
    """Coverage of every component, after a check that none is biased."""

    def check(design, truth, label):
        t = (design.estimates.mean(0) - truth) / (design.estimates.std(0) / np.sqrt(len(design.estimates)))
        assert np.abs(t).max() < 4
        found = design.intervals(np.random.default_rng(0))
        covered = ((found.lower <= truth) & (truth <= found.upper)).mean(axis=0)
        print_coverage(label, design, t, covered)
        return covered

    return check
