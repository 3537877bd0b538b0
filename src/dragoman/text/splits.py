"""The three splits of a corpus, and the seeded cut that makes the absent ones out of the training split."""

import hashlib
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import pyarrow.compute
from datasets import Dataset

from dragoman.errors import InputError
from dragoman.text.hashes import fingerprint_of

SplitName = Literal["train", "validation", "test"]
Sift = Callable[[SplitName, Dataset], Dataset]  # a split as it was read → what is wanted of it


class Splits(NamedTuple):
    """A whole corpus; every split has the text columns `source` and `target`."""

    train: Dataset
    validation: Dataset
    test: Dataset


class Proportions(NamedTuple):
    """How much an epoch takes of each corpus that a training split is joined of.

    `weights`: how often it reads each pair, at temperature 1; the higher the temperature, the less sizes count. A
    joined split says in its column `part` which corpus a pair is from.
    """

    weights: tuple[float, ...] = (1.0,)
    temperature: float = 1.0


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
        raise InputError(
            f"{path}, line {number}: {flawed[0]['flaw']}; convert it, for example with"
            f" `iconv -f LATIN1 -t UTF-8`{aside}."
        )
    return sound


def set_aside(split: Dataset) -> tuple[Dataset, Dataset]:
    """The pairs that are text, without `flaw`, and those that are not."""
    flaws = split.select_columns(["flaw"]).with_format("arrow")[:]["flaw"]
    flawed = pyarrow.compute.is_valid(flaws).to_numpy() if flaws.null_count < len(flaws) else np.zeros(0, bool)
    sound = split.select(np.flatnonzero(~flawed)) if flawed.any() else split
    return sound.remove_columns("flaw"), split.select(np.flatnonzero(flawed))


def cut(train: Dataset, sizes: dict[SplitName, int], seed: int) -> dict[SplitName, Dataset]:
    """Disjoint random parts of the training split, drawn in the order of `sizes`, and under "train" what they leave.

    Every part keeps the order of the file. The same `train`, `sizes` and `seed` give the same parts.
    """
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"corpus.{name}_size is {size}, but a split that is cut off needs at least 1 pair.")
    if not 0 <= seed < 2**32:
        raise InputError(f"corpus.seed is {seed}, but must be at least 0 and less than 2**32.")
    if len(train) <= sum(sizes.values()):
        wanted = " and ".join(f"corpus.{name}_size={size}" for name, size in sizes.items())
        raise InputError(
            f"The training split has {len(train)} pairs, too few to cut off {wanted} and keep at least one; "
            "lower the sizes, or give the splits that are cut off."
        )
    # RandomState and not default_rng: its stream is frozen for good (NEP 19), and so is the cut.
    order = np.random.RandomState(seed).permutation(len(train))
    parts: dict[SplitName, Dataset] = {}
    for name, size in sizes.items():
        parts[name], order = chosen(train, order[:size], name, sizes, seed), order[size:]
    return {**parts, "train": chosen(train, order, "train", sizes, seed)}


def chosen(text: Dataset, places: np.ndarray, *facts: object) -> Dataset:
    """The rows of those places, in the order of the file; `facts` say what chose them, so that none needs hashing."""
    key = hashlib.sha256(repr((fingerprint_of(text), facts)).encode()).hexdigest()
    return text.select(np.sort(places), new_fingerprint=key)
