"""Several models as one: the mean of their probabilities, at every step.

Shapes: R rows, T target positions, V target vocabulary, M members.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from dragoman.models.seq2seq import Seq2Seq


class Ensemble(Seq2Seq):
    """log mean exp of the members' log-probabilities. Sutskever et al. 2014, section 3.6.

    ValueError for members without a vocabulary in common.
    """

    members: list[Seq2Seq]  # a ModuleList, which the type checker takes for a list of anything

    def __init__(self, members: list[Seq2Seq]) -> None:
        super().__init__()
        sizes = {member.target_vocab_size for member in members}
        if len(sizes) != 1:
            raise ValueError(f"The members of an ensemble must share one vocabulary; their sizes are {sorted(sizes)}.")
        self.members = nn.ModuleList(members)  # type: ignore[assignment]
        self.max_length = min(member.max_length for member in members)
        self.target_vocab_size = sizes.pop()

    def encode(self, src_BS: Tensor) -> tuple[Any, ...]:
        return tuple(member.encode(src_BS) for member in self.members)

    def start(self, memory: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(member.start(part) for member, part in zip(self.members, memory, strict=True))

    def advance(
        self, tokens_RT: Tensor, state: tuple[Any, ...], memory: tuple[Any, ...]
    ) -> tuple[Tensor, tuple[Any, ...]]:
        steps = [member.advance(tokens_RT, *parts) for member, *parts in zip(self.members, state, memory, strict=True)]
        log_probs_MRTV = torch.stack([logits.log_softmax(-1) for logits, _ in steps])
        return log_probs_MRTV.logsumexp(0) - math.log(len(steps)), tuple(after for _, after in steps)
