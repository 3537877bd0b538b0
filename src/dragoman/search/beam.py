"""Beam search with a length penalty and exact stopping.

Shapes: B sentences, S source positions, K rows per sentence, R = B × K rows, T target positions, V target vocabulary.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dragoman.ids import BOS, EOS
from dragoman.models.seq2seq import Seq2Seq, select
from dragoman.search.hypothesis import Hypothesis, Search, permitted

WIDEST = 1000


class Live(NamedTuple):
    """The unfinished hypotheses of the sentences that are still in the batch; a score of -inf is an empty place."""

    sentences_B: Tensor  # their numbers in the batch that was given
    limits_B: Tensor
    tokens_BKT: Tensor
    log_probs_BK: Tensor


class Beam(Search):
    """Keeps the `beam` best beginnings; one that ends gives up its place (Bahdanau et al. 2015, Sutskever et al. 2014).

    Hypotheses are ranked by log-probability / ((5 + tokens) / 6) ** length_penalty (Wu et al. 2016, section 7, equation
    14). A sentence stops when no place is left, or when none of its live hypotheses can still overtake the `nbest`-th
    finished one however it goes on: stopping early never changes the result. Beam 1 is greedy search.
    """

    def __init__(
        self,
        *,
        beam: int,
        length_penalty: float,
        nbest: int,
        max_source: int,
        length_ratio: float,
        length_extra: int,
    ) -> None:
        super().__init__(max_source=max_source, length_ratio=length_ratio, length_extra=length_extra)
        if not 1 <= beam <= WIDEST or not 1 <= nbest <= beam or not 0 <= length_penalty <= 5:
            raise ValueError(
                f"`beam` ({beam}) must be at least 1 and at most {WIDEST}, `nbest` ({nbest}) between 1 and `beam`, and"
                f" `length_penalty` ({length_penalty}) at least 0 and at most 5."
            )
        self.beam = beam
        self.length_penalty = length_penalty
        self.nbest = nbest

    @torch.inference_mode()
    def __call__(self, model: Seq2Seq, src_BS: Tensor) -> list[list[Hypothesis]]:
        B, device = len(src_BS), src_BS.device
        finished: list[list[Hypothesis]] = [[] for _ in range(B)]
        memory = model.encode(src_BS)
        state = model.start(memory)
        live = Live(
            sentences_B=torch.arange(B, device=device),
            limits_B=self.limits(model, src_BS),
            tokens_BKT=src_BS.new_full((B, 1, 1), BOS),
            log_probs_BK=torch.zeros(B, 1, device=device),
        )
        while len(live.sentences_B):
            logits_R1V, state = model.advance(live.tokens_BKT[:, :, -1].reshape(-1, 1), state, memory)
            log_probs_BKV = logits_R1V[:, -1].float().log_softmax(-1).unflatten(0, (len(live.sentences_B), -1))
            live, origin_BK = self._grow(live, log_probs_BKV, finished)
            goes_on_B = self._can_improve(live, finished)
            stay_B = goes_on_B.nonzero()[:, 0]
            if len(stay_B) < len(goes_on_B):
                memory = select(memory, stay_B)
                live = select(live, stay_B)
            rows_BK = stay_B[:, None] * log_probs_BKV.shape[1] + origin_BK[stay_B]
            state = select(state, rows_BK.flatten())
        return [best[: self.nbest] for best in finished]

    def _grow(self, live: Live, log_probs_BKV: Tensor, finished: list[list[Hypothesis]]) -> tuple[Live, Tensor]:
        """One token more: the best continuations, and the row of `live` that each of them continues."""
        length = live.tokens_BKT.shape[2]  # of the longer hypotheses: BOS does not count, the new token does
        V = log_probs_BKV.shape[-1]
        totals_BKV = live.log_probs_BK[:, :, None] + permitted(log_probs_BKV, live.limits_B == length)
        best_BK, index_BK = totals_BKV.flatten(1).topk(min(self.beam, totals_BKV[0].numel()))
        origin_BK, token_BK = index_BK // V, index_BK % V
        numbers = live.sentences_B.tolist()
        places_B = torch.tensor([self.beam - len(finished[b]) for b in numbers], device=best_BK.device)
        taken_BK = torch.arange(best_BK.shape[1], device=best_BK.device) >= places_B[:, None]
        best_BK = best_BK.masked_fill(taken_BK, -torch.inf)
        tokens_BKT = live.tokens_BKT.gather(1, origin_BK[:, :, None].expand(-1, -1, length))
        ends_BK = (token_BK == EOS) & best_BK.isfinite()
        for b, k in ends_BK.nonzero().tolist():
            log_probability = best_BK[b, k].item()
            score = log_probability / self.penalty(length)
            finished[numbers[b]].append(Hypothesis(tokens_BKT[b, k, 1:].tolist(), score, log_probability))
            finished[numbers[b]].sort(key=lambda one: -one.score)
        grown = live._replace(
            tokens_BKT=torch.cat((tokens_BKT, token_BK[:, :, None]), dim=2),
            log_probs_BK=best_BK.masked_fill(ends_BK, -torch.inf),
        )
        return grown, origin_BK

    def _can_improve(self, live: Live, finished: list[list[Hypothesis]]) -> Tensor:
        """Whether a live hypothesis may still be among the `nbest`: at best it keeps its log-probability and grows."""
        enough = [finished[b][self.nbest - 1 : self.nbest] for b in live.sentences_B.tolist()]
        to_beat_B = torch.tensor([kept[0].score if kept else -torch.inf for kept in enough])
        penalties_B = torch.tensor([self.penalty(limit) for limit in live.limits_B.tolist()])
        bound_B = live.log_probs_BK.max(1).values / penalties_B.to(live.log_probs_BK.device)
        return bound_B > to_beat_B.to(bound_B.device)

    def penalty(self, length: int) -> float:
        """The divisor for a hypothesis of so many tokens, EOS included."""
        return ((5 + length) / 6) ** self.length_penalty
