"""Which keys a query may read, and how their distance counts. bool everywhere, True = may be read: the only convention.

Shapes: B sentences, H heads, T queries, S keys.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["self", "causal", "cross"]
Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Span = tuple[int, int]  # first, behind the last


@dataclass(frozen=True)
class Mask:
    """A law of reading, stated once and rendered by each kernel in its own way.

    `kind`: "self" and "cross" read every key, "causal" those not after the query. `keys_BS`: True where a key is a
    real token; None where all are. `window`: only keys fewer than so many positions away; the first `global_tokens`
    keys are read by all the same, and as queries read all. `slopes`: for each head what a position of distance takes
    off the score (ALiBi: Press et al. 2022, section 3). The queries are the LAST T of the S keys, so that a cached step
    (T = 1) is an ordinary case.
    """

    kind: Kind
    keys_BS: Tensor | None = None
    window: int | None = None
    global_tokens: int = 0
    slopes: tuple[float, ...] | None = None

    def rule(self, queries: int, keys: int) -> Rule:
        """The definition: (sentence, head, query, key) → may it be read. All others are rendered from it."""
        past = keys - queries

        def may_read(sentence: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            here = query + past
            allowed = key <= here if self.kind == "causal" else key >= 0
            if self.window is not None:
                near = (key - here).abs() < self.window
                allowed = allowed & (near | (key < self.global_tokens) | (here < self.global_tokens))
            return allowed if self.keys_BS is None else allowed & self.keys_BS[sentence, key]

        return may_read

    def tilt(self, queries: int, keys: int, device: torch.device) -> Rule:
        """The definition of the bias: (sentence, head, query, key) → what is added to the score."""
        past = keys - queries
        slopes_H = torch.tensor(self.slopes or (0.0,), device=device)  # made here: a compiled rule may make no tensor

        def add(sentence: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return -slopes_H[head] * (key - query - past).abs()

        return add

    def dense(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """The rule over all indices, (B or 1, 1, T or 1, S); None = everything may be read."""
        causal = self.kind == "causal" and queries > 1  # a single query stands last and may read all
        if self.window is None and not causal:
            return None if self.keys_BS is None else self.keys_BS[:, None, None]  # all the queries read alike
        sentences = 1 if self.keys_BS is None else len(self.keys_BS)
        return self.rule(queries, keys)(*grid((0, sentences), (0, 1), (0, queries), (0, keys), device))

    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """The tilt over all indices, (1, H, T, S); None = every distance counts alike."""
        if self.slopes is None:
            return None
        indices = grid((0, 1), (0, len(self.slopes)), (0, queries), (0, keys), device)
        return self.tilt(queries, keys, device)(*indices)


def grid(sentences: Span, heads: Span, queries: Span, keys: Span, device: torch.device) -> list[Tensor]:
    """Indices that broadcast to (B, H, T, S). No `range`s: to a compiler those are of one length alone."""
    return [
        torch.arange(*span, device=device).view([-1 if i == place else 1 for i in range(4)])
        for place, span in enumerate((sentences, heads, queries, keys))
    ]
