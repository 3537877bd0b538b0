"""Which translations are good enough to learn from."""

import re

from dragoman.text.cleaning import CONTROL
from dragoman.translator import Translation


class Filter:
    """Says why a translation is rejected. Whatever bound is null is not looked at.

    `min_log_probability` is natural and the mean over the translation's tokens, EOS included. `max_ratio` bounds tokens
    of one side over tokens of the other. `max_repeats`: how often in a row a translation may hold the same characters,
    up to `WIDEST` of them, unless its source does so too.
    """

    WIDEST = 20
    MOST = 1000  # repeats that a pattern counts

    def __init__(self, *, min_log_probability: float | None, max_ratio: float | None, max_repeats: int | None) -> None:
        if max_ratio is not None and max_ratio < 1:
            raise ValueError(f"`max_ratio` ({max_ratio}) must be at least 1.")
        if max_repeats is not None and not 1 <= max_repeats <= self.MOST:
            raise ValueError(f"`max_repeats` ({max_repeats}) must be at least 1 and at most {self.MOST}.")
        self.min_log_probability = min_log_probability
        self.max_ratio = max_ratio
        self.loop = re.compile(rf"(.{{1,{self.WIDEST}}}?)\1{{{max_repeats}}}") if max_repeats else None

    def reason(self, source: str, found: Translation, source_tokens: int) -> str | None:
        """The first law that the translation breaks, None if it keeps them all. Tokens are counted with EOS."""
        if not source.strip() or not found.text.strip():
            return "empty"
        if CONTROL.search(found.text):
            return "control"
        if found.text.casefold().split() == source.casefold().split():
            return "copy"
        if found.at_limit:
            return "unfinished"
        if self.loop and self.loop.search(found.text) and not self.loop.search(source):
            return "loop"
        if self.max_ratio is not None and not 1 / self.max_ratio <= found.tokens / source_tokens <= self.max_ratio:
            return "length"
        if self.min_log_probability is not None and mean_log_probability(found) < self.min_log_probability:
            return "improbable"
        return None


def mean_log_probability(found: Translation) -> float:
    """Per token, EOS included; 0 for the translation of an empty line, which has none."""
    return found.log_probability / max(1, found.tokens)
