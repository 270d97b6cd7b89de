"""Questions on paragraphs with answer spans, as in SQuAD v1.1, XQuAD and XQuAD-R, checked one by one."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from otembed.data.checks import SURROGATE, is_blank
from otembed.errors import DataError

KINDS = {str: "text", list: "a list", int: "a whole number", dict: "an object"}
FORMAT_HINT = (
    "SQuAD v1.1's format is data[].paragraphs[] of context and qas[], each with id, question and answers[] of "
    "text and answer_start."
)


class Answer(NamedTuple):
    """An answer and the position of its first character in the paragraph."""

    text: str
    start: int


class Paragraph(NamedTuple):
    """A paragraph and, in XQuAD-R, its sentences as (start, end) in characters."""

    text: str
    sentences: tuple[tuple[int, int], ...] = ()


class Question(NamedTuple):
    """A question, the index of its paragraph, and its correct answers."""

    id: str
    text: str
    paragraph: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class QuestionSet:
    """Questions of one language; equal paragraphs are stored once.

    Parameters
    ----------
    where
        The file or dataset it was read from.
    paragraphs, questions
        In the order of the file.
    repaired
        Answers that were not at the position in the file; they now point to their nearest occurrence.
    repeated_ids
        Number of questions with the id of an earlier one; only if ids may repeat.
    """

    where: str
    paragraphs: tuple[Paragraph, ...]
    questions: tuple[Question, ...]
    repaired: int = 0
    repeated_ids: int = 0

    @property
    def has_sentences(self) -> bool:
        """Whether every paragraph has sentence boundaries."""
        return all(each.sentences for each in self.paragraphs)

    def sentence_of(self, question: Question) -> int:
        """Return the index, in its paragraph, of the sentence in which the question's first answer starts."""
        starts = [start for start, _ in self.paragraphs[question.paragraph].sentences]
        return bisect_right(starts, question.answers[0].start) - 1

    def spread(self, limit: int | None) -> QuestionSet:
        """Return the set with ``limit`` evenly spaced questions; all paragraphs are kept.

        >>> one = QuestionSet("x", (Paragraph("a b"),), tuple(Question(str(n), "?", 0, ()) for n in range(10)))
        >>> [each.id for each in one.spread(4).questions]
        ['0', '2', '5', '7']
        """
        count = len(self.questions)
        if limit is None or limit >= count:
            return self
        return replace(self, questions=tuple(self.questions[index * count // limit] for index in range(limit)))


class QuestionSetBuilder:
    """Build a :class:`QuestionSet`; errors name the position of malformed parts.

    Parameters
    ----------
    where
        File or dataset, at the start of each message.
    unique_ids
        Raise DataError on a missing or repeated id; otherwise count repeated ids.
    """

    def __init__(self, where: str, *, unique_ids: bool) -> None:
        self.where = where
        self.unique_ids = unique_ids
        self.paragraphs: list[Paragraph] = []
        self.places: dict[Paragraph, int] = {}
        self.questions: list[Question] = []
        self.ids: dict[str, str] = {}
        self.repaired = self.repeated = 0

    def refuse(self, place: str, message: str, hint: str = FORMAT_HINT) -> DataError:
        """Return the error for ``place``, such as ``data[3].paragraphs[0].qas[2]``."""
        return DataError(f"{place or 'the document'}: {message}", hint, path=self.where)

    def field(self, node: Any, key: str, kind: type, place: str) -> Any:
        """Return ``node[key]``, checked to exist and to have the right type; text must not be blank."""
        if not isinstance(node, dict):
            raise self.refuse(place, f"{_shown(node)} is not an object")
        if key not in node:
            names = ", ".join(sorted(map(str, node))[:8]) or "nothing"
            raise self.refuse(place, f"{key!r} is missing; the keys are: {names}")
        value = node[key]
        at = f"{place}.{key}" if place else key
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.refuse(at, f"{_shown(value)} is not {KINDS[kind]}")
        if isinstance(value, str):
            if is_blank(value):
                raise self.refuse(at, "empty text", "Fix or remove that entry.")
            if SURROGATE.search(value):
                raise self.refuse(
                    at, "an unpaired surrogate, which is not a character", "Write the file again as UTF-8."
                )
        return value

    def paragraph(self, node: Any, place: str) -> int:
        """Add a paragraph, unless an equal one is known, and return its index."""
        text = self.field(node, "context", str, place)
        spans = self._sentences(node, text, place) if node.get("sentence_breaks") is not None else ()
        paragraph = Paragraph(text, spans)
        if paragraph not in self.places:
            self.places[paragraph] = len(self.paragraphs)
            self.paragraphs.append(paragraph)
        return self.places[paragraph]

    def _sentences(self, node: Any, text: str, place: str) -> tuple[tuple[int, int], ...]:
        spans = []
        last = 0
        for index, span in enumerate(self.field(node, "sentence_breaks", list, place)):
            at = f"{place}.sentence_breaks[{index}]"
            whole = isinstance(span, list) and len(span) == 2 and all(type(each) is int for each in span)
            if not whole or not last <= span[0] < span[1] <= len(text):
                raise self.refuse(
                    at,
                    f"{_shown(span)} is not a [start, end] after {last} within {len(text)} characters",
                    "Sentence breaks count characters of the context, in ascending order.",
                )
            spans.append((span[0], span[1]))
            last = span[1]
        if not spans:
            raise self.refuse(f"{place}.sentence_breaks", "no sentence", "Omit the key, or list the sentences.")
        return tuple(spans)

    def question(self, node: Any, paragraph: int, place: str) -> None:
        """Add a question about the paragraph at an index."""
        text = self.field(node, "question", str, place)
        key = self._id(node, place)
        if key in self.ids:
            if self.unique_ids:
                raise self.refuse(
                    place, f"id {key!r} is already the id of {self.ids[key]}", "Give each question a unique id."
                )
            self.repeated += 1
        self.ids.setdefault(key, place)
        entries = self.field(node, "answers", list, place)
        if not entries:
            raise self.refuse(
                f"{place}.answers",
                "no answer",
                "Remove questions without an answer, as in SQuAD 2.0: this task does not support them.",
            )
        context = self.paragraphs[paragraph]
        answers = tuple(
            self._answer(entry, context, f"{place}.answers[{index}]") for index, entry in enumerate(entries)
        )
        self.questions.append(Question(key, text, paragraph, answers))

    def _id(self, node: Any, place: str) -> str:
        """Return an id as text; if ids may repeat, the position of a question without an id."""
        key = node.get("id")
        if isinstance(key, int) and not isinstance(key, bool):
            return str(key)
        if key is None and not self.unique_ids:
            return place
        return str(self.field(node, "id", str, place))

    def _answer(self, node: Any, paragraph: Paragraph, place: str) -> Answer:
        text = self.field(node, "text", str, place)
        start = self.field(node, "answer_start", int, place)
        if start < 0 or not paragraph.text.startswith(text, start):
            found = _nearest(paragraph.text, text, start)
            if found is None:
                raise self.refuse(place, f"{_shown(text)} is not in the paragraph", "Fix the answer.")
            start = found
            self.repaired += 1
        if paragraph.sentences and not any(first <= start < last for first, last in paragraph.sentences):
            raise self.refuse(place, f"character {start} is not in any sentence", "Fix sentence_breaks.")
        return Answer(text, start)

    def build(self) -> QuestionSet:
        """Return the set; DataError if it has no question."""
        if not self.questions:
            raise self.refuse("", "no questions", FORMAT_HINT)
        bare = [each for each in self.paragraphs if not each.sentences]
        if bare and len(bare) < len(self.paragraphs):
            raise self.refuse(
                "",
                f"{len(bare)} of {len(self.paragraphs)} paragraphs have no sentence_breaks, the first: "
                f"{_shown(bare[0].text)}",
                "Add them to all paragraphs, as in XQuAD-R, or to none.",
            )
        return QuestionSet(self.where, tuple(self.paragraphs), tuple(self.questions), self.repaired, self.repeated)


def _nearest(context: str, text: str, start: int) -> int | None:
    """Return the position of ``text`` in ``context`` nearest to ``start``; ties go to the first."""
    places = [found.start() for found in re.finditer(f"(?={re.escape(text)})", context)]
    return min(places, key=lambda place: (abs(place - start), place), default=None)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
