import polib
import pytest

from otembed.data.compression import OPENERS
from otembed.errors import DataError

HEAD = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
BODY = r"""
# a comment
msgid "_Open \"%s\""
msgstr "_Fungua \"%s\""

#, fuzzy
msgid "Close"
msgstr "Funga"

msgid "Save"
msgstr ""

msgctxt "menu"
msgid ""
"Two\n"
"lines"
msgstr ""
"Mistari\n"
"miwili"

#~ msgid "Gone"
#~ msgstr "Imeenda"
"""
EXPECTED = [('_Open "%s"', '_Fungua "%s"'), ("Two\nlines", "Mistari\nmiwili")]


def catalog(path, *entries, **metadata):
    """Compile entries to an MO file with polib."""
    po = polib.POFile()
    po.metadata = {"Content-Type": "text/plain; charset=utf-8", **metadata}
    po.extend(polib.POEntry(**entry) for entry in entries)
    po.save_as_mofile(str(path))
    return path


@pytest.mark.parametrize("ending", ["", *OPENERS])
def test_po(write, read, counts, ending):
    assert read(write(f"x.po{ending}", HEAD + BODY), counts=counts) == [
        (*EXPECTED[0], 5),
        (*EXPECTED[1], 16),
    ]
    assert counts.dropped == {"fuzzy": 1, "untranslated": 1, "obsolete": 1}
    assert counts.examples == {"fuzzy": [9], "untranslated": [13], "obsolete": [24]}


@pytest.mark.parametrize("ending", ["", *OPENERS])
def test_mo(tmp_path, write, read, ending):
    path = catalog(tmp_path / "plain.mo", *({"msgid": a, "msgstr": b} for a, b in EXPECTED))
    assert read(write(f"x.mo{ending}", path.read_bytes())) == [
        (*pair, number) for number, pair in enumerate(sorted(EXPECTED), start=1)
    ]


@pytest.mark.parametrize(
    ("key", "language", "swapped"),
    [("en-sw", "sw", False), ("en-sw", "sw_KE", False), ("sw-en", "sw", True), ("sw-en", "", False)],
)
def test_language_header_decides_the_sides(write, read, tmp_path, key, language, swapped):
    head = HEAD + (f'"Language: {language}\\n"\n' if language else "")
    expected = ("Ndiyo", "Yes") if swapped else ("Yes", "Ndiyo")
    rows = read(write("x.po", head + '\nmsgid "Yes"\nmsgstr "Ndiyo"\n'), key)
    assert [row[:2] for row in rows] == [expected]
    path = catalog(tmp_path / "x.mo", {"msgid": "Yes", "msgstr": "Ndiyo"}, Language=language)
    assert [row[:2] for row in read(path, key)] == [expected]


def test_language_of_neither_side(write, refused):
    error = refused(write("x.po", HEAD + '"Language: fr\\n"\n\nmsgid "Yes"\nmsgstr "Oui"\n'))
    assert "the catalog is in 'fr', which is neither en nor sw" in error.message


def plural(*forms):
    lines = "".join(f'msgstr[{index}] "{text}"\n' for index, text in enumerate(forms))
    return f'\nmsgid "one file"\nmsgid_plural "%d files"\n{lines}'


@pytest.mark.parametrize(
    ("rule", "forms", "expected"),
    [
        ("", ("faili moja", "faili %d"), [("one file", "faili moja"), ("%d files", "faili %d")]),
        ("nplurals=1; plural=0;", ("%d个文件",), [("one file", "%d个文件"), ("%d files", "%d个文件")]),
        (
            "nplurals=3; plural=(n==0 ? 0 : n==1 ? 1 : 2);",
            ("none", "one", "many"),
            [("%d files", "none"), ("one file", "one"), ("%d files", "many")],
        ),
        ("nplurals=2; plural=nonsense(;", ("a", "b"), [("one file", "a"), ("%d files", "b")]),
    ],
)
def test_plural_entries_give_their_pairs(write, read, rule, forms, expected):
    head = HEAD + (f'"Plural-Forms: {rule}\\n"\n' if rule else "")
    assert [row[:2] for row in read(write("x.po", head + plural(*forms)))] == expected


def test_plural_form_without_translation(write, read, counts):
    assert [row[:2] for row in read(write("x.po", HEAD + plural("moja", "")), counts=counts)] == [
        ("one file", "moja")
    ]
    assert counts.dropped == {"untranslated": 1}


def test_nothing_translated_tells_why(write, refused):
    error = refused(write("x.po", HEAD + '\nmsgid "Yes"\nmsgstr ""\n'))
    assert "no usable pair: 1 read, 0 kept, dropped: untranslated 1 (line 5)" in error.message


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('msgid "a"\nmsgstr "b\n', 2, "a string is not closed"),
        ('msgid "a"\nmsgstr "\n', 2, "a string is not closed"),
        ('msgid "a\\"\nmsgstr "b"\n', 1, "a string is not closed"),
        ('msgid "say "a""\nmsgstr "b"\n', 1, "a string is not closed"),
        ('msgid "a"\nmsgstr "b"\n\nnonsense here\n', 4, "not a PO catalog"),
        ('msgid "a"\nmsgid "b"\n', 2, "not a PO catalog"),
    ],
)
def test_malformed_po(write, refused, text, line, message):
    path = write("x.po", text)
    error = refused(path)
    assert isinstance(error, DataError)
    assert error.message.startswith(f"{path}:{line}: {message}")


def test_latin1_po(write, refused):
    error = refused(write("x.po", 'msgid "a"\nmsgstr "é"\n'.encode("latin-1")))
    assert (error.line, "not UTF-8: byte 0xe9" in error.message) == (2, True)


@pytest.mark.parametrize("content", [b"not an MO file at all", b"\xde\x12\x04\x95", b"abc"])
def test_malformed_mo(write, refused, content):
    error = refused(write("x.mo", content))
    assert isinstance(error, DataError)
    assert "not an MO catalog" in error.message


def test_cut_off_mo(tmp_path, refused):
    path = catalog(tmp_path / "x.mo", *({"msgid": f"m{n}", "msgstr": f"t{n}"} for n in range(50)))
    path.write_bytes(path.read_bytes()[:300])
    assert "not an MO catalog" in refused(path).message
