"""CoNLL-U: what is read, and what is rejected with its line."""

from __future__ import annotations

import pytest

from otembed.errors import ConfigError, DataError
from otembed.tasks.tagging import read_tagged
from otembed.tasks.tagging.conllu import TAGS, check_treebank

REST = "_\t_\t_\t_\t_\t_"
PUBLISHED = f"""# newdoc id = 1
# text = Vámonos al mar
1-2\tVámonos\t_\t_\t{REST}
1\tVamos\tir\tVERB\t{REST}
2\tnos\tnosotros\tPRON\t{REST}
3-4\tal\t_\t_\t{REST}
3\ta\ta\tADP\t{REST}
4\tel\tel\tDET\t{REST}
4.1\tgran\t_\t_\t{REST}
4.2\tazul\t_\t_\t{REST}
5\tmar\tmar\tNOUN\t{REST}

# text = 10 000
0.1\tx\t_\t_\t{REST}
1\t10 000\t_\tNUM\t{REST}
"""


def word(number, tag="NOUN", form="x", columns=10):
    return "\t".join([str(number), form, "_", tag, *["_"] * 6][:columns])


@pytest.mark.parametrize("name", ["a.conllu", "a.conllu.gz", "a.conllu.xz", "a.conllu.zst", "a.conllu.bz2"])
@pytest.mark.parametrize("ending", ["", "\n", "\n\n"])
def test_words_and_tags_are_read_without_ranges_and_empty_nodes(write, name, ending):
    path = write(name, PUBLISHED + ending)
    found = read_tagged(path)
    first, second = found.sentences
    assert first.words == ("Vamos", "nos", "a", "el", "mar")
    assert [TAGS[tag] for tag in first.tags] == ["VERB", "PRON", "ADP", "DET", "NOUN"]
    assert (second.words, [TAGS[tag] for tag in second.tags]) == (("10 000",), ["NUM"])
    assert (first.line, second.line, found.where) == (4, 15, str(path))
    assert found.lengths.tolist() == [5, 1]
    assert found.tags().tolist() == [*first.tags, *second.tags]


def test_windows_line_endings_and_blank_lines_of_spaces(write):
    text = PUBLISHED.replace("\n\n", "\n  \n").replace("\n", "\r\n")
    assert [len(each.words) for each in read_tagged(write("a.conllu", text)).sentences] == [5, 1]


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        ([word(1), word(2, columns=9)], 2, r"9 columns.*\n.*CoNLL-U"),
        ([word(1) + "\tmore"], 1, "11 columns"),
        ([word(1).replace("\t", " ")], 1, "1 columns"),
        ([word(2)], 1, "number '2' after word 0"),
        ([word(1), word(1)], 2, r"number '1' after word 1.*\n.*empty line"),
        ([word(1), word(3)], 2, "number '3' after word 1"),
        ([word("01")], 1, "number '01'"),
        ([word("one")], 1, "number 'one'"),
        ([word("-1")], 1, "number '-1'"),
        ([word("1-1"), word(1)], 1, "number '1-1'"),
        ([word("2-3"), word(1)], 1, "number '2-3'"),
        ([word("1-2"), word(1), word("2-3"), word(2), word(3)], 3, "number '2-3'"),
        ([word("1-3"), word(1), word(2), ""], 1, "up to word 3 of a sentence of 2 words"),
        ([word("1.1"), word(1)], 1, "number '1.1'"),
        ([word(1), word("1.2")], 2, "number '1.2'"),
        ([word(1), word("1.1"), word("1.1")], 3, "number '1.1'"),
        ([word(1, "_")], 1, r"word 1, 'x', has no tag.*\n.*column 4"),
        ([word(1, "")], 1, "has no tag"),
        ([word(1, "noun")], 1, r"unknown tag 'noun'.*\n.*'NOUN'"),
        ([word(1, "NN")], 1, r"unknown tag 'NN'.*\n"),
        ([word(1, form="")], 1, "word 1 is empty"),
        ([word(1), "", word(1, form="_"), word(2, form="_")], 3, "without its text"),
    ],
)
def test_malformed_lines_are_rejected_with_their_number(write, lines, line, message):
    path = write("bad.conllu", "# comment-free below\n" + "\n".join(lines))
    with pytest.raises(DataError, match=rf"bad\.conllu:{line + 1}: .*{message}") as caught:
        read_tagged(path)
    assert caught.value.line == line + 1


def test_files_without_sentences_and_places_that_are_no_files_are_rejected(write, tmp_path):
    for text in ("", "\n\n", "# only = comments\n\n"):
        with pytest.raises(DataError, match=r"no sentence"):
            read_tagged(write("empty.conllu", text))
    with pytest.raises(DataError, match=r"no such file.*\n.*empty\.conllu"):
        check_treebank(tmp_path / "emty.conllu")
    with pytest.raises(DataError, match="a folder"):
        check_treebank(tmp_path)
    with pytest.raises(ConfigError, match="'-'"):
        check_treebank("-")
    with pytest.raises(DataError, match=r"latin\.conllu:1: not UTF-8"):
        read_tagged(write("latin.conllu", word(1, form="é").encode("latin-1")))


def test_samples_and_their_rest(write):
    data = read_tagged(write("a.conllu", "\n\n".join(word(1, form=str(n)) for n in range(20))))
    chosen = data.sample(5, seed=3)
    rest = data.without(chosen)
    assert (len(chosen), len(rest), chosen.whole) == (5, 15, 20)
    assert not {each.words for each in chosen.sentences} & {each.words for each in rest.sentences}
    assert data.sample(99) is data
    assert data.spread(None) is data
    assert len({data.digest(), chosen.digest(), rest.digest()}) == 3
    assert [each.words[0] for each in data.spread(4).sentences] == ["0", "5", "10", "15"]
    other = read_tagged(write("b.conllu", "\n\n".join(word(1, "VERB", str(n)) for n in range(20))))
    assert other.digest() != data.digest()
