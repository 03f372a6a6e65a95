import pytest

from irt_bench import errors


def test_every_error_is_an_irt_bench_error_and_every_warning_a_user_warning():
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and name.endswith("Error"):
            assert issubclass(kind, errors.IrtBenchError)
        if isinstance(kind, type) and name.endswith("Warning"):
            assert issubclass(kind, UserWarning)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nut", "method 'nut' is not known. Did you mean 'nuts'? Choices: nuts, svi."),
        ("xyz", "method 'xyz' is not known. Choices: nuts, svi."),
    ],
)
def test_an_unknown_choice_is_told_with_near_matches_and_the_sorted_choices(value, message):
    assert errors.unknown_choice("method", value, ["svi", "nuts"]) == message


def test_no_choices_and_many_choices_are_told_in_one_line():
    assert errors.unknown_choice("item", "a", []).endswith("Choices: none.")
    assert errors.unknown_choice("item", "!", range(100)).endswith("... (100 in all).")
