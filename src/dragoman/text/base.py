"""What a corpus is: three `Dataset` splits of sentence pairs, each with the text columns `source` and `target`.

Nothing here knows of tokens: a pair with an empty side is a pair.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from pathlib import Path
from types import UnionType
from typing import NamedTuple, get_args, get_origin

from datasets import Dataset

from dragoman.errors import InputError
from dragoman.text.readers import Pairs, flaw_of, remedy
from dragoman.text.splits import Proportions, Sift, SplitName, Splits, cut, texts_alone
from dragoman.text.store import fingerprint, store

OneOrMore = str | list[str]


@dataclass(frozen=True, kw_only=True)
class Corpus(ABC):
    """Sentence pairs of two languages in three splits.

    A validation or test split that is not given is cut off the training split: `validation_size` and `test_size` pairs
    at random, the same ones for the same `seed` and training split. Test is drawn first and so does not depend on
    whether a validation split is given.
    """

    source_language: str
    target_language: str
    validation_size: int
    test_size: int
    seed: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not _fits(value, field.type):
                kind = getattr(field.type, "__name__", field.type)
                raise InputError(
                    f"corpus.{field.name} is {value!r}, but must be {kind} (in YAML, quote a text like no or 1)."
                )

    def given(self, name: SplitName) -> bool:
        """Whether the split has a place of its own, from which `read` can read it: here, the key of its name is set."""
        return getattr(self, name) is not None

    @abstractmethod
    def read(self, name: SplitName) -> Dataset:
        """A split that is given, as it is there: with the columns of `FEATURES`."""

    def proportions(self) -> Proportions:
        """How much an epoch of training takes of each part of the training split."""
        return Proportions()

    def stream(self, name: SplitName) -> Callable[[], Pairs]:
        """The pairs of a split that is given, read anew at each call and kept nowhere."""
        raise InputError("This kind of corpus is not read as a stream: choose data=default, or a corpus of files.")

    def splits(self, sift: Sift = texts_alone) -> Splits:
        """All three; the training split is read once. `sift` takes what is wanted of each: all, if it is text."""
        parts = self._with_cuts(sift)
        names: tuple[SplitName, ...] = ("validation", "test")
        return Splits(**parts, **{name: sift(name, self.read(name)) for name in names if name not in parts})

    def split(self, name: SplitName) -> Dataset:
        """One of the three, reading no other split but the training split where this one is cut off it."""
        given = name != "train" and self.given(name)
        return texts_alone(name, self.read(name)) if given else self._with_cuts(texts_alone)[name]

    def _with_cuts(self, sift: Sift) -> dict[SplitName, Dataset]:
        sizes: dict[SplitName, int] = {"test": self.test_size, "validation": self.validation_size}
        absent = {name: size for name, size in sizes.items() if not self.given(name)}
        train = sift("train", self.read("train"))
        return cut(train, absent, self.seed) if absent else {"train": train}


class Reader(NamedTuple):
    """The files of a split, how their pairs are read, and whatever else these depend on."""

    paths: list[Path]
    pairs: Callable[[], Pairs]
    facts: tuple[object, ...]

    def before(self, other: "Reader") -> "Reader":
        """Both, one after the other."""
        pairs = partial(one_after_the_other, self.pairs, other.pairs)
        return Reader(self.paths + other.paths, pairs, self.facts + other.facts)


@dataclass(frozen=True, kw_only=True)
class FileCorpus(Corpus):
    """Whatever is read from files."""

    @abstractmethod
    def reader(self, name: SplitName) -> Reader:
        """Of a split that is given."""

    def read(self, name: SplitName) -> Dataset:
        paths, pairs, facts = self.reader(name)
        return store(pairs, fingerprint(paths, *map(str, paths), *facts), listed(f"corpus.{name}", paths))

    def stream(self, name: SplitName) -> Callable[[], Pairs]:
        return partial(sound, self.reader(name).pairs)


def one_by_one(read: Callable[..., Pairs], *paths: list[Path]) -> Pairs:
    """The pairs of files, or of couples of files, one after the other."""
    return chain.from_iterable(map(read, *paths))


def one_after_the_other(*several: Callable[[], Pairs]) -> Pairs:
    """All of the first, then all of the next."""
    return chain.from_iterable(pairs() for pairs in several)


def sound(pairs: Callable[[], Pairs]) -> Pairs:
    """The same; InputError with the first place that is not text."""
    for pair in pairs():
        if flaw := flaw_of(pair.source) or flaw_of(pair.target):
            raise InputError(f"{pair.origin}: {flaw}; {remedy(flaw)}.")
        yield pair


def _fits(value: object, annotation: object) -> bool:
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return isinstance(value, tuple(get_origin(kind) or kind for kind in kinds)) and not isinstance(value, bool)


def as_files(value: OneOrMore, key: str) -> list[Path]:
    paths = [Path(name) for name in as_list(value, key)]
    for path in paths:
        if not path.is_file():
            what = "is a folder or a device, not a file" if path.exists() else "does not exist"
            raise InputError(f"{path} {what}; set {key} (relative paths start at {Path.cwd()}).")
    return paths


def as_list(value: OneOrMore, key: str) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{key} is {value!r}, but must be a name or a list of names.")
    return names


def listed(key: str, paths: list[Path]) -> str:
    return f"{key} ({', '.join(map(str, paths))})"
