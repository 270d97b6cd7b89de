"""Matching of language tags in files with the language codes of a pair: language, script, region."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Modifiers of GNU gettext that name a script (sr@latin).
MODIFIER_SCRIPTS = {
    "latin": "latn",
    "latn": "latn",
    "iqtelif": "latn",
    "cyrillic": "cyrl",
    "cyrl": "cyrl",
    "arabic": "arab",
    "devanagari": "deva",
    "hebrew": "hebr",
    "gurmukhi": "guru",
    "mongolian": "mong",
}
# Languages written in several scripts: the default script of a tag without a script, and regions with another default
# (likely subtags of Unicode CLDR).
DEFAULT_SCRIPTS = {
    "az": ("latn", {"IR": "arab", "IQ": "arab", "RU": "cyrl"}),
    "bs": ("latn", {}),
    "ha": ("latn", {"SD": "arab", "CM": "arab"}),
    "kk": ("cyrl", {"CN": "arab", "AF": "arab", "IR": "arab", "MN": "arab"}),
    "ks": ("arab", {}),
    "ku": ("latn", {"IQ": "arab", "IR": "arab", "LB": "arab", "AM": "cyrl", "GE": "cyrl"}),
    "ky": ("cyrl", {"CN": "arab", "TR": "latn"}),
    "mn": ("cyrl", {"CN": "mong"}),
    "ms": ("latn", {"CC": "arab"}),
    "pa": ("guru", {"PK": "arab"}),
    "sd": ("arab", {"IN": "deva"}),
    "sr": ("cyrl", {"ME": "latn", "RO": "latn", "TR": "latn"}),
    "tg": ("cyrl", {"PK": "arab"}),
    "tk": ("latn", {}),
    "tt": ("cyrl", {}),
    "ug": ("arab", {"KZ": "cyrl", "MN": "cyrl"}),
    "uz": ("latn", {"AF": "arab", "CN": "cyrl"}),
    "yue": ("hant", {"CN": "hans"}),
    "zh": (
        "hans",
        dict.fromkeys(
            ("TW", "HK", "MO", "AU", "BN", "GB", "GF", "ID", "PA", "PF", "PH", "SR", "TH", "US", "VN"), "hant"
        ),
    ),
}

# Codes of three letters (ISO 639-3) of the languages that have one of two letters (ISO 639-1), which BCP 47 prefers.
TWO_LETTERS = dict(
    re.findall(
        "(...):(..)",
        """
    aar:aa abk:ab afr:af aka:ak amh:am ara:ar arg:an asm:as ava:av ave:ae aym:ay aze:az bak:ba bam:bm bel:be ben:bn bis:bi
    bod:bo bos:bs bre:br bul:bg cat:ca ces:cs cha:ch che:ce chu:cu chv:cv cor:kw cos:co cre:cr cym:cy dan:da deu:de div:dv
    dzo:dz ell:el eng:en epo:eo est:et eus:eu ewe:ee fao:fo fas:fa fij:fj fin:fi fra:fr fry:fy ful:ff gla:gd gle:ga glg:gl
    glv:gv grn:gn guj:gu hat:ht hau:ha hbs:sh heb:he her:hz hin:hi hmo:ho hrv:hr hun:hu hye:hy ibo:ig ido:io iii:ii iku:iu
    ile:ie ina:ia ind:id ipk:ik isl:is ita:it jav:jv jpn:ja kal:kl kan:kn kas:ks kat:ka kau:kr kaz:kk khm:km kik:ki kin:rw
    kir:ky kom:kv kon:kg kor:ko kua:kj kur:ku lao:lo lat:la lav:lv lim:li lin:ln lit:lt ltz:lb lub:lu lug:lg mah:mh mal:ml
    mar:mr mkd:mk mlg:mg mlt:mt mon:mn mri:mi msa:ms mya:my nau:na nav:nv nbl:nr nde:nd ndo:ng nep:ne nld:nl nno:nn nob:nb
    nor:no nya:ny oci:oc oji:oj ori:or orm:om oss:os pan:pa pli:pi pol:pl por:pt pus:ps que:qu roh:rm ron:ro run:rn rus:ru
    sag:sg san:sa sin:si slk:sk slv:sl sme:se smo:sm sna:sn snd:sd som:so sot:st spa:es sqi:sq srd:sc srp:sr ssw:ss sun:su
    swa:sw swe:sv tah:ty tam:ta tat:tt tel:te tgk:tg tgl:tl tha:th tir:ti ton:to tsn:tn tso:ts tuk:tk tur:tr twi:tw uig:ug
    ukr:uk urd:ur uzb:uz ven:ve vie:vi vol:vo wln:wa wol:wo xho:xh yid:yi yor:yo zha:za zho:zh zul:zu
    """,
    )
)


class Tag(NamedTuple):
    """Primary language in lower case, of two letters if it has such a code, script in lower case, region in upper case; ``None`` if missing."""

    language: str
    script: str | None
    region: str | None

    @property
    def likely_script(self) -> str | None:
        """The tag's script, else the default script of the language in the region; None for languages with one script."""
        if self.script is not None or self.language not in DEFAULT_SCRIPTS:
            return self.script
        default, by_region = DEFAULT_SCRIPTS[self.language]
        return by_region.get(self.region or "", default)


