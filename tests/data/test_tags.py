import pytest

from otembed.data.tags import match_languages, parse_tag


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("en", ("en", None, None)),
        ("pt_BR", ("pt", None, "BR")),
        ("ZH-hant-TW", ("zh", "hant", "TW")),
        ("es-419", ("es", None, "419")),
        ("sr@latin", ("sr", "latn", None)),
        ("uz_UZ@cyrillic", ("uz", "cyrl", "UZ")),
        ("ca@valencia", ("ca", None, None)),
        ("de_DE.UTF-8@euro", ("de", None, "DE")),
        ("", ("", None, None)),
    ],
)
def test_tags_are_parsed_in_every_spelling(text, expected):
    assert tuple(parse_tag(text)) == expected


@pytest.mark.parametrize(
    ("code", "tags", "expected"),
    [
        ("zh_Hans", ["zh-TW", "zh-CN", "zh-HK"], ["zh-CN"]),
        ("zh_Hans", ["zh", "zh-Hans-SG"], ["zh-Hans-SG"]),
        ("zh_Hant", ["zh", "zh-Hans"], []),
        ("zh_TW", ["zh-Hant", "zh-CN"], ["zh-Hant"]),
        ("zh", ["zh-TW"], ["zh-TW"]),
        ("zh", ["zh-TW", "zh-CN"], ["zh-CN"]),
        ("sr_Latn", ["sr", "sr-RS", "sr-Cyrl-RS"], []),
        ("sr_Latn", ["sr", "sr-ME"], ["sr-ME"]),
        ("pa_Arab", ["pa-IN", "pa-PK"], ["pa-PK"]),
        ("uz_Cyrl", ["uz", "uz-Cyrl-UZ"], ["uz-Cyrl-UZ"]),
        ("az_Latn", ["az-IR", "az-AZ"], ["az-AZ"]),
        ("en", ["en-US", "EN_gb", "de"], ["en-US", "EN_gb"]),
        ("en", ["en-US", "en"], ["en"]),
        ("en_GB", ["en-US", "en"], ["en"]),
        ("en_GB", ["en-US"], ["en-US"]),
        ("eng_Latn", ["eng"], ["eng"]),
        ("de", ["", "fr"], []),
    ],
)
def test_tags_match_by_script_and_prefer_the_region(code, tags, expected):
    assert match_languages(code, tags) == expected
