"""The dice of the grammar, and the lists that it draws from."""

import random
from collections.abc import Sequence
from typing import TypeVar

from dragoman.text.pocket.lexicon import VERBS
from dragoman.text.pocket.nouns import NOUNS, of_kind
from dragoman.text.pocket.words import Adjective

Item = TypeVar("Item")

OWNABLE = frozenset(["kin", "job", "animal", "load", "furniture", "goods", "vehicle", "food", "own"])
PLACES = {
    "in": "inside",
    "on": "surface",
    "under": "cover",
    "near": "spot",
    "behind": "spot",
    "in front of": "spot",
    "during": "time",
}
ABSOLUTE = frozenset(["broken", "delicious", "full", "empty"])  # not "too broken"
ATTRIBUTIVE = frozenset(["new", "young"])  # not "the hat is new", which is « neuf » in French
OPPOSITES = {
    "happy": "sad", "weak": "strong", "brave": "frightened", "full": "empty", "heavy": "light", "clean": "dirty",
    "fresh": "dry", "old": "young", "new": "broken", "wide": "narrow", "delicious": "bitter", "quiet": "dangerous",
    "big": "small",
}  # fmt: skip
OPPOSITES |= {second: first for first, second in OPPOSITES.items()}
MODALS = tuple(VERBS[word] for word in ("can", "must", "want to"))
FAMILIAR = tuple(VERBS[word] for word in ("see", "find", "look for", "eat", "buy", "lose"))  # what I, we, you do
CALM = tuple(VERBS[word] for word in ("sleep", "wait", "work", "sing"))  # of which no object is told
REPORTS = tuple(VERBS[word] for word in ("say", "know", "think"))
INTRANSITIVE = tuple(verb for verb in VERBS.values() if verb.subjects and not verb.objects)
TRANSITIVE = tuple(verb for verb in VERBS.values() if verb.objects and verb.english not in ("go", "show", "give"))
DIRECT = tuple(verb for verb in TRANSITIVE if not verb.preposition and " " not in verb.english)
OF_KIND = {kind: of_kind(kind) for noun in NOUNS.values() for kind in sorted(noun.kinds)}


class Dice:
    """A random source that draws the same on every platform and Python version."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[int(self._random() * len(items))]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random() < probability

    def weighted(self, *options: tuple[Item, float]) -> Item:
        """One of the items, by weights that sum to one."""
        rest = self._random()
        for item, weight in options:
            rest -= weight
            if rest < 0:
                return item
        return options[-1][0]


def compatible(words: Sequence[Adjective], said: Sequence[Adjective]) -> list[Adjective]:
    """The words that neither repeat nor contradict what was said: no "sad happy man"."""
    taken = {adjective.english for adjective in said}
    taken |= {OPPOSITES[word] for word in taken if word in OPPOSITES}
    return [word for word in words if word.english not in taken]
