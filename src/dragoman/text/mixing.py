"""Several corpora as one, each with a weight, and a tag before its sources by which one model serves all of them."""

import hashlib
from dataclasses import dataclass
from typing import Any

import datasets
from datasets import Dataset, Features, Value

from dragoman.errors import InputError
from dragoman.text.base import Corpus
from dragoman.text.hashes import cache_folder, fingerprint_of
from dragoman.text.splits import Proportions, SplitName
from dragoman.text.store import FEATURES, quiet, unusable_cache

COLDEST = 0.1  # temperature: below it sizes to the power of its inverse are no numbers any more
JOINED = Features({**FEATURES, "part": Value("int32")})


@dataclass(frozen=True, kw_only=True)
class Mix(Corpus):
    """The training splits of `corpora`, joined; validation and test are those of all corpora that give them.

    `weights`: how often an epoch reads each pair of a corpus, 1 where none is given; a part of a corpus is another one
    in each epoch. `temperature` levels the sizes: see `Proportions`. `tags` stand before the sources of a corpus.
    """

    corpora: dict[str, Corpus]
    weights: dict[str, float]
    tags: dict[str, str]
    temperature: int | float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.corpora or not all(isinstance(one, Corpus) for one in self.corpora.values()):
            raise InputError("corpus.corpora must name one corpus or more: +corpus@corpus.corpora.NAME=folder.")
        for key in ("weights", "tags"):
            for name in getattr(self, key):
                if name not in self.corpora:
                    raise InputError(f"corpus.{key} names {name!r}, but corpus.corpora has {', '.join(self.corpora)}.")
        for name, weight in self.weights.items():
            if type(weight) not in (int, float) or not weight > 0:
                raise InputError(f"corpus.weights.{name} is {weight!r}, but must be a number above 0.")
        if not self.temperature >= COLDEST:
            raise InputError(f"corpus.temperature is {self.temperature}, but must be at least {COLDEST}.")

    def given(self, name: SplitName) -> bool:
        return any(corpus.given(name) for corpus in self.corpora.values())

    def read(self, name: SplitName) -> Dataset:
        parts = [
            self._joined(number, label, corpus.read(name))
            for number, (label, corpus) in enumerate(self.corpora.items())
            if name == "train" or corpus.given(name)
        ]
        return datasets.concatenate_datasets(parts)

    def proportions(self) -> Proportions:
        weights = tuple(self.weights.get(name, 1.0) for name in self.corpora)
        names = tuple(f"{name} ({self.tags[name]})" if name in self.tags else name for name in self.corpora)
        return Proportions(weights, self.temperature, names)

    def _joined(self, number: int, label: str, text: Dataset) -> Dataset:
        """With its number, and the tag before each source."""
        tag = self.tags.get(label)

        def mark(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            sources = batch["source"] if tag is None else [f"{tag} {source}" for source in batch["source"]]
            return {"source": sources, "part": [number] * len(sources)}

        key = hashlib.sha256(repr((fingerprint_of(text), number, tag)).encode()).hexdigest()
        try:
            cache_folder().mkdir(parents=True, exist_ok=True)
            path = str(cache_folder() / f"{key}.joined.arrow")
            with quiet():
                return text.map(
                    mark,
                    batched=True,
                    features=JOINED,
                    new_fingerprint=key,
                    cache_file_name=path,
                    desc=f"Joining {label}",
                )
        except OSError as error:
            raise unusable_cache(error) from error
