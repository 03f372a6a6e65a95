import pytest

from irt_bench.errors import SubsetError
from irt_bench.subsets.make import DEFAULT_ESTIMATOR, DEFAULT_METHOD, check_names, default_weights


def test_methods_without_weights_of_their_own_weigh_equally():
    assert default_weights("anchors") == "anchor"
    assert default_weights("variance") == "equal"


def test_the_defaults_are_known_and_other_names_are_refused_before_anything_is_fitted():
    check_names([DEFAULT_METHOD], [default_weights(DEFAULT_METHOD)], [DEFAULT_ESTIMATOR, None])
    for names in ((["ancors"], [], []), ([], ["equl"], []), ([], [], ["p_irtt"])):
        with pytest.raises(SubsetError):
            check_names(*names)
