"""Texts concatenated for Flash Attention: losses and gradients are those of the padded batch."""

from __future__ import annotations

import copy

import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    MultiVectorEncoder,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, modeling_flash_attention_utils
from transformers.masking_utils import sdpa_mask

from otembed.embeddings.encode import token_counts
from otembed.losses import GradCacheLoss, OTAlignmentLoss, OTContrastiveLoss

SOURCE = ["die Katze saß auf der Matte", "кошка спит в доме", "猫睡在房子里", "el gato duerme", "der Hund"]
TARGET = ["the cat sat on the mat", "the cat sleeps in the house", "the house and the dog", "the cat", "the dog"]


def packed_attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
    """Attend within each text of a flat batch, as the functions of Flash Attention for variable lengths do."""
    bounds = kwargs.get("cu_seq_lens_q")
    if bounds is not None:
        text = torch.repeat_interleave(torch.arange(len(bounds) - 1), bounds.diff().long())
        attention_mask = (text[:, None] == text)[None, None]
    states = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
    )
    return states.transpose(1, 2).contiguous(), None


@pytest.fixture
def flatten(monkeypatch):
    """Make a model concatenate its texts, through sentence-transformers' own check of the attention in use."""
    monkeypatch.setitem(AttentionInterface._global_mapping, "flash_packed", packed_attention)
    monkeypatch.setitem(AttentionMaskInterface._global_mapping, "flash_packed", sdpa_mask)
    functions = ((None, packed_attention, None, None, None), (None, None))
    monkeypatch.setattr(modeling_flash_attention_utils, "lazy_import_flash_attention", lambda *_: functions)

    def change(model):
        model[0].model.config._attn_implementation_internal = "flash_packed"
        model[0].unpad_inputs = True
        assert model[0].can_flatten_inputs
        return model

    return change


def alignment(model, multi_vector, **settings):
    inner = MultiVectorMultipleNegativesRankingLoss if multi_vector else MultipleNegativesRankingLoss
    return OTAlignmentLoss(model, inner(model), anchor={"weight": 1.0}, **settings)


LOSSES = {
    "words of the last layer": lambda model, multi: alignment(model, multi),
    "tokens of an inner layer": lambda model, multi: alignment(model, multi, unit="token", layer=1),
    "one problem": lambda model, multi: alignment(model, multi, scope="batch", word_pooling="last"),
    "ranked words, labels of a layer": lambda model, multi: alignment(
        model, multi, objective="ranking", label_layer=1, epsilon=0.2
    ),
    "cached, ranked words, labels of a layer": lambda model, multi: GradCacheLoss(
        model, alignment(model, multi, objective="ranking", layer=1, label_layer=-1, epsilon=0.2), mini_batch_size=2
    ),
    "contrastive": lambda model, multi: OTContrastiveLoss(model, sentence_weight=None if multi else 1.0),
    "cached": lambda model, multi: GradCacheLoss(model, alignment(model, multi, layer=2), mini_batch_size=2),
    "cached, around matryoshka": lambda model, multi: GradCacheLoss(
        model,
        OTAlignmentLoss(model, MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), [32, 8])),
        mini_batch_size=3,
    ),
}


def step(model, loss):
    """Terms and gradients, after the weights have moved away from those of the anchor."""
    with torch.no_grad():
        model[0].model.encoder.layer[0].output.dense.weight.mul_(3.0)
    columns = [
        dict(model.preprocess(texts, prompt=prompt, task=task)) | {"task": task}
        for texts, prompt, task in ((SOURCE, "query: ", "query"), (TARGET, None, "document"))
    ]
    terms = loss(columns)
    terms = terms if isinstance(terms, dict) else {"loss": terms}
    torch.stack(list(terms.values())).sum().backward()
    gradients = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    return columns[0], {name: term.detach() for name, term in terms.items()}, gradients


def single(loaded):
    return copy.deepcopy(loaded).eval()


def multi(loaded):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        projection = Dense(
            32, 8, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings"
        )
    modules = [copy.deepcopy(loaded[0]), projection, MultiVectorMask(), Normalize("token_embeddings")]
    return MultiVectorEncoder(modules=modules, device="cpu").eval()


CASES = [(single, name) for name in LOSSES] + [(multi, name) for name in LOSSES if "matryoshka" not in name]


@pytest.mark.parametrize(("make", "name"), CASES)
def test_losses_and_gradients_are_those_of_the_padded_batch(make, name, flatten, loaded_tiny_model):
    padded, flat = make(loaded_tiny_model), flatten(make(loaded_tiny_model))
    batch, expected, expected_gradients = step(padded, LOSSES[name](padded, make is multi))
    assert "attention_mask" in batch
    batch, terms, gradients = step(flat, LOSSES[name](flat, make is multi))
    assert batch["cu_seq_lens_q"].tolist()[-1] == batch["input_ids"].shape[1]
    torch.testing.assert_close(terms, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-4, atol=1e-5)
    assert terms.get("anchor", 1.0) > 1e-5


def test_librarys_trainer_takes_the_same_step(flatten, loaded_tiny_model, tmp_path):
    weights = []
    for change in (lambda model: model, flatten):
        model = change(single(loaded_tiny_model))
        loss = GradCacheLoss(model, alignment(model, False), mini_batch_size=2)
        arguments = SentenceTransformerTrainingArguments(
            output_dir=str(tmp_path),
            max_steps=2,
            per_device_train_batch_size=5,
            optim="sgd",
            learning_rate=0.1,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            prompts={"source": "query: "},
        )
        data = Dataset.from_dict({"source": SOURCE, "target": TARGET})
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss).train()
        weights.append(model[0].model.encoder.layer[1].output.dense.weight.detach())
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-4, atol=1e-6)


def test_tokens_are_counted(flatten, loaded_tiny_model):
    expected = token_counts(single(loaded_tiny_model), SOURCE, "query: ").tolist()
    assert token_counts(flatten(single(loaded_tiny_model)), SOURCE, "query: ").tolist() == expected
