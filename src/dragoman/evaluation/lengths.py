"""Quality and cost by the length of the source: Bahdanau et al. 2015, figure 2, with what it takes.

Shapes: B sentences.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dragoman.data.batch import collate
from dragoman.evaluation.scores import Score, interval_bleu
from dragoman.files import write_atomically
from dragoman.models import Seq2Seq
from dragoman.translator import Translator

STEP = 10  # words from one bucket to the next
LAST = 60  # longer ones are one bucket
SAMPLE = 10  # sentences of a bucket that are timed


class Bucket(NamedTuple):
    """Sentences of `low` to `high` source words (None: no end).

    `seconds`: the median time to translate one sentence alone. `tokens_per_second`: target tokens with EOS while the
    timed ones are translated together. `cache_bytes`: memory and state of a sentence that is written, on average; None:
    another engine keeps them.
    """

    low: int
    high: int | None
    sentences: int
    bleu: Score
    seconds: float
    tokens_per_second: float
    cache_bytes: int | None

    @property
    def name(self) -> str:
        return span_name(self.low, self.high)


def span_name(low: int, high: int | None) -> str:
    """In words of the source."""
    return f"{low}+" if high is None else f"{low}–{high}"


def buckets_of(source: Sequence[str]) -> dict[tuple[int, int | None], list[int]]:
    """From how many words to how many (None: no end) → the lines that have them, short ones first; no empty lines."""
    found: dict[int, list[int]] = {}
    for index, line in enumerate(source):
        words = len(line.split())
        if words:
            found.setdefault(min(words - 1, LAST) // STEP * STEP, []).append(index)
    return {(low + 1, low + STEP if low < LAST else None): found[low] for low in sorted(found)}


def by_length(
    translator: Translator,
    source: Sequence[str],
    hypotheses: Sequence[str],
    reference: Sequence[str],
    language: str | None = None,
) -> list[Bucket]:
    """The buckets that hold any sentence; times are those of this machine, now. `language`: of the references."""
    members = buckets_of(source)
    translator([source[found[0]] for found in members.values()])  # to warm up
    sides = (source, hypotheses, reference)
    return [
        _bucket(translator, span, [[side[i] for i in chosen] for side in sides], language)
        for span, chosen in members.items()
    ]


def _bucket(
    translator: Translator, span: tuple[int, int | None], sides: list[list[str]], language: str | None
) -> Bucket:
    source, hypotheses, reference = sides
    sample = source[:: max(1, len(source) // SAMPLE)][:SAMPLE]
    alone = [timed(translator, [line])[0] for line in sample]
    together, translations = timed(translator, sample)
    targets = translator.tokenizers.target.encode_all(translations)
    sources = translator.tokenizers.source.encode_all(sample)
    ours = isinstance(translator.model, Seq2Seq)
    cached = [kept_bytes(translator, *ids) for ids in zip(sources, targets, strict=True)] if ours else []
    return Bucket(
        low=span[0],
        high=span[1],
        sentences=len(source),
        bleu=interval_bleu(hypotheses, reference, language),
        seconds=statistics.median(alone),
        tokens_per_second=sum(len(ids) + 1 for ids in targets) / together,
        cache_bytes=round(statistics.mean(cached)) if cached else None,
    )


def timed(translator: Translator, lines: list[str]) -> tuple[float, list[str]]:
    """Seconds, and what they brought."""
    began = time.perf_counter()
    found = translator(lines)
    return time.perf_counter() - began, found


@torch.inference_mode()
def kept_bytes(translator: Translator, source: list[int], target: list[int]) -> int:
    """What a model holds of a sentence once its translation is written by one row, token after token.

    Of the source as much as is translated in one piece.
    """
    model = translator.model
    batch = collate([source[: translator.search.max_source - 1]], [target])
    src_BS, tgt_BT = (side.to(model.device) for side in batch)
    memory = model.encode(src_BS)
    state = model.start(memory)
    for token_B1 in tgt_BT[:, : model.max_length].split(1, dim=1)[:-1]:
        _, state = model.advance(token_B1, state, memory)
    return tree_bytes(memory) + tree_bytes(state)


def tree_bytes(tree: Any) -> int:
    """The bytes of all tensors in a memory or state, each counted once."""
    tensors: dict[int, Tensor] = {}

    def gather(part: Any) -> None:
        if isinstance(part, Tensor):
            tensors[id(part)] = part
        elif isinstance(part, tuple):
            for one in part:
                gather(one)

    gather(tree)
    return sum(one.numel() * one.element_size() for one in tensors.values())


def table(buckets: Sequence[Bucket]) -> list[str]:
    """Lines of text, columns aligned."""
    lines = ["words   sentences   BLEU                     ms alone   tokens/s   cache KiB"]
    for one in buckets:
        bleu = f"{one.bleu.value:6.2f}  [{one.bleu.low:.2f}, {one.bleu.high:.2f}]"
        cache = "–" if one.cache_bytes is None else f"{one.cache_bytes / 1024:,.0f}"
        lines.append(
            f"{one.name:7} {one.sentences:9,}  {bleu:24} {one.seconds * 1e3:8.0f} {one.tokens_per_second:10,.0f}"
            f" {cache:>11}"
        )
    return lines


def plot(buckets: Sequence[Bucket], path: Path) -> None:
    """BLEU with its band, and seconds, over the source's length."""
    from matplotlib.figure import Figure  # here: it takes a second

    figure = Figure(figsize=(6.4, 6), layout="constrained")
    quality, cost = figure.subplots(2, 1, sharex=True)
    names = [f"{one.name}\n{one.sentences:,}" for one in buckets]
    values = [one.bleu.value for one in buckets]
    quality.fill_between(names, [one.bleu.low for one in buckets], [one.bleu.high for one in buckets], alpha=0.25)
    quality.plot(names, values, marker="o")
    quality.set(ylabel="BLEU, 95 % band", ylim=(0, None))
    cost.plot(names, [one.seconds for one in buckets], marker="o")
    cost.set(ylabel="seconds for a sentence alone", xlabel="source words, and how many sentences", ylim=(0, None))
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=150))
