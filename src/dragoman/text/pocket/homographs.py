"""English words with several senses, and the cues that decide between them.

A cue is a relation and a noun: a preposition ("of river": the bank of the river) or a verb ("cross river": whoever
crosses it sees that bank). No cue belongs to two senses of one word, so that the English determines the French.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dragoman.text.pocket.choices import CALM, INTRANSITIVE, OF_KIND
from dragoman.text.pocket.grammar import Grammar
from dragoman.text.pocket.lexicon import NAMES, PREPOSITIONS, VERBS
from dragoman.text.pocket.nouns import NOUNS
from dragoman.text.pocket.trees import (
    Action,
    Clause,
    Gap,
    Link,
    Name,
    NounPhrase,
    Passive,
    Prepositional,
    Pronoun,
    Sentence,
    State,
    Tense,
    agreement,
)
from dragoman.text.pocket.words import Agreement, Noun, Verb

TABLE = """
bank:rive           | of river, of lake, cross river, cross lake
bank:banque         | lose money, find money, hide money, look~for money
bat:chauve-souris   | in cave, during night, see owl, look~for owl
bat:batte           | of player, watch player, help player, follow player
spring:source       | near mountain, in forest, climb mountain, drink water
spring:ressort      | of clock, in clock, break clock, buy clock
nail:ongle          | of finger, on finger, draw finger, draw hand
nail:clou           | in wall, near hammer, find hammer, look~for hammer
match:allumette     | near candle, buy candle, lose candle, look~for candle
match:match         | in stadium, watch player, help player, follow player
ring:bague          | on finger, on hand, draw hand, draw finger
ring:ring           | in stadium, watch boxer, follow boxer, help boxer
glass:verre         | in kitchen, drink wine, drink water, drink milk
glass:lunettes      | on nose, write letter, write book, draw nose
palm:paume          | of hand, draw hand, draw finger
palm:palmier        | on beach, on island, near beach, near sea
seal:phoque         | in sea, on ice, near sea, see sea
seal:sceau          | of king, on letter, write letter, open letter
trunk:malle         | in attic, hide coat, hide dress, buy coat
trunk:tronc         | of tree, in forest, draw tree
trunk:trompe        | of elephant, draw elephant, watch elephant, see elephant
mole:taupe          | in garden, in field, cross field, cross garden
mole:grain_de_beauté | on nose, on hand, draw nose, draw hand
key:clé             | of door, of house, open door, close door
key:touche          | of piano, break piano, buy piano
chest:coffre        | in attic, on boat, hide treasure, find treasure
chest:poitrine      | of patient, help patient, watch patient
organ:orgue         | in church, of church
organ:organe        | of patient, of animal, help patient, watch patient
pitcher:cruche      | in kitchen, drink water, drink wine, drink milk
pitcher:lanceur     | in stadium, watch player, help player
pen:stylo           | on book, write letter, write book, open letter
pen:enclos          | of pig, in field, follow pig, look~for pig
bow:arc             | of hunter, near arrow, follow hunter, break arrow, find arrow
bow:archet          | of violin, near violin, buy violin, break violin
bulb:ampoule        | of lamp, in lamp, break lamp, buy lamp
bulb:bulbe          | of flower, in garden, buy flower
horn:corne          | of goat, of cow, follow goat, follow cow
horn:klaxon         | of car, of truck, in car, buy car
"""


class Cue(NamedTuple):
    """What decides a sense: a place ("near", the lake) or an event (to cross, the lake)."""

    relation: str | Verb
    noun: Noun


class Sense(NamedTuple):
    """One sense of a homograph and its cues."""

    noun: Noun
    cues: tuple[Cue, ...]


def _cue(text: str) -> Cue:
    relation, noun = text.split()
    relation = relation.replace("~", " ")
    return Cue(relation if relation in PREPOSITIONS else VERBS[relation], NOUNS[noun])


def _sense(line: str) -> Sense:
    key, cues = line.split("|")
    return Sense(NOUNS[key.strip().replace("_", " ")], tuple(_cue(cue) for cue in cues.split(",")))


SENSES = tuple(map(_sense, TABLE.strip().splitlines()))
NEUTRAL_VERBS = tuple(VERBS[word] for word in ("see", "find", "look for", "draw", "admire"))
NEUTRAL_PASSIVES = tuple(VERBS[word] for word in ("see", "find", "draw", "admire"))
FRONTED = frozenset(["inside", "surface", "spot", "scene", "time"])  # « sur le nez, il a vu … » would be odd


def homograph(grammar: Grammar, senses: Sequence[Sense]) -> Sentence:
    """A word in one of the senses, with one cue somewhere else in the sentence."""
    dice = grammar.dice
    sense = dice.pick(senses)
    cue = dice.pick(sense.cues)
    tense: Tense = dice.weighted(("past", 0.7), ("present", 0.15), ("future", 0.15))
    number = grammar.number(sense.noun)
    if sense.noun.english == "glass":
        number = "plural"  # « lunettes »
    determiner = dice.weighted(
        ("the", 0.75), ("this", 0.1), ("that", 0.1), ("a" if number == "singular" else "the", 1.0)
    )
    adjectives = grammar.attributes(sense.noun, 0.25, 0.03)
    if isinstance(cue.relation, str):
        place = Prepositional(cue.relation, _cue_phrase(grammar, cue))
        fronted = cue.relation != "of" and FRONTED & cue.noun.kinds and dice.chance(0.4)
        if fronted or cue.relation == "during":
            return _mention(grammar, NounPhrase(sense.noun, number, determiner, adjectives), tense, place)
        if cue.relation == "of":
            determiner = "the"
        return _mention(grammar, NounPhrase(sense.noun, number, determiner, adjectives, None, place), tense, None)
    return _beside_event(grammar, NounPhrase(sense.noun, number, determiner, adjectives), cue, tense)


def _cue_phrase(grammar: Grammar, cue: Cue) -> NounPhrase:
    words = ("the", "this", "that") if cue.noun.key != "night" else ("the",)
    word = words[0] if grammar.dice.chance(0.8) else grammar.dice.pick(words)
    return NounPhrase(cue.noun, "singular", word, grammar.attributes(cue.noun, 0.25, 0.03))


def _someone(grammar: Grammar) -> NounPhrase | Name:
    """A person who is no cue."""
    if grammar.dice.chance(0.35):
        return grammar.dice.pick(NAMES)
    return grammar.plain(grammar.dice.pick(OF_KIND["neutral"]))


def _mention(grammar: Grammar, phrase: NounPhrase, tense: Tense, opening: Prepositional | None) -> Sentence:
    """Someone sees it, it is seen by someone, or it is somehow; further clauses tell nothing of it."""
    dice = grammar.dice
    kind = dice.weighted(("active", 0.65), ("passive", 0.15), ("state", 0.2))
    state = grammar.being(phrase, tense)
    if kind == "passive":
        main = Clause(phrase, Passive(dice.pick(NEUTRAL_PASSIVES), _someone(grammar)), tense)
    elif kind == "state" and isinstance(state.predicate, State) and state.predicate.adjectives:
        main = state
    else:
        main = Clause(_busy(grammar), Action(dice.pick(NEUTRAL_VERBS), phrase), tense)
    if dice.chance(0.25):
        more = Clause(_someone(grammar), Action(dice.pick(CALM)), tense)
        return Sentence(main, opening, (Link(dice.pick(("and", "but", "because")), more),))
    return Sentence(main, opening)


def _busy(grammar: Grammar) -> NounPhrase | Name:
    """A person, at times one "who was singing": that takes the cue further away."""
    person = _someone(grammar)
    if isinstance(person, Name) or not grammar.dice.chance(0.2):
        return person
    doing = Clause(Gap(person.noun, "singular"), Action(grammar.dice.pick(INTRANSITIVE)), "past")
    if doing.predicate == Action(VERBS["go"]):
        return person
    return NounPhrase(person.noun, "singular", "the", person.adjectives, None, None, doing)


def _beside_event(grammar: Grammar, phrase: NounPhrase, cue: Cue, tense: Tense) -> Sentence:
    """Someone meets the word, and someone (the same, or another) does what decides its sense, before or after."""
    dice = grammar.dice
    assert not isinstance(cue.relation, str)
    done = Action(cue.relation, _cue_phrase(grammar, cue))
    met = Action(dice.pick(NEUTRAL_VERBS), phrase)
    person = _someone(grammar)
    shape = dice.weighted(("relative", 0.25), ("after", 0.3), ("before", 0.3), ("opening", 0.15))
    if shape == "relative" and isinstance(person, NounPhrase):
        did = Clause(Gap(person.noun, "singular"), done, "past")
        who = NounPhrase(person.noun, "singular", "the", person.adjectives, None, None, did)
        return Sentence(Clause(who, met, tense))
    gender = agreement(person).gender
    same = Pronoun("he" if gender == "m" else "she", Agreement(3, gender, "singular"))
    if shape == "opening":
        past: Tense = "past" if tense == "future" else tense
        return Sentence(Clause(same, met, past), Link(dice.pick(("when", "because")), Clause(person, done, past)))
    conjunction = dice.pick(("and", "but", "because", "when"))
    later: Tense = "prospective" if conjunction == "when" and tense == "future" else tense
    other = same if dice.chance(0.6) else _someone(grammar)
    first, second = (met, done) if shape == "after" else (done, met)
    return Sentence(Clause(person, first, tense), None, (Link(conjunction, Clause(other, second, later)),))
