"""The trees of the pocket corpus, which are said twice: in English and in French."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dragoman.text.pocket.words import Adjective, Agreement, Gender, Noun, Number, Verb

Tense = Literal["present", "past", "future", "prospective"]  # prospective: "when she arrives" → « quand elle arrivera »
Interrogative = Literal["", "why", "where"]
Degree = Literal["", "too", "very"]
Adverb = Literal["", "not", "never", "always", "often"]


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A noun with what stands around it. A possessor ("Anna's dog") takes the determiner's place."""

    noun: Noun
    number: Number = "singular"
    determiner: str = "the"
    adjectives: tuple[Adjective, ...] = ()
    possessor: "NounPhrase | Name | None" = None
    phrase: "Prepositional | None" = None
    relative: "Clause | None" = None


@dataclass(frozen=True, slots=True)
class Name:
    """A person's name, the same in both languages."""

    text: str
    gender: Gender


@dataclass(frozen=True, slots=True)
class Pronoun:
    """A subject pronoun. What it stands for, if the sentence says so, gives "it" and "they" their French gender."""

    english: str
    agreement: Agreement
    antecedent: Noun | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """The silent place of the relative pronoun inside a relative clause; `noun` is the head of the clause."""

    noun: Noun
    number: Number


@dataclass(frozen=True, slots=True)
class Coordination:
    """Two noun phrases joined by "and" or "or"."""

    conjunction: str
    first: "Nominal"
    second: "Nominal"


Nominal = NounPhrase | Name | Pronoun | Gap | Coordination


@dataclass(frozen=True, slots=True)
class Prepositional:
    """A preposition (in English) and its noun phrase."""

    preposition: str
    nominal: Nominal


@dataclass(frozen=True, slots=True)
class Action:
    """A verb with its object and its receiver. With a modal ("can", "must", "want to") the verb is an infinitive."""

    verb: Verb
    object: Nominal | None = None
    receiver: Nominal | None = None
    modal: Verb | None = None


@dataclass(frozen=True, slots=True)
class State:
    """To be somehow, or (without adjectives) somewhere."""

    adjectives: tuple[Adjective, ...] = ()
    degree: Degree = ""


@dataclass(frozen=True, slots=True)
class Passive:
    """To be crossed, eaten, … by someone."""

    verb: Verb
    agent: Nominal


@dataclass(frozen=True, slots=True)
class Report:
    """To say, to know, to think that …"""

    verb: Verb
    content: "Clause"


@dataclass(frozen=True, slots=True)
class Clause:
    """A subject and what is said of it."""

    subject: Nominal
    predicate: Action | State | Passive | Report
    tense: Tense = "present"
    adverb: Adverb = ""
    place: Prepositional | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A conjunction and the clause after it."""

    conjunction: str
    clause: Clause


@dataclass(frozen=True, slots=True)
class Sentence:
    """What comes first ("Yesterday," "Near the river," "Because it was tired,"), the main clause, those after it."""

    main: Clause
    opening: str | Prepositional | Link | None = None
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A question: with "" for the interrogative word, one that is answered by yes or no."""

    clause: Clause
    word: Interrogative = ""


@dataclass(frozen=True, slots=True)
class Exclamation:
    """ "What a beautiful cat!" """

    phrase: NounPhrase


Utterance = Sentence | Question | Exclamation
PARTS: dict[type, tuple[str, ...]] = {
    NounPhrase: ("possessor", "phrase", "relative"),
    Coordination: ("first", "second"),
    Prepositional: ("nominal",),
    Action: ("object", "receiver"),
    Passive: ("agent",),
    Report: ("content",),
    Clause: ("subject", "predicate", "place"),
    Link: ("clause",),
    Sentence: ("opening", "main", "links"),
    Question: ("clause",),
    Exclamation: ("phrase",),
}


def nodes(tree: Utterance) -> list[object]:
    """The tree and all the records in it, words excepted."""
    found: list[object] = [tree]
    for node in found:  # grows while it is read
        for name in PARTS.get(type(node), ()):
            part = getattr(node, name)
            if type(part) is tuple:
                found += part
            elif part is not None:
                found.append(part)
    return found


def heads(nominal: Nominal) -> tuple[Noun, ...]:
    """The nouns that a noun phrase, a pronoun or a relative pronoun stands for."""
    if isinstance(nominal, NounPhrase | Gap):
        return (nominal.noun,)
    if isinstance(nominal, Coordination):
        return heads(nominal.first) + heads(nominal.second)
    if isinstance(nominal, Pronoun) and nominal.antecedent is not None:
        return (nominal.antecedent,)
    return ()


def modifiers(records: Iterable[object]) -> frozenset[tuple[str, str]]:
    """The pairs (noun, adjective) in the records of a tree, attributive and predicative, also through a pronoun."""
    pairs: list[tuple[str, str]] = []
    for node in records:
        if isinstance(node, NounPhrase):
            pairs += [(node.noun.key, adjective.english) for adjective in node.adjectives]
        elif isinstance(node, Clause) and isinstance(node.predicate, State):
            described = node.predicate.adjectives
            pairs += [(noun.key, adjective.english) for noun in heads(node.subject) for adjective in described]
    return frozenset(pairs)


def agreement(nominal: Nominal) -> Agreement:
    """Person, gender and number of a phrase. Two phrases together are plural, and masculine if one of them is."""
    if isinstance(nominal, Pronoun):
        return nominal.agreement
    if isinstance(nominal, Name):
        return Agreement(3, nominal.gender, "singular")
    if isinstance(nominal, Coordination):
        genders = {agreement(nominal.first).gender, agreement(nominal.second).gender}
        return Agreement(3, "f" if genders == {"f"} else "m", "plural")
    return Agreement(3, nominal.noun.gender, nominal.number)
