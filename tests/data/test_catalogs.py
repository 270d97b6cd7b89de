import struct
import tracemalloc

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
def test_po_entries_are_read(write, read, counts, ending):
    assert read(write(f"x.po{ending}", HEAD + BODY), counts=counts) == [
        (*EXPECTED[0], 5),
        (*EXPECTED[1], 16),
    ]
    assert counts.dropped == {"fuzzy": 1, "untranslated": 1, "obsolete": 1}
    assert counts.examples == {"fuzzy": [9], "untranslated": [13], "obsolete": [24]}


@pytest.mark.parametrize("ending", ["", *OPENERS])
def test_mo_entries_are_read(tmp_path, write, read, ending):
    path = catalog(tmp_path / "plain.mo", *({"msgid": a, "msgstr": b} for a, b in EXPECTED))
    assert read(write(f"x.mo{ending}", path.read_bytes())) == [
        (*pair, number) for number, pair in enumerate(sorted(EXPECTED), start=1)
    ]


@pytest.mark.parametrize(
    ("key", "language", "swapped"),
    [
        ("en-sw", "sw", False),
        ("en-sw", "sw_KE", False),
        ("sw-en", "sw", True),
        ("sw-en", "", False),
        ("en_GB-en", "en_GB", True),
        ("en_GB-en", "en_GB.UTF-8", True),
        ("en_GB-en", "en", False),
        ("en-en_GB", "en_GB", False),
        ("en-en_GB", "en", True),
        ("pt_BR-pt_PT", "pt_BR", True),
        ("pt_BR-pt", "pt_PT", False),
        ("zh-zh_Hant", "zh_TW", False),
    ],
)
def test_language_header_decides_the_sides(write, read, tmp_path, key, language, swapped):
    head = HEAD + (f'"Language: {language}\\n"\n' if language else "")
    expected = ("Ndiyo", "Yes") if swapped else ("Yes", "Ndiyo")
    rows = read(write("x.po", head + '\nmsgid "Yes"\nmsgstr "Ndiyo"\n'), key)
    assert [row[:2] for row in rows] == [expected]
    path = catalog(tmp_path / "x.mo", {"msgid": "Yes", "msgstr": "Ndiyo"}, Language=language)
    assert [row[:2] for row in read(path, key)] == [expected]


def test_language_header_of_neither_side_is_rejected(write, refused):
    error = refused(write("x.po", HEAD + '"Language: fr\\n"\n\nmsgid "Yes"\nmsgstr "Oui"\n'))
    assert ("'fr'" in error.message, "Language:" in error.hint) == (True, True)


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
def test_plural_entries_give_one_pair_per_form(write, read, rule, forms, expected):
    head = HEAD + (f'"Plural-Forms: {rule}\\n"\n' if rule else "")
    assert [row[:2] for row in read(write("x.po", head + plural(*forms)))] == expected


def test_plural_form_without_translation(write, read, counts):
    assert [row[:2] for row in read(write("x.po", HEAD + plural("moja", "")), counts=counts)] == [
        ("one file", "moja")
    ]
    assert counts.dropped == {"untranslated": 1}


def test_file_without_translations_is_rejected_with_counts(write, refused):
    error = refused(write("x.po", HEAD + '\nmsgid "Yes"\nmsgstr ""\n'))
    assert "untranslated 1 (line 5)" in error.message


@pytest.mark.parametrize(
    ("text", "line", "value"),
    [
        ('msgid "a"\nmsgstr "b\n', 2, "not closed"),
        ('msgid "a"\nmsgstr "\n', 2, "not closed"),
        ('msgid "a\\"\nmsgstr "b"\n', 1, "not closed"),
        ('msgid "say "a""\nmsgstr "b"\n', 1, 'a""'),
        ('msgid "a"\nmsgstr "b"\n\nnonsense here\n', 4, "nonsense here"),
        ('msgid "a"\nmsgid "b"\n', 2, "msgstr"),
        ('msgid "a"\n', 1, "msgstr"),
        ('msgid\nmsgstr "b"\n', 1, "msgid"),
        ('msgstr "b"\n', 1, "msgid"),
        ('"b"\n', 1, "string"),
        ('msgid "a"\nmsgstr "b"\nmsgstr "c"\n', 3, "line 1"),
        ('msgid "a"\nmsgstr "\\303"\n', 2, "0xc3"),
    ],
)
def test_malformed_po_is_rejected(write, refused, text, line, value):
    path = write("x.po", text)
    error = refused(path)
    assert isinstance(error, DataError)
    assert error.message.startswith(f"{path}:{line}: ")
    assert value in error.message


def test_latin1_po_is_read(write, refused):
    error = refused(write("x.po", 'msgid "a"\nmsgstr "é"\n'.encode("latin-1")))
    assert (error.line, "0xe9" in error.message) == (2, True)


@pytest.mark.parametrize("content", [b"not an MO file at all", b"\xde\x12\x04\x95", b"abc"])
def test_malformed_mo_is_rejected(write, refused, content):
    error = refused(write("x.mo", content))
    assert isinstance(error, DataError)
    assert error.path.name == "x.mo"


