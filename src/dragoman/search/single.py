"""Searches that never look back: each row takes one token a step. Greedy and sampling.

Shapes: B sentences, S source positions, K rows per sentence, R = B × K rows, V target vocabulary.
"""

import random
import zlib
from abc import abstractmethod
from typing import TypeVar

import torch
from torch import Tensor

from dragoman.ids import BOS, EOS, PAD
from dragoman.models.seq2seq import Seq2Seq, select
from dragoman.search.hypothesis import Hypothesis, Search, best, permitted

MOST = 10_000  # samples of a sentence

Item = TypeVar("Item")


class Single(Search):
    """`nbest` independent rows per sentence; a sentence leaves the batch when all of its rows have ended."""

    @abstractmethod
    def pick(self, log_probs_RV: Tensor, draws: list[random.Random]) -> Tensor:
        """The next token of each row, (R,); `draws` holds a source of randomness per row."""

    @torch.inference_mode()
    def __call__(self, model: Seq2Seq, src_BS: Tensor) -> list[list[Hypothesis]]:
        B, K = len(src_BS), self.nbest
        memory = model.encode(src_BS)
        state = select(model.start(memory), torch.arange(B, device=src_BS.device).repeat_interleave(K))
        limits_B = self.limits(model, src_BS)
        draws = self._draws(src_BS)
        written: list[list[int]] = [[] for _ in range(B * K)]
        log_probability = [0.0] * (B * K)
        alive = list(range(B * K))  # the rows, by their first number, that are still in the batch
        tokens_R1 = src_BS.new_full((B * K, 1), BOS)
        length = 0
        while alive:
            length += 1
            logits_R1V, state = model.advance(tokens_R1, state, memory)
            log_probs_RV = logits_R1V[:, -1].float().log_softmax(-1)
            allowed_BKV = permitted(log_probs_RV.unflatten(0, (-1, K)), limits_B == length)
            chosen_R = self.pick(allowed_BKV.flatten(0, 1), [draws[row] for row in alive])
            gained = log_probs_RV.gather(1, chosen_R[:, None])[:, 0].tolist()
            for row, token, gain in zip(alive, chosen_R.tolist(), gained, strict=True):
                if not written[row] or written[row][-1] != EOS:
                    written[row].append(token)
                    log_probability[row] += gain
            goes_on = [any(written[row][-1] != EOS for row in group(alive, b, K)) for b in range(len(limits_B))]
            tokens_R1 = chosen_R[:, None]
            if not all(goes_on):
                stay_B = torch.tensor(goes_on, device=src_BS.device).nonzero()[:, 0]
                stay_R = (stay_B[:, None] * K + torch.arange(K, device=src_BS.device)).flatten()
                alive = [alive[position] for position in stay_R.tolist()]
                memory, limits_B = select(memory, stay_B), limits_B[stay_B]
                state, tokens_R1 = select(state, stay_R), tokens_R1[stay_R]
        found = [Hypothesis(ids[:-1], p, p) for ids, p in zip(written, log_probability, strict=True)]
        return [sorted(group(found, b, K), key=lambda one: -one.score) for b in range(B)]

    def _draws(self, src_BS: Tensor) -> list[random.Random]:
        """No randomness by default: one unused source for each row."""
        return [random.Random(0)] * (len(src_BS) * self.nbest)


def group(rows: list[Item], sentence: int, size: int) -> list[Item]:
    """The rows of one sentence."""
    return rows[sentence * size : (sentence + 1) * size]


class Greedy(Single):
    """The most probable next token, always. It has the settings, and the ValueErrors, of every `Search`."""

    def pick(self, log_probs_RV: Tensor, draws: list[random.Random]) -> Tensor:
        return best(log_probs_RV, 1)[1][:, 0]


class Sampling(Single):
    """Draws from the model: at `temperature`, among the `top_k` best tokens, among those that make up `top_p`.

    0 switches `top_k` off, 1.0 switches `top_p` off (Holtzman et al. 2020, section 3.1). `nbest` samples are drawn per
    sentence. A sentence's samples depend on (`seed`, its ids) alone, not on its neighbours in the batch.

    ValueError unless 1e-6 ≤ `temperature` ≤ 1e6, 0 ≤ `top_k`, 0 < `top_p` ≤ 1 and 1 ≤ `nbest` ≤ 10,000, and where
    `Search` says so.
    """

    def __init__(
        self,
        *,
        temperature: float,
        top_k: int,
        top_p: float,
        nbest: int,
        seed: int,
        max_source: int,
        length_ratio: float,
        length_extra: int,
    ) -> None:
        super().__init__(max_source=max_source, length_ratio=length_ratio, length_extra=length_extra)
        if not 1e-6 <= temperature <= 1e6 or top_k < 0 or not 0 < top_p <= 1 or not 1 <= nbest <= MOST:
            raise ValueError(
                f"`temperature` ({temperature}) must be between 1e-6 and 1e6, `top_k` ({top_k}) at least 0, `top_p`"
                f" ({top_p}) above 0 and at most 1, `nbest` ({nbest}) at least 1 and at most {MOST}."
            )
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.nbest = nbest
        self.seed = seed

    def pick(self, log_probs_RV: Tensor, draws: list[random.Random]) -> Tensor:
        # In double precision, as the draw is: rounded to fp32 one in 2 ** 25 would be 1, beyond the last token kept.
        probs_RV = (log_probs_RV / self.temperature).softmax(-1, dtype=torch.float64)
        probs_RC, tokens_RC = self.candidates(probs_RV)
        cumulative_RC = probs_RC.cumsum(-1)
        draw_R1 = torch.tensor([[draw.random()] for draw in draws], dtype=torch.float64, device=probs_RV.device)
        place_R1 = (cumulative_RC <= draw_R1 * cumulative_RC[:, -1:]).sum(-1, keepdim=True)
        return tokens_RC.gather(1, place_R1)[:, 0]

    def candidates(self, probs_RV: Tensor) -> tuple[Tensor, Tensor]:
        """What may be drawn, (R, C): probabilities, 0 where ruled out, and tokens; sorted only where that matters."""
        R, V = probs_RV.shape
        if self.top_k:
            probs_RC, tokens_RC = best(probs_RV, min(self.top_k, V))
        elif self.top_p < 1:
            probs_RC, tokens_RC = probs_RV.sort(dim=-1, descending=True, stable=True)
        else:
            return probs_RV, torch.arange(V, device=probs_RV.device).expand(R, V)
        before_RC = probs_RC.cumsum(-1) - probs_RC  # the probability of all that is better
        return probs_RC * (before_RC < self.top_p), tokens_RC

    def _draws(self, src_BS: Tensor) -> list[random.Random]:
        sources = [zlib.crc32(str([i for i in ids if i != PAD]).encode()) for ids in src_BS.tolist()]
        return [random.Random(f"{self.seed} {source} {row}") for source in sources for row in range(self.nbest)]
