"""Documents of two collections are paired; similarities are those of one transport problem each."""

from __future__ import annotations

import json

import numpy as np
import ot
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from otembed.config import MatchConfig
from otembed.documents import align_collection, match_documents, read_documents
from otembed.documents.calibrate import pooled_rows
from otembed.documents.clouds import clouds_of, transport_similarity
from otembed.documents.match import candidates
from otembed.documents.output import check_match_output, write_matches
from otembed.documents.read import document_of
from otembed.errors import ConfigError, DataError


def random_clouds(seed, sizes, dimension=6):
    draw = np.random.default_rng(seed)
    documents = [document_of(["x" * draw.integers(1, 40) for _ in range(size)], str(size)) for size in sizes]
    vectors = draw.standard_normal((sum(sizes), dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return documents, vectors


def test_masses_are_shares_of_characters_and_pooled_vectors_their_means():
    documents = [document_of(["aaa", "a"], "x"), document_of(["bb"], "y")]
    vectors = np.eye(3, dtype=np.float32)
    clouds = clouds_of(documents, vectors)
    assert clouds.masses.tolist() == [0.75, 0.25, 1]
    expected = np.array([0.75, 0.25, 0]) / np.hypot(0.75, 0.25)
    np.testing.assert_allclose(clouds.pooled(), [expected, [0, 0, 1]], atol=1e-6)


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.integers(0, 99),
)
@settings(max_examples=15, deadline=None)
def test_similarity_is_one_minus_exact_transport(left, right, seed):
    (x_docs, x), (y_docs, y) = random_clouds(seed, left), random_clouds(seed + 1, right)
    source, target = clouds_of(x_docs, x, center=False), clouds_of(y_docs, y, center=False)
    rows, columns = (each.ravel() for each in np.indices((len(left), len(right))))
    found = transport_similarity(source, target, rows, columns, epsilon=0, relaxation=None)
    for value, i, j in zip(found, rows, columns, strict=True):
        one, other = slice(*source.bounds[i : i + 2]), slice(*target.bounds[j : j + 2])
        a, b = (side.astype(float) / side.sum(dtype=float) for side in (source.masses[one], target.masses[other]))
        cost = 1 - x[one].astype(float) @ y[other].astype(float).T
        assert value == pytest.approx(1 - ot.emd2(a, b, cost), abs=1e-5)


@pytest.fixture
def documents(sentences):
    return [document_of(sentences(5, seed=number), f"d{number}") for number in range(12)]


def test_documents_without_a_direction_are_an_error_or_not_centered():
    documents = [document_of(["a", "b"], "x"), document_of(["c"], "y")]
    opposite = clouds_of(documents, np.array([[1, 0], [-1, 0], [0, 1]], np.float32))
    with pytest.raises(DataError, match=r"source: 1 of 2 documents .* number 1") as caught:
        pooled_rows(opposite, "source")
    assert "center" in caught.value.hint
    same = [document_of(["a"] * 12, "x"), document_of(["a"], "y")]
    vectors = np.tile(np.array([0.6, 0.8], np.float32), (13, 1))
    assert clouds_of(same, vectors).mean is None
    with pytest.raises(DataError, match="2 of 2 documents"):
        pooled_rows(clouds_of(same, vectors, center=True), "target")


ANY_DOCUMENTS = st.lists(st.lists(st.text(max_size=12), max_size=4), max_size=5)


@given(ANY_DOCUMENTS, ANY_DOCUMENTS, st.integers(1, 3))
@example([["a"]] * 3, [["a"]] * 3, 2)
@example([["a", "b"], []], [["b"] * 300], 1)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_documents_give_pairs_or_an_error(tiny_model, tmp_path, source, target, k):
    sides = [[document_of(texts, str(number)) for number, texts in enumerate(side)] for side in (source, target)]
    if not all(any(each.sentences for each in side) for side in sides):
        with pytest.raises(DataError, match="no document with sentences"):
            match_documents(*sides, tiny_model, cache=tmp_path, k=k)
        return
    found = match_documents(*sides, tiny_model, cache=tmp_path, k=k)
    for names in ([pair.source.name for pair in found], [pair.target.name for pair in found]):
        assert len(set(names)) == len(names)
    assert np.isfinite([(pair.score, pair.similarity) for pair in found]).all()


def test_each_document_finds_its_copy(tiny_model, tmp_path, documents):
    targets = [document_of(each.sentences[::-1], f"t{each.name}") for each in documents[::-1]]
    found = match_documents(documents[:10], targets, tiny_model, cache=tmp_path)
    assert {(pair.source.name, pair.target.name) for pair in found} == {(f"d{n}", f"td{n}") for n in range(10)}
    assert [pair.score for pair in found] == sorted((pair.score for pair in found), reverse=True)
    assert all(pair.similarity > 0.9 for pair in found)
    report = found.report
    assert (report.sources, report.targets, report.pairs, report.sentences) == (10, 12, 10, 110)
    assert report.candidates <= 10 * 12
    assert type(report).from_json(report.to_json()) == report
    best = match_documents(documents[:10], targets, tiny_model, cache=tmp_path, threshold=found.pairs[3].score)
    assert len(best) == 4


def test_candidates_are_the_nearest_by_mean_vector(documents):
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((60, 8)).astype(np.float32)
    left = clouds_of(documents, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    forward, backward = candidates(left, left, MatchConfig(k=3), cache=None)
    assert forward.ids[:, 0].tolist() == backward.ids[:, 0].tolist() == list(range(12))
    cosines = left.pooled() @ left.pooled().T
    np.testing.assert_array_equal(np.sort(forward.ids, 1), np.sort(np.argsort(-cosines, 1)[:, :3], 1))


def test_matches_are_the_input_of_alignment(tiny_model, tmp_path, documents):
    found = match_documents(documents, documents, tiny_model, cache=tmp_path / "cache", relaxation=None, k=2)
    path = write_matches(found, tmp_path / "pairs.jsonl")
    row = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert row["source_id"] == row["target_id"]
    aligned = align_collection(path, tiny_model, cache=tmp_path / "cache")
    assert aligned.report.kinds == {"1-1": 60}
    lines = write_matches(found, tmp_path / "pairs.tsv").read_text(encoding="utf-8").splitlines()
    assert sorted(line.split("\t")[1] for line in lines) == sorted(each.name for each in documents)


def test_documents_without_sentences_are_in_no_pair(tiny_model, tmp_path, documents):
    found = match_documents([*documents, document_of([], "none")], documents, tiny_model, cache=tmp_path)
    assert (len(found), found.report.empty) == (12, 1)
    (pair,) = match_documents(
        [document_of(["the cat"], "a")], [document_of(["die Katze"], "b")], tiny_model, cache=tmp_path
    )
    assert (pair.source.name, pair.target.name) == ("a", "b")


def test_bad_collections_are_refused(tiny_model, tmp_path, documents):
    with pytest.raises(DataError, match="target has no document"):
        match_documents(documents, [document_of([], "none")], tiny_model, cache=tmp_path)
    with pytest.raises(DataError, match="source has two documents 'd3'"):
        match_documents([*documents, documents[3]], documents, tiny_model, cache=tmp_path)
    with pytest.raises(ConfigError, match="k"):
        match_documents(documents, documents, tiny_model, cache=tmp_path, k=0)
    with pytest.raises(ConfigError, match="margin"):
        match_documents(documents, documents, tiny_model, config=MatchConfig(), margin="ratio")
    with pytest.raises(ConfigError, match=r"\.tmx"):
        check_match_output(tmp_path / "x.tmx")


def test_places_of_collections(write, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "b.txt").write_text("b\n\nc\n")
    (tmp_path / "in" / "deep" / "a.txt").write_text("a")
    (tmp_path / "in" / ".hidden").write_bytes(b"\xff")
    found = [(each.name, each.sentences, each.numbers) for each in read_documents(tmp_path / "in")]
    assert found == [("b.txt", ("b", "c"), (0, 2)), ("deep/a.txt", ("a",), (0,))]
    with pytest.raises(DataError, match=r"i\.jsonl:2: id .*surrogate"):
        list(read_documents(write("i.jsonl", '{"id": 1, "text": "a"}\n{"id": "\\ud800x0", "text": "b"}\n')))
    path = write("l.jsonl.gz", '{"id": "x", "text": "a\\nb"}\n{"id": 7, "text": ["c"]}\n')
    assert [(each.name, each.sentences) for each in read_documents(path)] == [("x", ("a", "b")), ("7", ("c",))]
    path = write("m.jsonl", '{"body": "a"}\n')
    assert [each.name for each in read_documents(f"{path}?text=body")] == ["1"]
    for name, content, value in (
        ("n.jsonl", '{"body": "a"}\n', "body"),
        ("o.txt", "a", "collection"),
        ("p.jsonl", '{"text": 3}\n', "3"),
    ):
        with pytest.raises(DataError, match=value):
            list(read_documents(write(name, content)))
    with pytest.raises(DataError, match="nowhere"):
        list(read_documents(tmp_path / "nowhere"))
