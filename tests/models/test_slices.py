"""An encoder in slices returns what the padded call returns."""

from __future__ import annotations

import copy
import itertools
from functools import partial
from unittest import mock

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from otembed.losses import GradCacheLoss, OTAlignmentLoss, OTContrastiveLoss
from otembed.models import cutting, flat_attention, frozen_copy, sliced, slices, together

SMALL = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
ENCODERS = {
    "BERT": transformers.BertConfig(**SMALL),
    "XLM-R": transformers.XLMRobertaConfig(**SMALL),
    "MPNet": transformers.MPNetConfig(**SMALL),
    "DeBERTa": transformers.DebertaV2Config(
        **SMALL, relative_attention=True, position_biased_input=False, pos_att_type=["p2c", "c2p"]
    ),
    "DistilBERT": transformers.DistilBertConfig(vocab_size=50, dim=32, n_layers=2, n_heads=4, hidden_dim=48, pad_token_id=1),
    "ALBERT": transformers.AlbertConfig(**SMALL, embedding_size=16),
    "RoBERTa": transformers.RobertaConfig(**SMALL),
    "CamemBERT": transformers.CamembertConfig(**SMALL),
    "ELECTRA": transformers.ElectraConfig(**SMALL, embedding_size=16),
    # Tokens see 4 others on both sides in one of the two layers.
    "ModernBERT": transformers.ModernBertConfig(
        **SMALL, cls_token_id=0, sep_token_id=2, local_attention=8, global_attn_every_n_layers=2
    ),
}  # fmt: skip
# The others add biases to attention that depend on the positions of two tokens, or share layers.
FLAT = {"BERT", "XLM-R", "DistilBERT", "RoBERTa", "CamemBERT", "ELECTRA", "ModernBERT"}
DECODERS = {
    "Qwen": transformers.Qwen2Config(**SMALL, num_key_value_heads=2, use_cache=False),
    "Gemma": transformers.Gemma3TextConfig(**SMALL, num_key_value_heads=2, head_dim=8, use_cache=False),
    "GPT-2": transformers.GPT2Config(
        vocab_size=50, n_embd=32, n_layer=2, n_head=4, pad_token_id=1, bos_token_id=0, eos_token_id=2, use_cache=False
    ),
}  # fmt: skip
LENGTHS = (9, 3, 4, 21, 1, 20, 2)


@pytest.fixture(autouse=True)
def cut_tiny_batches(monkeypatch):
    monkeypatch.setattr(cutting, "OVERHEAD_ON_CPU", 3)
    monkeypatch.setattr(cutting, "FLAT_LIMIT", 25)


def padded_batch(*, left=False):
    ids = torch.ones(len(LENGTHS), max(LENGTHS), dtype=torch.long)
    mask = torch.zeros_like(ids)
    draw = torch.Generator().manual_seed(0)
    for row, length in enumerate(LENGTHS):
        place = slice(max(LENGTHS) - length, None) if left else slice(length)
        ids[row, place] = torch.randint(3, 50, (length,), generator=draw)
        mask[row, place] = 1
    return {"input_ids": ids, "attention_mask": mask}


def outputs_and_gradients(model, inputs):
    """The last and an inner layer at content tokens, and the gradients of all parameters."""
    model.zero_grad()
    output = model(**inputs, output_hidden_states=True)
    content = inputs["attention_mask"].bool()
    states = [output.last_hidden_state[content], output.hidden_states[1][content]]
    (states[0].sin().sum() + states[1].cos().sum()).backward()
    return [each.detach() for each in states], {
        name: each.grad for name, each in model.named_parameters() if each.grad is not None
    }


def assert_slices_change_nothing(model, inputs, *, flat=None):
    with mock.patch.object(slices, "join_outputs", wraps=slices.join_outputs) as joined:
        expected = outputs_and_gradients(model, inputs)
        assert not joined.called
        with sliced(model):
            found = outputs_and_gradients(model, inputs)
        assert len(joined.call_args.args[1]) > 1
        if flat is not None:
            assert all(isinstance(each, cutting.FlatSlice) is flat for each in joined.call_args.args[1])
    # Gemma normalizes in float32 whatever the type of its weights.
    rtol, atol = (1e-4, 1e-4) if model.config.model_type == "gemma3_text" else (1e-7, 1e-9)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


