import pytest

from irt_bench.errors import ReadError
from irt_bench.responses.formats.format import ReadOptions, constant, first_words, parse_choice


def choose(options, candidates, benchmark="t", group=""):
    return options.choose("metric", candidates, benchmark=benchmark, group=group, where=f"task {benchmark!r}")


def test_a_single_candidate_needs_no_choice_and_ignores_one_for_all_benchmarks():
    assert choose(ReadOptions(metric="b"), ["a"]) == "a"


def test_a_choice_for_a_benchmark_must_be_among_its_candidates():
    with pytest.raises(ReadError, match="task 't': metric 'b' is not known"):
        choose(ReadOptions(metric={"t": "b"}), ["a"])
    assert choose(ReadOptions(metric={"": "b"}), ["a"]) == "a"


def test_the_choice_is_returned():
    assert choose(ReadOptions(metric="b"), ["a", "b"]) == "b"


@pytest.mark.parametrize(
    ("benchmark", "group", "expected"),
    [("arc", "", "a"), ("mmlu_law", "", "b"), ("x", "all/suite", "c"), ("y", "", "d")],
)
def test_choices_per_benchmark_pattern_group_and_for_all_others(benchmark, group, expected):
    options = ReadOptions(metric=parse_choice("d,arc=a,mmlu_*=b,suite=c"))
    assert choose(options, ["a", "b", "c", "d"], benchmark, group) == expected


@pytest.mark.parametrize("text", ["arc=", "=a", "a,b=c,d", "arc=a,arc=b"])
def test_a_choice_per_benchmark_that_is_none_is_refused(text):
    with pytest.raises(ReadError, match="is no choice per benchmark"):
        parse_choice(text)


def test_several_candidates_without_a_choice_are_listed():
    with pytest.raises(ReadError, match="task 't' has several metrics: a, b; choose one: metric='NAME', or metric='t="):
        choose(ReadOptions(), {"b": 1, "a": 1})


def test_nothing_has_to_be_chosen_for_benchmarks_that_are_not_wanted_or_only_listed():
    assert choose(ReadOptions(benchmarks=("other",)), ["a", "b"]) == "a"
    listed = []
    assert choose(ReadOptions(listed=listed), ["a", "b"]) == "a"
    assert listed == [("metric", "t", ("a", "b"), None)]


def test_a_constant_column_holds_one_text():
    assert list(constant("x", 3)) == ["x", "x", "x"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("  What\n is\x00 it? ", "What is it?"),
        ("word " * 40, ("word " * 16).strip()),
        ("x" * 200, "x" * 80),
        ([{"role": "system", "content": "s"}, {"role": "user", "content": [{"text": "Why?"}]}], "Why?"),
        ({"id": 3, "question": {"stem": 1}, "query": "Where?"}, "Where?"),
        ({"id": 3}, None),
        ([[[[[["too deep"]]]]]], None),
        (7, None),
    ],
)
def test_first_words_of_texts_messages_and_documents(content, words):
    assert first_words(content) == words
