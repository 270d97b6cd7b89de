"""Files written atomically, and readable JSON documents."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBER = r"-?\d[\d.eE+-]*"
# JSON escapes line breaks in strings, so this never matches inside a string.
_NUMBERS = re.compile(rf"\[\n\s+{_NUMBER}(?:,\n\s+{_NUMBER})*\n\s+\]")


@contextmanager
def whole_file(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file that is renamed to ``path`` when the block succeeds, and deleted when it fails."""
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
    """Write ``text`` as UTF-8 atomically: to a temporary file in the same folder, then rename it."""
    with whole_file(path, "w") as file:
        # File names that are not UTF-8 hold surrogates; \\udcff is also how JSON spells one.
        file.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    return Path(path)


def finite_or_none(value: Any) -> Any:
    """Replace NaN and infinity by ``None`` at any depth, because JSON cannot represent them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(item) for item in value]
    return value


def json_text(document: Any) -> str:
    """Return a JSON document indented by two spaces, with lists of numbers on one line and a final line break.

    >>> print(json_text({"values": [1, 0.5]}), end="")
    {
      "values": [1, 0.5]
    }
    """
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    return (
        _NUMBERS.sub(lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text) + "\n"
    )
