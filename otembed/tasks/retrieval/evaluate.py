"""Bitext retrieval of a model: over several language pairs at once, and as an evaluator while it trains."""

from __future__ import annotations

import logging
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from sentence_transformers.base.evaluation import BaseEvaluator

from otembed.embeddings.arrays import centered_vectors
from otembed.embeddings.texts import check_one_prompt, checked_sides, embed_sides
from otembed.errors import DataError, check_count
from otembed.results.outcomes import Outcomes, digest_of
from otembed.tasks.csv_rows import add_row, csv_name
from otembed.tasks.retrieval.bitext import bitext_scores, retrieval_outcomes, retrieve, scores_of
from otembed.tasks.retrieval.geometry import effective_rank, mean_cosine
from otembed.tasks.retrieval.report import RetrievalReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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

    Each sentence is encoded once, however often it stands in the pairs: English commonly stands in all.

    Parameters
    ----------
    model
        The encoder; it is left in evaluation mode.
    pairs
        Name of the language pair to its source sentences and their translations, line by line.
    k
        Neighbors of the xSIM margin.
    batch_size
        Most sentences encoded at a time; tokens bound it too, see :func:`otembed.embeddings.encode.encode_by_length`.
    prompt, prompt_name
        A text put before every sentence, or its name in ``model.prompts``; not both. ``None`` leaves it to
        the model's default.
    truncate_dim
        Keep this many leading dimensions; ``None`` leaves it to the model.
    centered
        Score a second time with each side's mean taken from its vectors.
    show_progress_bar
        Show one on stderr while encoding; for use without a cache.
    cache
        Folder where vectors are kept and found again, as those of mining are; ``None``: they are not.
    name
        The model's name in the report.

    Raises
    ------
    ConfigError
        A setting is out of range, or the prompt's name is unknown.
    DataError
        No pairs, no sentences, or a pair with sides of different length.
    NumericsError
        The model returns NaN, infinity or a zero vector; or all sentences of a side get the same vector
        and ``centered`` is on.
    """
    check_count("k", k)
    if not pairs:
        raise DataError("no language pairs to evaluate", "Give at least one pair of sentence lists.")
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
    )
    plain, shifted = [], []
    outcomes: list[Outcomes] = []
    for row, (pair, x, y) in enumerate(zip(pairs, vectors[::2], vectors[1::2], strict=True)):
        examples = digest_of([*sides[2 * row], *sides[2 * row + 1]])
        found = retrieve(x, y, pair=pair, k=k)
        plain.append(scores_of(found, pair))
        outcomes += retrieval_outcomes(found, pair, examples)
        if centered:
            moved = centered_vectors(x, f"{pair}: source"), centered_vectors(y, f"{pair}: target")
            found = retrieve(*moved, pair=pair, k=k)
            shifted.append(scores_of(found, pair))
            outcomes += retrieval_outcomes(found, f"{pair}, centered", examples)
    seconds = perf_counter() - started
    return RetrievalReport(name, tuple(plain), seconds, tuple(shifted), tuple(outcomes))


class BitextRetrievalEvaluator(BaseEvaluator):
    """Bitext retrieval of one language pair, for ``SentenceTransformerTrainer`` or on its own.

    The primary metric is ``accuracy``, the mean of both directions; the metrics, each with the pair's name
    and ``_`` before it, are the figures of :func:`bitext_scores`, and ``mean_cosine`` and ``effective_rank``
    of all vectors of both sides, which show a collapsing space. For several pairs, give the trainer a list
    of evaluators or a ``SequentialEvaluator``.

    Parameters
    ----------
    source_sentences, target_sentences
        Sentences and their translations, line by line.
    pair
        Name of the language pair, such as ``"en-sw"``.
    k
        Neighbors of the xSIM margin.
    batch_size
        Most sentences encoded at a time; tokens bound it too, see :func:`otembed.embeddings.encode.encode_by_length`.
    prompt, prompt_name
        A text put before every sentence, or its name in ``model.prompts``; not both.
    truncate_dim
        Keep this many leading dimensions; ``None`` leaves it to the model.
    show_progress_bar
        Show one on stderr while encoding.
    write_csv
        When called with an output folder, as the trainer does, add a row to
        ``bitext_retrieval_<pair>_results.csv`` there.

    Raises
    ------
    ConfigError
        A setting is out of range. An unknown prompt name shows when a model is evaluated.
    DataError
        No sentences, or sides of different length.

    Notes
    -----
    It communicates with no other process, so it may run on the first one alone, as in the trainer.

    Examples
    --------
    >>> evaluator = BitextRetrievalEvaluator(["A cat."], ["Paka."], pair="en-sw")
    >>> evaluator.primary_metric, evaluator.greater_is_better
    ('accuracy', True)
    """

    def __init__(
        self,
        source_sentences: Iterable[str],
        target_sentences: Iterable[str],
        *,
        pair: str,
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
        self.name = pair
        self.sides = checked_sides(source_sentences, target_sentences, pair=pair)
        self.k = k
        self.batch_size = batch_size
        self.prompt = prompt
        self.prompt_name = prompt_name
        self.truncate_dim = truncate_dim
        self.show_progress_bar = show_progress_bar
        self.write_csv = write_csv
        self.csv_file = csv_name("bitext_retrieval", pair)
        self.primary_metric = "accuracy"

    def __call__(  # type: ignore[override]  # a sentence encoder, as for every evaluator of this family
        self, model: SentenceTransformer, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the metrics of ``model``, store them for its model card and, if asked, in the CSV file."""
        source, target = embed_sides(
            model,
            self.sides,
            batch_size=self.batch_size,
            prompt=self.prompt,
            prompt_name=self.prompt_name,
            truncate_dim=self.truncate_dim,
            show_progress_bar=self.show_progress_bar,
        )
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
