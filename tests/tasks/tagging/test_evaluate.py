"""The probe is scikit-learn's regression over word vectors pooled by hand, and the report counts what it should."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otembed.comparison import compare
from otembed.config import TaggingFinetuneConfig, TaggingProbeConfig
from otembed.errors import ConfigError, DataError, NumericsError
from otembed.tasks.tagging import TaggedSet, TaggingEvaluator, TaggingReport, evaluate_tagging, read_tagged
from otembed.tasks.tagging.conllu import TAGS, TaggedSentence
from otembed.tasks.tagging.evaluate import XTREME_TRAINING, _training
from otembed.tasks.tagging.pieces import split_long, tagged_inputs

STRENGTHS = (0.1, 1.0)


def by_hand(model, path, layer):
    """Word vectors of one layer, sentence by sentence, and tags, without otembed."""
    vectors, tags = [], []
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        rows = [line.split("\t") for line in block.splitlines()]
        words = [row[1] for row in rows]
        ids, owners = [0], [-1]
        for place, word in enumerate(words):
            pieces = model.tokenizer(word, add_special_tokens=False)["input_ids"]
            ids += pieces
            owners += [place] * len(pieces)
        ids, owners = [*ids, 2], [*owners, -1]
        with torch.no_grad():
            states = (
                model[0]
                .model(
                    input_ids=torch.tensor([ids]),
                    attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                    output_hidden_states=True,
                )
                .hidden_states[layer][0]
            )
        vectors += [
            states[[at for at, owner in enumerate(owners) if owner == place]].mean(0).numpy()
            for place in range(len(words))
        ]
        tags += [TAGS.index(row[3]) for row in rows]
    return np.stack(vectors), np.array(tags)


@pytest.mark.parametrize("layer", [0, 2, -1])
def test_probe_matches_scikit_learn(tiny_model, places, layer):
    report = evaluate_tagging(tiny_model, **places, config=TaggingProbeConfig(layer=layer, strengths=STRENGTHS))
    train, dev = (by_hand(tiny_model, places[name], layer) for name in ("train", "dev"))
    fitted = {
        c: make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=500)).fit(*train) for c in STRENGTHS
    }
    reached = {c: each.score(*dev) for c, each in fitted.items()}
    best = max(reached, key=reached.get)
    (chosen,) = report.layers
    assert (chosen.layer, chosen.strength, chosen.converged) == (layer % 4, best, True)
    assert report.dev_accuracy == chosen.dev_accuracy == pytest.approx(reached[best])
    for score, outcome in zip(report.scores, report.outcomes, strict=True):
        vectors, tags = by_hand(tiny_model, places["tests"][score.language], layer)
        found = fitted[best].predict(vectors)
        assert score.accuracy == pytest.approx(np.mean(found == tags)) == outcome.value
        assert score.macro_f1 == pytest.approx(
            f1_score(tags, found, labels=sorted(set(tags)), average="macro", zero_division=0)
        )
        assert (score.words, score.missing, score.layer) == (len(tags), 0, layer % 4)
        assert outcome.key == ("tagging", score.language, f"accuracy_layer_{layer % 4}")
        assert outcome.weights == tuple(read_tagged(places["tests"][score.language]).lengths)
    assert report.scores[0].accuracy > 0.7 > 0.5 > report.scores[0].majority


def test_every_layer_in_one_pass_equals_each_layer_alone(tiny_model, places, monkeypatch):
    calls = []
    forward = type(tiny_model[0].model).forward
    monkeypatch.setattr(type(tiny_model[0].model), "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    one = evaluate_tagging(tiny_model, **places, config=TaggingProbeConfig(layer=3, strengths=STRENGTHS))
    alone = len(calls)
    report = evaluate_tagging(tiny_model, **places, config=TaggingProbeConfig(layer="all", strengths=STRENGTHS))
    assert len(calls) == 2 * alone
    assert report.tested_layers == (0, 1, 2, 3)
    assert report.of_layer(3) == one.scores
    best = max(report.layers, key=lambda each: (each.dev_accuracy, -each.layer))
    assert (report.layer, report.dev_accuracy) == (best.layer, best.dev_accuracy)
    keys = {each.key: each for each in report.outcomes}
    assert len(keys) == len(report.outcomes) == 2 * (4 + 1)
    for language in places["tests"]:
        same = keys["tagging", language, "accuracy"], keys["tagging", language, f"accuracy_layer_{best.layer}"]
        assert same[0].values == same[1].values
    auto = evaluate_tagging(tiny_model, **places, config=TaggingProbeConfig(strengths=STRENGTHS))
    assert (auto.layer, auto.layers, auto.scores) == (report.layer, report.layers, report.of_layer(report.layer))
    assert [each.key[2] for each in auto.outcomes] == ["accuracy", "accuracy"]
    table = report.layer_table()
    assert [row[0] for row in table.rows] == ["0", "1", "2", "3"]
    assert "best" in table.rows[best.layer][-1]
    assert len(report.tables()) == 2
    assert report.mean(layer=2) == report.of_layer(2)[1].accuracy


def test_report_names_its_training_and_round_trips(tiny_model, places):
    config = TaggingProbeConfig(layer="all", strengths=STRENGTHS)
    report = evaluate_tagging(tiny_model, **places, config=config, name="tiny")
    assert (report.model, report.protocol, report.label) == ("tiny", "probe", "stand-in")
    assert report.zero_shot_accuracy == report.of_layer(report.layer)[1].accuracy
    assert report.zero_shot_macro_f1 == report.of_layer(report.layer)[1].macro_f1
    assert report.accuracy == pytest.approx(np.mean([each.accuracy for each in report.of_layer(report.layer)]))
    assert (report.training["sentences"], report.training["dev_sentences"]) == (60, 15)
    document = json.loads(report.to_json())
    assert document["label"] == "stand-in"
    assert document["means"]["by_layer"][2]["zero_shot_accuracy"] == report.mean(layer=2)
    assert document["scores"][0]["tags"]["NOUN"]["words"] > 0
    again = TaggingReport.from_json(report.to_json())
    assert json.loads(again.to_json()) == document
    text = " ".join(" ".join(row) for row in report.table().rows)
    assert "en (training language)" in text
    assert any("stand-in for XTREME" in note for note in report.table().notes)
    german = evaluate_tagging(
        tiny_model, **places, config=TaggingProbeConfig(layer=0, strengths=(1.0,), train_language="de")
    )
    assert german.zero_shot_accuracy == german.scores[0].accuracy
    only = evaluate_tagging(tiny_model, **places | {"tests": {"en": places["tests"]["en"]}}, config=config)
    assert only.zero_shot_accuracy is None
    assert all(table.rows for table in only.tables())


def test_only_the_whole_english_part_of_xtreme_is_not_a_stand_in():
    rows = tuple(TaggedSentence(("a",), (0,), line) for line in range(XTREME_TRAINING))
    whole, dev = TaggedSet("x", rows, len(rows)), TaggedSet("y", rows[:5], 5)
    assert _training(whole, dev, TaggingProbeConfig(train_limit=None))[2]["xtreme"]
    assert not _training(whole, dev, TaggingProbeConfig())[2]["xtreme"]
    assert not _training(whole, None, TaggingProbeConfig(train_limit=None))[2]["xtreme"]


def test_limits_and_development_sentences(tiny_model, places):
    config = TaggingProbeConfig(layer=0, strengths=(1.0,), train_limit=30, dev_limit=5, limit=7)
    report = evaluate_tagging(tiny_model, **places, config=config)
    assert (report.training["sentences"], report.training["dev_sentences"]) == (30, 5)
    assert [each.sentences for each in report.scores] == [7, 7]
    assert report.training["dev"] == str(places["dev"])
    held = evaluate_tagging(
        tiny_model, **places | {"dev": None}, config=TaggingProbeConfig(layer=0, strengths=(1.0,))
    )
    assert (held.training["sentences"], held.training["dev"]) == (54, "6 of the training sentences")


def test_words_without_tokens_are_errors_and_counted(tiny_model, places, write):
    rest = "_\t_\t_\t_\t_\t_"
    text = f"1\tthe\t_\tDET\t{rest}\n2\t\u3000\t_\tPUNCT\t{rest}\n3\tcat\t_\tNOUN\t{rest}\n"
    test = write("zh.conllu", text)
    report = evaluate_tagging(
        tiny_model, **places | {"tests": {"zh": test}}, config=TaggingProbeConfig(layer=0, strengths=(1.0,))
    )
    (score,) = report.scores
    assert (score.words, score.missing) == (3, 1)
    assert score.accuracy == pytest.approx(2 / 3)
    assert "PUNCT" in score.tags
    assert score.tags["PUNCT"]["f1"] == 0


def test_long_sentences_are_split_between_words(tiny_model, places, write):
    words = ["the", "cat", "sat", "on", "the", "mat", "die", "Katze", "saß", "auf", "der", "Matte"] * 3
    pieces = split_long(tiny_model.tokenizer, [words, ["cat"], words], 12)
    assert [piece.sentence for piece in pieces] == sorted(piece.sentence for piece in pieces)
    for row, sentence in enumerate((words, ["cat"], words)):
        own = [piece for piece in pieces if piece.sentence == row]
        assert [word for piece in own for word in sentence[piece.start : piece.stop]] == sentence
        for piece in own:
            text = " ".join(sentence[piece.start : piece.stop])
            assert len(tiny_model.tokenizer(text)["input_ids"]) <= 12
    for one, other in pairwise(pieces):
        if one.sentence == other.sentence:  # one word more would not fit
            more = " ".join(words[one.start : one.stop + 1])
            assert len(tiny_model.tokenizer(more)["input_ids"]) > 12
    assert split_long(tiny_model.tokenizer, [words], None) == [(0, 0, len(words))]
    long = split_long(tiny_model.tokenizer, [["cat", "q" * 50, "dog"]], 12)
    assert [(piece.start, piece.stop) for piece in long] == [(0, 1), (1, 2), (2, 3)]
    rest = "_\t_\t_\t_\t_\t_"
    test = write("long.conllu", "".join(f"{n}\tcat\t_\tNOUN\t{rest}\n" for n in range(1, 201)))
    report = evaluate_tagging(
        tiny_model, **places | {"tests": {"de": test}}, config=TaggingProbeConfig(layer=0, strengths=(1.0,))
    )
    assert (report.scores[0].words, report.scores[0].missing) == (200, 0)


def test_first_tokens_of_words(tiny_model, tiny_wordpiece_model):
    for model in (tiny_model, tiny_wordpiece_model):
        words = ["Katze", "saß", "\u3000", "schlief", "."]
        (one,) = tagged_inputs(model.tokenizer, [words], 64)
        assert one.firsts[2] == -1
        tokens = model.tokenizer.convert_ids_to_tokens(one.inputs["input_ids"])
        for word, first in zip(words, one.firsts.tolist(), strict=True):
            if first >= 0:
                piece = tokens[first].lstrip("▁")
                assert piece == "" or word.startswith(piece)
                assert not tokens[first].startswith("##")


def test_invalid_requests_are_rejected(tiny_model, places, tmp_path, write):
    with pytest.raises(ConfigError, match="at least one language"):
        evaluate_tagging(tiny_model, {}, train=places["train"])
    with pytest.raises(ConfigError, match="--protocol finetune"):
        evaluate_tagging(tiny_model, **places, run=tmp_path / "run")
    with pytest.raises(ConfigError, match="--run FOLDER"):
        evaluate_tagging(tiny_model, **places, config=TaggingFinetuneConfig(), resume=True)
    with pytest.raises(ConfigError, match=r"layer = 9: .*0 to 3"):
        evaluate_tagging(tiny_model, **places, config=TaggingProbeConfig(layer=9))
    rest = "_\t_\t_\t_\t_\t_"
    one = write("one.conllu", f"1\tcat\t_\tNOUN\t{rest}\n\n" * 12)
    with pytest.raises(DataError, match=r"one\.conllu: .*same tag"):
        evaluate_tagging(tiny_model, **places | {"train": one})
    few = write("few.conllu", f"1\tcat\t_\tNOUN\t{rest}\n\n" * 9)
    with pytest.raises(DataError, match=r"few\.conllu: 9 training sentences.*\n.*--dev"):
        evaluate_tagging(tiny_model, **places | {"train": few, "dev": None})
    blank = write("blank.conllu", f"1\t\u3000\t_\tNOUN\t{rest}\n\n")
    with pytest.raises(DataError, match=r"blank\.conllu: .*keeps no word"):
        evaluate_tagging(tiny_model, **places | {"dev": blank})
    for knobs, message in (
        ({"layer": "best"}, "layer"),
        ({"train_limit": 0}, "train_limit"),
        ({"strengths": ()}, "strengths"),
    ):
        with pytest.raises(ConfigError, match=message):
            TaggingProbeConfig(**knobs)


def test_model_with_nan_is_rejected(tiny_model, places):
    next(tiny_model.parameters()).data.fill_(float("nan"))
    with pytest.raises(NumericsError, match="NaN or infinity"):
        evaluate_tagging(tiny_model, **places, config=TaggingProbeConfig(layer=0))


def test_models_are_compared_sentence_by_sentence(tiny_model, places, tmp_path):
    for name, strength in (("weak", 1e-6), ("strong", 1.0)):
        config = TaggingProbeConfig(layer="all", strengths=(strength,))
        evaluate_tagging(tiny_model, **places, config=config, name=name).to_json(tmp_path / f"{name}.json")
    found = compare(str(tmp_path / "weak.json"), str(tmp_path / "strong.json"), resamples=200)
    english = next(each for each in found.tasks if (each.task, each.metric) == ("en", "accuracy"))
    assert english.primary
    assert english.differences[0].verdict == "better"
    assert any(each.metric == "accuracy_layer_3" and not each.primary for each in found.tasks)
    assert "tagging" in found.headlines[0]


def test_evaluator_follows_the_contract(tiny_model, places, tmp_path):
    test = places["tests"]["de"]
    config = TaggingProbeConfig(layer=-1, strengths=(1.0,))
    judge = TaggingEvaluator(places["train"], test, dev=places["dev"], name="de", config=config)
    assert (judge.primary_metric, judge.greater_is_better, judge.description) == ("accuracy", True, "Tagging")
    metrics = judge(tiny_model, str(tmp_path), epoch=1, steps=10)
    report = evaluate_tagging(tiny_model, {"de": test}, train=places["train"], dev=places["dev"], config=config)
    assert metrics == {"de_accuracy": report.scores[0].accuracy, "de_macro_f1": report.scores[0].macro_f1}
    assert judge.primary_metric == "de_accuracy"
    assert tiny_model.model_card_data.eval_results_dict[judge] == metrics
    assert judge.get_config_dict()["layer"] == -1
    judge(tiny_model, str(tmp_path), epoch=2, steps=20)
    rows = (tmp_path / "tagging_de_results.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2"]
    with pytest.raises(ConfigError, match="layer = all"):
        TaggingEvaluator(places["train"], test, config=TaggingProbeConfig(layer="all"))
