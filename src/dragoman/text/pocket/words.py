"""The words of the pocket corpus as records, and what they agree in."""

from dataclasses import dataclass
from typing import Literal

Gender = Literal["m", "f"]
Number = Literal["singular", "plural"]


@dataclass(frozen=True, slots=True)
class Noun:
    """One sense of a noun. `key` is its English lemma, or "bank:rive" where the English word has several senses."""

    key: str
    english: str
    english_plural: str  # "" where the corpus has no plural of it
    french: str
    french_plural: str
    gender: Gender
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective, the kinds of nouns that it fits, and where it stands in French."""

    english: str
    masculine: str
    feminine: str
    before_vowel: str  # "bel" for "beau"; elsewhere the masculine
    place: Literal["before", "after", "colour"]
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb, its forms, and the kinds of subjects and objects that it takes."""

    english: str  # the base form; a particle follows it: "look for"
    third: str
    past: str
    participle: str
    infinitive: str
    present: tuple[str, str, str, str, str]  # je, il, nous, vous, ils
    future: str  # the stem
    french_participle: str
    auxiliary: Literal["avoir", "être"]
    preposition: str  # the French one before its object, "" where that is direct
    subjects: tuple[str, ...]
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a verb or an adjective takes from the phrase that it agrees with."""

    person: Literal[1, 2, 3]
    gender: Gender
    number: Number
