"""Rules of cleaning that know languages: in which script each is written, and how it is told from the others."""

import unicodedata
from collections import Counter
from functools import cache
from typing import Any

from dragoman.errors import InputError
from dragoman.text.cleaning import PairRule, at_least

# Scripts, as the names of their letters begin in Unicode, and the languages that are mostly written in each.
WRITTEN_IN = {
    "LATIN": "af az br bs ca crh cs cy da de en eo es et eu fi fo fr fy ga gd gl ha hr ht hu id ig is it jv ku la lb lg"
    " ln lt lv mg mi ms mt nb nl nn no ny oc om pl pt qu ro rw sk sl sm sn so sq sr st su sv sw tk tl tn to tr ts uz vi"
    " vo wa xh yo zu",
    "CYRILLIC": "ab av ba be bg ce cv kk kv ky mk mn os ru sah sr tg tt uk uz",
    "GREEK": "el grc",
    "ARABIC": "ar ary arz ckb fa ku ps sd sdh ug ur",
    "HEBREW": "he yi",
    "DEVANAGARI": "bho gom hi mai mr ne sa",
    "BENGALI": "as bn",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "ORIYA": "or",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "LAO": "lo",
    "TIBETAN": "bo dz",
    "MYANMAR": "my",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "ETHIOPIC": "am ti",
    "KHMER": "km",
    "HANGUL": "ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "ja ko wuu yue zh",
}
OTHER_NAMES = {"IDEOGRAPHIC": "CJK", "KATAKANA-HIRAGANA": "KATAKANA", "HALFWIDTH": "KATAKANA", "FULLWIDTH": "LATIN"}
# Languages that no program tells apart in a sentence.
ALIKE = [
    frozenset(languages.split())
    for languages in ("nb nn no da", "bs hr sr", "id ms jv", "ar ary arz", "zh yue wuu", "ku ckb sdh", "uz uzs")
]


class UnknownLanguage(InputError):
    """A language that a rule cannot judge."""


class Script(PairRule):
    """A side with at least `letters` letters of which less than `share` are in a script of its language."""

    def __init__(self, *, source_language: str, target_language: str, letters: int, share: float) -> None:
        self.letters = at_least(1, "letters", letters)
        self.share = between(0, 1, "share", share)
        self.scripts = {"source": scripts_of(source_language), "target": scripts_of(target_language)}

    def objection(self, source: str, target: str) -> str | None:
        for side, text in (("source", source), ("target", target)):
            letters = {letter: count for letter, count in Counter(text).items() if letter.isalpha()}
            total = sum(letters.values())
            right = sum(count for letter, count in letters.items() if script_of(letter) in self.scripts[side])
            if total >= self.letters and right < self.share * total:
                return f"{side}: {right} of {total} letters are {' or '.join(sorted(self.scripts[side]))}"
        return None


class Language(PairRule):
    """A side in neither language of the pair, or both sides in each other's, as py3langid tells it.

    Only texts of at least `letters` letters are judged, and a language counts only with a probability of `sure`.
    """

    def __init__(self, *, source_language: str, target_language: str, letters: int, sure: float) -> None:
        self.letters = at_least(1, "letters", letters)
        self.sure = between(0.5, 1, "sure", sure)
        self.source, self.target = first_part(source_language), first_part(target_language)
        known = {*identifier().labels, *(language for alike in ALIKE for language in alike)}
        for language in (self.source, self.target):
            if language not in known:
                raise UnknownLanguage(
                    f"py3langid does not know the language {language!r}; set cleaning.language=null to do without."
                )

    def objection(self, source: str, target: str) -> str | None:
        ours, theirs = self._told(source), self._told(target)
        own = names_of(self.source) | names_of(self.target)
        for side, told in (("source", ours), ("target", theirs)):
            if told is not None and told[0] not in own:
                return f"{side}: {told[0]}, probability {told[1]:.2f}"
        if ours is None or theirs is None or names_of(self.source) == names_of(self.target):
            return None
        if ours[0] in names_of(self.target) and theirs[0] in names_of(self.source):
            return f"the sides are swapped: {ours[0]} ({ours[1]:.2f}) and {theirs[0]} ({theirs[1]:.2f})"
        return None

    def _told(self, text: str) -> tuple[str, float] | None:
        if sum(map(str.isalpha, text)) < self.letters:
            return None
        language, probability = identifier().classify(text)
        return (language, probability) if probability >= self.sure and language != "zxx" else None


@cache
def script_of(letter: str) -> str:
    """The first word of the letter's name, which is its script."""
    first = unicodedata.name(letter, "?").split()[0]
    return OTHER_NAMES.get(first, first)


def scripts_of(language: str) -> frozenset[str]:
    """The scripts that a language is written in."""
    code = first_part(language)
    found = frozenset(script for script, languages in WRITTEN_IN.items() if code in languages.split())
    if not found:
        raise UnknownLanguage(f"No script is known for the language {language!r}; set cleaning.script=null.")
    return found


def first_part(language: str) -> str:
    """ "pt" of "pt-BR" and of "pt_BR"."""
    return language.lower().replace("_", "-").split("-")[0]


def names_of(language: str) -> frozenset[str]:
    """The language and those that are not told from it."""
    return next((alike for alike in ALIKE if language in alike), frozenset({language}))


@cache
def identifier() -> Any:
    """py3langid's model, with probabilities."""
    from py3langid import langid  # here: most never need it

    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


def between(lowest: float, highest: float, name: str, value: float) -> float:
    """The number of that name, unless it is out of range."""
    if not lowest <= value <= highest:
        raise ValueError(f"`{name}` is {value}, but must be between {lowest} and {highest}.")
    return value
