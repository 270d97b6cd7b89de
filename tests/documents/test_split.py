"""Plain text is split into sentences by paragraph and by language."""

from __future__ import annotations

import builtins
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otembed.config import DocumentMiningConfig, DocumentsConfig, MatchConfig
from otembed.documents import Splitter, align_documents, read_document, read_documents, read_pairs, split_text
from otembed.documents.split import paragraphs
from otembed.errors import ConfigError, DataError
from otembed.tasks.documents import GoldDocuments, evaluate_documents

pytest.importorskip("sentencex", reason="sentencex is not installed: otembed[split]")


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        (
            "de",
            [
                "Dr. Mai kam am 3. Juni 2020 nach Bonn.",
                "Er traf z. B. Prof. Weber u. a. Kollegen.",
                "„Wie?“, rief er.",
            ],
        ),
        ("zh_Hant", ["今天天气很好。", "我们去公园吧!", "他说:“你好。我是王。”", "真的吗?"]),
        ("ja", ["今日は天気がいい。", "公園に行こう!"]),
        ("hi", ["यह एक वाक्य है।", "क्या यह तीसरा है?", "हाँ।"]),
        ("ar", ["كيف حالك؟", "أنا بخير.", "هل ذهبت إلى السوق؟"]),
        ("sw", ["Habari ya asubuhi.", "Je, unajua?"]),
        ("tlh", ["One.", "Two."]),
    ],
)
def test_sentences_of_languages(language, sentences):
    joint = "" if language in ("zh_Hant", "ja") else " "
    assert split_text(joint.join(sentences), language) == sentences


def test_paragraphs_end_at_blank_lines_or_else_at_each_line():
    wrapped = ["A title", "", "A sentence that", "goes on. And", "another. ", " \u200b", "", "The end"]
    assert Splitter("en")(wrapped) == ["A title", "A sentence that goes on.", "And another.", "The end"]
    assert Splitter("en")([each for each in wrapped if each.strip(" \u200b")]) == [
        "A title",
        "A sentence that",
        "goes on.",
        "And",
        "another.",
        "The end",
    ]
    assert paragraphs(["", "a", "b", ""]) == ["a", "b"]
    assert Splitter("zh")(["今天天", "气好。我", "", "是"]) == ["今天天气好。", "我", "是"]


@given(
    st.text(alphabet="ab AB.?!\"'“”()。「」।؟é\u0301\u2028\u3000\xa0\r\n\t1:,;-你", max_size=60),
    st.sampled_from(["en", "de", "ar", "zh", "hi", "fr"]),
)
def test_no_character_is_lost(text, language):
    found = split_text(text, language)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(each == each.strip() != "" for each in found)


@pytest.mark.parametrize("language", ["th", "tha", "lo", "km", "bo"])
def test_languages_without_rules_are_refused(language):
    with pytest.raises(ConfigError, match=r"no rule(.|\n)*split_source"):
        Splitter(language)


@pytest.mark.parametrize("language", ["", "german", "DE", "d"])
def test_codes_that_are_none_are_refused(language):
    with pytest.raises(ConfigError, match="language code"):
        Splitter(language)


def test_surrogates_and_failures_of_the_library_are_errors_with_the_place():
    with pytest.raises(DataError, match=r"a\.txt"):
        Splitter("en")(["a \ud800."], "a.txt")
    splitter = Splitter("en")

    class PanicException(BaseException):
        pass

    def fail(*_):
        raise PanicException

    splitter._segment = fail
    with pytest.raises(DataError, match=r"a\.txt.*'Some text\.'"):
        splitter(["Some text."], "a.txt")


def test_missing_package_names_the_extra(monkeypatch):
    found = builtins.__import__

    def without(name, *rest, **more):
        if name == "sentencex":
            raise ImportError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"otembed\[split\]"):
        Splitter("de")


def test_places_are_split_and_sentences_numbered(write, tmp_path):
    path = write("a.txt.gz", "Titel\n\nEins ist\nda. Zwei.\n")
    found = read_document(path, Splitter("de"))
    assert (found.sentences, found.numbers) == (("Titel", "Eins ist da.", "Zwei."), (0, 1, 2))
    rows = [{"source": "Eins. Zwei.", "target": ["One. Two."]}]
    pairs = write("l.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    (pair,) = read_pairs(pairs, (Splitter("de"), Splitter("en")))
    assert (pair.source.sentences, pair.target.sentences) == (("Eins.", "Zwei."), ("One. Two.",))
    texts = write("t.jsonl", json.dumps({"text": "Eins. Zwei."}))
    assert [len(each) for each in read_documents(texts, Splitter("de"))] == [2]
    assert [len(each) for each in read_documents(texts)] == [1]


def test_alignment_splits_files_and_not_lists(tiny_model, tmp_path, write):
    text = "The cat sat. The dog\nslept in the house.\n\nThe cat slept."
    path = write("a.txt", text)
    found = align_documents(path, path, tiny_model, cache=tmp_path, split_source="en", split_target="en")
    assert [link.source for link in found] == [link.target for link in found] == [(0,), (1,), (2,)]
    assert found.texts(next(iter(found))) == ("The cat sat.",) * 2
    found = align_documents(["The cat. The dog."], path, tiny_model, cache=tmp_path, split_source="en")
    assert (len(found.source), len(found.target)) == (1, 3)
    with pytest.raises(ConfigError, match="no rule"):
        align_documents(path, path, "nowhere", split_source="th")


def test_settings_that_would_do_nothing_are_refused(tiny_model, write):
    with pytest.raises(ConfigError, match=r"match\.split_target"):
        DocumentMiningConfig(align=DocumentsConfig(split_target="de"))
    assert DocumentMiningConfig(match=MatchConfig(split_target="de")).match.split_target == "de"
    path = write("a.txt", "a")
    gold = GoldDocuments.read(path, path, write("gold", "[0]:[0]"))
    with pytest.raises(ConfigError, match="split_source"):
        evaluate_documents(tiny_model, {"a": gold}, split_source="de")
