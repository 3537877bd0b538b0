"""The contract of every model: encode → memory → advance → logits. Search knows these verbs and no model.

Shapes: B sentences, S source positions, T target positions, V target vocabulary, R rows (hypotheses), R = B × rows per
sentence.
"""

from abc import ABC, abstractmethod
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

LONGEST = 1 << 16  # tokens: so that a number in somebody's file is not a translation without end


class Seq2Seq(nn.Module, ABC):
    """`memory` is what was read, made once; `state` is what was written, an argument and a return value.

    Both are nests of tuples of tensors whose dimension 0 is the sentence (memory) or the row (state), of None, and of
    numbers that all rows share, so that `select` serves every model. Teacher forcing, a decode step and a forced prefix
    are all `advance`, with all, one or some of the tokens: one bite or many gives the same logits.
    """

    max_length: int  # the longest sentence, in tokens, that can be read or written: a Transformer refuses longer ones
    target_vocab_size: int

    @property
    def device(self) -> torch.device:
        """Where its ids must be."""
        return next(self.parameters()).device

    @abstractmethod
    def encode(self, src_BS: Tensor) -> Any:
        """Ids (B, S), padded on the right → memory. ValueError for more than a model can read."""

    @abstractmethod
    def start(self, memory: Any) -> Any:
        """The state before the first target token, one row per sentence."""

    @abstractmethod
    def advance(self, tokens_RT: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any]:
        """Write T more tokens: logits (R, T, V) of what follows each, and the state after them.

        `memory` holds B sentences and the state R rows; the rows of a sentence are adjacent. ValueError for more tokens
        than a model can write.
        """

    def forward(self, src_BS: Tensor, tgt_BT: Tensor) -> Tensor:
        """Teacher forcing: logits (B, T, V) of what follows each target token."""
        memory = self.encode(src_BS)
        return self.advance(tgt_BT, self.start(memory), memory)[0]


@runtime_checkable
class Projecting(Protocol):
    """A model whose logits are one matrix product of what it holds at each target position."""

    output: nn.Linear  # without bias

    def states(self, src_BS: Tensor, tgt_BT: Tensor) -> Tensor:
        """Teacher forcing as far as that product: `forward` is `output` of it."""


def check_length(max_length: int) -> None:
    """ValueError for a sentence that nobody has."""
    if not 1 <= max_length <= LONGEST:
        raise ValueError(f"`max_length` ({max_length}) must be between 1 and {LONGEST}.")


def select(tree: Any, index: Tensor) -> Any:
    """Rows `index` of every tensor of a memory or state: expands, reorders and drops for every model."""
    if tree is None or isinstance(tree, int):
        return tree
    if isinstance(tree, Tensor):
        return torch.index_select(tree, 0, index)
    if isinstance(tree, tuple):
        parts = [select(part, index) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    raise TypeError(f"A memory or state holds tensors, tuples, numbers and None, not {type(tree).__name__}.")
