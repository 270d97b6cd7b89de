"""Mining from lines or vectors to pairs, on planted collections; scores of a bitext; plans; exports."""

import contextlib
import os

import faiss
import numpy as np
import pytest

from otembed import mine_bitext, score_bitext
from otembed.config.mining import MiningConfig
from otembed.data import parse_pair_spec
from otembed.embeddings import embed
from otembed.embeddings.embed import embed_lines
from otembed.embeddings.export import write_vectors
from otembed.embeddings.lines import read_side
from otembed.errors import ConfigError, DataError, NumericsError
from otembed.mining.plan import plan_mining
from otembed.mining.search import blocks, search
from otembed.mining.search.exact import Tiling
from otembed.mining.search.index import index_bytes
from otembed.mining.search.plan import SMALLEST, SearchPlan, plan_search, search_memory
from otembed.mining.side import open_sides
from tests.interruption import Cut, stop_after

# Between the scores of noisy copies and of chance neighbors in 48 dimensions.
THRESHOLDS = {"distance": 0.25, "ratio": 1.4, "absolute": 0.8}


def planted(pairs, orphans, seed=0, dimension=48):
    """Unit vectors of both sides, and the gold pairs as ids from 1: noisy copies among orphans, shuffled."""
    draw = np.random.default_rng(seed)
    shared, shift = draw.normal(size=(pairs, dimension)), draw.normal(size=(2, dimension))
    sides, order = [], []
    for side in (0, 1):
        rows = np.concatenate(
            [shared + 0.15 * draw.normal(size=shared.shape), draw.normal(size=(orphans, dimension))]
        )
        order.append(draw.permutation(len(rows)))
        sides.append((rows + shift[side])[order[-1]].astype(np.float32))
    where = [np.argsort(each)[:pairs] + 1 for each in order]
    return *sides, set(zip(where[0].tolist(), where[1].tolist(), strict=True))


def ids(mined):
    return [(pair.source_id, pair.target_id) for pair in mined]


@pytest.mark.parametrize("margin", THRESHOLDS)
def test_planted_pairs_are_found_and_orphans_are_not(margin):
    x, y, gold = planted(120, 60)
    mined = mine_bitext(x, y, margin=margin, threshold=THRESHOLDS[margin])
    assert set(ids(mined)) == gold
    assert mined.report.centered
    assert mined.report.pairs == len(mined) == 120
    assert [pair.score for pair in mined] == sorted((pair.score for pair in mined), reverse=True)
    best = mined.above(score := float(mined.pairs.score[9]))
    assert (len(best), best.report.pairs, best.report.threshold) == (10, 10, score)
    assert best.above(THRESHOLDS[margin]).report == best.report


def test_scores_match_two_faiss_searches():
    """The whole chain against centering, faiss.knn and the ratio margin written out in numpy."""
    x, y, _ = planted(80, 40)

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    a, b = (
        unit(unit(side.astype(np.float64)) - unit(side.astype(np.float64)).mean(0)).astype(np.float32)
        for side in (x, y)
    )
    (there, ids_there), (back, _) = (
        faiss.knn(p, q, 4, metric=faiss.METRIC_INNER_PRODUCT) for p, q in ((a, b), (b, a))
    )
    score = there / ((there.mean(1)[:, None] + back.mean(1)[ids_there]) / 2)
    mined = mine_bitext(x, y, margin="ratio", threshold=None)
    listed = 0
    for pair in mined:
        row, places = pair.source_id - 1, np.flatnonzero(ids_there[pair.source_id - 1] == pair.target_id - 1)
        listed += len(places)
        for place in places:
            assert pair.score == pytest.approx(score[row, place], rel=1e-5)
            assert pair.cosine == pytest.approx(there[row, place], abs=1e-6)
    assert listed > 80


