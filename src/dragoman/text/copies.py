"""Rules of cleaning that judge a split as a whole: copies, sources with many targets, sentences kept for testing.

Sentences are compared by hashes of 64 bits, which lie in a file that is mapped into memory and are sorted a partition
at a time: memory does not grow with the corpus. Of ten million sentences two different ones have the same hash with a
probability of three in a million.

Shapes: N pairs, M of them in question, P in a partition, H held out.
"""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from dragoman.text.cleaning import at_least

PARTITION = 1 << 22  # pairs that are sorted at once
PORTION = 1 << 20  # of which the next partition is searched
SOURCE, TARGET, PAIR = range(3)  # the columns of hashes
SAME = ("source is", "target is", "source and target are")
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd: source and target do not weigh the same in the hash of a pair

Hashes = np.ndarray  # (N, 3) uint64: SOURCE, TARGET, PAIR


class Found(NamedTuple):
    """Rows that a rule objects to, and what its reason needs: a row number or a count."""

    rows_M: np.ndarray
    notes_M: np.ndarray


class HeldOut(NamedTuple):
    """The sentences of the validation and test splits, in this order."""

    hashes_H3: Hashes
    lengths_H2: np.ndarray  # characters, as they are compared


class SplitRule(ABC):
    """A law on a whole split, whose sentences it compares in one `form` of `FORMS`."""

    form: str

    @abstractmethod
    def find(self, hashes_N3: Hashes, rows_M: np.ndarray, held: HeldOut) -> Found:
        """Those of the rows (in rising order) that must go."""

    @abstractmethod
    def reason(self, note: int, origin: Callable[[int], str], held_origin: Callable[[int], str]) -> str:
        """Why, from a note of `Found`; the two functions tell where a row of the split and a held-out one stand."""


class PartitionRule(SplitRule):
    """A law on the pairs that have the same hash in one `column`."""

    column: int

    def find(self, hashes_N3: Hashes, rows_M: np.ndarray, held: HeldOut) -> Found:
        return joined(map(self._in_partition, partitions(hashes_N3, self.column, rows_M)))

    @abstractmethod
    def _in_partition(self, part: "Partition") -> Found:
        """Those that must go, of pairs among which all are that have a hash in common."""


class Copies(PartitionRule):
    """A pair that was there before, on both sides."""

    column = PAIR

    def __init__(self, *, form: str) -> None:
        self.form = known(form)

    def _in_partition(self, part: "Partition") -> Found:
        order = np.argsort(part.hashes_P3[:, PAIR], kind="stable")
        rows = part.rows_P[order]
        first = firsts(part.hashes_P3[order, PAIR])
        return Found(rows[~first], rows[starts(first)][~first])

    def reason(self, note: int, origin: Callable[[int], str], held_origin: Callable[[int], str]) -> str:
        return f"a copy of {origin(note)} ({self.form})"


class ManyTargets(PartitionRule):
    """A pair whose source had `most` different targets before."""

    column = SOURCE

    def __init__(self, *, form: str, most: int) -> None:
        self.form = known(form)
        self.most = at_least(1, "most", most)

    def _in_partition(self, part: "Partition") -> Found:
        """Copies of a pair share its place in the row of targets of its source, which begins with 0."""
        order = np.lexsort((part.rows_P, part.hashes_P3[:, PAIR], part.hashes_P3[:, SOURCE]))
        new = firsts(part.hashes_P3[order, PAIR])
        pairs = order[new]  # one for each pair, the first
        by_age = np.lexsort((part.rows_P[pairs], part.hashes_P3[pairs, SOURCE]))
        first = firsts(part.hashes_P3[pairs[by_age], SOURCE])
        place, count = np.empty_like(pairs), np.empty_like(pairs)
        place[by_age] = np.arange(len(pairs)) - starts(first)
        count[by_age] = np.bincount(np.cumsum(first) - 1)[np.cumsum(first) - 1] if len(first) else 0
        of_pair = np.cumsum(new) - 1
        rejected = place[of_pair] >= self.most
        return Found(part.rows_P[order][rejected], count[of_pair][rejected])

    def reason(self, note: int, origin: Callable[[int], str], held_origin: Callable[[int], str]) -> str:
        return f"its source has {note} different targets, over {self.most} ({self.form})"


