"""Control characters in names and texts never reach the terminal."""

from __future__ import annotations

import json

import pytest
from otembed.cli.console import say
from otembed.cli.stages import StageProgress

ESC = "\x1b]0;x\x07\x1b[31m"
SQUAD = {"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", ESC: "q", "answers": []}]}]}]}
UNIT = '<tu><tuv xml:lang="en{0}"><seg>a</seg></tuv><tuv xml:lang="xx{0}"><seg>b</seg></tuv></tu>'


@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        ("x.tsv", f"en{ESC}\tother\na\tb\n", ["score", "en-sw={}?source=en&target=sw"]),
        ("x.jsonl", json.dumps({f"en{ESC}": "a"}), ["score", "en-sw={}"]),
        ("x.tmx", f"<tmx><body>{UNIT.format('&#x9b;31m')}</body></tmx>", ["score", "en-sw={}"]),
        ("x.po", f'msgid ""\nmsgstr "Language: {ESC}"\n', ["score", "en-sw={}"]),
        ("x.json", json.dumps(SQUAD), ["eval", "xquad", "none", "--data", "ar={}"]),
        ("x.json", json.dumps({"kind": ESC, "outcomes": []}), ["compare", "{}", "{}"]),
        ("x.yaml", f'"{ESC}": 1\n'.replace("\x1b", "\\e").replace("\x07", "\\a"), ["train", "{}"]),
        (f"{ESC}.tsv", "a\n", ["score", "en-sw={}"]),
        ("\udcff.tsv", "a\n", ["score", "en-sw={}"]),
    ],
    ids=["TSV", "JSON lines", "TMX", "PO", "questions", "results", "YAML", "file name", "not UTF-8"],
)
def test_errors(ended, tmp_path, name, content, command) -> None:
    (tmp_path / name).write_text(content)
    code, out, err = ended(*(part.format(tmp_path / name) for part in command))
    assert code == 2
    assert "error" in err
    assert not {"\x1b", "\x07", "\x9b", "\r"} & set(out + err)


@pytest.mark.parametrize(
    "command", [[f"x{ESC}"], ["eval", f"x{ESC}"], ["train", f"--x{ESC}"], ["info", ESC]], ids=len
)
def test_usage_errors(ended, command) -> None:
    code, out, err = ended(*command)
    assert code == 2
    assert "\\x1b[31m" in err
    assert not {"\x1b", "\x07"} & set(out + err)


def test_messages_and_progress(capsys) -> None:
    say(f"{ESC}.txt: 3 read")
    progress = StageProgress()
    for done in (0, 5, 10):
        progress.shown = -1e9
        progress(f"embedding {ESC}", done, 10)
    captured = capsys.readouterr()
    assert "\\x1b]0;x\\x07\\x1b[31m.txt: 3 read" in captured.err
    assert "\x1b" not in captured.out + captured.err
