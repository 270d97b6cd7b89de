"""Part-of-speech tagging: a tagger is trained on English sentences and tested in every language."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.config.tagging import TaggingFinetuneConfig, TaggingProbeConfig
from otembed.errors import ConfigError
from otembed.models import load_model
from otembed.results.outcomes import Outcomes
from otembed.results.paths import expand
from otembed.runtime.progress import counting, silent
from otembed.tasks.heads.run import HeadRun, check_run
from otembed.tasks.heads.training_set import hold_out
from otembed.tasks.tagging.data import TaggedSet, read_tagged
from otembed.tasks.tagging.probe import fit_tag_probes
from otembed.tasks.tagging.report import LayerScore, TaggingReport, TaggingScore
from otembed.tasks.tagging.scores import correct_words, tag_scores
from otembed.words.vectors import WordEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.runtime.progress import Progress

    Labels = NDArray[np.int64]

Place = TaggedSet | str | Path
# Number of sentences of XTREME's English training part, which joins several treebanks.
XTREME_TRAINING = 21_253


def evaluate_tagging(
    model: SentenceTransformer | str | Path,
    tests: Mapping[str, Place],
    *,
    train: Place,
    dev: Place | None = None,
    config: TaggingProbeConfig | TaggingFinetuneConfig | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    progress: Progress = silent,
    name: str | None = None,
) -> TaggingReport:
    """Train a tagger on sentences of one language and score it in each language.

    A sentence is the words of its treebank, joined by spaces. Sentences beyond the length limit are split between
    words, as in XTREME. A word of which the tokenizer keeps nothing has no prediction: it is an error, and counted.

    Parameters
    ----------
    model
        The encoder, or its name for :func:`otembed.load_model`. It is not changed.
    tests
        Language to test sentences: a CoNLL-U file, or a ``TaggedSet``.
    train
        Training sentences, in English by default. Unless they are XTREME's, the report is labeled ``stand-in``.
    dev
        Sentences that select the strength of the penalty and the layer of a probe, or the checkpoint. None: a tenth of
        the training sentences, at most 2,000, sampled by the seed.
    config
        :class:`otembed.config.TaggingProbeConfig` (the default): multinomial logistic regression over frozen word
        vectors, standardized, of one layer or every layer. Or :class:`otembed.config.TaggingFinetuneConfig`: encoder
        and token classifier are fine-tuned together, with the tag at the first token of each word.
    run
        Fine-tuning: run folder for checkpoints and model; None uses a temporary one.
    resume, overwrite
        Fine-tuning: resume the run in that folder, or replace it. A finished run is only tested.
    device
        Device of a model given by name.
    progress
        Called with a stage, the number of items done and the total.
    name
        The model's name in the report.

    Returns
    -------
    TaggingReport
        Includes the number of correct words of each test sentence.

    Raises
    ------
    DataError
        A file is malformed, or the training sentences have a single tag.
    ConfigError, ModelError, NumericsError
        Settings are invalid, the model cannot be loaded or has no such layer, or it returns NaN.

    References
    ----------
    Hu et al. (2020), XTREME: A Massively Multilingual Multi-task Benchmark for Evaluating Cross-lingual
    Generalization, ICML (udpos).
    """
    begun = perf_counter()
    config = config or TaggingProbeConfig()
    _check_request(tests, config, run, resume=resume, overwrite=overwrite)
    sets = {language: read_tagged(place).spread(config.limit) for language, place in tests.items()}
    fit, held, training = _training(train, dev, config)
    label = name or (str(model) if isinstance(model, str | Path) else "model")

    def load() -> SentenceTransformer:
        return load_model(model, device=device) if isinstance(model, str | Path) else model

    layer: int | None = None
    layers: tuple[LayerScore, ...] = ()
    details: dict[str, Any] = {}
    if isinstance(config, TaggingProbeConfig):
        probes = fit_tag_probes(WordEncoder(load(), config.word_pooling), fit, held, config, progress)
        layer, layers = probes.best, probes.scores
        dev_accuracy = next(each.dev_accuracy for each in layers if each.layer == layer)
        tested = [layer] if config.layer == "auto" else list(probes.probes)
        predictions: dict[str, Mapping[int, Labels] | Mapping[None, Labels]] = {
            language: probes.predict(test, tested, name=language, progress=progress)
            for language, test in sets.items()
        }
    else:
        tagged, dev_accuracy, details = _finetuned(
            load, fit, held, sets, config, run, resume=resume, overwrite=overwrite, progress=progress
        )
        predictions = {language: {None: tags} for language, tags in tagged.items()}
    results = [
        (language, each, tags) for language, by_layer in predictions.items() for each, tags in by_layer.items()
    ]
    return TaggingReport(
        model=label,
        protocol="probe" if isinstance(config, TaggingProbeConfig) else "finetune",
        layer=layer,
        scores=tuple(_score(language, each, sets[language], tags) for language, each, tags in results),
        layers=layers,
        dev_accuracy=dev_accuracy,
        training=training,
        data={language: test.where for language, test in sets.items()},
        settings={**asdict(config), **details},
        seconds=round(perf_counter() - begun, 1),
        outcomes=tuple(
            outcome
            for language, each, tags in results
            for outcome in _outcomes(
                language if each is not None else f"{language}, fine-tuned",
                sets[language],
                tags,
                _metrics(config, each, layer),
            )
        ),
    )


def _check_request(
    tests: Mapping[str, Place],
    config: TaggingProbeConfig | TaggingFinetuneConfig,
    run: str | Path | None,
    *,
    resume: bool,
    overwrite: bool,
) -> None:
    if not tests:
        raise ConfigError("no test sentences", "Pass test sentences of at least one language.")
    probing = isinstance(config, TaggingProbeConfig)
    check_run(None if run is None else _head_run(run), trained=not probing, resume=resume, overwrite=overwrite)


def _head_run(folder: str | Path, *, lasting: bool = True) -> HeadRun:
    return HeadRun(expand(folder), kind="tagger", command="otembed eval tagging", lasting=lasting)


def _training(
    train: Place, dev: Place | None, config: TaggingProbeConfig | TaggingFinetuneConfig
) -> tuple[TaggedSet, TaggedSet, dict[str, Any]]:
    """Return training and development sentences, and their description in the report."""
    whole = read_tagged(train)
    if dev is None:
        held, rest = hold_out(whole, config.seed, what="sentences")
        dev_where = f"{len(held)} of the training sentences"
    else:
        held, rest = read_tagged(dev), whole
        dev_where = held.where
    fit, held = rest.sample(config.train_limit, config.seed), held.sample(config.dev_limit, config.seed)
    return fit, held, {
        "language": config.train_language,
        "source": whole.where,
        "xtreme": whole.whole == len(rest) == len(fit) == XTREME_TRAINING,
        "sentences": len(fit),
        "words": int(fit.lengths.sum()),
        "dev": dev_where,
        "dev_sentences": len(held),
        "dev_words": int(held.lengths.sum()),
    }  # fmt: skip


def _finetuned(
    load: Callable[[], SentenceTransformer],
    train: TaggedSet,
    dev: TaggedSet,
    tests: Mapping[str, TaggedSet],
    config: TaggingFinetuneConfig,
    run: str | Path | None,
    *,
    resume: bool,
    overwrite: bool,
    progress: Progress,
) -> tuple[dict[str, Labels], float, dict[str, Any]]:
    from otembed.tasks.heads.finetuning import finetuned
    from otembed.tasks.tagging.finetune import Tagger, finetune_tagger

    def train_in(folder: HeadRun) -> tuple[Tagger, dict[str, Any]]:
        return finetune_tagger(
            load, train, dev, config, folder, resume=resume, overwrite=overwrite, progress=progress
        )

    def predictions(tagger: Tagger) -> dict[str, Labels]:
        found = {}
        for language, test in tests.items():
            inputs = tagger.inputs(test)
            found[language] = tagger.predict(test, inputs, counting(progress, f"tagging {language}", len(inputs)))
        return found

    return finetuned(None if run is None else Path(run), _head_run, train_in, predictions)


def _score(language: str, layer: int | None, test: TaggedSet, tags: Labels) -> TaggingScore:
    scores = tag_scores(test.tags(), tags)
    return TaggingScore(
        language,
        layer,
        len(test),
        len(tags),
        scores.accuracy,
        scores.macro_f1,
        scores.majority,
        scores.missing,
        {name: each._asdict() for name, each in scores.tags.items()},
    )


def _metrics(
    config: TaggingProbeConfig | TaggingFinetuneConfig, layer: int | None, best: int | None
) -> tuple[str, ...]:
    """Return the names of the figure of one layer in comparisons.

    ``accuracy`` is that of the layer chosen in development, or of a fine-tuned model; layers asked for by number are
    only compared with the same layer.
    """
    if not isinstance(config, TaggingProbeConfig) or config.layer == "auto":
        return ("accuracy",)
    own = f"accuracy_layer_{layer}"
    return ("accuracy", own) if config.layer == "all" and layer == best else (own,)


def _outcomes(task: str, test: TaggedSet, tags: Labels, metrics: tuple[str, ...]) -> list[Outcomes]:
    lengths = test.lengths
    right, words = tuple(correct_words(test.tags(), tags, lengths)), tuple(lengths.tolist())
    examples = test.digest()
    return [Outcomes("tagging", task, metric, examples, right, words) for metric in metrics]
