"""Fine-tuning by transformers' trainer: labels, learning, resume, and the saved model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from otembed.config import TaggingFinetuneConfig
from otembed.errors import ConfigError, ModelError, NumericsError
from otembed.tasks.tagging import TaggingReport, evaluate_tagging, read_tagged
from otembed.tasks.tagging.conllu import TAGS
from otembed.tasks.tagging.finetune import IGNORED, Tagger

FAST = {
    "learning_rate": 3e-3,
    "max_steps": 12,
    "evaluations": 3,
    "per_device_train_batch_size": 8,
    "max_length": 32,
}


def small(tiny_model, places, run=None, **options):
    config = TaggingFinetuneConfig(**FAST | options.pop("knobs", {}))
    return evaluate_tagging(tiny_model, **places, config=config, run=run, **options)


def test_first_token_of_each_word_has_its_tag(tiny_model, places):
    data = read_tagged(places["tests"]["de"])
    examples = Tagger(tiny_model[0].model, tiny_model.tokenizer, 32).labeled(data)
    assert len(examples) == len(data)
    for example, sentence in zip(examples, data.sentences, strict=True):
        assert [tag for tag in example["labels"] if tag != IGNORED] == list(sentence.tags)
        tokens = tiny_model.tokenizer.convert_ids_to_tokens(example["input_ids"])
        starts = [place for place, token in enumerate(tokens) if token.startswith("▁")]
        assert starts == [place for place, tag in enumerate(example["labels"]) if tag != IGNORED]


def test_training_learns_and_the_saved_model_gives_the_reported_figures(tiny_model, places, tmp_path):
    before = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    told = []
    report = small(
        tiny_model, places, tmp_path / "run", knobs={"max_steps": 80}, progress=lambda *e: told.append(e)
    )
    assert (report.protocol, report.layer, report.layers, report.label) == ("finetune", None, (), "stand-in")
    assert report.scores[0].accuracy > 0.65 > 0.45 > report.scores[0].majority
    assert report.settings["steps"] == 80
    assert [each for each in told if each[0] == "fine-tuning"] == [("fine-tuning", n, 80) for n in range(81)]
    assert ("tagging de", 13, 13) in told
    assert all(torch.equal(value, before[name]) for name, value in tiny_model.state_dict().items())
    assert sorted(each.name for each in (tmp_path / "run").iterdir()) == ["model", "settings.json", "training.json"]
    kept = AutoModelForTokenClassification.from_pretrained(tmp_path / "run" / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    assert [kept.config.id2label[index] for index in range(len(TAGS))] == list(TAGS)
    for score, outcome in zip(report.scores, report.outcomes, strict=True):
        data = read_tagged(places["tests"][score.language])
        right = []
        for sentence in data.sentences:
            with torch.no_grad():
                encoded = tokenizer(" ".join(sentence.words), return_tensors="pt")
                best = kept(**encoded).logits[0].argmax(1).tolist()
            tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
            found = [tag for tag, token in zip(best, tokens, strict=True) if token.startswith("▁")]
            right.append(sum(one == other for one, other in zip(found, sentence.tags, strict=True)))
        assert list(outcome.values) == right
        assert outcome.value == pytest.approx(score.accuracy)
        assert outcome.key == ("tagging", f"{score.language}, fine-tuned", "accuracy")
    dev = read_tagged(places["dev"])
    tagger = Tagger(kept, tokenizer, 32)
    assert report.dev_accuracy == pytest.approx(np.mean(tagger.predict(dev, tagger.inputs(dev)) == dev.tags()))
    assert TaggingReport.from_json(report.to_json()).scores == report.scores
    assert len(report.tables()) == 1


def test_interrupted_run_resumes_to_the_same_result(tiny_model, places, tmp_path):
    whole = small(tiny_model, places, tmp_path / "whole")

    def kill(stage, done, total):
        if (stage, done) == ("fine-tuning", 6):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small(tiny_model, places, tmp_path / "cut", progress=kill)
    told = []
    again = small(tiny_model, places, tmp_path / "cut", resume=True, progress=lambda *each: told.append(each))
    assert told[0] == ("fine-tuning", 4, 12)
    assert (again.scores, again.outcomes, again.dev_accuracy) == (whole.scores, whole.outcomes, whole.dev_accuracy)
    told.clear()
    config = TaggingFinetuneConfig(**FAST, limit=5)
    finished = evaluate_tagging(
        tiny_model, **places, config=config, run=tmp_path / "cut", resume=True, progress=lambda *e: told.append(e)
    )
    assert {each[0] for each in told} == {"tagging en", "tagging de"}
    assert [each.sentences for each in finished.scores] == [5, 5]
    with pytest.raises(ConfigError, match=r"max_steps 12 is now 9"):
        small(tiny_model, places, tmp_path / "cut", resume=True, knobs={"max_steps": 9})
    with pytest.raises(ConfigError, match=r"training data"):
        small(tiny_model, places | {"train": places["dev"]}, tmp_path / "cut", resume=True)
    with pytest.raises(ConfigError, match=r"--resume.*--overwrite"):
        small(tiny_model, places, tmp_path / "cut")


def test_too_few_sentences_for_a_batch_open_no_run(tiny_model, places, tmp_path):
    full = {"per_device_train_batch_size": 4096, "trainer": {"dataloader_drop_last": True}}
    with pytest.raises(ConfigError, match="do not fill a batch of 4096"):
        small(tiny_model, places, tmp_path / "run", knobs=full)
    assert not (tmp_path / "run").exists()


def test_long_sentences_are_tagged_in_pieces(tiny_model, places, write):
    rest = "_\t_\t_\t_\t_\t_"
    test = write("long.conllu", "".join(f"{n}\tcat\t_\tNOUN\t{rest}\n" for n in range(1, 101)))
    report = small(tiny_model, places | {"tests": {"de": test}}, knobs={"max_steps": 2, "max_length": 16})
    assert (report.scores[0].words, report.scores[0].missing) == (100, 0)


def test_failures_are_told(tiny_model, places):
    with pytest.raises(ConfigError, match="fp16"):
        small(tiny_model, places, knobs={"precision": "fp16"})
    with pytest.raises(ModelError, match="'head'"):
        small(tiny_model, places, knobs={"freeze": ("head",)})
    with torch.no_grad():
        next(tiny_model[0].model.encoder.parameters()).fill_(float("nan"))
    with pytest.raises(NumericsError, match=r"nan at step 1\n.*learning_rate"):
        small(tiny_model, places)


def test_slow_tokenizer_is_rejected(tiny_model, places):
    tiny_model.tokenizer.__class__ = type("Slow", (type(tiny_model.tokenizer),), {"is_fast": False})
    with pytest.raises(ModelError, match=r"Slow.*\n.*fast tokenizer"):
        small(tiny_model, places)
