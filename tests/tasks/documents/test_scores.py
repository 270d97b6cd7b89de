"""Scores of links by hand, against a second count, and gold files as published."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otembed.errors import DataError
from otembed.tasks.documents import link_scores, read_gold
from otembed.tasks.documents.scores import link_outcomes

GOLD = [((0,), (0,)), ((1,), (1, 2)), ((2, 3), (3,)), ((4,), ()), ((), (4,)), ((5,), (5,))]


def shares(found):
    return tuple(
        round(getattr(found, name), 4)
        for name in ("precision", "recall", "f1", "lax_precision", "lax_recall", "lax_f1")
    )


def test_gold_itself_is_perfect():
    assert shares(link_scores(GOLD, GOLD)) == (1, 1, 1, 1, 1, 1)


def test_counts_by_hand():
    # Strict: 0-0 and the deletion of 4 are gold, of 5 links. Lax: 1-1 and 2-3 too. 5-4 touches nothing.
    links = [((0,), (0,)), ((1,), (1,)), ((2,), (3,)), ((4,), ()), ((5,), (4,))]
    found = link_scores(links, GOLD)
    # Recall: 1 of 4 gold links with both sides; 1-1,2 and 2,3-3 are touched, 5-5 is not.
    assert shares(found) == (0.4, 0.25, round(0.2 / 0.65, 4), 0.8, 0.75, round(1.2 / 1.55, 4))


def test_deletions_count_in_precision_only():
    links = [link for link in GOLD if link[0] and link[1]]
    assert shares(link_scores(links, GOLD))[:2] == (1, 1)
    assert shares(link_scores([*links, ((6,), ()), ((7,), ())], GOLD))[:2] == (round(4 / 6, 4), 1)
    assert shares(link_scores([], GOLD)) == (0,) * 6
    assert shares(link_scores([((), ()), *links], GOLD))[0] == 1


def test_lax_needs_both_sides_of_the_same_gold_link():
    # Source 0 and target 1 are both in gold, but not in one link.
    assert shares(link_scores([((0,), (1,))], GOLD))[3:5] == (0, 0)
    assert shares(link_scores([((0, 1), (1,))], GOLD))[3:5] == (1, 0.25)


def test_gold_without_links_is_refused():
    with pytest.raises(DataError, match="here"):
        link_scores([((0,), (0,))], [((0,), ())], name="here")


def cuts(draw, length):
    inner = draw(st.sets(st.integers(1, max(length - 1, 1)), max_size=length))
    return sorted({0, length, *(each for each in inner if each < length)})


@st.composite
def alignments(draw):
    length = draw(st.integers(1, 8))
    x, y = (cuts(draw, length) for _ in "xy")
    spans = [[tuple(range(a, b)) for a, b in pairwise(side)] for side in (x, y)]
    links = list(zip(*spans, strict=False))
    rest = [((each,), ()) for part in spans[0][len(links) :] for each in part]
    return links + rest + [((), (each,)) for part in spans[1][len(links) :] for each in part]


@given(alignments(), alignments())
@settings(max_examples=100, deadline=None)
def test_scores_match_a_count_over_all_pairs_of_links(made, gold):
    found = link_scores(made, gold)

    def touches(link, other):
        return bool(set(link[0]) & set(other[0])) and bool(set(link[1]) & set(other[1]))

    true = [link for link in gold if link[0] and link[1]]
    pairs = [link for link in made if link[0] and link[1]]
    assert found.precision == sum(link in gold for link in made) / len(made)
    assert found.recall == sum(link in pairs for link in true) / len(true)
    assert found.lax_precision == sum(
        link in gold or any(touches(link, each) for each in gold) for link in made
    ) / len(made)
    assert found.lax_recall == sum(any(touches(link, each) for each in pairs) for link in true) / len(true)
    (outcome,) = link_outcomes(made, gold, ["a"], 8, name="x")
    assert outcome.value == pytest.approx(found.link_f1)


def test_sentences_in_several_gold_links():
    gold = [((0,), (0,)), ((0, 1), (1,))]
    found = link_scores([((0,), (0,)), ((1,), (1,))], gold)
    assert shares(found)[:5] == (0.5, 0.5, 0.5, 1, 1)


def test_gold_file_as_published(write):
    path = write("dev.defr", "[0]:[0]\n[1, 2]:[]\n[]:[1]\n\n[3]:[2,3]:0.25\n")
    assert read_gold(path) == [((0,), (0,)), ((1, 2), ()), ((), (1,)), ((3,), (2, 3))]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("[0]:[0]\n[1]\n", ":2"),
        ("[0]:[a]\n", ":1"),
        ("[0]:[-1]\n", ":1"),
        ("[0, 0]:[0]\n", ":1"),
        ("[0]:[]\n", ""),
        ("", ""),
    ],
)
def test_malformed_gold_is_refused_with_its_line(write, content, place):
    with pytest.raises(DataError, match=rf"x\.links{place}"):
        read_gold(write("x.links", content))
