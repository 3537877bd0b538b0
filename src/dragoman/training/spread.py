"""A model in parts over several processes, for one that none of them can hold: FSDP (Zhao et al. 2023)."""

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from dragoman.attention import MultiHeadAttention
from dragoman.models import Seq2Seq

VERBS = ("encode", "start", "advance")


def spread(model: Seq2Seq, mesh: DeviceMesh) -> None:
    """Each process keeps its share of every tensor, and gathers those of a layer while it computes it.

    Whatever is called from outside must gather first: the model's verbs, and what an attention reads of the source.
    """
    for module in model.modules():
        if isinstance(module, MultiHeadAttention):
            fully_shard(module, mesh=mesh)
            register_fsdp_forward_method(module, "read")
    for layers in model.children():
        if isinstance(layers, nn.ModuleList):
            for layer in layers:
                fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for verb in VERBS:
        register_fsdp_forward_method(model, verb)


def is_spread(model: nn.Module) -> bool:
    """Whether it is in parts: then all processes must call it, and as often."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())