def tiny(config):
    """A random model in float64, where rounding cannot hide an error."""
    torch.manual_seed(0)
    return transformers.AutoModel.from_config(copy.deepcopy(config)).eval().double()


@pytest.mark.parametrize("name", [*ENCODERS, *DECODERS])
def test_states_and_gradients_are_those_of_the_padded_batch(name):
    assert_slices_change_nothing(tiny((ENCODERS | DECODERS)[name]), padded_batch(), flat=name in FLAT)


@pytest.mark.parametrize("name", sorted(FLAT))
def test_padded_slices_of_encoders_that_can_be_flat(name, monkeypatch):
    monkeypatch.setattr(cutting, "first_position", lambda transformer: None)
    assert_slices_change_nothing(tiny(ENCODERS[name]), padded_batch(), flat=False)


@pytest.mark.parametrize("values", ["token_type_ids", "eager attention", "attention elsewhere"])
def test_what_a_flat_slice_needs(values):
    model, inputs = tiny(ENCODERS["BERT"]), padded_batch()
    if values == "token_type_ids":
        inputs["token_type_ids"] = torch.arange(inputs["input_ids"].numel()).view_as(inputs["input_ids"]) % 2
    if values == "eager attention":
        model.set_attn_implementation("eager")
    if values == "attention elsewhere":  # the groups of texts do not reach it
        for layer in model.encoder.layer:
            plain = layer.attention.forward
            layer.attention.forward = lambda *args, plain=plain, text_groups=None, **rest: plain(*args, **rest)
    assert_slices_change_nothing(model, inputs, flat=values == "token_type_ids")


def test_code_from_elsewhere_and_decoders_are_not_computed_flat():
    model = tiny(ENCODERS["BERT"])
    assert flat_attention.first_position(model) == 0
    assert flat_attention.first_position(tiny(ENCODERS["XLM-R"])) == 2
    model.config.is_decoder = True
    assert flat_attention.first_position(model) is None
    model.config.is_decoder = False
    model.__class__ = type("BertModel", (transformers.BertModel,), {"__module__": "transformers_modules.bert"})
    assert flat_attention.first_position(model) is None


def test_mean_of_attention_with_dropout_is_attention_without():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 9, 4, dtype=torch.float64)
    model = torch.nn.Identity()
    groups = flat_attention.TextGroups([3, 3, 2, 1])
    assert groups.shapes == [(2, 3), (1, 2), (1, 1)]
    expected, _ = flat_attention.attend(model, query, key, value, None, text_groups=groups)
    draws = [
        flat_attention.attend(model, query, key, value, None, dropout=0.3, text_groups=groups)[0]
        for _ in range(3000)
    ]
    found = torch.stack(draws)
    error = found.std(0) / len(draws) ** 0.5
    assert found.std(0).min() > 0
    assert ((found.mean(0) - expected).abs() < 5 * error).all()


@pytest.mark.parametrize(
    ("dtype", "autocast", "faster", "filled"),
    [
        (torch.float32, False, False, False),
        (torch.float32, False, True, True),
        (torch.float32, True, False, True),
        (torch.bfloat16, False, False, True),
    ],
)
def test_slices_are_filled_up_where_kernels_are_compiled(monkeypatch, dtype, autocast, faster, filled):
    monkeypatch.setattr(cutting, "onednn_is_faster", lambda: faster)
    model = tiny(ENCODERS["BERT"]).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = cutting.cut(model, padded_batch(), SMALL["pad_token_id"], flat=True)
    tokens = [len(each.rows) for each in found]
    assert sum(tokens) == sum(LENGTHS)
    assert all(tokens)
    assert [each.filling for each in found] == [-each % 32 if filled else 0 for each in tokens]
    for each, count in zip(found, tokens, strict=True):
        shape = (1, count + each.filling)
        inputs = each.inputs(padded_batch(), len(LENGTHS))
        assert inputs["input_ids"].shape == inputs["position_ids"].shape == shape
        assert sum(inputs["text_groups"].sizes) == shape[1]


