"""Rules by which SentencePiece normalises text before it cuts it: kept in its model, so that translation does the same.

A rule replaces one sequence of characters by another; the longest that fits wins. All start from SentencePiece's own
tables, with Python's Unicode data for what those lack.
"""

import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sentencepiece

QUOTES = {
    **dict.fromkeys("“”„‟«»〝〞＂", '"'),
    **dict.fromkeys("‘’‚‛‹›＇`´", "'"),
}  # typographic quotation marks and apostrophes → those of a keyboard
STEPS = ("nfc", "nfkc", "whitespace", "quotes")


def check_steps(steps: Sequence[str]) -> None:
    """ValueError for a step that is unknown."""
    for step in steps:
        if step not in STEPS:
            raise ValueError(f"`normalisation` ({step}) must be of {', '.join(STEPS)}; null is SentencePiece's own.")


def rules(steps: Sequence[str]) -> dict[str, str]:
    """What is replaced by what.

    nfc, nfkc: Unicode's forms of composed characters, the second without typographic variants (ﬁ → fi). whitespace:
    every kind of white space is a space, control characters are dropped, as in SentencePiece's own nmt_nfkc. quotes:
    those of a keyboard.
    """
    found: dict[str, str] = {}
    for form in ("nfc", "nfkc"):
        if form in steps:
            found |= composing(form)
    if "whitespace" in steps:
        plain = table("nfkc")
        found |= {text: new for text, new in table("nmt_nfkc").items() if plain.get(text) != new}
    if "quotes" in steps:
        found |= {text: changed for text, new in found.items() if (changed := keyboard(new)) != new}
        found |= QUOTES
    return found


def composing(form: str) -> dict[str, str]:
    """All that has another shape in that form."""
    known = table("nfkc")
    if form == "nfkc":
        return known
    changed = ((text, unicodedata.normalize("NFC", text)) for text in known)
    return {text: new for text, new in changed if text != new}


def keyboard(text: str) -> str:
    """With plain quotation marks."""
    return "".join(QUOTES.get(character, character) for character in text)


def table(name: str) -> dict[str, str]:
    """One of SentencePiece's own."""
    return dict(sentencepiece.SentencePieceNormalizer(rule_name=name).decompile())


@contextmanager
def rules_file(steps: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    """How SentencePiece's trainer is told: in a file of code points, in hexadecimal, that its model will hold."""
    if steps is None:
        yield {"normalization_rule_name": "nmt_nfkc"}
    elif not steps:
        yield {"normalization_rule_name": "identity"}
    else:
        with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="ascii") as file:
            file.writelines(f"{code_points(text)}\t{code_points(new)}\n" for text, new in rules(steps).items())
            file.flush()
            yield {"normalization_rule_tsv": file.name}


def code_points(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)
