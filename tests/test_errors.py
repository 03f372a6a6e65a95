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


@pytest.mark.parametrize("value", [0, 11, float("nan"), float("inf"), -1])
def test_a_number_out_of_its_range_is_told_with_the_range(value):
    with pytest.raises(errors.SubsetError, match=r"^n is .*; a number from 1 to 10 is needed\.$"):
        errors.check_range(errors.SubsetError, "n", value, 1, 10)
    errors.check_range(errors.SubsetError, "n", 10, 1, 10)


@pytest.mark.parametrize("jobs", [0, -2, 10**9])
def test_jobs_are_one_per_processor_or_a_number_that_a_machine_has(jobs):
    with pytest.raises(errors.AnalysisError, match="-1 \\(one per processor\\)"):
        errors.check_jobs(errors.AnalysisError, jobs)
    errors.check_jobs(errors.AnalysisError, -1)
