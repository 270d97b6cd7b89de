"""One table, three renderings: what stands in it survives, and no text breaks a format or reaches a terminal raw."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from otembed.results import Table
from otembed.results.format import change, percent, points, printable
from otembed.results.table import latex_escaped, markdown_escaped, stacked

TABLE = Table(("pair", "F1"), (("en-sw", "87.5"), ("en-de", "-1.0")), title="m", notes=("Percent.",))


def rendered(table: Table, width: int = 80, **options) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, **options).print(table)
    return stream.getvalue()


def test_terminal_shows_title_table_and_notes_in_order():
    lines = [line.split() for line in rendered(TABLE).splitlines()]
    assert lines == [["m"], ["pair", "F1"], ["en-sw", "87.5"], ["en-de", "-1.0"], ["Percent."]]
    assert "\x1b" not in rendered(TABLE)


def test_stacked_tables_are_separated_by_a_blank_line():
    stream = io.StringIO()
    Console(file=stream, width=80).print(stacked([TABLE, TABLE]))
    lines = stream.getvalue().splitlines()
    assert [line.strip() for line in lines].count("") == 1
    assert lines[0] == lines[6] == "m"


def test_markup_in_names_is_text():
    table = Table(("[red]a", "b"), (("[bold]x[/bold]", "[/]"),), title="[best]", notes=("[n]",))
    text = rendered(table, force_terminal=True, color_system="standard")
    for each in ("[red]a", "[bold]x[/bold]", "[/]", "[best]", "[n]"):
        assert each in re.sub(r"\x1b\[[\d;]*m", "", text)


def test_cells_are_styled_only_on_color_terminals():
    table = Table(("a", "b"), (("x", "better"),), styles={"better": "green"})
    assert "\x1b[32m" in rendered(table, force_terminal=True, color_system="standard")
    assert "\x1b" not in rendered(table)


def test_names_fold_and_numbers_do_not():
    text = rendered(Table(("pair", "F1"), (("x" * 30, "87.5→89.6"),)), width=24)
    assert "…" not in text
    assert "87.5→89.6" in text
    assert text.count("x") == 30


def test_words_stay_whole_where_other_columns_can_wrap():
    columns = ["suite", "task", "metric", "n", "B - A", "95 % interval", "verdict"]
    row = ["retrieval", "en-sw, centered", "accuracy", "119", "+0.0", "-2.9 to +2.9", "no clear difference"]
    lines = rendered(Table(columns, (row,), align="lllrrrl"), width=68).splitlines()
    assert max(map(len, lines)) <= 68
    assert lines[1].split()[:3] == ["retrieval", "en-sw,", "accuracy"]
    assert lines[2].split() == ["centered", "difference"]


def test_markdown_without_a_heading_shows_the_title():
    table = Table((), (("known pairs", "3"),), title="x.tsv")
    assert table.markdown() == "| x.tsv |  |\n| --- | ---: |\n| known pairs | 3 |\n"
    assert rendered(table).splitlines()[0] == "x.tsv"


def test_latex_rules_groups_and_comments():
    table = Table(("a", "b"), (("x", "1"), ("x", "2"), ("y", "3")), title="50%\nof", notes=("n",))
    lines = table.latex(grouped=True).splitlines()
    assert lines[:3] == ["% 50% of", "% n", r"\begin{tabular}{lr}"]
    assert lines[3:] == [
        r"\toprule", r"a & b \\", r"\midrule", r"x & 1 \\", r"x & 2 \\", r"\midrule", r"y & 3 \\", r"\bottomrule",
        r"\end{tabular}",
    ]  # fmt: skip
    assert table.latex().count(r"\midrule") == 1


@pytest.mark.parametrize("rows", [(("a",),), (("a", "b", "c"),), (("a", "b"), ("a",))])
def test_rows_of_wrong_length_are_rejected(rows):
    with pytest.raises(ValueError, match="2 columns"):
        Table(("x", "y"), rows)


@pytest.mark.parametrize("special", list("\\{}$&#%_^~"))
def test_latex_specials_are_escaped(special):
    escaped = latex_escaped(f"a{special}b")
    assert escaped not in (f"a{special}b", "ab")
    assert escaped.startswith("a\\")
    assert latex_escaped("-1.0 to -x ↓") == r"$-$1.0 to -x $\downarrow$"


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4), st.text())
def test_any_text_renders(rows, name):
    table = Table(("a", name), rows, title=name, notes=(name,))
    markdown = table.markdown().splitlines()
    assert len(markdown) == len(rows) + 2
    assert all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3 for line in markdown)
    latex = [line for line in table.latex().split("\n") if not line.startswith("%")]
    assert len([line for line in latex if line.endswith(r"\\")]) == len(rows) + 1
    shown = rendered(table) + table.markdown() + table.latex()
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs") and char != "\n"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\r\n c", "a b c"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\ud800", "\\ud800"),
        ("a\u202eb", "a\\u202eb"),
        ("कि\u200dत 猫", "कि\u200dत 猫"),
    ],
)
def test_control_characters_are_shown_as_escapes(text, shown):
    assert printable(text) == shown


def test_markdown_escapes_html_and_links():
    assert markdown_escaped("a|b <i>*x*[y](z)`") == "a\\|b \\<i\\>\\*x\\*\\[y\\](z)\\`"


def test_figures_are_rounded_once():
    assert (percent(0.99949), percent(1.0), percent(0.0)) == ("99.9", "100.0", "0.0")
    assert (points(0.70049, 0.70051), points(0.70049, 0.69951)) == ("+0.0", "-0.1")
    assert points(0.5, 0.4999) == "+0.0"
    assert change(0.7, 0.7346) == "70.0→73.5 +3.5"


def test_tables_and_tasks_load_no_torch():
    code = "import sys, otembed.results.table, otembed.tasks.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
