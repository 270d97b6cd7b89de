"""What the card of a trained model says of its origin."""

from __future__ import annotations

from dataclasses import replace

from otembed.models import OFFLINE_MODELS
from otembed.training.card import OFFLINE_ORIGINS, describe_in_card


def test_every_offline_encoder_has_an_origin():
    assert set(OFFLINE_ORIGINS) == {f"offline:{name}" for name in OFFLINE_MODELS}


def test_card_names_languages_base_model_and_licence(configure, tiny_model):
    config = configure()
    describe_in_card(tiny_model, replace(config, model=replace(config.model, name="offline:multilingual-e5-small")))
    card = tiny_model.model_card_data
    assert card.language == ["de", "en"]
    assert (card.base_model, card.license) == ("intfloat/multilingual-e5-small", "mit")
