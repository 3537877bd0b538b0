"""Whole sentences of every kind: chains of clauses, pronouns whose antecedent must be found, homographs, questions."""

from typing import NamedTuple

from dragoman.text.pocket.choices import ABSOLUTE, CALM, OF_KIND, compatible
from dragoman.text.pocket.grammar import Grammar
from dragoman.text.pocket.homographs import SENSES, homograph
from dragoman.text.pocket.lexicon import NAMES, VERBS
from dragoman.text.pocket.trees import (
    Action,
    Adverb,
    Clause,
    Degree,
    Exclamation,
    Gap,
    Interrogative,
    Link,
    Name,
    NounPhrase,
    Passive,
    Prepositional,
    Pronoun,
    Question,
    Report,
    Sentence,
    State,
    Tense,
    Utterance,
    agreement,
)
from dragoman.text.pocket.words import Agreement, Gender, Noun, Number


class Frame(NamedTuple):
    """What an animal does to a thing, and the states that explain it: of the animal, of the thing, "too" or not."""

    verbs: tuple[str, ...]
    kind: str
    animal_too: frozenset[str]
    thing_too: frozenset[str]
    animal: frozenset[str]
    thing: frozenset[str]


def _frame(verbs: str, kind: str, animal_too: str, thing_too: str, animal: str, thing: str) -> Frame:
    sets = (frozenset(words.split()) for words in (animal_too, thing_too, animal, thing))
    return Frame(tuple(verbs.split()), kind, *sets)


UNFIT = "tired sick weak lazy sad nervous frightened hungry thirsty"
FRAMES = (
    _frame(
        "cross",
        "way",
        UNFIT,
        "wide long dangerous slippery muddy",
        "brave strong curious hungry thirsty frightened",
        "narrow",
    ),
    _frame("cross", "water", UNFIT, "wide deep dangerous", "brave strong curious hungry frightened", "quiet"),
    _frame("cross", "land", UNFIT, "muddy dangerous wide", "brave strong curious hungry thirsty frightened", "quiet"),
    _frame("climb", "height", UNFIT, "high slippery dangerous", "brave strong curious hungry frightened", ""),
    _frame(
        "eat", "food", "tired sick sad nervous frightened lazy", "salty bitter dry", "hungry curious", "fresh delicious"
    ),
    _frame("carry push pull", "load", UNFIT, "heavy full", "strong brave happy nervous", "light empty"),
)
GENDERS: tuple[Gender, Gender] = ("m", "f")
EXCLAIMED = frozenset(["beautiful", "big", "small", "old", "good", "strange", "brave", "kind", "lazy", "happy", "sad"])


def sentence(grammar: Grammar) -> Utterance:
    """A sentence of any kind."""
    dice = grammar.dice
    kind = dice.weighted(
        ("chain", 0.29),
        ("homograph", 0.27),
        ("contrast", 0.32),
        ("person", 0.05),
        ("question", 0.05),
        ("exclamation", 0.02),
    )
    if kind == "homograph":
        return homograph(grammar, SENSES)
    if kind == "contrast":
        return contrast(grammar)
    if kind == "person":
        return because_of_someone(grammar)
    if kind == "question":
        return question(grammar)
    if kind == "exclamation":
        return exclamation(grammar)
    return chain(grammar)


