"""Contrastive tests: does a model find the right translation more probable than one with a single fault?

Sennrich 2017. Accuracy by phenomenon, from forced scores; no search takes part.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.errors import InputError
from dragoman.evaluation.forced import log_probabilities
from dragoman.exported import one_run
from dragoman.files import write_json
from dragoman.models import Seq2Seq
from dragoman.run import Run
from dragoman.text.lines import read_lines
from dragoman.text.pocket import Contrast, contrasts
from dragoman.text.tokenizer import Tokenizers
from dragoman.translator import check_positive, find_device

RESULT = "contrastive.json"


class Accuracy(NamedTuple):
    """How many of how many were judged rightly, and the bounds of Wilson's 95 % interval, all but counts in percent."""

    phenomenon: str
    right: int
    total: int
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.value:6.2f}  [{self.low:.2f}, {self.high:.2f}]  {self.right:,} of {self.total:,}  {self.phenomenon}"
        )


def contrast_run(
    run: str, *, pairs: str | None, size: int, output: Path | None, device: str, batch_tokens: int
) -> list[Accuracy]:
    """Test a run on a file, or on `size` contrasts of its own corpus; contrastive.json goes to `output` or the run."""
    check_positive("batch_tokens", batch_tokens)
    check_positive("size", size)
    opened = Run(one_run(run, "tested so"))
    items = list(read_contrasts(pairs)) if pairs is not None else own_contrasts(opened.corpus(), size)
    if not items:
        raise InputError(f"{pairs} is empty: there is nothing to test.")
    model = opened.model().to(find_device(device))
    margins = log_margins(model, opened.tokenizers(), items, batch_tokens=batch_tokens)
    found = accuracies(items, margins)
    content = {
        "run": run,
        "pairs": pairs,
        "accuracy": [one._asdict() for one in found],
        "items": [{**one._asdict(), "margin": margin} for one, margin in zip(items, margins, strict=True)],
    }
    write_json((output or Path(run)) / RESULT, content)
    return found


def own_contrasts(corpus: Any, size: int) -> list[Contrast]:
    """So many of those that the corpus itself has: the pocket corpus alone has any."""
    from dragoman.text.corpus import Pocket  # here: it loads datasets

    if not isinstance(corpus, Pocket) or corpus.source_language != "en":
        raise InputError(
            "Only the pocket corpus, from en to fr, has contrastive sets of its own: give a file by `pairs=`."
        )
    return contrasts(size=size, seed=corpus.seed)


def read_contrasts(path: str) -> Iterable[Contrast]:
    """Lines of source, right translation, wrong translation and phenomenon, separated by tabs."""
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split("\t")
        if len(fields) != 4:
            raise InputError(
                f"{path}, line {number} has {len(fields)} fields, but must have 4, separated by tabs: source, right"
                " translation, wrong translation, phenomenon."
            )
        yield Contrast(*fields)


def log_margins(model: Seq2Seq, tokenizers: Tokenizers, items: Sequence[Contrast], *, batch_tokens: int) -> list[float]:
    """ln P(right) - ln P(wrong) of each."""
    pairs = [(one.source, text) for one in items for text in (one.right, one.wrong)]
    scores = log_probabilities(model, tokenizers, pairs, batch_tokens=batch_tokens)
    return [right - wrong for right, wrong in zip(scores[0::2], scores[1::2], strict=True)]


def accuracies(items: Sequence[Contrast], margins: Sequence[float]) -> list[Accuracy]:
    """By phenomenon, in the order in which they first appear, then of all. A tie is wrong."""
    judged: dict[str, list[bool]] = {}
    for one, margin in zip(items, margins, strict=True):
        judged.setdefault(one.phenomenon, []).append(margin > 0)
    found = [_accuracy(name, right) for name, right in judged.items()]
    return [*found, _accuracy("all", [right for group in judged.values() for right in group])]


def _accuracy(phenomenon: str, judged: list[bool]) -> Accuracy:
    """With Wilson's interval (1927), which stays between 0 and 100."""
    right, count, z = sum(judged), len(judged), 1.96
    share = right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Accuracy(phenomenon, right, count, *(100 * one for one in (share, middle - half, middle + half)))