def test_lines_are_embedded_once_and_identified_by_number(tiny_model, tmp_path, sentences):
    lines = sentences(30)
    source = tmp_path / "a.txt"
    source.write_text("\n".join(["", *lines, lines[0], "x" * 2000]) + "\r\n", encoding="utf-8")
    target = tmp_path / "b.jsonl"
    target.write_text("".join(f'{{"text": "{line}", "id": "k{n}"}}\n' for n, line in enumerate(lines[::-1])))
    mined = mine_bitext(source, f"{target}?id=id", tiny_model, cache=tmp_path / "cache")
    assert {(pair.source_id, pair.target_id) for pair in mined} == {(n + 2, f"k{29 - n}") for n in range(30)}
    assert all(pair.source == pair.target == lines[pair.source_id - 2] for pair in mined)
    assert mined.report.source["dropped"] == {"empty": 1, "too_long": 1, "repeated": 1}
    in_memory = mine_bitext(["", *lines, lines[0]], lines[::-1], tiny_model, cache=tmp_path / "cache")
    assert [pair.score for pair in in_memory] == [pair.score for pair in mined]


def test_given_vectors_give_the_same_pairs_as_embedding(tiny_model, tmp_path, sentences):
    source, target = ["", *sentences(25), sentences(1)[0]], sentences(20)[::-1]
    options = {"cache": tmp_path / "cache", "threshold": None}
    mined = mine_bitext(source, target, tiny_model, **options)
    files = []
    for name, texts in (("a.npy", source), ("b.f32", target)):
        lines = read_side(texts)
        vectors = embed_lines(lines, tiny_model, cache=tmp_path / "cache")
        files.append(write_vectors(lines, vectors, tmp_path / name))
    beside = mine_bitext(
        source, target, source_vectors=files[0], target_vectors=files[1], vector_dimension=32, **options
    )
    assert list(beside) == list(mined)
    assert (beside.report.model, mined.report.model) == (None, "SentenceTransformer")
    alone = mine_bitext(files[0], target, target_vectors=files[1], vector_dimension=32, **options)
    assert ids(alone) == ids(mined)
    assert {pair.source for pair in alone} == {""}
    assert alone.report.source["dropped"] == {"zero": 1, "repeated": 1}


def test_output_bytes_do_not_depend_on_shards_tiles_workers_or_restarts(
    tiny_model, tmp_path, sentences, monkeypatch
):
    """From lines to files, cut in every way, interrupted in every stage."""
    monkeypatch.setattr(embed, "WINDOW", 8)
    source, target = sentences(60), sentences(75, seed=1)
    outputs = set()
    for number, (seconds, tiling, workers) in enumerate(
        [(60, Tiling(), 1), (-1, Tiling(16, 8, 16), 1), (-1, Tiling(16, 8, 16), 3)]
    ):
        monkeypatch.setattr(embed, "SHARD_SECONDS", seconds)
        monkeypatch.setattr(blocks, "SAVE_SECONDS", seconds)
        monkeypatch.setattr(search, "plan_search", lambda *_, t=tiling, w=workers, **__: SearchPlan(t, w, 0))
        options = {"cache": tmp_path / str(number), "threshold": None}
        for cut in (5, 13):
            with contextlib.suppress(Cut):
                mine_bitext(source, target, tiny_model, progress=stop_after(cut), **options)
        mined = mine_bitext(source, target, tiny_model, **options)
        written = [mined.write(tmp_path / f"out{suffix}").read_bytes() for suffix in (".tsv", ".jsonl", ".parquet")]
        outputs.add(tuple(written))
    assert len(outputs) == 1


def test_another_margin_reuses_the_search(tmp_path, monkeypatch):
    x, y, gold = planted(40, 20)
    for name, values in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", values)
    places = tmp_path / "x.npy", tmp_path / "y.npy"
    stages = []
    options = {"cache": tmp_path / "cache", "threshold": None, "progress": lambda stage, *_: stages.append(stage)}
    assert set(ids(mine_bitext(*places, **options))) >= gold
    assert stages == ["searching"]
    assert set(ids(mine_bitext(*places, margin="ratio", **options))) >= gold
    assert stages == ["searching"]
    np.save(tmp_path / "y.npy", y[::-1])
    assert {(a, 61 - b) for a, b in ids(mine_bitext(*places, **options))} >= gold
    assert stages == ["searching"] * 2