def chain(grammar: Grammar, number: int | None = None) -> Sentence:
    """One clause and `number` more (None: by chance), joined by and, but, because, when; sometimes with a time or a
    place in front."""
    dice = grammar.dice
    depth = dice.weighted((1, 0.85), (2, 0.15))
    tense = grammar.tense()
    opening: str | Prepositional | None = None
    if dice.chance(0.12):
        opening = tense
    elif dice.chance(0.06):
        opening = grammar.place()
    main = grammar.clause(tense, depth)
    if number is None:
        number = dice.weighted((0, 0.68), (1, 0.22), (2, 0.04), (3, 0.03), (4, 0.02), (5, 0.01))
    links: list[Link] = []
    for _ in range(number):
        last = links[-1].conjunction if links else ""
        conjunction = dice.pick([word for word in ("and", "but", "because", "when") if word != last])
        if conjunction == "when" and _last_tense(links[-1].clause if links else main) == "future":
            links.append(Link("when", grammar.clause("prospective", depth)))
            break  # after it "and" might continue either clause, and the French tense with it
        if conjunction in ("and", "but"):
            tense = grammar.tense()
        links.append(Link(conjunction, grammar.clause(tense, depth)))
    return Sentence(main, opening, tuple(links))


def _last_tense(clause: Clause) -> Tense:
    """The tense that a following "when" continues: that of what is reported, if anything is."""
    return _last_tense(clause.predicate.content) if isinstance(clause.predicate, Report) else clause.tense


def contrast(grammar: Grammar) -> Sentence:
    """An animal, a thing, and a pronoun that can only be one of them. Roles, genders and positions are drawn alike."""
    dice = grammar.dice
    while True:
        frame, about_animal, refused = dice.pick(FRAMES), dice.chance(0.5), dice.chance(0.65)
        number: Number = "plural" if dice.chance(0.15) else "singular"
        animal = _of_gender(grammar, "animal", dice.pick(GENDERS), number)
        thing = _of_gender(grammar, frame.kind, dice.pick(GENDERS), number)
        states = (
            (frame.animal_too if about_animal else frame.thing_too)
            if refused
            else (frame.animal if about_animal else frame.thing)
        )
        noun = animal if about_animal else thing
        if noun is None or animal is None or thing is None:
            continue
        actor, target = _told(grammar, animal, number), _told(grammar, thing, number)
        said = (actor if about_animal else target).adjectives
        choice = [word for word in compatible(grammar.adjectives[noun.key], said) if word.english in states]
        if choice:
            break
    tense: Tense = dice.weighted(("past", 0.7), ("present", 0.15), ("future", 0.15))
    adverb: Adverb = ("not" if dice.chance(0.85) else "never") if refused else ""
    word = dice.pick(choice)
    degree: Degree = "too" if refused else "" if word.english in ABSOLUTE else "very"
    state = State((word,), degree if dice.chance(0.7) else "")
    pronoun = Pronoun("it" if number == "singular" else "they", Agreement(3, noun.gender, number), noun)
    verb = VERBS[dice.pick(frame.verbs)]
    if dice.chance(0.5):
        main = Clause(target, Passive(verb, actor), tense, adverb)
    else:
        main = Clause(actor, Action(verb, target), tense, adverb)
    reason = Link("because", Clause(pronoun, state, "past" if tense == "past" else "present"))
    return _with_reason(grammar, main, reason)


def _of_gender(grammar: Grammar, kind: str, gender: Gender, number: Number) -> Noun | None:
    """A noun of the kind and gender; none if the draw has no plural where one is needed."""
    noun = grammar.dice.pick([noun for noun in OF_KIND[kind] if noun.gender == gender])
    return noun if number == "singular" or noun.english_plural else None


def _told(grammar: Grammar, noun: Noun, number: Number) -> NounPhrase:
    """A phrase in which no other thing is named, so that the pronoun has no third candidate."""
    dice = grammar.dice
    word = dice.weighted(
        ("the", 0.8), ("this" if dice.chance(0.5) else "that", 0.12), ("my" if "animal" in noun.kinds else "the", 1.0)
    )
    possessor = dice.pick(NAMES) if word == "the" and "animal" in noun.kinds and dice.chance(0.1) else None
    relative = None
    if number == "singular" and dice.chance(0.12):
        if "animal" in noun.kinds:
            relative = Clause(
                Gap(noun, number), Action(dice.pick([VERBS["sleep"], VERBS["run"], VERBS["wait"]])), "past"
            )
        else:
            relative = Clause(dice.pick(NAMES), Action(VERBS["see"], Gap(noun, number)), "past")
    return NounPhrase(noun, number, word, grammar.attributes(noun, 0.2, 0.04), possessor, None, relative)


