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
def test_tmx_units_are_read(write, read, ending):
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
        ("zh_Hans-en", {"zh_TW": "x", "zh_CN": "a", "en": "b"}, ("a", "b")),
        ("zh_Hans-en", {"zh": "x", "zh_TW": "y", "zh_Hans_CN": "a", "en": "b"}, ("a", "b")),
        ("sr_Latn-en", {"sr": "x", "sr_Latn_RS": "a", "en": "b"}, ("a", "b")),
        ("zh-en", {"zh_TW": "x", "zh_CN": "a", "en": "b"}, ("a", "b")),
        ("en_US-en_GB", {"en_US": "a", "en_GB": "b"}, ("a", "b")),
        ("en-en_GB", {"en_GB": "b", "en_US": "a"}, ("a", "b")),
    ],
)
def test_tmx_language_tags_are_matched(write, read, key, tags, expected):
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


def test_declared_encodings_are_read(write, read):
    text = (HEAD.replace("UTF-8", "UTF-16") + unit(en="é", sw="ü") + TAIL).encode("utf-16")
    assert read(write("x.tmx", text)) == [("é", "ü", 3)]


def test_units_without_a_language_are_counted(write, read, counts):
    text = HEAD + unit(en="a", fr="b") + unit(en="a", sw="b") + unit(sw="b") + "<tu/>" + TAIL
    assert read(write("x.tmx", text), counts=counts) == [("a", "b", 4)]
    assert counts.dropped == {"missing_language": 3}
    assert counts.examples == {"missing_language": [3, 5, 6]}


def test_one_variant_does_not_serve_both_languages(write, refused):
    assert isinstance(refused(write("x.tmx", HEAD + unit(en_US="a") + TAIL), "en-en_GB"), DataError)


def test_unit_without_text_gives_an_empty_side(write, read):
    text = HEAD + '<tu><tuv xml:lang="en"/><tuv xml:lang="sw"><seg/></tuv></tu>' + TAIL
    assert read(write("x.tmx", text)) == [("", "", 3)]


def test_missing_language_is_rejected(write, refused):
    error = refused(write("x.tmx", HEAD + unit(en="a", fr_FR="b") + TAIL))
    assert error.message.endswith("en, fr-FR")


def test_variants_without_a_language_are_rejected(write, refused):
    error = refused(write("x.tmx", HEAD + "<tu><tuv><seg>a</seg></tuv></tu>" + TAIL))
    assert (type(error), error.line) == (DataError, None)


def test_empty_file_is_rejected_in_its_first_line(write, refused):
    assert refused(write("x.tmx", "")).line == 1


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_malformed_xml_is_rejected_with_its_line(write, read, ending):
    path = write(f"x.tmx{ending}", HEAD + unit(en="a", sw="b") + "<tu><tuv></tu>\n" + TAIL)
    rows = read_pairs(parse_pair_spec("en-sw", str(path)))
    assert next(rows)[:3] == ("a", "b", 3)
    with pytest.raises(DataError) as caught:
        next(rows)
    assert (caught.value.path, caught.value.line) == (path, 4)


def test_invalid_bytes_and_truncated_files_are_rejected(write, refused):
    error = refused(write("x.tmx", HEAD.encode() + unit(en="\0", sw="b").replace("\0", "").encode() + b"\xff"))
    assert error.line == 4
    path = write("y.tmx.gz", HEAD + "".join(unit(en=f"a{n}", sw="b") for n in range(5000)) + TAIL)
    path.write_bytes(path.read_bytes()[:-3000])
    assert isinstance(refused(path), DataError)


def test_entities_are_not_expanded(write, refused, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for declaration in ('"expanded"', f'SYSTEM "{secret.as_uri()}"'):
        text = f"<!DOCTYPE tmx [<!ENTITY own {declaration}>]>\n" + HEAD.partition("\n")[2]
        error = refused(write("x.tmx", text + unit(en="a &own;", sw="b") + TAIL))
        assert "&own;" in error.message
        assert error.line == 3


def test_exponential_entities_are_not_expanded(write, refused):
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


def test_large_file_has_correct_lines_and_bounded_memory(write):
    def text(size):
        return HEAD + "".join(unit(en=f"sentence {n}", sw=f"sentensi {n}") for n in range(size)) + TAIL

    small, large = peak(write("small.tmx", text(2_000))), peak(write("large.tmx", text(20_000)))
    assert (small[0], large[0]) == (2_000, 20_000)
    assert large[1] < 1.5 * small[1] + 20_000


@pytest.mark.parametrize(("key", "tag"), [("en-zh_Hans", "zh_TW"), ("en-sr_Latn", "sr_RS"), ("en-zh_TW", "zh_CN")])
def test_memory_in_another_script_is_rejected(write, refused, key, tag):
    assert tag.replace("_", "-") in refused(write("x.tmx", HEAD + unit(en="a", **{tag: "b"}) + TAIL), key).message


def test_additional_variants_are_counted_and_empty_ones_skipped(write, read, counts):
    variants = "".join(
        f'<tuv xml:lang="{tag}"><seg>{text}</seg></tuv>'
        for tag, text in (("en", "open"), ("sw", "\u200b"), ("sw", "fungua"), ("sw", "funga"), ("en", ""))
    )
    text = HEAD + f"<tu>{variants}</tu>\n" + unit(en_US="a", en_GB="b", sw="c") + TAIL
    assert read(write("x.tmx", text), counts=counts) == [("open", "fungua", 3), ("a", "c", 4)]
    assert (counts.dropped, counts.examples) == ({"other_variant": 2}, {"other_variant": [3, 4]})


def test_line_breaks_separate_words_and_unknown_elements_keep_text(write, read):
    inline = 'one<ph type="lb">&lt;br&gt;</ph>two<it type="bold">x</it>three <g id="1">four <x/>five</g>'
    assert read(write("x.tmx", HEAD + unit(en=inline, sw="b") + TAIL)) == [("one\ntwothree four five", "b", 3)]


def test_lines_beyond_65535_are_counted(write, read, counts):
    empty = '<tu><tuv xml:lang="en"><seg/></tuv></tu>'
    text = HEAD + "\n" * 70_000 + unit(en="a", sw="b") + empty + unit(en="c", sw="d") + TAIL
    assert read(write("x.tmx", text), counts=counts) == [("a", "b", 70_003), ("c", "d", 70_004)]
    assert counts.examples == {"missing_language": [70_004]}
