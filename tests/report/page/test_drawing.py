import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from irt_bench.report.figures.canvas import BLUE, new_figure, styled, with_texts
from irt_bench.report.page.blocks import COLOURS, draw, inline_svg

HOSTILE = "<script>#0072b2</script> --> &"


@styled
def labelled() -> Figure:
    figure = new_figure(2.0, "A finding")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=BLUE, marker="o")
    axes.set_title(HOSTILE)
    return figure


def test_colours_are_in_the_form_that_the_page_restyles_and_texts_stay():
    text = inline_svg(labelled(), "a-")
    assert BLUE.lower() in COLOURS and f"stroke: {BLUE.lower()}" in text
    drawn = ElementTree.fromstring(text)  # noqa: S314 - drawn by this test
    title = next(each for each in drawn.iter("text") if "-->" in each.text)
    assert title.text == HOSTILE


def test_nothing_outside_is_named():
    text = inline_svg(labelled(), "a-")
    assert "http" not in text and "<style" not in text


def test_ids_begin_with_the_prefix_and_references_find_them():
    text = inline_svg(labelled(), "a-")
    ids = set(re.findall(r' id="([^"]*)"', text))
    assert ids and all(each.startswith("a-") for each in ids)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) | set(re.findall(r'href="#([^"]*)"', text)) <= ids


@styled
def cloud() -> Figure:
    figure = new_figure(2.0, "Many points")
    figure.subplots().scatter(range(5), range(5), rasterized=True)
    return figure


def test_points_drawn_as_pixels_lie_in_the_file():
    text = inline_svg(cloud(), "a-")
    assert re.findall(r'<image [^>]*href="([^"]{10})', text) == ["data:image"]


def test_a_drawing_is_wide_and_narrow_without_title():
    drawing = draw(labelled, "name")
    width = [float(re.search(r'viewBox="0 0 ([\d.]+)', each)[1]) for each in drawing]
    assert width[0] > 500 > 300 > width[1]
    assert "A finding" not in drawing.wide + drawing.narrow


def test_the_same_figure_gives_the_same_text():
    assert draw(labelled, "name") == draw(labelled, "name")


@styled
def told(places, texts) -> Figure:
    figure = new_figure(2.0, "Points with texts")
    with_texts(figure.subplots().scatter(places, places), texts)
    return figure


def test_each_point_has_its_text_and_none_where_one_was_not_drawn():
    drawn = ElementTree.fromstring(inline_svg(told([0, 1, 2], ["a", HOSTILE, "c"]), "a-"))  # noqa: S314
    assert [each.text for each in drawn.iter("title")] == ["a", HOSTILE, "c"]
    lost = inline_svg(told([0, float("nan"), 2], ["a", "b", "c"]), "a-")
    assert "<title>" not in lost
