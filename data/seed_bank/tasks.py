"""Sixteen synthetic tasks: what the models of the seed bank learn and are asked.

An example has a prompt of at most nine tokens, two or four choices of one or two tokens, and the place of the right
one. It is shown in one of two framings:

completion
    ``[task] prompt = answer``: the answer's tokens follow the prompt.
choice
    ``[task] prompt ? first second third fourth = answer``: the choices are listed before the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PROMPT_LENGTH: Final = 9
MAX_CHOICES: Final = 4
ANSWER_LENGTH: Final = 2

DIGITS: Final = [str(digit) for digit in range(10)]
LETTERS: Final = list("abcdefghijklmnop")
NOUNS: Final = [f"noun{number}{ending}" for number in range(8) for ending in ("", "s")]  # singular, plural, ...
VERBS: Final = [f"verb{number}{ending}" for number in range(4) for ending in ("s", "")]  # singular, plural, ...
SIGNS: Final = ["pad", "=", "?", "yes", "no", "(", ")", "[", "]", "of", "near"]
PAD: Final = -1
REPEATED_LENGTH: Final = 21


class Examples(NamedTuple):
    """Examples of one task, as tokens."""

    prompt: Array
    """int, (example, PROMPT_LENGTH), PAD at the end."""

    choices: Array
    """int, (example, MAX_CHOICES, ANSWER_LENGTH), PAD where there is none."""

    gold: Array
    """int, (example,): the place of the right choice."""


Maker = Callable[[np.random.Generator, int], Examples]


def add(rng: np.random.Generator, n: int) -> Examples:
    """Sum of two numbers below 50."""
    first, second = rng.integers(0, 50, (2, n))
    return _of_numbers(rng, [first, second], first + second)


def subtract(rng: np.random.Generator, n: int) -> Examples:
    """Larger number below 100 less a smaller one."""
    pair = np.sort(rng.integers(0, 100, (2, n)), axis=0)
    return _of_numbers(rng, [pair[1], pair[0]], pair[1] - pair[0])


def progression(rng: np.random.Generator, n: int) -> Examples:
    """Fourth term of an arithmetic progression modulo 100."""
    start, step = rng.integers(0, 100, n), rng.integers(1, 50, n)
    terms = [(start + place * step) % 100 for place in range(4)]
    return _of_numbers(rng, terms[:3], terms[3])


def compare(rng: np.random.Generator, n: int) -> Examples:
    """Larger of two different numbers below 100."""
    first = rng.integers(0, 100, n)
    second = (first + rng.integers(1, 100, n)) % 100
    prompt = np.concatenate([_two_digits(first), _two_digits(second)], axis=1)
    answers = np.stack([_two_digits(np.maximum(first, second)), _two_digits(np.minimum(first, second))], axis=1)
    return _shuffled(rng, prompt, answers)


def modular_sum(rng: np.random.Generator, n: int) -> Examples:
    """Sum of two to four digits modulo 10."""
    digits = rng.integers(0, 10, (n, 4))
    unused = np.arange(4) >= rng.integers(2, 5, (n, 1))
    total = np.where(unused, 0, digits).sum(axis=1) % 10
    return _shuffled(rng, np.where(unused, PAD, digits), _with_others(rng, total, 10))


def count(rng: np.random.Generator, n: int) -> Examples:
    """How often the first letter occurs among the eight that follow."""
    letters = rng.integers(0, 4, (n, 9))
    total = (letters[:, 1:] == letters[:, :1]).sum(axis=1)
    return _shuffled(rng, letters + LETTER, _with_others(rng, total, 9))


def majority(rng: np.random.Generator, n: int) -> Examples:
    """Letter that occurs most often among nine."""
    letters = _kept(rng, n, lambda size: rng.integers(0, 4, (size, 9)), _has_one_mode)
    counts = (letters[:, :, None] == np.arange(4)).sum(axis=1)
    return _shuffled(rng, letters + LETTER, _with_others(rng, counts.argmax(axis=1), 4) + LETTER)


def maximum(rng: np.random.Generator, n: int) -> Examples:
    """Largest of nine digits."""
    digits = rng.integers(0, rng.integers(5, 11, (n, 1)), (n, 9))
    return _shuffled(rng, digits, _with_others(rng, digits.max(axis=1), 10))


def sort(rng: np.random.Generator, n: int) -> Examples:
    """Two smallest of three to seven different digits, in order."""
    digits = rng.permuted(np.broadcast_to(np.arange(10), (n, 10)), axis=1)[:, :7]
    unused = np.arange(7) >= rng.integers(3, 8, (n, 1))
    ordered = np.sort(np.where(unused, 99, digits), axis=1)
    pairs = np.array([[0, 1], [1, 0], [0, 2], [1, 2]])
    return _shuffled(rng, np.where(unused, PAD, digits), ordered[:, pairs])


def reverse(rng: np.random.Generator, n: int) -> Examples:
    """First two letters of a reversed string of four to nine different letters."""
    letters = rng.permuted(np.broadcast_to(np.arange(16), (n, 16)), axis=1)[:, :9] + LETTER
    length = rng.integers(4, 10, n)
    pairs = np.array([[1, 2], [2, 1], [1, 3], [2, 3]])
    answers = letters[np.arange(n)[:, None, None], length[:, None, None] - pairs]
    return _shuffled(rng, np.where(np.arange(9) >= length[:, None], PAD, letters), answers)


def pick(rng: np.random.Generator, n: int) -> Examples:
    """Letter at a given place of a string of two to eight different letters."""
    letters = rng.permuted(np.broadcast_to(np.arange(16), (n, 16)), axis=1) + LETTER
    length = rng.integers(2, 9, (n, 1))
    place = rng.integers(0, length)
    others = rng.permuted(np.broadcast_to(np.arange(1, 8), (n, 7)), axis=1)[:, : MAX_CHOICES - 1]
    answers = np.take_along_axis(letters, np.concatenate([place, (place + others) % 8], axis=1), axis=1)
    string = np.where(np.arange(8) >= length, PAD, letters[:, :8])
    return _shuffled(rng, np.concatenate([place, string], axis=1), answers[:, :, None])


def lookup(rng: np.random.Generator, n: int) -> Examples:
    """Value of a key, named first, among one to four pairs."""
    letters = rng.permuted(np.broadcast_to(np.arange(16), (n, 16)), axis=1)[:, :8] + LETTER
    pairs = rng.integers(1, 5, (n, 1))
    place = rng.integers(0, pairs)
    order = np.concatenate([place, (place + [1, 2, 3]) % 4], axis=1)
    answers = np.take_along_axis(letters[:, 1::2], order, axis=1)
    asked = np.take_along_axis(letters[:, ::2], place, axis=1)
    shown = np.where(np.arange(8) >= 2 * pairs, PAD, letters)
    return _shuffled(rng, np.concatenate([asked, shown], axis=1), answers[:, :, None])


def two_hop(rng: np.random.Generator, n: int) -> Examples:
    """Value of the value of a key, named first, among two to four pairs."""
    letters = rng.permuted(np.broadcast_to(np.arange(16), (n, 16)), axis=1)[:, :6] + LETTER
    key, bridge, value, other, more, last = letters.T
    pairs = np.stack([[key, bridge], [bridge, value], [other, more], [more, last]], axis=0).transpose(2, 0, 1)
    pairs = np.where(np.arange(4)[:, None] >= rng.integers(2, 5, (n, 1, 1)), PAD, pairs)
    order = np.argsort(rng.random((n, 4)) + 2 * (pairs[:, :, 0] == PAD), axis=1)
    shown = np.take_along_axis(pairs, order[:, :, None], axis=1).reshape(n, 8)
    answers = np.stack([value, bridge, more, last], axis=1)
    return _shuffled(rng, np.concatenate([key[:, None], shown], axis=1), answers[:, :, None])


def brackets(rng: np.random.Generator, n: int) -> Examples:
    """Whether two kinds of brackets among letters are balanced: yes or no."""
    opened, steps = np.zeros((n, 4), dtype=int), []
    depth, left = np.zeros(n, dtype=int), rng.integers(2, 10, n)
    for place in range(PROMPT_LENGTH):
        remaining = np.maximum(left - place, 0)
        act = rng.random(n)
        opens = (act < 0.45) & (depth + 2 <= remaining) & (depth < 4)
        closes = ~opens & (depth > 0) & ((act < 0.9) | (depth >= remaining)) & (remaining > 0)
        kind = rng.integers(0, 2, n)
        opened[opens, depth[opens]] = kind[opens]
        depth[closes] -= 1
        closing = opened[np.arange(n), depth % 4]
        depth[opens] += 1
        filler = np.where(remaining > 0, rng.integers(0, 4, n) + LETTER, PAD)
        steps.append(np.where(opens, OPEN + 2 * kind, np.where(closes, OPEN + 1 + 2 * closing, filler)))
    prompt = np.stack(steps, axis=1)
    broken = rng.random(n) < 0.5
    for _ in range(2):  # up to two brackets become others
        hit = np.argmax((prompt >= OPEN) + rng.random(prompt.shape), axis=1)
        changed = OPEN + (prompt[np.arange(n), hit] - OPEN + rng.integers(1, 4, n)) % 4
        prompt[broken, hit[broken]] = changed[broken]
    answers = np.where(_balanced(prompt)[:, None], [YES, NO], [NO, YES])
    return _shuffled(rng, prompt, answers[:, :, None])


def agreement(rng: np.random.Generator, n: int) -> Examples:
    """Verb that agrees with the first of one to four nouns in number."""
    nouns = rng.integers(0, 16, (n, 4))
    between = rng.integers(OF, OF + 2, (n, 3))
    words = np.stack([nouns[:, :3] + NOUN, between], axis=2).reshape(n, 6)
    words = np.concatenate([words, nouns[:, 3:] + NOUN], axis=1)
    unused = np.arange(7) >= 2 * rng.integers(1, 5, (n, 1)) - 1
    verb = 2 * rng.integers(0, 4, n)
    prompt = np.concatenate([VERB + verb[:, None], np.where(unused, PAD, words)], axis=1)
    number = nouns[:, 0] % 2
    answers = VERB + verb[:, None] + np.stack([number, 1 - number], axis=1)
    return _shuffled(rng, prompt, answers[:, :, None])


def facts(rng: np.random.Generator, n: int) -> Examples:
    """One of 512 fixed facts: a letter for two letters and a digit; some facts come up far more often than others."""
    table = np.random.default_rng(512).integers(0, 16, 512)
    rarity = np.random.default_rng(513).permutation(512) + 8.0
    which = rng.choice(512, n, p=(1 / rarity) / (1 / rarity).sum())
    prompt = np.stack([which // 256, LETTER + which // 16 % 16, LETTER + which % 16], axis=1)
    return _shuffled(rng, prompt, LETTER + _with_others(rng, table[which], 16))


MAKERS: Final[dict[str, Maker]] = {
    maker.__name__: maker
    for maker in (
        add, subtract, progression, compare, modular_sum, count, majority, maximum,
        sort, reverse, pick, lookup, two_hop, brackets, agreement, facts,
    )
}  # fmt: skip
TASKS: Final = tuple(MAKERS)
MEMORISED: Final = frozenset({"facts"})  # asked as trained; of the other tasks, no item is ever trained on
VOCABULARY: Final = DIGITS + LETTERS + NOUNS + VERBS + SIGNS + [f"[{task}]" for task in TASKS]
LETTER: Final = VOCABULARY.index("a")
NOUN: Final = VOCABULARY.index("noun0")
VERB: Final = VOCABULARY.index("verb0s")
OPEN: Final = VOCABULARY.index("(")
OF: Final = VOCABULARY.index("of")
YES, NO = VOCABULARY.index("yes"), VOCABULARY.index("no")
BLANK, EQUALS, QUESTION, FIRST_TASK = (VOCABULARY.index(sign) for sign in ("pad", "=", "?", "[add]"))


def completion_tokens(tasks: Array, examples: Examples) -> tuple[Array, Array]:
    """Prompts up to the equals sign, (example, 11), and the choices' tokens, (example, choice, 2)."""
    ends = np.full((len(tasks), 1), EQUALS)
    tokens = np.concatenate([FIRST_TASK + tasks[:, None], examples.prompt, ends], axis=1)
    return _blanks(tokens), _blanks(examples.choices)


