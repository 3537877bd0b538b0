"""BLEU, chrF and TER by sacreBLEU, never a number without its signature."""

import re
from typing import Any, NamedTuple

from sacrebleu.metrics import BLEU, CHRF, TER

from dragoman.errors import InputError

BOOTSTRAP_SAMPLES = 1000  # what the `sacrebleu --confidence` command line takes
UNSPACED = {"zh": "zh", "ja": "char", "th": "char", "lo": "char", "km": "char", "my": "char"}  # → how BLEU cuts them


class Score(NamedTuple):
    """A value with what it takes to get it again, and the bounds of its bootstrap 95 % interval.

    BLEU and chrF2 lie between 0 and 100; TER begins at 0, has no end, and the lower it is the better.
    """

    name: str
    value: float
    low: float
    high: float
    signature: str

    def __str__(self) -> str:
        return f"{self.name:5} {self.value:6.2f}  [{self.low:.2f}, {self.high:.2f}]  {self.signature}"


def score(hypotheses: list[str], references: list[str], language: str | None = None) -> list[Score]:
    """Corpus BLEU, chrF2 and TER with intervals: the numbers of `sacrebleu -m bleu chrf ter --confidence`.

    `language`: of the references; BLEU cuts those that put no spaces between words as its signature says, `-tok zh`.

    An interval is cut where a score ends: at 0, and at 100 but for TER, which has no end.
    Post 2018; Koehn 2004 for the intervals. InputError where the lists differ in length or are empty.
    """
    check_lengths(hypotheses, references)
    # As the command line reads its files.
    hypotheses, references = ([line.rstrip() for line in lines] for lines in (hypotheses, references))
    return [measured(metric, hypotheses, references) for metric in (bleu_of(language), CHRF(), TER())]


def interval_bleu(hypotheses: list[str], references: list[str], language: str | None = None) -> Score:
    """Corpus BLEU with its interval."""
    check_lengths(hypotheses, references)
    return measured(bleu_of(language), hypotheses, references)


def bleu_of(language: str | None) -> BLEU:
    """sacreBLEU's default, but where words are not told apart by spaces."""
    return BLEU(tokenize=UNSPACED.get(re.split("[-_]", language or "")[0].lower(), BLEU.TOKENIZER_DEFAULT))


def measured(metric: Any, hypotheses: list[str], references: list[str]) -> Score:
    """One metric's score with its interval and signature."""
    result = in_floats(metric).corpus_score(hypotheses, [references], n_bootstrap=BOOTSTRAP_SAMPLES)
    # sacreBLEU's interval lies as far to both sides of its mean: beside 0 or 100 beyond what a score can be.
    low, high = float(max(result._mean - result._ci, 0.0)), float(result._mean + result._ci)
    high = high if isinstance(metric, TER) else min(high, 100.0)
    return Score(result.name, result.score, low, high, metric.get_signature().format(short=False))


def in_floats(metric: Any) -> Any:
    """The metric, whose scores are of one type.

    sacreBLEU scores a resample without any match as a float, others as numpy's, and cannot take the mean of both.
    """
    compute = metric._compute_score_from_stats

    def in_float(stats: Any) -> Any:
        result = compute(stats)
        result.score = float(result.score)
        return result

    metric._compute_score_from_stats = in_float
    return metric


def bleu(hypotheses: list[str], references: list[str], language: str | None = None) -> float:
    """Corpus BLEU alone, for watching a training."""
    check_lengths(hypotheses, references)
    return bleu_of(language).corpus_score(hypotheses, [references]).score


def check_lengths(hypotheses: list[str], references: list[str]) -> None:
    """A score compares line with line."""
    if len(hypotheses) != len(references):
        raise InputError(f"There are {len(hypotheses)} translations but {len(references)} references.")
    if not hypotheses:
        raise InputError("There is nothing to score: no sentence was given.")
