"""Word alignment end to end on tiny encoders: planted translations, padding, order, what is not seen, refusals."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

import numpy as np
import pytest
import torch

from otembed.config import AlignmentConfig, WordAlignmentConfig
from otembed.errors import ConfigError, DataError, ModelError, NumericsError
from otembed.transport import solve
from otembed.words import WordAligner, align
from otembed.words.plan import RunningMean, centers, word_plans
from otembed.words.segment import joined
from otembed.words.vectors import WordEncoder

SOURCES = ["the cat sat on the mat", "dog", "", "the dog slept in the house", "猫睡在房子里", "cat"]
TARGETS = ["die Katze saß auf der Matte", "Hund Haus", "Hund", "", "the cat sat", "die Katze"]
EMBEDDINGS = {"layer": 0, "center": False, "order_prior": 0.0, "decoding": "mutual"}


def cells(alignment):
    return [(link.source, link.target) for link in alignment.links]


def test_equal_words_are_linked_on_the_embeddings(tiny_model):
    """The same words in another order: position-free embeddings would pair them all; positions are weak here."""
    words = ["cat", "sat", "Matte", "Haus", "schlief"]
    (found,) = align([words], [[words[k] for k in (2, 0, 1, 4, 3)]], model=tiny_model, **EMBEDDINGS)
    assert cells(found) == [(0, 1), (1, 2), (2, 0), (3, 4), (4, 3)]
    assert found.source_words == tuple(words)
    assert all(0.5 < link.probability <= 1 for link in found.links)


def test_pairs_are_solved_independently_and_keep_their_order(tiny_model):
    settings = {"layer": 2, "center": False}
    together = align(SOURCES, TARGETS, model=tiny_model, batch_size=4, **settings)
    for source, target, found in zip(SOURCES, TARGETS, together, strict=True):
        (alone,) = align([source], [target], model=tiny_model, batch_size=1, **settings)
        assert cells(found) == cells(alone)
        assert (found.source_words, found.target_words) == (alone.source_words, alone.target_words)
        np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=2e-3)
    assert [len(found.links) for found in together[2:4]] == [0, 0]


def test_plan_matches_the_solver_on_centered_words(tiny_model):
    """Encoding, centering, cost, prior and masses once more, by the definition, without padding."""
    config = WordAlignmentConfig(layer=2, epsilon=0.1, relaxation=0.2, order_prior=0.3)
    texts = [[joined(text.split()) for text in side] for side in (SOURCES, TARGETS)]
    sides = [WordEncoder(tiny_model).encode(side, [2]) for side in texts]
    means = [torch.cat([each.layers[2] for each in side]).mean(0) for side in sides]
    plans = word_plans(sides[0], sides[1], 2, config, (means[0], means[1]))
    for x, y, plan in zip(*sides, plans, strict=True):
        n, m = len(x.seen), len(y.seen)
        assert plan.shape == (n, m)
        if not n or not m:
            continue
        x, y = (
            torch.nn.functional.normalize(z.layers[2] - mean, dim=1) for z, mean in zip((x, y), means, strict=True)
        )
        i, j = (torch.arange(k) / (k - 1) if k > 1 else torch.tensor([0.5]) for k in (n, m))
        cost = 1 - x @ y.T + 0.3 * (i[:, None] - j[None]).abs()
        alone = solve(cost[None], torch.full((1, n), 1 / n), torch.full((1, m), 1 / m), epsilon=0.1, relaxation=0.2)
        torch.testing.assert_close(plan, alone.plan[0], atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize("copies", [1, 12])
def test_centers_are_running_means_of_the_words(tiny_model, copies):
    """Fewer than 100 words on a side: the mean of both sides, so that a single word is not centered away."""
    texts = [[joined(text.split()) for text in side] * copies for side in (SOURCES, TARGETS)]
    sides = [WordEncoder(tiny_model).encode(side, [2]) for side in texts]
    running = RunningMean(), RunningMean()
    assert [each.tolist() for each in centers(*running)] == [0, 0]
    for mean, side in zip(running, sides, strict=True):
        mean.add(side[:2], 2)
        mean.add(side[2:], 2)
    words = [torch.cat([each.layers[2] for each in side]) for side in sides]
    assert (min(map(len, words)) < 100) == (copies == 1)
    expected = [torch.cat(words).mean(0)] * 2 if copies == 1 else [each.mean(0) for each in words]
    for found, each in zip(centers(*running), expected, strict=True):
        torch.testing.assert_close(found, each)


def test_single_word_is_linked_to_its_translation(tiny_model):
    """Its own mean would leave nothing of it."""
    (found,) = align(["Haus"], ["die schlief Haus Katze"], model=tiny_model, layer=0, decoding="mutual")
    assert cells(found) == [(0, 2)]
    assert found.probabilities[0, 2] > 0.8


def test_word_vectors_are_means_of_token_states(tiny_model):
    text = joined(["die", "schlief", "猫睡"])
    (found,) = WordEncoder(tiny_model).encode([text], [1, -1])
    encoded = tiny_model.tokenizer(text.text, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        hidden = tiny_model[0].model(**encoded, output_hidden_states=True).hidden_states
    assert set(found.layers) == {1, 3}
    for layer, vectors in found.layers.items():
        for (start, end), vector in zip(text.spans, vectors, strict=True):
            rows = [k for k, (a, b) in enumerate(offsets) if b > start and a < end and b > a]
            torch.testing.assert_close(vector, hidden[layer][0, rows].mean(0), atol=1e-5, rtol=1e-4)


def test_layers_above_the_used_layer_are_not_run(tiny_model):
    text = [joined(text.split()) for text in SOURCES]
    encoder = WordEncoder(tiny_model)
    everything = encoder.encode(text, [0, 1, 2, 3])
    ran = []
    handles = [
        layer.register_forward_hook(lambda module, *_: ran.append(module))
        for layer in tiny_model[0].model.encoder.layer
    ]
    some = encoder.encode(text, [0, 2, -2])
    assert set(ran) == set(tiny_model[0].model.encoder.layer[:2])
    for handle in handles:
        handle.remove()
    for one, other in zip(some, everything, strict=True):
        for layer in (0, 2):
            torch.testing.assert_close(one.layers[layer], other.layers[layer], rtol=0, atol=0)
    assert not any(layer._forward_pre_hooks for layer in tiny_model[0].model.encoder.layer)


def test_words_beyond_the_length_limit_are_counted_and_not_linked(tiny_model):
    tiny_model.max_seq_length = 6
    aligner = WordAligner(tiny_model, **EMBEDDINGS)
    (found,) = aligner.align([(["cat"] * 2 + ["Haus"] * 20, ["Haus", "cat"])])
    assert aligner.unseen >= 16
    assert len(found.source_words) == 22
    assert found.probabilities.shape == (22, 2)
    assert not found.probabilities[22 - aligner.unseen :].any()


def test_empty_word_keeps_its_index(tiny_model):
    aligner = WordAligner(tiny_model, **EMBEDDINGS)
    (found,) = aligner.align([(["", "Haus", ""], ["Haus"])])
    assert cells(found) == [(1, 0)]
    assert aligner.unseen == 2


def test_tokens_are_linked_and_given_words_are_linked_by_their_tokens(tiny_model):
    (pieces,) = align(["Matte"], ["Matte"], model=tiny_model, unit="token", **EMBEDDINGS)
    assert len(pieces.source_words) > 1
    assert cells(pieces) == [(k, k) for k in range(len(pieces.source_words))]
    (words,) = align([["Haus", "Matte"]], [["Matte", "Haus"]], model=tiny_model, unit="token", **EMBEDDINGS)
    assert words.source_words == ("Haus", "Matte")
    assert words.probabilities.shape == (2, 2)
    assert {(0, 1), (1, 0)} <= set(cells(words))


def test_exact_and_balanced_plans_move_all_mass(tiny_model):
    sides = [WordEncoder(tiny_model).encode([joined(text.split())], [2]) for text in (SOURCES[0], TARGETS[0])]
    for settings in ({"epsilon": 0.0}, {"epsilon": 0.05}):
        config = WordAlignmentConfig(relaxation=None, **settings)
        (plan,) = word_plans(sides[0], sides[1], 2, config)
        torch.testing.assert_close(plan.sum(1), torch.full((6,), 1 / 6), atol=1e-3, rtol=0)
    assert (
        int((word_plans(sides[0], sides[1], 2, WordAlignmentConfig(relaxation=None, epsilon=0.0))[0] > 0).sum())
        <= 11
    )


def test_input_longer_than_a_window_keeps_its_order(tiny_model, monkeypatch):
    monkeypatch.setattr("otembed.words.aligner.WINDOW", 4)
    texts = [text for text in SOURCES if text] * 3
    found = list(WordAligner(tiny_model, **EMBEDDINGS).align(zip(texts, texts, strict=True), batch_size=3))
    assert [" ".join(each.source_words).replace(" ", "") for each in found] == [t.replace(" ", "") for t in texts]
    for each in found:
        assert all(
            link.source == link.target
            for link in each.links
            if each.source_words.count(each.source_words[link.source]) == 1
        )


def test_links_do_not_depend_on_train_mode_or_a_prompt(tiny_model):
    (expected,) = align([SOURCES[0]], [TARGETS[0]], model=tiny_model, layer=2)
    tiny_model.default_prompt_name = "query"
    tiny_model.train()
    (found,) = align([SOURCES[0]], [TARGETS[0]], model=tiny_model, layer=2)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


@pytest.mark.parametrize("layer", ["auto", 3])
def test_diverged_model_is_reported(tiny_model, layer):
    next(tiny_model.parameters()).data.fill_(float("nan"))
    with pytest.raises(NumericsError, match="NaN"):
        align(["the cat"] * 60, ["die Katze"] * 60, model=tiny_model, layer=layer)


def test_non_finite_vectors_are_rejected(tiny_model):
    sides = WordEncoder(tiny_model).encode([joined(["cat"])], [1])
    with pytest.raises(NumericsError, match="NaN"):
        word_plans(sides, sides, 1, WordAlignmentConfig(), (torch.full((32,), torch.inf), torch.zeros(32)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": 4}, "layer = 4"),
        ({"layer": -5}, "layer = -5"),
        ({"layer": "middle"}, "layer"),
        ({"epsilon": -1}, "epsilon = -1"),
        ({"epsilon": 0.0}, "relaxation"),
        ({"decoding": "grow"}, "decoding = 'grow'"),
        ({"unit": "piece"}, "unit = 'piece'"),
        ({"threshold": 2}, "threshold.* = 2"),
        ({"order_prior": -0.1}, "order_prior = -0.1"),
    ],
)
def test_settings_out_of_range_are_rejected(tiny_model, settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        WordAligner(tiny_model, **settings)
    assert isinstance(caught.value, ConfigError)


def test_unknown_settings_and_config_with_keywords_are_rejected(tiny_model):
    with pytest.raises(TypeError, match="relaxations"):
        WordAligner(tiny_model, relaxations=1)
    with pytest.raises(ConfigError, match="layer = 1"):
        WordAligner(tiny_model, WordAlignmentConfig(layer=2), layer=1)
    assert WordAligner(tiny_model, None, layer=1).config == WordAlignmentConfig(layer=1)


@pytest.mark.parametrize("function", [WordAligner, align])
def test_signature_has_every_setting_with_its_default(function):
    parameters = inspect.signature(function).parameters
    defaults = {each.name: getattr(WordAlignmentConfig(), each.name) for each in fields(WordAlignmentConfig)}
    assert {name: parameters[name].default for name in defaults} == defaults


def test_mismatched_sides_and_batch_size_are_rejected(tiny_model):
    with pytest.raises(ConfigError, match=r"2 .* 1 "):
        align(["a", "b"], ["c"], model=tiny_model)
    with pytest.raises(ConfigError, match="align"):
        align("a", "b", model=tiny_model)
    for size in (0, 2.5, True):
        with pytest.raises(ConfigError, match=f"batch_size is {size}"):
            align(["a"], ["b"], model=tiny_model, batch_size=size)


@pytest.mark.parametrize("side", [1, None, [1, 2], ["a", None]])
def test_what_is_no_text_is_rejected(tiny_model, side):
    with pytest.raises(DataError, match=re.escape(repr(side))) as caught:
        align([side], ["x"], model=tiny_model)
    assert "str" in caught.value.hint


@pytest.mark.parametrize("config", [{"layer": 1}, "x", AlignmentConfig()])
def test_config_of_another_kind_is_rejected(tiny_model, config):
    with pytest.raises(ConfigError, match=re.escape(repr(config))) as caught:
        WordAligner(tiny_model, config)
    assert "WordAlignmentConfig" in caught.value.hint


@pytest.mark.parametrize(
    ("first", "fast", "message"),
    [
        (torch.nn.Identity(), True, "Identity"),
        (None, False, "character offsets"),
    ],
)
def test_models_that_cannot_align_are_rejected(tiny_model, first, fast, message):
    class Tokenizer:
        is_fast = fast

    class Model(list):
        tokenizer = Tokenizer()

    with pytest.raises(ModelError, match=message):
        WordEncoder(Model([first or tiny_model[0]]))
