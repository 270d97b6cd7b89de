"""Candidates compared word by word: against POT on states taken from the model by hand; cuts, memory, refusals."""

import errno
import itertools

import numpy as np
import ot
import pytest
import torch
from filelock import FileLock
from sentence_transformers import SentenceTransformer

from otembed import mine_bitext, score_bitext
from otembed.config.mining import MiningConfig
from otembed.embeddings import embed
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.embeddings.lines import read_side
from otembed.embeddings.rows import UnitRows
from otembed.embeddings.vectors import array_vectors
from otembed.errors import ConfigError, ModelError, NumericsError, OutputError
from otembed.mining.mined import MiningReport
from otembed.mining.plan import plan_mining
from otembed.mining.rescoring import rescore, word_scores, words
from otembed.mining.rescoring.words import WordSide
from otembed.mining.search import blocks
from otembed.mining.side import open_sides
from otembed.tasks.mining import MiningEvaluator
from otembed.words import LayerChoice, ot_similarity_pairwise
from otembed.words.vectors import WordEncoder

OPTIONS = {"rescore": "ot", "threshold": None}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def words_by_hand(model, texts, layer):
    """Mean token states of each word at unit length, in half precision, less their mean."""
    clouds = []
    for text in texts:
        encoded = model.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            hidden = model[0].model(**encoded, output_hidden_states=True).hidden_states[layer][0].double().numpy()
        owners = np.array([-1 if each is None else each for each in encoded.word_ids()])
        rows = [hidden[owners == word].mean(0) for word in range(owners.max() + 1)]
        clouds.append(unit(unit(np.array(rows)).astype(np.float16).astype(np.float64)))
    mean = np.concatenate(clouds).mean(0)
    return [unit(rows - mean) for rows in clouds]


def transport_by_pot(x, y, epsilon):
    cost = 1 - x @ y.T
    a, b = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
    if not epsilon:
        return ot.emd2(a, b, cost)
    plan = ot.sinkhorn(a, b, cost, epsilon, method="sinkhorn_log", numItermax=1000, stopThr=1e-8, warn=False)
    kept = plan > 0
    return (plan * cost).sum() + epsilon * (plan[kept] * np.log((plan / np.outer(a, b))[kept])).sum()


@pytest.mark.parametrize(
    ("layer", "epsilon", "weight", "margin"),
    [(-1, 0.05, 0.75, "distance"), (2, 0.0, 0.5, "ratio"), (0, 0.2, 1.0, "absolute")],
)
def test_scores_are_margins_of_the_mixed_similarity(
    tiny_model, tmp_path, sentences, layer, epsilon, weight, margin
):
    source, target, k = sentences(26), sentences(24, seed=1), 2
    x, y = (
        unit(unit(z) - unit(z).mean(0))
        for z in (tiny_model.encode(side).astype(float) for side in (source, target))
    )
    cosine = x @ y.T
    number = range(4)[layer]
    left, right = (words_by_hand(tiny_model, side, number) for side in (source, target))
    lists = np.argsort(-cosine, 1)[:, :k], np.argsort(-cosine.T, 1)[:, :k]
    pairs = {(i, j) for i, row in enumerate(lists[0]) for j in row} | {
        (i, j) for j, row in enumerate(lists[1]) for i in row
    }
    mixed = np.full(cosine.shape, np.nan)
    for i, j in pairs:
        mixed[i, j] = (1 - weight) * cosine[i, j] + weight * (1 - transport_by_pot(left[i], right[j], epsilon))
    means = np.take_along_axis(mixed, lists[0], 1).mean(1), np.take_along_axis(mixed.T, lists[1], 1).mean(1)
    base = (means[0][:, None] + means[1]) / 2
    score = {"distance": mixed - base, "ratio": mixed / np.maximum(base, 0.1), "absolute": mixed}[margin]
    found = mine_bitext(
        source, target, tiny_model, cache=tmp_path, k=k, margin=margin, rescore_weight=weight,
        rescore_layer=layer, rescore_epsilon=epsilon, **OPTIONS,
    )  # fmt: skip
    assert {(pair.source_id - 1, pair.target_id - 1) for pair in found} <= pairs
    assert len(found) > 15
    for pair in found:
        place = pair.source_id - 1, pair.target_id - 1
        assert pair.score == pytest.approx(score[place], abs=2e-3)
        assert pair.cosine == pytest.approx(cosine[place], abs=1e-5)
    assert MiningReport.from_json(found.report.to_json()).rescore == "ot"


