"""Watch a model attend: the weights of each attention, whatever its kernel, taken by a hook that calls `weights`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dragoman.attention.base import Attention
from dragoman.attention.mask import Kind, Mask

RECORDING = threading.RLock()  # one at a time: a watch takes the place of a method
PLACES: dict[Kind, str] = {"self": "encoder", "causal": "decoder", "cross": "cross"}  # as users know them


class Recorded(NamedTuple):
    """What an attention weighted since it last read, and of which kind it was. Queries of later calls stand below."""

    kind: Kind
    weights_BHTS: Tensor


class Watch:
    """Beside one attention: the keys it is given to remember, though it may keep only sums of them, and its weights.

    Sees what its own thread asks for alone.
    """

    def __init__(self, name: str, attention: Attention, seen: dict[str, Recorded]) -> None:
        self.name, self.attention, self.seen = name, attention, seen
        self.remember = attention.remember
        self.before = vars(attention).get("remember")  # an outer recording's; else the method is the class's
        self.keys: Tensor | None = None
        self.thread = threading.get_ident()

    def begin(self) -> None:
        self.hook = self.attention.register_forward_hook(self.on_forward)
        self.attention.remember = self.on_remember  # type: ignore[method-assign]

    def end(self) -> None:
        self.hook.remove()
        if self.before is None:
            del self.attention.remember
        else:
            self.attention.remember = self.before  # type: ignore[method-assign]

    def on_remember(self, past: Any, k_BHSK: Tensor, v_BHSV: Tensor, mask: Mask) -> Any:
        if threading.get_ident() != self.thread:
            return self.remember(past, k_BHSK, v_BHSV, mask)
        older = None if past is None else self.keys
        self._check(older, k_BHSK)
        self.keys = k_BHSK if older is None else torch.cat((older, k_BHSK), dim=2)
        self.seen.pop(self.name, None)
        return self.remember(past, k_BHSK, v_BHSV, mask)

    def on_forward(self, _module: nn.Module, inputs: tuple[Tensor, Any, Mask], _output: Tensor) -> None:
        if threading.get_ident() != self.thread:
            return
        q_BHTK, _past, mask = inputs
        self._check(self.keys, q_BHTK)
        assert self.keys is not None
        k_BHSK = self.keys.repeat_interleave(q_BHTK.shape[1] // self.keys.shape[1], dim=1)
        weights_BHTS = self.attention.weights(q_BHTK, k_BHSK, mask).detach()
        if self.name in self.seen:
            weights_BHTS = torch.cat((self.seen[self.name].weights_BHTS, weights_BHTS), dim=2)
        self.seen[self.name] = Recorded(mask.kind, weights_BHTS)

    def _check(self, older: Tensor | None, newer: Tensor) -> None:
        if older is not None and len(older) != len(newer):
            raise ValueError(
                f"`record` watches a forced pass, not a search: {self.name} was given {len(older)} rows,"
                f" then {len(newer)}."
            )


@contextmanager
def kernels(model: nn.Module) -> Iterator[dict[Kind, set[str]]]:
    """Kind of reading → the names of what computed it inside the context: which backend really ran."""
    seen: dict[Kind, set[str]] = {}

    def note(attention: nn.Module, inputs: tuple[Tensor, Any, Mask], _output: Tensor) -> None:
        assert isinstance(attention, Attention)
        seen.setdefault(inputs[2].kind, set()).add(attention.kernel(*inputs))

    handles = [part.register_forward_hook(note) for part in model.modules() if isinstance(part, Attention)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def record(model: nn.Module) -> Iterator[dict[str, Recorded]]:
    """Module name → its weights, filled while the model reads and attends inside the context.

    For forced passes: rows must not be selected between two steps, as a search does, for a watch keeps its own keys of
    those that were there. ValueError where their number changes; other rows, as many, would be mixed unseen. Recordings
    may be nested. What other threads ask of the model meanwhile is not recorded; a recording of theirs waits until this
    one ends.
    """
    seen: dict[str, Recorded] = {}
    with RECORDING:
        watches = [Watch(name, part, seen) for name, part in model.named_modules() if isinstance(part, Attention)]
        for watch in watches:
            watch.begin()
        try:
            yield seen
        finally:
            for watch in watches:
                watch.end()
