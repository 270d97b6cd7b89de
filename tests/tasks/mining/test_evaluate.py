"""Mining scores against scikit-learn and a count by hand; BUCC's rules on planted collections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from otembed.config.mining import MiningConfig
from otembed.errors import ConfigError, DataError, OtembedError
from otembed.mining.mine import name_of
from otembed.mining.side import load_encoder, load_once, name_to_load, open_sides
from otembed.tasks.mining import MiningEvaluator, evaluate_mining, mining_scores
from otembed.tasks.mining.evaluate import MiningScores, read_gold

TIED = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0]), st.booleans()), min_size=1, max_size=12)


@given(TIED, st.integers(0, 4), st.sampled_from([None, 0.5, 1.25]))
@settings(max_examples=60, deadline=None)
def test_figures_match_scikit_learn(pairs, missed, threshold):
    scores, right = (np.array(each) for each in zip(*pairs, strict=True))
    gold = int(right.sum()) + missed
    if gold == 0:
        return
    found = mining_scores(scores, right, gold, threshold=threshold)
    # Known pairs that were not found are positives that no threshold reaches.
    truth = np.concatenate([right, np.ones(missed, bool)])

    def at(value):
        return np.concatenate([scores >= value, np.zeros(missed, bool)])

    chosen = at(-np.inf if threshold is None else threshold)
    assert found.found == chosen.sum()
    for name, metric in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        assert getattr(found, name) == pytest.approx(metric(truth, chosen, zero_division=0))
    assert found.best_f1 == pytest.approx(max(f1_score(truth, at(value), zero_division=0) for value in scores))
    assert found.best_f1 == pytest.approx(f1_score(truth, at(found.best_threshold), zero_division=0))
    expected = average_precision_score(right, scores) * right.sum() / gold if right.any() else 0.0
    assert found.average_precision == pytest.approx(expected)
    assert MiningScores.from_json(found.to_json()).best_f1 == found.best_f1


def test_empty_result_and_invalid_counts():
    empty = mining_scores([], [], 3, threshold=1.0)
    assert (empty.precision, empty.recall, empty.f1, empty.best_f1, empty.best_threshold) == (0, 0, 0, 0, None)
    assert (empty.average_precision, empty.curve) == (0, ())
    with pytest.raises(DataError, match="0 known"):
        mining_scores([1.0], [False], 0)
    with pytest.raises(DataError, match=r"1 known pair, .* 2 correct ones"):
        mining_scores([1.0, 2.0], [True, True], 1)
    long = mining_scores(np.arange(5000.0), np.ones(5000, bool), 5000)
    # 199 at equal distances, and the best, which is the last of them here.
    assert (len(long.curve), long.curve[-1]) == (199, (0.0, 1.0, 1.0))


def collections(seed, rows=40):
    draw = np.random.default_rng(seed)
    shared = draw.normal(size=(rows, 32))
    sides = [
        np.concatenate([shared + 0.6 * draw.normal(size=shared.shape), draw.normal(size=(rows, 32))])
        for _ in range(2)
    ]
    return [side.astype(np.float32) for side in sides], [(row + 1, row + 1) for row in range(rows)]


def test_bucc_uses_the_threshold_of_the_training_part():
    (x, y), gold = collections(0)
    (u, v), known = collections(1)
    tuned = evaluate_mining(u, v, known)
    assert tuned.threshold == pytest.approx(0.06)
    test = evaluate_mining(x, y, gold, train=(u, v, known))
    assert test.threshold == tuned.best_threshold
    fixed = evaluate_mining(x, y, gold, config=MiningConfig(threshold=tuned.best_threshold))
    assert (test.precision, test.recall, test.f1) == (fixed.precision, fixed.recall, fixed.f1)
    assert 0.5 < test.f1 <= test.best_f1
    with pytest.raises(ConfigError, match="threshold"):
        evaluate_mining(x, y, gold, train=(u, v, known), config=MiningConfig(threshold=None))
    # The vectors would be taken for those of the training part, too.
    with pytest.raises(ConfigError, match=r"source_vectors .*training part"):
        evaluate_mining(["a"], ["b"], gold, train=(["c"], ["d"], known), source_vectors=x, target_vectors=y)


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        (("nowhere.de", ["a"]), {}, r"nowhere\.de"),
        ((np.eye(3, dtype=np.float32), ["a"]), {}, "dimension"),
        ((np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)), {"truncate_dim": 2}, "truncate_dim"),
        ((np.eye(3, dtype=np.float32), ["a"]), {"max_length_ratio": 2}, "max_length_ratio"),
    ],
)
def test_faults_of_the_test_part_are_found_before_the_training_part_is_mined(
    tiny_model, monkeypatch, part, settings, message
):
    monkeypatch.setattr("otembed.tasks.mining.evaluate.mine_bitext", None)
    train = (["a cat"], ["eine Katze"], [(1, 1)])
    with pytest.raises(OtembedError, match=message):
        evaluate_mining(*part, [(1, 1)], tiny_model, train=train, config=MiningConfig(**settings))


@pytest.mark.parametrize(("unknown", "part"), [(0, ""), (1, ", training part")])
def test_known_pairs_of_other_collections_are_found_before_mining(monkeypatch, tiny_model, unknown, part):
    monkeypatch.setattr("otembed.tasks.mining.evaluate.mine_bitext", None)
    texts = ["the cat", "the dog", "a house"]
    golds = [{(1, 1)}, {(2, 2)}]
    golds[unknown] = {("de-7", "de-8")}
    with pytest.raises(DataError, match=rf"mining{part}: no known pair is in .* \(1 known pair, .*de-7"):
        evaluate_mining(texts, texts, golds[0], tiny_model, train=(texts, texts, golds[1]))


def test_no_known_pairs_at_all():
    with pytest.raises(DataError, match="0 known pairs\nPass"):
        evaluate_mining(np.eye(3, dtype=np.float32), ["a"], [], source_vectors=None)


def test_an_encoder_given_by_name_is_loaded_once_for_both_parts(tiny_model, tmp_path, monkeypatch):
    loaded = []

    def load(name, **options):
        loaded.append((name, options))
        return tiny_model

    monkeypatch.setattr("otembed.models.load_model", load)
    texts = ["the cat sat on the mat", "the dog slept in the house", "the cat slept"]
    gold = [(row, row) for row in (1, 2, 3)]
    options = {"train": (texts, texts, gold), "cache": tmp_path, "device": "cpu"}
    assert evaluate_mining(texts, texts, gold, "offline:tiny", **options).f1 == 1
    assert loaded == [("offline:tiny", {"device": "cpu"})]
    with pytest.raises(ConfigError, match="no model is given"):
        evaluate_mining(texts, texts, gold, None, **options)


@pytest.mark.parametrize(("engine", "device"), [("local", "cuda:0"), ("processes", "cpu")])
def test_an_encoder_of_several_runs_keeps_its_name_for_workers(monkeypatch, engine, device):
    """Workers load it by that name on the device of the run; this process then needs no accelerator."""
    monkeypatch.setattr("otembed.models.load_model", lambda name, device: (name, device))
    sides, config = open_sides(["a"], ["b"], None, None, MiningConfig()), MiningConfig(engine=engine)
    shared = load_once("offline:tiny", sides, config, "cuda:0")
    assert load_encoder(shared, sides, "cuda:1") == ("offline:tiny", device)
    assert name_to_load(shared) == name_of(shared) == "offline:tiny"


def test_a_test_part_that_can_be_read_once_is_mined(tiny_model, tmp_path):
    texts = ["the cat sat on the mat", "the dog slept in the house", "the cat slept"]
    gold = [(row, row) for row in (1, 2, 3)]
    part, again = ((iter(texts), iter(texts)) for _ in "12")
    options = {"train": (texts, texts, gold), "cache": tmp_path}
    assert evaluate_mining(*part, gold, tiny_model, **options).f1 == 1
    assert evaluate_mining(*again, gold, tiny_model, **options).recall == 1


def test_gold_with_ids_repeats_and_dropped_lines(tmp_path):
    vectors = np.eye(5, dtype=np.float32)
    lines = ["a", "b", "a", "", "c"]
    gold = {(3, 3), (2, 2), (4, 4)}
    options = {"source_vectors": vectors, "target_vectors": vectors, "config": MiningConfig(threshold=None, k=1)}
    scores = evaluate_mining(lines, lines, gold, **options)
    assert (scores.gold, scores.gold_unusable, scores.right, scores.found) == (3, 1, 2, 3)
    path = tmp_path / "text.de"
    path.write_text("".join(f"de-{row}\t{line}\n" for row, line in enumerate(lines)))
    (tmp_path / "gold").write_text("de-2\tde-0\n\nde-1\tde-1\nde-1\tde-1\n")
    place = f"{path}?text=1&id=0"
    by_id = evaluate_mining(place, place, read_gold(tmp_path / "gold"), **options, cache=tmp_path)
    assert (by_id.gold, by_id.right, by_id.best_f1) == (2, 2, 0.8)
    with pytest.raises(DataError, match=r"\(3 known pairs, "):
        evaluate_mining(place, place, gold, **options, cache=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"), [("a\tb\tc\n", "3 fields"), ("a\n", "1 field,"), ("1\t\n", "2 fields"), ("\n", "gold")]
)
def test_unreadable_gold_is_rejected(tmp_path, text, message):
    (tmp_path / "gold").write_text(text)
    with pytest.raises(DataError, match=message):
        read_gold(tmp_path / "gold")


def test_evaluator_follows_the_contract(tiny_model):
    texts = ["the cat", "the dog slept", "in the house", "a mat"]
    evaluator = MiningEvaluator(texts, texts[::-1], [(row, 3 - row) for row in range(4)], name="planted")
    metrics = evaluator(tiny_model)
    assert evaluator.primary_metric == "planted_best_f1"
    assert metrics["planted_best_f1"] == metrics["planted_average_precision"] == 1.0
    assert set(metrics) == {
        f"planted_{key}" for key in ("best_f1", "average_precision", "precision", "recall", "f1")
    }
    assert evaluator.get_config_dict() == {"k": 4, "margin": "distance"}
    with pytest.raises(DataError, match=r"gold pair \(0, 4\)"):
        MiningEvaluator(texts, texts, [(0, 4)])
    with pytest.raises(ConfigError, match="truncate_dim = 8 has no effect"):
        MiningEvaluator(texts, texts, [(0, 0)], config=MiningConfig(truncate_dim=8))


def test_table_shows_the_figures():
    cells = dict(mining_scores([3.0, 2.0, 1.0], [True, False, True], 2, threshold=2.5, name="x").table().rows)
    assert (cells["precision"], cells["recall"], cells["F1"]) == ("100.0", "50.0", "66.7")
    assert (cells["best F1 of any threshold"], cells["threshold"]) == ("80.0", "2.5000")
