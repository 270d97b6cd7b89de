"""From documents to links with a tiny encoder: numbers, resuming, broken inputs, engines."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import otembed
from otembed.config import DocumentsConfig
from otembed.data.checks import SURROGATE
from otembed.documents import DocumentPair, align_collection, align_documents, align_work
from otembed.documents.align_work import run_vectors, runs_of
from otembed.documents.links import AlignedPair, Link
from otembed.documents.output import check_links_output, number_lines
from otembed.documents.read import Document, document_of
from otembed.errors import ConfigError, DataError, NumericsError
from otembed.tasks.documents import read_gold

SOURCE = ["the cat sat on the mat", "", "the dog slept in the house", "the cat slept", "a dog sat on a mat"]
TARGET = ["die Katze saß auf der Matte", "der Hund schlief im Haus", "die Katze schlief"]


@pytest.fixture
def align(tiny_model, tmp_path):
    def align(source, target, **settings):
        return align_documents(source, target, tiny_model, cache=tmp_path / "cache", **settings)

    return align


def pairs_of(sentences, count, length=6):
    made = []
    for number in range(count):
        lines = sentences(2 * length, seed=number)
        made.append(DocumentPair(f"d{number}", document_of(lines[:length], "a"), document_of(lines[length:], "b")))
    return made


def test_identical_documents_have_perfect_links(align):
    found = align(SOURCE, SOURCE)
    assert [(link.source, link.target) for link in found] == [((i,), (i,)) for i in (0, 2, 3, 4)]
    assert min(link.score for link in found) > 0.999
    assert min(link.cosine for link in found) > 0.999
    first = next(iter(found.pairs()))
    assert first[2:] == ("1:0", "1:0", SOURCE[0], SOURCE[0])


def test_every_sentence_is_in_one_link_and_blank_lines_in_none(align):
    found = align(SOURCE, TARGET)
    for side, numbers in (("source", [0, 2, 3, 4]), ("target", [0, 1, 2])):
        assert sorted(number for link in found.links for number in getattr(link, side)) == numbers
    assert all(link.score <= 1 for link in found.links)
    unaligned = [link for link in found.links if not link.is_pair]
    assert all(link.score == link.cosine == 0 for link in unaligned)


def test_runs_are_encoded_as_joined_texts(tiny_model, tmp_path):
    document = document_of(SOURCE, "x")
    work = align_work.AlignWork(tiny_model, None, "f", "", DocumentsConfig(max_sentences=4), tmp_path)
    (vectors,) = run_vectors(work, tiny_model, [document], lambda *_: None)
    assert vectors.shape == (3, 4, 32)
    for length in range(1, 4):
        expected = tiny_model.encode(runs_of(document, length), normalize_embeddings=True, prompt="")
        np.testing.assert_allclose(vectors[length - 1, : len(expected)], expected, atol=1e-5)
        assert not vectors[length - 1, len(expected) :].any()


def test_mean_runs_are_unit_means_of_sentences(tiny_model, tmp_path):
    document = document_of(SOURCE, "x")
    config = DocumentsConfig(max_sentences=4, runs="mean")
    work = align_work.AlignWork(tiny_model, None, "f", "", config, tmp_path)
    (vectors,) = run_vectors(work, tiny_model, [document], lambda *_: None)
    assert len(list((tmp_path / "embeddings").glob("[!.]*"))) == 1
    mean = vectors[0, 1:4].sum(0)
    np.testing.assert_allclose(vectors[2, 1], mean / np.linalg.norm(mean), atol=1e-6)
    assert not vectors[2, 2:].any()


@pytest.mark.parametrize("setting", [{"center": False}, {"length_weight": 0.0}])
def test_settings_change_the_scores(align, sentences, setting):
    lines = sentences(24)
    plain, found = (align(lines, [line[2:] for line in lines], **each) for each in ({}, setting))
    assert [link.score for link in found] != [link.score for link in plain]


def test_reordered_documents_are_linked(align, sentences):
    lines = sentences(24)
    moved = [*lines[12:], *lines[:12]]
    found = align(lines, moved)
    assert [(link.source, link.target) for link in found] == [((i,), ((i + 12) % 24,)) for i in range(24)]
    assert len(list(align(lines, moved, reorder=False))) < 20


@pytest.mark.parametrize(("source", "target"), [([], ["a"]), (["a"], []), (["", " "], ["a"]), ([], [])])
def test_documents_without_sentences_have_no_links(align, source, target):
    found = align(source, target)
    assert list(found) == []
    assert len(found.links) == max(sum(map(bool, map(str.strip, source))), sum(map(bool, target)))


def test_one_sentence_against_many(align, sentences):
    lines = sentences(300)
    found = align([lines[150]], lines)
    (link,) = found
    assert len(link.target) <= 5
    assert sum(len(each.target) for each in found.links) == 300


def test_collection_resumes_after_an_interruption_with_the_same_bytes(tiny_model, tmp_path, sentences, monkeypatch):
    monkeypatch.setattr(align_work, "GROUP_SENTENCES", 24)
    pairs = pairs_of(sentences, 7)
    whole = align_collection(pairs, tiny_model, cache=tmp_path / "whole")
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole" / "documents").iterdir()}
    assert len(files) == 4  # texts for workers are gone

    def stop(stage, done, total):
        if done >= 60:
            raise KeyboardInterrupt

    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        align_collection(pairs, tiny_model, cache=cut, progress=stop)
    damaged = next((cut / "documents").glob("links-*"))
    damaged.write_bytes(damaged.read_bytes()[:-3])
    told = []
    again = align_collection(pairs, tiny_model, cache=cut, progress=lambda *each: told.append(each))
    assert {path.name: path.read_bytes() for path in (cut / "documents").iterdir()} == files
    assert again.report.resumed == 2
    assert told[-1][1:] == (84, 84)
    assert [each.id for each in again] == [f"d{number}" for number in range(7)]
    assert list(again) == list(whole)
    third = align_collection(pairs, tiny_model, cache=cut)
    assert third.report.resumed == 7
    assert list(third) == list(whole)


def test_two_runs_on_the_same_documents(tiny_model, tmp_path, sentences, monkeypatch):
    monkeypatch.setattr(align_work, "GROUP_SENTENCES", 24)
    pairs = pairs_of(sentences, 5)
    whole = align_collection(pairs, tiny_model, cache=tmp_path / "whole")
    cache, other = tmp_path / "cache", []
    write, solve, solved = align_work.write_sealed, align_work.solve_pair, []

    def meanwhile(*arguments, **options):
        monkeypatch.setattr(align_work, "write_sealed", write)
        other.append(align_collection(pairs, tiny_model, cache=cache))
        write(*arguments, **options)

    def counted(pair, *arguments):
        solved.append(pair.id)
        return solve(pair, *arguments)

    monkeypatch.setattr(align_work, "write_sealed", meanwhile)
    monkeypatch.setattr(align_work, "solve_pair", counted)
    found = align_collection(pairs, tiny_model, cache=cache)
    assert list(found) == list(other[0]) == list(whole)
    assert {path.name for path in (cache / "documents").iterdir()} == {
        path.name for path in (tmp_path / "whole" / "documents").iterdir()
    }
    # The run that was overtaken takes over the links of the groups that it had not begun.
    assert solved == ["d0", "d1", "d0", "d1", "d2", "d3", "d4"]


def test_pairs_of_a_killed_run_are_removed(tiny_model, tmp_path, sentences):
    left = tmp_path / "documents" / ".pairs.abcd1234.tmp"
    left.mkdir(parents=True)
    (left / "links-0.json").write_text("[]")
    align_collection(pairs_of(sentences, 1), tiny_model, cache=tmp_path)
    assert [path.name.partition("-")[0] for path in (tmp_path / "documents").iterdir()] == ["links"]


def test_report_counts_links_and_sentences(tiny_model, tmp_path, sentences):
    pairs = [*pairs_of(sentences, 2), DocumentPair("none", document_of([], "a"), document_of(["the cat"], "b"))]
    found = align_collection(pairs, tiny_model, cache=tmp_path)
    report = found.report
    links = [link for pair in found for link in pair]
    assert (report.documents, report.empty, report.sentences) == (3, 1, 25)
    assert report.links == len(links) == sum(report.kinds.values()) == len(list(found.pairs()))
    assert report.unaligned == 25 - sum(len(link.source) + len(link.target) for link in links)
    assert len(list(found.pairs(unaligned=True))) == report.links + report.unaligned
    assert type(report).from_json(report.to_json()) == report


def test_threshold_selects_links_and_frees_their_sentences(tiny_model, tmp_path, sentences):
    pairs = pairs_of(sentences, 3)
    every = align_collection(pairs, tiny_model, cache=tmp_path)
    scores = sorted(pair.score for pair in every.pairs())
    middle = scores[len(scores) // 2]
    found = align_collection(pairs, tiny_model, cache=tmp_path, threshold=middle)
    assert found.report.resumed == 3
    assert sorted(pair.score for pair in found.pairs()) == [score for score in scores if score >= middle]
    texts = [pair for pair in found.pairs(unaligned=True) if not (pair.source and pair.target)]
    assert len(texts) == found.report.unaligned > every.report.unaligned


def test_outputs(tiny_model, tmp_path, sentences):
    pairs = pairs_of(sentences, 2)
    found = align_collection(pairs, tiny_model, cache=tmp_path / "cache")
    for suffix in (".tsv", ".jsonl", ".parquet", ".tmx"):
        path = found.write(tmp_path / f"out{suffix}", languages=("en", "de"))
        if suffix != ".parquet":
            assert path.read_text(encoding="utf-8").count("\n") >= found.report.links
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["source"], row["target"]) for row in rows] == [
        (each.source, each.target) for each in found.pairs()
    ]
    spec = otembed.data.parse_pair_spec("en-de", str(tmp_path / "out.tmx"))
    assert [tuple(row[:2]) for row in otembed.data.read_pairs(spec)] == [
        (row["source"], row["target"]) for row in rows
    ]
    unaligned = found.write(tmp_path / "all.tsv", unaligned=True).read_text(encoding="utf-8").splitlines()
    assert len(unaligned) == found.report.links + found.report.unaligned
    assert all(len(line.split("\t")) == 3 for line in unaligned)


def test_number_form_is_read_as_gold(tiny_model, tmp_path, sentences):
    (pair,) = pairs_of(sentences, 1)
    found = align_collection([pair], tiny_model, cache=tmp_path / "cache")
    path = found.write(tmp_path / "x.links", unaligned=True)
    assert read_gold(path) == [(link.source, link.target) for link in next(iter(found)).links]
    several = align_collection(pairs_of(sentences, 2), tiny_model, cache=tmp_path / "cache")
    heads = [line for line in number_lines(several, unaligned=False) if line.startswith("#")]
    assert heads == ["# d0\n", "# d1\n"]


class Counted(tuple):
    """Numbers that count how often they are read as a whole."""

    reads = 0

    def __iter__(self):
        Counted.reads += 1
        return super().__iter__()


def test_documents_are_read_once_for_all_links(monkeypatch):
    monkeypatch.setattr(Counted, "reads", 0)
    count = 50
    sides = [
        Document(name, tuple(f"{name}{number}" for number in range(count)), Counted(range(0, 2 * count, 2)))
        for name in "ab"
    ]
    links = tuple(Link((2 * number,), (2 * number,), 0.5, 0.5) for number in range(count))
    found = list(AlignedPair("1", *sides, links).pairs())
    assert [(each.source, each.target) for each in found] == [
        (f"a{number}", f"b{number}") for number in range(count)
    ]
    assert Counted.reads == 2


def test_bad_outputs_and_settings_are_refused(tmp_path, align):
    with pytest.raises(ConfigError, match=r"\.xyz.*\n.*\.links"):
        check_links_output(tmp_path / "a.xyz", None)
    with pytest.raises(ConfigError, match="language"):
        check_links_output(tmp_path / "a.tmx", None)
    with pytest.raises(ConfigError, match="max_sentences"):
        align(SOURCE, TARGET, max_sentences=1)
    with pytest.raises(ConfigError, match="band"):
        align(SOURCE, TARGET, config=DocumentsConfig(), band=5)
    with pytest.raises(ConfigError, match="prompt"):
        DocumentsConfig(prompt="a", prompt_name="b")
    with pytest.raises(DataError, match="sentence 1"):
        align(["a", 3], TARGET)


def test_no_pairs_are_refused(tiny_model, tmp_path):
    with pytest.raises(DataError, match="no pairs"):
        align_collection([], tiny_model, cache=tmp_path)


def test_nan_of_the_model_is_refused(tiny_model, tmp_path):
    tiny_model[0].model.embeddings.LayerNorm.weight.data[:] = float("nan")
    with pytest.raises(NumericsError):
        align_documents(SOURCE, TARGET, tiny_model, cache=tmp_path)


@pytest.mark.slow
def test_worker_processes_give_the_same_bytes(tiny_model_path, tmp_path, sentences, monkeypatch):
    monkeypatch.setattr(align_work, "GROUP_SENTENCES", 24)
    pairs = pairs_of(sentences, 3)
    found = [
        align_collection(
            pairs, str(tiny_model_path), cache=tmp_path / engine, engine=engine, workers=2, device="cpu"
        )
        for engine in ("local", "processes")
    ]
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / engine / "documents").iterdir()}
        for engine in ("local", "processes")
    ]
    assert list(found[0]) == list(found[1])
    assert contents[0] == contents[1]


@given(st.lists(st.text(max_size=12), max_size=6), st.lists(st.text(max_size=12), max_size=6), st.integers(2, 4))
@example(["a"], ["b"] * 300, 4)
@example(["a b"] * 40, ["a b"] * 40, 4)
@example([], ["a"], 2)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_texts_give_links_or_an_error(align, source, target, max_sentences):
    if SURROGATE.search("".join(source + target)):
        with pytest.raises(DataError, match="surrogate"):
            align(source, target, max_sentences=max_sentences)
        return
    found = align(source, target, max_sentences=max_sentences)
    numbers = [link.source for link in found.links]
    assert sorted(sum(numbers, ())) == list(found.source.numbers)
    assert all(np.isfinite([link.score, link.cosine]).all() for link in found.links)
