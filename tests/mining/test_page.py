"""The page of mined pairs: counts that are exact, pairs that are those of the run, and a browser that shows them."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otembed import mine_bitext, score_bitext
from otembed.config.mining import MiningConfig
from otembed.errors import ConfigError, ModelError, OutputError
from otembed.mining.output import MinedPair
from otembed.mining.page.document import mining_page, page_document
from otembed.mining.page.links import shortened
from otembed.mining.page.scores import AROUND, SAMPLE, score_view
from otembed.tasks.mining import evaluate_mining
from tests.browser import CHROMIUM, REASON, browser

NASTY = "<script>alert(1)</script> & \"'"
WIDE = "Donaudampfschifffahrtsgesellschaftskapitän" * 6
TEXTS = [NASTY, WIDE, "แมวนอนในบ้าน" * 20, "قطة تنام في البيت " * 10, "房子里的猫" * 40, "the cat sat on the mat"]


class Text(HTMLParser):
    """The shown pairs by their number, all tags, the data, and the text without scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.pairs, self.tags, self.text, self._inside, self._pair, data = {}, [], "", "", None, []
        self._data = data
        self.feed(page)
        self.data = json.loads("".join(data))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append((tag, values))
        if tag in ("script", "style", "sub"):
            self._inside = "data" if values.get("id") == "mining" else tag
        if tag == "li" and values.get("class") == "pair":
            self._pair = int(values["data-pair"])
            self.pairs[self._pair] = ""

    def handle_endtag(self, tag):
        if tag in ("script", "style", "sub"):
            self._inside = ""
        if tag == "li":
            self._pair = None

    def handle_data(self, data):
        if self._inside == "data":
            self._data.append(data)
        elif not self._inside:
            self.text += data
            if self._pair is not None:
                self.pairs[self._pair] += data


def check(page):
    """Compare what the page shows with its data; return the data."""
    found = Text(page)
    data = found.data
    listed = {*data["above"], *data["below"], *(each for band in data["bands"] for each in band["shown"])}
    assert listed == found.pairs.keys() == set(range(len(data["pairs"])))
    for place, text in found.pairs.items():
        pair = data["pairs"][place]
        assert f"{pair['score']:.5f}" in text
        for side in ("source", "target"):
            assert (pair[side] or str(pair[f"{side}_id"])) in text
    assert f"{data['kept']:,} pairs" in found.text
    return data


@settings(deadline=None)
@given(
    st.lists(st.floats(-2, 2, allow_subnormal=False), max_size=60),
    st.none() | st.floats(-2, 2, allow_subnormal=False),
)
def test_counts_are_those_of_the_scores(values, threshold):
    scores = np.array(values)
    view = score_view(scores, threshold)
    assert sum(view.counts) == sum(band.count for band in view.bands) == len(scores)
    assert len(view.edges) == (len(view.counts) + 1 if len(scores) else 0)
    for edge, kept in view.stops:
        assert kept == (scores >= edge).sum()
    assert [edge for edge, _ in view.stops] == sorted({edge for edge, _ in view.stops})
    for band in view.bands:
        inside = [
            index
            for index, score in enumerate(values)
            if (band.low is None or score >= band.low) and (band.high is None or score < band.high)
        ]
        assert set(band.shown) <= set(inside)
        assert (len(inside), len(band.shown)) == (band.count, min(SAMPLE, band.count))
    if len(scores) and threshold is not None:
        assert threshold in dict(view.stops)
        ordered = sorted(range(len(values)), key=lambda index: (-values[index], index))
        above = [index for index in ordered if values[index] >= threshold]
        assert list(view.above) == above[-AROUND:]
        assert list(view.below) == ordered[len(above) :][:AROUND]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_inner_bins_hold_the_scores_between_their_edges(values):
    scores = np.array(values)
    view = score_view(scores, None)
    for place in range(1, len(view.counts) - 1):
        low, high = view.edges[place : place + 2]
        assert view.counts[place] == ((scores >= low) & (scores < high)).sum()


def test_a_far_score_does_not_flatten_the_histogram():
    draw = np.random.default_rng(0)
    view = score_view(np.append(draw.random(5000), 1e6), 0.5)
    assert len(view.counts) > 20
    assert sum(view.counts) == 5001


