"""Pages as one file: what a browser may run and load, data that reads back, and texts without markup."""

import json
import re
from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from otembed.page.document import html_page, plain_table, section

NASTY = "</script><script>alert(1)</script> & \"'"


def policy(page):
    return html.fromstring(page).xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0].split("; ")


@pytest.mark.parametrize("script", ["const a = '<b>' && 1;", "// naïve 猫\nlet a;\n"])
def test_policy_allows_the_script_of_the_page_by_its_hash(script):
    page = html_page("x", ["<p>y</p>"], name="data", data=1, script=script)
    (run,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert run == script
    digest = b64encode(sha256(run.encode("utf-8")).digest()).decode()
    assert policy(page) == ["default-src 'none'", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'"]


def test_page_without_a_script_allows_none():
    assert policy(html_page("x", [], name="data", data=1)) == ["default-src 'none'", "style-src 'unsafe-inline'"]


@pytest.mark.parametrize("script", ["", "const a = 1;"])
def test_texts_are_no_markup(script):
    parts = [section(NASTY, plain_table([NASTY], [[NASTY]]), note=NASTY, name=NASTY)]
    page = html_page(NASTY, parts, name="data", data=[NASTY], script=script)
    tree = html.fromstring(page)
    assert len(tree.xpath("//script")) == (2 if script else 1)
    assert "alert(1)</script>" not in page
    for place in ("//title", "//h2", "//p[@class='soft']", "//thead//th", "//tbody//th"):
        assert [each.text_content() for each in tree.xpath(place)] == [NASTY]
    assert tree.xpath("//section/@id") == [NASTY]


def test_page_loads_nothing():
    page = html_page("x", [section("y", plain_table(["a"], [["b"]]))], name="data", data={}, script="let a;")
    tree = html.fromstring(page)
    attributes = {name for each in tree.iter() for name in each.attrib}
    assert not attributes & {"src", "href", "srcset", "action", "data", "poster", "background"}
    assert not {each.tag for each in tree.iter()} & {"link", "img", "iframe", "object", "embed", "base"}
    assert not re.search(r"url\(|@import|https?:", page)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats(-9, 9) | st.text(), st.lists, max_leaves=5)
)
def test_embedded_data_reads_back(data):
    page = html_page("x", [], name="figures", data=data)
    (embedded,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert "<" not in embedded
    assert json.loads(embedded) == data


def test_nan_is_no_json():
    with pytest.raises(ValueError, match="JSON"):
        html_page("x", [], name="data", data=[float("nan")])


def test_empty_parts_are_left_out():
    assert section("empty") == section("empty", "", note="said") == ""
    page = html_page("x", ["", section("a", "<p>b</p>"), ""], name="data", data=1, style="p{color:red}")
    assert "<main>\n<section><h2>a</h2><p>b</p></section>\n</main>" in page
    assert "p{color:red}</style>" in page


def test_table_names_rows_and_aligns_numbers():
    table = html.fromstring(plain_table(["name", "n"], [["a", "1"], ["b", "2"]], numbers=[1]))
    rows = [[(cell.tag, cell.get("class"), cell.text) for cell in row] for row in table.iter("tr")]
    assert rows == [
        [("th", None, "name"), ("th", "num", "n")],
        [("th", None, "a"), ("td", "num", "1")],
        [("th", None, "b"), ("td", "num", "2")],
    ]
    assert {each.get("scope") for each in table.xpath("//thead//th")} == {"col"}
    assert {each.get("scope") for each in table.xpath("//tbody//th")} == {"row"}
    assert html.fromstring(plain_table([], [["a", "b"]])).xpath("//thead") == []
