import gzip
import os
from pathlib import Path

import pytest
import zstandard

from otembed.data.compression import OPENERS, open_binary, read_lines, split_suffix
from otembed.errors import DataError

LINES = "one\ttu\r\ntwo\u2028still\tmbili\nlast\ttatu"
EXPECTED = [(1, "one\ttu"), (2, "two\u2028still\tmbili"), (3, "last\ttatu")]


@pytest.mark.parametrize("suffix", ["", *OPENERS])
def test_every_compression_is_read(write, suffix):
    assert list(read_lines(write(f"x.tsv{suffix}", LINES))) == EXPECTED


@pytest.mark.parametrize("suffix", ["", *OPENERS])
def test_large_files_of_every_compression_are_read(write, suffix):
    text = "".join(f"{number} ümläut\n" for number in range(30_000))
    assert [line for _, line in read_lines(write(f"x{suffix}", text))] == text.splitlines()


def test_several_gzip_members_are_read(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert list(read_lines(path)) == [(1, "one"), (2, "two")]


def test_several_zstd_frames_are_read(tmp_path):
    path = tmp_path / "x.zst"
    compress = zstandard.ZstdCompressor().compress
    path.write_bytes(compress(b"one\n") + compress(b"two\n" * 50_000) + compress(b"three\n"))
    lines = list(read_lines(path))
    assert len(lines) == 50_002
    assert (lines[0], lines[-1]) == ((1, "one"), (50_002, "three"))


@pytest.mark.parametrize("suffix", ["", *OPENERS])
def test_byte_order_mark_is_dropped(write, suffix):
    assert list(read_lines(write(f"x{suffix}", "\ufeffone\n\ufefftwo\n"))) == [(1, "one"), (2, "\ufefftwo")]


@pytest.mark.parametrize("suffix", ["", *OPENERS])
def test_invalid_utf8_is_reported_with_line_and_offset(write, suffix):
    path = write(f"x.tsv{suffix}", b"abc\nd\xe9f\n")
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert "byte 0xe9 at offset 5" in caught.value.message
    assert (caught.value.path, caught.value.line) == (path, 2)


def test_invalid_utf8_after_a_byte_order_mark_is_reported(write):
    with pytest.raises(DataError, match="byte 0xff at offset 4"):
        list(read_lines(write("x", b"\xef\xbb\xbfa\xff\n")))


def test_utf16_is_recognized(write):
    with pytest.raises(DataError) as caught:
        list(read_lines(write("x", "text".encode("utf-16"))))
    assert "iconv -f UTF-16" in caught.value.hint


@pytest.mark.parametrize("suffix", list(OPENERS))
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_truncated_files_are_rejected(write, suffix, share):
    path = write(f"x{suffix}", os.urandom(50_000).hex())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert caught.value.path == path
    assert "again" in caught.value.hint


@pytest.mark.parametrize("suffix", list(OPENERS))
def test_wrong_suffix_is_reported(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_text("this is plain text\n" * 9)
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert (caught.value.path, suffix in caught.value.message) == (path, True)
    assert "suffix" in caught.value.hint


def test_corrupt_gzip_data_is_rejected(write):
    path = write("x.gz", os.urandom(5000).hex())
    data = bytearray(path.read_bytes())
    data[200:210] = b"\0" * 10
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"\.gz"):
        list(read_lines(path))


def test_missing_file_suggests_a_similar_name(write):
    path = write("train.tsv", "a\tb\n").with_name("trian.tsv")
    with pytest.raises(DataError) as caught, open_binary(path):
        pass
    assert (caught.value.path, "'train.tsv'" in caught.value.hint) == (path, True)


def test_missing_file_without_a_similar_name(tmp_path):
    for path in (tmp_path / "x.tsv", tmp_path / "no" / "x.tsv"):
        with pytest.raises(DataError) as caught, open_binary(path):
            pass
        assert (caught.value.path, str(path.parent) in caught.value.hint) == (path, True)


def test_folder_instead_of_a_file_is_rejected(tmp_path):
    with pytest.raises(DataError, match="Is a directory"):
        list(read_lines(tmp_path))


def test_split_suffix():
    assert split_suffix(Path("a.b/X.TSV.GZ")) == (".tsv", ".gz")
    assert split_suffix(Path("a.b/x")) == ("", "")
