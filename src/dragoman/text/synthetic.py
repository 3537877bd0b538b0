"""A corpus whose training pairs a translator has made, while its validation and test pairs are real."""

from dataclasses import dataclass
from functools import partial

from dragoman.text.base import OneOrMore, Reader, as_files, one_by_one
from dragoman.text.corpus import Folder
from dragoman.text.readers import read_tsv
from dragoman.text.splits import SplitName


@dataclass(frozen=True, kw_only=True)
class Synthetic(Folder):
    """A folder of parallel text, and tables of pairs: before its training pairs or, with `train` null, instead."""

    train: OneOrMore | None  # type: ignore[assignment]
    synthetic: OneOrMore

    def reader(self, name: SplitName) -> Reader:
        if name != "train":
            return super().reader(name)
        paths = as_files(self.synthetic, "corpus.synthetic")
        made = Reader(paths, partial(one_by_one, partial(read_tsv, source=1, target=2), paths), ("Tsv", 1, 2))
        return made if self.train is None else made.before(super().reader("train"))
