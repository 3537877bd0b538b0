"""A batch as the models see it.

Shapes: B sentences, S source positions, T target positions.
"""

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dragoman.ids import BOS, EOS, PAD


class Batch(NamedTuple):
    """Sources as `x… EOS PAD…`, targets as `BOS y… EOS PAD…`: `tgt[:, :-1]` goes in, `tgt[:, 1:]` should come out."""

    src_BS: Tensor
    tgt_BT: Tensor


Arrays = tuple[np.ndarray, np.ndarray]


class Flat(NamedTuple):
    """Ids of several lengths, end to end."""

    values_N: np.ndarray
    lengths_B: np.ndarray


def flat(rows: Iterable[Iterable[int]]) -> Flat:
    """Lists of ids, end to end."""
    lists = [list(row) for row in rows]
    lengths_B = np.fromiter(map(len, lists), np.int64, len(lists))
    return Flat(np.fromiter(chain.from_iterable(lists), np.int32, lengths_B.sum()), lengths_B)


def framed(rows: Flat, *begin: int) -> np.ndarray:
    """Bare ids → (B, longest): what each begins with, the ids, EOS, and PAD on the right."""
    values_N, lengths_B = rows
    width = len(begin) + lengths_B.max() + 1 if len(lengths_B) else 0
    places = np.arange(width) - len(begin)
    padded = np.full((len(lengths_B), width), PAD, np.int32)
    padded[:, : len(begin)] = begin
    padded[(places >= 0) & (places < lengths_B[:, None])] = values_N
    padded[np.arange(len(lengths_B)), len(begin) + lengths_B] = EOS
    return padded


def arrays(sources: Flat, targets: Flat) -> Arrays:
    """A batch on its way between processes: tensors would take an open file each."""
    return framed(sources), framed(targets, BOS)


def as_batch(src_BS: np.ndarray, tgt_BT: np.ndarray) -> Batch:
    """A batch that has arrived."""
    return Batch(torch.from_numpy(src_BS).long(), torch.from_numpy(tgt_BT).long())


def collate(sources: Iterable[Iterable[int]], targets: Iterable[Iterable[int]]) -> Batch:
    """Bare ids of both sides → a batch."""
    return as_batch(*arrays(flat(sources), flat(targets)))


def pad_sources(sources: Iterable[Iterable[int]]) -> Tensor:
    """Bare ids → (B, S), each ended by EOS."""
    return torch.from_numpy(framed(flat(sources))).long()
