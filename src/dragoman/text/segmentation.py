"""Words cut at random, the same way in every process: subword regularisation and BPE-dropout.

SentencePiece can sample too, but abseil salts its generators anew in each process: a run that is resumed would see
other pieces. No piece reaches over the beginning of a word, so that a text is cut word by word.
"""

import math
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

from dragoman.text.tokenizer import Tokenizer

VARIANTS = 64  # of each word: drawn once, then drawn from
LONGEST_WORD = 500  # letters: what is longer is none, and its merges take time with the square of its length
KEPT = 1 << 18  # segmentations in memory
WORD = re.compile("▁?[^▁]*")
Piece = ModelProto.SentencePiece


class Segmentation:
    """How one tokenizer's texts are cut at random.

    Unigram: with probability ∝ P(segmentation)^`alpha` (Kudo 2018, section 3.1). BPE: at each step each merge is left
    out with probability `alpha` (BPE-dropout: Provilkov et al. 2020, algorithm 1). A word that holds a symbol of the
    user's or a character that is no piece, or is longer than any, is cut as ever.
    """

    def __init__(self, tokenizer: Tokenizer, alpha: float) -> None:
        model = ModelProto.FromString(tokenizer.model)
        self.tokenizer = tokenizer
        self.alpha = alpha
        self.ids = {one.piece: id for id, one in enumerate(model.pieces) if one.type == Piece.NORMAL}
        self.scores = {one.piece: one.score for one in model.pieces if one.type == Piece.NORMAL}
        self.longest = max(map(len, self.scores), default=0)
        self.symbols = [one.piece for one in model.pieces if one.type == Piece.USER_DEFINED]
        unigram = model.trainer_spec.model_type == model.trainer_spec.UNIGRAM
        self.cut: Callable[[str, Random], list[str]] = self.by_probability if unigram else self.by_merges
        self.variant = lru_cache(KEPT)(self._variant)

    def __reduce__(self) -> tuple[Any, ...]:
        return Segmentation, (self.tokenizer, self.alpha)  # what is kept does not travel

    def sample_all(self, texts: list[str], seed: int) -> list[list[int]]:
        """Many texts → ids, the same ones for the same seed."""
        words = [WORD.findall(text)[:-1] for text in self.tokenizer.normalise_all(texts)]
        draws = iter(np.random.default_rng(seed).integers(VARIANTS, size=sum(map(len, words))).tolist())
        return [[id for word in text for id in self.variant(word, next(draws))] for text in words]

    def _variant(self, word: str, number: int) -> list[int]:
        """A function of its arguments: the generator is seeded by them."""
        if (
            len(word) > LONGEST_WORD
            or any(symbol in word for symbol in self.symbols)
            or not all(letter in self.ids for letter in word)
        ):
            return self.tokenizer.encode(word.removeprefix("▁"))
        return [self.ids[piece] for piece in self.cut(word, Random(f"{number} {word}"))]

    def by_probability(self, word: str, dice: Random) -> list[str]:
        """Forward sums over all segmentations, then pieces drawn from the end to the beginning."""
        sums = [0.0]  # log of the sum of P^alpha over all segmentations of the first letters
        ways: list[list[tuple[int, float]]] = []  # for each end: where the last piece begins, and the log of its share
        for end in range(1, len(word) + 1):
            begins = range(max(0, end - self.longest), end)
            last = [(begin, self.scores.get(word[begin:end])) for begin in begins]
            found = [(begin, sums[begin] + self.alpha * score) for begin, score in last if score is not None]
            highest = max(value for _, value in found)
            sums.append(highest + math.log(sum(math.exp(value - highest) for _, value in found)))
            ways.append(found)
        pieces, end = [], len(word)
        while end:
            begins_, values = zip(*ways[end - 1], strict=True)
            [begin] = dice.choices(begins_, [math.exp(value - sums[end]) for value in values])
            pieces.append(word[begin:end])
            end = begin
        return pieces[::-1]

    def by_merges(self, word: str, dice: Random) -> list[str]:
        """The best merge first, of those that are not left out; until none is left."""
        pieces = list(word)
        while True:
            merges = [
                (-self.scores[one + other], place)
                for place, (one, other) in enumerate(pairwise(pieces))
                if one + other in self.scores and dice.random() >= self.alpha
            ]
            if not merges:
                return pieces
            _, place = min(merges)
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
