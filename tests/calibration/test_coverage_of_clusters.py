"""Items and expected scores where models come in families or are near-copies, with what a fit can do about it."""

import warnings

import numpy as np
import pandas as pd
import pytest
from matrices import counts_of
from related import covered, families, near_copies

from irt_bench import LaplaceSettings, TwoPL, fit

N_DATA_SETS = 12
LIMITS = (0.86, 0.94)
DESIGNS = {
    "no families, 15 labels": (lambda seed: families(seed, sd=0.0), {}, (0.87, 0.93)),
    "15 families, sd .5": (lambda seed: families(seed, sd=0.5), {}, LIMITS),
    "15 families, sd 1": (lambda seed: families(seed, sd=1.0), {}, LIMITS),
    "15 families, sd 1, half the variance of ability": (
        lambda seed: families(seed, sd=1.0, ability_share=0.5), {}, LIMITS,
    ),
    "30% near-copies": (lambda seed: near_copies(seed, share=0.3), {}, LIMITS),
    "30% near-copies, counted once": (lambda seed: near_copies(seed, share=0.3), {"copies": "once"}, LIMITS),
    "60% near-copies, counted once": (lambda seed: near_copies(seed, share=0.6), {"copies": "once"}, (0.85, 0.94)),
    "30% near-copies of one, counted once": (
        lambda seed: near_copies(seed, share=0.3, of_one=True), {"copies": "once"}, (0.85, 0.94),
    ),
}  # fmt: skip
# Ordinary intervals of the same data must be told from 90%: of what, by design.
CAUGHT = {
    "15 families, sd 1": ["difficulty"],
    "30% near-copies": ["difficulty", "discrimination"],
    "60% near-copies, counted once": ["difficulty", "discrimination"],
    "30% near-copies of one, counted once": ["difficulty", "discrimination", "expected score"],
}


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_intervals_hold_with_related_models_and_ordinary_ones_do_not(design, record_coverage):
    """The fast method unrefined: what is tested is what clusters do to it. For the truths see `related`."""
    make, options, limits = DESIGNS[design]
    robust, ordinary = [], []
    for seed in range(1, N_DATA_SETS + 1):
        truth = make(seed)
        settings = LaplaceSettings(seed=seed, refine=False)
        asked = options or {"model_clusters": truth.cluster}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            robust.append(covered(fit(counts_of(truth.correct), TwoPL(), settings, **asked).posterior, truth))
            if design in CAUGHT:
                plain = fit(counts_of(truth.correct), TwoPL(), settings, model_clusters=False)
                ordinary.append(covered(plain.posterior, truth))
    about = {"seeds": f"1-{N_DATA_SETS}", "limits": limits}
    table, plain = pd.DataFrame(robust), pd.DataFrame(ordinary)
    rows = [record_coverage(name, f"150x300, {design}", table[name], **about) for name in table]
    rows += [
        record_coverage(name, f"150x300, {design}", plain[name], control="models taken as independent", **about)
        for name in CAUGHT.get(design, [])
    ]
    assert all(row.right for row in rows), rows
    assert np.isfinite([row.coverage for row in rows]).all()
