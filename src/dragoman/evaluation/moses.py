"""BLEU as papers before sacreBLEU gave it: of lower-cased Moses tokens. Only good beside numbers of the same kind."""

from importlib.metadata import version

from sacrebleu.metrics import BLEU

from dragoman.errors import InputError
from dragoman.evaluation.scores import Score, check_lengths, measured


def moses_bleu(hypotheses: list[str], references: list[str], language: str) -> Score:
    """Both sides tokenised by sacremoses and lower-cased, then counted as they stand (Post 2018, section 2).

    InputError where sacremoses is not installed.
    """
    try:
        from sacremoses import MosesTokenizer
    except ImportError as error:
        raise InputError("`moses` needs sacremoses: `pip install sacremoses`, or leave the key out.") from error
    check_lengths(hypotheses, references)
    tokenizer = MosesTokenizer(lang=language)
    sides = [
        [tokenizer.tokenize(line, return_str=True, escape=False) for line in side] for side in (hypotheses, references)
    ]
    found = measured(BLEU(lowercase=True, tokenize="none", force=True), *sides)
    return found._replace(name="BLEUm", signature=f"{found.signature}|moses:{language}-{version('sacremoses')}")
