"""Scores: the numbers, bounds and signatures of the `sacrebleu` command line on the same files."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU

from dragoman.errors import InputError
from dragoman.evaluation.comparison import compare
from dragoman.evaluation.evaluate import Translated, write_scored
from dragoman.evaluation.moses import moses_bleu
from dragoman.evaluation.scores import Score, bleu, score
from dragoman.export.compare import Contestant, compared

# What files may hold between line feeds, and other tools strip, split, fold or mistake for a number.
ODD = [
    'Er sagte: "Nein!" – und ging…',
    "  two spaces before and after  ",
    "tab\there",
    "NA",
    "",
    "1.5 % of 3,000 & <b>bold</b> &quot;",
    "line\u2028separator and next\x85line",
    "form\x0cfeed",
    "nicht\u00a0brechen",
    "Ça coûte 5 € — « vraiment »?",
    "e\u0301 é ﬁ ß ẞ İ",
    "猫は道を渡らなかった。",
    "القطة لم تعبر الطريق",
    "👩‍👩‍👧 crossed 🛣️",
    "hyphen-ated words' apostrophes",
    "\ufeffmark",
]


def corpus(seed: int) -> tuple[list[str], list[str]]:
    """References, and translations of them that are right, shortened, shuffled, or of another sentence."""
    generator = random.Random(seed)
    words = ["the", "animal", "did", "not", "cross", "a", "road", "because", "it", "was", "too", "tired", "old,", "He."]
    plain = [" ".join(generator.choices(words, k=generator.randint(1, 15))) for _ in range(40)]
    references = plain + ODD
    generator.shuffle(references)
    hypotheses = []
    for line in references:
        parts = line.split(" ")
        kind = generator.randrange(4)
        if kind == 1:
            del parts[generator.randrange(len(parts))]
        if kind == 2:
            generator.shuffle(parts)
        hypotheses.append(generator.choice(references) if kind == 3 else " ".join(parts))
    return hypotheses, references


def command_line(folder, hypotheses: list[str], references: list[str]) -> list[dict]:
    """Name, score, bounds and signature as the real command prints them."""
    for name, lines in (("hypotheses", hypotheses), ("references", references)):
        (folder / name).write_bytes("".join(f"{line}\n" for line in lines).encode())
    options = ["-i", "hypotheses", "-m", "bleu", "chrf", "ter", "--confidence", "--format", "json", "--width", "12"]
    command = [sys.executable, "-m", "sacrebleu", "references", *options]
    ran = subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True)
    return json.loads(ran.stdout)


@pytest.mark.parametrize("seed", [1, 2])
def test_scores_are_those_of_the_sacrebleu_command(tmp_path, seed):
    hypotheses, references = corpus(seed)
    theirs = command_line(tmp_path, hypotheses, references)
    ours = score(hypotheses, references)
    assert [one.name for one in ours] == [their["name"] for their in theirs] == ["BLEU", "chrF2", "TER"]
    for our, their in zip(ours, theirs, strict=True):
        assert our.value == pytest.approx(their["score"], abs=1e-9)
        bounds = (
            their["confidence_mean"] - their["confidence_var"],
            their["confidence_mean"] + their["confidence_var"],
        )
        assert (our.low, our.high) == pytest.approx(bounds, abs=1e-5)  # sacreBLEU bootstraps in fp32
        assert our.signature == their["signature"]
        assert 5 < our.low < our.value < our.high < 95


def test_an_interval_is_cut_where_a_score_ends(tmp_path):
    """Almost all is right: sacreBLEU's intervals pass 100, and that of TER 0."""
    references = [f"the animal number {number} did not cross the road" for number in range(20)]
    hypotheses = ["x y z", *references[1:]]
    cut = 0
    for our, their in zip(score(hypotheses, references), command_line(tmp_path, hypotheses, references), strict=True):
        low, high = (their["confidence_mean"] + sign * their["confidence_var"] for sign in (-1, 1))
        most = float("inf") if our.name == "TER" else 100.0
        assert (our.low, our.high) == pytest.approx((max(low, 0), min(high, most)), abs=1e-5)
        cut += (low < 0) + (high > most)
    assert cut == 3


# sacreBLEU's own tests (test/test_bleu.py, test_chrf.py, test_ter.py): hypotheses, references, value.
KNOWN = [
    ("BLEU", ["aaaa bbbb cccc dddd"], ["aaaa bbbb cccc dddd"], 100.0),
    ("BLEU", [""], [""], 0.0),
    ("chrF2", ["ab bc"], ["ab bc"], 100.0),
    (
        "chrF2",
        ["Niemand hat die Absicht, eine Mauer zu errichten"],
        ["Niemand hat die Absicht, eine Mauer zu errichten"],
        100.0,
    ),
    ("TER", ["aaaa bbbb cccc dddd"], ["aaaa bbbb cccc dddd"], 0.0),
    ("TER", ["dddd eeee ffff"], ["aaaa bbbb cccc"], 100.0),
    ("TER", ["dddd eeee ffff aaaa bbbb cccc"], ["aaaa bbbb cccc dddd eeee ffff"], 100 / 6),  # one shift
]


