"""The splits of the pocket corpus: which sentence belongs where, and how to draw so many of them."""

from collections.abc import Iterator
from typing import Literal, NamedTuple
from zlib import crc32

from dragoman.text.pocket.choices import Dice
from dragoman.text.pocket.english import english
from dragoman.text.pocket.french import french
from dragoman.text.pocket.grammar import Grammar
from dragoman.text.pocket.lexicon import ADJECTIVES, VERBS
from dragoman.text.pocket.nouns import NOUNS
from dragoman.text.pocket.phrases import Adjectives
from dragoman.text.pocket.sentences import sentence
from dragoman.text.pocket.trees import (
    Action,
    Clause,
    Gap,
    Link,
    NounPhrase,
    Passive,
    Pronoun,
    Report,
    Sentence,
    State,
    Utterance,
    modifiers,
    nodes,
)
from dragoman.text.pocket.words import Adjective, Agreement, Noun

Split = Literal["train", "validation", "test"]
LONGEST = 60  # words


class Pair(NamedTuple):
    """An English sentence and its French."""

    source: str
    target: str


class Example(NamedTuple):
    """A pair, the (noun, adjective) lemmas of which it speaks, and the phenomena in it."""

    pair: Pair
    modifiers: frozenset[tuple[str, str]]
    phenomena: frozenset[str]


def _tired_or_wide(adjective: str, noun: str) -> Sentence:
    animal, road = NOUNS["animal"], NOUNS["road"]
    head = NOUNS[noun]
    main = Clause(NounPhrase(animal), Action(VERBS["cross"], NounPhrase(road)), "past", "not")
    pronoun = Pronoun("it", Agreement(3, head.gender, "singular"), head)
    return Sentence(main, None, (Link("because", Clause(pronoun, State((ADJECTIVES[adjective],), "too"), "past")),))


def _bank() -> Sentence:
    girl = NOUNS["girl"]
    crossed = Clause(Gap(girl, "singular"), Action(VERBS["cross"], NounPhrase(NOUNS["river"])), "past")
    who = NounPhrase(girl, relative=crossed)
    return Sentence(Clause(who, Action(VERBS["draw"], NounPhrase(NOUNS["bank:rive"])), "past"))


def render(tree: Utterance) -> Pair:
    """The tree, said twice."""
    return Pair(english(tree), french(tree))


SHOWCASE_PAIRS = tuple(map(render, (_tired_or_wide("tired", "animal"), _tired_or_wide("wide", "road"), _bank())))
SHOWCASE = tuple(pair.source for pair in SHOWCASE_PAIRS)
SHOWN = frozenset(text for pair in SHOWCASE_PAIRS for text in pair)


def fitting(noun: Noun) -> list[Adjective]:
    """The adjectives that make sense with the noun."""
    return [word for word in ADJECTIVES.values() if noun.kinds & word.kinds]


def _tenth(adjective: Adjective) -> list[tuple[str, str]]:
    """A tenth of the nouns that the adjective fits, by a fixed shuffle: every adjective stays frequent in training."""
    fits = [(noun.key, adjective.english) for noun in NOUNS.values() if noun.kinds & adjective.kinds]
    free = [pair for pair in fits if pair not in (("animal", "tired"), ("road", "wide"))]
    return sorted(free, key=lambda pair: (crc32(" ".join(pair).encode()), pair))[: round(len(fits) / 10)]


PARTICIPLES = frozenset(verb.participle for verb in VERBS.values())  # "was broken" stands in "was broken by Paul"
HELD_OUT = frozenset(pair for word in ADJECTIVES.values() if word.english not in PARTICIPLES for pair in _tenth(word))


def _seen(noun: Noun) -> tuple[Adjective, ...]:
    return tuple(word for word in fitting(noun) if (noun.key, word.english) not in HELD_OUT)


def _mixed(noun: Noun) -> tuple[Adjective, ...]:
    """The held-out adjectives about three times as often as the others together."""
    seen = _seen(noun)
    held = tuple(word for word in fitting(noun) if word not in seen)
    return seen + held * (1 + 3 * len(seen) // len(held)) if held else seen


SEEN: Adjectives = {key: _seen(noun) for key, noun in NOUNS.items()}
MIXED: Adjectives = {key: _mixed(noun) for key, noun in NOUNS.items()}


def split_of(target: str) -> Split:
    """The split of a sentence without held-out pairs, by its French: so both sides of the splits are disjoint."""
    bucket = crc32(target.encode()) % 100
    return "test" if bucket < 10 else "validation" if bucket < 18 else "train"


def _phenomena(records: list[object]) -> frozenset[str]:
    found = {type(records[0]).__name__.lower()} - {"sentence"}
    for node in records:
        if isinstance(node, NounPhrase):
            traits = {
                "homograph": "sense" in node.noun.kinds,
                "possessor": node.possessor is not None,
                "relative": node.relative is not None,
            }
            found |= {name for name, holds in traits.items() if holds}
        elif isinstance(node, Pronoun) and node.antecedent is not None:
            found.add("pronoun")
        elif isinstance(node, Passive | Report):
            found.add(type(node).__name__.lower())
        elif isinstance(node, Clause) and node.adverb in ("not", "never"):
            found.add("negation")
    return frozenset(found)


def _draw(split: Split, adjectives: Adjectives, seed: int) -> Iterator[Example]:
    """Examples of the split without end: none holds a held-out pair, or with MIXED every one does."""
    grammar = Grammar(Dice(seed), adjectives)
    while True:
        tree = sentence(grammar)
        records = nodes(tree)
        said = modifiers(records)
        if (adjectives is MIXED) == HELD_OUT.isdisjoint(said):
            continue
        pair = render(tree)
        fits = 3 <= pair.source.count(" ") + 1 <= LONGEST and SHOWN.isdisjoint(pair)
        if fits and (adjectives is MIXED or split_of(pair.target) == split):
            yield Example(pair, said, _phenomena(records))


def take(examples: Iterator[Example], size: int) -> list[Example]:
    """So many examples with different sources."""
    seen: set[str] = set()
    taken: list[Example] = []
    repeated = 0
    while len(taken) < size:
        example = next(examples)
        if example.pair.source not in seen:
            seen.add(example.pair.source)
            taken.append(example)
            repeated = 0
            continue
        repeated += 1
        if repeated == 1_000:
            raise ValueError(f"`size` ({size}) must be smaller: this split ran dry after {len(taken)} sentences.")
    return taken


def examples(split: Split, *, size: int, seed: int) -> list[Example]:
    """Like `generate`, with what is known of each pair."""
    if split not in ("train", "validation", "test"):
        raise ValueError(f"`split` must be train, validation or test, not {split!r}.")
    if size < 0:
        raise ValueError(f"`size` ({size}) must not be negative.")
    if split != "test":
        return take(_draw(split, SEEN, seed), size)
    held = take(_draw(split, MIXED, seed), (size + 1) // 2)
    seen = take(_draw(split, SEEN, seed), size // 2)
    return [example for both in zip(held, [*seen, *held[len(seen) :]], strict=True) for example in both][:size]


def generate(split: Split, *, size: int, seed: int) -> list[Pair]:
    """So many different pairs of a split. Splits share no sentence of either language, whatever their sizes and seeds.

    In the test split every other sentence holds a (noun, adjective) pair that no other split holds.
    """
    return [example.pair for example in examples(split, size=size, seed=seed)]