def word_sides(sizes, dimension=8, seed=0):
    """Sides whose lines have so many words."""
    draw = np.random.default_rng(seed)
    made = []
    for side in sizes:
        bounds = np.concatenate([[0], np.cumsum(side)])
        rows = draw.normal(size=(bounds[-1], dimension)).astype(np.float32)
        made.append(
            WordSide(UnitRows(array_vectors(rows, "words"), np.zeros(dimension), "", centered=True), bounds)
        )
    return made


def test_batches_match_single_pairs(monkeypatch):
    draw = np.random.default_rng(0)
    sizes = [draw.integers(0, 12, 40), draw.integers(0, 30, 50)]
    source, target = word_sides(sizes)
    rows, columns = draw.integers(0, 40, 300), draw.integers(0, 50, 300)
    monkeypatch.setattr(word_scores, "CELLS", 500)
    found = word_scores.word_similarity(source, target, rows, columns, 0.05)
    for row, column, value in zip(rows, columns, found, strict=True):
        x, y = (
            side.rows.read(side.bounds[line], side.bounds[line + 1])
            for side, line in ((source, row), (target, column))
        )
        if len(x) and len(y):
            assert value == pytest.approx(1 + ot_similarity_pairwise(x, y).item(), abs=1e-5)
        else:
            assert np.isnan(value)
    assert np.isnan(found).any()
    cosines = np.linspace(-1, 1, 300, dtype=np.float32)
    mixed = rescore.mix(cosines, found, 0.75)
    np.testing.assert_array_equal(mixed[np.isnan(found)], cosines[np.isnan(found)])
    np.testing.assert_array_equal(rescore.mix(cosines, found, 0.0), cosines)


def test_batches_hold_every_pair_once_within_their_limit():
    draw = np.random.default_rng(1)
    for source, target in (
        (draw.integers(0, 40, 9000), draw.integers(0, 40, 9000)),
        (np.array([900]), np.array([800])),
    ):
        found = list(word_scores.batches(source, target))
        np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(len(source)))
        for batch in found:
            n, m = (max(side[batch].max(), 1) for side in (source, target))
            assert len(batch) == 1 or len(batch) * n * m <= word_scores.CELLS
            assert len(batch) == 1 or len(batch) * (n + m) <= word_scores.WORDS
    assert list(word_scores.batches(np.empty(0, np.int64), np.empty(0, np.int64))) == []


def test_output_bytes_do_not_depend_on_shards_or_interruptions(tiny_model, tmp_path, sentences, monkeypatch):
    """Cut while lines, then words are encoded, then compared; words in one shard or many."""
    monkeypatch.setattr(embed, "WINDOW", 8)
    monkeypatch.setattr(words, "WINDOW", 8)
    monkeypatch.setattr(rescore, "BLOCK", 8)
    source, target = sentences(26), sentences(30, seed=1)
    outputs = set()

    class Cut(Exception):
        pass

    def stop_in(stage, count):
        calls = itertools.count(1)

        def progress(current, *_):
            if current.startswith(stage) and next(calls) == count:
                raise Cut

        return progress

    for number, (size, seconds) in enumerate(((1, -1), (words.SHARD_BYTES, 60))):
        monkeypatch.setattr(words, "SHARD_BYTES", size)
        monkeypatch.setattr(blocks, "SAVE_SECONDS", seconds)
        options = OPTIONS | {"cache": tmp_path / str(number)}
        for cut in (("embedding", 3), ("encoding", 3), ("encoding", 4), ("comparing", 3), ("comparing", 7)):
            with pytest.raises(Cut):
                mine_bitext(source, target, tiny_model, progress=stop_in(*cut), **options)
        mined = mine_bitext(source, target, tiny_model, **options)
        outputs.add(mined.write(tmp_path / "out.jsonl").read_bytes())
    assert len(outputs) == 1
    assert len(list((tmp_path / "0").glob("words/*/rows-*"))) > len(list((tmp_path / "1").glob("words/*/rows-*")))


def test_pairs_and_order_do_not_depend_on_the_batch_size(tiny_model, tmp_path, sentences):
    found = [
        mine_bitext(
            sentences(20), sentences(16, 1), tiny_model, batch_size=size, cache=tmp_path / str(size), **OPTIONS
        )
        for size in (1, 32)
    ]
    for each in found[1:]:
        assert [pair[2:] for pair in each] == [pair[2:] for pair in found[0]]
        np.testing.assert_allclose(each.pairs.score, found[0].pairs.score, atol=2e-3)


