"""Bitext retrieval of a model: over several language pairs, and as an evaluator during training."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from sentence_transformers.base.evaluation import BaseEvaluator

from otembed.data.spec import pair_languages
from otembed.embeddings.arrays import centered_vectors
from otembed.embeddings.encode import check_one_prompt
from otembed.embeddings.texts import checked_sides, embed_sides
from otembed.errors import DataError, check_count
from otembed.results.outcomes import Outcomes, digest_of
from otembed.tasks.csv_rows import add_row, csv_name
from otembed.tasks.retrieval.bitext import bitext_scores, retrieval_outcomes, retrieve, scores_of
from otembed.tasks.retrieval.geometry import effective_rank, mean_cosine
from otembed.tasks.retrieval.report import RetrievalReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


def evaluate_retrieval(
    model: SentenceTransformer,
    pairs: Mapping[str, tuple[Iterable[str], Iterable[str]]],
    *,
    k: int = 4,
    batch_size: int = 32,
    prompt: str | None = None,
    prompt_name: str | None = None,
    truncate_dim: int | None = None,
    centered: bool = False,
    show_progress_bar: bool = False,
    cache: str | Path | None = None,
    name: str = "model",
) -> RetrievalReport:
    """Score a model's bitext retrieval on several language pairs; see :func:`bitext_scores` for the figures.

    Each distinct sentence of a language is encoded once; English sentences often occur in several pairs. A model that is
    centered by language subtracts the mean of the language that the name of the pair says.

    Parameters
    ----------
    model
        The encoder; it is left in evaluation mode.
    pairs
        Name of the language pair to its source sentences and their translations, line by line.
    k
        Number of neighbors of the xSIM margin.
    batch_size
        Maximum batch size; also limited by tokens, see :func:`otembed.embeddings.encode.encode_by_length`.
    prompt, prompt_name
        Text to prepend to every sentence, or its name in ``model.prompts``; mutually exclusive. ``None`` uses the
        model's default.
    truncate_dim
        Keep this many leading dimensions; ``None`` uses the model's setting.
    centered
        Score a second time after subtracting each side's mean embedding.
    show_progress_bar
        Show a progress bar on stderr while encoding, if there is no cache.
    cache
        Folder that caches embeddings, shared with mining; ``None``: no cache.
    name
        The model's name in the report.

    Raises
    ------
    ConfigError
        A setting is out of range, or the prompt name is unknown.
    DataError
        There are no pairs or no sentences, or the sides of a pair differ in length.
    NumericsError
        The model returns NaN, infinity or a zero embedding, or ``centered`` is set and all sentences of a side
        have the same embedding.
    """
    check_count("k", k)
    if not pairs:
        raise DataError("no language pairs to evaluate", "Pass at least one pair of sentence lists.")
    sides = [side for pair, texts in pairs.items() for side in checked_sides(*texts, pair=pair)]
    started = perf_counter()
    vectors = embed_sides(
        model,
        sides,
        batch_size=batch_size,
        prompt=prompt,
        prompt_name=prompt_name,
        truncate_dim=truncate_dim,
        show_progress_bar=show_progress_bar,
        cache=cache,
        names=[f"{pair}, {side}" for pair in pairs for side in ("source", "target")],
        languages=[language for pair in pairs for language in pair_languages(pair) or (None, None)],
    )
    report = score_vectors(
        {pair: (sides[2 * row], sides[2 * row + 1]) for row, pair in enumerate(pairs)},
        vectors,
        k=k,
        centered=centered,
        name=name,
    )
    return replace(report, seconds=perf_counter() - started)


def score_vectors(
    pairs: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    vectors: Sequence[NDArray[np.float32]],
    *,
    k: int = 4,
    centered: bool = False,
    name: str = "model",
) -> RetrievalReport:
    """Return the report of :func:`evaluate_retrieval` from sentence vectors.

    Parameters
    ----------
    pairs
        Name of the language pair to its source sentences and their translations.
    vectors
        One (n, d) array for each side, in the order of ``pairs``, source first.
    k, centered, name
        As in :func:`evaluate_retrieval`.

    Raises
    ------
    NumericsError
        As in :func:`evaluate_retrieval`.
    """
    started = perf_counter()
    plain, shifted = [], []
    outcomes: list[Outcomes] = []
    for (pair, (source, target)), x, y in zip(pairs.items(), vectors[::2], vectors[1::2], strict=True):
        examples = digest_of([*source, *target])
        found = retrieve(x, y, pair=pair, k=k)
        plain.append(scores_of(found, pair))
        outcomes += retrieval_outcomes(found, pair, examples)
        if centered:
            moved = centered_vectors(x, f"{pair}: source"), centered_vectors(y, f"{pair}: target")
            found = retrieve(*moved, pair=pair, k=k)
            shifted.append(scores_of(found, pair))
            outcomes += retrieval_outcomes(found, f"{pair}, centered", examples)
    return RetrievalReport(name, tuple(plain), perf_counter() - started, tuple(shifted), tuple(outcomes))


class BitextRetrievalEvaluator(BaseEvaluator):
    """Bitext retrieval of one language pair, for ``SentenceTransformerTrainer`` or on its own.

    The primary metric is ``accuracy``, the mean of both directions. The metrics, prefixed with the name and ``_``,
    are the figures of :func:`bitext_scores`, and ``mean_cosine`` and ``effective_rank`` of all embeddings of both
    sides, which show whether the space collapses. For several pairs, pass a list of evaluators or a
    ``SequentialEvaluator`` to the trainer.

    Parameters
    ----------
    source_sentences, target_sentences
        Sentences and their translations, line by line.
    name
        Name of the language pair, such as ``"en-sw"``; prefix of the metrics.
    k
        Number of neighbors of the xSIM margin.
    batch_size
        Maximum batch size; also limited by tokens, see :func:`otembed.embeddings.encode.encode_by_length`.
    prompt, prompt_name
        Text to prepend to every sentence, or its name in ``model.prompts``; mutually exclusive.
    truncate_dim
        Keep this many leading dimensions; ``None`` uses the model's setting.
    show_progress_bar
        Show a progress bar on stderr while encoding.
    write_csv
        When called with an output folder, as in the trainer, append a row to
        ``bitext_retrieval_<name>_results.csv`` there.

    Raises
    ------
    ConfigError
        A setting is out of range. An unknown prompt name is reported when a model is evaluated.
    DataError
        There are no sentences, or the sides differ in length.

    Notes
    -----
    It does not communicate with other processes, so it can run on rank 0 only, as in the trainer.

    Examples
    --------
    >>> evaluator = BitextRetrievalEvaluator(["A cat."], ["Paka."], name="en-sw")
    >>> evaluator.primary_metric, evaluator.greater_is_better
    ('accuracy', True)
    """

    def __init__(
        self,
        source_sentences: Iterable[str],
        target_sentences: Iterable[str],
        *,
        name: str = "bitext",
        k: int = 4,
        batch_size: int = 32,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
        show_progress_bar: bool = False,
        write_csv: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        check_count("k", k)
        check_count("batch_size", batch_size)
        check_one_prompt(prompt, prompt_name)
        self.name = name
        self.sides = checked_sides(source_sentences, target_sentences, pair=name)
        self.k = k
        self.batch_size = batch_size
        self.prompt = prompt
        self.prompt_name = prompt_name
        self.truncate_dim = truncate_dim
        self.show_progress_bar = show_progress_bar
        self.write_csv = write_csv
        self.csv_file = csv_name("bitext_retrieval", name)
        self.primary_metric = "accuracy"

    def __call__(  # type: ignore[override]  # a sentence encoder, as for every evaluator of this family
        self, model: SentenceTransformer, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the metrics of ``model``, store them for its model card and, with ``write_csv``, in the CSV file."""
        source, target = embed_sides(
            model,
            self.sides,
            batch_size=self.batch_size,
            prompt=self.prompt,
            prompt_name=self.prompt_name,
            truncate_dim=self.truncate_dim,
            show_progress_bar=self.show_progress_bar,
            names=[f"{self.name}, {side}" for side in ("source", "target")],
            languages=pair_languages(self.name) or (),
        )
        return self.score(model, source, target, output_path, epoch, steps)

    def score(
        self,
        model: SentenceTransformer,
        source: NDArray[np.float32],
        target: NDArray[np.float32],
        output_path: str | None = None,
        epoch: int = -1,
        steps: int = -1,
    ) -> dict[str, float]:
        """Return and store the metrics as :meth:`__call__` does, from (n, d) vectors that ``model`` gave."""
        scores = bitext_scores(source, target, pair=self.name, k=self.k)
        both = np.concatenate([source, target])
        figures = {key: value for key, value in vars(scores).items() if isinstance(value, float)}
        means = {"accuracy": scores.accuracy, "f1": scores.f1, "xsim": scores.xsim}
        shape = {"mean_cosine": mean_cosine(both), "effective_rank": effective_rank(both)}
        values = {**means, **figures, **shape}
        logger.info("%s: accuracy %.4f, F1 %.4f, xSIM %.4f", self.name, *means.values())
        if output_path is not None and self.write_csv:
            add_row(Path(output_path) / self.csv_file, {"epoch": epoch, "steps": steps, **values})
        metrics: dict[str, float] = self.prefix_name_to_metrics(values, self.name)
        self.store_metrics_in_model_card_data(model, metrics, epoch, steps)
        return metrics

    def get_config_dict(self) -> dict[str, Any]:
        """Return the settings that change the figures, for the model card."""
        settings = {"prompt": self.prompt, "prompt_name": self.prompt_name, "truncate_dim": self.truncate_dim}
        return {"k": self.k} | {key: value for key, value in settings.items() if value is not None}
