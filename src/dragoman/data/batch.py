"""A batch as the models see it.

Shapes: B sentences, S source positions, T target positions.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dragoman.ids import BOS, EOS, PAD


class Batch(NamedTuple):
    """Sources as `x… EOS PAD…`, targets as `BOS y… EOS PAD…`: `tgt[:, :-1]` goes in, `tgt[:, 1:]` should come out."""

    src_BS: Tensor
    tgt_BT: Tensor


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """Ids of several lengths → (B, longest), PAD on the right."""
    padded = np.full((len(rows), max(map(len, rows), default=0)), PAD, dtype=np.int64)
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = ids
    return torch.from_numpy(padded)


def pad_sources(sources: Iterable[Iterable[int]]) -> Tensor:
    """Bare ids → (B, S), each ended by EOS."""
    return pad([[*ids, EOS] for ids in sources])


def collate(sources: Iterable[Iterable[int]], targets: Iterable[Iterable[int]]) -> Batch:
    """Bare ids of both sides → a batch."""
    return Batch(pad_sources(sources), pad([[BOS, *ids, EOS] for ids in targets]))
