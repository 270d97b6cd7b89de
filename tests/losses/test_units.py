"""Units, masses and ids of a column, read from a pass of the encoder."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from otembed.losses.units import UnitReader
from tests.conftest import SPECIALS, TEXT, load_tiny_model, write_tiny_model

TEXTS = ["die Katze saß auf der Matte", "кошка спит в доме", "", "猫睡在房子里"]


@pytest.fixture
def model(tiny_model):
    return tiny_model.eval()


def reader_of(model, **knobs):
    settings = {"unit": "token", "word_pooling": "mean", "layer": -1}
    return UnitReader(model, **{**settings, **knobs})


def read(model, reader, prompt=None):
    column = dict(model.preprocess(TEXTS, prompt=prompt))
    with reader.recording(model) as passes:
        model(column)
    return column, reader.units(column, passes, 0)


@pytest.mark.parametrize("prompt", [None, "query: "])
def test_special_and_prompt_tokens_have_no_mass(model, prompt):
    column, units = read(model, reader_of(model), prompt)
    torch.testing.assert_close(units.masses.sum(1), torch.tensor([1.0, 1.0, 0.0, 1.0]))
    for row, text in enumerate(TEXTS):
        pieces = model.tokenizer.convert_ids_to_tokens(column["input_ids"][row])
        kept = [piece for piece, unit in zip(pieces, units.ids[row], strict=True) if unit >= 0]
        assert kept == model.tokenizer.tokenize(text)
        assert int((units.masses[row] > 0).sum()) == len(kept)


@pytest.mark.parametrize("prompt", [None, "query:", "query: "])
@pytest.mark.parametrize("worker", [False, True])
def test_first_word_after_the_space_of_a_prompt_has_mass(tmp_path, prompt, worker):
    """A byte-level tokenizer joins the space with the word; workers of a data loader tokenize in another process."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=[*SPECIALS], initial_alphabet=alphabet)
    tokenizer.train_from_iterator([TEXT] * 20, trainer)
    model = load_tiny_model(write_tiny_model(tmp_path / "bytes", tokenizer)).eval()
    texts = ["the cat sat", "1 dog"]
    model.prompts = {"query": prompt} if worker and prompt else {}
    reader = reader_of(model, unit="word")
    column = dict(model.preprocess(texts, prompt=prompt))
    if worker:
        model[0]._prompt_length_mapping.clear()
    with reader.recording(model) as passes:
        model(column)
    units = reader.units(column, passes, 0)
    assert (units.masses > 0).sum(1).tolist() == [3, 2]
    for row, text in enumerate(texts):
        kept = [int(each) for each, unit in zip(column["input_ids"][row], units.ids[row], strict=True) if unit >= 0]
        assert model.tokenizer.decode(kept).strip() == text


@pytest.mark.parametrize("unit", ["word", "token"])
@pytest.mark.parametrize("layer", [-1, 1])
def test_vectors_are_the_states_of_the_layer(model, unit, layer):
    column, units = read(model, reader_of(model, unit=unit, layer=layer, word_pooling="last"))
    inputs = {key: column[key] for key in ("input_ids", "attention_mask")}
    states = model[0].model(**inputs, output_hidden_states=True).hidden_states[layer]
    for row in range(len(TEXTS)):
        count = int(units.ids[row].max()) + 1
        last = [int((units.ids[row] == index).nonzero()[-1]) for index in range(count)]
        torch.testing.assert_close(units.vectors[row, :count], states[row, last])
        assert not units.vectors[row, count:].any()


def test_reference_units_come_from_another_encoder(model):
    reader = reader_of(model, unit="word", layer=2)
    column, units = read(model, reader)
    torch.testing.assert_close(reader.reference(model[0], column, units.ids), units.vectors)
    assert not reader.reference(model[0], column, units.ids).requires_grad


def test_vectors_are_float32_under_autocast(model):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, units = read(model, reader_of(model))
    assert units.vectors.dtype == units.masses.dtype == torch.float32
