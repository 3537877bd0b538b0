"""How text becomes training batches: the contract of `stored.py` and `fresh.py`."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
from datasets import Dataset

from dragoman.data.batch import Batch
from dragoman.data.draws import Draws, shares
from dragoman.data.sampler import Place, Position, useful_share
from dragoman.text.corpus import Corpus
from dragoman.text.splits import Proportions, Splits, part_sizes
from dragoman.text.tokenizer import Tokenizers

log = logging.getLogger("dragoman")


class Fetching(NamedTuple):
    """By how many processes, and into what memory, batches are fetched."""

    num_workers: int
    pin_memory: bool

    def settings(self) -> dict[str, Any]:
        """As torch's loader takes them; what the dataset made is a batch already."""
        return {**self._asdict(), "persistent_workers": self.num_workers > 0, "collate_fn": as_it_is}


def as_it_is(batch: Any) -> Any:
    """Nothing is left to collate."""
    return batch


class Stream(Protocol):
    """Training batches without end."""

    def loader(self, position: Position, fetching: Fetching) -> Iterable[Batch]:
        """Those behind the position, in their order."""

    def place(self, seen: int) -> Place:
        """Where the shard begins that the batch behind the `seen` ones is from."""


class Reading(ABC):
    """`batch_tokens` bounds sentences × longest sentence of either side, in tokens, padding included; pairs with an
    empty side or more than `max_length` tokens on one are left out."""

    def __init__(self, *, batch_tokens: int, max_length: int) -> None:
        self.batch_tokens = batch_tokens
        self.max_length = max_length

    def splits(self, corpus: Corpus) -> Splits:
        """The text."""
        return corpus.splits()

    @abstractmethod
    def prepare(self, text: Dataset, tokenizers: Tokenizers, proportions: Proportions, seed: int) -> Stream:
        """Whatever must be done once before training; quick when it has been done before."""


def draws_of(text: Dataset, proportions: Proportions, seed: int) -> Draws:
    """How many pairs of each corpus make an epoch."""
    sizes = part_sizes(text, len(proportions.weights))
    return Draws(sizes, shares(sizes, *proportions), seed)


def tell(lengths_N2: np.ndarray, batches: list[np.ndarray], parts: float) -> None:
    """What an epoch of `parts` such parts is, and what padding costs."""
    log.info(
        "an epoch has %s%s batches of %d sentences on average; %.1f %% of their tokens are useful, the rest padding",
        "" if parts == 1 else "about ",
        f"{round(len(batches) * parts):,}",
        sum(map(len, batches)) / len(batches),
        100 * useful_share(lengths_N2, batches),
    )
