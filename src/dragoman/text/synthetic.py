"""A corpus whose training pairs a translator has made, while its validation and test pairs are real."""

from dataclasses import dataclass
from itertools import chain

from datasets import Dataset, concatenate_datasets

from dragoman.text.corpus import Folder, OneOrMore, as_files, listed
from dragoman.text.readers import Pairs, read_tsv
from dragoman.text.splits import SplitName
from dragoman.text.store import fingerprint, store


@dataclass(frozen=True, kw_only=True)
class Synthetic(Folder):
    """A folder of parallel text, and tables of pairs: before its training pairs or, with `train` null, instead."""

    train: OneOrMore | None  # type: ignore[assignment]
    synthetic: OneOrMore

    def read(self, name: SplitName) -> Dataset:
        if name != "train":
            return super().read(name)
        paths = as_files(self.synthetic, "corpus.synthetic")

        def pairs() -> Pairs:
            return chain.from_iterable(read_tsv(path, 1, 2) for path in paths)

        made = store(pairs, fingerprint(paths, "Tsv", 1, 2), listed("corpus.synthetic", paths))
        return made if self.train is None else concatenate_datasets([made, super().read("train")])
