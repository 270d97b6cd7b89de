"""Standard streams that every command can write to, whatever encoding they have and even if they are closed."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys

ESCAPE = "otembed-escape"
ASCII = "otembed-ascii"


def prepare_streams() -> None:
    r"""Open closed standard streams on the null device, and escape what an encoding lacks as ``\uXXXX``.

    The escapes are those of JSON, so a document printed in any encoding has the same content.
    """
    # Otherwise the next file that is opened takes the number of a closed stream, and receives its output.
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _open_on_null(number)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    codecs.register_error(ESCAPE, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=ASCII if is_ascii else None, errors=ESCAPE)


def _open_on_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _find_ascii(name: str) -> codecs.CodecInfo | None:
    """Return ASCII under another name: Click writes UTF-8 to a stream whose encoding has the name ``ascii``."""
    if name.replace("_", "-") != ASCII:
        return None
    found = codecs.lookup("ascii")
    return codecs.CodecInfo(
        found.encode,
        found.decode,
        found.streamreader,
        found.streamwriter,
        found.incrementalencoder,
        found.incrementaldecoder,
        name=ASCII,
    )


codecs.register(_find_ascii)
