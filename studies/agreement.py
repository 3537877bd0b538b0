"""Sentences whose verb stands far from its subject, behind relative clauses, and a corpus that tells the rule.

Between the two are persons, who could be the subject themselves, or things.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

from bottleneck import DATA, read, write
from dragoman.text.lines import read_lines
from dragoman.text.pocket import Contrast
from dragoman.text.pocket.choices import CALM, OF_KIND, Dice
from dragoman.text.pocket.corpus import SEEN, render
from dragoman.text.pocket.lexicon import VERBS
from dragoman.text.pocket.trees import Action, Clause, Gap, NounPhrase, Prepositional, Sentence
from dragoman.text.pocket.words import Noun, Number, Verb
from study import RUNS

DEPTHS, OF_EACH = range(7), 200
TOLD, TOLD_DEPTHS, OF_EACH_TOLD = RUNS / "distance_told" / "data", (1, 2), 500
FOLLOWED = tuple(VERBS[word] for word in ("follow", "watch", "help", "see"))
FOUND = tuple(VERBS[word] for word in ("find", "lose", "buy"))
PERSONS, GOODS = ([noun for noun in OF_KIND[kind] if noun.english_plural] for kind in ("person", "goods"))
SPOTS = [noun for noun in OF_KIND["spot"] if SEEN[noun.key]]
OTHER: dict[Number, Number] = {"singular": "plural", "plural": "singular"}


def among_persons(dice: Dice, noun: Noun, depth: int, number: Number, between: Number) -> NounPhrase:
    """The girls who followed the boy who saw the man …"""
    if not depth:
        return NounPhrase(noun, number)
    other = dice.pick([one for one in PERSONS if one is not noun])
    return who(noun, number, dice.pick(FOLLOWED), among_persons(dice, other, depth - 1, between, between))


def among_things(dice: Dice, noun: Noun, depth: int, number: Number, between: Number) -> NounPhrase:
    """The girls who found the hat near the old school behind the big house …"""
    if not depth:
        return NounPhrase(noun, number)
    place: Prepositional | None = None
    for _ in range(depth - 1):
        spot = dice.pick(SPOTS)
        described = NounPhrase(spot, adjectives=(dice.pick(SEEN[spot.key]),), phrase=place)
        place = Prepositional(dice.pick(("near", "behind")), described)
    return who(noun, number, dice.pick(FOUND), NounPhrase(dice.pick(GOODS), between, phrase=place))


def who(noun: Noun, number: Number, verb: Verb, other: NounPhrase) -> NounPhrase:
    """The noun and what it did."""
    return NounPhrase(noun, number, relative=Clause(Gap(noun, number), Action(verb, other), "past"))


BETWEEN = {"persons": among_persons, "things": among_things}


def agreements(between: str, depth: int, seed: int = 0) -> Iterator[Contrast]:
    """The verb's number, right and wrong: singular and plural subjects in turn, without end.

    What stands between is of the other number, but for places, which are singular.
    """
    dice = Dice(100 * seed + depth)
    for number in itertools.cycle(OTHER):
        subject = BETWEEN[between](dice, dice.pick(PERSONS), depth, number, OTHER[number])
        source, right = render(Sentence(Clause(subject, Action(dice.pick(CALM)), "past")))
        a, b = (" a ", " ont ") if number == "singular" else (" ont ", " a ")
        before, _, after = right.rpartition(a)
        yield Contrast(source, right, f"{before}{b}{after}", f"{between}, {len(source.split()) - 3} words")


def sample(between: str, depth: int, size: int) -> list[Contrast]:
    """The first so many."""
    return list(itertools.islice(agreements(between, depth), size))


def evidence(folder: Path) -> tuple[int, int]:
    """Training sentences where a person near the beginning has a clause with "who", and those with a rival in it.

    A rival is the first person within four words after "who" and its verb, if it is of the other number: words
    are looked at, not trees.
    """
    numbers = {noun.english: "singular" for noun in PERSONS} | {noun.english_plural: "plural" for noun in PERSONS}
    clauses = rivals = 0
    for line in read_lines(folder / "train.en"):
        subject, _, clause = line.rstrip(".?!").partition(" who ")
        words = subject.split()
        if clause and len(words) <= 5 and words[-1] in numbers:
            clauses += 1
            persons = [numbers[word] for word in clause.split()[1:5] if word in numbers]
            rivals += bool(persons) and persons[0] != numbers[words[-1]]
    return clauses, rivals


def write_told() -> None:
    """The corpus of `studies/bottleneck.py`, and in its training split sentences that tell the rule; none is tested."""
    if (TOLD / "test.fr").exists():
        return
    tested = {one.source for between in BETWEEN for depth in DEPTHS for one in sample(between, depth, OF_EACH)}
    telling: list[tuple[str, str]] = []
    for between, depth in itertools.product(BETWEEN, TOLD_DEPTHS):
        new = ((one.source, one.right) for one in agreements(between, depth, seed=1) if one.source not in tested)
        telling += itertools.islice(new, OF_EACH_TOLD)
    write(TOLD, "train", read(DATA, "train") + telling)
    for name in ("val", "test"):
        write(TOLD, name, read(DATA, name))