def test_length_ratio_drops_pairs_and_frees_their_lines(tiny_model, tmp_path):
    source, target = ["the cat", "the dog slept in the house and the cat"], ["the cat " * 9, "the dog"]
    limits = {"max_length_ratio": 2.0, "threshold": None, "k": 2, "cache": tmp_path}
    for pair in mine_bitext(source, target, tiny_model, **limits):
        short, long = sorted(map(len, pair[4:]))
        assert long < 20 or long <= 2 * short
    assert len(mine_bitext(source, target, tiny_model, **{**limits, "max_length_ratio": None})) == 2


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_k_larger_than_the_number_of_lines(count, caplog):
    x, y, _ = planted(count, 0)
    with caplog.at_level("INFO", "otembed"):
        mined = mine_bitext(x, y, k=50, threshold=None)
    assert len(mined) == count
    assert mined.report.centered == (count >= 10)
    assert ("not centered" in caplog.text) == (count < 10)
    assert np.isfinite(mine_bitext(x, y, k=50, center=True, threshold=None, margin="ratio").pairs.score).all()


def test_mismatched_input_is_rejected(tiny_model, tmp_path):
    x, y, _ = planted(12, 3)
    bad = x.copy()
    bad[3] = np.nan
    with pytest.raises(NumericsError, match=r"source vectors: .* row 4"):
        mine_bitext(bad, y)
    with pytest.raises(DataError, match=r"of dimension 48, .* of 8"):
        mine_bitext(x, y[:, :8].copy())
    with pytest.raises(DataError, match=r"2 lines, .* 15 rows"):
        mine_bitext(x, ["a", "b"], target_vectors=y)
    with pytest.raises(ConfigError, match="source_vectors"):
        mine_bitext(x, y, source_vectors=x)
    with pytest.raises(ConfigError, match="--model"):
        mine_bitext(["a"], y)
    with pytest.raises(ConfigError, match=": k"):
        mine_bitext(x, y, config=MiningConfig(), k=3)
    with pytest.raises(ConfigError, match="'kk'"):
        mine_bitext(x, y, kk=3)
    with pytest.raises(DataError, match="1 line with text and a zero vector"):
        mine_bitext(["a", "b"], y, source_vectors=np.eye(2, 48, dtype=np.float32) * [[1], [0]])
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="--cache"):
        mine_bitext(["a"], ["b"], tiny_model, cache=tmp_path / "file" / "cache")


def test_other_dimensions_are_rejected_before_lines_are_embedded(tiny_model, tmp_path):
    vectors = np.eye(3, 48, dtype=np.float32)
    for settings, dimension in (({}, 32), ({"truncate_dim": 8}, 8)):
        for sides in ((["a", "b"], vectors), (vectors, ["a", "b"])):
            message = f"of dimension ({dimension}, .* of 48|48, .* of {dimension})"
            with pytest.raises(DataError, match=message):
                mine_bitext(*sides, tiny_model, cache=tmp_path / "cache", **settings)
            with pytest.raises(DataError, match=message):
                plan_mining(open_sides(*sides, None, None, MiningConfig()), tiny_model, MiningConfig(**settings))
    with pytest.raises(DataError, match=r"of dimension 48, .* of 8"):
        plan_mining(open_sides(vectors, vectors[:, :8].copy(), None, None, MiningConfig()), None, MiningConfig())
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "setting",
    [
        {"truncate_dim": 2},
        {"precision": "float16"},
        {"prompt": "query: "},
        {"batch_size": 8},
        {"max_characters": 9},
        {"vector_dtype": "float16"},
    ],
)
def test_settings_without_an_effect_on_vectors_are_rejected(tmp_path, setting):
    np.save(tmp_path / "x.npy", np.eye(3, dtype=np.float32))
    sides = [tmp_path / "x.npy"] * 2
    (name,) = setting
    with pytest.raises(ConfigError, match=f"{name} = .* has no effect"):
        mine_bitext(*sides, **setting)
    config = MiningConfig(**setting)
    with pytest.raises(ConfigError, match=f"{name} = .* has no effect"):
        plan_mining(open_sides(*sides, None, None, config), None, config)
    assert len(mine_bitext(*sides, vector_dimension=3, threshold=None, k=1)) == 3
    with pytest.raises(ConfigError, match="vector_dimension = 3 has no effect"):
        mine_bitext(np.eye(3), np.eye(3), vector_dimension=3)


