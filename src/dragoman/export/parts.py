"""A Transformer as the tensors that other formats are made of; and what they cannot hold, refused by name.

Shapes: D model width, K head width, H heads of queries, G heads of keys and values, F inner width, L `max_length`.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dragoman.attention import Attention, Flex, Fused, MultiHeadAttention, ScaledDot
from dragoman.errors import InputError
from dragoman.models import Seq2Seq, Transformer
from dragoman.models.layers import NORMS, FeedForward, GatedFeedForward
from dragoman.models.positions import POSITIONS, Positions

SOFTMAX = (ScaledDot, Fused, Flex)  # softmax(qkᵀ/√K), however computed
ACTIVATIONS: dict[Callable[..., Tensor], str] = {
    functional.relu: "relu",
    functional.gelu: "gelu",
    functional.silu: "silu",
}


class Linear(NamedTuple):
    """x Wᵀ + b."""

    weight: Tensor
    bias: Tensor


class Heads(NamedTuple):
    """The projections around one attention; keys and values have G heads."""

    query: Linear
    key: Linear
    value: Linear
    output: Linear


class Inner(NamedTuple):
    """A feed-forward network; `gate` is what the activation is of where there are two projections."""

    activation: str
    expand: Linear
    gate: Linear | None
    contract: Linear


def transformer(model: Seq2Seq, to: str) -> Transformer:
    """The model, if it is a Transformer whose attentions are the usual one, which is what every format knows."""
    if not isinstance(model, Transformer):
        raise InputError(
            f"`to={to}` holds Transformers only, not {type(model).__name__}: train with `model=transformer`."
        )
    for place, attention in attentions(model).items():
        if type(attention) not in SOFTMAX:
            raise refusal(to, f"{place}: {type(attention).__name__}", [f"attention@model.{place}=fused"])
    return model


def attentions(model: Transformer) -> dict[str, Attention]:
    """One for each place; the layers of a place are alike."""
    return {
        "encoder_attention": model.encoder[0].self_attention.attention,
        "decoder_attention": model.decoder[0].self_attention.attention,
        "cross_attention": model.decoder[0].cross_attention.attention,
    }


def check(to: str, key: str, value: str, allowed: Collection[str]) -> None:
    """InputError where a format cannot express an option of the model."""
    if value not in allowed:
        raise refusal(to, f"{key}: {value}", [f"model.{key}={one}" for one in allowed])


def refusal(to: str, what: str, instead: Iterable[str]) -> InputError:
    """One sentence: what stands in the way, and what would not."""
    choices = " or ".join(f"`{one}`" for one in instead)
    return InputError(f"`to={to}` cannot express `model.{what}`: train with {choices}, or choose another format.")


def norm(model: Transformer) -> str:
    """pre or post."""
    return name_of(type(model.encoder[0].around_self), NORMS)


def positions(model: Transformer) -> str:
    """Their name in the configuration."""
    return name_of(type(model.source.positions), POSITIONS)


def name_of(value: Any, choices: dict[str, Any]) -> str:
    return next(name for name, choice in choices.items() if choice is value)


def position_table(embedded: Positions, length: int, dim: int) -> Tensor:
    """What the positions add to embeddings, (L, D); zeros where they add nothing."""
    return embedded.add(torch.zeros(1, length, dim), 0)[0].detach().clone()


def heads(attention: MultiHeadAttention) -> Heads:
    """With scores divided by √K, as all formats do: where they are not, the queries make up for it."""
    kernel = attention.attention
    factor = 1.0 if getattr(kernel, "scale", True) else attention.head_dim**0.5
    query = linear(attention.query)
    key, value = (Linear(*part) for part in zip(*(one.chunk(2) for one in linear(attention.key_value)), strict=True))
    return Heads(Linear(query.weight * factor, query.bias * factor), key, value, linear(attention.output))


def shared_out(projection: Linear, head_dim: int, times: int) -> Linear:
    """Each of G heads repeated for its `times` queries: G · K rows → H · K rows."""
    return Linear(
        *(one.unflatten(0, (-1, head_dim)).repeat_interleave(times, dim=0).flatten(0, 1) for one in projection)
    )


def inner(feed_forward: nn.Module, dim: int) -> Inner:
    """What adds nothing is a network of one neuron and of zeros."""
    if not isinstance(feed_forward, FeedForward):
        return Inner(
            "relu", Linear(torch.zeros(1, dim), torch.zeros(1)), None, Linear(torch.zeros(dim, 1), torch.zeros(dim))
        )
    gate = linear(feed_forward.gate) if isinstance(feed_forward, GatedFeedForward) else None
    activation = ACTIVATIONS[feed_forward.activation]
    return Inner(activation, linear(feed_forward.expand), gate, linear(feed_forward.contract))


def linear(module: nn.Module) -> Linear:
    """Of a linear layer or a norm."""
    return Linear(copied(module.get_parameter("weight")), copied(module.get_parameter("bias")))


def table(module: nn.Module) -> Tensor:
    """Of embeddings or of an output layer."""
    return copied(module.get_parameter("weight"))


def copied(parameter: Tensor) -> Tensor:
    """Some writers quantise in place."""
    return parameter.detach().float().clone()
