"""What a search is and what it finds.

Shapes: B sentences, S source positions, K rows per sentence, V target vocabulary.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from dragoman.ids import BOS, EOS, PAD
from dragoman.models.seq2seq import Seq2Seq

IMPROBABLE = -1e9  # a log-probability below those that a model gives


class Hypothesis(NamedTuple):
    """A translation as ids, without BOS and EOS.

    `log_probability` is natural and includes that of EOS; `score` is what the search ranks by.
    """

    ids: list[int]
    score: float
    log_probability: float


class Search(ABC):
    """Translates a batch of ids: (model, src_BS) → for each sentence its hypotheses, the best one first.

    `max_source`: the longest source, in tokens, that is translated in one piece; whoever calls cuts longer ones. A
    hypothesis has at most length_ratio × source tokens + length_extra tokens, EOS included, and always ends in EOS: at
    the limit nothing else is allowed.
    """

    nbest = 1  # hypotheses per sentence

    def __init__(self, *, max_source: int, length_ratio: float, length_extra: int) -> None:
        if max_source < 2 or not length_ratio >= 0 or length_extra < 1:  # what is no number compares with none
            raise ValueError(
                f"`max_source` ({max_source}) must be at least 2, `length_ratio` ({length_ratio}) at least 0 and"
                f" `length_extra` ({length_extra}) at least 1."
            )
        self.max_source = max_source
        self.length_ratio = length_ratio
        self.length_extra = length_extra

    @abstractmethod
    def __call__(self, model: Seq2Seq, src_BS: Tensor) -> list[list[Hypothesis]]:
        """The hypotheses of each sentence; `model` is in eval mode."""

    def limits(self, model: Seq2Seq, src_BS: Tensor) -> Tensor:
        """The most tokens that each sentence's translation may have, EOS included: (B,)."""
        lengths_B = (src_BS != PAD).sum(1)
        return (lengths_B * self.length_ratio + self.length_extra).clamp(max=model.max_length).long()


def permitted(log_probs_BKV: Tensor, must_end_B: Tensor) -> Tensor:
    """-inf where a search may not go: PAD and BOS never, anything but EOS at a sentence's limit. No renormalisation.

    Elsewhere it is finite, whatever a model's weights are, so that there is always somewhere to go.
    """
    log_probs_BKV = log_probs_BKV.nan_to_num(nan=IMPROBABLE, neginf=IMPROBABLE)
    barred_V = torch.zeros(log_probs_BKV.shape[-1], dtype=torch.bool, device=log_probs_BKV.device)
    barred_V[[PAD, BOS]] = True
    not_eos_V = torch.arange(len(barred_V), device=barred_V.device) != EOS
    return log_probs_BKV.masked_fill(barred_V | (must_end_B[:, None, None] & not_eos_V), -torch.inf)