@pytest.mark.parametrize(("name", "hypotheses", "references", "value"), KNOWN)
def test_known_values(name, hypotheses, references, value):
    found = {one.name: one.value for one in score(hypotheses, references)}
    assert found[name] == pytest.approx(value, abs=1e-6)


def test_bleu_is_the_papers_formula():
    """Papineni et al. 2002, section 2.3, counted by hand: no n-gram is missing, so nothing is smoothed."""
    hypothesis, reference = "the cat sat on the old red mat", "the cat sat on the red mat today and slept"
    # 1-grams 7/8 (old is not there), 2-grams 5/7, 3-grams 3/6 (of "on the red" the last is broken), 4-grams 2/5
    precisions = (7 / 8) * (5 / 7) * (3 / 6) * (2 / 5)
    brevity = 2.718281828459045 ** (1 - 10 / 8)
    assert bleu([hypothesis], [reference]) == pytest.approx(100 * brevity * precisions**0.25)


def test_bleu_while_training_is_the_bleu_of_the_scores():
    hypotheses, references = corpus(3)
    stripped = [line.rstrip() for line in hypotheses], [line.rstrip() for line in references]
    assert bleu(*stripped) == score(hypotheses, references)[0].value


@pytest.mark.parametrize("function", [score, bleu])
def test_lists_that_do_not_match_are_the_users_to_mend(function):
    with pytest.raises(InputError, match=r"There are 2 translations but 1 references\."):
        function(["a", "b"], ["a"])
    with pytest.raises(InputError, match=r"There are 0 translations but 1 references\."):
        function([], ["a"])
    with pytest.raises(InputError, match="no sentence was given"):
        function([], [])


def test_a_score_shows_its_bounds_and_its_signature():
    assert (
        str(Score("BLEU", 27.3456, 26.1, 28.6, "nrefs:1|version:2"))
        == "BLEU   27.35  [26.10, 28.60]  nrefs:1|version:2"
    )


def test_bleu_of_moses_tokens_is_what_counting_tokens_cut_by_hand_gives():
    hypotheses = ["Ein Mann, der läuft.", "Zwei Hunde spielen im Schnee!", "Das ist (fast) so."]
    references = ["Ein Mann, der rennt.", "zwei Hunde spielen im Schnee !", "Das ist (fast) alles."]
    cut = [
        ["ein mann , der läuft .", "zwei hunde spielen im schnee !", "das ist ( fast ) so ."],
        ["ein mann , der rennt .", "zwei hunde spielen im schnee !", "das ist ( fast ) alles ."],
    ]
    found = moses_bleu(hypotheses, references, "de")
    assert found.value == pytest.approx(BLEU(tokenize="none", force=True).corpus_score(cut[0], [cut[1]]).score)
    assert 0 < found.value < 100
    for part in ("case:lc", "tok:none", "|moses:de-"):
        assert part in found.signature


@pytest.mark.parametrize(
    ("language", "cut"), [("zh", "zh"), ("zh-TW", "zh"), ("ja", "char"), ("de", "13a"), (None, "13a")]
)
def test_bleu_cuts_languages_without_spaces_as_its_signature_says(language, cut):
    hypotheses, references = (
        ["一只狗在雪地里跑。", "他昨天去了学校吃饭。"],
        ["一只狗在草地里跑。", "他昨天去了学校学习。"],
    )
    expected = BLEU(tokenize=cut).corpus_score(hypotheses, [references]).score
    first = score(hypotheses, references, language)[0]
    assert first.value == bleu(hypotheses, references, language) == expected
    assert f"|tok:{cut}|" in first.signature
    assert (expected > 20) is (cut != "13a"), "whole sentences are no words"


def test_scores_by_characters_are_compared_by_characters(tmp_path):
    reference = ["一只狗在草地里跑。", "他昨天去了学校学习。"]
    for name, lines in (("a", ["一只狗在雪地里跑。", "他昨天去了学校吃饭。"]), ("b", reference)):
        found = Translated(["A dog.", "He went."], lines, reference, 1.0)
        write_scored(found, tmp_path / name, {}, "zh")
    (_, *_), (better, *_) = (one.scores for one in compare([str(tmp_path / "a"), str(tmp_path / "b")]))
    assert better.value == pytest.approx(100)
    assert 20 < better.difference < 80
    assert "tok:zh" in better.signature


def test_engines_are_compared_in_the_language_that_they_write(tmp_path: Path) -> None:
    lines = ["两个年轻人站在商店的橱窗前面", "不知道该买些什么才好"]
    weights = tmp_path / "weights"
    weights.write_bytes(b"-")
    (row,) = compared([Contestant("echo", list, weights)], [(line, line) for line in lines], "zh")
    assert row.bleu.value == pytest.approx(100.0)
    assert "tok:zh" in row.bleu.signature
