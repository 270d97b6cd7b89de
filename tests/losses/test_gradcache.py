"""Running the encoder in mini-batches changes memory, and nothing else."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
    MSELoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.modules import Dense

from otembed.config.train import LoraConfig
from otembed.errors import ConfigError, ModelError
from otembed.losses import GradCacheLoss, OTAlignmentLoss, OTContrastiveLoss
from otembed.models import add_lora, slices

SOURCE = ["die Katze saß auf der Matte", "кошка спит в доме", "猫睡在房子里", "el gato duerme", "der Hund"]
TARGET = ["the cat sat on the mat", "the cat sleeps in the house", "the house and the dog", "the cat", "the dog"]

LOSSES = {
    "contrastive": lambda model: OTContrastiveLoss(model, sentence_weight=1.0),
    "contrastive around mnrl": lambda model: OTContrastiveLoss(model, MultipleNegativesRankingLoss(model), layer=1),
    "alignment around mnrl": lambda model: OTAlignmentLoss(
        model, MultipleNegativesRankingLoss(model), layer=2, scope="batch"
    ),
    "alignment around matryoshka": lambda model: OTAlignmentLoss(
        model, MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), [32, 16])
    ),
    "mnrl": MultipleNegativesRankingLoss,
}


@pytest.fixture
def model(tiny_model):
    return tiny_model.eval()


def batch(model, prompt=None):
    return [dict(model.preprocess(texts, prompt=prompt)) for texts in (SOURCE, TARGET)]


def step(model, loss, factor=0.5, labels=None):
    """Value and gradients of one backward pass, scaled as by accumulation."""
    model.zero_grad()
    value = loss(batch(model), labels)
    terms = value if isinstance(value, dict) else {"loss": value}
    (factor * torch.stack(list(terms.values())).sum()).backward()
    gradients = [each.grad.clone() for each in model.parameters() if each.grad is not None]
    return {name: term.detach() for name, term in terms.items()}, gradients


@pytest.mark.parametrize("size", [1, 2, 5, 64])
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradients_match_the_plain_loss(model, name, size):
    plain, expected = step(model, LOSSES[name](model))
    cached, gradients = step(model, GradCacheLoss(model, LOSSES[name](model), mini_batch_size=size))
    torch.testing.assert_close(cached, plain, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=1e-5)


def test_adapters_receive_the_gradients_of_the_plain_loss(model):
    pytest.importorskip("peft")
    add_lora(model, LoraConfig(r=4, target_modules="all-linear"))
    model.eval()
    for name, each in model.named_parameters():
        if "lora_B" in name:
            each.data.normal_(std=0.1)
    plain, expected = step(model, OTContrastiveLoss(model, sentence_weight=1.0))
    cached, gradients = step(
        model, GradCacheLoss(model, OTContrastiveLoss(model, sentence_weight=1.0), mini_batch_size=2)
    )
    assert len(expected) == sum(each.requires_grad for each in model.parameters()) - 2  # the pooler is not used
    torch.testing.assert_close((cached, gradients), (plain, expected), rtol=1e-4, atol=1e-5)


def test_dropout_is_the_same_in_both_passes(model, monkeypatch):
    """With one mini-batch the random numbers are those of the plain loss, too, if that computes column by column."""
    monkeypatch.setattr(slices._Sliced, "announce", lambda self, columns: None)
    model.train()
    found = []
    for wrap in (lambda loss: loss, lambda loss: GradCacheLoss(model, loss, mini_batch_size=5)):
        torch.manual_seed(3)
        found.append(step(model, wrap(OTContrastiveLoss(model))))
    assert found[0][0]["contrastive"] != step(model, OTContrastiveLoss(model))[0]["contrastive"]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_modules_after_the_encoder_receive_gradients(model):
    dense = Dense(32, 16)
    whole = SentenceTransformer(modules=[*model, dense], device="cpu", local_files_only=True).eval()
    plain, expected = step(whole, MultipleNegativesRankingLoss(whole), factor=0.25)
    cached, gradients = step(
        whole, GradCacheLoss(whole, MultipleNegativesRankingLoss(whole), mini_batch_size=2), factor=0.25
    )
    assert dense.linear.weight.grad is not None
    torch.testing.assert_close((cached, gradients), (plain, expected), rtol=1e-4, atol=1e-6)


def test_labels_are_passed_on(model):
    labels = torch.randn(5, 32)
    found = [
        step(model, loss, labels=labels)
        for loss in (MSELoss(model), GradCacheLoss(model, MSELoss(model), mini_batch_size=2))
    ]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_encoder_sees_only_mini_batches(model):
    seen = []
    handle = model[0].model.embeddings.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    step(model, GradCacheLoss(model, OTContrastiveLoss(model), mini_batch_size=2))
    handle.remove()
    assert seen == [2, 2, 1, 2, 2, 1] * 2


def test_bf16_autocast_applies_in_the_second_pass(model):
    dtypes = []
    linear = model[0].model.encoder.layer[0].intermediate.dense
    handle = linear.register_forward_hook(lambda module, args, output: dtypes.append(output.dtype))
    loss = GradCacheLoss(model, OTContrastiveLoss(model), mini_batch_size=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(batch(model))["contrastive"]
    value.backward()
    handle.remove()
    assert set(dtypes) == {torch.bfloat16}
    assert len(dtypes) == 8


def test_encoder_is_restored(model):
    loss = GradCacheLoss(model, OTAlignmentLoss(model, layer=1, anchor={}), mini_batch_size=2)
    step(model, loss)
    loss.loss.forward = lambda *_: (_ for _ in ()).throw(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        loss(batch(model))
    assert "forward" not in model[0].__dict__
    assert model[0].model.config.output_hidden_states is False


def test_no_grad_returns_only_the_value(model):
    loss = GradCacheLoss(model, OTContrastiveLoss(model), mini_batch_size=2)
    with torch.no_grad():
        value = loss(batch(model))["contrastive"]
    assert not value.requires_grad
    assert float(value) == pytest.approx(float(OTContrastiveLoss(model)(batch(model))["contrastive"]), rel=1e-5)


def test_reweighted_terms_are_rejected(model):
    terms = GradCacheLoss(model, LOSSES["alignment around mnrl"](model), mini_batch_size=2)(batch(model))
    with pytest.raises(ConfigError, match="GradCacheLoss"):
        (terms["sentence"] + 2 * terms["alignment"]).backward()


def test_second_backward_pass_and_second_derivative_are_rejected(model):
    value = GradCacheLoss(model, MultipleNegativesRankingLoss(model), mini_batch_size=2)(batch(model))
    value.backward(retain_graph=True)
    first = [each.grad.clone() for each in model.parameters() if each.grad is not None]
    with pytest.raises(ConfigError, match="once"):
        value.backward()
    torch.testing.assert_close([each.grad for each in model.parameters() if each.grad is not None], first)
    value = GradCacheLoss(model, MultipleNegativesRankingLoss(model), mini_batch_size=2)(batch(model))
    with pytest.raises(ConfigError, match="create_graph"):
        torch.autograd.grad(value, list(model.parameters()), create_graph=True, allow_unused=True)


def test_invalid_input_is_rejected(model, monkeypatch):
    for wrong in (MultipleNegativesRankingLoss, "mnrl", None):
        with pytest.raises(ConfigError, match="not a loss") as caught:
            GradCacheLoss(model, wrong, mini_batch_size=2)
        assert getattr(wrong, "__name__", str(wrong)) in str(caught.value)
    loss = MultipleNegativesRankingLoss(model)
    for size in (0, True, 1.5):
        with pytest.raises(ConfigError, match="mini_batch_size"):
            GradCacheLoss(model, loss, mini_batch_size=size)
    with pytest.raises(ConfigError, match="Cached"):
        GradCacheLoss(model, CachedMultipleNegativesRankingLoss(model), mini_batch_size=2)
    with pytest.raises(ConfigError, match="GradCacheLoss"):
        OTAlignmentLoss(model, GradCacheLoss(model, loss, mini_batch_size=2))
    other = [{"pixel_values": torch.zeros(1, 3)} for _ in "12"]
    with pytest.raises(ModelError, match="GradCacheLoss"):
        GradCacheLoss(model, loss, mini_batch_size=2)(other)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(ConfigError, match="GradCacheLoss"):
        GradCacheLoss(model, loss, mini_batch_size=2)(batch(model))


def test_model_card_and_statistics(model):
    loss = GradCacheLoss(model, OTContrastiveLoss(model), mini_batch_size=2)
    loss(batch(model))
    assert loss.pop_statistics()["plans"] == 25
    assert GradCacheLoss(model, MultipleNegativesRankingLoss(model), mini_batch_size=2).pop_statistics() == {}
    assert loss.get_config_dict() == {"loss": loss.loss, "mini_batch_size": 2}
    assert {"2101.06983", "2110.02887"} <= {each[-10:] for each in loss.citation.replace('",', "").split()}
