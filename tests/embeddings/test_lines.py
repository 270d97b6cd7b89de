import numpy as np
import pytest

from otembed import mine_bitext
from otembed.embeddings.export import write_vectors
from otembed.embeddings.lines import check_two_sides, read_side
from otembed.embeddings.vectors import array_vectors
from otembed.errors import ConfigError, DataError


def test_distinct_lines_are_kept_in_order_and_repeats_counted(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes("b\r\n\r\na\tb\nb \nlöng one\n\ud800".encode("utf-8", "replace") + b"\n" + b"x" * 1001)
    lines = read_side(path)
    assert [lines.id_of(row) for row in range(len(lines))] == [1, 3, 5, 6]
    assert lines.texts(0, 99) == ["b", "a\tb", "löng one", "?"]
    assert lines.counts.as_dict()["dropped"] == {"empty": 1, "too_long": 1, "repeated": 1}
    assert lines.counts.read == 7
    assert lines.first_ids() == {4: 1}


def test_lists_jsonl_ids_and_length_limits(tmp_path):
    assert read_side(["aa", "b", "b"], max_characters=1).texts(0, 9) == ["b"]
    assert len(read_side(["x" * 9999], max_characters=None)) == 1
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a", "id": "k1"}\n{"text": "a", "id": "k2"}\n{"text": "\\ud800", "id": "k3"}\n')
    lines = read_side(f"{path}?id=id")
    assert (lines.id_of(0), lines.first_ids()) == ("k1", {"k2": "k1"})
    assert lines.counts.dropped == {"unpaired_surrogate": 1, "repeated": 1}


@pytest.mark.parametrize("ids", [(4, 3, 1, 2), "abcd", ("x1", "x2", "x3", "x4")])
def test_ids_change_neither_rows_nor_vectors(tmp_path, ids):
    path = tmp_path / "x.tsv"
    texts = ["the cat", "the dog", "the cat", "the house"]
    path.write_text("".join(f"{label}\t{text}\n" for label, text in zip(ids, texts, strict=True)))
    plain, named = read_side(f"{path}?text=1"), read_side(f"{path}?text=1&id=0")
    assert plain.rows_by_number().tolist() == named.rows_by_number().tolist() == [0, 1, 0, 2]
    assert named.first_ids() == {str(ids[2]): str(ids[0])}
    vectors = array_vectors(np.eye(3, dtype=np.float32), "x")
    written = [np.load(write_vectors(each, vectors, tmp_path / "x.npy")) for each in (plain, named)]
    np.testing.assert_array_equal(written[0], written[1])


def test_invisible_characters_are_not_text(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("x\n\u200b\u2060\nx\u200b\n\ufeff\n\u00ady\n", encoding="utf-8")
    lines = read_side(path)
    assert lines.texts(0, 9) == ["x", "y"]
    assert lines.counts.dropped == {"empty": 2, "repeated": 1}


def test_bare_cr_line_endings(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"a\rb\rc")
    assert read_side(tmp_path / "x.txt").texts(0, 9) == ["a", "b", "c"]


def test_digest_depends_only_on_texts_and_order(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("a\n\nb\nb\n")
    assert read_side(path).digest() == read_side(["a", " b"]).digest()
    assert len({read_side(each).digest() for each in (["ab"], ["a", "b"], ["b", "a"])}) == 3


@pytest.mark.parametrize(
    ("texts", "message"),
    [([], "0 read"), (["", "  "], "2 read, 0 kept"), (["a", 3], "text 2 is int")],
)
def test_input_without_usable_text_is_rejected(texts, message):
    with pytest.raises(DataError, match=message):
        read_side(texts)


def test_duplicate_id_and_stdin_twice_are_rejected(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("k\ta\nk\tb\n")
    with pytest.raises(DataError, match=r"'k' .*line 1"):
        read_side(f"{path}?text=1&id=0")
    with pytest.raises(ConfigError, match="stdin"):
        check_two_sides("-", "-")


def test_given_vectors_follow_the_language_filter_of_their_lines(tmp_path):
    pytest.importorskip("py3langid")
    lines = ["The cat sat on the mat.", "Die Katze saß auf der Matte.", "The dog slept in the house."]
    vectors = np.eye(3, dtype=np.float32)
    mined = mine_bitext(lines, vectors, source_vectors=vectors, source_language="en", threshold=None, k=1)
    assert {pair.source_id for pair in mined} == {1, 3}
    assert all(pair.source_id == pair.target_id for pair in mined)
    with pytest.raises(ConfigError, match="target_vectors"):
        mine_bitext(lines, vectors, source_vectors=vectors, target_language="en")
