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
GROUP = 64  # columns that are compared as one


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
    the limit nothing else is allowed. ValueError unless `max_source` is at least 2, `length_ratio` at least 0 and
    `length_extra` at least 1.
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
        """The hypotheses of each sentence; `model` is in eval mode.

        They are `nbest`, or fewer where a beam finds no more: at a limit of one token there is the empty one alone.
        """

    def limits(self, model: Seq2Seq, src_BS: Tensor) -> Tensor:
        """The most tokens that each sentence's translation may have, EOS included: (B,)."""
        lengths_B = (src_BS != PAD).sum(1)
        return (lengths_B * self.length_ratio + self.length_extra).clamp(max=model.max_length).long()


def permitted(log_probs_BKV: Tensor, must_end_B: Tensor) -> Tensor:
    """-inf where a search may not go: PAD and BOS never, anything but EOS at a sentence's limit. No renormalisation.

    Elsewhere it is finite, whatever a model's weights are, so that there is always somewhere to go. Done in place.
    """
    log_probs_BKV.nan_to_num_(nan=IMPROBABLE, neginf=IMPROBABLE)
    for id in (PAD, BOS):
        log_probs_BKV[:, :, id] = -torch.inf
    if must_end_B.any():
        not_eos_V = torch.arange(log_probs_BKV.shape[-1], device=log_probs_BKV.device) != EOS
        log_probs_BKV.masked_fill_(must_end_B[:, None, None] & not_eos_V, -torch.inf)
    return log_probs_BKV


def best(scores_RV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest of each row, best first, and where they stand: (R, count) both. `topk`, sooner on a CPU.

    Columns are dealt out to groups. The best lie in the groups with the highest maxima, and to find those needs no
    comparison that a processor cannot make for many columns at once.
    """
    V = scores_RV.shape[1]
    groups = V // GROUP
    if not scores_RV.is_cpu or groups < 4 * count:
        best_RC, places_RC = scores_RV.topk(count)
        return best_RC, places_RC
    dealt_RNG = scores_RV[:, : groups * GROUP].unflatten(1, (GROUP, groups))
    group_RC = dealt_RNG.amax(1).topk(count).indices
    places_RNC = group_RC[:, None] + torch.arange(0, groups * GROUP, groups)[:, None]
    left_RL = torch.arange(groups * GROUP, V).expand(len(scores_RV), -1)
    places_RP = torch.cat((places_RNC.flatten(1), left_RL), dim=1)
    best_RC, at_RC = scores_RV.gather(1, places_RP).topk(count)
    return best_RC, places_RP.gather(1, at_RC)
