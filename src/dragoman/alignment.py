"""Which source word each target word was read from, by the weights of cross-attention.

Shapes: S source positions, T target positions, L layers.
"""

import torch
from torch import Tensor

from dragoman.attention import record
from dragoman.data.batch import collate
from dragoman.models import Seq2Seq
from dragoman.text.tokenizer import Tokenizers


@torch.inference_mode()
def align(model: Seq2Seq, tokenizers: Tokenizers, source: list[int], target: list[int]) -> list[tuple[int, int]]:
    """(source word, target word) for each target word, counted from 0 by white space: the Pharaoh format's pairs.

    The target is forced through the model; the word whose pieces got most of the weight, all layers and heads taken
    together, is the one it was read from. A component of the computation, not an explanation.
    """
    device = next(model.parameters()).device
    batch = collate([source], [target])
    with record(model) as seen:
        model(batch.src_BS.to(device), batch.tgt_BT[:, :-1].to(device))
    layers = [one.weights_BHTS[0].mean(0) for one in seen.values() if one.kind == "cross"]
    if not layers or not source or not target:
        return []
    weights_TS = torch.stack(layers).mean(0)[: len(target), : len(source)]  # row t predicts target t; EOS left out
    source_words = word_numbers(tokenizers.source.pieces(source))
    target_words = word_numbers(tokenizers.target.pieces(target))
    summed = merge(merge(weights_TS, target_words).T, source_words).T
    return [(int(word), number) for number, word in enumerate(summed.argmax(1))]


def word_numbers(pieces: list[str]) -> list[int]:
    """The word that each piece belongs to; a piece that is nothing but a word's beginning belongs to what follows."""
    numbers, word = [], -1
    for index, piece in enumerate(pieces):
        word += piece.startswith("▁") or index == 0
        numbers.append(word)
    return numbers


def merge(weights_TS: Tensor, words: list[int]) -> Tensor:
    """Add up the rows that belong to the same word."""
    merged = weights_TS.new_zeros(words[-1] + 1, weights_TS.shape[1])
    return merged.index_add_(0, torch.tensor(words, device=weights_TS.device), weights_TS)
