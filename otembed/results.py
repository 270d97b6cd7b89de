"""What otembed hands back and writes to disk: frozen, versioned, JSON in both directions; torch-free."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import IO, TYPE_CHECKING, Any, ClassVar, Self

from otembed.errors import DataError
from otembed.outcomes import Outcomes, read_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NUMBER = r"-?\d[\d.eE+-]*"
# A line break inside a text is escaped in JSON, so this never matches within one.
_NUMBERS = re.compile(rf"\[\n\s+{_NUMBER}(?:,\n\s+{_NUMBER})*\n\s+\]")


@contextmanager
def whole_file(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that appears under its name whole, or not at all where the block fails."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with os.fdopen(handle, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` as UTF-8 whole or not at all: a temporary file beside ``path``, then a rename."""
    with whole_file(path, "w") as file:
        file.write(text)
    return Path(path)


def finite_or_none(value: Any) -> Any:
    """Replace NaN and infinity by ``None`` at any depth: JSON has no word for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(item) for item in value]
    return value


def json_text(document: Any) -> str:
    """Return a JSON document with two spaces a level, each list of numbers on one line, and a last line break.

    >>> print(json_text({"values": [1, 0.5]}), end="")
    {
      "values": [1, 0.5]
    }
    """
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    return (
        _NUMBERS.sub(lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text) + "\n"
    )


@dataclass(frozen=True)
class Result:
    """Base of every result: a frozen dataclass with a schema number and a JSON form."""

    schema: ClassVar[int] = 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ``schema`` and ``kind`` first."""
        document: dict[str, Any] = finite_or_none(asdict(self))
        return {"schema": self.schema, "kind": type(self).__name__, **document}

    def to_json(self, path: str | Path | None = None) -> str:
        """Return one JSON document and, with ``path``, write it there whole or not at all."""
        text = json_text(self.to_dict())
        if path is not None:
            write_text(path, text)
        return text

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the result from :meth:`to_dict`'s output; nested results are rebuilt by subclasses."""
        kind, schema = document.get("kind"), document.get("schema")
        if kind != cls.__name__ or schema != cls.schema:
            raise DataError(
                f"not a {cls.__name__} of schema {cls.schema}: found kind {kind!r}, schema {schema!r}",
                "Write it again with this version of otembed.",
            )
        known = {field.name for field in fields(cls)}
        try:
            return cls(**{key: value for key, value in document.items() if key in known})
        except TypeError as error:
            raise DataError(f"not a whole {cls.__name__}: {error}", "Write the file again.") from error

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build the result from :meth:`to_json`'s output."""
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"not JSON: {error}", "Write the file again.") from error
        return cls.from_dict(document)


@dataclass(frozen=True)
class RetrievalScores(Result):
    """Bitext retrieval of one language pair, source lines against target lines, both directions.

    Shares are between 0 and 1. ``accuracy_*`` is Tatoeba-style top-1 accuracy by cosine, ``f1_*``
    MTEB's weighted F1 of the same nearest neighbours, ``xsim_*`` the xSIM error rate (ratio margin
    over ``margin_k`` neighbours; lower is better).
    """

    pair: str
    sentences: int
    accuracy_source_to_target: float
    accuracy_target_to_source: float
    f1_source_to_target: float
    f1_target_to_source: float
    xsim_source_to_target: float
    xsim_target_to_source: float
    margin_k: int = 4

    @property
    def accuracy(self) -> float:
        """Mean of both directions."""
        return (self.accuracy_source_to_target + self.accuracy_target_to_source) / 2

    @property
    def f1(self) -> float:
        """Mean of both directions."""
        return (self.f1_source_to_target + self.f1_target_to_source) / 2

    @property
    def xsim(self) -> float:
        """Mean of both directions; an error rate, lower is better."""
        return (self.xsim_source_to_target + self.xsim_target_to_source) / 2