def document(count, threshold, **rest):
    draw = np.random.default_rng(0)
    low = draw.normal(0.02, 0.02, count // 2)
    scores = np.sort(np.concatenate([low, draw.normal(0.15, 0.05, count - len(low))]))[::-1]
    made = {"score": "distance", "facts": [NASTY], "left_out": [(NASTY, ("side", NASTY), [(NASTY, "1")])]}
    made |= {"calibration": None, "settings": [("k", NASTY, "4")], **rest}

    def pairs_at(places):
        return [
            MinedPair(float(scores[each]), 0.5, each, f"id{each}", TEXTS[each % 6], TEXTS[(each + 1) % 6])
            for each in places
        ]

    return page_document(scores, threshold, pairs_at, None, **made)


def test_a_million_pairs_take_less_than_two_megabytes():
    page = mining_page(document(1_000_000, 0.06))
    assert len(page.encode()) < 2_000_000
    assert check(page)["total"] == 1_000_000
    tags = Text(page).tags
    assert [tag for tag, _ in tags].count("script") == 2
    names = {name for _, attributes in tags for name in attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"src", "href"}


def test_histogram_by_hand():
    # Two bins of equal width, bars 92 % as wide; the highest bar has 96 of 100 units, a third of its pairs 32.
    histogram = {"edges": [0.0, 0.1, 0.2], "counts": [1, 3]}
    page = mining_page(document(8, 0.1) | {"histogram": histogram})
    bars = re.findall(r'<rect x="(\S+)" width="(\S+)" y="(\S+)" height="(\S+)" fill="var\((\S+)\)"', page)
    assert bars == [
        ("0.000", "46.000", "68.000", "32.000", "--m0"),
        ("50.000", "46.000", "4.000", "96.000", "--m1"),
    ]
    assert re.findall(r'id="mark" x1="(\S+)" x2="(\S+)"', page) == [("50.000", "50.000")]
    assert "<title>0.1 to 0.2: 3 pairs</title>" in page


def test_kept_pairs_and_expected_figures_by_hand():
    scores = np.array([0.3, 0.2, 0.1, 0.05])
    page = mining_page(
        page_document(
            scores,
            0.1,
            lambda places: [MinedPair(float(scores[each]), 0.5, each, each, "a", "b") for each in places],
            None,
            score="distance",
            facts=[],
            left_out=[],
            calibration=CALIBRATION,
            settings=[],
        )
    )
    assert "<h1>3 pairs with a distance of 0.1 or above</h1>" in page
    assert "75.0 % of 4 pairs" in page
    assert "<th scope=row>0.1, in use</th><td class=num>3</td><td class=num>75.0</td>" in page
    assert "<th scope=row>0.06</th><td class=num>0.800</td><td class=num>0.700</td>" in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a" * 300, "a" * 300),
        ("a" * 290 + " " + "b" * 20, "a" * 290 + " …"),
        ("a" * 250 + " " + "b" * 100, "a" * 250 + " " + "b" * 49 + " …"),
    ],
)
def test_long_texts_are_cut_at_a_space_near_the_end(text, shown):
    assert shortened(text) == shown


def test_page_is_that_of_the_run_with_linked_words(tiny_model, tmp_path, sentences):
    source, target = [*sentences(40), NASTY], [NASTY, *sentences(50)[::-1]]
    place = tmp_path / "page.html"
    options = {"cache": tmp_path / "cache", "threshold": 0.1, "k": 3}
    mined = mine_bitext(source, target, tiny_model, html=str(place), **options)
    plain = mine_bitext(source, target, tiny_model, **options)
    assert list(mined) == list(plain)
    assert vars(mined.report) | {"seconds": 0} == vars(plain.report) | {"seconds": 0}
    everything = mine_bitext(source, target, tiny_model, **{**options, "threshold": None})
    data = check(place.read_text(encoding="utf-8"))
    assert (data["kept"], data["total"], data["threshold"]) == (len(mined), len(everything), 0.1)
    pairs = {(each.source_id, each.target_id): each for each in everything}
    for each in data["pairs"]:
        pair = pairs[each["source_id"], each["target_id"]]
        assert (each["score"], each["source"], each["target"]) == (pair.score, pair.source, pair.target)
        assert " ".join(each["words"][0]) == " ".join(pair.source.split()) or NASTY in pair.source
        assert all(0 <= a < len(each["words"][0]) and 0 <= b < len(each["words"][1]) for a, b in each["links"])
    assert any(each["links"] for each in data["pairs"])
    assert ["k", "3", "4"] in data["settings"]
    page = place.read_bytes()
    mine_bitext(source, target, tiny_model, html=str(place), **options)
    assert place.read_bytes() == page


