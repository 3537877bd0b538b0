"""The kinds of corpora: one class per kind of place that sentence pairs come from.

How a format is read stands in `readers.py`, how what was read is kept in `store.py`.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets import Dataset

from dragoman.errors import InputError
from dragoman.text import pocket
from dragoman.text.base import Corpus, FileCorpus, OneOrMore, Reader, as_files, as_list, one_by_one
from dragoman.text.lines import side_of
from dragoman.text.readers import Column, Pairs, read_csv, read_jsonl, read_parquet, read_text, read_tsv
from dragoman.text.splits import SplitName
from dragoman.text.store import FEATURES


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
class Folder(FileCorpus):
    """Parallel text files `<folder>/<stem>.<language>`, plain or packed; the plain one if there are both."""

    folder: str
    train: OneOrMore
    validation: OneOrMore | None
    test: OneOrMore | None

    def reader(self, name: SplitName) -> Reader:
        stems = as_list(getattr(self, name), f"corpus.{name}")
        sources = [side_of(Path(self.folder), stem, self.source_language) for stem in stems]
        targets = [side_of(Path(self.folder), stem, self.target_language) for stem in stems]
        return parallel(sources, targets)


@dataclass(frozen=True, kw_only=True)
class Files(FileCorpus):
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

    def reader(self, name: SplitName) -> Reader:
        source, target = f"corpus.{name}_source", f"corpus.{name}_target"
        sources = as_files(getattr(self, f"{name}_source"), source)
        targets = as_files(getattr(self, f"{name}_target"), target)
        if len(sources) != len(targets):
            raise InputError(f"{source} names {len(sources)} files and {target} {len(targets)}; give as many of each.")
        return parallel(sources, targets)


@dataclass(frozen=True, kw_only=True)
class OneFile(FileCorpus):
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

    def reader(self, name: SplitName) -> Reader:
        paths = self.paths(name)
        return Reader(paths, partial(one_by_one, self.pairs, paths), (type(self).__name__, *self.manner()))


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


@dataclass(frozen=True, kw_only=True)
class Csv(Table):
    """Rows of cells, quoted where they must be; columns as in `Tsv`."""

    separator: str

    def pairs(self, path: Path) -> Pairs:
        return read_csv(path, *self.manner())

    def manner(self) -> tuple[str, Column, Column]:
        return self.separator, self.source_column, self.target_column


class Jsonl(Table):
    """One JSON object a line; columns by dotted path."""

    def pairs(self, path: Path) -> Pairs:
        return read_jsonl(path, str(self.source_column), str(self.target_column))


class Parquet(Table):
    """Parquet files; columns by dotted path."""

    def pairs(self, path: Path) -> Pairs:
        return read_parquet(path, str(self.source_column), str(self.target_column))


def parallel(sources: list[Path], targets: list[Path]) -> Reader:
    """Text files side by side."""
    return Reader([*sources, *targets], partial(one_by_one, read_text, sources, targets), ("parallel",))
