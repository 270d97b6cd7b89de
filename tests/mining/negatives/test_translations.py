"""Groups of translations, and the number of candidates that they take."""

import numpy as np
import pytest

from otembed.mining.negatives.translations import largest_overlap, text_key, translation_groups


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("The cat.", "the  CAT", True),
        ("ﬁve", "Five!", True),
        ("cats", "cat", False),
        ("हिंदी", "हद", False),
        ("?", "!", False),
        ("", " ", False),
    ],
)
def test_texts_that_differ_in_case_and_punctuation_count_as_the_same(first, second, same):
    assert (text_key(first) == text_key(second)) == same


def test_groups_join_translations_and_copies_on_either_side():
    sources, targets = ["a", "b", "c", "d", "OK"], ["A1", "B1", "C1", "ok", "D1"]
    # b is a translation of A1 as well; the last source is its own translation.
    rows, columns = np.array([0, 1, 1, 2, 3, 4]), np.array([0, 0, 1, 2, 4, 3])
    left, right = translation_groups(sources, targets, rows, columns)
    assert left[0] == left[1] == right[0] == right[1]
    assert left[4] == right[3]
    assert len({left[0], left[2], left[3], left[4]}) == 4
    assert largest_overlap(left, right) == 2
    assert largest_overlap(left, left) == 2
