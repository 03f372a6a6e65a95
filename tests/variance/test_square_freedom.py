import numpy as np

from irt_bench.variance.small_sample import spread_freedom


def test_normal_squares_have_about_the_degrees_of_freedom_that_counting_gives():
    squares = np.random.default_rng(0).normal(size=(200, 100, 4)) ** 2  # 4 degrees of freedom an item
    found = np.median(spread_freedom(squares.sum(axis=-1), None))
    assert 0.75 * 400 < found < 1.1 * 400


def test_items_that_move_together_leave_as_few_degrees_of_freedom_as_there_are_groups():
    groups = np.repeat(np.arange(20), 10)
    squares = np.random.default_rng(1).chisquare(4, size=(200, 20))[:, groups]  # ten copies of each
    together, apart = (np.median(spread_freedom(squares, each)) for each in (groups, None))
    assert together < 100 < 500 < apart  # the control: taken as independent, they seem ten times as sure


def test_a_square_without_spread_is_as_certain_as_its_items_are_many_and_not_more():
    assert spread_freedom(np.ones(30), None) == 29
