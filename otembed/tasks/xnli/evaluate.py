"""XNLI: a head is trained on English inference pairs and tested in every language."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.config.xnli import FinetuneConfig, ProbeConfig
from otembed.data.places import HUB
from otembed.embeddings.encode import resolve_prompt
from otembed.embeddings.texts import embed_sides
from otembed.errors import ConfigError, DataError, did_you_mean
from otembed.models import load_model
from otembed.results.outcomes import Outcomes
from otembed.results.paths import expand
from otembed.runtime.progress import counting, silent
from otembed.tasks.heads.probe import fit_probe
from otembed.tasks.heads.run import HeadRun, check_run
from otembed.tasks.heads.training_set import hold_out
from otembed.tasks.xnli.data import NliSet, read_nli
from otembed.tasks.xnli.features import pair_features
from otembed.tasks.xnli.formats import LABELS
from otembed.tasks.xnli.report import XnliReport, XnliScore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.cross_encoder import CrossEncoder

    from otembed.runtime.progress import Progress

    Labels = NDArray[np.int64]

logger = logging.getLogger(__name__)

ENGLISH = "en"
Place = NliSet | str | Path


def evaluate_xnli(
    model: SentenceTransformer | str | Path,
    tests: Mapping[str, Place],
    *,
    train: Place = "mnli",
    dev: Place | None = None,
    config: ProbeConfig | FinetuneConfig | None = None,
    trained_languages: Sequence[str] = (),
    cache: str | Path | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    progress: Progress = silent,
    name: str | None = None,
) -> XnliReport:
    """Train a classifier of premise and hypothesis on English pairs and score its accuracy in each language.

    Parameters
    ----------
    model
        The encoder, or its name for :func:`otembed.load_model`. It is not changed.
    tests
        Language to test pairs: a place as for :func:`otembed.tasks.xnli.data.read_nli`, or an ``NliSet``.
    train
        English training pairs. Unless they are MultiNLI's, the report is labeled ``stand-in``.
    dev
        English pairs that select the strength of the probe, or the checkpoint. ``None`` uses XNLI's English
        development part with MultiNLI from the hub, else a tenth of the training pairs, at most 2,000, sampled by
        the seed.
    config
        :class:`otembed.config.xnli.ProbeConfig` (the default): multinomial logistic regression over frozen
        embeddings u and v, with the standardized features u, v, abs(u - v) and u * v. Or
        :class:`otembed.config.xnli.FinetuneConfig`: the whole encoder is fine-tuned on both sentences together.
    trained_languages
        Languages of the model's parallel training text; their mean is also reported.
    cache
        Probe: folder that caches embeddings; ``None``: no cache.
    run
        Fine-tuning: run folder for checkpoints and model; ``None`` uses a temporary one.
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
    XnliReport
        Includes the outcome of each test pair.

    Raises
    ------
    DataError
        A file is malformed, or a class is missing from the training pairs.
    ConfigError, ModelError, NumericsError
        Settings are invalid, the model cannot be loaded, or it returns NaN.

    References
    ----------
    Conneau et al. (2018), XNLI: Evaluating Cross-lingual Sentence Representations, EMNLP.
    """
    begun = perf_counter()
    config = config or ProbeConfig()
    chosen = tuple(dict.fromkeys(trained_languages))
    _check_request(tests, chosen, config, run, resume=resume, overwrite=overwrite)
    sets = {language: read_nli(place, language=language, for_test=True) for language, place in tests.items()}
    fit, held, training = _training(train, dev, config)
    label = name or (str(model) if isinstance(model, str | Path) else "model")

    def load() -> SentenceTransformer:
        return load_model(model, device=device) if isinstance(model, str | Path) else model

    if isinstance(config, ProbeConfig):
        found, dev_accuracy, details = _probe(load(), fit, held, sets, config, cache, progress)
    else:
        found, dev_accuracy, details = _finetuned(load, fit, held, sets, config, run, resume, overwrite, progress)
    scores, outcomes = [], []
    for language, pairs in sets.items():
        right = found[language] == pairs.labels()
        counts = np.bincount(pairs.labels(), minlength=len(LABELS))
        scores.append(XnliScore(language, len(pairs), float(right.mean()), float(counts.max() / counts.sum())))
        task = language if isinstance(config, ProbeConfig) else f"{language}, fine-tuned"
        outcomes.append(Outcomes("xnli", task, "accuracy", pairs.digest(), tuple(right.astype(float).tolist())))
    return XnliReport(
        model=label,
        protocol="probe" if isinstance(config, ProbeConfig) else "finetune",
        scores=tuple(scores),
        dev_accuracy=dev_accuracy,
        training=training,
        settings={**asdict(config), **details},
        seconds=round(perf_counter() - begun, 1),
        trained_languages=chosen,
        outcomes=tuple(outcomes),
    )


def _check_request(
    tests: Mapping[str, Place],
    trained: tuple[str, ...],
    config: ProbeConfig | FinetuneConfig,
    run: str | Path | None,
    *,
    resume: bool,
    overwrite: bool,
) -> None:
    if not tests:
        raise ConfigError("no test pairs", "Pass test pairs of at least one language.")
    for language in trained:
        if language not in tests:
            raise ConfigError(f"trained language {language!r} is not tested", did_you_mean(language, tests))
    check_run(
        None if run is None else _head_run(run),
        trained=not isinstance(config, ProbeConfig),
        resume=resume,
        overwrite=overwrite,
    )


def _head_run(folder: str | Path, *, lasting: bool = True) -> HeadRun:
    return HeadRun(
        expand(folder), kind="classifier of sentence pairs", command="otembed eval xnli", lasting=lasting
    )


def _training(
    train: Place, dev: Place | None, config: ProbeConfig | FinetuneConfig
) -> tuple[NliSet, NliSet, dict[str, Any]]:
    """Return training and development pairs, and their description in the report."""
    whole = read_nli(train, language=ENGLISH)
    if dev is None and whole.is_mnli and whole.where.startswith(HUB):
        dev = "xnli@validation"
    if dev is None:
        held, rest = hold_out(whole, config.seed, what="pairs")
        dev_where = f"{len(held)} of the training pairs"
    else:
        held, rest = read_nli(dev, language=ENGLISH), whole
        dev_where = held.where
    fit, held = rest.sample(config.limit, config.seed), held.sample(config.dev_limit, config.seed)
    for index, label in enumerate(LABELS):
        if not (fit.labels() == index).any():
            raise DataError(
                f"no training pair has the label {label}", "Pass pairs of all three labels.", path=whole.where
            )
    counts = {key: value for key, value in whole.counts.as_dict().items() if key != "examples"}
    return fit, held, {
        "source": whole.where,
        "mnli": whole.is_mnli,
        "pairs": len(fit),
        **counts,
        "dev": dev_where,
        "dev_pairs": len(held),
    }  # fmt: skip


def _probe(
    model: SentenceTransformer,
    train: NliSet,
    dev: NliSet,
    tests: Mapping[str, NliSet],
    config: ProbeConfig,
    cache: str | Path | None,
    progress: Progress,
) -> tuple[dict[str, Labels], float, dict[str, Any]]:
    sets = [train, dev, *tests.values()]
    prompt = resolve_prompt(model, config.prompt, config.prompt_name)
    vectors = embed_sides(
        model,
        [[text for each in one.examples for text in (each.premise, each.hypothesis)] for one in sets],
        batch_size=None,
        prompt=prompt,
        prompt_name=None,
        truncate_dim=None,
        show_progress_bar=False,
        batch_tokens=config.batch_tokens,
        cache=cache,
        names=["training pairs", "development pairs", *tests],
        languages=[ENGLISH, ENGLISH, *tests],
        progress=progress,
    )
    probe = fit_probe(
        pair_features(vectors[0][::2], vectors[0][1::2]),
        train.labels(),
        pair_features(vectors[1][::2], vectors[1][1::2]),
        dev.labels(),
        strengths=config.strengths,
        max_iter=config.max_iter,
        progress=progress,
    )
    for strength, accuracy in zip(sorted(config.strengths), probe.dev_accuracies, strict=True):
        logger.info("C = %g: development accuracy %.1f%%", strength, 100 * accuracy)
    found = {
        language: probe.predict(pair_features(each[::2], each[1::2]))
        for language, each in zip(tests, vectors[2:], strict=True)
    }
    details = {
        "prompt": prompt,
        "strength": probe.strength,
        "dev_accuracies": dict(zip(map(str, sorted(config.strengths)), probe.dev_accuracies, strict=True)),
        "converged": probe.converged,
    }
    return found, max(probe.dev_accuracies), details


def _finetuned(
    load: Callable[[], SentenceTransformer],
    train: NliSet,
    dev: NliSet,
    tests: Mapping[str, NliSet],
    config: FinetuneConfig,
    run: str | Path | None,
    resume: bool,
    overwrite: bool,
    progress: Progress,
) -> tuple[dict[str, Labels], float, dict[str, Any]]:
    from otembed.tasks.heads.finetuning import finetuned
    from otembed.tasks.xnli.finetune import classify, finetune

    def train_in(folder: HeadRun) -> tuple[CrossEncoder, dict[str, Any]]:
        return finetune(load, train, dev, config, folder, resume=resume, overwrite=overwrite, progress=progress)

    def predictions(classifier: CrossEncoder) -> dict[str, Labels]:
        advance = counting(progress, "testing", sum(map(len, tests.values())))
        return {language: classify(classifier, pairs, advance) for language, pairs in tests.items()}

    return finetuned(None if run is None else Path(run), _head_run, train_in, predictions)
