"""Who reads what, and how: masks, the arithmetic of attention, and the projections around it. Imports torch only."""

from dragoman.attention.base import KV, Attention
from dragoman.attention.dot import ScaledDot
from dragoman.attention.fused import Fused
from dragoman.attention.mask import Mask
from dragoman.attention.multihead import MultiHeadAttention
from dragoman.attention.record import record

__all__ = ["KV", "Attention", "Fused", "Mask", "MultiHeadAttention", "ScaledDot", "record"]
