"""Mining documents is matching, aligning and filtering; the plan is the work that a run does."""

from __future__ import annotations

import json
import re

import pytest

from otembed.config import DocumentMiningConfig, DocumentsConfig, MatchConfig
from otembed.documents import DocumentPair, align_collection, match_documents, mine_documents
from otembed.documents.mine import DocumentMiningPlan, plan_document_mining
from otembed.documents.read import document_of
from otembed.errors import ConfigError, DataError


@pytest.fixture
def sides(sentences):
    lines = [sentences(7, seed=number) for number in range(8)]
    source = [document_of(each, f"s{number}") for number, each in enumerate(lines)]
    return source, [document_of(each[1:], f"t{number}") for number, each in enumerate(lines[::-1])]


def test_pairs_are_those_of_matching_and_alignment(tiny_model, tmp_path, sides):
    found = mine_documents(*sides, tiny_model, cache=tmp_path / "one")
    matched = match_documents(*sides, tiny_model, cache=tmp_path / "two")
    pairs = [DocumentPair(pair.source.name, pair.source, pair.target) for pair in matched]
    aligned = align_collection(pairs, tiny_model, cache=tmp_path / "two", threshold=0.3)
    targets = {pair.source.name: pair.target.name for pair in matched}
    own = []
    for each in aligned.pairs():
        name, numbers = each.target_id.split(":")
        own.append(each._replace(target_id=f"{targets[name]}:{numbers}"))
    assert list(found.aligned.pairs()) == own
    assert targets == {f"s{number}": f"t{7 - number}" for number in range(8)}
    links = found.aligned.write(tmp_path / "out.links").read_text(encoding="utf-8").splitlines()
    assert [line for line in links if line.startswith("#")] == [
        f"# {source}\t{targets[source]}" for source in targets
    ]
    assert len(found.aligned) == 8
    assert min(pair.score for pair in found.aligned.pairs()) >= 0.3
    assert found.report.match["pairs"] == 8
    assert found.report.align["links"] == len(list(found.aligned.pairs())) >= 40
    again = mine_documents(*sides, tiny_model, cache=tmp_path / "one")
    assert again.aligned.report.resumed == 8
    assert list(again.aligned.pairs()) == list(found.aligned.pairs())


def test_settings_of_both_stages(tiny_model, tmp_path, sides):
    config = DocumentMiningConfig(match=MatchConfig(k=2), align=DocumentsConfig(max_sentences=2))
    found = mine_documents(*sides, tiny_model, config=config, cache=tmp_path)
    assert found.matched.candidates <= 2 * 16
    assert set(found.aligned.report.kinds) == {"1-1"}
    with pytest.raises(DataError, match="no documents match"):
        mine_documents(
            *sides, tiny_model, config=DocumentMiningConfig(match=MatchConfig(threshold=9.0)), cache=tmp_path
        )
    with pytest.raises(ConfigError, match="memory_gb"):
        mine_documents(
            *sides, tiny_model, config=DocumentMiningConfig(match=MatchConfig(memory_gb=1e-6)), cache=tmp_path
        )


def test_page_shows_links_below_the_threshold_too(tiny_model, tmp_path, sides):
    place = tmp_path / "page.html"
    config = DocumentMiningConfig(align=DocumentsConfig(threshold=0.9), html=str(place))
    found = mine_documents(*sides, tiny_model, config=config, cache=tmp_path / "cache")
    data = json.loads(re.search(r'id="mining">(.*?)</script>', place.read_text(encoding="utf-8"))[1])
    every = [pair for each in found.aligned for pair in each.pairs()]
    assert (data["kept"], data["total"]) == (found.aligned.report.links, len(every))
    known = {(pair.source_id, pair.target_id): pair.score for pair in every}
    assert all(known[each["source_id"], each["target_id"]] == each["score"] for each in data["pairs"])
    assert data["no_links"] is None
    with pytest.raises(ConfigError, match="folder"):
        mine_documents(
            *sides, tiny_model, config=DocumentMiningConfig(html=str(tmp_path)), cache=tmp_path / "cache"
        )


def test_plan_is_the_work_and_writes_nothing(tiny_model, tmp_path, sides):
    plan = plan_document_mining(*sides, tiny_model, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    texts = {text for side in sides for document in side for text in document.sentences}
    assert (plan.sources, plan.targets, plan.empty, plan.sentences) == (8, 8, 0, 104)
    assert plan.sentences_to_embed == len(texts)
    assert plan.candidates == 2 * 8 * 8
    longest = [max(map(len, side)) for side in sides]
    assert plan.memory_bytes == 2 * 4 * 32 * 104 + 28 * longest[0] * longest[1]
    assert DocumentMiningPlan.from_json(plan.to_json()) == plan
    match_documents(*sides, tiny_model, cache=tmp_path / "cache")
    assert plan_document_mining(*sides, tiny_model, cache=tmp_path / "cache").sentences_to_embed == 0
