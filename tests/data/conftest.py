import bz2
import gzip
import lzma

import pytest
import zstandard

from otembed.data import PairCounts, parse_pair_spec, read_pairs
from otembed.errors import OtembedError

COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


@pytest.fixture
def write(tmp_path):
    """Write text or bytes under the name given, compressed as its suffix says."""

    def write(name, content):
        path = tmp_path / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(COMPRESS.get(path.suffix, COMPRESS[""])(data))
        return path

    return write


@pytest.fixture
def read():
    """Read a value as en-sw (or another key) and return the rows as plain tuples."""

    def read(value, key="en-sw", counts=None):
        return [tuple(row) for row in read_pairs(parse_pair_spec(key, str(value)), counts)]

    return read


@pytest.fixture
def refused(read):
    """Return the error that reading a value ends with."""

    def refused(value, key="en-sw"):
        with pytest.raises(OtembedError) as caught:
            read(value, key)
        return caught.value

    return refused


@pytest.fixture
def counts():
    return PairCounts()
