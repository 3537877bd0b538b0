"""Who reads what, and how: masks, the arithmetic of attention, and the projections around it. Imports torch only."""

from dragoman.attention.additive import Additive
from dragoman.attention.base import KV, Attention
from dragoman.attention.dot import ScaledDot
from dragoman.attention.fixed import Fixed
from dragoman.attention.flex import Flex
from dragoman.attention.fused import Fused
from dragoman.attention.linear import Linear
from dragoman.attention.mask import Mask
from dragoman.attention.multihead import MultiHeadAttention
from dragoman.attention.record import PLACES, kernels, record
from dragoman.attention.window import SlidingWindow

__all__ = [
    "KV",
    "PLACES",
    "Additive",
    "Attention",
    "Fixed",
    "Flex",
    "Fused",
    "Linear",
    "Mask",
    "MultiHeadAttention",
    "ScaledDot",
    "SlidingWindow",
    "kernels",
    "record",
]
