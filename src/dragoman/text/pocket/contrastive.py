"""Sentences with one right and one wrong translation: does a model know what "it" stands for, and which bank is meant?

Sets are balanced, so that whoever guesses by position, by gender, by noun or by frequency is right half of the time.
None of the right translations stands in a training split.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, permutations, product
from typing import NamedTuple, TypeVar

from dragoman.text.pocket.choices import OF_KIND, Dice
from dragoman.text.pocket.corpus import SEEN, SHOWN, render, split_of
from dragoman.text.pocket.grammar import Grammar
from dragoman.text.pocket.homographs import SENSES, homograph
from dragoman.text.pocket.lexicon import VERBS
from dragoman.text.pocket.sentences import FRAMES, Frame
from dragoman.text.pocket.trees import (
    PARTS,
    Action,
    Clause,
    Link,
    NounPhrase,
    Passive,
    Pronoun,
    Sentence,
    State,
    nodes,
)
from dragoman.text.pocket.words import Agreement, Gender, Noun

Tree = TypeVar("Tree")
TRIES = 200  # draws until one is right for a place in a set; what cannot be had is left out with its counterparts


class Contrast(NamedTuple):
    """A sentence, its translation, the same with the one fault that tells whether it was understood, and its kind."""

    source: str
    right: str
    wrong: str
    phenomenon: str


def contrasts(*, size: int, seed: int) -> list[Contrast]:
    """So many contrasts, half of them pronouns and half homographs."""
    grammar = Grammar(Dice(seed), SEEN)
    pronouns = islice(different(quartets(grammar)), size // 2)
    return [*pronouns, *islice(different(pairs_of_senses(grammar)), size - size // 2)]


def different(found: Iterator[Contrast]) -> Iterator[Contrast]:
    """Without end and without repetition."""
    seen: set[str] = set()
    for one in found:
        if one.source not in seen:
            seen.add(one.source)
            yield one


def quartets(grammar: Grammar) -> Iterator[Contrast]:
    """An animal and a thing of different genders: both orders, and "it" once the one and once the other."""
    dice = grammar.dice
    while True:
        frame = dice.pick(FRAMES)
        animal, thing = dice.pick(OF_KIND["animal"]), dice.pick(OF_KIND[frame.kind])
        if animal.gender == thing.gender:
            continue
        cases = product((True, False), (animal, thing))
        found = [one for order, it in cases if (one := pronoun(grammar, frame, animal, thing, it, order))]
        if len(found) == 4:
            yield from found


def pronoun(grammar: Grammar, frame: Frame, animal: Noun, thing: Noun, it: Noun, animal_first: bool) -> Contrast | None:
    """The animal didn't cross the road because it was too …: with the pronoun of `it`, and with the other one."""
    dice = grammar.dice
    states = frame.animal_too if it is animal else frame.thing_too
    fitting = [word for word in grammar.adjectives[it.key] if word.english in states]
    for _ in range(TRIES if fitting else 0):
        verb, state = VERBS[dice.pick(frame.verbs)], State((dice.pick(fitting),), "too")
        actor, target = grammar.plain(animal), grammar.plain(thing)
        predicate = Action(verb, target) if animal_first else Passive(verb, actor)
        main = Clause(actor if animal_first else target, predicate, "past", "not")

        def said(gender: Gender, main: Clause = main, state: State = state) -> Sentence:
            reason = Clause(Pronoun("it", Agreement(3, gender, "singular"), it), state, "past")
            return Sentence(main, None, (Link("because", reason),))

        source, right = render(said(it.gender))
        if new(source, right):
            place = "first" if (it is animal) == animal_first else "last"
            wrong = render(said("f" if it.gender == "m" else "m")).target
            return Contrast(source, right, wrong, f"it, the {place} of two")
    return None


def pairs_of_senses(grammar: Grammar) -> Iterator[Contrast]:
    """For every two senses of a word, each of them once right and once wrong."""
    while True:
        for one, other in permutations(SENSES, 2):
            if one.noun.english == other.noun.english and (found := sense(grammar, one.noun, other.noun)):
                yield found


def sense(grammar: Grammar, right: Noun, wrong: Noun) -> Contrast | None:
    """A sentence with the word in one sense, and its translation with the other."""
    for _ in range(TRIES):
        tree = homograph(grammar, [one for one in SENSES if one.noun is right])
        pair = render(tree)
        mentions = sum(isinstance(node, NounPhrase) and node.noun is right for node in nodes(tree))
        if mentions == 1 and new(*pair):
            return Contrast(*pair, render(instead(tree, right, wrong)).target, "homograph")
    return None


def instead(tree: Tree, old: Noun, new: Noun) -> Tree:
    """The tree with another noun."""
    changes: dict[str, object] = {"noun": new} if getattr(tree, "noun", None) is old else {}
    for name in PARTS.get(type(tree), ()):
        part = getattr(tree, name)
        if isinstance(part, tuple):
            changes[name] = tuple(instead(one, old, new) for one in part)
        elif type(part) in PARTS:
            changes[name] = instead(part, old, new)
    return replace(tree, **changes) if changes else tree  # type: ignore[type-var]


def new(source: str, right: str) -> bool:
    """Whether no training split may hold it."""
    return split_of(right) != "train" and not SHOWN & {source, right}
