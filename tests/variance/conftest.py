"""What simulations of variance components are judged by."""

import numpy as np
import pytest

from irt_bench.variance.small_sample import quantiles


@pytest.fixture
def record_components(record_coverage):
    """Record the coverage of every component, or of those named."""

    def record(design, truth, label, *, only=None, **about):
        lower, upper = quantiles(design.draws(np.random.default_rng(0)))
        covered = (lower <= truth) & (truth <= upper)
        return [
            record_coverage("components", f"{label}: {name}", column, limits=(0.85, 0.95), **about)
            for name, column in zip(design.components, covered.T, strict=True)
            if only is None or name in only
        ]

    return record


@pytest.fixture(scope="session")
def bias():
    """Give the t of every component's mean estimate: how many standard errors it is from the truth."""

    def t(design, truth):
        return (design.estimates.mean(0) - truth) / (design.estimates.std(0) / np.sqrt(len(design.estimates)))

    return t