def test_each_line_is_encoded_once_and_each_pair_solved_once(tiny_model, tmp_path, sentences, monkeypatch):
    encoded, solved = [], []
    encode, solve = WordEncoder.encode, rescore.word_similarity
    monkeypatch.setattr(
        WordEncoder, "encode", lambda self, texts, *a, **k: encoded.extend(texts) or encode(self, texts, *a, **k)
    )
    monkeypatch.setattr(
        rescore,
        "word_similarity",
        lambda x, y, i, j, e: solved.extend(zip(i, j, strict=True)) or solve(x, y, i, j, e),
    )
    options = OPTIONS | {"cache": tmp_path}
    mined = mine_bitext(sentences(30), sentences(20, 1), tiny_model, **options)
    # The first line of each side tells how wide states are.
    assert len(encoded) == 30 + 20 + 2
    assert len(solved) == len(set(solved)) == mined.report.candidates
    encoded.clear(), solved.clear()
    again = mine_bitext(sentences(30), sentences(20, 1), tiny_model, margin="ratio", rescore_weight=0.5, **options)
    assert (len(encoded), len(solved)) == (2, 0)
    assert again.report.candidates == mined.report.candidates
    mine_bitext(sentences(30), sentences(20, 1), tiny_model, rescore_epsilon=0.2, **options)
    assert len(solved) == mined.report.candidates


def test_complete_words_need_no_lock(tiny_model, tmp_path, sentences, monkeypatch):
    def read_only(self, timeout=None):
        raise OSError(errno.EROFS, "Read-only file system", self.lock_file)

    options = OPTIONS | {"cache": tmp_path}
    first = mine_bitext(sentences(8), sentences(6, 1), tiny_model, **options)
    monkeypatch.setattr(FileLock, "acquire", read_only)
    assert list(mine_bitext(sentences(8), sentences(6, 1), tiny_model, **options)) == list(first)
    next((tmp_path / "words").glob("*/rows-*")).unlink()
    with pytest.raises(OutputError, match="Read-only"):
        mine_bitext(sentences(8), sentences(6, 1), tiny_model, **options)


def test_weight_zero_disables_rescoring(tiny_model, tmp_path, sentences):
    sides = sentences(30), sentences(20, 1)
    options = {"cache": tmp_path, "threshold": None}
    plain = mine_bitext(*sides, tiny_model, **options)
    assert list(mine_bitext(*sides, tiny_model, rescore="ot", rescore_weight=0.0, **options)) == list(plain)
    changed = mine_bitext(*sides, tiny_model, rescore="ot", **options)
    assert [pair.score for pair in changed] != [pair.score for pair in plain]


def test_bitext_scores_match_mining(tiny_model, tmp_path, sentences):
    texts = sentences(40)
    pairs = [*zip(texts, texts, strict=True), (texts[0], texts[1]), ("", "a"), (texts[3], texts[17])]
    options = {"cache": tmp_path, "rescore": "ot", "k": 3}
    scored = score_bitext(pairs, tiny_model, **options)
    assert scored.report.rescore == "ot"
    assert np.isnan(scored.scores[41])
    mined = mine_bitext(texts, [*texts, "a"], tiny_model, threshold=None, **options)
    known = {(pair.source, pair.target): pair for pair in mined}
    listed = list(scored)
    for pair in listed[:40]:
        assert (pair.score, pair.cosine) == known[pair.source, pair.target][:2]
    far = next(pair for pair in listed if (pair.source, pair.target) == (texts[3], texts[17]))
    assert np.isfinite(far.score)
    # Two lines that are no neighbors among three, but the only pair of two one-line collections.
    absolute = score_bitext(pairs, tiny_model, margin="absolute", **options | {"center": False})
    alone = mine_bitext([texts[3]], [texts[17]], tiny_model, margin="absolute", threshold=None, **options)
    (value,) = (pair.score for pair in alone)
    assert absolute.scores[42] == pytest.approx(value, abs=2e-3)


def test_few_words_are_centered_by_the_joint_mean():
    source, target = word_sides([[60], [200]])
    for first, second, joint in ((source, target, True), (target, target, False)):
        left, right = words.center_words(
            *(
                WordSide(UnitRows(each.rows.vectors, np.full(8, float(len(each.rows))), ""), each.bounds)
                for each in (first, second)
            ),
            center=True,
        )
        assert (left.rows.mean == right.rows.mean).all()
        assert left.rows.mean[0] == pytest.approx((60 * 60 + 200 * 200) / 260 if joint else 200)
        assert left.rows.centered
    assert words.center_words(source, target, center=False) == (source, target)