@pytest.fixture
def stored_matrix(tmp_path):
    def write(name, rows, seed):
        place = tmp_path / name
        np.save(place, np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32))
        return place

    return write


def test_bitext_scores_match_mining(tiny_model, tmp_path, sentences):
    texts = sentences(40)
    pairs = [*zip(texts, texts, strict=True), (texts[0], texts[1]), ("", "a"), (texts[0], texts[0])]
    options = {"cache": tmp_path / "cache", "margin": "ratio", "k": 3}
    scored = score_bitext(pairs, tiny_model, **options)
    assert (len(scored), scored.report.unusable) == (43, 1)
    assert np.isnan(scored.scores[41])
    assert scored.scores[42] == scored.scores[0]
    target = [*texts, "a"]
    mined = mine_bitext(texts, target, tiny_model, threshold=None, **options)
    known = {(pair.source, pair.target): pair for pair in mined}
    listed = list(scored)
    assert len(listed) == 42
    for pair in listed[:40]:
        assert (pair.score, pair.cosine) == known[pair.source, pair.target][:2]
    assert [pair.source_id for pair in listed[-2:]] == [41, 43]
    best = list(scored.above(float(scored.scores[5])))
    assert len(best) == int((scored.scores >= scored.scores[5]).sum())
    path = tmp_path / "x.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    from_file = score_bitext(parse_pair_spec("en-de", str(path)), tiny_model, **options)
    assert list(from_file) == listed


def test_bitext_is_filtered_as_mining_is(tiny_model, tmp_path):
    """A pair keeps its score unless a filter leaves it out, and the filters of mining give the same cosines and lengths."""
    texts = ["the cat sat on the mat", "the dog slept in the house", "a mat in the house of the cat", "on the mat"]
    pairs = [*zip(texts, texts, strict=True), (texts[0], texts[1]), (texts[2], "a mat"), ("", "a")]
    options = {"cache": tmp_path, "k": 2, "center": False}
    every = score_bitext(pairs, tiny_model, **options)
    for limit, kept in (
        ({"min_cosine": 0.999}, [0, 1, 2, 3]),
        ({"max_length_ratio": 1.5}, [0, 1, 2, 3, 4]),
        ({"min_cosine": 0.999, "max_length_ratio": 1.5}, [0, 1, 2, 3]),
    ):
        found = score_bitext(pairs, tiny_model, **options, **limit)
        assert np.flatnonzero(~np.isnan(found.scores)).tolist() == kept
        assert found.scores[kept].tolist() == every.scores[kept].tolist()
        assert (found.report.filtered, found.report.unusable) == (6 - len(kept), 1)
        assert (found.report.mean, found.report.median) == (every.report.mean, every.report.median)
        assert [pair.source_id for pair in found] == [row + 1 for row in kept]


