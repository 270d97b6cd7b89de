"""Decoders against brute force and hand counts; probabilities against their definition."""

from __future__ import annotations

import itertools
import math
import re
from typing import get_args

import numpy as np
import pytest

from otembed.config.words import Decoding
from otembed.errors import ConfigError
from otembed.words import Link, SentenceAlignment, decode_links, link_probabilities
from otembed.words.links import links_of_wholes


def cells(links):
    return {(link.source, link.target) for link in links}


def plans():
    generator = np.random.default_rng(0)
    return [generator.dirichlet(np.full(n * m, 0.3)).reshape(n, m) for n, m in [(1, 1), (1, 5), (4, 3), (6, 7)] * 3]


def directed(plan):
    """Argmax of each row, argmax of each column, as sets of cells."""
    n, m = plan.shape
    forward = {(i, max(range(m), key=lambda j: plan[i, j])) for i in range(n) if max(plan[i]) > 0}
    backward = {(max(range(n), key=lambda i: plan[i, j]), j) for j in range(m) if max(plan[:, j]) > 0}
    return forward, backward


def grown(forward, backward, enough):
    """The growing heuristic as Koehn et al. state it, on sets."""
    links = forward & backward
    while True:
        before = set(links)
        for i, j in sorted(before):
            for x, y in itertools.product((i - 1, i, i + 1), (j - 1, j, j + 1)):
                free = all(x != a for a, _ in links) or all(y != b for _, b in links)
                if (x, y) in ((forward | backward) & enough) - links and free:
                    links.add((x, y))
        if links == before:
            return links


def completed(links, candidates):
    links = set(links)
    for x, y in sorted(candidates):
        if all(x != a for a, _ in links) and all(y != b for _, b in links):
            links.add((x, y))
    return links


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("plan", plans(), ids=lambda plan: str(plan.shape))
def test_decoders_match_their_definition(plan, threshold):
    shares = {
        (i, j): math.sqrt(plan[i, j] / plan[i].sum() * plan[i, j] / plan[:, j].sum())
        for i, j in np.ndindex(plan.shape)
    }
    enough = {cell for cell, share in shares.items() if share >= threshold}
    forward, backward = directed(plan)
    growth = grown(forward, backward, enough)
    expected = {
        "mutual": forward & backward,
        "threshold": enough,
        "grow-diag": growth,
        "grow-diag-final-and": completed(completed(growth, forward & enough), backward & enough),
    }
    for decoding, links in expected.items():
        assert cells(decode_links(plan, decoding, threshold=threshold)) == links
    for cell, share in shares.items():
        assert link_probabilities(plan)[cell] == pytest.approx(share, abs=1e-6)


def test_thresholds_of_the_decoders():
    """One row, so that each column is its own largest: probabilities .8^.5, .15^.5 and .05^.5 = .22, .387, .894."""
    plan = np.array([[0.8, 0.15, 0.05, 0.03]])
    plan /= plan.sum()
    counts = {name: len(decode_links(plan, name)) for name in get_args(Decoding)}
    assert counts == {"mutual": 1, "threshold": 2, "grow-diag": 3, "grow-diag-final-and": 3}


@pytest.mark.parametrize("shape", [(3,), (1, 3, 2)])
def test_plan_that_is_no_matrix_is_rejected(shape):
    with pytest.raises(ConfigError, match=re.escape(str(shape))):
        decode_links(np.ones(shape))


def test_grow_diag_by_hand():
    """Cells 0-0 and 3-3 are mutual; 1-0 and 0-1 touch 0-0; 2-0 is taken as 2 touches 1-0; 1-4 touches nothing."""
    plan = np.zeros((4, 5))
    plan[0] = [0.9, 0.3, 0, 0, 0]
    plan[1] = [0.5, 0, 0, 0, 0.1]
    plan[2] = [0.4, 0, 0, 0, 0]
    plan[3] = [0, 0, 0, 0.8, 0]
    assert cells(decode_links(plan)) == {(0, 0), (3, 3)}
    assert cells(decode_links(plan, "grow-diag")) == {(0, 0), (0, 1), (1, 0), (2, 0), (3, 3)}
    # 0-1 has .3 / sqrt(1.2 * .3) = .5, 1-0 .5 / sqrt(.6 * 1.8) = .48, 2-0 .4 / sqrt(.4 * 1.8) = .47.
    assert cells(decode_links(plan, "grow-diag", threshold=0.49)) == {(0, 0), (0, 1), (3, 3)}
    assert decode_links(plan, "grow-diag-final-and") == decode_links(plan, "grow-diag")


def test_final_and_links_words_unlinked_on_both_sides():
    """Row 2 prefers column 0, which row 0 holds; column 2 prefers row 2, and both 2 are free."""
    plan = np.array([[0.9, 0, 0, 0.5], [0, 0, 0, 0], [0.3, 0, 0.2, 0]])
    assert cells(decode_links(plan, "grow-diag")) == {(0, 0)}
    assert cells(decode_links(plan, "grow-diag-final-and")) == {(0, 0), (2, 2)}


@pytest.mark.parametrize("decoding", ["mutual", "threshold", "grow-diag", "grow-diag-final-and"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0), (2, 3)])
def test_plan_without_mass_gives_no_links(decoding, shape):
    assert decode_links(np.zeros(shape), decoding) == ()
    assert link_probabilities(np.zeros(shape)).shape == shape


def test_unknown_decoding_is_rejected():
    with pytest.raises(ConfigError, match=r"'grow'.*\n.*'grow-diag'"):
        decode_links(np.ones((1, 1)), "grow")


def test_output_formats_support_both_index_bases():
    alignment = SentenceAlignment(("a",), ("x", "y"), (Link(0, 1, 0.98765),), np.ones((1, 2), dtype=np.float32))
    assert alignment.to_pharaoh() == "0-1"
    assert alignment.to_pharaoh(index_base=1) == "1-2"
    assert alignment.to_pharaoh(probabilities=True) == "0-1:0.9877"
    assert alignment.to_dict() == {"source": ["a"], "target": ["x", "y"], "links": [[0, 1, 0.9877]]}
    assert alignment.to_dict(index_base=1)["links"] == [[1, 2, 0.9877]]


def test_links_of_parts_are_mapped_to_their_words():
    """Source parts 0, 1 are word 0, part 2 is word 2 (word 1 has none); target parts 0, 1 are words 0, 1."""
    parts = np.array([[0.5, 0.1], [0.9, 0.2], [0.3, 0.4]], dtype=np.float32)
    links = [Link(0, 0, 0.5), Link(1, 0, 0.9), Link(2, 1, 0.4)]
    found, whole = links_of_wholes(links, parts, [0, 0, 2], [0, 1], (3, 2))
    assert [(each.source, each.target) for each in found] == [(0, 0), (2, 1)]
    np.testing.assert_allclose(whole, [[0.9, 0.2], [0, 0], [0.3, 0.4]], rtol=1e-6)
    assert links_of_wholes([], np.zeros((0, 2), dtype=np.float32), [], [0, 1], (0, 2))[1].shape == (0, 2)
