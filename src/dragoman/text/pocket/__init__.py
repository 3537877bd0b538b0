"""The pocket corpus: English-French pairs drawn from a grammar, small enough to learn in minutes."""

from dragoman.text.pocket.contrastive import Contrast, contrasts
from dragoman.text.pocket.corpus import HELD_OUT, SHOWCASE, SHOWCASE_PAIRS, Example, Pair, examples, generate

__all__ = [
    "HELD_OUT",
    "SHOWCASE",
    "SHOWCASE_PAIRS",
    "Contrast",
    "Example",
    "Pair",
    "contrasts",
    "examples",
    "generate",
]
