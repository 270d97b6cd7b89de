"""Fine-tuning runs by sentence-transformers, is cut and goes on, and keeps the best on the development pairs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from otembed.config.xnli import FinetuneConfig
from otembed.errors import ConfigError, ModelError, NumericsError
from otembed.models.architecture import transformer_of
from otembed.tasks.xnli import evaluate_xnli
from otembed.tasks.xnli.data import read_nli
from otembed.tasks.xnli.finetune import build_classifier

FAST = {"learning_rate": 1e-3, "max_steps": 24, "evaluations": 4, "per_device_train_batch_size": 16}


@pytest.fixture
def places(file):
    tests = {"en": file("test.en.tsv", 60, seed=2), "de": file("test.de.tsv", 31, seed=3)}
    return {"train": file("train.tsv", 240), "dev": file("dev.tsv", 60, seed=1), "tests": tests}


def test_classifier_starts_from_the_encoder(tiny_model):
    classifier = build_classifier(tiny_model, 128, seed=1)
    first, second = transformer_of(tiny_model).state_dict(), transformer_of(classifier).base_model.state_dict()
    same = [name for name in second if name in first and torch.equal(first[name], second[name])]
    assert set(second) - set(same) <= {"pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"}
    assert (classifier.max_seq_length, classifier.num_labels) == (64, 3)  # as many positions as the encoder has
    assert transformer_of(classifier).config.id2label[2] == "contradiction"
    again, other = build_classifier(tiny_model, 128, seed=1), build_classifier(tiny_model, 128, seed=2)
    heads = [transformer_of(each).classifier.weight for each in (classifier, again, other)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_encoder_whose_weights_do_not_load_is_rejected(tiny_model, monkeypatch):
    whole = CrossEncoder.__init__

    def forgetful(self, *arguments, **options):
        whole(self, *arguments, **options)
        with torch.no_grad():
            transformer_of(self).base_model.encoder.layer[1].output.dense.weight[0, 0] += 1

    monkeypatch.setattr(CrossEncoder, "__init__", forgetful)
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.output\.dense\.weight of BertModel"):
        build_classifier(tiny_model, 128, seed=1)


def test_training_learns_and_the_saved_model_gives_the_reported_figures(tiny_model, places, tmp_path):
    before = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    told = []
    report = evaluate_xnli(
        tiny_model, **places, config=FinetuneConfig(**FAST | {"max_steps": 60}), run=tmp_path / "run", progress=lambda *each: told.append(each)
    )  # fmt: skip
    assert report.protocol == "finetune"
    assert report.label == "stand-in"
    assert report.scores[0].accuracy > 0.5
    assert report.settings["steps"] == 60
    assert [each for each in told if each[0] == "fine-tuning"] == [("fine-tuning", n, 60) for n in range(61)]
    assert told[-1] == ("testing", 91, 91)
    assert all(torch.equal(value, before[name]) for name, value in tiny_model.state_dict().items())
    assert sorted(each.name for each in (tmp_path / "run").iterdir()) == ["model", "settings.json", "training.json"]
    kept = CrossEncoder(str(tmp_path / "run" / "model"), device="cpu", local_files_only=True)
    for score, outcome, path in zip(report.scores, report.outcomes, places["tests"].values(), strict=True):
        pairs = read_nli(path)
        found = kept.predict([(each.premise, each.hypothesis) for each in pairs.examples]).argmax(1)
        assert list(outcome.values) == (found == pairs.labels()).tolist()
        assert score.accuracy == outcome.value
    assert [each.task for each in report.outcomes] == [f"{each}, fine-tuned" for each in places["tests"]]
    dev = read_nli(places["dev"])
    right = kept.predict([(each.premise, each.hypothesis) for each in dev.examples]).argmax(1) == dev.labels()
    assert report.dev_accuracy == pytest.approx(right.mean())


def test_finished_run_is_evaluated_on_other_pairs_without_training(tiny_model, places, tmp_path, file):
    config = FinetuneConfig(**FAST | {"max_steps": 2, "evaluations": 1})
    first = evaluate_xnli(tiny_model, **places, config=config, run=tmp_path / "run")
    told = []
    places["tests"] = {"de": places["tests"]["de"], "sw": file("more.tsv", 12)}
    again = evaluate_xnli(
        tiny_model, **places, config=config, run=tmp_path / "run", resume=True, progress=lambda *each: told.append(each)
    )  # fmt: skip
    assert {each[0] for each in told} == {"testing"}
    assert again.scores[0] == first.scores[1]
    assert again.dev_accuracy == first.dev_accuracy
    assert again.settings == first.settings


KILLED = """
import json, os, signal, sys
import otembed
from otembed.config import FinetuneConfig
from otembed.tasks.xnli import evaluate_xnli
def progress(stage, done, total):
    if done == 15:
        os.kill(os.getpid(), signal.SIGKILL)
