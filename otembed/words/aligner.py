"""Word alignment of parallel sentences by the transport plan between their words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from otembed.config.keywords import config_or_keywords
from otembed.config.plan import Unit
from otembed.config.words import Decoding, WordAlignmentConfig, Words
from otembed.errors import ConfigError
from otembed.words.layer_choice import MOST_PAIRS, LayerChoice, choose_layer_of, stored_layer
from otembed.words.links import SentenceAlignment, decode_links, link_probabilities, links_of_wholes
from otembed.words.plan import RunningMean, centers, word_plans
from otembed.words.segment import WordSplitter, WordText
from otembed.words.units import Pooling
from otembed.words.vectors import WordEncoder, WordVectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Side = str | Sequence[str]
WINDOW = MOST_PAIRS


class WordAligner:
    """Link the words of parallel sentences.

    Both sides are encoded without a prompt. The vector of a word is pooled from the states of its tokens in one layer,
    and the mean of each side is subtracted. The transport plan between the words under a cosine cost is read as a soft
    alignment.

    Pairs are processed in windows of 300, sorted by length within a window. The means of ``center`` are running means
    over all words seen by the aligner, updated per window: the same input in the same order gives the same links.
    While a side has fewer than 100 words, the joint mean of both sides is subtracted from each.

    Parameters
    ----------
    model
        A SentenceTransformer over a transformer with a fast tokenizer.
    config
        All settings below as one :class:`otembed.words.WordAlignmentConfig`, instead of keywords.
    layer
        Hidden layer of the vectors, 0 the embeddings; ``auto``: the layer stored with the model, else chosen from the
        text.
    unit, words, word_pooling
        What is aligned (``word`` or ``token``), where raw text is split into words, and how tokens are pooled.
    center
        Subtract each side's mean over all words seen so far.
    epsilon, relaxation, order_prior
        Entropic strength, KL penalty on the marginals, and weight of the distance between relative positions.
    decoding, threshold
        How links are read from the plan, see :func:`decode_links`.

    Attributes
    ----------
    choice
        The layer in use and how it was chosen; ``None`` before the first window with ``layer="auto"``.
    pairs
        Sentence pairs aligned so far.
    unseen
        Number of words so far that the encoder did not see, usually because of its length limit.

    Raises
    ------
    ConfigError
        A setting is out of range, or the model does not have the layer.
    ModelError
        The model does not expose hidden layers or character offsets.
    """

    @config_or_keywords(WordAlignmentConfig)
    def __init__(
        self,
        model: SentenceTransformer,
        config: WordAlignmentConfig | None = None,
        *,
        layer: int | Literal["auto"] = "auto",
        unit: Unit = "word",
        words: Words = "auto",
        word_pooling: Pooling = "mean",
        center: bool = True,
        epsilon: float = 0.1,
        relaxation: float | None = 0.2,
        order_prior: float = 0.1,
        decoding: Decoding = "grow-diag",
        threshold: float | None = None,
    ) -> None:
        assert config is not None  # config_or_keywords passes it
        self.config = config
        self._encoder = WordEncoder(model, self.config.word_pooling)
        self._split = WordSplitter(model.tokenizer, self.config.unit, self.config.words)
        self.choice: LayerChoice | None = None
        if self.config.layer != "auto":
            self.choice = LayerChoice(self._encoder.layer(self.config.layer), "given")
        else:
            self.choice = stored_layer(model, self._encoder.depth)
        self.pairs = 0
        self.unseen = 0
        self._running = (RunningMean(), RunningMean())

    def align(
        self,
        pairs: Iterable[tuple[Side, Side]],
        *,
        batch_size: int = 32,
        on_vectors: Callable[[list[WordVectors], list[WordVectors]], object] | None = None,
    ) -> Iterator[SentenceAlignment]:
        """Yield the alignment of each pair, in the order given.

        Parameters
        ----------
        pairs
            Source and target: raw text, or a list of words that are kept as given.
        batch_size
            Number of sentences encoded, and of plans solved, at a time.
        on_vectors
            Called with the vectors of both sides of each window, before its pairs are yielded.

        Raises
        ------
        NumericsError
            If the model returns NaN or infinity.
        """
        rows = iter(pairs)
        while window := list(islice(rows, WINDOW)):
            yield from self._window(window, batch_size, on_vectors)

    def _window(
        self,
        pairs: list[tuple[Side, Side]],
        batch_size: int,
        on_vectors: Callable[[list[WordVectors], list[WordVectors]], object] | None,
    ) -> list[SentenceAlignment]:
        texts = [[self._split(pair[side]) for pair in pairs] for side in (0, 1)]
        if self.choice is None:
            self.choice = choose_layer_of(self._encoder, texts[0], texts[1], batch_size=batch_size)
        layer = self.choice.layer
        sides = [self._encoder.encode(side, [layer], batch_size=batch_size) for side in texts]
        if on_vectors is not None:
            on_vectors(*sides)
        self.pairs += len(pairs)
        self.unseen += sum(int((~each.seen).sum()) for side in sides for each in side)
        means = self._means(sides, layer)
        size = [len(a.spans) * len(b.spans) for a, b in zip(*texts, strict=True)]
        order = sorted(range(len(pairs)), key=lambda row: size[row])
        found: dict[int, SentenceAlignment] = {}
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            source, target = ([side[row] for row in chosen] for side in sides)
            plans = word_plans(source, target, layer, self.config, means)
            for row, plan in zip(chosen, plans, strict=True):
                found[row] = self._linked(texts[0][row], texts[1][row], plan)
        return [found[row] for row in range(len(pairs))]

    def _means(self, sides: list[list[WordVectors]], layer: int) -> tuple[Tensor, Tensor] | None:
        """Mean word vectors over all windows so far."""
        if not self.config.center:
            return None
        for mean, sentences in zip(self._running, sides, strict=True):
            mean.add(sentences, layer)
        return centers(*self._running)

    def _linked(self, source: WordText, target: WordText, plan: Tensor) -> SentenceAlignment:
        mass = plan.double().numpy()
        links = decode_links(mass, self.config.decoding, threshold=self.config.threshold)
        probabilities = link_probabilities(mass)
        if source.given is not None or target.given is not None:
            links, probabilities = links_of_wholes(
                links, probabilities, source.owners, target.owners, (len(source.words), len(target.words))
            )
        return SentenceAlignment(source.words, target.words, links, probabilities)


@config_or_keywords(WordAlignmentConfig)
def align(
    source: Sequence[Side],
    target: Sequence[Side],
    *,
    model: SentenceTransformer,
    config: WordAlignmentConfig | None = None,
    batch_size: int = 32,
    layer: int | Literal["auto"] = "auto",
    unit: Unit = "word",
    words: Words = "auto",
    word_pooling: Pooling = "mean",
    center: bool = True,
    epsilon: float = 0.1,
    relaxation: float | None = 0.2,
    order_prior: float = 0.1,
    decoding: Decoding = "grow-diag",
    threshold: float | None = None,
) -> list[SentenceAlignment]:
    """Link the words of parallel sentences, row by row; see :class:`WordAligner` for how.

    Parameters
    ----------
    source, target
        Parallel sentences: raw text, or lists of words.
    model
        As for :class:`WordAligner`, loaded for instance with :func:`otembed.load_model`.
    config, layer, unit, words, word_pooling, center, epsilon, relaxation, order_prior, decoding, threshold
        As for :class:`WordAligner`.
    batch_size
        Number of sentences encoded at a time.

    Returns
    -------
    list of SentenceAlignment
        The words, links and link probabilities of each pair, in the order given.

    Raises
    ------
    ConfigError, ModelError, NumericsError
        As :class:`WordAligner`; ConfigError too if the sides differ in length.

    Examples
    --------
    ::

        model = otembed.load_model("offline:multilingual-e5-small")
        (found,) = otembed.align(["the black cat"], ["die schwarze Katze"], model=model)
        found.to_pharaoh()
    """
    if isinstance(source, str) or isinstance(target, str):
        raise ConfigError("align() takes lists of sentences, got a single text", "Pass [source], [target].")
    if len(source) != len(target):
        raise ConfigError(
            f"{len(source)} source sentences, but {len(target)} target sentences",
            "Pass the translation of each source sentence at the same index.",
        )
    return list(WordAligner(model, config).align(zip(source, target, strict=True), batch_size=batch_size))
