"""Find lines in an unexpected language, with py3langid; requires ``otembed[langid]``."""

from __future__ import annotations

from typing import Any

from otembed.errors import ConfigError, did_you_mean

# The code of text without a language, such as numbers.
NO_LANGUAGE = "zxx"
# Minimum probability of another language: names and single words are a little likely in many.
MIN_CONFIDENCE = 0.1
SAME = {"nb": "no", "cmn": "zh", "swh": "sw", "arb": "ar", "fil": "tl", "pes": "fa", "zsm": "ms", "ekk": "et"}


class LanguageFilter:
    r"""Detect lines in a language other than the expected one.

    With :math:`p(l \mid x)` the probability of py3langid, normalized over its languages, a line x is in another
    language than e if :math:`p(e \mid x)` is below ``min_probability`` and the most likely language is neither e nor
    "no language" and has a probability of .1 or more. Ambiguous lines are kept.

    Parameters
    ----------
    code
        Expected language, such as ``sw`` or ``zh_Hant``; scripts and regions are ignored.
    min_probability
        Lines with a lower probability of the expected language may be in another one. In (0, 1).

    Raises
    ------
    ConfigError
        py3langid is not installed, or does not support the language.
    """

    def __init__(self, code: str, min_probability: float) -> None:
        try:
            from py3langid import langid
        except ImportError:
            raise ConfigError(
                "filtering by language requires py3langid", 'Install it: pip install "otembed[langid]".'
            ) from None
        module: Any = langid
        self._identifier = module.LanguageIdentifier.from_model_file(module.MODEL_FILE, norm_probs=True)
        known = sorted({str(each) for each in self._identifier.nb_classes} - {NO_LANGUAGE})
        language = code.replace("_", "-").partition("-")[0]
        self.language = SAME.get(language, language)
        self.min_probability = min_probability
        if self.language not in known:
            raise ConfigError(
                f"py3langid does not support the language {code!r}",
                f"{did_you_mean(language, known)} Or do not filter this side: none.",
            )

    def is_other(self, text: str) -> bool:
        """Return whether a line is in another language."""
        ranked = self._identifier.rank(text)
        best, confidence = ranked[0]
        if best in (self.language, NO_LANGUAGE) or confidence < MIN_CONFIDENCE:
            return False
        return bool(dict(ranked)[self.language] < self.min_probability)
