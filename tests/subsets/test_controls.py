from functools import partial

import numpy as np
import pytest

from irt_bench.errors import SubsetError
from irt_bench.responses.labels import model_clusters
from irt_bench.subsets import calibration
from irt_bench.subsets.basis import SelectionBasis
from irt_bench.subsets.compare import ComparisonDesign, negative_control, shuffled
from irt_bench.subsets.select import select


def test_shuffling_keeps_scores_of_models_or_of_items(toy):
    rng = np.random.default_rng(0)
    by_model, by_item = shuffled(toy.counts, "models", rng), shuffled(toy.counts, "items", rng)
    assert (by_model.correct.sum(axis=1) == toy.counts.correct.sum(axis=1)).all()
    assert (by_item.correct.sum(axis=0) == toy.counts.correct.sum(axis=0)).all()
    assert (by_model.correct.sum(axis=0) != toy.counts.correct.sum(axis=0)).any()
    with pytest.raises(SubsetError, match="models"):
        shuffled(toy.counts, "rows", rng)


def test_no_method_beats_random_when_the_answers_say_nothing_and_one_that_peeks_is_caught(toy, plan, monkeypatch):
    methods = (("random", "equal"), ("difficulty", "equal"), ("variance", "equal"), ("anchors", "anchor"))
    design = ComparisonDesign(plan, (12,), methods, n_random=40, n_folds=2)
    monkeypatch.setattr(calibration, "fit_posterior", toy.posterior)
    clusters = model_clusters(toy.counts)
    table = negative_control(toy.counts, clusters, design, "models")
    weighted = table[table["estimator"] == "weighted"]
    assert weighted["p_holm"].min() > 0.05
    # Negative control of the control: items chosen with the true answers, the held-out models' among them.
    everything = SelectionBasis(toy.counts, toy.posterior(toy.counts))
    peeking = partial(select, everything, "variance", 12, np.random.default_rng(0))
    monkeypatch.setattr("irt_bench.subsets.compare.chosen_items", lambda basis, recipe: peeking())
    caught = negative_control(toy.counts, clusters, design._replace(methods=methods[:1]), "models")
    assert caught.loc[caught["estimator"] == "weighted", "p_holm"].min() < 0.05
