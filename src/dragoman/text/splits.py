"""The three splits of a corpus, and the seeded cut that makes the absent ones out of the training split."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy
import pyarrow.compute
from datasets import Dataset

from dragoman.errors import InputError

SplitName = Literal["train", "validation", "test"]
Sift = Callable[[SplitName, Dataset], Dataset]  # a split as it was read → what is wanted of it


class Splits(NamedTuple):
    """A whole corpus; every split has the text columns `source` and `target` and no other."""

    train: Dataset
    validation: Dataset
    test: Dataset


def texts_alone(name: SplitName, split: Dataset) -> Dataset:
    """The columns `source` and `target`, if all is text; InputError with the first place that is not."""
    return refuse_flaws(name, split).select_columns(["source", "target"])


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
    flawed = pyarrow.compute.is_valid(flaws).to_numpy() if flaws.null_count < len(flaws) else numpy.zeros(0, bool)
    sound = split.select(numpy.flatnonzero(~flawed)) if flawed.any() else split
    return sound.remove_columns("flaw"), split.select(numpy.flatnonzero(flawed))


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
    order = numpy.random.RandomState(seed).permutation(len(train))
    parts: dict[SplitName, Dataset] = {}
    for name, size in sizes.items():
        parts[name], order = train.select(numpy.sort(order[:size])), order[size:]
    return {**parts, "train": train.select(numpy.sort(order))}
