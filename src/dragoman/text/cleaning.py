"""Rules of cleaning that judge one pair by itself. Each says in a line, with the numbers, what it has against a pair.

Rules that judge a whole split stand in `copies.py`, those that know languages in `languages.py`. No rule knows where
pairs come from or what becomes of them.
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from typing import TypeVar

Number = TypeVar("Number", int, float)

# C0 and C1 but for tab and line feed, the line and paragraph separators, the byte order mark.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
WIDE = re.compile("[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
LOST = "\ufffd"  # what other programs put for bytes that they could not read


class NoText:
    """Lines that are not UTF-8, and cells that hold a number or a date.

    They are no pairs, but do not end the run: they are set aside before anything is cut off.
    """


class PairRule(ABC):
    """A law on one pair."""

    @abstractmethod
    def objection(self, source: str, target: str) -> str | None:
        """Why the pair must go; None where it may stay."""


class SideRule(PairRule):
    """A law on each text alone."""

    @abstractmethod
    def flaw(self, text: str) -> str | None:
        """What is wrong with the text."""

    def objection(self, source: str, target: str) -> str | None:
        for side, text in (("source", source), ("target", target)):
            if flaw := self.flaw(text):
                return f"{side}: {flaw}"
        return None


class Empty(SideRule):
    """A side with nothing that can be seen: nothing at all, white space, or characters of no width."""

    def flaw(self, text: str) -> str | None:
        if not text.strip():
            return "empty"
        return None if any(unicodedata.category(one)[0] not in "ZC" for one in text) else "nothing that can be seen"


class OverLong(SideRule):
    """A side of more than `most` characters."""

    def __init__(self, *, most: int) -> None:
        self.most = at_least(1, "most", most)

    def flaw(self, text: str) -> str | None:
        return f"{len(text)} characters, over {self.most}" if len(text) > self.most else None


class ControlCharacters(SideRule):
    """Characters that no sentence holds: controls but for tab and line feed, other line ends, a byte order mark."""

    def flaw(self, text: str) -> str | None:
        found = CONTROL.search(text)
        return f"the control character U+{ord(found[0]):04X} at character {found.start() + 1}" if found else None


class Mojibake(SideRule):
    """Text that was once decoded by the wrong table, as ftfy tells it ("cafÃ©"), or has lost characters (U+FFFD)."""

    def flaw(self, text: str) -> str | None:
        if text.isascii():
            return None
        if LOST in text:
            return f"{text.count(LOST)} lost characters (U+FFFD)"
        import ftfy  # here: only who asks for this rule waits for it

        if not ftfy.badness.is_bad(text):
            return None
        mended = ftfy.fix_encoding(text)
        return f"mojibake, {_difference(text, mended)}" if mended != text else None


class Identical(PairRule):
    """The same text on both sides, white space aside, if it has at least `letters` letters: nobody translated it."""

    def __init__(self, *, letters: int) -> None:
        self.letters = at_least(0, "letters", letters)

    def objection(self, source: str, target: str) -> str | None:
        words = source.split()
        if not words or words != target.split():
            return None
        letters = sum(map(str.isalpha, source))
        return f"the same {letters} letters on both sides" if letters >= self.letters else None


class LengthRatio(PairRule):
    """One side more than `most` times as long as the other, where the longer one has over `above` characters.

    Characters without white space; one of Chinese, Japanese or Korean counts for two. An empty side has no ratio.
    """

    def __init__(self, *, most: float, above: int) -> None:
        self.most = at_least(1, "most", most)
        self.above = at_least(0, "above", above)

    def objection(self, source: str, target: str) -> str | None:
        ours, theirs = extent(source), extent(target)
        shorter, longer = sorted((ours, theirs))
        if not shorter or longer <= self.above or longer <= self.most * shorter:
            return None
        return f"{ours} against {theirs} characters, {longer / shorter:.1f} times as long, over {self.most:g}"


def extent(text: str) -> int:
    """Characters without white space, wide ones twice."""
    visible = "".join(text.split())
    return len(visible) if visible.isascii() else len(visible) + len(WIDE.findall(visible))


def at_least(lowest: Number, name: str, value: Number) -> Number:
    """The number of that name, unless it is too low."""
    if not value >= lowest:  # so that "not a number" is refused too
        raise ValueError(f"`{name}` is {value}, but must be at least {lowest}.")
    return value


def _difference(text: str, mended: str) -> str:
    """The first place where they differ, a few characters of it."""
    start = next((at for at, (a, b) in enumerate(zip(text, mended, strict=False)) if a != b), 0)
    return f"{text[start : start + 6]!r} for {mended[start : start + 3]!r}"