def _with_reason(grammar: Grammar, main: Clause, reason: Link) -> Sentence:
    """The reason after the main clause, or before it; at times another clause follows."""
    dice = grammar.dice
    more: tuple[Link, ...] = ()
    if dice.chance(0.1):
        person = grammar.plain(grammar.noun(("person",)))
        more = (Link(dice.pick(("and", "but")), Clause(person, Action(dice.pick(CALM)), main.tense)),)
    if dice.chance(0.2):
        return Sentence(main, reason, more)
    return Sentence(main, None, (reason, *more))


def because_of_someone(grammar: Grammar) -> Sentence:
    """A person does something to a thing because he or she (or it, the thing) is so."""
    dice = grammar.dice
    noun = grammar.noun(("person",))
    person: NounPhrase | Name = dice.pick(NAMES) if dice.chance(0.4) else grammar.plain(noun, grammar.number(noun))
    who = agreement(person)
    word = "they" if who.number == "plural" else "he" if who.gender == "m" else "she"
    frame = dice.pick(FRAMES)
    thing = dice.pick(OF_KIND[frame.kind])
    tense: Tense = dice.weighted(("past", 0.75), ("present", 0.25))
    target = _told(grammar, thing, "singular")
    fits = compatible(grammar.adjectives[thing.key], target.adjectives)
    choice = [adjective for adjective in fits if adjective.english in frame.thing_too]
    if dice.chance(0.5) and choice:
        pronoun = Pronoun("it", Agreement(3, thing.gender, "singular"), thing)
    else:
        head = person.noun if isinstance(person, NounPhrase) else noun
        fits = compatible(grammar.adjectives[head.key], person.adjectives if isinstance(person, NounPhrase) else ())
        choice = [adjective for adjective in fits if adjective.english in frame.animal_too]
        pronoun = Pronoun(word, who, person.noun if isinstance(person, NounPhrase) else None)
    reason = Clause(pronoun, State((dice.pick(choice),), "too"), tense)
    action = Action(VERBS[dice.pick(frame.verbs)], target)
    return _with_reason(grammar, Clause(person, action, tense, "not"), Link("because", reason))


def question(grammar: Grammar) -> Question:
    """Yes or no, why, or where."""
    dice = grammar.dice
    tense = grammar.tense()
    kinds = ("person",) if dice.chance(0.6) else ("animal",)
    word: Interrogative = dice.weighted(("", 0.55), ("why", 0.3), ("where", 0.15))
    who = grammar.phrase(grammar.noun(kinds), 0, lambda noun, number: "the")
    if word != "where" and dice.chance(0.3):
        state = grammar.being(who, tense)
        return Question(Clause(state.subject, state.predicate, tense, "", state.place), word)
    asked = grammar.doing(who, kinds, tense, 0)
    assert isinstance(asked.predicate, Action)
    if word == "where" and asked.predicate.verb.english == "go":
        return question(grammar)
    place = None if word == "where" else asked.place
    adverb: Adverb = "not" if word == "why" and asked.adverb == "not" else ""
    if asked.adverb and adverb != asked.adverb:
        return question(grammar)
    return Question(Clause(asked.subject, asked.predicate, tense, adverb, place), word)


def exclamation(grammar: Grammar) -> Exclamation:
    """What a beautiful cat!"""
    kind = grammar.dice.pick(("animal", "person", "goods", "load", "vehicle", "place", "plant"))
    noun = grammar.dice.pick(OF_KIND[kind])
    choice = [word for word in grammar.adjectives[noun.key] if word.english in EXCLAIMED]
    return Exclamation(NounPhrase(noun, "singular", "a", (grammar.dice.pick(choice),)))
