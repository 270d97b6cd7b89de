"""What the card of a trained model says of its origin."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import otembed
from otembed.config.io import train_config
from otembed.models import OFFLINE_MODELS
from otembed.training.card import OFFLINE_ORIGINS, describe_in_card, publishable


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
