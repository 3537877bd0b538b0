"""Scored translations of one test set against each other, by sacreBLEU's paired bootstrap (Koehn 2004)."""

import logging
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.metrics.base import Signature
from sacrebleu.significance import PairedTest

from dragoman.errors import InputError
from dragoman.evaluation.evaluate import HYPOTHESES, REFERENCE, SOURCE, read_content, read_scores
from dragoman.evaluation.lengths import buckets_of, span_name
from dragoman.evaluation.scores import BOOTSTRAP_SAMPLES, UNSPACED, Score, check_lengths
from dragoman.evaluation.tables import markdown
from dragoman.files import write_json
from dragoman.run import SCORES
from dragoman.text.lines import read_lines

METRICS = ("BLEU", "chrF2", "TER")
CLOSE = 1e-6  # a score that is read again is the same to the last digit


class Scored(NamedTuple):
    """What evaluation left in a folder."""

    folder: Path
    scores: dict[str, Score]
    source: list[str]
    hypotheses: list[str]
    reference: list[str]


class Difference(NamedTuple):
    """A score, and how far it is from that of the first folder, where difference and p-value are None."""

    name: str
    value: float
    difference: float | None
    p_value: float | None
    signature: str

    def __str__(self) -> str:
        if self.difference is None or self.p_value is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.difference:+.2f}, p = {self.p_value:.3f})"


class AtLength(NamedTuple):
    """BLEU of the sentences with so many words in the source."""

    words: str
    sentences: int
    bleu: float


class Compared(NamedTuple):
    """The scores of a folder, and BLEU by the length of the source."""

    folder: str
    scores: list[Difference]
    by_length: list[AtLength]


def compare(folders: Sequence[str]) -> list[Compared]:
    """Each folder against the first, in their order.

    The p-value is roughly the probability that two translators of equal worth differ as much on such a test set:
    `sacrebleu REFERENCE -i HYPOTHESES … -m bleu chrf ter --paired-bs`. InputError where signatures, sources or
    references differ, or the scores are not those of the translations.
    """
    if len(folders) < 2:
        raise InputError("`scores` must name two folders or more, as in scores=[checkpoints/a,checkpoints/b].")
    first, *others = scored = [read_scored(Path(folder)) for folder in folders]
    for other in others:
        check_signatures(first, other)
        check_lines(first, other, SOURCE, first.source, other.source)
        check_lines(first, other, REFERENCE, first.reference, other.reference)
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)  # it tells of each step
    test = PairedTest(
        [(str(one.folder), one.hypotheses) for one in scored],
        dict(zip(METRICS, metrics(first), strict=True)),
        references=None,
        test_type="bs",
        n_samples=BOOTSTRAP_SAMPLES,
    )
    signatures, results = test()
    return [
        Compared(str(one.folder), differences(one, i, results, signatures), at_lengths(one))
        for i, one in enumerate(scored)
    ]


def metrics(one: Scored) -> tuple[BLEU, CHRF, TER]:
    """Those that made its scores."""
    references = [one.reference]
    return BLEU(tokenize=cut_by(one), references=references), CHRF(references=references), TER(references=references)


def cut_by(one: Scored) -> str:
    """Into what its BLEU cuts the lines."""
    signature = str(one.scores["BLEU"].signature)
    return next((name for name in UNSPACED.values() if f"|tok:{name}|" in signature), BLEU.TOKENIZER_DEFAULT)


def at_lengths(one: Scored) -> list[AtLength]:
    """BLEU in buckets of ten source words."""
    metric, found = BLEU(tokenize=cut_by(one)), []
    for span, lines in buckets_of(one.source).items():
        hypotheses, reference = ([side[line] for line in lines] for side in (one.hypotheses, one.reference))
        found.append(AtLength(span_name(*span), len(lines), metric.corpus_score(hypotheses, [reference]).score))
    return found


