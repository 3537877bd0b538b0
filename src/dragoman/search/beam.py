"""Beam search with a length penalty and exact stopping.

Shapes: B sentences, S source positions, K hypotheses kept of a sentence, R rows, V target vocabulary, C continuations
of a row, N continuations of a sentence.
"""

import math
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from dragoman.ids import BOS, EOS
from dragoman.models.seq2seq import Seq2Seq, select
from dragoman.search.hypothesis import Hypothesis, Search, best, permitted

WIDEST = 1000


class Row(NamedTuple):
    """An unfinished hypothesis: which row of its sentence it continues, and its ids after BOS."""

    origin: int
    ids: list[int]
    log_probability: float


class Sentence:
    """One that is searched: its unfinished hypotheses and its finished ones, the best of both first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit  # tokens
        self.rows = [Row(0, [BOS], 0.0)]
        self.finished: list[Hypothesis] = []

    def filled(self, count: int) -> list[Row]:
        """So many rows, as every sentence of a batch must have: empty places are of probability zero."""
        return self.rows + [Row(0, [EOS], -math.inf)] * (count - len(self.rows))


class Beam(Search):
    """Keeps the `beam` best beginnings; one that ends gives up its place (Bahdanau et al. 2015, Sutskever et al. 2014).

    Hypotheses are ranked by log-probability / ((5 + tokens) / 6) ** length_penalty (Wu et al. 2016, section 7, equation
    14). A sentence stops when no place is left, or when none of its live hypotheses can still overtake the `nbest`-th
    finished one however it goes on: stopping early never changes the result. Beam 1 is greedy search.

    ValueError unless 1 ≤ `nbest` ≤ `beam` ≤ 1000 and 0 ≤ `length_penalty` ≤ 5, and where `Search` says so.
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
        device = src_BS.device
        live = sentences = [Sentence(limit) for limit in self.limits(model, src_BS).tolist()]
        memory = model.encode(src_BS)
        state = model.start(memory)
        tokens_R1 = src_BS.new_full((len(live), 1), BOS)
        length = 0  # of the longer hypotheses: BOS does not count, the new token does
        while live:
            length += 1
            logits_R1V, state = model.advance(tokens_R1, state, memory)
            self._grow(live, logits_R1V[:, -1].float().log_softmax(-1), length)
            stay = [place for place, sentence in enumerate(live) if self._can_improve(sentence)]
            if len(stay) < len(live):
                memory = select(memory, torch.tensor(stay, dtype=torch.long, device=device))
            width_before = len(tokens_R1) // len(live)  # rows of each sentence
            width_after = max((len(live[place].rows) for place in stay), default=0)
            rows = [
                (place * width_before + row.origin, row.ids[-1])
                for place in stay
                for row in live[place].filled(width_after)
            ]
            origin_R, tokens_R = torch.tensor(rows, dtype=torch.long, device=device).view(-1, 2).unbind(1)
            state, tokens_R1 = select(state, origin_R), tokens_R[:, None]
            live = [live[place] for place in stay]
        return [sentence.finished[: self.nbest] for sentence in sentences]

    def _grow(self, live: list[Sentence], log_probs_RV: Tensor, length: int) -> None:
        """One token more: the best continuations of each sentence."""
        B, (R, V), device = len(live), log_probs_RV.shape, log_probs_RV.device
        must_end_B = torch.tensor([sentence.limit == length for sentence in live], device=device)
        permitted(log_probs_RV.view(B, -1, V), must_end_B)
        so_far_R = torch.tensor([row.log_probability for one in live for row in one.filled(R // B)], device=device)
        gains_RC, tokens_RC = best(log_probs_RV, min(self.beam, V))
        totals_BN = (so_far_R[:, None] + gains_RC).view(B, -1)
        totals_BK, index_BK = totals_BN.topk(min(self.beam, totals_BN.shape[1]))
        tokens_BK = tokens_RC.view(B, -1).gather(1, index_BK)
        origins_BK = index_BK // tokens_RC.shape[1]
        for sentence, *chosen in zip(live, origins_BK.tolist(), tokens_BK.tolist(), totals_BK.tolist(), strict=True):
            self._extend(sentence, zip(*chosen, strict=True), length)

    def _extend(self, sentence: Sentence, chosen: Iterable[tuple[int, int, float]], length: int) -> None:
        """A hypothesis that ends gives up its place. `chosen`: row, token and log-probability, best first."""
        before, sentence.rows = sentence.rows, []
        for origin, token, log_probability in islice(chosen, self.beam - len(sentence.finished)):
            if log_probability == -math.inf:
                break
            ids = before[origin].ids
            if token == EOS:
                score = log_probability / self.penalty(length)
                sentence.finished.append(Hypothesis(ids[1:], score, log_probability))
            else:
                sentence.rows.append(Row(origin, [*ids, token], log_probability))
        sentence.finished.sort(key=lambda one: -one.score)

    def _can_improve(self, sentence: Sentence) -> bool:
        """Whether a live hypothesis may still be among the `nbest`: at best it keeps its log-probability and grows."""
        if not sentence.rows or len(sentence.finished) < self.nbest:
            return bool(sentence.rows)
        bound = sentence.rows[0].log_probability / self.penalty(sentence.limit)
        return bound > sentence.finished[self.nbest - 1].score

    def penalty(self, length: int) -> float:
        """The divisor for a hypothesis of so many tokens, EOS included."""
        return ((5 + length) / 6) ** self.length_penalty
