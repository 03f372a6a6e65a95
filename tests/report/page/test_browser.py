"""The page in a real browser: no errors, nothing asked of the network, sorting and choosing work, a phone is enough."""

import csv
import json
import re
import shutil

import numpy as np
import pytest

from irt_bench import as_counts, item_analysis, write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Open a page file; complaints of the console and requests beyond the file must be none at the end."""
    complaints, pages = [], []

    def opened(path, width=1100, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on(
            "request",
            lambda request: request.url.startswith(("file:", "data:", "blob:")) or complaints.append(request.url),
        )
        page.goto(path.as_uri())
        return page

    yield opened
    for page in pages:
        page.close()
    assert not complaints


@pytest.fixture(scope="module")
def written_page(written):
    return write_report([written], written / "report.html")


def column(page, table, place):
    return page.eval_on_selector_all(
        f"{table} tbody tr td:nth-child({place}) bdi", "cells => cells.map(c => c.textContent)"
    )


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (1100, "dark"), (390, "light"), (390, "dark")])
def test_it_opens_and_never_scrolls_sideways(visit, written_page, width, scheme):
    page = visit(written_page, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = page.locator(".drawing.wide svg" if width > 700 else ".drawing.narrow svg")
    hidden = page.locator(".drawing.narrow svg" if width > 700 else ".drawing.wide svg")
    assert shown.first.is_visible() and not hidden.first.is_visible()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", background)))
    assert (brightness > 600) == (scheme == "light")


@pytest.mark.parametrize(("scheme", "colour"), [("light", "rgb(0, 114, 178)"), ("dark", "rgb(90, 169, 224)")])
def test_figures_take_the_colours_and_letters_of_the_page(visit, written_page, scheme, colour):
    page = visit(written_page, scheme=scheme)
    blue = page.locator('.drawing.wide [style*="fill: #0072b2"]').first
    assert blue.evaluate("element => getComputedStyle(element).fill") == colour
    text = page.locator(".drawing.wide text").first
    assert "DejaVu Sans" not in text.evaluate("element => getComputedStyle(element).fontFamily").split(",")[0]


def test_items_are_sorted_by_a_click_and_back(visit, written_page):
    page = visit(written_page)
    header = page.locator("#item-table th", has_text="share right").locator("button")
    for falling in (False, True):
        header.click()
        values = [float(text) for text in column(page, "#item-table", 2)]
        assert values == sorted(values, reverse=falling) and len(values) == 30
    assert page.locator("#item-table th[aria-sort=descending]").count() == 1


def test_choosing_an_item_draws_its_curve_by_mouse_and_by_key(visit, written_page):
    page = visit(written_page)
    curve = page.locator("#curve-line")
    before = curve.get_attribute("d")
    row = page.locator("#item-table tbody tr").nth(4)
    name = row.locator("bdi").first.text_content()
    row.click()
    assert page.locator("#chosen-name").text_content() == name
    assert row.get_attribute("aria-selected") == "true"
    clicked = curve.get_attribute("d")
    assert clicked != before and "NaN" not in clicked
    page.locator("#item-table tbody tr").nth(6).press("Enter")
    assert curve.get_attribute("d") != clicked


def test_searching_finds_items(visit, written_page):
    page = visit(written_page)
    name = column(page, "#item-table", 1)[7]
    page.fill("#item-search", name.upper())
    assert column(page, "#item-table", 1) == [name]


@pytest.mark.filterwarnings("ignore::irt_bench.errors.UndefinedWarning")
def test_the_table_of_items_leaves_out_what_all_labels_begin_with(visit, tmp_path):
    answers = np.array([[int(model > item + 6) for item in range(4)] for model in range(12)])
    for labels, shown in (("a/b/1 a/b/2 a/b/x a/b/c/d", "1 2 x c/d"), ("a/1 a/2 a/3 b/4", "a/1 a/2 a/3 b/4")):
        counts = as_counts(answers, items=labels.split())
        item_analysis(counts).save(tmp_path / "items.csv")
        page = visit(write_report([tmp_path / "items.csv"], tmp_path / "page.html"))
        assert sorted(column(page, "#item-table", 1)) == sorted(shown.split())
        assert page.text_content("#chosen-name") in labels.split()


def test_tables_of_figures_are_sorted(visit, written_page):
    page = visit(written_page)
    page.locator("#ranks summary").click()
    header = page.locator("#ranks th", has_text="accuracy").last
    header.locator("button").click()
    values = [float(text) for text in column(page, "#ranks", header.evaluate("cell => cell.cellIndex + 1"))]
    assert values == sorted(values) and len(values) > 10


def test_figures_and_tables_are_saved(visit, written_page):
    page = visit(written_page)
    for selector, ending in (("#ranks .save-svg", ".svg"), ("#ranks a[download]", ".csv"), ("#save-items", ".csv")):
        with page.expect_download() as download:
            page.locator(selector).click()
        assert download.value.suggested_filename.endswith(ending)
        text = download.value.path().read_text()
        assert (
            ("<svg" in text and "xmlns=" in text and "var(" not in text)
            if ending == ".svg"
            else "item" in text or ("model" in text)
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints_on_white_without_controls_and_no_wider_than_the_paper(visit, written_page, scheme):
    page = visit(written_page, 703, scheme)  # A4 within its margins
    grey_on_screen = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    page.emulate_media(media="print", color_scheme=scheme)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert grey_on_screen and page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for control in (".downloads", "#item-search", "#more-items", "summary"):
        assert not any(each.is_visible() for each in page.locator(control).all()), control
    assert page.locator(".drawing.narrow svg").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
    rows = page.locator("#ranks tbody tr")
    assert [row.is_visible() for row in rows.all()] == [True] * 8 + [False] * (rows.count() - 8)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#ranks details").get_attribute("open") is None


def test_it_prints_on_few_pages(visit, written_page):
    pdf = visit(written_page).pdf(prefer_css_page_size=True)
    assert 2 <= len(re.findall(rb"/Type\s*/Page[^s]", pdf)) <= 6


def test_points_say_what_they_are_beside_the_pointer(visit, written_page):
    page = visit(written_page)
    texts = page.eval_on_selector_all("#ability-accuracy .wide use title", "found => found.map(t => t.textContent)")
    labels = column(page, "#ranks", 1)
    assert len(texts) == len(labels) and {text.partition(": relative ability")[0] for text in texts} == set(labels)
    assert page.locator("#seed-sd th[title]").count() >= 3


def test_an_item_that_goes_against_the_rest_is_not_drawn_as_rising(visit, written_page):
    page = visit(written_page)
    found = []
    for place in (0, 29):
        page.locator("#item-table tbody tr").nth(place).click()
        dashes = page.locator("#curve-line").evaluate("line => getComputedStyle(line).strokeDasharray")
        found.append((dashes != "none", page.locator("#curve-against").is_visible()))
        flags = page.locator("#item-table tbody tr").nth(place).locator("td").last.text_content()
        assert found[-1] == ("negative" in flags,) * 2
    assert found == [(True, True), (False, False)]


def test_names_that_try_to_leave_their_place_stay_text(visit, hostile_folder, hostile_names):
    path = write_report([hostile_folder], hostile_folder / "report.html")
    text = path.read_text()
    assert "<script>alert" not in text and "<img" not in text
    embedded = re.search(r'<script type="application/json" id="item-data">(.*?)</script>', text, re.DOTALL)[1]
    assert set(json.loads(embedded)["items"]) == set(hostile_names)
    page = visit(path, 390)
    assert set(column(page, "#item-table", 1)) == set(hostile_names)
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for row in page.locator("#item-table tbody tr").all():
        row.click()
    assert page.locator("section").count() == 3
    with page.expect_download() as download:
        page.locator("#save-items").click()
    rows = list(csv.reader(download.value.path().read_text(encoding="utf-8").splitlines()))
    names = [f"'{name}" if name.startswith("=") else name for name in hostile_names]
    assert {row[0] for row in rows[1:]} == set(names) and not {name for name in names if name.startswith("=")}
