import numpy as np
import pandas as pd

from irt_bench.report.figures.model_figures import BEST, MAX_MODELS, ranks_figure, shown_models


def models(n, both=True):
    rank = np.arange(n, 0, -1.0)
    frame = pd.DataFrame(
        {"rank": rank, "rank_q05": rank - 1, "rank_q95": rank + 1, "p_first_abler": 0.9},
        index=[f"m{k}" for k in range(n)],
    )
    return frame.assign(**{f"accuracy_{name}": frame[name] for name in frame}) if both else frame


def test_models_stand_in_their_order_with_both_ranks():
    axes = ranks_figure(models(5)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["m4", "m3", "m2", "m1", "m0"]
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"by ability", "by accuracy"}


def test_without_accuracy_there_is_one_mark_a_model():
    figure = ranks_figure(models(5, both=False))
    axes = figure.axes[0]
    assert figure.get_suptitle() == "Ranks by ability, 90% intervals"
    assert len(axes.collections) == 3  # intervals, marks, and those that are hollow


def test_of_many_models_the_best_and_some_others_are_drawn():
    shown = shown_models(5000)
    assert len(shown) == MAX_MODELS and shown[-1] == 4999
    np.testing.assert_array_equal(shown[:BEST], range(BEST))
    assert (np.diff(shown) > 0).all()
    assert len(ranks_figure(models(300)).axes[0].get_yticks()) == MAX_MODELS
