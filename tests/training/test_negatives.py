"""Training with hard negatives: the whole way from a model to its negatives and back, and what refuses them."""

import json
from dataclasses import replace

import pytest

import otembed
from otembed.config.io import merge, train_config
from otembed.data import parse_pair_spec, text_digest
from otembed.errors import ConfigError, DataError
from otembed.mining import mine_negatives
from otembed.training.preparation import load_material

MNRL = {"sentence": "mnrl", "contrastive": None}


@pytest.fixture
def negatives(settings, tiny_model_path, tmp_path):
    """A file of the training pairs with two negatives each, German on the source side."""
    spec = parse_pair_spec("en-de", settings["pairs"]["en-de"])
    found = mine_negatives(
        spec, str(tiny_model_path), num_negatives=2, relative_margin=None, cache=tmp_path / "cache"
    )
    return found.write(tmp_path / "negatives.jsonl")


@pytest.fixture
def with_negatives(settings, negatives):
    """Build a configuration that trains on the file."""
    return lambda **changes: train_config(
        merge({**settings, "pairs": {"de-en": str(negatives)}}, {"optimization": {"max_steps": 3}, **changes})
    )


@pytest.mark.slow
@pytest.mark.parametrize("loss", [MNRL, {}, {"alignment": {}}, {**MNRL, "mini_batch_size": 4}])
def test_train_then_mine_then_train_with_the_negatives(configure, with_negatives, tmp_path, loss):
    first = otembed.train(configure(output=str(tmp_path / "first"), optimization={"max_steps": 3}))
    spec = parse_pair_spec("en-de", configure().pairs["en-de"])
    found = mine_negatives(spec, first.model, num_negatives=2, relative_margin=None, cache=tmp_path / "cache")
    path = found.write(tmp_path / "hard.jsonl")
    ends = []
    for number, wanted in enumerate((None, 0)):
        config = with_negatives(
            pairs={"de-en": str(path)},
            output=str(tmp_path / f"second{number}"),
            model={"name": first.model},
            loss=loss,
            held_out={"size": 0},
            data={"num_negatives": wanted},
            optimization={"max_steps": 3, "logging_steps": 1},
        )
        result = otembed.train(config)
        records = (tmp_path / f"second{number}" / "metrics.jsonl").read_text().splitlines()
        ends.append(next(record["loss"] for record in map(json.loads, records) if "loss" in record))
        assert result.steps == 3
    # More candidates to rank, so a higher loss on the same first batch.
    assert ends[0] > ends[1]


def test_material_has_the_negatives_and_no_held_out_sentence(with_negatives):
    material = load_material(with_negatives(loss=MNRL))
    dataset = material.train["de-en"]
    assert dataset.column_names == ["source", "target", "negative_1", "negative_2"]
    held_out = {text_digest(text) for side in material.held_out["de-en"] for text in side}
    assert len(held_out) == 24
    assert held_out.isdisjoint(text_digest(text) for column in dataset.column_names for text in dataset[column])
    assert load_material(with_negatives(data={"num_negatives": 1})).train["de-en"].column_names[2:] == [
        "negative_1"
    ]
    assert load_material(with_negatives(data={"num_negatives": 0})).train["de-en"].column_names[2:] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": {"sentence": "mse", "teacher": "x", "contrastive": None}}, "mse"),
        ({"loss": {"sentence": "distill", "teacher": "x"}}, "distill"),
        ({"loss": {"sentence": "gist", "teacher": "x"}}, r"gist(.|\n)*num_negatives to 1"),
        ({"loss": {"sentence": "none", "alignment": {"anchor": {}}}}, r"does not rank(.|\n)*num_negatives to 0"),
        ({"data": {"streaming": True}}, r"streaming(.|\n)*num_negatives to 0"),
    ],
)
def test_objectives_that_do_not_rank_negatives_refuse_them(with_negatives, changes, message):
    with pytest.raises(ConfigError, match=message):
        load_material(with_negatives(**changes))


def test_negatives_of_the_other_side_are_refused(settings, negatives):
    with pytest.raises(ConfigError, match=r"pivot en(.|\n)*de-en=FILE"):
        load_material(train_config({**settings, "pairs": {"en-de": str(negatives)}}))
    config = train_config({**settings, "pairs": {"en-de": str(negatives)}, "data": {"pivot": "de"}})
    assert len(load_material(config).train["en-de"].column_names) == 4


def test_more_negatives_than_the_file_has_are_refused(with_negatives):
    with pytest.raises(DataError, match=r"2 columns of hard negatives, but num_negatives is 5"):
        load_material(with_negatives(data={"num_negatives": 5}))


def test_rows_with_unusable_negatives_are_dropped_and_counted(tmp_path):
    rows = [
        ("a b", "c d", "e f"),
        ("g h", "i j", ""),
        ("k l", "m n", "m n"),
        ("o p", "q r", "\ufffd"),
        ("a b", "c d", "x"),
    ]
    path = tmp_path / "x.jsonl"
    path.write_text(
        "".join(json.dumps(dict(zip(("source", "target", "negative"), row, strict=True))) + "\n" for row in rows)
    )
    spec = replace(parse_pair_spec("de-en", str(path)), num_negatives=None)
    text = otembed.load_pairs(spec)
    assert text.dataset["negative_1"][:] == ["e f", "x"]
    assert text.counts.dropped == {"empty": 1, "false_negative": 1, "control_characters": 1}
