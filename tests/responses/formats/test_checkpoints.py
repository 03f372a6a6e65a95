import pytest

from irt_bench.responses.formats.format import checkpoint_of, revision_in


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        ("step1000", (1000, None)),
        ("global_step143000", (143000, None)),
        ("checkpoint-500", (500, None)),
        ("stage1-step1000-tokens5B", (1000, "stage1-step1000-tokens5B")),
        ("main", (None, None)),
        (None, (None, None)),
        ("0a1b2c", (None, "0a1b2c")),
        ("v1.5", (None, "v1.5")),
    ],
)
def test_revisions_are_steps_names_or_nothing(revision, expected):
    assert checkpoint_of(revision) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        {"pretrained": "a", "revision": "step5"},
        "pretrained=a,revision=step5,dtype=auto",
        "{'pretrained': 'a', 'revision': 'step5'}",
        '{"revision": "step5"}',
    ],
)
def test_a_revision_is_found_in_every_way_arguments_are_written(arguments):
    assert revision_in(arguments) == "step5"


@pytest.mark.parametrize("arguments", [{}, "pretrained=a", None, "tokenizer_revision=x", 3])
def test_no_revision_is_none(arguments):
    assert revision_in(arguments) is None