def mean_scores(scores: Sequence[RetrievalScores], pair: str = "mean") -> RetrievalScores:
    """Return the plain mean over language pairs, each pair counting alike; ``sentences`` is the sum."""
    if not scores:
        raise DataError("no scores to take the mean of", "Score at least one language pair.")
    shares = [field.name for field in fields(RetrievalScores) if field.name.startswith(("accuracy", "f1", "xsim"))]
    return RetrievalScores(
        pair=pair,
        sentences=sum(one.sentences for one in scores),
        margin_k=min(one.margin_k for one in scores),
        **{name: fmean(getattr(one, name) for one in scores) for name in shares},
    )


@dataclass(frozen=True)
class RetrievalReport(Result):
    """Bitext retrieval of one model over several language pairs.

    Parameters
    ----------
    model
        Name of the model that was scored.
    scores
        One entry a language pair, in the order asked for.
    seconds
        Wall time of encoding and scoring.
    centred_scores
        The same pairs after each side's mean was taken from its vectors; empty if not asked for. This
        gain needs no training, so two models are compared under both.
    outcomes
        What each row contributed, for :func:`otembed.compare`; see :func:`retrieval_outcomes`.
    """

    model: str
    scores: tuple[RetrievalScores, ...]
    seconds: float
    centred_scores: tuple[RetrievalScores, ...] = ()
    outcomes: tuple[Outcomes, ...] = ()

    @property
    def mean(self) -> RetrievalScores:
        """Plain mean over the pairs."""
        return mean_scores(self.scores)

    @property
    def centred_mean(self) -> RetrievalScores | None:
        """Plain mean over the pairs after centring; None if centred scores were not asked for."""
        return mean_scores(self.centred_scores) if self.centred_scores else None

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy, mean over pairs and directions."""
        return self.mean.accuracy

    @property
    def f1(self) -> float:
        """Weighted F1, mean over pairs and directions."""
        return self.mean.f1

    @property
    def xsim(self) -> float:
        """Error rate of xSIM, mean over pairs and directions; lower is better."""
        return self.mean.xsim

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values; each score is a document of its own, and the means are added."""
        means = {"accuracy": self.accuracy, "f1": self.f1, "xsim": self.xsim}
        scores = {name: [one.to_dict() for one in getattr(self, name)] for name in ("scores", "centred_scores")}
        return {**super().to_dict(), **scores, "means": means}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report and its scores from :meth:`to_dict`'s output; the means are computed anew."""
        scores = {
            name: tuple(RetrievalScores.from_dict(one) for one in document.get(name, ()))
            for name in ("scores", "centred_scores")
        }
        return super().from_dict({**document, **scores, "outcomes": read_outcomes(document)})


@dataclass(frozen=True)
class TrainResult(Result):
    """Outcome of a training run.

    ``best_step`` is the step of the released model where the best evaluation chose it, ``None`` where the
    last one was taken. ``pairs`` holds what the checks counted, ``last_log`` the means of the last log
    interval (the loss and its terms, share of converged plans). Times in seconds.
    """

    run: str
    model: str
    steps: int
    epochs: float
    best_step: int | None
    seconds: float
    training_seconds: float
    parameters: int
    trained_parameters: int
    pairs: dict[str, dict[str, Any]]
    last_log: dict[str, float]
    before: RetrievalReport | None = None
    after: RetrievalReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, each report a document of its own."""
        reports = {"before": self.before, "after": self.after}
        return {**super().to_dict(), **{key: one and one.to_dict() for key, one in reports.items()}}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the result with its two reports."""
        reports = {
            key: None if document.get(key) is None else RetrievalReport.from_dict(document[key])
            for key in ("before", "after")
        }
        return super().from_dict({**document, **reports})


@dataclass(frozen=True)
class DryRun(Result):
    """What ``otembed train --dry-run`` finds.

    Token counts hold special and prompt tokens; ``truncated`` is the share of sentences cut at the
    model's limit. ``seconds_per_step`` is the median of three steps after a first one;
    ``peak_memory_gb`` that of the process (of the GPU where one is used) in 1e9 bytes.
    """

    pairs: dict[str, dict[str, Any]]
    held_out: dict[str, int]
    tokens_mean: float
    tokens_p95: float
    tokens_max: int
    truncated: float
    steps: int
    seconds_per_step: float
    evaluation_seconds: float
    total_seconds: float
    peak_memory_gb: float
    parameters: int
    trained_parameters: int
