"""The three splits of a corpus, and the seeded cut that makes the absent ones out of the training split."""

from typing import Literal, NamedTuple

import numpy
from datasets import Dataset

from dragoman.errors import InputError

SplitName = Literal["train", "validation", "test"]


class Splits(NamedTuple):
    """A whole corpus; every split has the text columns `source` and `target` and no other."""

    train: Dataset
    validation: Dataset
    test: Dataset


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
