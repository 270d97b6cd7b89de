import tracemalloc

import pytest

from otembed.data import PairCounts, parse_pair_spec, read_pairs
from otembed.data.compression import OPENERS
from otembed.errors import DataError

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4"><header srclang="en"/><body>\n'
TAIL = "</body></tmx>\n"


def unit(**variants):
    body = "".join(
        f'<tuv xml:lang="{language.replace("_", "-")}"><seg>{text}</seg></tuv>'
        for language, text in variants.items()
    )
    return f"<tu>{body}</tu>\n"


@pytest.mark.parametrize("ending", ["", *OPENERS])
def test_units(write, read, ending):
    text = HEAD + unit(en="Tea &amp; coffee", sw="Chai na kahawa") + unit(sw="Ndiyo", fr="Oui", en="Yes") + TAIL
    assert read(write(f"x.tmx{ending}", text)) == [
        ("Tea & coffee", "Chai na kahawa", 3),
        ("Yes", "Ndiyo", 4),
    ]


@pytest.mark.parametrize(
    ("key", "tags", "expected"),
    [
        ("en-sw", {"EN_us": "a", "SW_KE": "b"}, ("a", "b")),
        ("en-sw", {"en_GB": "x", "en": "a", "sw": "b"}, ("a", "b")),
        ("sw-en", {"en": "a", "sw": "b"}, ("b", "a")),
        ("pt_BR-en", {"pt_PT": "x", "pt_br": "a", "en": "b"}, ("a", "b")),
        ("pt_BR-en", {"pt_PT": "x", "en": "b"}, ("x", "b")),
        ("zh_Hans-en", {"zh_Hant": "x", "zh": "a", "en": "b"}, ("a", "b")),
        ("en_US-en_GB", {"en_US": "a", "en_GB": "b"}, ("a", "b")),
    ],
)
def test_language_tags(write, read, key, tags, expected):
    assert read(write("x.tmx", HEAD + unit(**tags) + TAIL), key) == [(*expected, 3)]


def test_plain_lang_attribute_and_namespace(write, read):
    text = '<tmx xmlns="http://www.lisa.org/tmx14"><body><tu><tuv lang="en"><seg>a</seg></tuv>'
    assert read(write("x.tmx", text + '<tuv lang="SW"><seg>b</seg></tuv></tu></body></tmx>')) == [("a", "b", 1)]


def test_inline_markup(write, read):
    inline = (
        'Press <bpt i="1">&lt;b&gt;</bpt>the <hi type="key">big <ph>x</ph>red</hi> key<ept i="1">&lt;/b&gt;</ept>'
        ' <ph>{0}<sub>note</sub></ph>twice<it pos="begin">[</it><ut>q</ut><!-- no --><?no no?>.'
    )
    assert read(write("x.tmx", HEAD + unit(en=inline, sw="b") + TAIL)) == [("Press the big red key twice.", "b", 3)]


def test_other_encodings_follow_the_declaration(write, read):
    text = (HEAD.replace("UTF-8", "UTF-16") + unit(en="é", sw="ü") + TAIL).encode("utf-16")
    assert read(write("x.tmx", text)) == [("é", "ü", 3)]


def test_units_without_a_language_are_counted(write, read, counts):
    text = HEAD + unit(en="a", fr="b") + unit(en="a", sw="b") + unit(sw="b") + "<tu/>" + TAIL
    assert read(write("x.tmx", text), counts=counts) == [("a", "b", 4)]
    assert counts.dropped == {"missing_language": 3}
    assert counts.examples == {"missing_language": [3, 5, 6]}


def test_a_unit_without_text_gives_an_empty_side(write, read):
    text = HEAD + '<tu><tuv xml:lang="en"/><tuv xml:lang="sw"><seg/></tuv></tu>' + TAIL
    assert read(write("x.tmx", text)) == [("", "", 3)]


def test_language_that_is_not_there(write, refused):
    error = refused(write("x.tmx", HEAD + unit(en="a", fr_FR="b") + TAIL))
    assert "no unit has both en and sw; languages in the file: en, fr-FR" in error.message
    assert "two of these languages" in error.hint


def test_languages_that_are_not_marked(write, refused):
    error = refused(write("x.tmx", HEAD + "<tu><tuv><seg>a</seg></tuv></tu>" + TAIL))
    assert "languages in the file: none is marked" in error.message


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_broken_xml_names_the_line(write, read, ending):
    path = write(f"x.tmx{ending}", HEAD + unit(en="a", sw="b") + "<tu><tuv></tu>\n" + TAIL)
    rows = read_pairs(parse_pair_spec("en-sw", str(path)))
    assert next(rows) == ("a", "b", 3)
    with pytest.raises(DataError) as caught:
        next(rows)
    assert caught.value.message.startswith(f"{path}:4: not sound XML: ")


def test_bad_bytes_and_cut_off_files(write, refused):
    error = refused(write("x.tmx", HEAD.encode() + unit(en="\0", sw="b").replace("\0", "").encode() + b"\xff"))
    assert error.line == 4
    path = write("y.tmx.gz", HEAD + "".join(unit(en=f"a{n}", sw="b") for n in range(5000)) + TAIL)
    path.write_bytes(path.read_bytes()[:-3000])
    assert "the compressed file is cut off" in refused(path).message


def test_entities_are_not_expanded(write, refused, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for declaration in ('"expanded"', f'SYSTEM "{secret.as_uri()}"'):
        text = f"<!DOCTYPE tmx [<!ENTITY own {declaration}>]>\n" + HEAD.partition("\n")[2]
        error = refused(write("x.tmx", text + unit(en="a &own;", sw="b") + TAIL))
        assert "entity &own; is not expanded" in error.message
        assert error.line == 3


def test_exponential_entities_do_no_harm(write, refused):
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<!DOCTYPE tmx [<!ENTITY a0 "ha">{levels}]>\n<tmx><body>{unit(en="&a11;", sw="b")}</body></tmx>'
    assert isinstance(refused(write("x.tmx", text)), DataError)


def peak(path):
    tracemalloc.start()
    try:
        rows = sum(1 for _ in read_pairs(parse_pair_spec("en-sw", str(path)), PairCounts()))
        return rows, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_lines_and_memory_of_a_large_file(write):
    def text(size):
        return HEAD + "".join(unit(en=f"sentence {n}", sw=f"sentensi {n}") for n in range(size)) + TAIL

    small, large = peak(write("small.tmx", text(2_000))), peak(write("large.tmx", text(20_000)))
    assert (small[0], large[0]) == (2_000, 20_000)
    assert large[1] < 1.5 * small[1] + 20_000
