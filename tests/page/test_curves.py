"""Curves: points, labels and names counted by hand."""

import pytest
from lxml import html

from otembed.page.curves import curve_panel, panels, three_digits
from otembed.results.format import percent

NASTY = "<b>loss</b> & \"'"


def points(panel):
    return [each.get("points") for each in html.fromstring(panel).iter("polyline")]


def texts(panel, place):
    return [each.text_content() for each in html.fromstring(panel).xpath(place)]


def test_points_by_hand():
    # From 1 to 3 the curves have 88 of 100 units, below 6 free ones: 3 is at 6, 2 at 6 + 44, 1 at 6 + 88.
    panel = curve_panel("x", {0: [(0, 1.0), (5, 2.0), (10, 3.0)], 7: [(2.5, 3.0), (10, 1.5)]}, {0: "a", 7: "b"})
    assert points(panel) == ["0.00,94.00 50.00,50.00 100.00,6.00", "25.00,6.00 100.00,72.00"]
    assert [each.get("stroke") for each in html.fromstring(panel).iter("polyline")] == ["var(--m0)", "var(--m1)"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [([(40, 0.5)], "0.00,94.00"), ([(0, 2.0), (4, 2.0)], "0.00,94.00 100.00,94.00")],
)
def test_one_point_and_a_constant_are_drawn(line, expected):
    panel = curve_panel("x", {0: line}, {0: ""})
    assert points(panel) == [expected]
    assert "nan" not in panel


def test_axes_show_the_lowest_and_the_highest_value():
    panel = curve_panel("x", {0: [(10, 0.875), (200, 0.25)], 1: [(10, 0.5)]}, {0: "", 1: ""}, percent)
    assert texts(panel, "//div[@class='y']/span") == ["87.5", "25.0"]
    assert texts(panel, "//div[@class='x']/span") == ["step 10", "200"]


def test_ends_name_first_and_last_value():
    panel = curve_panel(NASTY, {0: [(0, 0.12345), (1, 2e-5)], 1: [(0, 1.0)]}, {0: NASTY, 1: ""})
    assert texts(panel, "//ul[@class='ends']/li") == [f"{NASTY}: 0.123 → 2e-05", "1 → 1"]
    assert texts(panel, "//h4") == [NASTY]
    assert html.fromstring(panel).xpath("//b") == []
    assert html.fromstring(panel).xpath("//svg//text()") == []
    assert three_digits(1234.5) == "1.23e+03"


def test_panels_stand_side_by_side():
    assert panels([]) == ""
    made = html.fromstring(panels([curve_panel(each, {0: [(0, 1.0)]}, {0: ""}) for each in ("a", "b")]))
    assert [each.text for each in made.xpath("./figure/h4")] == ["a", "b"]
