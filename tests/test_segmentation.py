"""Random segmentations: of the same text, of their seed in every process, with the probabilities that are said."""

import math
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from dragoman.ids import UNK
from dragoman.text.pocket import generate
from dragoman.text.segmentation import Segmentation
from dragoman.text.tokenizer import SentencePiece, Tokenizer
from scripts_for_tests import environment

LINES = [source for source, _ in generate("train", size=2000, seed=1)]
KINDS = ["unigram", "bpe"]


@cache
def trained(model_type: str = "unigram") -> Tokenizer:
    settings = {"vocab_size": 700, "joint": True, "byte_fallback": True, "character_coverage": 1.0}
    learner = SentencePiece(model_type=model_type, **settings, symbols=["<2de>"], normalisation=None)  # type: ignore[arg-type]
    return learner.train(LINES, LINES).source


@pytest.mark.parametrize("model_type", KINDS)
def test_they_are_of_the_same_text_and_of_their_seed(model_type):
    tokenizer, texts = trained(model_type), LINES[:200]
    segmentation = Segmentation(tokenizer, 0.2)
    plain, one, two = tokenizer.encode_all(texts), *(segmentation.sample_all(texts, seed) for seed in (1, 2))
    assert Segmentation(tokenizer, 0.2).sample_all(texts, 1) == one != two
    assert [tokenizer.decode(ids) for ids in one] == [tokenizer.decode(ids) for ids in plain]
    assert sum(a != b for a, b in zip(one, plain, strict=True)) > 150
    assert UNK not in {id for ids in one for id in ids}
    assert sum(map(len, one)) > 1.05 * sum(map(len, plain))


IN_A_PROCESS = """
import sys
from pathlib import Path
from dragoman.text.segmentation import Segmentation
from dragoman.text.tokenizer import Tokenizer
tokenizer = Tokenizer(Path(sys.argv[1]).read_bytes(), name="it")
print(Segmentation(tokenizer, 0.2).sample_all(Path(sys.argv[2]).read_text().splitlines(), 7))
"""


@pytest.mark.parametrize("model_type", KINDS)
def test_every_process_draws_the_same(tmp_path: Path, model_type: str):
    """SentencePiece's own sampling does not, whatever its seed."""
    (tmp_path / "model").write_bytes(trained(model_type).model)
    (tmp_path / "text").write_text("\n".join(LINES[:50]))
    command = [sys.executable, "-c", IN_A_PROCESS, str(tmp_path / "model"), str(tmp_path / "text")]
    theirs = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
    assert theirs.strip() == str(Segmentation(trained(model_type), 0.2).sample_all(LINES[:50], 7))


@pytest.mark.parametrize(("model_type", "sharp"), [("unigram", 200.0), ("bpe", 0.0)])
def test_without_chance_they_are_those_of_sentencepiece(model_type, sharp):
    """P^200 leaves the best one alone, and so does dropping no merge: an oracle for lattice, merges and words."""
    tokenizer = trained(model_type)
    texts = [*LINES, "two  spaces ", "", " ", "ﬁne — “quotes”", "日本 <2de> x<2de>y", "▁▁ odd ▁", "tab\there"]
    assert Segmentation(tokenizer, sharp).sample_all(texts, 1) == tokenizer.encode_all(texts)


def test_a_segmentation_is_as_probable_as_kudo_says():
    """All segmentations of a word, listed; 20,000 draws among them."""
    alpha, word, draws = 0.05, "▁river", 20_000
    segmentation, dice = Segmentation(trained(), alpha), Random(1)
    weights = {}
    for count in range(len(word)):
        for cuts in combinations(range(1, len(word)), count):
            pieces = tuple(word[a:b] for a, b in zip((0, *cuts), (*cuts, len(word)), strict=True))
            if all(piece in segmentation.scores for piece in pieces):
                weights[pieces] = math.exp(alpha * sum(segmentation.scores[piece] for piece in pieces))
    drawn = Counter(tuple(segmentation.by_probability(word, dice)) for _ in range(draws))
    assert len(weights) > 4
    assert set(drawn) <= set(weights)
    total = sum(weights.values())
    for pieces, weight in weights.items():
        share = weight / total
        assert abs(drawn[pieces] / draws - share) < 5 * math.sqrt(share * (1 - share) / draws), pieces


def test_a_merge_is_left_out_as_often_as_provilkov_says():
    """Two letters and one merge: left out with probability alpha, then nothing is left to be merged."""
    segmentation, dice = Segmentation(trained("bpe"), 0.3), Random(2)
    pair = next(piece for piece in segmentation.scores if len(piece) == 2)
    drawn = Counter(len(segmentation.by_merges(pair, dice)) for _ in range(20_000))
    assert abs(drawn[2] / 20_000 - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 20_000)
    assert Segmentation(trained("bpe"), 1.0).by_merges("▁river", dice) == list("▁river")


@pytest.mark.parametrize("model_type", KINDS)
def test_what_is_too_long_for_a_word_is_cut_as_ever(model_type):
    """At once: its merges would take time with the square of its length."""
    tokenizer = trained(model_type)
    long = "".join(LINES[0].split()) * 4000
    assert Segmentation(tokenizer, 0.1).sample_all([long], 3) == [tokenizer.encode(long)]


@pytest.mark.parametrize("model_type", KINDS)
def test_symbols_stay_whole(model_type):
    tokenizer = trained(model_type)
    [symbol] = tokenizer.encode("<2de>")[-1:]
    for ids in Segmentation(tokenizer, 0.1).sample_all([f"<2de> {line}" for line in LINES[:50]], 3):
        assert ids.count(symbol) == 1
