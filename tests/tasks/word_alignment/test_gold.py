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
        ("1 0 2 S\n1 3 0 P\n2 1 1 S\n", 1, [gold(()), gold({(0, 0)})]),
        ("1 1 1 .5\n1 1 2 P 1e-3\n1 2 1 S 1.\n", 1, [gold({(0, 0), (1, 0)}, {(0, 1)})]),
    ],
)
def test_both_formats_are_read(tmp_path, text, base, expected):
    path = tmp_path / "gold"
    path.write_text(text)
    assert read_gold(path, index_base=base) == expected
    assert read_gold(path, [(3, 3)] * len(expected), index_base=base) == expected


def test_trailing_pairs_without_links_are_kept_if_the_number_of_pairs_is_known(tmp_path):
    (tmp_path / "gold").write_text("1 1 1 S\n")
    assert read_gold(tmp_path / "gold", [(1, 1)] * 3) == [gold({(0, 0)}), gold(()), gold(())]


@pytest.mark.parametrize(
    ("text", "base", "message"),
    [
        ("", 1, "gold: "),
        ("\n \n", 1, "gold: "),
        ("1-1\n1-x\n", 1, r"gold:2: '1-x'(.|\n)*i-j"),
        ("1-1\n0-1\n", 1, r"gold:2: .*0-1(.|\n)*--index-base 0"),
        ("1-1\n1-4\n", 1, "gold:2: .*1-4 .*3 and 3"),
        ("1-1\n3-0\n", 0, "gold:2: .*3-0 .*3 and 3"),
        ("1-1\n", 1, "gold: 1 .*2 "),
        ("1-1\n1-1\n1-1\n", 1, "gold:3: .* 3.* 2 "),
        ("1-1\n1-1\n\n", 1, "gold: 3 .*2 "),
        ("1 1 1 S\n1 1 S\n", 1, "gold:2: '1 1 S'(.|\n)*sentence source target"),
        ("1 1 1 S\n2 1 9 S\n", 1, "gold:2: .*1-9 "),
        ("0 1 1 S\n0 0 0 S\n", 1, "gold:2: .*0-0(.|\n)*--index-base 0"),
        ("1-1\n" + "9" * 5000 + "-1\n", 1, "gold:2: "),
        ("1 1 1\n1 1 " + "9" * 5000 + "\n", 1, "gold:2: "),
        ("1 1 1 S\n3 1 1 S\n", 1, "gold:2: .* 3.* 2 "),
    ],
)
def test_malformed_files_are_rejected_with_their_line(tmp_path, text, base, message):
    path = tmp_path / "gold"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_gold(path, [(3, 3), (3, 3)], index_base=base)


def test_number_far_beyond_the_links_is_rejected(tmp_path):
    (tmp_path / "gold").write_text("1 1 1\n999999999 1 1\n")
    with pytest.raises(DataError, match=r"gold: .*999999999"):
        read_gold(tmp_path / "gold")


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
def test_lines_without_a_pair_are_rejected(tmp_path, line):
    (tmp_path / "both").write_text(f"a ||| b\n{line}\n")
    (tmp_path / "links").write_text("1-1\n1-1\n")
    with pytest.raises(DataError, match=r"both:2: (.|\n)*source \|\|\| target"):
        read_gold_set(tmp_path / "links", tmp_path / "both")


def test_files_of_different_length_are_rejected(tmp_path):
    for name, lines in (("source", 2), ("target", 1), ("links", 2)):
        (tmp_path / name).write_text("1-1\n" * lines)
    with pytest.raises(DataError, match=r"source: 2 .* 1 .*target"):
        read_gold_set(tmp_path / "links", tmp_path / "source", tmp_path / "target")


def tagged(tmp_path, name, *sentences):
    path = tmp_path / name
    path.write_text("".join(f"<s snum={number}> {text} </s>\n" for number, text in sentences))
    return path


def test_tags_of_the_shared_task_number_sentences_and_are_not_words(tmp_path):
    source = tagged(tmp_path, "source", ("0017", "a b"), ("0009", "c"))
    target = tagged(tmp_path, "target", ("17", "x"), ("9", "y z"))
    (tmp_path / "links").write_text("0009 1 2 S\n0017 2 1 P\n")
    expected = ([["a", "b"], ["c"]], [["x"], ["y", "z"]], [gold((), {(1, 0)}), gold({(0, 1)})])
    assert read_gold_set(tmp_path / "links", source, target) == expected
    lines = zip(source.read_text().splitlines(), target.read_text().splitlines(), strict=True)
    (tmp_path / "both").write_text("".join(f"{x} ||| {y}\n" for x, y in lines))
    assert read_gold_set(tmp_path / "links", tmp_path / "both") == expected
    (tmp_path / "links").write_text("0018 1 1 S\n")
    with pytest.raises(DataError, match=r"links:1: .*18"):
        read_gold_set(tmp_path / "links", source, target)


@pytest.mark.parametrize("numbers", [(1, 3), (2, 1), (1, 1)])
def test_mismatched_sentence_numbers_are_rejected(tmp_path, numbers):
    source = tagged(tmp_path, "source", *((number, "a") for number in numbers))
    target = tagged(tmp_path, "target", (1, "x"), (1 if numbers == (1, 1) else 2, "y"))
    (tmp_path / "links").write_text("1 1 1\n")
    with pytest.raises(DataError, match=r"source:[12]: .*[123]"):
        read_gold_set(tmp_path / "links", source, target)