def test_truncated_mo_is_rejected(tmp_path, refused):
    path = catalog(tmp_path / "x.mo", *({"msgid": f"m{n}", "msgstr": f"t{n}"} for n in range(50)))
    path.write_bytes(path.read_bytes()[:300])
    assert isinstance(refused(path), DataError)


@pytest.mark.parametrize("charset", ["hex", "zlib", "rot13", "wrong", "ascii"])
def test_mo_with_unknown_or_other_charset_is_rejected(tmp_path, refused, charset):
    path = catalog(tmp_path / "x.mo", {"msgid": "Yes", "msgstr": "Ndiyó"})
    # The header's length is fixed, so the name is padded.
    path.write_bytes(path.read_bytes().replace(b"charset=utf-8", f"charset={charset:5}".encode()[:13]))
    assert isinstance(refused(path), DataError)


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029", "\v", "\f", "\x1c", "\x1d", "\x1e", "\r"])
def test_only_line_feeds_end_po_lines(write, read, mark):
    body = f"""# note{mark}msgid\nmsgid "Open{mark}it"\nmsgstr "Fungua sasa{mark}"\n"""
    assert read(write("x.po", body)) == [(f"Open{mark}it", f"Fungua sasa{mark}", 1)]


def test_po_strings_have_c_escapes(write, read):
    body = r"""
msgid "\x41\302\251 \\n \"quoted\" \q"
msgstr "Gr\303" "\266\303\237e\a\b\f\n\r\t\v\101"
"""
    assert read(write("x.po", body)) == [(r"""A© \n "quoted" \q""", "Größe\a\b\f\n\r\t\vA", 2)]


@pytest.mark.parametrize(
    "body",
    [
        'msgid"Yes"\nmsgstr"Ndiyo"\n',
        'msgid "" "Y" "es"\n\tmsgstr "Nd"\n"iyo"\n',
        'domain "x"\nmsgid "Yes"\nmsgstr "Ndiyo"\n',
        '#=\n#~\n#|\n#~| msgid "old"\n#\nmsgid "Yes" # no\n# between\nmsgstr "Ndiyo"',
        'msgid "Yes" msgstr "Ndiyo"',
    ],
)
def test_every_valid_syntax_of_po(write, read, body):
    assert [row[:2] for row in read(write("x.po", body))] == [("Yes", "Ndiyo")]


@pytest.mark.parametrize(
    ("key", "language", "fits"),
    [
        ("en-sr", "sr@latin", True),
        ("en-sr_Latn", "sr@latin", True),
        ("en-sr_Latn", "sr_RS@latin", True),
        ("en-sr_Cyrl", "sr_RS@latin", False),
        ("en-ca", "ca@valencia", True),
        ("en-be", "be@tarask", True),
        ("en-zh_Hans", "zh_TW", False),
        ("en-zh_Hant", "zh_TW.UTF-8", True),
    ],
)
def test_gettext_locales_are_parsed(write, read, refused, key, language, fits):
    path = write("x.po", HEAD + f""""Language: {language}\\n"\n\nmsgid "a"\nmsgstr "b"\n""")
    if fits:
        assert read(path, key) == [("a", "b", 6)]
    else:
        assert repr(language) in refused(path, key).message


@pytest.mark.parametrize("form", ["po", "mo"])
def test_header_after_other_entries_decides_the_sides(write, read, form):
    entry, header = 'msgid "moja"\nmsgstr "one"\n\n', HEAD + '"Language: en\\n"\n'
    if form == "po":
        path = write("x.po", entry + header)
    else:
        strings = [b"moja", b"", b"one", b"Language: en\nContent-Type: text/plain; charset=UTF-8\n"]
        starts = [60 + sum(len(each) + 1 for each in strings[:index]) for index in range(4)]
        places = [number for pair in zip(map(len, strings), starts, strict=True) for number in pair]
        path = write(
            "x.mo", struct.pack("<7I8I", 0x950412DE, 0, 2, 28, 44, 0, 60, *places) + b"\0".join([*strings, b""])
        )
    assert [row[:2] for row in read(path, "en-sw")] == [("one", "moja")]


def test_long_string_of_po_takes_little_memory(write, read):
    """Neither positions to backtrack to nor an object for each escape are held."""
    text = "a\\n" * 100_000
    path = write("x.po", f'{HEAD}\nmsgid "{text}"\nmsgstr "b"\n')
    tracemalloc.start()
    try:
        ((source, target, _),) = read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (len(source), target) == (200_000, "b")
    assert peak < 10 * len(text)


def test_plural_rule_that_divides_by_zero_is_ignored(write, read):
    body = HEAD + '"Plural-Forms: nplurals=2; plural=n%0;\\n"\n' + plural("moja", "wengi")
    assert [row[:2] for row in read(write("x.po", body))] == [("one file", "moja"), ("%d files", "wengi")]
