"""The page: its numbers are those of its JSON, nothing is loaded or run, and a browser shows it without errors."""

import json
import re
from html.parser import HTMLParser

import pytest

from otembed.comparison import compare
from otembed.comparison.page import comparison_page
from otembed.comparison.page.heat import matrix_maps
from otembed.comparison.report import Shape, WordMap
from otembed.page.marks import rounded_up
from otembed.results.format import percent, points
from otembed.results.outcomes import Outcomes
from tests.browser import CHROMIUM, REASON, browser

NASTY = "</script><script>alert(1)</script> & \"'"


def outcomes(task, right, suite="retrieval", metric="accuracy"):
    return Outcomes(suite, task, metric, task, (1,) * right + (0,) * (200 - right))


@pytest.fixture
def document(tmp_path):
    """A comparison of three models with everything that a page can show."""
    models = []
    for row in range(3):
        tasks = [
            outcomes(task, 100 + 9 * row + place)
            for place, task in enumerate(("en-sw", "en-ar", "en-sw, centered"))
        ]
        for metric in ("accuracy_source_to_target", "accuracy_target_to_source"):
            tasks += [outcomes(task, 80 + row, metric=metric) for task in ("en-sw", "en-ar")]
        tasks += [outcomes(f"{q}-{c}", 50 + row, "xquad", "f1") for q in ("en", "ar") for c in ("en", "ar")]
        if row == 2:
            tasks = tasks[1:]
        folder = tmp_path / f"run{row}"
        folder.mkdir()
        report = {"kind": "RetrievalReport", "outcomes": [vars(each) for each in tasks]}
        (folder / "results.json").write_text(json.dumps({"kind": "TrainResult", "after": report}))
        records = [{"step": step, "loss": 3 / step, "eval_en-sw_accuracy": 0.5 + step / 100} for step in (1, 5, 9)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
        models.append(f"m{row}={folder}")
    found = compare(*models, resamples=200, command=f"otembed compare {NASTY}").to_dict()
    words = WordMap("roen", 7, 0, 5, ("猫", "<b>"), ("kucing", "قط"), ((0.9, 0.1), (0.0, 0.25)), ((0, 0),))
    found["word_maps"] = [vars(words), {**vars(words), "model": 1}]
    found["models"][0]["shapes"] = [vars(Shape("en-sw", 200, 0.71234, 99.96))]
    found["models"][1]["name"] = NASTY
    found["headlines"] = [f"{NASTY} is better.", *found["headlines"][1:]]
    return json.loads(json.dumps(found))


class Text(HTMLParser):
    """Rows of every table as lists of cell texts, headings, the JSON, and tags with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.tags, self.json, self.headings, self.inside = [], [], "", "", ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("script", "h1", "td", "th"):
            self.inside = tag

    def handle_endtag(self, tag):
        if tag in ("script", "h1", "td", "th"):
            self.inside = ""

    def handle_data(self, data):
        if self.inside == "script":
            self.json += data
        elif self.inside == "h1":
            self.headings += data
        elif self.inside:
            self.rows[-1][-1] += f" {data}"


def check(page, document):
    """Compare the page's text with the document's numbers; return how many figures were compared."""
    text = Text(page)
    assert json.loads(text.json) == document
    assert all(each in text.headings for each in document["headlines"])
    rows = [[" ".join(cell.split()) for cell in row] for row in text.rows]
    seen = 0
    for each in (*document["tasks"], *document["means"]):
        size = f"{each['tasks']} tasks" if each["tasks"] > 1 else f"n = {each['examples']}"
        figures = " ".join(percent(one["value"]) if one else "–" for one in each["figures"])
        gains = [
            f"{points(0, one['value'])} [{points(0, one['low'])}, {points(0, one['high'])}]" if one else "–"
            for one in each["differences"]
        ]
        verdicts = [one["verdict"] if one else "–" for one in each["differences"]]
        fitting = [
            row
            for row in rows
            if row[:1] == [f"{each['task']} {size}"]
            and row[2] == figures
            and row[4] == " ".join(gains)
            and re.sub("[▲▼=] ", "", row[5]) == " ".join(verdicts)
        ]
        assert fitting, each
        seen += 1
    return seen


def test_page_numbers_match_the_json(document):
    page = comparison_page(document)
    assert check(page, document) == len(document["tasks"]) + len(document["means"]) == 14
    assert "0.712" in page
    assert "100.0" in page
    assert "0.90, linked" in page


def test_page_loads_nothing_external_and_names_are_text(document):
    page = comparison_page(document)
    tags = Text(page).tags
    scripts = [attributes for tag, attributes in tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "comparison"}]
    assert not {name for _, attributes in tags for name in attributes} & {"src", "href", "onload", "srcset"}
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert not [tag for tag, _ in tags if tag == "b"]


def nasty(value, key=""):
    """Add markup to every text of a document that is not one of a fixed set of words."""
    if isinstance(value, dict):
        return {name: nasty(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [nasty(each, key) for each in value]
    return (
        f"{value}{NASTY}<img src=x>" if isinstance(value, str) and key not in ("verdict", "correction") else value
    )


def test_every_text_of_a_document_is_escaped(document):
    document["not_compared"].append(
        {"suite": "x", "task": "y", "metric": "z", "model": 1, "reason": "other examples"}
    )
    document["models"][0]["notes"] = ["a note"]
    document["models"][0]["commands"] = ["a command"]
    tags = Text(comparison_page(nasty(document))).tags
    assert [tag for tag, _ in tags].count("script") == 1
    assert "img" not in {tag for tag, _ in tags}
    names = {name for _, attributes in tags for name in attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"src", "href"}


def test_page_has_only_sections_with_content(document):
    bare = {**document, "word_maps": [], "not_compared": []}
    bare["models"] = [{**each, "shapes": [], "curve": []} for each in document["models"]]
    page = comparison_page(bare)
    assert page.count("<section") < comparison_page(document).count("<section")
    assert check(page, bare) == 14


def test_matrix_is_drawn_only_for_cells(document):
    tasks = [each for each in document["tasks"] if each["suite"] == "xquad"]
    assert matrix_maps(tasks, ["a", "b", "c"], "f1").count("<table") == 5
    assert matrix_maps(tasks[:2], ["a", "b", "c"], "f1") == ""
    named = [{**task, "task": f"{kind}/{task['task']}"} for kind in ("paragraph", "sentence") for task in tasks]
    page = matrix_maps(named, ["a", "b", "c"], "accuracy")
    assert page.count("<table") == 10
    assert [page.count(f"accuracy of {kind}") for kind in ("paragraph", "sentence")] == [3, 3]


@pytest.mark.parametrize("value", [1e-9, 0.011, 0.1, 0.3, 0.99, 1.0, 7.3])
def test_axes_end_at_the_next_round_number(value):
    end = rounded_up(value)
    assert value <= end * (1 + 1e-9)
    assert end <= 1.51 * value


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
def test_browser_shows_the_page_without_errors(document, tmp_path):
    place = tmp_path / "page.html"
    place.write_text(comparison_page(document), encoding="utf-8")
    with browser(tmp_path / "profile") as page:
        for width in (1280, 390):
            page.open(place, width=width)
            assert check(page.value("document.documentElement.outerHTML"), document) == 14
        assert page.errors == []
