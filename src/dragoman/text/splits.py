"""The three splits of a corpus, and the seeded cut that makes the absent ones out of the training split."""

import hashlib
import logging
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import pyarrow.compute
from datasets import Dataset

from dragoman.errors import InputError
from dragoman.text.hashes import fingerprint_of
from dragoman.text.readers import counted, remedy

SplitName = Literal["train", "validation", "test"]
log = logging.getLogger("dragoman")
Sift = Callable[[SplitName, Dataset], Dataset]  # a split as it was read → what is wanted of it


class Splits(NamedTuple):
    """A whole corpus; every split has the text columns `source` and `target`."""

    train: Dataset
    validation: Dataset
    test: Dataset


class Proportions(NamedTuple):
    """How much an epoch takes of each corpus that a training split is joined of.

    `weights`: how often it reads each pair, at temperature 1; the higher the temperature, the less sizes count. A
    joined split says in its column `part` which corpus a pair is from. `names`: what the corpora are called.
    """

    weights: tuple[float, ...] = (1.0,)
    temperature: float = 1.0
    names: tuple[str, ...] = ()


def part_sizes(text: Dataset, parts: int) -> list[int]:
    """The pairs of each corpus that a split is joined of."""
    if parts == 1:
        return [len(text)]
    sizes = np.zeros(parts, int)
    for columns in text.select_columns(["part"]).with_format("numpy").iter(1 << 18):
        sizes += np.bincount(columns["part"], minlength=parts)
    return sizes.tolist()


def texts_alone(name: SplitName, split: Dataset) -> Dataset:
    """Without the columns `origin` and `flaw`, if all is text; InputError with the first place that is not."""
    return refuse_flaws(name, split).remove_columns("origin")


def refuse_flaws(name: SplitName, split: Dataset) -> Dataset:
    """The same with `origin`."""
    sound, flawed = set_aside(split)
    if len(flawed):
        path, _, number = flawed[0]["origin"].rpartition(":")
        aside = ", or set such lines aside with cleaning=standard" if name == "train" else ""
        flaw = flawed[0]["flaw"]
        raise InputError(f"{path}, line {number}: {flaw}; {remedy(flaw)}{aside}.")
    return sound


def set_aside(split: Dataset) -> tuple[Dataset, Dataset]:
    """The pairs that are text, without `flaw`, and those that are not."""
    flaws = split.select_columns(["flaw"]).with_format("arrow")[:]["flaw"]
    flawed = pyarrow.compute.is_valid(flaws).to_numpy() if flaws.null_count < len(flaws) else np.zeros(0, bool)
    sound = split.select(np.flatnonzero(~flawed)) if flawed.any() else split
    return sound.remove_columns("flaw"), split.select(np.flatnonzero(flawed))


def cut(train: Dataset, sizes: dict[SplitName, int], seed: int) -> dict[SplitName, Dataset]:
    """Disjoint random parts of the training split, drawn in the order of `sizes`, and under "train" what they leave.

    Every part keeps the order of the file. The same `train`, `sizes` and `seed` give the same parts. Where less than
    half would be left to train on, each takes a tenth at most.
    """
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"corpus.{name}_size is {size}, but a split that is cut off needs at least 1 pair.")
    if not 0 <= seed < 2**32:
        raise InputError(f"corpus.seed is {seed}, but must be at least 0 and less than 2**32.")
    if 2 * sum(sizes.values()) > len(train):
        sizes = tenths(sizes, len(train))
    # RandomState and not default_rng: its stream is frozen for good (NEP 19), and so is the cut.
    order = np.random.RandomState(seed).permutation(len(train))
    parts: dict[SplitName, Dataset] = {}
    for name, size in sizes.items():
        parts[name], order = chosen(train, order[:size], name, sizes, seed), order[size:]
    return {**parts, "train": chosen(train, order, "train", sizes, seed)}


def tenths(sizes: dict[SplitName, int], pairs: int) -> dict[SplitName, int]:
    """At most a tenth of the pairs each; said in the log. InputError where that is none."""
    wanted = " and ".join(f"corpus.{name}_size={size}" for name, size in sizes.items())
    if pairs < 10:
        raise InputError(
            f"The training split has {counted(pairs, 'pair')}, too few to cut off {wanted}; give more, or give the"
            " splits that are cut off."
        )
    smaller = {name: min(size, pairs // 10) for name, size in sizes.items()}
    told = ", ".join(f"{name} {size:,}" for name, size in smaller.items())
    log.info("%s would leave too few of %s training pairs: cut off at most a tenth (%s)", wanted, f"{pairs:,}", told)
    return smaller


def chosen(text: Dataset, places: np.ndarray, *facts: object) -> Dataset:
    """The rows of those places, in the order of the file; `facts` say what chose them, so that none needs hashing."""
    key = hashlib.sha256(repr((fingerprint_of(text), facts)).encode()).hexdigest()
    return text.select(np.sort(places), new_fingerprint=key)
