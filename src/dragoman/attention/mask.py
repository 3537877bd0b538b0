"""Which keys a query may read. bool everywhere, True = may be read: the only convention in the project.

Shapes: B sentences, T queries, S keys.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mask:
    """A law of reading, stated once and rendered by each kernel in its own way.

    `kind`: "self" and "cross" read every key, "causal" those not after the query. `keys_BS`: True where a key is a
    real token; None where all are. The queries are the LAST T of the S keys, so that a cached step (T = 1) is an
    ordinary case.
    """

    kind: Literal["self", "causal", "cross"]
    keys_BS: Tensor | None = None

    def rule(self, queries: int, keys: int) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """The definition: (sentence, head, query, key) → may it be read. All others are rendered from it."""
        past = keys - queries

        def may_read(sentence: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            allowed = key <= query + past if self.kind == "causal" else torch.ones_like(key, dtype=torch.bool)
            return allowed if self.keys_BS is None else allowed & self.keys_BS[sentence, key]

        return may_read

    def dense(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """The rule over all indices, (B or 1, 1, T or 1, S); None = everything may be read."""
        causal = self.kind == "causal" and queries > 1  # a single query stands last and may read all
        if self.keys_BS is None and not causal:
            return None
        sentence = torch.arange(1 if self.keys_BS is None else len(self.keys_BS), device=device)
        query = torch.arange(queries, device=device) if causal else torch.full((1,), queries - 1, device=device)
        return self.rule(queries, keys)(
            sentence[:, None, None, None],
            torch.zeros(1, 1, 1, 1, dtype=torch.long, device=device),
            query[None, None, :, None],
            torch.arange(keys, device=device)[None, None, None, :],
        )
