"""From a model's logits to sentences: knows the verbs of `Seq2Seq` and no model."""

from dragoman.search.beam import Beam
from dragoman.search.hypothesis import Hypothesis, Search
from dragoman.search.single import Greedy, Sampling

__all__ = ["Beam", "Greedy", "Hypothesis", "Sampling", "Search"]
