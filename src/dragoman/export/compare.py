"""The same sentences by several engines: quality, agreement, speed, size."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from dragoman.evaluation.scores import Score, interval_bleu


class Contestant(NamedTuple):
    """An engine: lines → lines, and the file of its weights."""

    name: str
    translate: Callable[[list[str]], list[str]]
    weights: Path


class Row(NamedTuple):
    """What came of it. `identical`: the share of lines that are those of the first engine; times are this machine's."""

    engine: str
    bleu: Score
    identical: float
    seconds: float
    sentences_per_second: float
    bytes: int


def compared(contestants: Sequence[Contestant], pairs: Sequence[tuple[str, str]], language: str | None) -> list[Row]:
    """One after the other, each after a first sentence to warm up; `language`: of the references."""
    source, reference = ([pair[side] for pair in pairs] for side in (0, 1))
    rows: list[Row] = []
    first: list[str] = []
    for name, translate, weights in contestants:
        translate(source[:1])
        began = time.perf_counter()
        found = translate(source)
        seconds = time.perf_counter() - began
        first = first or found
        identical = sum(one == other for one, other in zip(found, first, strict=True)) / len(found)
        bleu = interval_bleu(found, reference, language)
        rows.append(Row(name, bleu, identical, seconds, len(found) / seconds, weights.stat().st_size))
    return rows


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of Markdown, and the signature of its scores."""
    lines = [
        "| engine | BLEU | identical lines | sentences/s | weights |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        bleu = f"{row.bleu.value:.2f} [{row.bleu.low:.2f}, {row.bleu.high:.2f}]"
        size = f"{row.bytes / 2**20:.1f} MiB"
        lines.append(f"| {row.engine} | {bleu} | {row.identical:.1%} | {row.sentences_per_second:.1f} | {size} |")
    return [*lines, "", rows[0].bleu.signature]