def attention_of_each_text(query, key, value, lengths, masks):
    """The definition, text by text: (1, H, S, d) and masks (H, t, t)."""
    outputs, begin = [], 0
    for length, mask in zip(lengths, masks, strict=True):
        q, k, v = (each[0, :, begin : begin + length] for each in (query, key, value))
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) * mask
        outputs.append(weights @ v)
        begin += length
    return torch.cat(outputs, 1).transpose(0, 1)[None]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("at_once", [1, 20, 1 << 17])
def test_attention_with_dropout_is_its_definition(monkeypatch, dtype, autocast, at_once):
    monkeypatch.setattr(flat_attention, "CACHED_ENTRIES", at_once)
    torch.manual_seed(0)
    lengths = [4, 3, 3, 1]
    sides = torch.randn(3, 1, 2, sum(lengths), 8, dtype=torch.float64)
    weights = torch.randn(1, sum(lengths), 2, 8, dtype=torch.float64)
    drawn = []

    def keep(entries, probability, dtype):
        drawn.append((torch.rand(entries, dtype=torch.float64) > probability).double())
        return drawn[-1].to(dtype, copy=True), 1 / (1 - probability)

    monkeypatch.setattr(flat_attention, "keep_mask", keep)
    leaves = [each.to(dtype).requires_grad_() for each in sides]
    groups = flat_attention.TextGroups(lengths)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found, _ = flat_attention.attend(
            torch.nn.Identity(), *leaves, None, dropout=0.3, text_groups=groups, sliding_window=4
        )
    (found * weights).sum().backward()
    assert found.dtype == dtype

    # Masks of one group follow each other by text and head.
    (mask,) = drawn
    sizes = [2 * length * length for length in lengths]
    masks = [each.view(2, n, n) / 0.7 for each, n in zip(mask.split(sizes), lengths, strict=True)]
    exact = [each.detach().double().requires_grad_() for each in leaves]
    expected = attention_of_each_text(*exact, lengths, masks)
    (expected * weights).sum().backward()
    close = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.03}[dtype]
    for one, other in zip([found, *(x.grad for x in leaves)], [expected, *(x.grad for x in exact)], strict=True):
        torch.testing.assert_close(one.double(), other, rtol=close, atol=close)


def test_windowed_attention_with_dropout_sees_what_it_sees_without():
    torch.manual_seed(0)
    sides = torch.randn(3, 1, 2, 9, 4)
    run = partial(flat_attention.attend, torch.nn.Identity(), *sides, None, sliding_window=3)
    groups = flat_attention.TextGroups([6, 3])
    found = torch.stack([run(dropout=0.3, text_groups=groups)[0] for _ in range(2000)])
    expected, _ = run(text_groups=groups)
    assert ((found.mean(0) - expected).abs() < 5 * found.std(0) / 2000**0.5).all()


def test_attention_without_dropout_has_float32_gradients_under_autocast():
    torch.manual_seed(0)
    leaves = [each.requires_grad_() for each in torch.randn(3, 1, 2, 7, 4).unbind()]
    groups = flat_attention.TextGroups([4, 3])
    ones = [torch.ones(2, n, n, dtype=torch.float64) for n in (4, 3)]
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = flat_attention.attend(torch.nn.Identity(), *leaves, None, text_groups=groups)
    found.square().sum().backward()
    exact = [each.detach().double().requires_grad_() for each in leaves]
    attention_of_each_text(*exact, [4, 3], ones).square().sum().backward()
    for one, other in zip(leaves, exact, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-5, atol=1e-5)


def test_training_under_autocast_of_flat_slices_is_that_of_the_padded_batch_up_to_bfloat16():
    model = tiny(ENCODERS["BERT"]).float()
    with torch.autocast("cpu", torch.bfloat16):
        expected = outputs_and_gradients(model, padded_batch())
        with sliced(model):
            found = outputs_and_gradients(model, padded_batch())
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_nothing_of_flat_attention_stays_in_the_model_or_its_files(tmp_path):
    model = tiny(ENCODERS["BERT"])
    model.save_pretrained(tmp_path / "before")
    with sliced(model):
        model(**padded_batch())
        model.save_pretrained(tmp_path / "within")
        with pytest.raises(IndexError):
            model(**padded_batch() | {"input_ids": padded_batch()["input_ids"] + 49})
        assert model.config._attn_implementation == "sdpa"
    within, before = ((tmp_path / name / "config.json").read_text() for name in ("within", "before"))
    assert within == before


