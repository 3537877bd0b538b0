"""What a tokenizer makes of a corpus: tokens, characters without a piece, texts that do not come back.

Shapes: V pieces.
"""

import re
import unicodedata
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset

from dragoman.text.tokenizer import SentencePiece, Tokenizer, Tokenizers

BYTE = re.compile(r"<0x[0-9A-F]{2}>")


class Read(NamedTuple):
    """One text: its tokens, those without a meaning of their own, and what became of it on the way there and back."""

    tokens: int
    unknown: int
    lost: str | None


class Vocabulary:
    """Counts how often each piece of one side's tokenizer occurs."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        pieces = tokenizer.pieces(list(range(len(tokenizer))))
        self.strange_V = np.array([piece == "<unk>" or bool(BYTE.fullmatch(piece)) for piece in pieces])
        self.counts_V = np.zeros(len(pieces), np.int64)

    def read(self, texts: list[str]) -> list[Read]:
        """Count the pieces of these texts."""
        encoded = [np.array(ids, np.int64) for ids in self.tokenizer.encode_all(texts)]
        self.counts_V += np.bincount(np.concatenate([np.empty(0, np.int64), *encoded]), minlength=len(self.counts_V))
        return [
            Read(len(ids), int(self.strange_V[ids].sum()), self._lost(text, ids))
            for text, ids in zip(texts, encoded, strict=True)
        ]

    def _lost(self, text: str, ids: np.ndarray) -> str | None:
        """What comes back instead of the text, if it is another one."""
        back = self.tokenizer.decode(ids.tolist())
        return None if plain(back) == plain(text) else back

    def tokens_beyond(self, other: "Vocabulary") -> int:
        """How many of the tokens that were counted are of pieces that `other` has never counted."""
        return int(self.counts_V[other.counts_V == 0].sum())


def plain(text: str) -> str:
    """As SentencePiece's own normalisation leaves it: NFKC, and white space squeezed."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def learn(train: Dataset, settings: SentencePiece, sample: int) -> Tokenizers:
    """Tokenizers from `sample` training pairs, evenly spread."""
    rows = np.unique(np.linspace(0, len(train) - 1, min(sample, len(train))).astype(np.int64))
    chosen: Any = train.select(rows)
    return settings.train(*(iter(chosen[side]) for side in ("source", "target")))