model, places, config, run = json.load(sys.stdin)
evaluate_xnli(otembed.load_model(model, device="cpu"), **places, config=FinetuneConfig(**config), run=run,
                      progress=progress)
"""


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_figures(tiny_model, tiny_model_path, places, tmp_path):
    config = FinetuneConfig(**FAST)
    whole = evaluate_xnli(tiny_model, **places, config=config, run=tmp_path / "whole")
    texts = {name: str(place) for name, place in places.items() if name != "tests"}
    texts["tests"] = {language: str(place) for language, place in places["tests"].items()}
    given = json.dumps([str(tiny_model_path), texts, FAST, str(tmp_path / "cut")])
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    ended = subprocess.run(
        [sys.executable, "-c", KILLED], check=False, capture_output=True, text=True, input=given, env=environment
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert sorted(each.name for each in (tmp_path / "cut" / "checkpoints").glob("checkpoint-*")) == [
        "checkpoint-12",
        "checkpoint-6",
    ]
    (tmp_path / "cut" / "checkpoints" / "checkpoint-18").mkdir()  # what a kill in the midst of writing leaves
    told = []
    rest = evaluate_xnli(
        tiny_model, **places, config=config, run=tmp_path / "cut", resume=True, progress=lambda *each: told.append(each)
    )  # fmt: skip
    assert told[0] == ("fine-tuning", 12, 24)
    assert rest.scores == whole.scores
    assert rest.outcomes == whole.outcomes
    assert rest.dev_accuracy == whole.dev_accuracy
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_run_interrupted_after_its_last_step_trains_no_further(tiny_model, places, tmp_path, monkeypatch):
    config = FinetuneConfig(**FAST | {"max_steps": 4, "evaluations": 2})
    whole = evaluate_xnli(tiny_model, **places, config=config, run=tmp_path / "whole")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("otembed.tasks.heads.run.HeadRun.finish", killed)
        with pytest.raises(KeyboardInterrupt):
            evaluate_xnli(tiny_model, **places, config=config, run=tmp_path / "cut")
    told = []
    rest = evaluate_xnli(
        tiny_model, **places, config=config, run=tmp_path / "cut", resume=True, progress=lambda *each: told.append(each)
    )  # fmt: skip
    assert [each for each in told if each[0] != "testing"] == [("fine-tuning", 4, 4)]
    for each in (tmp_path / "whole" / "model").iterdir():
        assert (tmp_path / "cut" / "model" / each.name).read_bytes() == each.read_bytes(), each.name
    assert (rest.scores, rest.settings) == (whole.scores, whole.settings)


def test_frozen_parts_do_not_change(tiny_model, places, tmp_path):
    config = FinetuneConfig(**FAST | {"max_steps": 2, "evaluations": 1, "freeze": ("embeddings", "layers:1")})
    report = evaluate_xnli(tiny_model, **places, config=config, run=tmp_path / "run")
    kept = CrossEncoder(str(tmp_path / "run" / "model"), device="cpu", local_files_only=True)
    own, trained = transformer_of(tiny_model), transformer_of(kept).base_model
    for name, value in trained.state_dict().items():
        if name.startswith(("embeddings.", "encoder.layer.0.")) and name in own.state_dict():
            assert torch.equal(value, own.state_dict()[name]), name
    assert not torch.equal(trained.encoder.layer[1].output.dense.weight, own.encoder.layer[1].output.dense.weight)
    assert 0 < report.settings["trained_parameters"] < sum(each.numel() for each in kept.parameters())


def test_accumulated_batches_make_one_step(tiny_model, places):
    settings = FAST | {"max_steps": None, "num_train_epochs": 1, "evaluations": 1}
    one, four = (
        evaluate_xnli(
            tiny_model,
            **places,
            config=FinetuneConfig(
                **settings | {"per_device_train_batch_size": 16 // count}, gradient_accumulation_steps=count
            ),
        )
        for count in (1, 4)
    )
    assert one.settings["steps"] == four.settings["steps"] > 0


def test_existing_folders_are_rejected(tiny_model, places, tmp_path):
    config = FinetuneConfig(**FAST | {"max_steps": 1, "evaluations": 1})
    run = tmp_path / "run"

    def evaluate(run=run, config=config, **options):
        return evaluate_xnli(tiny_model, **places, config=config, run=run, **options)

    with pytest.raises(ConfigError, match="--run"):
        evaluate(resume=True)
    evaluate()
    with pytest.raises(ConfigError, match="--resume"):
        evaluate()
    with pytest.raises(ConfigError, match=r"per_device_train_batch_size \d+ is now 32, seed \d+ is now 1\n"):
        evaluate(config=FinetuneConfig(max_steps=1, evaluations=1, learning_rate=1e-3, seed=1), resume=True)
    with pytest.raises(ConfigError, match="--resume and --overwrite"):
        evaluate(resume=True, overwrite=True)
    assert evaluate(overwrite=True).settings["steps"] == 1
    fields = {"lr_scheduler_type": "cosine_with_min_lr"}
    with pytest.raises(ConfigError, match=r"trainer\.lr_scheduler_type = cosine_with_min_lr"):
        evaluate(config=FinetuneConfig(**FAST, trainer=fields), overwrite=True)
    with pytest.raises(ModelError, match="layers:99"):
        evaluate(config=FinetuneConfig(**FAST, freeze=("layers:99",)), overwrite=True)
    full = FAST | {"per_device_train_batch_size": 4096, "trainer": {"dataloader_drop_last": True}}
    with pytest.raises(ConfigError, match="do not fill a batch of 4096"):
        evaluate(config=FinetuneConfig(**full), overwrite=True)
    assert (run / "training.json").exists()
    (run / "training.json").write_text('{"steps": 1}')
    with pytest.raises(ConfigError, match=r"'best_step'\n.*--overwrite"):
        evaluate(resume=True)
    (run / "settings.json").write_text("{")
    with pytest.raises(ConfigError, match=r"settings\.json: .*\n.*--overwrite"):
        evaluate(resume=True)
    (run / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="otembed eval xnli"):
        evaluate(overwrite=True)
    assert (run / "notes.txt").read_text() == "mine"


def test_non_finite_numbers_stop_the_run(tiny_model, places, tmp_path, monkeypatch):
    config = FinetuneConfig(**FAST | {"learning_rate": 1e30})
    with pytest.raises(NumericsError, match="nan at step"):
        evaluate_xnli(tiny_model, **places, config=config)
    monkeypatch.setattr(CrossEncoder, "predict", lambda self, pairs, **_: np.full((len(pairs), 3), np.nan))
    config = FinetuneConfig(**FAST | {"max_steps": 1, "evaluations": 1})
    with pytest.raises(NumericsError, match=r"test\.en\.tsv:2: .*NaN"):
        evaluate_xnli(tiny_model, **places, config=config)
    with pytest.raises(ConfigError, match="fp16"):
        evaluate_xnli(tiny_model, **places, config=FinetuneConfig(precision="fp16"))
