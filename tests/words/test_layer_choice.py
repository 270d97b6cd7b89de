"""The layer criterion against its definition and on planted layers; the stored layer's way to disk and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from otembed.errors import DataError, ModelError
from otembed.words import LayerChoice, WordAligner, choose_layer, store_layer, stored_layer
from otembed.words.layer_choice import FEWEST_PAIRS, agreement, agreement_beyond_chance
from otembed.words.vectors import WordEncoder, WordVectors

TEXT = ["the cat sat on the mat", "the dog slept", "a cat in the house", "the mat and the house", "dog cat"] * 12


def vectors(sentences, layer=1):
    return [WordVectors({layer: each}, torch.ones(len(each), dtype=torch.bool)) for each in sentences]


def planted(noise, generator, sentences=60):
    """Sentences of random words and their translations: the same words shuffled, plus noise."""
    source = [torch.randn(5, 16, generator=generator) for _ in range(sentences)]
    target = [
        each[torch.randperm(5, generator=generator)] + noise * torch.randn(5, 16, generator=generator)
        for each in source
    ]
    return source, target


def by_definition(source, target):
    """Agreement with numpy loops over centered words."""
    means = [np.concatenate([each.numpy() for each in side]).mean(0) for side in (source, target)]

    def share(pairs):
        mutual = total = 0
        for x, y in pairs:
            x, y = x.numpy() - means[0], y.numpy() - means[1]
            cosine = (x @ y.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1)[None]
            mutual += sum(cosine[:, cosine[i].argmax()].argmax() == i for i in range(len(x)))
            total += len(x) + len(y)
        return 2 * mutual / total

    observed = share(zip(source, target, strict=True))
    chance = share(zip(source, target[1:] + target[:1], strict=True))
    return (observed - chance) / (1 - chance)


def test_score_matches_its_definition_and_falls_with_noise():
    generator = torch.Generator().manual_seed(1)
    scores = []
    for noise in (0.0, 0.5, 2.0, 50.0):
        source, target = planted(noise, generator)
        score = agreement_beyond_chance(vectors(source), vectors(target), 1)
        assert score == pytest.approx(by_definition(source, target), abs=1e-6)
        scores.append(score)
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1
    assert abs(scores[-1]) < 0.15


def test_agreement_of_sentences_without_words_is_zero():
    assert agreement([], []) == 0
    assert agreement([torch.zeros(0, 4)], [torch.eye(4)]) == 0


def test_layer_with_the_planted_translations_is_chosen(tiny_model, monkeypatch):
    """Each layer's vectors are replaced: only the second one's find their translations."""
    generator = torch.Generator().manual_seed(2)
    sides = {layer: planted({1: 3.0, 2: 0.1, 3: 1.0}[layer], generator) for layer in (1, 2, 3)}
    calls = iter([0, 1, 0, 1])

    def encode(self, texts, layers, *, batch_size):
        side = next(calls)
        seen = torch.ones(5, dtype=torch.bool)
        return [
            WordVectors({layer: sides[layer][side][row] for layer in layers}, seen) for row in range(len(texts))
        ]

    monkeypatch.setattr(WordEncoder, "encode", encode)
    choice = choose_layer(tiny_model, (TEXT, TEXT))
    assert (choice.layer, choice.origin) == (2, "text")
    assert [layer for layer, _ in choice.scores] == [1, 2, 3]
    assert choose_layer(tiny_model, (TEXT, TEXT)).scores == choice.scores


def test_several_languages_are_averaged(tiny_model):
    other = [text.upper() for text in TEXT]
    one, two = (dict(choose_layer(tiny_model, (TEXT, side)).scores) for side in (TEXT[1:] + TEXT[:1], other))
    both = choose_layer(tiny_model, (TEXT, TEXT[1:] + TEXT[:1]), (TEXT, other))
    assert dict(both.scores) == pytest.approx({layer: (one[layer] + two[layer]) / 2 for layer in one})


def test_auto_layer_uses_the_given_text_and_few_pairs_give_the_default(tiny_model):
    aligner = WordAligner(tiny_model)
    assert aligner.choice is None
    list(aligner.align(zip(TEXT, TEXT, strict=True)))
    assert aligner.choice == choose_layer(tiny_model, (TEXT, TEXT))
    few = WordAligner(tiny_model)
    list(few.align(zip(TEXT[:3], TEXT[:3], strict=True)))
    assert few.choice == LayerChoice(2, "default")


def test_too_little_text_is_rejected(tiny_model):
    with pytest.raises(DataError, match=r"49 .* 49 "):
        choose_layer(tiny_model, (TEXT[: FEWEST_PAIRS - 1], TEXT[: FEWEST_PAIRS - 1]))
    with pytest.raises(DataError, match=r"60 .* 59 "):
        choose_layer(tiny_model, (TEXT, TEXT[:-1]))
    with pytest.raises(DataError, match="layer"):
        choose_layer(tiny_model)


def test_text_without_evidence_gives_the_default(tiny_model):
    """No word on the target side, so every layer scores 0."""
    source, target = TEXT, [""] * len(TEXT)
    aligner = WordAligner(tiny_model)
    list(aligner.align(zip(source, target, strict=True)))
    assert aligner.choice == LayerChoice(2, "default")
    with pytest.raises(DataError, match="every layer is 0") as caught:
        choose_layer(tiny_model, (source, target))
    assert "layer" in caught.value.hint


def test_stored_layer_is_loaded_with_the_model(tiny_model, tmp_path):
    tiny_model.save(str(tmp_path / "model"), create_model_card=False)
    assert stored_layer(load(tmp_path), 3) is None
    store_layer(tmp_path / "model", LayerChoice(1, "text", ((1, 0.5), (2, 0.25))))
    model = load(tmp_path)
    assert stored_layer(model, 3) == LayerChoice(1, "stored", ((1, 0.5), (2, 0.25)))
    aligner = WordAligner(model)
    list(aligner.align(zip(TEXT, TEXT, strict=True)))
    assert aligner.choice.layer == 1
    assert WordAligner(model, layer=-1).choice == LayerChoice(3, "given")
    np.testing.assert_array_equal(model.encode("the cat"), tiny_model.encode("the cat"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "otembed.json"),
        ("{}", "otembed.json"),
        ('{"alignment_layer": 9}', "layer 9 .*0 to 3"),
        ('{"alignment_layer": "7"}', "layer '7' .*0 to 3"),
        ('{"alignment_layer": true}', "layer True .*0 to 3"),
        ("[]", "otembed.json"),
    ],
)
def test_corrupt_file_is_rejected(tiny_model, tmp_path, text, message):
    tiny_model.save(str(tmp_path / "model"), create_model_card=False)
    (tmp_path / "model" / "otembed.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        WordAligner(load(tmp_path))


def load(folder):
    return SentenceTransformer(str(folder / "model"), device="cpu", local_files_only=True)