def test_lines_of_a_bitext_in_other_languages_have_no_score(tiny_model, tmp_path):
    pytest.importorskip("py3langid")
    english = ["The dog slept in our house all night.", "The cat sat on the mat in the kitchen."]
    german = "Der Hund hat die ganze Nacht in unserem Haus geschlafen."
    pairs = [(each, each) for each in (*english, german)]
    for side in ("source", "target"):
        found = score_bitext(pairs, tiny_model, cache=tmp_path, **{f"{side}_language": "en"})
        assert np.isnan(found.scores).tolist() == [False, False, True]
        assert getattr(found.report, side)["dropped"] == {"other_language": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"html": "x.html"}, "html = x.html"), ({"vector_dimension": 8}, "vector_dimension = 8")],
)
def test_settings_without_effect_are_rejected(tiny_model, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=f"{message} .*otembed score.*otembed mine"):
        score_bitext([("a", "b")], tiny_model, cache=tmp_path, **settings)
    with pytest.raises(ConfigError, match=r"sw-en.*en-de"):
        score_bitext(parse_pair_spec("en-de", "x.tsv"), tiny_model, cache=tmp_path, languages=("sw", "en"))
    eye = np.eye(2, dtype=np.float32)
    with pytest.raises(ConfigError, match=r"max_length_ratio is 2\.0, but the target has vectors"):
        mine_bitext(["a"], eye, tiny_model, max_length_ratio=2)


def test_bitext_in_pipes_is_read_once(tiny_model, tmp_path, sentences):
    sides = [sentences(12), sentences(12, 1)]
    pipes = []
    for side in sides:
        reader, writer = os.pipe()
        os.write(writer, "".join(f"{line}\n" for line in side).encode())
        os.close(writer)
        pipes.append(reader)
    spec = parse_pair_spec("de-en", ",".join(f"/dev/fd/{each}" for each in pipes))
    found = score_bitext(spec, tiny_model, cache=tmp_path)
    for each in pipes:
        os.close(each)
    assert list(found) == list(score_bitext(list(zip(*sides, strict=True)), tiny_model, cache=tmp_path))


def test_vectors_in_a_pipe_are_rejected(tmp_path):
    reader, writer = os.pipe()
    os.close(writer)
    with pytest.raises(DataError, match=r"pipe(.|\n)*regular file"):
        mine_bitext(["a"], ["b"], source_vectors=f"/dev/fd/{reader}")
    os.close(reader)


def test_bitext_without_a_usable_pair_is_rejected(tiny_model, tmp_path):
    with pytest.raises(DataError, match="max_characters"):
        score_bitext([("", "a"), ("b", "")], tiny_model, cache=tmp_path)
    with pytest.raises(DataError, match=r"pair 2 .* 3"):
        score_bitext([("a", "b"), ("a", "b", "c")], tiny_model, cache=tmp_path)


