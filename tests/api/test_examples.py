"""Every public name has an example, and every example of its docstring and its methods' docstrings runs."""

import doctest
import inspect

import pytest

import irt_bench

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def docstrings():
    """Docstrings with an example, of public names and their public methods; each example once."""
    seen = set()
    for name in irt_bench.__all__:
        thing = getattr(irt_bench, name)
        own = [(name, thing)]
        if inspect.isclass(thing):
            members = inspect.getmembers(thing, lambda each: callable(each) or isinstance(each, property))
            own += [(f"{name}.{member}", value) for member, value in members if not member.startswith("_")]
        for label, value in own:
            text = inspect.getdoc(value) or ""
            code = tuple(each.source for each in doctest.DocTestParser().get_examples(text))
            if code and code not in seen:
                seen.add(code)
                yield label, text


@pytest.mark.parametrize(("name", "text"), [pytest.param(*each, id=each[0]) for each in docstrings()])
def test_examples_run(name, text, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    shown = []
    doctest.DocTestRunner(optionflags=FLAGS).run(example, out=shown.append)
    assert not shown, "".join(shown)


@pytest.mark.parametrize("name", irt_bench.__all__)
def test_every_public_name_has_an_example(name):
    assert ">>>" in (inspect.getdoc(getattr(irt_bench, name)) or "")


def test_an_example_that_is_wrong_is_caught():
    example = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner().run(example, out=lambda _: None).failed == 1
