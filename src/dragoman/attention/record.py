"""Watch a model attend: the weights of each attention, whatever its kernel, taken by a hook that calls `weights`."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from dragoman.attention.base import KV, Attention
from dragoman.attention.mask import Mask


@contextmanager
def record(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Module name → weights (B, H, T, S) of its latest call, filled while the model runs inside the context."""
    seen: dict[str, Tensor] = {}

    def hook_for(name: str, attention: Attention):
        def hook(_module: nn.Module, inputs: tuple[Tensor, KV, Mask], _output: Tensor) -> None:
            q_BHTK, past, mask = inputs
            seen[name] = attention.weights(q_BHTK, past.k_BHSK, mask).detach()

        return attention.register_forward_hook(hook)

    handles = [hook_for(name, module) for name, module in model.named_modules() if isinstance(module, Attention)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
