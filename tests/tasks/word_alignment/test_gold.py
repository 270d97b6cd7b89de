"""Gold links in both published formats, and every way in which they can be malformed."""

from __future__ import annotations

import gzip

import pytest

from otembed.errors import DataError
from otembed.tasks.word_alignment import GoldSentence, read_gold, read_gold_set


def gold(sure, possible=()):
    return GoldSentence(frozenset(sure), frozenset(sure) | frozenset(possible))


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("1-2 2p1 3?3\n\n1-1\n", 1, [gold({(0, 1)}, {(1, 0), (2, 2)}), gold(()), gold({(0, 0)})]),
        ("0-1 1p0:0.5", 0, [gold({(0, 1)}, {(1, 0)})]),
        ("1-1 1p1\r\n", 1, [gold({(0, 0)})]),
        ("0 1 1 S\n0 1 2 P\n2 3 1\n", 1, [gold({(0, 0)}, {(0, 1)}), gold(()), gold({(2, 0)})]),
        ("0001 1 1 S\n0002 1 2 P 0.75\n0002 1 -99 S\n", 1, [gold({(0, 0)}), gold((), {(0, 1)})]),
        ("1 0 0\n\n1 1 1 P\n", 0, [gold({(0, 0)}, {(1, 1)})]),
        ("1 -99 2 S\n2 1 1 S\n", 1, [gold(()), gold({(0, 0)})]),
    ],
)
def test_both_formats_are_read(tmp_path, text, base, expected):
    path = tmp_path / "gold"
    path.write_text(text)
    assert read_gold(path, index_base=base) == expected
    assert read_gold(path, [(3, 3)] * len(expected), index_base=base) == expected


def test_pairs_without_links_at_the_end_of_a_table_are_kept_where_their_number_is_known(tmp_path):
    (tmp_path / "gold").write_text("1 1 1 S\n")
    assert read_gold(tmp_path / "gold", [(1, 1)] * 3) == [gold({(0, 0)}), gold(()), gold(())]


@pytest.mark.parametrize(
    ("text", "base", "message"),
    [
        ("", 1, "gold: no gold link in it"),
        ("\n \n", 1, "gold: no gold link in it"),
        ("1-1\n1-x\n", 1, r"gold:2: '1-x' is no link\nWrite i-j"),
        ("1-1\n0-1\n", 1, r"gold:2: link 0-1 in a file counted from 1\nGive index base 0"),
        ("1-1\n1-4\n", 1, "gold:2: link 1-4 of pair 2, which has 3 and 3 words"),
        ("1-1\n3-0\n", 0, "gold:2: link 3-0 of pair 2, which has 3 and 3 words"),
        ("1-1\n", 1, "gold: 1 lines of links, but 2 sentence pairs"),
        ("1-1\n1-1\n1-1\n", 1, "gold:3: links of pair 3, but the text has 2 pairs"),
        ("1-1\n1-1\n\n", 1, "gold: 3 lines of links, but 2 sentence pairs"),
        ("1 1 1 S\n1 1 S\n", 1, "gold:2: '1 1 S' is no link\nWrite: sentence source target"),
        ("1 1 1 S\n2 1 9 S\n", 1, "gold:2: link 1-9 of pair 2"),
        ("0 1 1 S\n0 0 1 S\n", 1, "gold:2: link 0-1 in a file counted from 1"),
        ("1 1 1 S\n3 1 1 S\n", 1, "gold:2: links of pair 3, but the text has 2 pairs"),
    ],
)
def test_broken_files_are_refused_with_their_line(tmp_path, text, base, message):
    path = tmp_path / "gold"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_gold(path, [(3, 3), (3, 3)], index_base=base)


def test_sets_are_read_from_one_file_or_two(tmp_path):
    """The ideographic space is a word of the gold file; plain spaces and tabs part words."""
    with gzip.open(tmp_path / "both.gz", "wt", encoding="utf-8") as file:
        file.write("a \u3000 b |||  x\ty\n")
    (tmp_path / "links").write_text("3-2\n")
    for side, text in (("source", "a \u3000 b\n"), ("target", "x y\n")):
        (tmp_path / side).write_text(text, encoding="utf-8")
    expected = ([["a", "\u3000", "b"]], [["x", "y"]], [gold({(2, 1)})])
    assert read_gold_set(tmp_path / "links", tmp_path / "both.gz") == expected
    assert read_gold_set(tmp_path / "links", tmp_path / "source", tmp_path / "target") == expected


@pytest.mark.parametrize("line", ["a b", "a ||| b ||| c"])
def test_lines_that_hold_no_pair_are_refused(tmp_path, line):
    (tmp_path / "both").write_text(f"a ||| b\n{line}\n")
    (tmp_path / "links").write_text("1-1\n1-1\n")
    with pytest.raises(
        DataError, match=r"both:2: the line holds \d times \|\|\|, not once\nWrite: source \|\|\| target"
    ):
        read_gold_set(tmp_path / "links", tmp_path / "both")


def test_files_of_different_length_are_refused(tmp_path):
    for name, lines in (("source", 2), ("target", 1), ("links", 2)):
        (tmp_path / name).write_text("1-1\n" * lines)
    with pytest.raises(DataError, match=r"source: 2 lines, but 1 in .*target"):
        read_gold_set(tmp_path / "links", tmp_path / "source", tmp_path / "target")
