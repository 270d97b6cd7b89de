"""Links between words that occur in the same sentence pairs, by hand, and the retrieval of these words."""

from __future__ import annotations

import numpy as np
import torch

from otembed.tasks.word_alignment import occurrence_links, score_word_retrieval, text_word_retrieval
from otembed.words.segment import WordSplitter
from otembed.words.vectors import WordEncoder

SOURCE = [
    "The cat sat on 3 mats.",
    "the dog, the cat and 3 houses",
    "a dog slept",
    "a house",
    "«Cat»",
]
TARGET = [
    "3 Matten: die Katze saß",
    "Hund und Katze, 3 Häuser",
    "ein Hund schlief",
    "ein Haus",
    "KATZE!",
]


def test_links_by_hand():
    """cat-Katze in rows 0, 1, 4; 3-3 in 0, 1; dog-Hund in 1, 2; a-ein in 2, 3. "the" is twice in row 1; the rest are single."""
    found = occurrence_links([each.split() for each in SOURCE], [each.split() for each in TARGET])
    assert [sorted(each.sure) for each in found] == [
        [(1, 3), (4, 0)],
        [(1, 0), (3, 2), (5, 3)],
        [(0, 0), (1, 1)],
        [(0, 0)],
        [(0, 0)],
    ]
    assert all(each.sure == each.possible for each in found)


def test_words_with_the_same_rows_are_not_linked():
    """ "New York" occurs in the rows of "Nairobi": no occurrence tells its two words apart."""
    found = occurrence_links([["New", "York"], ["New", "York", "!"]], [["Nairobi"], ["Nairobi"]])
    assert not any(each.sure for each in found)
    # Marks of vowels are part of a word, punctuation is not.
    found = occurrence_links([["tea,"], ["tea"]], [["चाय।"], ["चाय"]])
    assert [sorted(each.sure) for each in found] == [[(0, 0)], [(0, 0)]]
    assert not occurrence_links([["tea"], ["tea"]], [["चाय"], ["चाया"]])[0].sure


def test_no_text_has_no_links():
    assert occurrence_links([], []) == []
    assert not occurrence_links([[], ["a"]], [[], ["b"]])[1].sure


def test_figures_are_those_of_word_retrieval_on_these_links(tiny_model):
    (found,) = text_word_retrieval(tiny_model, {"en-de": (SOURCE, TARGET)})
    splitter, encoder = WordSplitter(tiny_model.tokenizer), WordEncoder(tiny_model)
    sides = [[splitter(text) for text in side] for side in (SOURCE, TARGET)]
    words = [[text.words for text in side] for side in sides]
    vectors = [encoder.encode(side, [3]) for side in sides]
    expected, _ = score_word_retrieval((*words, occurrence_links(*words)), *vectors, 3, name="en-de")
    assert found == expected
    assert found.links == 9


def test_equal_sides_are_found_and_exchanged_sides_are_not(tiny_model):
    """On equal sides every linked word finds itself; with the target sentences rotated by one, none does."""
    same, moved = text_word_retrieval(
        tiny_model, {"same": (SOURCE, SOURCE), "moved": (SOURCE, [*SOURCE[1:], SOURCE[0]])}, layer=1
    )
    assert (same.accuracy, same.centered_accuracy) == (1, 1)
    assert same.links == 9  # cat in 3 pairs, "3", "a" and "dog" in 2
    assert moved.accuracy < 0.3


def test_each_sentence_is_encoded_once(tiny_model, monkeypatch):
    seen = []
    encode = WordEncoder.encode
    monkeypatch.setattr(
        WordEncoder,
        "encode",
        lambda self, texts, *rest, **more: (seen.extend(texts), encode(self, texts, *rest, **more))[1],
    )
    text_word_retrieval(tiny_model, {"en-de": (SOURCE, TARGET), "de-en": (TARGET, SOURCE)})
    assert sorted(each.text for each in seen) == sorted([*SOURCE, *TARGET])


def test_vectors_of_planted_words_give_the_figure_by_hand():
    """Two linked words in two pairs; one of four vectors of the target is that of another word: 3/4 and 3/4 correct."""
    from otembed.words.vectors import WordVectors

    source, target = [["cat", "x"], ["cat", "dog"], ["dog"]], [["Katze"], ["Katze", "Hund"], ["Hund", "y"]]
    links = occurrence_links(source, target)
    assert [sorted(each.sure) for each in links] == [[(0, 0)], [(0, 0), (1, 1)], [(0, 0)]]
    axes = np.eye(8, dtype=np.float32)

    def vectors(rows):
        return [WordVectors({1: torch.tensor(axes[row])}, torch.ones(len(row), dtype=torch.bool)) for row in rows]

    x = vectors([[0, 4], [1, 2], [3]])
    y = vectors([[0], [1, 2], [5, 3]])  # "Hund" of the last pair is elsewhere, and "y" is where it should be
    scores, _ = score_word_retrieval((source, target, links), x, y, 1)
    assert (scores.links, scores.source_to_target, scores.target_to_source) == (4, 0.75, 0.75)
