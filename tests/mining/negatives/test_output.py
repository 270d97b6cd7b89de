"""Files of hard negatives: training reads what is written, in every format."""

import json
from dataclasses import replace

import pytest

from otembed.data import parse_pair_spec, read_pairs
from otembed.errors import ConfigError, DataError
from otembed.mining.negatives.output import WRITERS, NegativesRow, write_negatives

ROWS = [
    NegativesRow("a", "b", ("c", "d"), 0.5, (0.25, 0.125)),
    NegativesRow("ä\u2028", "ß", ("猫", "е"), 0.75, (0.5, 0.5)),
]


def read_back(path, num_negatives=None):
    query = "?header=1" if path.suffix == ".tsv" else ""
    return list(read_pairs(replace(parse_pair_spec("de-en", f"{path}{query}"), num_negatives=num_negatives)))


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("scores", [False, True])
def test_every_format_is_read_back(tmp_path, suffix, scores):
    path = write_negatives(iter(ROWS), tmp_path / f"x{suffix}", 2, scores=scores)
    assert [(row.source, row.target, row.negatives) for row in read_back(path)] == [row[:3] for row in ROWS]
    assert [row.negatives for row in read_back(path, 1)] == [row.negatives[:1] for row in ROWS]
    assert [row.negatives for row in read_back(path, 0)] == [(), ()]
    with pytest.raises(DataError, match=r"2 columns of hard negatives, but num_negatives is 3(.|\n)*negative_1"):
        read_back(path, 3)


@pytest.mark.parametrize("more", [1, 2])
def test_negatives_that_begin_in_a_later_record_are_refused(tmp_path, more):
    rows = [
        {"de": "a", "en": "b"} | {f"negative_{number}": "c" for number in range(1, count)}
        for count in (more, more + 1)
    ]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    with pytest.raises(DataError, match=rf"x\.jsonl:2: field 'negative_{more}' is not in the first record"):
        read_back(path)
    assert len(read_back(path, more - 1)) == 2


def test_scores_follow_the_texts(tmp_path):
    write_negatives(ROWS, tmp_path / "x.jsonl", 2, scores=True)
    first = json.loads((tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first == {
        "source": "a", "target": "b", "negative_1": "c", "negative_2": "d", "score": 0.5, "score_1": 0.25, "score_2": 0.125
    }  # fmt: skip


def test_tabs_become_spaces_in_tsv(tmp_path):
    path = write_negatives([NegativesRow("a\tb", "c\nd", ("e\r",), 0.0, (0.0,))], tmp_path / "x.tsv", 1)
    assert path.read_text() == "source\ttarget\tnegative_1\na b\tc d\te \n"


def test_unknown_formats_are_rejected_and_earlier_files_kept(tmp_path):
    with pytest.raises(ConfigError, match=r"'\.tmx'\n.*\.tsv, \.jsonl, \.parquet"):
        write_negatives(ROWS, tmp_path / "x.tmx", 2)
    (tmp_path / "x.jsonl").write_text("earlier")

    def broken():
        yield ROWS[0]
        raise DataError("broken")

    with pytest.raises(DataError, match="broken"):
        write_negatives(broken(), tmp_path / "x.jsonl", 2)
    assert (tmp_path / "x.jsonl").read_text() == "earlier"
