"""What the card of a trained model says of its origin."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

import otembed
from otembed.config.io import train_config
from otembed.models import OFFLINE_MODELS
from otembed.tasks.retrieval.report import RetrievalReport, RetrievalScores
from otembed.training.card import OFFLINE_ORIGINS, describe_in_card, publishable
from otembed.training.card_metadata import benchmark_results, with_metadata
from otembed.training.result import TrainResult


def test_every_offline_encoder_has_an_origin():
    assert set(OFFLINE_ORIGINS) == {f"offline:{name}" for name in OFFLINE_MODELS}


def test_card_names_languages_base_model_and_license(configure, tiny_model):
    config = configure()
    describe_in_card(tiny_model, replace(config, model=replace(config.model, name="offline:multilingual-e5-small")))
    card = tiny_model.model_card_data
    assert card.language == ["de", "en"]
    assert (card.base_model, card.license) == ("intfloat/multilingual-e5-small", "mit")


def test_card_of_a_trained_model_has_figures_layer_and_settings(configure, tmp_path):
    config = configure(loss={"sentence": "none", "alignment": {"weight": 1.0, "anchor": {}}})
    result = otembed.train(config)
    card = (Path(result.model) / "README.md").read_text(encoding="utf-8")
    assert result.before.table(result.after).markdown() in card
    assert result.before.table(result.after, centered=True).markdown() in card
    stored = json.loads((Path(result.model) / "otembed.json").read_text())
    assert f"Layer {stored['alignment_layer']}, which" in card
    settings = card.split("```yaml\n")[1].split("```")[0]
    assert train_config(yaml.safe_load(settings)) == publishable(config)
    assert str(tmp_path) not in card
    assert "loss:NoneType" not in card
    assert "loss:OTAlignmentLoss" in card
    # The model has a prompt for queries, but both sides were encoded alike.
    assert "embeddings = model.encode(sentences)" in card
    assert "encode_query" not in card


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("/home/me/a.tsv.gz?source=x/y&target=1", "a.tsv.gz?source=x/y&target=1"),
        ("data/a.en,data/a.de", "a.en,a.de"),
        ("/home/me/a.{en,de}", "a.{en,de}"),
        ("starter:en-de@test", "starter:en-de@test"),
        ("hub:owner/name:config@train", "hub:owner/name:config@train"),
    ],
)
def test_card_contains_no_local_paths(configure, place, shown):
    config = replace(configure(output="/home/me/run"), pairs={"en-de": place})
    found = publishable(replace(config, held_out=replace(config.held_out, pairs={"en-de": place})))
    assert (found.pairs["en-de"], found.held_out.pairs["en-de"], found.output) == (shown, shown, "run")


def test_paths_of_a_teacher_and_of_the_trainer_are_reduced_too(configure):
    loss = {"sentence": "mse", "teacher": "/home/me/teacher", "contrastive": None}
    trainer = {"deepspeed": "/home/me/zero.json", "report_to": ["none"], "optim_args": "a=1"}
    found = publishable(configure(loss=loss, trainer=trainer))
    assert found.loss.teacher == "teacher"
    assert found.trainer == {**trainer, "deepspeed": "zero.json"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [("/home/me/m", "m"), ("./m", "m"), ("owner/name", "owner/name"), ("offline:multilingual-e5-small",) * 2],
)
def test_hub_model_keeps_its_name(configure, name, shown):
    config = configure()
    assert publishable(replace(config, model=replace(config.model, name=name))).model.name == shown


CARD = "---\nlicense: {license}\nbase_model: owner/base\n---\n# A model\n"


@pytest.mark.parametrize(
    ("card", "given", "expected"),
    [
        (None, None, ("unknown", None)),
        (CARD.format(license="cc-by-4.0"), None, ("cc-by-4.0", "owner/base")),
        (CARD.format(license="cc-by-4.0"), "mit", ("mit", "owner/base")),
        (CARD.format(license="[mit, apache-2.0]"), None, ("unknown", "owner/base")),
        ("---\n{broken\n---\n", None, ("unknown", None)),
        ("no metadata", None, ("unknown", None)),
    ],
)
def test_license_and_base_model_come_from_the_card_of_the_start(
    card, given, expected, configure, tiny_model, tmp_path
):
    (tmp_path / "start").mkdir()
    if card is not None:
        (tmp_path / "start" / "README.md").write_text(card, encoding="utf-8")
    config = configure(hub={"license": given})
    describe_in_card(tiny_model, replace(config, model=replace(config.model, name=str(tmp_path / "start"))))
    assert (tiny_model.model_card_data.license, tiny_model.model_card_data.base_model) == expected


def scores(pair, accuracy):
    shares = dict.fromkeys(("accuracy", "f1", "xsim"), accuracy)
    both = {
        f"{name}_{way}": each for name, each in shares.items() for way in ("source_to_target", "target_to_source")
    }
    return RetrievalScores(pair=pair, sentences=12, **both)


def result(*found):
    report = RetrievalReport("m", found, 1.0)
    return TrainResult("r", "m", 1, 1.0, None, 1.0, 1.0, 2, 1, {}, {}, after=report if found else None)


def test_metadata_survives_names_with_markup(configure):
    config = publishable(configure(held_out={"pairs": {"en-de": '/home/me/a: [b] | "c" #d.tsv'}}))
    text = with_metadata(
        "---\ntags: [a]\n---\n# A\n", result(scores("en-de", 0.25)), config, {"license_name": "x: y"}
    )
    data = ModelCard(text).data
    assert data.license_name == "x: y"
    assert {each.metric_type: each.metric_value for each in data.eval_results} == dict.fromkeys(
        ("accuracy", "f1", "xsim"), 0.25
    )
    assert data.eval_results[0].dataset_name.endswith('a: [b] | "c" #d.tsv')
    assert "/home" not in text


def test_language_pairs_are_kept_apart_in_the_metadata(configure):
    config = configure(held_out={"pairs": {"en-de": "a.tsv", "en-sw": "b.tsv"}})
    text = with_metadata("---\ntags: [a]\n---\n", result(scores("en-de", 0.25), scores("en-sw", 0.5)), config, {})
    found = ModelCard(text).data.eval_results
    values = {(each.dataset_config, each.metric_type): each.metric_value for each in found}
    assert (values["en-de", "accuracy"], values["en-sw", "accuracy"]) == (0.25, 0.5)
    assert len(ModelCard(text).data.to_dict()["model-index"][0]["results"]) == 2


def test_without_held_out_pairs_there_is_no_model_index(configure):
    text = with_metadata("---\ntags: [a]\n---\n# A\n", result(), configure(), {})
    assert "model-index" not in text
    assert "metrics" not in text


def test_benchmarks_are_written_as_the_hub_reads_them(configure):
    config = configure(
        held_out={"pairs": {"en-de": "a.tsv", "en-sw": "b.tsv"}}, hub={"benchmarks": {"en-sw": "owner/set:task"}}
    )
    (entry,) = parse_eval_result_entries(
        benchmark_results(result(scores("en-de", 0.25), scores("en-sw", 0.5)), config, "1.0")
    )
    assert (entry.dataset_id, entry.task_id, entry.value) == ("owner/set", "task", 0.5)
    assert benchmark_results(result(scores("en-de", 0.25)), config, "1.0") == []


def test_card_says_where_sentences_were_truncated_for_its_figures(trained):
    card = (Path(trained.model) / "README.md").read_text(encoding="utf-8")
    assert "truncated at 12 tokens, as in training; the model itself truncates them at 64." in card
