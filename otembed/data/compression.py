"""Opening files: decompression by suffix, lines, and errors that name the file."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import re
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

from otembed.errors import DataError
from otembed.results.paths import expand
from otembed.results.reading import read_failure, require_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Small, because one chunk is decompressed at once, however large the result.
CHUNK_BYTES = 1 << 12
# A line is held in memory, and a small compressed file may hold an endless one.
LONGEST_LINE = 1 << 28


class ZstdFile(io.RawIOBase):
    """A zstd file of one or more frames as raw bytes; a truncated frame is an error.

    The stream reader of ``zstandard`` ends silently at the end of a truncated file, so this class follows the frames.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._ready = memoryview(b"")
        self._compressed = b""
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill ``buffer`` with decompressed bytes and return how many; 0 at the end of the file."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        while not self._ready:
            if not self._compressed:
                self._compressed = self._file.read(CHUNK_BYTES)
            if not self._compressed:
                if self._frame is not None:
                    raise EOFError("compressed file ended before the end of its last frame")
                return 0
            self._ready = memoryview(self._decompress())
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _decompress(self) -> bytes:
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor().decompressobj()
        data = self._frame.decompress(self._compressed)
        self._compressed = self._frame.unused_data
        if self._frame.eof:
            self._frame = None
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def open_zstd(path: Path) -> io.BufferedReader:
    """Open a zstd file for reading bytes."""
    return io.BufferedReader(ZstdFile(path), CHUNK_BYTES)


OPENERS: dict[str, Callable[[Path], io.BufferedIOBase]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": open_zstd,
}


def split_suffix(path: Path) -> tuple[str, str]:
    """Return the format suffix and the compression suffix of a path in lower case, '' if missing.

    >>> split_suffix(Path("news.en-sw.tsv.gz"))
    ('.tsv', '.gz')
    """
    compression = path.suffix.lower() if path.suffix.lower() in OPENERS else ""
    inner = path.with_suffix("") if compression else path
    return inner.suffix.lower(), compression


@contextlib.contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, decompressed by its suffix (.gz, .bz2, .xz, .zst).

    Raises
    ------
    DataError
        The file is missing, unreadable, truncated, or its compression does not match its suffix.
    """
    path = expand(path)
    require_file(path)
    opener = OPENERS.get(split_suffix(path)[1])
    try:
        with opener(path) if opener else path.open("rb") as file:
            yield cast("BinaryIO", file)
    except EOFError as error:
        raise DataError(
            f"the compressed file is truncated: {error}", "Download or compress it again.", path=path
        ) from error
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise DataError(
            f"not a valid {split_suffix(path)[1]} file: {error}",
            "Check that the suffix names the compression, or download the file again.",
            path=path,
        ) from error
    except OSError as error:
        # bz2 reports corrupt data as a plain OSError without an errno.
        if error.errno is None:
            raise DataError(
                f"not a valid {split_suffix(path)[1]} file: {error}",
                "Check that the suffix names the compression, or download the file again.",
                path=path,
            ) from error
        raise read_failure(error, path) from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yield ``(line number, text)`` of a UTF-8 file, decompressed, without the line ending (\n or \r\n).

    U+2028 and other separators inside a sentence are kept, as is a bare \r, unless the file has no \n at all: then \r
    ends lines, as on classic Mac OS. A byte order mark at the start is dropped. One line is held in memory, or the
    whole file if its lines end in \r alone.

    Raises
    ------
    DataError
        As :func:`open_binary`; a line of 256 MiB or more; and where bytes are not UTF-8: the line, and the byte's
        offset counted from 0 in the decompressed file.
    """
    with open_binary(path) as file:
        yield from decode_lines(file, path)


def decode_lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, str]]:
    """Yield ``(line number, text)`` of an open binary file, such as stdin, as :func:`read_lines` does."""
    offset = 0
    for number, raw in enumerate(_split(file), start=1):
        if len(raw) >= LONGEST_LINE:
            raise DataError(
                f"a line of {LONGEST_LINE:,} bytes or more",
                "Write one sentence or record per line, ended by a line feed.",
                path=path,
                line=number,
            )
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(path, number, offset, raw, error) from error
        yield number, text.removesuffix("\n").removesuffix("\r")
        offset += len(raw)


def _split(file: BinaryIO) -> Iterator[bytes]:
    r"""Yield lines with their line endings; \r alone ends a line if the file has no \n."""
    lines = iter(partial(file.readline, LONGEST_LINE), b"")
    for first in lines:
        if b"\r" in first and not first.endswith(b"\n"):
            yield from re.findall(rb"[^\r]*\r|[^\r]+", first)
        else:
            yield first
        yield from lines


def _not_utf8(path: Path, line: int, offset: int, raw: bytes, error: UnicodeDecodeError) -> DataError:
    wide = line == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    # utf-8-sig counts from the end of the byte order mark, which it drops.
    start = len(raw) - len(error.object) + error.start
    return DataError(
        f"not UTF-8: byte 0x{raw[start]:02x} at offset {offset + start}",
        "The file appears to be UTF-16; convert it with: iconv -f UTF-16 -t UTF-8"
        if wide
        else "Convert the file to UTF-8 or fix that line.",
        path=path,
        line=line,
    )
