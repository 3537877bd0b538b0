"""How probable a model finds a given translation: its words forced through the decoder.

Shapes: B sentences, T target positions, V target vocabulary.
"""

from collections.abc import Iterator, Sequence

import torch

from dragoman.batching import in_batches
from dragoman.data.batch import collate
from dragoman.errors import InputError
from dragoman.exported import one_run
from dragoman.ids import PAD
from dragoman.models import Seq2Seq
from dragoman.run import Run
from dragoman.text.lines import read_parallel
from dragoman.text.tokenizer import Tokenizers
from dragoman.translator import check_positive, find_device


def score_files(run: str, *, source: str, reference: str, device: str, batch_tokens: int) -> list[float]:
    """The log-probability of every line of `reference` as the translation of that line of `source`."""
    check_positive("batch_tokens", batch_tokens)
    opened = Run(one_run(run, "asked for probabilities"))
    tokenizers, model = opened.tokenizers(), opened.model().to(find_device(device))
    return log_probabilities(model, tokenizers, list(read_parallel(source, reference)), batch_tokens=batch_tokens)


@torch.inference_mode()
def log_probabilities(
    model: Seq2Seq, tokenizers: Tokenizers, pairs: Sequence[tuple[str, str]], *, batch_tokens: int
) -> list[float]:
    """Natural logarithms, that of EOS included, for (source, translation) pairs in their order; model in eval mode.

    InputError for a pair that is longer than the model can hold.
    """
    sources = tokenizers.source.encode_all([source for source, _ in pairs])
    targets = tokenizers.target.encode_all([target for _, target in pairs])
    lengths = [max(len(source), len(target)) + 1 for source, target in zip(sources, targets, strict=True)]
    for number, length in enumerate(lengths, start=1):
        if length > model.max_length:
            raise InputError(f"Pair {number} has {length} tokens, but the model holds {model.max_length} at most.")
    found = [0.0] * len(pairs)
    for chosen in in_batches(lengths, batch_tokens):
        values = _forced(model, [sources[i] for i in chosen], [targets[i] for i in chosen])
        for index, value in zip(chosen, values, strict=True):
            found[index] = value
    return found


def _forced(model: Seq2Seq, sources: list[list[int]], targets: list[list[int]]) -> Iterator[float]:
    src_BS, tgt_BT = (side.to(model.device) for side in collate(sources, targets))
    log_probs_BTV = model(src_BS, tgt_BT[:, :-1]).float().log_softmax(-1)
    labels_BT = tgt_BT[:, 1:]
    token_BT = log_probs_BTV.gather(-1, labels_BT[:, :, None])[:, :, 0]
    yield from token_BT.masked_fill(labels_BT == PAD, 0.0).sum(1).tolist()
