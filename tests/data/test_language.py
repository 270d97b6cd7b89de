"""Lines of other languages, told by py3langid, against its own ranking and by hand."""

import re
import sys
from pathlib import Path

import pytest

from otembed.data import language
from otembed.data.language import LanguageFilter
from otembed.errors import ConfigError

TEXTS = {
    "en": "The children were playing in the garden until it got dark.",
    "de": "Die Kinder spielten im Garten, bis es dunkel wurde.",
    "sw": "Watoto walikuwa wakicheza kwenye bustani hadi giza lilipoingia.",
    "zh": "孩子们在花园里玩到天黑。",
    "ar": "كان الأطفال يلعبون في الحديقة حتى حل الظلام.",
    "ru": "Дети играли в саду до темноты.",
}
IN_DOUBT = ["42", "OK", "3.14 + 2", "Linux", "...", "http://example.org"]


@pytest.fixture
def make():
    pytest.importorskip("py3langid")
    return lambda code: LanguageFilter(code, 0.01)


@pytest.mark.parametrize("code", [*TEXTS, "zh_Hant"])
def test_other_languages_are_dropped_and_uncertain_lines_kept(make, code):
    others = make(code)
    assert {key for key, text in TEXTS.items() if not others.is_other(text)} == {code[:2]}
    assert not any(map(others.is_other, IN_DOUBT))


def test_line_below_the_probability_is_another_language(make):
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    text = "Ndiyo, hii ni nyumba"
    ranked = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True).rank(text)
    assert ranked[0][0] == "sw"
    probability = dict(ranked)["lg"]
    assert not LanguageFilter("lg", probability * 0.99).is_other(text)
    assert LanguageFilter("lg", probability * 1.01).is_other(text)
    assert not LanguageFilter("sw", 0.99).is_other(text)


@pytest.mark.parametrize(("code", "known"), sorted(language.SAME.items()))
def test_equivalent_codes_name_the_same_language(make, code, known):
    assert make(code).language == known
    assert known in make("en")._identifier.nb_classes


def test_unknown_languages_are_rejected(make):
    with pytest.raises(ConfigError, match=r"'deu'\nDid you mean .*none"):
        make("deu")
    with pytest.raises(ConfigError, match="'zxx'"):
        make("zxx")


def test_mining_guide_lists_the_unknown_languages(make):
    guide = (Path(__file__).parents[2] / "docs" / "mining.md").read_text(encoding="utf-8")
    listed = re.search(r"does\s+not\s+know\s+are\s+`([a-z\s]+)`", guide)[1].split()
    known = set(make("en")._identifier.nb_classes)
    assert (len(listed) > 20, known & set(listed), len(known) - 1) == (True, set(), 139)


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(ConfigError, match=r"py3langid\n.*\"otembed\[langid\]\""):
        LanguageFilter("en", 0.01)