@pytest.mark.parametrize("name", ["Qwen", "Gemma", "ModernBERT"])
def test_padding_on_the_left_is_cut_off_where_positions_are_rotary(name):
    assert_slices_change_nothing(tiny((ENCODERS | DECODERS)[name]), padded_batch(left=True), flat=False)


@pytest.mark.parametrize("name", ["BERT", "XLM-R", "MPNet", "GPT-2", "OPT"])
def test_padding_on_the_left_stays_where_positions_are_absolute(name):
    """They count from the first column in BERT and GPT-2, from the first token in the others."""
    opt = transformers.OPTConfig(**SMALL, ffn_dim=48, word_embed_proj_dim=32, use_cache=False)
    model, inputs = tiny((ENCODERS | DECODERS | {"OPT": opt})[name]), padded_batch(left=True)
    expected = outputs_and_gradients(model, inputs)
    with sliced(model):
        found = outputs_and_gradients(model, inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_gradient_checkpointing():
    model = tiny(ENCODERS["BERT"])
    expected = outputs_and_gradients(model, padded_batch())
    model.gradient_checkpointing_enable()
    with sliced(model):
        found = outputs_and_gradients(model.train().apply(no_dropout), padded_batch())
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


def no_dropout(module):
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0


def test_frozen_embeddings_and_no_graph():
    model = tiny(ENCODERS["XLM-R"])
    model.embeddings.requires_grad_(False)
    assert_slices_change_nothing(model, padded_batch())
    inputs = padded_batch()
    with torch.inference_mode():
        expected = model(**inputs)
        with sliced(model):
            found = model(**inputs)
    torch.testing.assert_close(found.pooler_output, expected.pooler_output)


def test_matrix_of_input_embeddings_gets_one_gradient_per_batch():
    model = tiny(ENCODERS["BERT"])
    made = []
    model.embeddings.word_embeddings.weight.register_hook(made.append)
    with sliced(model):
        model(**padded_batch()).last_hidden_state.sum().backward()
    assert len(made) == 1


@pytest.mark.parametrize("values", ["position_ids", "token_type_ids", "positional arguments"])
def test_other_inputs_are_cut_as_well(values):
    model, inputs = tiny(ENCODERS["BERT"]), padded_batch()
    arguments = [inputs["input_ids"], inputs["attention_mask"]] if values == "positional arguments" else []
    if values == "position_ids":
        inputs["position_ids"] = torch.arange(5, 5 + max(LENGTHS)).unsqueeze(0)
    if values == "token_type_ids":
        inputs["token_type_ids"] = torch.arange(inputs["input_ids"].numel()).view_as(inputs["input_ids"]) % 2
    rest = {} if arguments else inputs
    content = inputs["attention_mask"].bool()
    expected = model(*arguments, **rest).last_hidden_state[content]
    with sliced(model), mock.patch.object(slices, "join_outputs", wraps=slices.join_outputs) as joined:
        found = model(*arguments, **rest).last_hidden_state[content]
    assert joined.called
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reason", ["attention maps", "key-value cache", "tuples", "embeddings", "no padding"])
def test_calls_that_cannot_be_cut_run_as_they_are(reason):
    config = DECODERS["Qwen"] if reason == "key-value cache" else ENCODERS["BERT"]
    model, inputs = tiny(config), padded_batch()
    model.set_attn_implementation("eager")
    options = {
        "attention maps": {"output_attentions": True},
        "key-value cache": {"use_cache": True},
        "tuples": {"return_dict": False},
    }.get(reason, {})
    if reason == "embeddings":
        inputs["inputs_embeds"] = model.get_input_embeddings()(inputs.pop("input_ids"))
    if reason == "no padding":
        inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    with torch.no_grad(), mock.patch.object(slices, "join_outputs") as joined:
        expected = model(**inputs, **options)
        with sliced(model):
            found = model(**inputs, **options)
    assert not joined.called
    assert torch.equal(found[0], expected[0])


def test_masked_tokens_that_are_not_padding_keep_their_states():
    """As in query expansion, whose mask tokens are scored without being attended to."""
    model, inputs = tiny(ENCODERS["BERT"]), padded_batch()
    inputs["input_ids"][1, :12] = 7
    read = torch.zeros_like(inputs["attention_mask"], dtype=torch.bool)
    read[1, :12] = True
    with (
        torch.no_grad(),
        sliced(model),
        mock.patch.object(slices, "join_outputs", wraps=slices.join_outputs) as joined,
    ):
        found = model(**inputs).last_hidden_state[read]
    assert joined.called
    torch.testing.assert_close(found, model(**inputs).last_hidden_state[read].detach(), rtol=1e-4, atol=1e-5)


def test_model_is_as_before_outside_the_context(tiny_model):
    inner = tiny_model.transformers_model
    with sliced(tiny_model):
        assert "forward" in vars(inner)
        with sliced(tiny_model):
            pass
        assert "forward" in vars(inner)
    assert "forward" not in vars(inner)


def test_copies_made_in_the_context_compute_with_their_own_weights(tiny_model):
    texts = ["the cat sat on the mat in the house", "the dog", "the cat slept", "a"]
    expected = tiny_model.encode(texts)
    with sliced(tiny_model):
        copies = [copy.deepcopy(tiny_model), frozen_copy(tiny_model)]
    tiny_model.transformers_model.encoder.layer[0].output.dense.weight.data.zero_()
    for each in copies:
        np.testing.assert_allclose(each.encode(texts), expected, atol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        MultipleNegativesRankingLoss,
        lambda model: OTContrastiveLoss(model, sentence_weight=1.0),
        lambda model: OTAlignmentLoss(model, MultipleNegativesRankingLoss(model), layer=2, anchor={"weight": 1.0}),
        lambda model: GradCacheLoss(model, OTContrastiveLoss(model), mini_batch_size=3),
    ],
    ids=["mnrl", "contrastive", "alignment with anchor", "gradient cache"],
)
def test_values_and_gradients_of_losses(tiny_model, loss):
    tiny_model.eval()
    texts = ["the cat sat on the mat in the house", "the dog", "the cat slept", "a cat in a house", "the mat"]
    loss = loss(tiny_model)

    def step():
        tiny_model.zero_grad()
        value = loss([dict(tiny_model.preprocess(each)) for each in (texts, texts[::-1])], None)
        total = sum(value.values()) if isinstance(value, dict) else value
        total.backward()
        return total.detach(), [each.grad for each in tiny_model.parameters() if each.grad is not None]

    with mock.patch.object(slices, "cut", return_value=None):
        expected = step()
    with sliced(tiny_model):
        found = step()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with sliced(tiny_model, loss):
        found = step()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def columns_of(model):
    texts = ["the cat sat on the mat in the house", "the dog", "the cat slept", "a cat in a house", "the mat"]
    return [dict(model.preprocess(each)) for each in (texts, texts[::-1][:3])]