def test_exported_rows_follow_the_lines(tiny_model, tmp_path, sentences):
    texts = [*sentences(3), "", sentences(1)[0]]
    lines = read_side(texts)
    vectors = embed_lines(lines, tiny_model, cache=tmp_path / "cache")
    half = np.fromfile(write_vectors(lines, vectors, tmp_path / "x.f16", precision="float16"), "<f2").reshape(5, 32)
    full = np.load(write_vectors(lines, vectors, tmp_path / "x.npy"))
    assert full.dtype == np.float32
    np.testing.assert_array_equal(full[:3], vectors.read(0, 3))
    np.testing.assert_array_equal(full[4], full[0])
    assert not full[3].any()
    np.testing.assert_array_equal(half, full.astype(np.float16))
    for name, precision, message in (
        ("x.bin", "float32", "'.bin'"),
        ("x.f16", "float32", "--precision float16"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_vectors(lines, vectors, tmp_path / name, precision=precision)


def test_plan_matches_the_run(tiny_model, tmp_path, sentences):
    config, cache = MiningConfig(workers=1), tmp_path / "cache"
    sides = open_sides(sentences(30), sentences(20, 1), None, None, config)
    plan = plan_mining(sides, tiny_model, config, cache=cache)
    assert (plan.lines_to_embed, plan.dimension, plan.tiles) == (50, 32, 1)
    assert not cache.exists()
    mine_bitext(sentences(30), sentences(20, 1), tiny_model, config=config, cache=cache)
    vectors = sum(path.stat().st_size for path in cache.glob("embeddings/*/rows-*"))
    assert plan.disk_bytes == vectors + 12 * 4 * 50
    again = plan_mining(sides, tiny_model, config, cache=cache)
    assert (again.lines_to_embed, again.disk_bytes) == (0, 0)
    assert plan_mining(sides, tiny_model, MiningConfig(workers=1, k=3), cache=cache).disk_bytes == 12 * 3 * 50


def test_plan_counts_a_text_on_both_sides_once(tiny_model, tmp_path, sentences):
    config, lines = MiningConfig(rescore="ot", workers=1), sentences(20)
    sides = open_sides(lines, lines, None, None, config)
    plan = plan_mining(sides, tiny_model, config, cache=tmp_path)
    assert (plan.lines_to_embed, plan.words_to_encode) == (20, 20)


def test_planned_growth_leaves_out_what_is_in_the_cache(stored_matrix, tmp_path):
    """Lists and indexes of a finished search, and the index of a side that was searched with another one."""
    cache, config = tmp_path / "cache", MiningConfig(workers=1, search="hnsw", threshold=None)
    one, two, other = (
        stored_matrix(f"{name}.npy", 1200, seed) for seed, name in enumerate(("one", "two", "other"))
    )

    def planned(*places):
        found = plan_mining(open_sides(*places, None, None, config), None, config, cache=cache)
        before = sum(each.stat().st_size for each in cache.rglob("*") if each.is_file())
        mine_bitext(*places, config=config, cache=cache)
        return found.disk_bytes, sum(each.stat().st_size for each in cache.rglob("*") if each.is_file()) - before

    first, grown = planned(one, two)
    assert first == pytest.approx(grown, rel=0.05)
    assert planned(one, two) == (0, 0)
    assert planned(one, other)[0] == index_bytes("hnsw", 1200, 8) + 12 * 4 * 2400


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3000, 50), (1024, 8192), (2049, 20481)])
def test_planned_tiles_are_those_that_are_computed(tmp_path, rows, columns):
    draw = np.random.default_rng(0)
    x, y = (draw.normal(size=(count, 2)).astype(np.float32) for count in (rows, columns))
    config = MiningConfig(workers=2, k=1)
    plan = plan_mining(open_sides(x, y, None, None, config), None, config)
    totals = []
    mine_bitext(x, y, config=config, progress=lambda _, done, total: totals.append((done, total)))
    assert max(totals) == (plan.tiles, plan.tiles)


@pytest.mark.parametrize("method", ["exact", "pq", "hnsw"])
def test_memory_counts_no_more_neighbors_than_the_other_side_has(method):
    assert search_memory(50, 60, 32, 10**6, 1, SMALLEST, method, shard_rows=60) == search_memory(
        50, 60, 32, 60, 1, SMALLEST, method, shard_rows=60
    )
    rng = np.random.default_rng(0)
    sides = [rng.standard_normal((rows, 32)).astype(np.float32) for rows in (50, 60)]
    few, many = (mine_bitext(*sides, k=k, memory_gb=0.1, threshold=None) for k in (60, 10**6))
    assert list(few) == list(many)


def test_small_memory_shrinks_pieces_then_workers_then_is_rejected():
    sizes = (1000, 1000, 4096, 4)
    free = plan_search(*sizes, workers=8)
    assert (free.tiling, free.workers) == (Tiling(), 8)
    found = []
    for budget in (1.0, 0.2, 0.05):
        plan = plan_search(*sizes, workers=8, memory_gb=budget)
        assert plan.memory <= budget * 1e9
        assert plan.memory == search_memory(*sizes, plan.workers, plan.tiling)
        found.append((plan.workers, plan.tiling.stripe))
    assert found == [(8, 4096), (8, 512), (3, 512)]
    least = search_memory(*sizes, 1, SMALLEST)
    assert plan_search(*sizes, workers=8, memory_gb=least / 1e9).workers == 1
    with pytest.raises(ConfigError, match=r"memory_gb is 0\.01"):
        plan_search(*sizes, workers=8, memory_gb=0.01)
