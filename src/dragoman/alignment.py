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
def align(
    model: Seq2Seq, tokenizers: Tokenizers, source: list[int], source_words: list[int], target: list[int]
) -> list[tuple[int, int]]:
    """(source word, target word) for the target words, counted from 0 by white space: the Pharaoh format's pairs.

    `source_words` says of which word of its line each source id is a part: `Tokenizer.words`. The target is forced
    through the model; the word whose pieces got most of the weight, all layers and heads taken together, is the one it
    was read from. Where none got any there is no pair: a model without attention keeps what stands at EOS alone. A
    component of the computation, not an explanation.
    """
    target_words = tokenizers.target.decoded_words(target)
    if max(target_words, default=-1) < 0:
        return []
    batch = collate([source], [target])
    with record(model) as seen:
        model(batch.src_BS.to(model.device), batch.tgt_BT[:, :-1].to(model.device))
    layers = [one.weights_BHTS[0].mean(0) for one in seen.values() if one.kind == "cross"]
    if not layers:
        return []
    weights_TS = torch.stack(layers).mean(0)[: len(target), : len(source)]  # row t predicts target t; EOS left out
    first = source_words[0]
    summed = merge(merge(weights_TS, target_words).T, [word - first for word in source_words]).T
    best = enumerate(summed.argmax(1).tolist())
    return [(first + word, number) for number, word in best if summed[number, word] > 0]


def merge(weights_TS: Tensor, words: list[int]) -> Tensor:
    """Add up the rows that belong to the same word."""
    merged = weights_TS.new_zeros(words[-1] + 1, weights_TS.shape[1])
    return merged.index_add_(0, torch.tensor(words, device=weights_TS.device), weights_TS)
