"""Adapters: a zero start, merging, and what cannot be adapted."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from otembed.config.train import LoraConfig
from otembed.errors import ConfigError, ModelError
from otembed.models import (
    add_lora,
    check_trainable,
    describe_model,
    freeze,
    frozen_copy,
    has_adapter,
    load_adapter_checkpoint,
    load_model,
    merge_adapter,
    save_adapter,
    save_model,
    sliced,
)
from otembed.models.export import export_model
from otembed.models.merge import merge_models

pytest.importorskip("peft")

TEXTS = ["the cat sat on the mat", "die Katze", "el gato duerme en la casa y la casa", "猫", "кошка спит в доме"]


def adapted(model, **settings):
    add_lora(model, LoraConfig(r=4, alpha=8, **settings))
    return model.eval()


def trained(model):
    """Give the adapter weights, as training would."""
    torch.manual_seed(1)
    for name, each in model.named_parameters():
        if "lora_B" in name:
            each.data.normal_(std=0.5)
    return model


def test_adapter_starts_as_zero_and_only_it_is_trained(tiny_model):
    before = tiny_model.encode(TEXTS)
    adapted(tiny_model)
    np.testing.assert_allclose(tiny_model.encode(TEXTS), before, atol=1e-6)
    names = [name for name, each in tiny_model.named_parameters() if each.requires_grad]
    # Query and value of three layers, two matrices each: 4 x 32 and 32 x 4.
    assert len(names) == 3 * 2 * 2
    assert all("lora_" in name for name in names)
    assert describe_model(tiny_model).trainable_parameters == 3 * 2 * 2 * 4 * 32


def test_merged_model_equals_the_adapted_one_and_loads_without_peft(tiny_model, tmp_path):
    names = set(tiny_model.state_dict())
    plain = tiny_model.encode(TEXTS)
    expected = trained(adapted(tiny_model)).encode(TEXTS)
    assert np.abs(expected - plain).max() > 1e-2
    assert merge_adapter(tiny_model) is tiny_model
    assert not has_adapter(tiny_model)
    np.testing.assert_allclose(tiny_model.encode(TEXTS), expected, atol=1e-5)
    save_model(tiny_model, tmp_path / "merged")
    files = {each.name for each in (tmp_path / "merged").rglob("*")}
    assert not {name for name in files if "adapter" in name}
    loaded = SentenceTransformer(str(tmp_path / "merged"), device="cpu", local_files_only=True)
    assert set(loaded.state_dict()) == names
    np.testing.assert_allclose(loaded.encode(TEXTS), expected, atol=1e-5)


def test_merging_that_overflows_is_an_error(tiny_model):
    adapted(tiny_model)
    next(each for name, each in tiny_model.named_parameters() if "lora_B" in name).data.fill_(torch.inf)
    with pytest.raises(ModelError, match="merged"):
        merge_adapter(tiny_model)
    with pytest.raises(ModelError, match="no adapter"):
        merge_adapter(copy.deepcopy(load_plain(tiny_model)))


def load_plain(model):
    transformer = model[0].model
    transformer._hf_peft_config_loaded = False
    return model


def test_adapter_is_stored_and_restored_without_the_base(tiny_model, tmp_path):
    base = copy.deepcopy(tiny_model)
    expected = trained(adapted(tiny_model)).encode(TEXTS)
    tiny_model.save(str(tmp_path / "checkpoint"), create_model_card=False)
    other = adapted(copy.deepcopy(base))
    load_adapter_checkpoint(other, tmp_path / "checkpoint")
    np.testing.assert_allclose(other.encode(TEXTS), expected, atol=1e-6)
    # The format of PEFT: sentence-transformers loads it onto the base.
    save_adapter(tiny_model, tmp_path / "adapter")
    base.load_adapter(str(tmp_path / "adapter"))
    np.testing.assert_allclose(base.eval().encode(TEXTS), expected, atol=1e-6)


def test_frozen_layers_keep_a_zero_adapter(tiny_model):
    adapted(tiny_model)
    freeze(tiny_model, ["embeddings", "layers:2"])
    names = [name for name, each in tiny_model.named_parameters() if each.requires_grad]
    assert len(names) == 2 * 2
    assert all(".layer.2." in name for name in names)


def test_reference_of_the_anchor_is_the_starting_model(tiny_model):
    before = tiny_model.encode(TEXTS)
    reference = frozen_copy(adapted(tiny_model))
    shared = {each.data_ptr() for each in tiny_model.parameters()} & {
        each.data_ptr() for each in reference.parameters()
    }
    trained(tiny_model)
    np.testing.assert_allclose(reference.encode(TEXTS), before, atol=1e-6)
    assert len(shared) == sum(not each.requires_grad for each in tiny_model.parameters())


@pytest.mark.parametrize("targets", [("query", "value"), "all-linear"])
def test_slices_change_neither_outputs_nor_gradients(tiny_model, targets):
    trained(adapted(tiny_model, target_modules=targets))
    found = []
    for slicing in (False, True):
        tiny_model.zero_grad()
        features = tiny_model.preprocess(TEXTS * 8)
        if slicing:
            with sliced(tiny_model):
                vectors = tiny_model(features)["sentence_embedding"]
                (vectors * torch.arange(32)).sum().backward()
        else:
            vectors = tiny_model(features)["sentence_embedding"]
            (vectors * torch.arange(32)).sum().backward()
        gradients = [each.grad.clone() for each in tiny_model.parameters() if each.grad is not None]
        found.append((vectors.detach(), gradients))
    # The pooler on the first token is not used.
    adapters = [name for name, _ in tiny_model.named_parameters() if "lora_" in name and "pooler" not in name]
    assert len(found[0][1]) == len(adapters)
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)


def test_unknown_modules_and_a_missing_package_are_rejected(tiny_model, monkeypatch):
    with pytest.raises(ConfigError, match="'quary'") as caught:
        adapted(tiny_model, target_modules=("quary",))
    assert "query" in caught.value.hint
    from peft import LoraModel

    monkeypatch.setattr(LoraModel, "target_module_mapping", {})  # an architecture that PEFT does not know
    with pytest.raises(ModelError) as caught:
        adapted(tiny_model)
    assert "target_modules" in caught.value.hint
    assert "query" in caught.value.hint
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError) as caught:
        adapted(tiny_model)
    assert 'pip install "otembed[peft]"' in caught.value.hint


def test_folder_with_an_adapter_is_refused_until_it_is_merged(tiny_model, tiny_model_path, tmp_path):
    trained(adapted(tiny_model)).save(str(tmp_path / "adapted"), create_model_card=False)
    # As on the hub: the adapter's settings and the base model's configuration in one folder.
    loaded = load_model(tiny_model_path)
    loaded.load_adapter(str(tmp_path / "adapted"))
    with pytest.raises(ModelError, match="adapter") as caught:
        check_trainable(loaded)
    assert "merge_adapter" in caught.value.hint
    check_trainable(merge_adapter(loaded))
    np.testing.assert_allclose(loaded.encode(TEXTS), tiny_model.encode(TEXTS), atol=1e-5)
    saved = load_model(save_model(loaded, tmp_path / "merged"))
    np.testing.assert_allclose(saved.encode(TEXTS), tiny_model.encode(TEXTS), atol=1e-5)


@pytest.fixture
def adapted_folder(tiny_model, tiny_model_path, tmp_path):
    """A folder with an adapter, which names its base, and the vectors of its model."""
    tiny_model[0].model.name_or_path = str(tiny_model_path)
    vectors = trained(adapted(tiny_model)).encode(TEXTS)
    tiny_model.save(str(tmp_path / "adapted"), create_model_card=False)
    return tmp_path / "adapted", vectors


def test_exported_and_merged_models_have_the_adapter_in_their_weights(adapted_folder, tiny_model_path, tmp_path):
    folder, expected = adapted_folder
    report = export_model(folder, tmp_path / "out", check=TEXTS)
    assert report.largest_difference < 1e-5
    # Half of both factors of the adapter would be a quarter of what it adds.
    merge_models(folder, tiny_model_path, tmp_path / "whole", weight=0)
    for name in ("out", "whole"):
        files = {each.name for each in (tmp_path / name).rglob("*")}
        assert not {each for each in files if "adapter" in each}
        loaded = SentenceTransformer(str(tmp_path / name), device="cpu", local_files_only=True)
        np.testing.assert_allclose(loaded.encode(TEXTS), expected, atol=1e-5)
    merge_models(folder, tiny_model_path, tmp_path / "half")
    half, whole, base = (
        dict(SentenceTransformer(str(each), device="cpu", local_files_only=True).named_parameters())
        for each in (tmp_path / "half", tmp_path / "whole", tiny_model_path)
    )
    name = next(name for name in half if name.endswith("layer.1.attention.self.query.weight"))
    torch.testing.assert_close(half[name], (whole[name] + base[name]) / 2)
    assert not torch.equal(whole[name], base[name])