@pytest.mark.parametrize("loss", [MultipleNegativesRankingLoss, OTContrastiveLoss], ids=["mnrl", "contrastive"])
def test_columns_of_a_batch_are_computed_in_one_pass(tiny_model, loss):
    loss = loss(tiny_model)
    columns = columns_of(tiny_model)
    columns[1] = dict(tiny_model.preprocess(["a cat", "the dog slept", "the cat", "in a house", "the mat"]))
    with (
        sliced(tiny_model, loss),
        mock.patch.object(cutting, "FLAT_LIMIT", 100),
        mock.patch.object(slices, "join_outputs", wraps=slices.join_outputs) as joined,
    ):
        loss(columns, None)
        assert [call.args[2] for call in joined.call_args_list] == [10]
    assert not loss._forward_pre_hooks


def test_a_model_without_a_transformer_is_left_as_it_is(tiny_model):
    model = SentenceTransformer(
        modules=[StaticEmbedding(tiny_model.tokenizer, embedding_dim=8)], device="cpu", local_files_only=True
    )
    loss = MultipleNegativesRankingLoss(model)
    columns = columns_of(model)
    columns[1] = dict(model.preprocess(["a cat", "the dog slept", "the cat", "in a house", "the mat"]))
    expected = loss(columns, None)
    with sliced(model, loss), together(model, columns):
        assert loss(columns, None) == expected


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0, 1, 1)])
def test_each_column_gets_its_own_output_in_any_order(tiny_model, order):
    tiny_model.eval()
    columns = columns_of(tiny_model)
    expected = [tiny_model(dict(each)) for each in columns]
    with sliced(tiny_model), together(tiny_model, columns):
        for column in order:
            found = tiny_model(dict(columns[column]))
            for name in ("sentence_embedding", "token_embeddings"):
                content = columns[column]["attention_mask"].bool() if name == "token_embeddings" else slice(None)
                torch.testing.assert_close(found[name][content], expected[column][name][content])


