import math

import pytest

from irt_bench.subsets.subset import CalibrationRecord, EstimatorParameters, SubsetItem, UnseenItems


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ability": (1, 0)}, "do not increase"),
        ({"score": (0,)}, "lengths"),
        ({"score_sd": (0, -1)}, "greater than or equal to 0"),
        ({"score": (0, math.nan)}, "finite"),
    ],
)
def test_curves_that_contradict_themselves_are_refused(changes, reason):
    curves = {"ability": (0, 1), "score": (0, 0), "score_sd": (0, 0), "answer_variance": (0, 0)}
    UnseenItems(**curves)
    with pytest.raises(ValueError, match=reason):
        UnseenItems(**curves | changes)


def test_items_and_numbers_take_nothing_unknown_and_do_not_change():
    item = SubsetItem(
        id="i", weight=1, target_weight=0.1, difficulty=0, difficulty_sd=0.1, discrimination=1, discrimination_sd=0.1,
        mean=0.5, subtask="toy",
    )  # fmt: skip
    with pytest.raises(ValueError, match="frozen"):
        item.weight = 2.0
    with pytest.raises(ValueError, match="Extra inputs"):
        EstimatorParameters(misfit_sd=0, interval_scale=1, code="print()")
    with pytest.raises(ValueError, match="less than or equal to 1"):
        SubsetItem(**item.model_dump() | {"target_weight": 1.5})


def test_a_calibration_rests_on_models():
    with pytest.raises(ValueError, match="n_models"):
        CalibrationRecord(
            fingerprint="x", n_models=0, n_clusters=1, irt_model="2pl", inference="laplace", ability_range=(0, 1)
        )
