"""Weights between two models, and the merged model as a folder."""

from __future__ import annotations

import copy
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling
from tokenizers import decoders
from torch import nn

import otembed
from otembed.errors import ConfigError, ModelError, NumericsError
from otembed.models import freeze
from otembed.models.alike import first_difference
from otembed.models.merge import merge_models, set_weights, trained_weights, weights_between

PROBE = ["the cat sat on the mat", "die Katze schlief im Haus"]


def changed(model, seed=0, scale=0.1):
    """A copy with other weights."""
    other = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in other.parameters():
            each.add_(torch.randn(each.shape, generator=draw), alpha=scale)
    return other


@pytest.fixture
def folders(tiny_model, tmp_path):
    """Folders of two models of one architecture."""
    other = changed(tiny_model)
    other.prompts["query"] = "other: "
    for name, model in (("a", tiny_model), ("b", other)):
        model.save(str(tmp_path / name))
    return tmp_path / "a", tmp_path / "b"


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 1), st.sampled_from([torch.float32, torch.float64]))
def test_weights_between_match_float64(seed, share, dtype):
    draw = np.random.default_rng(seed)
    first, second = (torch.tensor(draw.normal(size=(3, 5)), dtype=dtype) for _ in "ab")
    found = weights_between(first, second, share)
    expected = (1 - share) * first.double().numpy() + share * second.double().numpy()
    assert found.dtype == dtype
    np.testing.assert_allclose(found.double().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_both_ends_and_equal_weights_are_exact(dtype):
    draw = torch.Generator().manual_seed(0)
    first, second = ((torch.randn(1000, generator=draw) * 10.0**power).to(dtype) for power in (-3, 2))
    assert torch.equal(weights_between(first, second, 0), first)
    assert torch.equal(weights_between(first, second, 1), second)
    for share in (0.1, 1 / 3, 0.7):
        assert torch.equal(weights_between(first, first, share), first)
        assert weights_between(first, second, share).dtype == dtype
    # Half precision is rounded once, at the end.
    half = weights_between(first, second, 0.5)
    assert torch.equal(half, ((first.double() + second.double()) / 2).float().to(dtype)) or dtype == torch.float32
    assert weights_between(first, second, 0).data_ptr() != first.data_ptr()


def test_only_trained_weights_are_set_and_ties_are_kept(tiny_model):
    freeze(tiny_model, ["embeddings"])
    layers = tiny_model[0].model.encoder.layer
    layers[1].output.dense.weight = layers[0].output.dense.weight
    tiny_model.register_buffer("counts", torch.tensor([1, 2]))
    start, before = trained_weights(tiny_model), copy.deepcopy(tiny_model.state_dict())
    assert not any("embeddings" in name for name in start)
    assert sum("output.dense.weight" in name and "attention" not in name for name in start) == 2
    trained = changed(tiny_model)
    end = trained_weights(trained)
    frozen = {name: each for name, each in trained.state_dict().items() if "embeddings" in name}
    set_weights(trained, start, end, 0.25)
    for name, each in trained.state_dict().items():
        if name in frozen:
            assert torch.equal(each, frozen[name])
        elif name in start:
            torch.testing.assert_close(each, 0.75 * before[name] + 0.25 * end[name])
    inner = trained[0].model.encoder.layer
    assert inner[1].output.dense.weight is inner[0].output.dense.weight
    assert trained.counts.tolist() == [1, 2]
    set_weights(trained, start, end, 1)
    assert all(torch.equal(each, trained.state_dict()[name]) for name, each in end.items())


def test_merged_model_is_the_weighted_mean(folders, tmp_path):
    report = merge_models(*folders, tmp_path / "out", weight=0.25)
    models = [
        SentenceTransformer(str(each), device="cpu", local_files_only=True) for each in (*folders, tmp_path / "out")
    ]
    first, second, merged = (model.state_dict() for model in models)
    assert merged.keys() == first.keys()
    for name, each in merged.items():
        torch.testing.assert_close(each, 0.75 * first[name] + 0.25 * second[name])
    assert report.tensors == report.differing == len(list(models[0].parameters()))
    assert report.parameters == sum(each.numel() for each in models[0].parameters())
    assert models[2].prompts == models[0].prompts
    assert all(kind.startswith("sentence_transformers.") for kind in modules_of(tmp_path / "out"))
    for weight, index in ((0, 0), (1, 1)):
        merge_models(*folders, tmp_path / f"out-{weight}", weight=weight)
        same = SentenceTransformer(str(tmp_path / f"out-{weight}"), device="cpu", local_files_only=True)
        np.testing.assert_array_equal(same.encode(PROBE), models[index].encode(PROBE))


def modules_of(folder):
    return [each["type"] for each in json.loads((folder / "modules.json").read_text())]


def test_card_names_both_models_and_no_folder(folders, tmp_path):
    text = "---\ntags:\n- sentence-transformers\n---\n# Old model\n\n85.4 accuracy\n"
    (folders[0] / "README.md").write_text(text)
    merge_models(*folders, tmp_path / "out", weight=0.25)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "0.75 times that of **a** plus 0.25 times that of **b**" in card
    assert str(tmp_path) not in card
    assert "85.4" not in card


@pytest.mark.parametrize("layers", [("2", "2"), ("2", "3"), ("2", None)])
def test_layer_for_word_alignment_is_kept_if_both_have_it(folders, tmp_path, layers):
    for folder, layer in zip(folders, layers, strict=True):
        if layer is not None:
            (folder / "otembed.json").write_text(f'{{"alignment_layer": {layer}}}')
    merge_models(*folders, tmp_path / "out")
    assert (tmp_path / "out" / "otembed.json").exists() == (layers == ("2", "2"))


def test_merge_matches_sentence_transformers(folders, tmp_path):
    pytest.importorskip("mergekit", reason="sentence-transformers merges by mergekit")
    expected = SentenceTransformer.merge(list(map(str, folders)), parameters={"weight": [0.7, 0.3]})
    merge_models(*folders, tmp_path / "out", weight=0.3)
    np.testing.assert_allclose(
        otembed.load_model(tmp_path / "out", device="cpu").encode(PROBE), expected.encode(PROBE), atol=1e-5
    )


def with_dense(model):
    model.append(Dense(32, 8))


def with_other_pooling(model):
    model[1] = Pooling(32, pooling_mode="max")


def with_other_layers(model):
    model[0].model.config.num_hidden_layers = 2


def with_other_shape(model):
    model[0].model.pooler.dense = nn.Linear(32, 16)


def with_other_buffer(model):
    model.register_buffer("counts", torch.tensor([1]))


DIFFERENCES = [
    (with_dense, "Dense"),
    (with_other_pooling, "'mean'.*'max'"),
    (with_other_layers, "num_hidden_layers 3 and 2"),
    (with_other_shape, r"pooler\.dense\.weight of shape \(32, 32\) and \(16, 32\)"),
    (with_other_buffer, "counts, which only the second"),
]


@pytest.mark.parametrize(("change", "message"), DIFFERENCES)
def test_first_difference_is_named(tiny_model, change, message):
    other = copy.deepcopy(tiny_model)
    assert first_difference(tiny_model, other) is None
    assert first_difference(tiny_model, changed(tiny_model)) is None
    change(other)
    assert re.search(message, first_difference(tiny_model, other))


def test_values_of_buffers_must_be_equal(tiny_model):
    tiny_model.register_buffer("counts", torch.tensor([1]))
    other = copy.deepcopy(tiny_model)
    other.counts += 1
    assert "counts" in first_difference(tiny_model, other)


def test_models_with_other_tokenizers_are_rejected(tiny_model_path, tiny_wordpiece_model_path, tmp_path):
    with pytest.raises(ModelError, match=r"vocab_size|tokenizers") as caught:
        merge_models(tiny_model_path, tiny_wordpiece_model_path, tmp_path / "out")
    assert "same architecture" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_tokenizers_of_one_size_with_other_parts_differ(tiny_model):
    other = copy.deepcopy(tiny_model)
    assert other.tokenizer is not tiny_model.tokenizer
    other.tokenizer.backend_tokenizer.decoder = decoders.WordPiece()
    assert "tokenizers (decoder)" in first_difference(tiny_model, other)


@pytest.mark.parametrize("weight", [-0.1, 1.5, float("nan")])
def test_weight_outside_of_0_to_1_is_rejected(folders, tmp_path, weight):
    with pytest.raises(ConfigError, match="weight"):
        merge_models(*folders, tmp_path / "out", weight=weight)


def test_merged_weights_that_are_not_finite_are_rejected(tiny_model, tmp_path):
    other = copy.deepcopy(tiny_model)
    for model, sign in ((tiny_model, 1), (other, -1)):
        model[0].model.pooler.dense.weight.data[0, 0] = sign * 3e38
        model.save(str(tmp_path / f"m{sign}"))
    with pytest.raises(NumericsError, match=r"pooler\.dense\.weight"):
        merge_models(tmp_path / "m1", tmp_path / "m-1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folder_in_use_is_not_replaced(folders):
    with pytest.raises(ModelError, match="not an empty folder"):
        merge_models(*folders, folders[1])
