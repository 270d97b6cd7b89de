"""The released model carries the layer that its training text chose, and loads as before."""

from __future__ import annotations

import json
from pathlib import Path

import otembed
from otembed.data import PairChecks, load_pairs, parse_pair_spec
from otembed.errors import ModelError
from otembed.training import word_layer as alignment_layer
from otembed.training.preparation import load_material
from otembed.words import WordAligner, choose_layer


def test_training_stores_the_layer_chosen_on_the_training_text(configure):
    config = configure()
    result = otembed.train(config)
    stored = json.loads((Path(result.model) / "otembed.json").read_text())
    model = otembed.load_model(result.model, device="cpu")
    rows = load_material(config).train["en-de"]
    expected = choose_layer(model, (list(rows["source"]), list(rows["target"])))
    assert stored["alignment_layer"] == expected.layer
    assert stored["scores"] == [list(each) for each in expected.scores]
    assert WordAligner(model).choice.origin == "stored"


def test_run_without_enough_text_stores_no_layer(configure, text_path, caplog):
    text_path.write_text("\n".join(text_path.read_text().splitlines()[:40]) + "\n")
    with caplog.at_level("INFO", logger="otembed"):
        result = otembed.train(configure(held_out={"size": 0}))
    assert not (Path(result.model) / "otembed.json").exists()
    assert "fewer than 50" in caplog.text


def test_model_that_cannot_align_does_not_fail_the_run(configure, tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise ModelError("cannot align", "Use another model.")

    monkeypatch.setattr(alignment_layer, "choose_layer", refuse)
    with caplog.at_level("WARNING", logger="otembed"):
        result = otembed.train(configure())
    assert not (Path(result.model) / "otembed.json").exists()
    assert "cannot align" in caplog.text


def test_languages_share_the_300_pairs(configure, text_path, tiny_model, tmp_path, monkeypatch):
    seen = []

    def note(model, *corpora):
        seen.extend(len(source) for source, _ in corpora)
        return choose_layer(model, *corpora)

    monkeypatch.setattr(alignment_layer, "choose_layer", note)
    names = ["en-de", "en-es", "en-fr", "en-it", "en-nl", "en-pt", "en-sv"]
    rows = load_pairs(parse_pair_spec("en-de", str(text_path)), PairChecks(), None).dataset
    material = type("Material", (), {"train": dict.fromkeys(names, rows)})
    alignment_layer.store_alignment_layer(tiny_model, material, tmp_path)
    assert seen == [50] * 6
    assert (tmp_path / "otembed.json").exists()
