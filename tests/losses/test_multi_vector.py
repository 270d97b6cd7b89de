"""Losses on a MultiVectorEncoder: which vectors and tokens they read, alone and around the library's own loss."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from datasets import Dataset
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder import (
    MultiVectorEncoderTrainer,
    MultiVectorEncoderTrainingArguments,
)
from sentence_transformers.multi_vector_encoder.losses import (
    CachedMultiVectorMultipleNegativesRankingLoss,
    MultiVectorMultipleNegativesRankingLoss,
)
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling, MultiVectorMask

from otembed.errors import ConfigError, ModelError
from otembed.losses import GradCacheLoss, OTAlignmentLoss, OTContrastiveLoss
from otembed.losses.units import UnitReader
from otembed.words import ot_similarity

SOURCE = ["die Katze saß auf der Matte.", "кошка спит в доме", "猫睡在房子里"]
TARGET = ["the cat sat on the mat.", "the cat sleeps in the house", "the dog."]
EXPANSION = {"strategy": "fixed", "length": 40}


def encoder(path, *, expansion=None, last=()):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        projection = Dense(
            32, 8, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings"
        )
    transformer = Transformer(str(path), max_seq_length=64, query_expansion=expansion)
    modules = [transformer, projection, MultiVectorMask(skiplist_words=["."])]
    modules += [Normalize(module_input_name="token_embeddings"), *last]
    return MultiVectorEncoder(modules=modules, device="cpu", prompts={"query": "query: "}).eval()


@pytest.fixture
def path(tiny_model_path):
    return tiny_model_path.with_name(f"{tiny_model_path.name}-encoder")


@pytest.fixture
def model(path):
    return encoder(path)


def columns_of(model, prompt="query: "):
    return [
        dict(model.preprocess(texts, prompt=prompt if task == "query" else None, task=task)) | {"task": task}
        for texts, task in ((SOURCE, "query"), (TARGET, "document"))
    ]


def total(terms):
    return torch.stack(list(terms.values())).sum()


def read(model, columns, layer=-1):
    reader = UnitReader(model, unit="token", word_pooling="mean", layer=layer)
    with reader.recording(model) as passes:
        for column in columns:
            model(dict(column), task=column["task"])
    return [reader.units(column, passes, place) for place, column in enumerate(columns)]


@pytest.mark.parametrize("attend", [False, True])
def test_units_are_the_scored_vectors_without_prompt_expansion_and_skipped_tokens(path, attend):
    model = encoder(path, expansion={**EXPANSION, "attend": attend})
    units = read(model, columns_of(model))
    for side, texts, encode in zip(
        units, (SOURCE, TARGET), (model.encode_query, model.encode_document), strict=True
    ):
        for row, text in enumerate(texts):
            pieces = model.tokenizer.tokenize(text)
            kept = [piece for piece in pieces if piece != "." or texts is SOURCE]  # only documents skip words
            vectors = side.vectors[row][side.masses[row] > 0]
            assert len(vectors) == len(kept)
            scored = encode(text)
            start = len(model.tokenizer.tokenize("query: ")) + 1 if texts is SOURCE else 1
            torch.testing.assert_close(vectors, scored[start : start + len(kept)], atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", [1, 3, -2])
def test_other_layers_match_the_transformer(model, layer):
    columns = columns_of(model, prompt=None)
    inputs = {key: columns[0][key] for key in ("input_ids", "attention_mask")}
    hidden = model[0].model(**inputs, output_hidden_states=True).hidden_states[layer]
    units = read(model, columns, layer)[0]
    torch.testing.assert_close(
        units.vectors[0][units.masses[0] > 0], hidden[0][1 : 1 + int((units.masses[0] > 0).sum())]
    )
    assert model[0].model.config.output_hidden_states is False


@pytest.mark.parametrize("layer", [-1, 2])
@pytest.mark.parametrize("expansion", [None, EXPANSION])
def test_alignment_alone_and_around_the_loss_of_the_library(path, layer, expansion):
    model = encoder(path, expansion=expansion)
    inner = MultiVectorMultipleNegativesRankingLoss(model)
    apart = inner(columns_of(model))
    loss = OTAlignmentLoss(model, inner, layer=layer, epsilon=0.2, anchor={})
    passes = []
    handle = model[0].register_forward_hook(lambda *_: passes.append(1))
    terms = loss(columns_of(model))
    handle.remove()
    assert len(passes) == 2
    torch.testing.assert_close(terms["sentence"], apart)
    alone = OTAlignmentLoss(model, layer=layer, epsilon=0.2, anchor={})(columns_of(model))
    torch.testing.assert_close(terms["alignment"], alone["alignment"])
    assert float(terms["anchor"].detach()) == pytest.approx(0, abs=1e-9)
    total(terms).backward()
    gradient = model[1].linear.weight.grad
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().sum()) > 0


def test_exact_token_alignment_matches_the_score_function(model):
    columns = columns_of(model, prompt=None)
    loss = OTAlignmentLoss(model, unit="token", center=False, epsilon=0, anchor={}, weight=1)
    value = float(loss(columns)["alignment"].detach())
    content = [side.vectors[row][side.masses[row] > 0] for side in read(model, columns) for row in range(3)]
    scores = ot_similarity(content[:3], content[3:], epsilon=0).diagonal()
    assert value == pytest.approx(-float(scores.mean().detach()), abs=1e-6)


def test_anchor_measures_the_projected_vectors(model):
    loss = OTAlignmentLoss(model, unit="token", anchor={"weight": 1.0, "reduction": "sum"})
    before = read(model, columns_of(model))[1]
    with torch.no_grad():
        model[1].linear.weight[0] += 0.1 * torch.linspace(-1, 1, 32)
    moved = (read(model, columns_of(model))[1].vectors - before.vectors).square().sum()
    assert float(loss(columns_of(model))["anchor"].detach()) == pytest.approx(float(moved), rel=1e-5)
    assert float(moved) > 0.01


def test_sentence_weight_is_refused_because_there_is_no_sentence_vector(path):
    with pytest.raises(ModelError, match="a MultiVectorEncoder has none"):
        OTContrastiveLoss(encoder(path))


@pytest.mark.parametrize("expansion", [None, EXPANSION])
@pytest.mark.parametrize("kind", ["contrastive", "alignment"])
def test_contrastive_loss_and_gradient_caching_match_the_definition(path, kind, expansion):
    model = encoder(path, expansion=expansion)
    inner = MultiVectorMultipleNegativesRankingLoss(model)
    kinds = {"contrastive": partial(OTContrastiveLoss, sentence_weight=None), "alignment": OTAlignmentLoss}
    loss = kinds[kind](model, inner, epsilon=0.2)
    trained = [model[1].linear.weight, model[0].model.encoder.layer[0].output.dense.weight]
    values, gradients = [], []
    for each in (loss, GradCacheLoss(model, loss, mini_batch_size=2)):
        model.zero_grad()
        terms = each(columns_of(model))
        total(terms).backward()
        values.append({name: term.detach() for name, term in terms.items()})
        gradients.append([weight.grad.clone() for weight in trained])
    assert set(values[0]) == {"sentence", kind}
    torch.testing.assert_close(values[1], values[0])
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-6, rtol=1e-4)


def test_loss_of_the_library_ranks_by_the_ot_score(model):
    loss = MultiVectorMultipleNegativesRankingLoss(model, scale=20, similarity_fct=ot_similarity)
    loss(columns_of(model)).backward()
    assert float(model[1].linear.weight.grad.abs().sum()) > 0


def test_trainer_of_the_library_trains_the_model(model, tmp_path):
    before = model[1].linear.weight.detach().clone()
    loss = OTAlignmentLoss(model, MultiVectorMultipleNegativesRankingLoss(model), layer=-1)
    arguments = MultiVectorEncoderTrainingArguments(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=3,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
        prompts={"source": "query: "},
    )
    data = Dataset.from_dict({"source": SOURCE, "target": TARGET})
    MultiVectorEncoderTrainer(model=model, args=arguments, train_dataset=data, loss=loss).train()
    assert not torch.equal(model[1].linear.weight, before)
    assert loss.pop_statistics()["plans"] == 6


def test_merged_token_vectors_and_cached_losses_are_rejected(path, model):
    with pytest.raises(ModelError, match="pool"):
        OTAlignmentLoss(encoder(path, last=[HierarchicalTokenPooling(pool_factor=2)]))
    with pytest.raises(ConfigError, match="Cached"):
        OTAlignmentLoss(model, CachedMultiVectorMultipleNegativesRankingLoss(model))
