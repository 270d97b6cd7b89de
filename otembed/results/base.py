"""The base class of results: frozen, versioned, to and from JSON; torch-free."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from otembed.errors import DataError
from otembed.results.files import finite_or_none, json_text, write_text
from otembed.results.reading import parse_json, read_json

if TYPE_CHECKING:
    from pathlib import Path


# Annotations of single values, as written, and the types that JSON has for them.
SCALARS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str | None": (str, NoneType),
    "int | None": (int, NoneType),
    "float | None": (int, float, NoneType),
}
RECREATE = "Recreate the file with this version of otembed."


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
                RECREATE,
            )
        known = {field.name for field in fields(cls)}
        for each in fields(cls):
            kinds = SCALARS.get(str(each.type))
            if kinds is None or each.name not in document:
                continue
            value = document[each.name]
            # A bool is an int in Python, but not in these files.
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise DataError(f"not a {cls.__name__}: {each.name} is {value!r}, not {each.type}", RECREATE)
        try:
            return cls(**{key: value for key, value in document.items() if key in known})
        except TypeError as error:
            raise DataError(f"incomplete {cls.__name__}: {error}", RECREATE) from error

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build the result from the output of :meth:`to_json`."""
        return cls._checked(parse_json(text, RECREATE))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the result from a file that :meth:`to_json` wrote.

        Raises
        ------
        DataError
            The file cannot be read, or is not such a result; the message has its path.
        """
        document = read_json(path, RECREATE)
        try:
            return cls._checked(document)
        except DataError as error:
            raise DataError(error.message, error.hint, path=path) from error

    @classmethod
    def _checked(cls, document: Any) -> Self:
        """Build the result from any JSON value."""
        if not isinstance(document, dict):
            raise DataError(f"not a {cls.__name__}: a JSON {type(document).__name__}", RECREATE)
        try:
            return cls.from_dict(document)
        # from_dict of subclasses iterates and unpacks nested values of any type.
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise DataError(f"incomplete {cls.__name__}: {error}", RECREATE) from error
