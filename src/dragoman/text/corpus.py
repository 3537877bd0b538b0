"""A corpus: three `Dataset` splits of sentence pairs, each with the text columns `source` and `target`.

One class per kind of place that sentence pairs come from. How a format is read stands in `readers.py`, how what was
read is kept in `store.py`. Nothing here knows of tokens: a pair with an empty side is a pair.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import get_args, get_origin

from datasets import Dataset

from dragoman.errors import InputError
from dragoman.text import pocket
from dragoman.text.packing import SUFFIXES
from dragoman.text.readers import Column, Pairs, read_csv, read_jsonl, read_parquet, read_text, read_tsv
from dragoman.text.splits import Sift, SplitName, Splits, cut, texts_alone
from dragoman.text.store import FEATURES, fingerprint, store

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


@dataclass(frozen=True, kw_only=True)
class Pocket(Corpus):
    """The generated corpus: nothing to download, the same pairs for the same seed, every split given."""

    train_size: int

    def given(self, name: SplitName) -> bool:
        return True

    def read(self, name: SplitName) -> Dataset:
        sizes = {"train": self.train_size, "validation": self.validation_size, "test": self.test_size}
        if sizes[name] < 1:
            raise InputError(f"corpus.{name}_size is {sizes[name]}, but every split needs at least 1 pair.")
        if {self.source_language, self.target_language} != {"en", "fr"}:
            raise InputError(
                f"The pocket corpus translates between en and fr, not from {self.source_language} to "
                f"{self.target_language}; set corpus.source_language and corpus.target_language."
            )
        english, french = zip(*pocket.generate(name, size=sizes[name], seed=self.seed), strict=True)
        sides = {"en": english, "fr": french}
        origins = [f"pocket {name}:{number}" for number in range(1, sizes[name] + 1)]
        columns = sides[self.source_language], sides[self.target_language], origins, [None] * sizes[name]
        return Dataset.from_dict(dict(zip(FEATURES, map(list, columns), strict=True)), features=FEATURES)


@dataclass(frozen=True, kw_only=True)
class Folder(Corpus):
    """Parallel text files `<folder>/<stem>.<language>`, plain or packed; the plain one if there are both."""

    folder: str
    train: OneOrMore
    validation: OneOrMore | None
    test: OneOrMore | None

    def read(self, name: SplitName) -> Dataset:
        stems = as_list(getattr(self, name), f"corpus.{name}")
        sources = [self._file(stem, self.source_language) for stem in stems]
        targets = [self._file(stem, self.target_language) for stem in stems]
        return _store_parallel(sources, targets, f"corpus.{name}")

    def _file(self, stem: str, language: str) -> Path:
        plain = Path(self.folder) / f"{stem}.{language}"
        for path in (plain, *(plain.with_name(plain.name + suffix) for suffix in SUFFIXES)):
            if path.is_file():
                return path
        raise InputError(
            f"{plain} is not a file, nor is it with {', '.join(SUFFIXES)} behind it; set corpus.folder, the stems"
            " (corpus.train, corpus.validation, corpus.test) and the languages (corpus.source_language,"
            " corpus.target_language)."
        )


@dataclass(frozen=True, kw_only=True)
class Files(Corpus):
    """Parallel text files, named one by one: the first source file goes with the first target file, and so on."""

    train_source: OneOrMore
    train_target: OneOrMore
    validation_source: OneOrMore | None
    validation_target: OneOrMore | None
    test_source: OneOrMore | None
    test_target: OneOrMore | None

    def given(self, name: SplitName) -> bool:
        source, target = f"{name}_source", f"{name}_target"
        if (getattr(self, source) is None) != (getattr(self, target) is None):
            raise InputError(f"Only one of corpus.{source} and corpus.{target} is given; give both or neither.")
        return getattr(self, source) is not None

    def read(self, name: SplitName) -> Dataset:
        source, target = f"corpus.{name}_source", f"corpus.{name}_target"
        sources = as_files(getattr(self, f"{name}_source"), source)
        targets = as_files(getattr(self, f"{name}_target"), target)
        if len(sources) != len(targets):
            raise InputError(f"{source} names {len(sources)} files and {target} {len(targets)}; give as many of each.")
        return _store_parallel(sources, targets, f"corpus.{name}")


@dataclass(frozen=True, kw_only=True)
class OneFile(Corpus):
    """Files that hold both sides of their pairs; the subclass knows the format."""

    train: OneOrMore
    validation: OneOrMore | None
    test: OneOrMore | None

    @abstractmethod
    def pairs(self, path: Path) -> Pairs:
        """The sentence pairs of one file."""

    @abstractmethod
    def manner(self) -> tuple[object, ...]:
        """Whatever else `pairs` depends on."""

    def paths(self, name: SplitName) -> list[Path]:
        """The files of a split."""
        return as_files(getattr(self, name), f"corpus.{name}")

    def read(self, name: SplitName) -> Dataset:
        paths = self.paths(name)
        key = fingerprint(paths, type(self).__name__, *map(str, paths), *self.manner())
        return store(lambda: chain.from_iterable(map(self.pairs, paths)), key, listed(f"corpus.{name}", paths))


@dataclass(frozen=True, kw_only=True)
class Table(OneFile):
    """Files whose rows are sentence pairs, among other columns."""

    source_column: Column
    target_column: Column

    def manner(self) -> tuple[object, ...]:
        return self.source_column, self.target_column


class Tsv(Table):
    """Tab-separated text; columns by name, then line 1 is the header, or by number from 1."""

    def pairs(self, path: Path) -> Pairs:
        return read_tsv(path, self.source_column, self.target_column)


class Csv(Table):
    """Comma-separated text with quotes; columns as in `Tsv`."""

    def pairs(self, path: Path) -> Pairs:
        return read_csv(path, self.source_column, self.target_column)


class Jsonl(Table):
    """One JSON object a line; columns by dotted path."""

    def pairs(self, path: Path) -> Pairs:
        return read_jsonl(path, str(self.source_column), str(self.target_column))


class Parquet(Table):
    """Parquet files; columns by dotted path."""

    def pairs(self, path: Path) -> Pairs:
        return read_parquet(path, str(self.source_column), str(self.target_column))


def _store_parallel(sources: list[Path], targets: list[Path], key: str) -> Dataset:
    def pairs() -> Pairs:
        return chain.from_iterable(map(read_text, sources, targets))

    files = [*sources, *targets]
    return store(pairs, fingerprint(files, "parallel", *map(str, files)), listed(key, files))


def _fits(value: object, annotation: object) -> bool:
    kinds = get_args(annotation) or (annotation,)
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