def test_page_of_vectors_has_ids_and_no_links(tmp_path):
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(30, 8)).astype(np.float32)
    mine_bitext(rows, rows[::-1].copy(), threshold=None, html=str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    data = check(page)
    assert "no texts" in data["no_links"]
    assert data["above"] == data["below"] == []
    assert "<sub>" not in page


def test_page_of_a_model_without_words_says_why(tiny_model, tmp_path, sentences, monkeypatch):
    def refuse(*args, **options):
        raise ModelError("no hidden layers here")

    monkeypatch.setattr("otembed.words.aligner.WordEncoder", refuse)
    mine_bitext(sentences(12), sentences(12), tiny_model, html=str(tmp_path / "x.html"), cache=tmp_path / "cache")
    data = check((tmp_path / "x.html").read_text(encoding="utf-8"))
    assert data["no_links"] == "no hidden layers here"


def test_page_without_pairs(tmp_path):
    rows = np.eye(4, dtype=np.float32)
    mine_bitext(rows, rows, min_cosine=1.0, center=True, threshold=5.0, html=str(tmp_path / "page.html"))
    assert check((tmp_path / "page.html").read_text(encoding="utf-8"))["kept"] == 0


def test_html_is_refused_where_nothing_is_mined_and_on_a_folder(tiny_model, tmp_path):
    config = MiningConfig(html=str(tmp_path / "x.html"))
    with pytest.raises(ConfigError, match="otembed mine"):
        score_bitext([("a", "b")], tiny_model, config=config)
    with pytest.raises(ConfigError, match="otembed mine"):
        evaluate_mining(["a"], ["b"], [(1, 1)], tiny_model, config=config)
    with pytest.raises((ConfigError, OutputError), match="folder"):
        mine_bitext(["a"], ["b"], tiny_model, html=str(tmp_path))


CALIBRATION = {"planted": 200, "curve": [[0.02, 0.5, 0.9], [0.06, 0.8, 0.7]]} | {
    f"{name}{part}": 0.5 for name in ("precision", "recall", "f1") for part in ("", "_error")
}


@pytest.mark.skipif(CHROMIUM is None, reason=REASON)
def test_browser_shows_the_page_at_every_width_with_slider_and_search(tmp_path):
    place = tmp_path / "page.html"
    place.write_text(mining_page(document(4000, 0.06, calibration=CALIBRATION)), encoding="utf-8")
    data = check(place.read_text(encoding="utf-8"))
    with browser(tmp_path / "profile") as page:
        for width, dark in ((390, False), (1440, False), (390, True), (1440, True)):
            page.open(place, width=width, dark=dark)
            assert page.overflow() == []
            assert page.errors == []
            background = page.value("getComputedStyle(document.body).backgroundColor")
            assert (int(re.findall(r"\d+", background)[0]) < 128) == dark
            assert page.value("document.querySelectorAll('.pair').length") == len(
                {*data["above"], *data["below"]}
            ) + sum(len(band["shown"]) for band in data["bands"])
        says = "document.getElementById('kept').textContent"
        assert f"At 0.06 or above: {data['kept']:,} of {data['total']:,} pairs" in page.value(says)
        assert "precision 0.800, recall 0.700" in page.value(says)
        for place_of_stop in (0, len(data["stops"]) - 1):
            page.value(
                f"slider.value = {place_of_stop}; slider.dispatchEvent(new Event('input')); document.body.className"
            )
            score, kept = data["stops"][place_of_stop]
            assert f": {kept:,} of {data['total']:,} pairs" in page.value(says)
            below = sum(
                data["pairs"][each]["score"] < score
                for each in page.value("[...document.querySelectorAll('.pair')].map((each) => +each.dataset.pair)")
            )
            assert page.value("document.querySelectorAll('.pair.out').length") == below
        page.value("search.value = 'ALERT(1)'; search.dispatchEvent(new Event('input')); ''")
        shown = page.value("[...document.querySelectorAll('.pair:not([hidden])')].map((each) => each.textContent)")
        assert shown
        assert all("alert(1)" in each for each in shown)
        assert page.value("document.getElementById('found').textContent").startswith(f"{len(shown)} of")
        assert page.errors == []
        alone = tmp_path / "alone.html"
        alone.write_text(mining_page(document(1, 0.06)), encoding="utf-8")
        page.open(alone, width=390)
        assert ": 1 of 1 pair (100.0 %)" in page.value(says)
        assert page.errors == []
        page.open(place, width=390, scripts=False)
        assert page.value("document.getElementById('slider').offsetParent === null")
        assert page.value("document.querySelectorAll('.pair:not([hidden])').length") == page.value(
            "document.querySelectorAll('.pair').length"
        )