def test_a_column_without_a_graph_is_computed_by_itself(tiny_model):
    columns = columns_of(tiny_model)
    with sliced(tiny_model), together(tiny_model, columns):
        first = tiny_model(dict(columns[0]))["sentence_embedding"]
        with torch.no_grad():
            second = tiny_model(dict(columns[1]))["sentence_embedding"]
        third = tiny_model(dict(columns[1]))["sentence_embedding"]
        copied = copy.deepcopy(tiny_model)
    assert [each.requires_grad for each in (first, second, third)] == [True, False, True]
    assert copied.transformers_model.forward._ready == {}


def test_columns_that_cannot_be_flat_are_computed_one_by_one(tiny_model):
    columns = columns_of(tiny_model)
    columns[1]["attention_mask"][0, 1] = 0
    expected = [tiny_model.eval()(dict(each))["sentence_embedding"] for each in columns]
    with (
        sliced(tiny_model),
        together(tiny_model, columns),
        mock.patch.object(slices, "join_outputs", wraps=slices.join_outputs) as joined,
    ):
        found = [tiny_model(dict(each))["sentence_embedding"] for each in columns]
    torch.testing.assert_close(found, expected)
    assert [call.args[2] for call in joined.call_args_list] == [5, 3]


def test_classifier_of_pairs(tiny_model_path):
    classifier = CrossEncoder(str(tiny_model_path), num_labels=3, device="cpu", local_files_only=True)
    pairs = [("the cat sat on the mat", "the cat"), ("a", "b"), ("the dog slept", "in the house")]
    expected = classifier.predict(pairs)
    with sliced(classifier), mock.patch.object(slices, "join_outputs", wraps=slices.join_outputs) as joined:
        np.testing.assert_allclose(classifier.predict(pairs), expected, atol=1e-5)
    assert joined.called


def test_flat_slices_are_sorted_by_length_and_balanced():
    lengths = np.array([3, 9, 4, 21, 20, 1, 8, 2])
    for limit, sizes in ((68, [68]), (40, [41, 27]), (25, [21, 20, 27]), (1, [21, 20, 9, 8, 4, 3, 2, 1])):
        found = cutting.cut_by_tokens(lengths, limit)
        assert [int(lengths[each].sum()) for each in found] == sizes
        assert np.array_equal(np.concatenate(found), np.argsort(-lengths, kind="stable"))


def cost(parts, lengths, width, overhead):
    return sum(
        overhead + len(part) * max(lengths[part]) * (1 + max(lengths[part]) / width) for part in map(list, parts)
    )


def test_slices_have_the_lowest_cost_of_all_partitions():
    lengths = np.array([3, 9, 4, 21, 20, 1, 8])
    order = np.argsort(-lengths, kind="stable")
    for overhead, limit in itertools.product((1, 10, 30, 500), (None, 25)):
        found = cutting.cut_by_length(lengths, 40, overhead, limit)
        assert np.array_equal(np.sort(np.concatenate(found)), np.arange(len(lengths)))
        partitions = [
            np.split(order, cuts)
            for count in range(len(lengths))
            for cuts in itertools.combinations(range(1, len(lengths)), count)
        ]
        if limit is not None:
            partitions = [
                each
                for each in partitions
                if all(len(part) == 1 or len(part) * max(lengths[part]) <= limit for part in each)
            ]
        lowest = min(cost(each, lengths, 40, overhead) for each in partitions)
        assert cost(found, lengths, 40, overhead) == pytest.approx(lowest)