def choice_tokens(tasks: Array, examples: Examples) -> tuple[Array, Array]:
    """Prompts followed by the listed choices, up to the equals sign, (example, 20), and the choices' tokens."""
    n = len(tasks)
    start = [FIRST_TASK + tasks[:, None], examples.prompt, np.full((n, 1), QUESTION)]
    tokens = np.concatenate([*start, examples.choices.reshape(n, -1), np.full((n, 1), EQUALS)], axis=1)
    return _blanks(tokens), _blanks(examples.choices)


def repeated_letters(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    """Random letters repeated with a period of 3 to 10, (example, 21), and whether each repeats an earlier one."""
    period = rng.integers(3, 11, (n, 1))
    letters = rng.permuted(np.broadcast_to(np.arange(16), (n, 16)), axis=1) + LETTER
    place = np.arange(REPEATED_LENGTH)
    return np.take_along_axis(letters, place % period, axis=1), place > period


def mixture(rng: np.random.Generator, n: int, shares: Array) -> tuple[Array, Examples]:
    """Task of each of n examples, drawn by its share, and the examples, in random order."""
    tasks = np.sort(rng.choice(len(TASKS), n, p=shares))
    made = [MAKERS[task](rng, int((tasks == number).sum())) for number, task in enumerate(TASKS)]
    order = rng.permutation(n)
    examples = Examples(*(np.concatenate(parts)[order] for parts in zip(*made, strict=True)))
    return tasks[order], examples


def make_items(n_per_task: int, seed: int) -> tuple[Array, Examples]:
    """Different items of each task, in the order of the tasks."""
    kept = []
    for number, maker in enumerate(MAKERS.values()):
        examples = maker(np.random.default_rng([seed, number]), 8 * n_per_task)
        _, first = np.unique(keys(np.full(len(examples.gold), number), examples), return_index=True)
        chosen = np.sort(first)[:n_per_task]
        if len(chosen) < n_per_task:
            raise ValueError(f"task {TASKS[number]!r} has too few different prompts for {n_per_task} items")
        kept.append(Examples(*(part[chosen] for part in examples)))
    tasks = np.repeat(np.arange(len(TASKS)), n_per_task)
    return tasks, Examples(*(np.concatenate(parts) for parts in zip(*kept, strict=True)))


def keys(tasks: Array, examples: Examples) -> Array:
    """One number for each task and prompt: equal where these are equal."""
    tokens = np.concatenate([tasks[:, None], examples.prompt + 1], axis=1).astype(np.uint64)
    powers = np.uint64(len(VOCABULARY) + 1) ** np.arange(tokens.shape[1], dtype=np.uint64)
    return np.asarray((tokens * powers).sum(axis=1, dtype=np.uint64))


def _of_numbers(rng: np.random.Generator, given: list[Array], answer: Array) -> Examples:
    """Numbers of two digits, and an answer beside three near ones: one off, ten off, a random one."""
    steps = np.array([1, 99, 10, 90, 11, 89, 9, 91])
    others = rng.permuted(np.broadcast_to(steps, (len(answer), len(steps))), axis=1)[:, : MAX_CHOICES - 1]
    numbers = np.concatenate([answer[:, None], (answer[:, None] + others) % 100], axis=1)
    prompt = np.concatenate([_two_digits(number) for number in given], axis=1)
    return _shuffled(rng, prompt, _two_digits(numbers))


def _two_digits(number: Array) -> Array:
    return np.stack([number // 10, number % 10], axis=-1)


def _with_others(rng: np.random.Generator, answer: Array, n_values: int) -> Array:
    """Answer and three other values below ``n_values``, as choices of one token."""
    others = rng.permuted(np.broadcast_to(np.arange(1, n_values), (len(answer), n_values - 1)), axis=1)
    steps = np.concatenate([np.zeros((len(answer), 1), dtype=int), others[:, : MAX_CHOICES - 1]], axis=1)
    return np.asarray(((answer[:, None] + steps) % n_values)[:, :, None])


def _shuffled(rng: np.random.Generator, prompt: Array, answers: Array) -> Examples:
    """Examples with the right answer, given first, at a random place, padded to the common shape."""
    n, n_choices, length = answers.shape
    order = rng.permuted(np.broadcast_to(np.arange(n_choices), (n, n_choices)), axis=1)
    choices = np.full((n, MAX_CHOICES, ANSWER_LENGTH), PAD)
    choices[:, :n_choices, :length] = np.take_along_axis(answers, order[:, :, None], axis=1)
    padded = np.full((n, PROMPT_LENGTH), PAD)
    padded[:, : prompt.shape[1]] = prompt
    return Examples(padded, choices, order.argmin(axis=1))


def _balanced(prompt: Array) -> Array:
    """Whether every bracket closes the last one left open, and none is left."""
    n = len(prompt)
    stack, depth, good = np.zeros((n, PROMPT_LENGTH + 2), dtype=int), np.zeros(n, dtype=int), np.ones(n, dtype=bool)
    for sign in prompt.T - OPEN:
        opens, closes = (sign == 0) | (sign == 2), (sign == 1) | (sign == 3)
        stack[opens, depth[opens]] = sign[opens]
        depth += opens.astype(int) - closes.astype(int)
        good &= ~closes | ((depth >= 0) & (stack[np.arange(n), depth] == sign - 1))
        depth = np.maximum(depth, 0)
    return np.asarray(good & (depth == 0))


def _kept(rng: np.random.Generator, n: int, draw: Callable[[int], Array], accept: Callable[[Array], Array]) -> Array:
    """Rejection sampling of exactly n rows."""
    kept = draw(0)
    while len(kept) < n:
        drawn = draw(2 * n + 16)
        kept = np.concatenate([kept, drawn[accept(drawn)]])
    return kept[:n]


def _has_one_mode(letters: Array) -> Array:
    counts = np.sort((letters[:, :, None] == np.arange(4)).sum(axis=1), axis=1)
    return counts[:, -1] > counts[:, -2]


def _blanks(tokens: Array) -> Array:
    return np.where(tokens == PAD, BLANK, tokens)
