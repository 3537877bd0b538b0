"""The noun phrases of the seeded grammar that hold no clause."""

from collections.abc import Mapping, Sequence

from dragoman.text.pocket.choices import (
    OF_KIND,
    OWNABLE,
    PLACES,
    Dice,
    compatible,
)
from dragoman.text.pocket.lexicon import NAMES, NUMERALS, POSSESSIVES
from dragoman.text.pocket.trees import Name, Nominal, NounPhrase, Prepositional, Pronoun, agreement
from dragoman.text.pocket.words import Adjective, Noun, Number

Adjectives = Mapping[str, tuple[Adjective, ...]]  # noun → the adjectives that may be drawn for it


class Phrases:
    """Draws words, determiners and short phrases."""

    def __init__(self, dice: Dice, adjectives: Adjectives) -> None:
        self.dice = dice
        self.adjectives = adjectives

    def companion(self, kinds: Sequence[str]) -> Nominal:
        """One of two phrases joined by "and"."""
        if "person" in kinds and self.dice.chance(0.3):
            return self.dice.pick(NAMES)
        return self.plain(self.noun(kinds))

    def noun(self, kinds: Sequence[str]) -> Noun:
        """A noun of one of the kinds."""
        return self.dice.pick(OF_KIND[self.dice.pick(kinds)])

    def plain(self, noun: Noun, number: Number = "singular", chance: float = 0.25) -> NounPhrase:
        """A definite phrase with at most one adjective."""
        return NounPhrase(noun, number, "the", self.attributes(noun, chance, 0.0))

    def attributes(self, noun: Noun, one: float = 0.3, two: float = 0.07) -> tuple[Adjective, ...]:
        """No, one or two adjectives: two are "old white" or "wide and dangerous"."""
        choice = self.adjectives[noun.key]
        number = self.dice.weighted((1, one), (2, two), (0, 1.0))
        if not choice or number == 0:
            return ()
        first = self.dice.pick(choice)
        second = self.dice.pick(compatible(choice, (first,)) or choice)
        fits = second.place == "colour" if first.place == "before" else first.place == second.place == "after"
        return (first, second) if number == 2 and fits and compatible((second,), (first,)) else (first,)

    def number(self, noun: Noun) -> Number:
        """Plural at times, where the noun has one."""
        return "plural" if noun.english_plural and self.dice.chance(0.25) else "singular"

    def subject_determiner(self, noun: Noun, number: Number) -> str:
        """A determiner before the verb, where nothing decides about "not a" yet."""
        if number == "plural":
            return self.dice.weighted(("the", 0.55), (self.numeral(), 0.2), (self.pointing(), 0.25))
        loose = "the" if "mass" in noun.kinds else self.dice.pick(("a", "every"))
        own = self.owner(noun, "")
        return self.dice.weighted(("the", 0.65), (loose, 0.12), (self.pointing(), 0.11), (own, 0.12))

    def numeral(self) -> str:
        """How many."""
        return self.dice.pick(tuple(NUMERALS))

    def pointing(self) -> str:
        """A demonstrative."""
        return "this" if self.dice.chance(0.6) else "that"

    def owner(self, noun: Noun, bound: str) -> str:
        """A possessive: mostly the one that the subject gives."""
        if not OWNABLE & noun.kinds:
            return "the"
        if bound and self.dice.chance(0.75):
            return bound
        return self.dice.pick(("my", "our", "your"))

    def possessor(self, noun: Noun) -> NounPhrase | Name:
        """Whose it is: a person's name, or a definite phrase."""
        owner = self.noun(("owner",))
        if owner == noun or self.dice.chance(0.5):
            return self.dice.pick(NAMES)
        return NounPhrase(owner)

    def place(self, prepositions: Sequence[str] = tuple(PLACES)) -> Prepositional:
        """Where: in the garden, near the old bridge."""
        preposition = self.dice.pick(prepositions)
        noun = self.noun((PLACES[preposition],))
        word = self.dice.weighted(("the", 0.8), (self.pointing(), 0.1), ("a", 0.1)) if noun.key != "night" else "the"
        return Prepositional(preposition, NounPhrase(noun, "singular", word, self.attributes(noun, 0.25, 0.03)))

    def bound(self, who: Nominal) -> str:
        """The possessive that stands for the subject: the girl … her."""
        if isinstance(who, Pronoun):
            return POSSESSIVES[who.english, who.agreement.gender]
        if isinstance(who, Name) or (isinstance(who, NounPhrase) and "person" in who.noun.kinds):
            if agreement(who).number == "plural":
                return "their"
            return "his" if agreement(who).gender == "m" else "her"
        return ""
