"""Bars and differences: coordinates, figures and verdicts counted by hand."""

import pytest
from lxml import html

from otembed.page.marks import COLORS, bar_table, color, letter, rounded_up

NASTY = "<b>sw</b> & \"'"


def figure(value, low, high):
    return {"value": value, "low": low, "high": high}


def difference(value, low, high, verdict):
    return figure(value, low, high) | {"verdict": verdict}


def row(figures, differences, **rest):
    task = {"task": "sw", "tasks": 1, "examples": 40, "higher_is_better": True}
    return task | {"figures": figures, "differences": differences} | rest


TWO = row(
    [figure(0.5, 0.4, 0.6), figure(0.75, 0.7, 0.8)],
    [difference(0.25, 0.1, 0.4, "better")],
    task=NASTY,
)


def table(*tasks, names=("a", "b"), label="accuracy"):
    return html.fromstring(bar_table(tasks, names, label))


def values(elements, *names):
    return [tuple(each.get(name) for name in names) for each in elements]


def texts(tree, place):
    return [each.text_content() for each in tree.xpath(place)]


def test_bars_by_hand():
    # The axis ends at 80 %, the highest end of an interval: 0.5 is at 62.5 % of it, 0.75 at 93.75 %.
    made = table(TWO)
    (drawn,) = made.xpath("//td[@class='plot'][1]/svg")
    assert values(drawn.iter("rect"), "x", "y", "width", "height", "fill") == [
        ("0", "0", "62.50%", "9", "var(--m0)"),
        ("0", "13", "93.75%", "9", "var(--m1)"),
    ]
    assert values(drawn.iter("line"), "x1", "x2", "y1", "y2") == [
        ("50.00%", "75.00%", "4.5", "4.5"),
        ("87.50%", "100.00%", "17.5", "17.5"),
    ]
    assert drawn.get("height") == "22"
    assert texts(made, "//td[@class='num values']/span") == ["50.0", "75.0"]


def test_differences_by_hand():
    # The axis ends at 40 points on both sides: +10 is at 50 + 12.5 %, +25 at 50 + 31.25 %.
    made = table(TWO)
    (drawn,) = made.xpath("//td[@class='plot'][2]/svg")
    assert values(drawn.iter("line"), "x1", "x2", "y1", "y2") == [
        ("50%", "50%", "-14", "32"),
        ("62.50%", "100.00%", "9.0", "9.0"),
    ]
    assert values(drawn.iter("circle"), "cx", "cy", "fill") == [("81.25%", "9.0", "var(--better)")]
    assert texts(made, "//td[@class='num gain']/span") == ["+25.0 [+10.0, +40.0]"]
    assert texts(made, "//td[@class='verdict']/span[@class='better']") == ["▲ better"]
    assert made.xpath("//td[@class='num gain']//span[@class='dot']") == []


def test_axes_are_shown_and_told():
    made = table(TWO, label=NASTY)
    assert [texts(each, "./span") for each in made.xpath("//span[@class='scale']")] == [
        ["0", "40", "80"],
        ["-40", "0", "+40"],
    ]
    (hidden,) = texts(made, "//caption")
    assert hidden.startswith(f"{NASTY}: ")
    assert "from 0 to 80 %" in hidden
    assert "from -40 to +40 points" in hidden
    assert "lower is better" in texts(table(TWO | {"higher_is_better": False}), "//caption")[0]


def test_names_are_no_markup():
    made = table(TWO, label=NASTY)
    assert made.xpath("//b") == []
    assert texts(made, "//tbody//th") == [f"{NASTY} n = 40"]
    mean = table(TWO | {"tasks": 3})
    assert texts(mean, "//tr[@class='mean']/th") == [f"{NASTY} 3 tasks"]


def test_several_models_are_told_apart_and_missing_figures_leave_their_place():
    made = table(
        row(
            [figure(0.5, 0.4, 0.6), None, figure(0.25, 0.2, 0.3)],
            [None, difference(-0.25, -0.5, 0.0, "worse")],
        ),
        names=("a", "b", "c"),
    )
    bars, changes = made.xpath("//svg")
    assert values(bars.iter("rect"), "y", "fill") == [("0", "var(--m0)"), ("26", "var(--m2)")]
    # Two lines are 22 high; the second one is 13 below the middle of the first, which is at 4.5.
    assert values(changes.iter("circle"), "cx", "cy", "fill") == [("25.00%", "17.5", "var(--worse)")]
    assert texts(made, "//td[@class='num values']/span") == ["50.0", "–", "25.0"]
    assert texts(made, "//td[@class='num gain']/span") == ["–", "-25.0 [-50.0, +0.0]"]
    assert texts(made, "//td[@class='verdict']/span") == ["–", "▼ worse"]
    (marked,) = made.xpath("//td[@class='num gain']//span[@class='dot']/@style")
    assert marked == "background:var(--m2)"
    assert "B, C - A" in made.xpath("//thead")[0].text_content()


def test_figures_of_zero_have_an_axis():
    made = table(row([figure(0.0, 0.0, 0.0)] * 2, [difference(0.0, 0.0, 0.0, "no clear difference")]))
    assert values(made.iter("rect"), "width") == [("0.00%",), ("0.00%",)]
    assert values(made.iter("circle"), "cx") == [("50.00%",)]
    assert texts(made, "//td[@class='verdict']/span[@class='unclear']") == ["= no clear difference"]


@pytest.mark.parametrize(
    ("value", "end"), [(1.0, 1.0), (0.99, 1.0), (0.1, 0.1), (0.101, 0.12), (7, 8), (9, 10), (-1, 0.01)]
)
def test_axes_end_at_round_numbers(value, end):
    assert rounded_up(value) == end


def test_letters_and_colors_repeat():
    assert [letter(index) for index in (0, 25, 26, 51, 52)] == ["A", "Z", "A1", "Z1", "A2"]
    assert color(COLORS) == color(0) != color(1)