def test_plan_matches_the_run(tiny_model, tmp_path, sentences):
    config, cache = MiningConfig(workers=1, rescore="ot"), tmp_path / "cache"
    sides = open_sides(sentences(30), sentences(20, 1), None, None, config)
    plan = plan_mining(sides, tiny_model, config, cache=cache)
    assert (plan.rescore, plan.words_to_encode, plan.transport_problems) == ("ot", 50, 200)
    assert plan.words == sum(len(text.split()) for text in (*sentences(30), *sentences(20, 1)))
    assert not cache.exists()
    mine_bitext(sentences(30), sentences(20, 1), tiny_model, config=config, cache=cache)
    vectors = sum(path.stat().st_size for path in cache.glob("*/*/rows-*"))
    assert plan.disk_bytes == vectors + 2 * 12 * 4 * 50
    assert sum(path.stat().st_size for path in cache.glob("words/*/rows-*")) == 2 * 32 * plan.words
    assert plan_mining(sides, tiny_model, config, cache=cache).words_to_encode == 0
    plain = plan_mining(sides, tiny_model, MiningConfig(workers=1), cache=cache)
    assert (plain.rescore, plain.words, plain.transport_problems) == ("none", 0, 0)
    again = plan_mining(sides, tiny_model, config, cache=cache)
    assert (again.words_to_encode, again.disk_bytes) == (0, 0)
    other = plan_mining(sides, tiny_model, MiningConfig(workers=1, rescore="ot", rescore_epsilon=0.2), cache=cache)
    assert other.disk_bytes == 12 * 200


def test_invalid_requests_are_rejected(tiny_model, tmp_path, sentences, monkeypatch):
    lines, options = sentences(12), {"cache": tmp_path, "rescore": "ot"}
    ready = np.eye(12, dtype=np.float32)
    for arguments, named in (
        ((ready, ready), {}),
        ((lines, ready, tiny_model), {}),
        ((lines, lines, tiny_model), {"target_vectors": ready}),
    ):
        with pytest.raises(ConfigError, match="precomputed"):
            mine_bitext(*arguments, **named, **options)
    with pytest.raises(ConfigError, match="0 to 3"):
        mine_bitext(lines, lines, tiny_model, rescore_layer=9, **options)
    with pytest.raises(ConfigError, match=r"12 and 12 lines .* memory_gb is 0\.001"):
        mine_bitext(lines, lines, tiny_model, memory_gb=0.001, **options)
    with pytest.raises(ConfigError, match="rescore ot"):
        MiningConfig(threshold="auto", rescore="ot")
    with pytest.raises(ConfigError, match="rescore is ot"):
        MiningEvaluator(lines, lines, [(0, 0)], config=MiningConfig(rescore="ot"))
    with pytest.raises(ConfigError, match="rescore_weight"):
        MiningConfig(rescore_weight=1.5)
    monkeypatch.setattr(type(tiny_model.tokenizer), "is_fast", False)
    with pytest.raises(ModelError):
        mine_bitext(lines, lines, tiny_model, **options)
    assert not list(tmp_path.iterdir())


def test_model_with_nan_is_reported_with_the_lines(tiny_model, tmp_path, sentences):
    lines = read_side(sentences(12), name="sw")
    store = words.WordStore(lines, WordEncoder(tiny_model), model_fingerprint(tiny_model), layer=-1, cache=tmp_path)
    assert isinstance(tiny_model, SentenceTransformer)
    tiny_model[0].model.encoder.layer[1].output.dense.weight.data.fill_(float("nan"))
    with pytest.raises(NumericsError, match=r"sw: .*NaN or infinity.*\(lines 1 to 12\)"):
        store.fill()


def test_thai_and_chinese_are_compared_by_pieces(tiny_model, tmp_path):
    source = ["แมวนอนในบ้าน", "หมานั่ง", "猫睡在房子里", "狗坐"]
    mined = mine_bitext(source, source[::-1], tiny_model, cache=tmp_path, center=False, **OPTIONS)
    assert {(pair.source_id, pair.target_id) for pair in mined} == {(1, 4), (2, 3), (3, 2), (4, 1)}


def test_layer_is_the_stored_one_or_seven_twelfths(tiny_model, tmp_path, sentences, monkeypatch):
    config = MiningConfig(rescore="ot")
    sides = open_sides(sentences(5), sentences(5, 1), None, None, config)
    for stored, layer in ((None, 2), (LayerChoice(1, "stored"), 1)):
        monkeypatch.setattr(rescore, "stored_layer", lambda *_, s=stored: s)
        found = rescore.open_rescorer(sides, tiny_model, config, cache=tmp_path)
        assert [store.layer for store in found.stores] == [layer] * 2
    assert rescore.open_rescorer(sides, tiny_model, MiningConfig(), cache=tmp_path) is None
