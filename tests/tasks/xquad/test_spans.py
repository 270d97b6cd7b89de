"""Windows, labels and spans against the text itself and a search over all spans; training, resume, refusals."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering

from otembed.config import SpanConfig
from otembed.config.xquad import SPECIAL_TOKENS
from otembed.errors import ConfigError, DataError, ModelError, NumericsError
from otembed.runtime.run_state import locked
from otembed.tasks.xquad import SpanReport, evaluate_xquad_span
from otembed.tasks.xquad.data import Answer, Paragraph, Question, QuestionSet
from otembed.tasks.xquad.files import read_questions
from otembed.tasks.xquad.spans import predict_answers, span_model, train_spans, trainable, training_label
from otembed.tasks.xquad.squad_score import score_answer
from otembed.tasks.xquad.windows import best_spans, labels, windows

CONFIG = SpanConfig(
    max_length=48,
    stride=8,
    max_question_length=16,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=2,
    max_steps=4,
    save_steps=2,
)
CONTEXT = " ".join(f"the cat {number} sat on the mat," for number in range(12))


def one_question(context=CONTEXT, answer="cat 7 sat", question="who sat on the mat?"):
    answers = (Answer(answer, context.index(answer)),)
    return QuestionSet("x", (Paragraph(context),), (Question("q", question, 0, answers),))


def models(tiny_model, tiny_wordpiece_model):
    return {"unigram": tiny_model, "wordpiece": tiny_wordpiece_model}


@pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
@pytest.mark.parametrize("answer", ["the cat 0 sat", "cat 7 sat", "mat,", "11", "sat on the mat, the cat 5 sat on"])
def test_labels_mark_the_answer_in_every_window_that_contains_it(tiny_model, tiny_wordpiece_model, kind, answer):
    model = models(tiny_model, tiny_wordpiece_model)[kind]
    data = one_question(answer=answer)
    right = data.questions[0].answers[0]
    hits = 0
    for window in windows(data, model.tokenizer, CONFIG):
        assert len(window.inputs["input_ids"]) <= CONFIG.max_length
        start, end = labels(window, right, model.tokenizer.cls_token_id)
        inside = window.spans[window.usable]
        if inside[0, 0] <= right.start and right.start + len(answer) <= inside[-1, 1]:
            hits += 1
            found = CONTEXT[window.spans[start, 0] : window.spans[end, 1]].strip()
            assert re.sub(r"^,\s*|,$", "", found) == answer.strip(",")
        else:
            assert (start, end) == (0, 0)
    assert hits


def test_windows_overlap_by_the_stride_and_cover_the_paragraph(tiny_model):
    found = list(windows(one_question(), tiny_model.tokenizer, CONFIG))
    assert len(found) > 3
    for one, other in pairwise(found):
        starts, others = (each.spans[each.usable, 0].tolist() for each in (one, other))
        assert starts[-CONFIG.stride :] == others[: CONFIG.stride]
    covered = {place for window in found for start, end in window.spans for place in range(start, end)}
    assert {place for place, character in enumerate(CONTEXT) if character != " "} <= covered


def test_long_questions_are_truncated_and_slow_tokenizers_rejected(tiny_model):
    data = one_question(question="the cat sat on the mat " * 30)
    for window in windows(data, tiny_model.tokenizer, CONFIG):
        assert (~window.usable).sum() <= CONFIG.max_question_length + SPECIAL_TOKENS
    tiny_model.tokenizer.__class__ = type("Slow", (type(tiny_model.tokenizer),), {"is_fast": False})
    with pytest.raises(ModelError, match=r"Slow .*\n.*tokenizer.json"):
        next(windows(data, tiny_model.tokenizer, CONFIG))


def test_best_span_matches_a_search_over_all_valid_spans():
    generator = np.random.default_rng(0)
    start, end = generator.normal(size=(2, 30, 17))
    usable = generator.random((30, 17)) < 0.6
    usable[0] = False
    for row, found in enumerate(best_spans(start, end, usable, 5)):
        sums = {
            (i, j): start[row, i] + end[row, j]
            for i in range(17)
            for j in range(i, min(i + 5, 17))
            if usable[row, i] and usable[row, j]
        }
        if sums:
            best = max(sums, key=lambda span, sums=sums: sums[span])
            assert (found.start, found.end, found.score) == (*best, pytest.approx(sums[best]))
        else:
            assert found.score == -np.inf


class Oracle(torch.nn.Module):
    """Scores tokens by their ids alone: the best answer is any token of the wanted id."""

    device = torch.device("cpu")
    config = type("C", (), {"type_vocab_size": 2})

    def __init__(self, wanted, value=5.0):
        super().__init__()
        self.wanted, self.value = wanted, value

    def forward(self, input_ids, **inputs):
        scores = (input_ids == self.wanted) * self.value
        return type("Output", (), {"start_logits": scores, "end_logits": scores})


def test_answer_is_the_best_span_of_all_windows_within_the_paragraph(tiny_model):
    data = one_question(context=CONTEXT + " dog", answer="dog", question="who is the dog?")
    wanted = tiny_model.tokenizer("dog", add_special_tokens=False)["input_ids"][-1]
    answers, count = predict_answers(Oracle(wanted), tiny_model.tokenizer, data, CONFIG)
    # The question holds the word too, in every window: no answer comes from there.
    assert answers["q"] in data.paragraphs[0].text
    assert answers["q"]
    assert "dog".endswith(answers["q"])
    assert count == len(list(windows(data, tiny_model.tokenizer, CONFIG)))
    with pytest.raises(NumericsError, match=r"NaN.*\n.*learning_rate"):
        predict_answers(Oracle(wanted, float("nan")), tiny_model.tokenizer, data, CONFIG)


def test_head_uses_the_same_encoder_as_transformers(tiny_model, tiny_model_path):
    made = span_model(
        tiny_model, SpanConfig(max_length=64, stride=8, max_question_length=16, freeze=("embeddings",))
    )
    loaded = AutoModelForQuestionAnswering.from_pretrained(tiny_model_path)
    for name, weights in loaded.base_model.state_dict().items():
        assert torch.equal(weights, made.base_model.state_dict()[name])
    assert not any(each.requires_grad for each in made.base_model.embeddings.parameters())
    assert all(each.requires_grad for each in tiny_model.parameters())
    with pytest.raises(ConfigError, match=r"max_length 384 .*64"):
        span_model(tiny_model, SpanConfig())
    with pytest.raises(ModelError, match="'head'"):
        span_model(tiny_model, SpanConfig(max_length=64, stride=8, max_question_length=16, freeze=("head",)))


def test_fp16_requires_a_gpu(tiny_model, xquad_files):
    with pytest.raises(ConfigError, match="fp16"):
        evaluate_xquad_span(tiny_model, xquad_files["en"], xquad_files, SpanConfig(precision="fp16"))


@pytest.mark.slow
def test_training_learns_where_answers_are(tiny_model, xquad_files):
    """Four questions are learnt by heart: far above what the untrained head gets."""
    config = SpanConfig(
        max_length=64,
        stride=8,
        max_question_length=30,
        gradient_accumulation_steps=1,
        max_steps=80,
        learning_rate=3e-3,
        warmup_steps=0,
    )
    data = read_questions(xquad_files["en"])
    made, examples = trainable(tiny_model, data, config)
    trained = train_spans(made, tiny_model.tokenizer, examples, config, run=None, progress=lambda *_: None)
    answers, _ = predict_answers(trained.model, tiny_model.tokenizer, data, config)
    assert np.mean([score_answer(text, ["The dog"]).f1 for text in answers.values()]) > 0.9
    assert list(trained.losses.values())[-1] < 0.5 * next(iter(trained.losses.values()))


def small(tiny_model, files, **knobs):
    return evaluate_xquad_span(tiny_model, files["en"], files, CONFIG, name="tiny", **knobs)


def test_report_outcomes_and_predictions_agree(tiny_model, xquad_files, tmp_path):
    before = {name: each.clone() for name, each in tiny_model.state_dict().items()}
    report = small(tiny_model, xquad_files, predictions=tmp_path / "answers")
    for one in report.scores:
        answers = json.loads((tmp_path / "answers" / f"{one.language}.json").read_text(encoding="utf-8"))
        data = read_questions(xquad_files[one.language])
        scored = [score_answer(answers[each.id], [each.answers[0].text]) for each in data.questions]
        assert (one.f1, one.exact_match) == tuple(np.mean(scored, axis=0))
        figures = {each.metric: each.value for each in report.outcomes if each.task == f"span/{one.language}"}
        assert figures == {"f1": one.f1, "exact_match": one.exact_match}
    assert report.f1 == np.mean([one.f1 for one in report.scores])
    assert (report.steps, report.training_data) == (4, "stand-in: xquad.en.json")
    assert report.to_dict()["stand_in"] is True
    assert SpanReport.from_json(report.to_json()) == report
    assert all(torch.equal(each, before[name]) for name, each in tiny_model.state_dict().items())


def test_tokenizer_that_pads_on_the_left_gives_the_same_labels_and_answers(tiny_model, xquad_files):
    right = small(tiny_model, xquad_files)
    tiny_model.tokenizer.padding_side = "left"
    left = small(tiny_model, xquad_files)
    assert (left.losses, left.outcomes) == (right.losses, right.outcomes)


def test_scores_by_another_rule_or_of_other_answers_are_of_other_examples(tiny_model, xquad_files, tmp_path):
    def examples(files, config=CONFIG):
        report = evaluate_xquad_span(tiny_model, files["en"], files, config, run=tmp_path / "run", resume=resume())
        return {each.task: each.examples for each in report.outcomes}

    def resume():
        return (tmp_path / "run").exists()

    first = examples(xquad_files)
    assert examples(xquad_files) == first
    other = {**xquad_files, "de": tmp_path / "xquad.de.json"}
    text = Path(xquad_files["de"]).read_text(encoding="utf-8")
    document = json.loads(text)
    answer = document["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]
    answer["text"] = answer["text"].split()[0]
    other["de"].write_text(json.dumps(document), encoding="utf-8")
    changed = examples(other)
    assert (changed["span/en"] == first["span/en"], changed["span/de"] == first["span/de"]) == (True, False)
    assert set(examples(xquad_files, replace(CONFIG, normalization="mlqa")).values()).isdisjoint(first.values())


def test_table_of_two_reports_matches_languages(tiny_model, xquad_files):
    report = small(tiny_model, xquad_files)
    one, two = (replace(each, f1=share) for each, share in zip(report.scores, (0.2, 0.8), strict=True))
    first, second = replace(report, scores=(one, two)), replace(report, scores=(two, one))
    assert first.table(second).rows[0][2::2] == ("20.0", "20.0")
    for scores in ((one,), (one, replace(two, language="ru")), (one, replace(two, questions=99))):
        with pytest.raises(DataError, match="different data"):
            first.table(replace(report, scores=scores))


def test_killed_run_resumes_to_the_same_result(tiny_model, xquad_files, tmp_path):
    whole = small(tiny_model, xquad_files, run=tmp_path / "whole")

    def kill(stage, done, total):
        if (stage, done) == ("fine-tuning", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small(tiny_model, xquad_files, run=tmp_path / "cut", progress=kill)
    assert [each.name for each in (tmp_path / "cut" / "checkpoints").iterdir()] == ["checkpoint-2"]
    (tmp_path / "cut" / "checkpoints" / "checkpoint-3").mkdir()  # half written
    seen = []
    again = small(
        tiny_model, xquad_files, run=tmp_path / "cut", resume=True, progress=lambda *each: seen.append(each)
    )
    assert seen[0] == ("fine-tuning", 2, 4)
    assert (again.scores, again.outcomes) == (whole.scores, whole.outcomes)
    assert not (tmp_path / "cut" / "checkpoints").exists()
    (tmp_path / "cut" / ".training.json.0a1b2c3d.tmp").touch()
    (tmp_path / "cut" / "checkpoints").mkdir()
    finished = small(tiny_model, xquad_files, run=tmp_path / "cut", resume=True)
    assert {each.name for each in (tmp_path / "cut").iterdir()} == {"settings.json", "model", "training.json"}
    assert (finished.scores, finished.steps, finished.losses) == (again.scores, 4, again.losses)


def test_run_interrupted_after_its_last_step_trains_no_further(tiny_model, xquad_files, tmp_path, monkeypatch):
    whole = small(tiny_model, xquad_files, run=tmp_path / "whole")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("otembed.tasks.heads.run.HeadRun.finish", killed)
        with pytest.raises(KeyboardInterrupt):
            small(tiny_model, xquad_files, run=tmp_path / "cut")
    told = []
    rest = small(
        tiny_model, xquad_files, run=tmp_path / "cut", resume=True, progress=lambda *each: told.append(each)
    )
    assert [each for each in told if each[0] == "fine-tuning"] == [("fine-tuning", 4, 4)]
    assert (rest.scores, rest.steps, rest.losses) == (whole.scores, whole.steps, whole.losses)
    for each in (tmp_path / "whole" / "model").iterdir():
        assert (tmp_path / "cut" / "model" / each.name).read_bytes() == each.read_bytes(), each.name


def test_run_in_use_is_not_replaced(tiny_model, xquad_files, tmp_path):
    first = small(tiny_model, xquad_files, run=tmp_path / "run", train_limit=2)
    kept = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    refused = {
        r"trainer\.adam_beta1": replace(CONFIG, trainer={"adam_beta1": 2.0}),
        r"max_length 9000 exceeds": replace(CONFIG, max_length=9000),
        r"layers:99": replace(CONFIG, freeze=("layers:99",)),
        r"do not fill a batch of 4096": replace(
            CONFIG, per_device_train_batch_size=4096, trainer={"dataloader_drop_last": True}
        ),
    }
    for words, config in refused.items():
        with pytest.raises((ConfigError, ModelError), match=words):
            evaluate_xquad_span(
                tiny_model, xquad_files["en"], xquad_files, config, run=tmp_path / "run", overwrite=True
            )
    with locked(tmp_path / "run"), pytest.raises(ConfigError, match="run"):
        small(tiny_model, xquad_files, run=tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == kept
    again = small(tiny_model, xquad_files, run=tmp_path / "run", overwrite=True)
    assert again.training_questions > first.training_questions
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() != kept


def test_run_with_other_settings_is_not_changed(tiny_model, tiny_wordpiece_model, xquad_files, tmp_path):
    small(tiny_model, xquad_files, run=tmp_path / "run")
    files = sorted(each for each in (tmp_path / "run").rglob("*") if each.is_file())
    kept = [each.read_bytes() for each in files]
    with pytest.raises(ConfigError, match=r"\n.*--resume.*--overwrite"):
        small(tiny_model, xquad_files, run=tmp_path / "run")
    with pytest.raises(ConfigError, match="encoder"):
        small(tiny_wordpiece_model, xquad_files, run=tmp_path / "run", resume=True)
    with pytest.raises(ConfigError, match="training data"):
        small(tiny_model, xquad_files, run=tmp_path / "run", resume=True, train_limit=2)
    other = SpanConfig(
        max_length=48,
        stride=8,
        max_question_length=16,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        max_steps=9,
    )
    with pytest.raises(ConfigError, match="max_steps 4 is now 9"):
        evaluate_xquad_span(tiny_model, xquad_files["en"], xquad_files, other, run=tmp_path / "run", resume=True)
    with locked(tmp_path / "run"), pytest.raises(ConfigError, match="run"):
        small(tiny_model, xquad_files, run=tmp_path / "run", resume=True)
    for name, damage in (("training.json", b"{}"), ("training.json", b"{"), ("model/model.safetensors", b"\x00")):
        path = tmp_path / "run" / name
        whole = path.read_bytes()
        path.write_bytes(damage)
        with pytest.raises(ConfigError, match=r"\n.*--overwrite"):
            small(tiny_model, xquad_files, run=tmp_path / "run", resume=True)
        path.write_bytes(whole)
    assert [each.read_bytes() for each in files] == kept
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    with pytest.raises(ConfigError, match="otembed eval xquad"):
        small(tiny_model, xquad_files, run=tmp_path / "mine", resume=True)
    with pytest.raises(ConfigError, match="--run FOLDER"):
        small(tiny_model, xquad_files, resume=True)


def test_non_finite_loss_stops_training(tiny_model, xquad_files):
    with torch.no_grad():
        next(tiny_model[0].model.encoder.parameters()).fill_(float("nan"))
    with pytest.raises(NumericsError, match=r"nan at step 1\n.*learning_rate"):
        small(tiny_model, xquad_files)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"max_length": 192}, "stride = 128 .*124"),
        ({"learning_rate": 0}, "learning_rate = 0"),
        ({"epochs": 1}, "num_train_epochs"),
        ({"normalization": "f1"}, "normalization = 'f1'"),
    ],
)
def test_settings_out_of_range_are_rejected(knobs, message):
    with pytest.raises(ConfigError, match=message):
        SpanConfig(**knobs)


def test_mlqa_and_limits_are_checked_before_training(tiny_model, xquad_files):
    config = SpanConfig(max_length=48, stride=8, max_question_length=16, normalization="mlqa")
    with pytest.raises(ConfigError, match="not defined for 'el'"):
        evaluate_xquad_span(tiny_model, xquad_files["en"], {"el": xquad_files["de"]}, config)
    with pytest.raises(ConfigError, match="train_limit is 0"):
        small(tiny_model, xquad_files, train_limit=0)
    with pytest.raises(DataError, match="at least one language"):
        evaluate_xquad_span(tiny_model, xquad_files["en"], {})


def test_only_complete_squad_is_named_squad():
    squad = QuestionSet("hub:rajpurkar/squad@train", (), tuple(Question(str(n), "?", 0, ()) for n in range(87_599)))
    assert training_label(squad) == "SQuAD v1.1"
    assert training_label(squad.spread(1000)) == "stand-in: hub:rajpurkar/squad@train"
