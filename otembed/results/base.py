"""The base class of results: frozen, versioned, to and from JSON; torch-free."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

from otembed.errors import DataError
from otembed.results.files import finite_or_none, json_text, write_text

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Result:
    """Base of every result: a frozen dataclass with a schema number and a JSON form."""

    schema: ClassVar[int] = 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ``schema`` and ``kind`` first."""
        document: dict[str, Any] = finite_or_none(asdict(self))
        return {"schema": self.schema, "kind": type(self).__name__, **document}

    def to_json(self, path: str | Path | None = None) -> str:
        """Return one JSON document; with ``path``, also write it there atomically."""
        text = json_text(self.to_dict())
        if path is not None:
            write_text(path, text)
        return text

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the result from the output of :meth:`to_dict`; subclasses rebuild nested results."""
        kind, schema = document.get("kind"), document.get("schema")
        if kind != cls.__name__ or schema != cls.schema:
            raise DataError(
                f"not a {cls.__name__} of schema {cls.schema}: found kind {kind!r}, schema {schema!r}",
                "Recreate the file with this version of otembed.",
            )
        known = {field.name for field in fields(cls)}
        try:
            return cls(**{key: value for key, value in document.items() if key in known})
        except TypeError as error:
            raise DataError(f"incomplete {cls.__name__}: {error}", "Recreate the file.") from error

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build the result from the output of :meth:`to_json`."""
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"not JSON: {error}", "Recreate the file.") from error
        return cls.from_dict(document)