class Leaks(SplitRule):
    """A pair one side of which is also that of a validation or test pair; sides under `shortest` characters aside."""

    def __init__(self, *, form: str, shortest: int) -> None:
        self.form = known(form)
        self.shortest = at_least(1, "shortest", shortest)

    def find(self, hashes_N3: Hashes, rows_M: np.ndarray, held: HeldOut) -> Found:
        return joined(self._in_portion(hashes_N3, rows, held) for rows in portions(rows_M))

    def occurring(self, hashes_N3: Hashes, held: HeldOut) -> np.ndarray:
        """Which sides of the held-out pairs are in the split, (H, 2)."""
        found_H2 = np.zeros(held.lengths_H2.shape, bool)
        for rows in portions(np.arange(len(hashes_N3))):
            for side in (SOURCE, TARGET):
                found_H2[:, side] |= np.isin(held.hashes_H3[:, side], hashes_N3[rows, side])
        return found_H2 & (held.lengths_H2 >= self.shortest)

    def _in_portion(self, hashes_N3: Hashes, rows_P: np.ndarray, held: HeldOut) -> Found:
        """A note is three times the number of the held-out pair, and the column in which it is the same."""
        notes_P = np.full(len(rows_P), -1)
        lengths = [*held.lengths_H2.T, held.lengths_H2.min(1)]
        for side in (TARGET, SOURCE, PAIR):
            long = np.flatnonzero(lengths[side] >= self.shortest)
            hashes = held.hashes_H3[long, side]
            order = np.argsort(hashes, kind="stable")
            asked = hashes_N3[rows_P, side]
            places = np.searchsorted(hashes[order], asked).clip(max=len(long) - 1)
            if len(long):
                nearest = order[places]
                notes_P = np.where(hashes[nearest] == asked, 3 * long[nearest] + side, notes_P)
        return Found(rows_P[notes_P >= 0], notes_P[notes_P >= 0])

    def reason(self, note: int, origin: Callable[[int], str], held_origin: Callable[[int], str]) -> str:
        return f"its {SAME[note % 3]} also in {held_origin(note // 3)} ({self.form})"


# --- how sentences are compared


def as_it_is(text: str) -> str:
    return text


def normalised(text: str) -> str:
    """One form for all that differs only in letter case, width, punctuation or white space; never empty for a text."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = plain.translate(punctuation()).split()
    return unicodedata.normalize("NFKC", " ".join(words or plain.split()))


FORMS = {"exact": as_it_is, "normalised": normalised}


@cache
def punctuation() -> dict[int, str]:
    """Every punctuation mark of Unicode → a space."""
    marks = (code for code in range(0x110000) if unicodedata.category(chr(code))[0] == "P")
    return dict.fromkeys(marks, " ")


def known(form: str) -> str:
    if form not in FORMS:
        raise ValueError(f"`form` is {form!r}, but must be {' or '.join(FORMS)}.")
    return form


def hashes_of(sources: Iterable[str], targets: Iterable[str], form: str) -> Hashes:
    """The three hashes of each pair."""
    sides = [np.array([hash_of(FORMS[form](text)) for text in texts], np.uint64) for texts in (sources, targets)]
    return np.stack([*sides, sides[0] * SPREAD + sides[1]], axis=1)


def hash_of(text: str) -> int:
    """64 bits, the same in every process."""
    return int.from_bytes(blake2b(text.encode("utf-8"), digest_size=8).digest(), "little")


# --- sorting without holding all


class Partition(NamedTuple):
    """Some rows, in rising order, and their hashes."""

    rows_P: np.ndarray
    hashes_P3: Hashes


def partitions(hashes_N3: Hashes, column: int, rows_M: np.ndarray) -> Iterator[Partition]:
    """The rows in parts of some `PARTITION`; what has the same hash in the column is in the same part."""
    count = np.uint64(-(-len(rows_M) // PARTITION))
    for part in range(int(count)):
        found = [rows[hashes_N3[rows, column] % count == np.uint64(part)] for rows in portions(rows_M)]
        rows_P = np.concatenate(found)
        yield Partition(rows_P, hashes_N3[rows_P])


def portions(rows_M: np.ndarray) -> Iterator[np.ndarray]:
    return (rows_M[start : start + PORTION] for start in range(0, len(rows_M), PORTION))


def firsts(sorted_P: np.ndarray) -> np.ndarray:
    """Where a value is not that before it."""
    return np.concatenate([np.ones(min(1, len(sorted_P)), bool), sorted_P[1:] != sorted_P[:-1]])


def starts(first_P: np.ndarray) -> np.ndarray:
    """For each place the last one up to it where `first_P` is true."""
    return np.maximum.accumulate(np.where(first_P, np.arange(len(first_P)), 0))


def joined(parts: Iterable[Found]) -> Found:
    """All of them, in rising order of the rows."""
    found = list(parts)
    rows = np.concatenate([np.empty(0, np.int64), *(part.rows_M for part in found)])
    notes = np.concatenate([np.empty(0, np.int64), *(part.notes_M for part in found)])
    order = np.argsort(rows, kind="stable")
    return Found(rows[order], notes[order])
