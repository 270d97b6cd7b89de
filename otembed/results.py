"""What otembed hands back and writes to disk: frozen, versioned, JSON in both directions; torch-free."""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from otembed.errors import DataError


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` as UTF-8 whole or not at all: a temporary file beside ``path``, then a rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def finite_or_none(value: Any) -> Any:
    """Replace NaN and infinity by ``None`` at any depth: JSON has no word for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(item) for item in value]
    return value


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
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
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
        return cls(**{key: value for key, value in document.items() if key in known})

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