def parse_tag(text: str) -> Tag:
    """Parse a tag of BCP 47, a key's code, or a locale of GNU gettext (``ll_CC.charset@modifier``).

    >>> parse_tag("zh_Hant_TW"), parse_tag("sr_RS.UTF-8@latin")
    (Tag(language='zh', script='hant', region='TW'), Tag(language='sr', script='latn', region='RS'))
    >>> parse_tag("eng_Latn")
    Tag(language='en', script='latn', region=None)
    """
    locale, _, modifier = text.strip().partition("@")
    language, *rest = locale.partition(".")[0].lower().replace("_", "-").split("-")
    script = next((part for part in rest if re.fullmatch("[a-z]{4}", part)), None)
    region = next((part.upper() for part in rest if re.fullmatch("[a-z]{2}|[0-9]{3}", part)), None)
    return Tag(TWO_LETTERS.get(language, language), MODIFIER_SCRIPTS.get(modifier.lower(), script), region)


def english_names(code: str) -> list[str]:
    """Return the English names of a language in lower case, as listed by transformers; empty for unknown languages.

    >>> english_names("zh_Hant"), english_names("tlh")
    (['chinese', 'mandarin'], [])
    """
    # Imports torch and transformers, which takes seconds.
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    language = parse_tag(code).language
    return [name for name, known in TO_LANGUAGE_CODE.items() if known == language]


def match_languages(code: str, tags: Iterable[str]) -> list[str]:
    """Return the tags that match ``code`` best, several if they match equally well; empty if no tag matches.

    The language must be equal; the script must be equal if the code has a script or a region. In order of preference:
    the same tag; for a code without a script, a tag in the default script; a tag with an explicit script; the same
    region; no region; another region.

    >>> match_languages("pt_BR", ["PT-pt", "pt-br"]), match_languages("en", ["sw", "EN-US", "en-GB"])
    (['pt-br'], ['EN-US', 'en-GB'])
    >>> match_languages("zh_Hans", ["zh-TW", "zh-Hans-CN"]), match_languages("zh_Hans", ["zh-TW"])
    (['zh-Hans-CN'], [])
    """
    wanted = parse_tag(code)
    ranks = {tag: _rank(code, wanted, tag) for tag in tags}
    best = min((rank for rank in ranks.values() if rank is not None), default=None)
    return [tag for tag, rank in ranks.items() if rank is not None and rank == best]


def match_language(code: str, tags: Sequence[str]) -> str | None:
    """Return the first of :func:`match_languages`, or None."""
    return next(iter(match_languages(code, tags)), None)


def _rank(code: str, wanted: Tag, text: str) -> tuple[int, ...] | None:
    tag = parse_tag(text)
    scripts = (wanted.likely_script, tag.likely_script)
    different = None not in scripts and scripts[0] != scripts[1]
    named = wanted.script is not None or wanted.region is not None
    if tag.language != wanted.language or (different and named):
        return None
    same = text.strip().lower().replace("_", "-") == code.lower().replace("_", "-")
    region = 0 if tag.region == wanted.region else 1 if tag.region is None or wanted.region is None else 2
    unnamed = wanted.script is not None and tag.script != wanted.script
    # For a code without a region, all regions match equally well: en-US and en-GB for en.
    return (0 if same else 1, int(different), int(unnamed), region)
