"""Hard negatives against a loop over all pairs, and against sentence-transformers where the rules are the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset
from sentence_transformers.util import mine_hard_negatives

from otembed.config import NegativesConfig
from otembed.data import parse_pair_spec
from otembed.errors import ConfigError, DataError
from otembed.mining import mine_negatives
from otembed.mining.negatives.mine import plan_negatives
from otembed.mining.negatives.translations import text_key
from otembed.mining.search.search import search

OFF = {"relative_margin": None}


@pytest.fixture
def pairs(sentences):
    """40 pairs; two sources share a translation, one source has two, one target is a copy in capitals."""
    sources, targets = sides_of(sentences, 40)
    targets[3] = targets[7]
    targets[11] = f"{targets[12].upper()}!"
    return [*zip(sources, targets, strict=True), (sources[20], "die Katze saß auf der Matte")]


def sides_of(sentences, count):
    """Sides that pass the checks of lengths."""
    return [
        [f"{head} {text}" for text in sentences(count, seed=seed)]
        for seed, head in enumerate(("the cat", "die Katze"))
    ]


def embedded(model, texts, center):
    vectors = model.encode(texts, normalize_embeddings=True).astype(np.float64)
    if center:
        vectors = vectors - vectors.mean(0)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_loops(model, pairs, config, *, center):
    """Every rule, one source and one candidate at a time: pairs with all candidates that are left, best first."""
    sides = [list(dict.fromkeys(each)) for each in zip(*pairs, strict=True)]
    vectors = [embedded(model, each, center) for each in sides]
    known = {text_key(text): {text_key(text)} for side in sides for text in side}
    for source, target in pairs:
        group = known[text_key(source)] | known[text_key(target)]
        for text in group:
            known[text] = group
    found = []
    for source, target in pairs:
        vector = vectors[0][sides[0].index(source)]
        own = min(float(vector @ vectors[1][sides[1].index(t)]) for s, t in pairs if s == source)
        pool = []
        for number, name in enumerate(("source", "target")):
            if config.side in (name, "both"):
                pool += [(float(vector @ v), t) for v, t in zip(vectors[number], sides[number], strict=True)]
        pool = [(score, text) for score, text in pool if text_key(text) not in known[text_key(source)]]
        pool = sorted(pool, reverse=True)[: config.candidates]
        if config.absolute_margin is not None:
            pool = [each for each in pool if each[0] <= own - config.absolute_margin]
        if config.relative_margin is not None:
            pool = [each for each in pool if each[0] <= own - abs(own) * config.relative_margin]
        if config.max_score is not None:
            pool = [each for each in pool if each[0] <= config.max_score]
        if config.min_score is not None:
            pool = [each for each in pool if each[0] >= config.min_score]
        pool = pool[config.range_min :]
        if len(pool) >= config.num_negatives:
            found.append((source, target, tuple(text for _, text in pool), [score for score, _ in pool]))
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"center": False, "relative_margin": 0.01},
        {**OFF, "side": "source", "num_negatives": 2},
        {"side": "both", "relative_margin": 0.3},
        {**OFF, "absolute_margin": 0.1, "range_min": 2, "range_max": 12},
        {**OFF, "max_score": 0.3, "min_score": -0.2, "num_negatives": 5, "range_max": 100},
    ],
)
def test_negatives_are_those_of_a_loop_over_all_pairs(pairs, tiny_model, tmp_path, settings):
    config = NegativesConfig(**settings)
    found = mine_negatives(pairs, tiny_model, config=config, cache=tmp_path)
    expected = [
        (source, target, texts[: config.num_negatives], scores[: config.num_negatives])
        for source, target, texts, scores in by_loops(tiny_model, pairs, config, center=config.center is not False)
    ]
    rows = list(found)
    assert [row[:3] for row in rows] == [each[:3] for each in expected]
    assert len(rows) > 10
    np.testing.assert_allclose([row.negative_scores for row in rows], [each[3] for each in expected], atol=1e-5)
    report = found.report
    assert (report.pairs, report.written, len(found)) == (len(pairs), len(rows), len(rows))
    assert report.mean_negative_score == pytest.approx(np.mean([each[3] for each in expected]), abs=1e-5)
    assert report.mean_score == pytest.approx(np.mean([row.score for row in rows]), abs=1e-6)


@pytest.mark.parametrize("margin", [{"absolute_margin": 0.02}, {"relative_margin": 0.05}, {"max_score": 0.8}])
def test_negatives_are_those_of_sentence_transformers(sentences, tiny_model, tmp_path, margin, capsys):
    tiny_model.prompts = {}
    pairs = list(zip(*sides_of(sentences, 40), strict=True))
    dataset = Dataset.from_dict({"source": [s for s, _ in pairs], "target": [t for _, t in pairs]})
    shared = {"num_negatives": 3, "range_min": 1, "range_max": 60, **margin}
    theirs = mine_hard_negatives(dataset, tiny_model, output_format="n-tuple", verbose=False, **shared)
    ours = mine_negatives(pairs, tiny_model, center=False, cache=tmp_path, **{**OFF, **shared})
    assert len(ours) > 5
    assert ours.to_dataset()[:] == theirs[:]


def test_recall_is_that_of_the_worse_search(pairs, tiny_model, tmp_path, monkeypatch):
    measured = iter([0.9, 0.0])

    def searched(*args, **kwargs):
        return replace(search(*args, **kwargs), recall=next(measured))

    monkeypatch.setattr("otembed.mining.negatives.mine.search", searched)
    found = mine_negatives(pairs, tiny_model, side="both", cache=tmp_path)
    assert found.report.recall == 0.0


def test_random_negatives_follow_the_rules_and_the_seed(pairs, tiny_model, tmp_path):
    def mined(seed):
        settings = {"sampling_strategy": "random", "num_negatives": 2, "range_max": 15, "seed": seed}
        return list(mine_negatives(pairs, tiny_model, cache=tmp_path, **settings))

    allowed = by_loops(tiny_model, pairs, NegativesConfig(num_negatives=2, range_max=15), center=True)
    drawn = mined(1)
    assert drawn == mined(1)
    assert drawn != mined(2)
    assert [row[:2] for row in drawn] == [row[:2] for row in allowed]
    for row, (_, _, choices, _) in zip(drawn, allowed, strict=True):
        assert len(set(row.negatives)) == 2
        assert set(row.negatives) <= set(choices)
        assert row.negative_scores[0] >= row.negative_scores[1]
    assert any(row.negatives != choices[:2] for row, (_, _, choices, _) in zip(drawn, allowed, strict=True))


def test_translations_and_copies_are_no_negatives(pairs, tiny_model, tmp_path):
    found = mine_negatives(pairs, tiny_model, num_negatives=35, range_max=100, cache=tmp_path, **OFF)
    by_source = {}
    for row in found:
        by_source.setdefault(row.source, set()).update(row.negatives)
    assert pairs[7][1] not in by_source[pairs[3][0]]
    assert pairs[12][1] not in by_source[pairs[11][0]]
    assert {pairs[20][1], pairs[40][1]}.isdisjoint(by_source[pairs[20][0]])
    # 40 targets, one of them twice, one a copy.
    assert found.report.skipped["translation"] == sum(
        len({p[1] for p in pairs if text_key(p[1]) in group})
        for group in ({text_key(t) for t in each} for each in targets_of_sources(pairs))
    )


def targets_of_sources(pairs):
    for source in dict.fromkeys(each for each, _ in pairs):
        number = next(place for place, each in enumerate(pairs) if each[0] == source)
        yield [pairs[number][1], pairs[40][1]] if number == 20 else [pairs[number][1]]


def test_vectors_are_cached_and_the_plan_counts_them(pairs, tiny_model, tmp_path):
    lines = len({s for s, _ in pairs}) + len({t for _, t in pairs})
    assert plan_negatives(pairs, tiny_model, cache=tmp_path).lines_to_embed == lines
    assert list(tmp_path.iterdir()) == []
    mine_negatives(pairs, tiny_model, cache=tmp_path)
    plan = plan_negatives(pairs, tiny_model, config=NegativesConfig(side="both"), cache=tmp_path)
    assert (plan.lines_to_embed, plan.tiles) == (0, 2)


def test_the_pivot_is_on_the_target_side(pairs, tiny_model, tmp_path):
    path = tmp_path / "text.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    found = mine_negatives(parse_pair_spec("en-de", str(path)), tiny_model, cache=tmp_path / "cache")
    assert (found.report.source_language, found.report.target_language) == ("de", "en")
    assert {row.target for row in found} <= {source for source, _ in pairs}
    with pytest.raises(ConfigError, match=r"pivot = fr .*en-de"):
        mine_negatives(parse_pair_spec("en-de", str(path)), tiny_model, pivot="fr", cache=tmp_path / "cache")
    kept = mine_negatives(parse_pair_spec("en-de", str(path)), tiny_model, pivot=None, cache=tmp_path / "cache")
    assert (kept.report.source_language, kept.report.target_language) == ("en", "de")


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"range_max": 2}, ConfigError, "range_max is 2"),
        ({"min_score": 0.5, "max_score": 0.4}, ConfigError, r"min_score is 0\.5"),
        ({"num_negatives": 41, "range_max": 100}, DataError, "no pair has 41 hard negatives"),
        ({"absolute_margin": 1.9}, DataError, r"absolute_margin [0-9,]+\n.*margins"),
        ({"sied": "both"}, ConfigError, "side"),
    ],
)
def test_settings_that_leave_no_negatives_are_rejected(pairs, tiny_model, tmp_path, settings, kind, message):
    with pytest.raises(kind, match=message):
        mine_negatives(pairs, tiny_model, cache=tmp_path, **settings)


@pytest.mark.parametrize("given", [[("a", "b")], [("a",), ("b", "c")], [("a", 1), ("b", "c")]])
def test_pairs_that_are_none_are_rejected(given, tiny_model, tmp_path):
    with pytest.raises(DataError, match=r"pair"):
        mine_negatives(given, tiny_model, cache=tmp_path)