def differences(one: Scored, index: int, results: dict[str, Any], signatures: dict[str, Signature]) -> list[Difference]:
    """Of the folder with that index in sacreBLEU's results."""
    found = []
    for name in METRICS:
        result, first = results[name][index], results[name][0]
        check_value(one, name, result.score)
        difference = float(result.score - first.score) if index else None
        # sacreBLEU counts the resamples that differ by more: none of two equal translations do, and its p is 0.001.
        p_value = 1.0 if difference == 0 else result.p_value
        signature = signatures[name].format(short=False)
        found.append(Difference(name, float(result.score), difference, p_value, signature))
    return found


def read_scored(folder: Path) -> Scored:
    """The files of an evaluation; lines as the `sacrebleu` command line reads them."""
    path = folder / SCORES
    if not path.is_file():
        raise InputError(f"{folder} holds no {SCORES}: give the folder of a finished run, or evaluate it first.")
    try:
        scores = {one.name: one for one in read_scores(read_content(path))}
        known = {name: scores[name]._replace(value=float(scores[name].value)) for name in METRICS}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged; remove it and evaluate again.") from error
    source, hypotheses, reference = (
        [line.rstrip() for line in read_lines(folder / name)] for name in (SOURCE, HYPOTHESES, REFERENCE)
    )
    check_lengths(hypotheses, reference)
    if len(source) != len(reference):
        raise InputError(
            f"{folder / SOURCE} has {len(source):,} lines and {folder / REFERENCE} {len(reference):,}: evaluate again."
        )
    return Scored(folder, known, source, hypotheses, reference)


def check_signatures(first: Scored, other: Scored) -> None:
    for name in METRICS:
        ours, theirs = first.scores[name].signature, other.scores[name].signature
        if ours != theirs:
            raise InputError(
                f"{other.folder / SCORES}: {name} has the signature {theirs}, but {ours} in {first.folder / SCORES}: "
                "such scores must not be compared; evaluate both again."
            )


def check_lines(first: Scored, other: Scored, name: str, ours: list[str], theirs: list[str]) -> None:
    for number, (our, their) in enumerate(zip_longest(ours, theirs), 1):
        if our != their:
            raise InputError(
                f"{other.folder / name} differs from {first.folder / name} in line {number}: only scores on one test "
                "set can be compared."
            )


def check_value(one: Scored, name: str, value: float) -> None:
    """That the score is that of the translations beside it, by this version of sacreBLEU."""
    stored = one.scores[name].value
    if abs(stored - value) > CLOSE:
        raise InputError(
            f"{one.folder / SCORES} says {name} {stored:.2f}, but {HYPOTHESES} beside it has {value:.2f}; evaluate it "
            "again."
        )


def table(found: Sequence[Compared]) -> list[str]:
    """A line for each folder, and one for each length of the source; below, the signatures."""
    lines = markdown(["", *METRICS], [[one.folder, *map(str, one.scores)] for one in found])
    notes = ["Differences to the first, with p-values of a paired bootstrap."]
    notes += [f"{score.name}: `{score.signature}`" for score in found[0].scores]
    return [*lines, "", *table_by_length(found), *(line for note in notes for line in ("", note))]


def table_by_length(found: Sequence[Compared]) -> list[str]:
    """BLEU of each folder by the words of the source, with its difference to the first."""
    rows = []
    for first, *others in zip(*(one.by_length for one in found), strict=True):
        cells = [f"{one.bleu:.2f} ({one.bleu - first.bleu:+.2f})" for one in others]
        rows.append([first.words, f"{first.sentences:,}", f"{first.bleu:.2f}", *cells])
    return markdown(["source words", "sentences", *(f"BLEU, {one.folder}" for one in found)], rows)


def write(found: Sequence[Compared], path: Path) -> None:
    """As JSON."""
    content = [
        {
            "folder": one.folder,
            "scores": [score._asdict() for score in one.scores],
            "by_length": [length._asdict() for length in one.by_length],
        }
        for one in found
    ]
    write_json(path, content)
