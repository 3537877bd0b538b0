"""Normalisation is part of the tokenizer: SentencePiece's own, Unicode's forms, plain quotes; and sampled pieces."""

import random
import unicodedata
from functools import cache

import pytest
import sentencepiece

from dragoman.text.normalisation import QUOTES, rules_file
from dragoman.text.pocket import generate
from dragoman.text.tokenizer import SentencePiece, Tokenizer, Tokenizers

CHARACTERS = [chr(n) for n in range(0x21, 0x110000) if not 0xD800 <= n < 0xE000 and n != 0x2581]
KNOWN = [one for one in CHARACTERS if unicodedata.name(one, None)]  # newer ones Python may not know


@cache
def normaliser(*steps: str) -> sentencepiece.SentencePieceNormalizer:
    with rules_file(steps) as told:
        return sentencepiece.SentencePieceNormalizer(rule_tsv=told["normalization_rule_tsv"])


def normalised(text: str, *steps: str) -> str:
    return normaliser(*steps).normalize(text).removeprefix("▁").replace("▁", " ")


def test_nfkc_with_white_space_is_sentencepieces_own():
    own = sentencepiece.SentencePieceNormalizer(rule_name="nmt_nfkc")
    every = [f"a{one}b" for one in map(chr, range(1, 0x110000)) if not "\ud800" <= one <= "\udfff"]
    ours = normaliser("nfkc", "whitespace").normalize(every)
    different = {text[1] for text, a, b in zip(every, ours, own.normalize(every), strict=True) if a != b}
    assert different <= {"～"}  # which its table spares
    assert sum(a != f"▁{text}" for text, a in zip(every, ours, strict=True)) > 4000


def test_nfc_is_unicodes():
    changed = 0
    for one in KNOWN:
        text = f"a{one}b"
        expected = unicodedata.normalize("NFC", text)
        changed += expected != text
        assert normalised(text, "nfc") == expected or one in "\u0344"  # a mark of two, which no table holds alone
    assert changed > 1000
    assert len(KNOWN) > 100_000


def test_letters_and_marks_are_composed():
    dice, composed = random.Random(0), 0
    letters = [one for one in KNOWN if "À" <= one <= "ỹ" and one.isalpha() and unicodedata.normalize("NFD", one) != one]
    for _ in range(500):
        text = unicodedata.normalize("NFD", "".join(dice.choices([*letters, "x", "-"], k=6)))
        expected = unicodedata.normalize("NFC", text)
        assert normalised(text, "nfc") == expected
        composed += expected != text
    assert composed > 400


@pytest.mark.parametrize("steps", [("quotes",), ("nfc", "quotes"), ("nfkc", "whitespace", "quotes")])
def test_quotes_are_those_of_a_keyboard(steps):
    for mark, plain in QUOTES.items():
        assert normalised(f"a{mark}b", *steps).replace(" ", "") == f"a{plain}b"
    assert normalised("“It’s” «là» ﬁn", *steps) == '"It\'s" "là" ' + ("fin" if "nfkc" in steps else "ﬁn")


SETTINGS = {"joint": True, "byte_fallback": True, "character_coverage": 1.0}
LINES = [side for pair in generate("train", size=300, seed=1) for side in pair]


def trained(model_type: str = "unigram", **changes: object) -> Tokenizer:
    settings = SETTINGS | {"model_type": model_type, "vocab_size": 420, "symbols": None, "normalisation": None}
    return SentencePiece(**(settings | changes)).train(LINES, []).source  # type: ignore[arg-type]


def test_a_tokenizer_keeps_its_normalisation(tmp_path):
    made = trained(normalisation=["nfc", "quotes"])
    Tokenizers(made, made).save(tmp_path)
    kept = Tokenizers.load(tmp_path).source
    for tokenizer in (made, kept):
        assert tokenizer.decode(tokenizer.encode("the “dog” e\u0301")) == 'the "dog" é'
    assert trained(normalisation=[]).decode(trained(normalisation=[]).encode("ﬁve “dogs”")) == "ﬁve “dogs”"


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_a_symbol_is_one_piece_wherever_it_stands(model_type):
    tokenizer = trained(model_type, symbols=["<2de>", "<medical>"])
    for text in ("<2de> the dog sleeps.", "the<medical>dog", "<2de> <medical> dog"):
        pieces = tokenizer.pieces(tokenizer.encode(text))
        assert [one for one in pieces if "<" in one] == [one for one in ("<2de>", "<medical>") if one in text]
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("symbols", [[""], ["two words"], ["a,b"], ["▁x"], [3]])
def test_what_cannot_be_a_symbol_is_refused(symbols):
    with pytest.raises(ValueError, match="`symbols`"):
        trained(symbols=symbols)


def test_an_unknown_step_is_refused():
    with pytest.raises(ValueError, match=r"`normalisation` \(nfd\) must be of nfc, nfkc, whitespace, quotes"):
        trained(normalisation=["nfd"])
