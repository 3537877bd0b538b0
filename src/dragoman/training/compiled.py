"""Layers compiled in place, so that weights keep their names; for training alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dragoman.models import Seq2Seq


def compile_parts(model: Seq2Seq, criterion: Any, backend: str) -> None:
    """Each layer, and the arithmetic that the loss is made of, by `torch.compile`, for sizes of any kind.

    Batches differ in all their sizes. That two happen to be equal in the first one is no law (no "duck shapes").
    """
    torch.fx.experimental._config.use_duck_shape = False
    layers = [layer for part in model.children() if isinstance(part, nn.ModuleList) for layer in part]
    arithmetic = [part for part in criterion.modules() if not list(part.children())]
    for part in (*layers, *arithmetic):
        part.compile(dynamic=True, backend=backend)


@contextmanager
def uncompiled() -> Iterator[None]:
    """While it lasts compiled layers run as they are written: a search asks for a size after the other."""
    with torch.compiler.set_stance("force_eager"):
        yield


def backends() -> list[str]:
    """What may compile, the ones for looking into it included."""
    return torch._dynamo.list_backends(exclude_tags=())
