"""Watch a model attend: the weights of each attention, whatever its kernel, taken by a hook that calls `weights`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dragoman.attention.base import KV, Attention
from dragoman.attention.mask import Mask


class Recorded(NamedTuple):
    """What an attention's latest call weighted, and of which kind it was: self, causal or cross."""

    kind: str
    weights_BHTS: Tensor


@contextmanager
def record(model: nn.Module) -> Iterator[dict[str, Recorded]]:
    """Module name → its latest weights, filled while the model runs inside the context."""
    seen: dict[str, Recorded] = {}

    def watch(name: str, attention: Attention) -> RemovableHandle:
        def hook(_module: nn.Module, inputs: tuple[Tensor, KV, Mask], _output: Tensor) -> None:
            q_BHTK, past, mask = inputs
            seen[name] = Recorded(mask.kind, attention.weights(q_BHTK, past.k_BHSK, mask).detach())

        return attention.register_forward_hook(hook)

    handles = [watch(name, module) for name, module in model.named_modules() if isinstance(module, Attention)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
