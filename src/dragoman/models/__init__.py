"""What reads a sentence and writes another: the contract `Seq2Seq` and its models."""

from dragoman.models.ensemble import Ensemble
from dragoman.models.recurrent import RNNEncoderDecoder, RNNsearch
from dragoman.models.seq2seq import Seq2Seq, select
from dragoman.models.transformer import Transformer

__all__ = ["Ensemble", "RNNEncoderDecoder", "RNNsearch", "Seq2Seq", "Transformer", "select"]
