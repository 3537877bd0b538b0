"""Quality and cost by the length of the source."""

import json

import pytest
import torch

from dragoman.evaluation.lengths import by_length, kept_bytes, plot, table, tree_bytes
from dragoman.evaluation.scores import interval_bleu
from dragoman.search import Greedy
from dragoman.translator import Translator
from models_for_tests import encoder_decoder, transformer
from scripts_for_tests import done, run
from test_seeing import Both


class Spaced(type(Both.source)):
    """Words of one letter."""

    def encode(self, text):
        return super().encode(text.replace(" ", ""))

    def decode(self, ids):
        return " ".join(piece.removeprefix("▁") for piece in self.pieces([min(i, 22) for i in ids]))


class Tokenizers:
    source = target = Spaced()


def translator(model):
    return Translator(model, Tokenizers, Greedy(max_source=64, length_ratio=1.0, length_extra=5))


def test_every_sentence_is_in_the_bucket_of_its_length():
    source = [" ".join("abcdefgh"[i % 8] for i in range(n)) for n in (1, 10, 11, 20, 21, 35, 60, 61, 63)] + ["", " "]
    hypotheses = ["a b c d e f"] * len(source)
    reference = ["a b c d e f"] * 4 + ["a b x d e f"] * 7
    buckets = by_length(translator(transformer()), source, hypotheses, reference)
    names = [(one.name, one.sentences) for one in buckets]
    assert names == [("1–10", 2), ("11–20", 2), ("21–30", 1), ("31–40", 1), ("51–60", 1), ("61+", 2)]
    for one, chosen in zip(buckets, ([0, 1], [2, 3], [4], [5], [6], [7, 8]), strict=True):
        assert one.bleu == interval_bleu([hypotheses[i] for i in chosen], [reference[i] for i in chosen])
        assert one.seconds > 0
        assert one.tokens_per_second > 0
    assert len(table(buckets)) == 7
    assert all(one.name in line for one, line in zip(buckets, table(buckets)[1:], strict=True))


def test_bytes_are_those_of_every_tensor_once():
    tensor = torch.zeros(3, 4)
    assert tree_bytes((tensor, (None, 5, tensor), torch.zeros(2, dtype=torch.int64))) == 48 + 16


@pytest.mark.parametrize(("attention", "grows"), [("fused", True), ("additive", True), ("linear", False)])
def test_a_cache_grows_with_what_is_written_unless_it_is_sums(attention, grows):
    one = translator(transformer(attention=attention))
    short, long = (kept_bytes(one, [5, 6], [7] * n) for n in (3, 30))
    assert (long > short) == grows
    # 2 layers, keys and values of 16 numbers in 4 bytes, 27 tokens more
    assert long - short == (2 * 2 * 16 * 4 * 27 if grows else 0)


def test_a_recurrent_state_never_grows():
    one = translator(encoder_decoder())
    assert kept_bytes(one, [5, 6], [7] * 3) == kept_bytes(one, [5, 6], [7] * 30)


def test_a_plot_is_drawn(tmp_path):
    plot(by_length(translator(transformer()), ["a", "a " * 15], ["b", "b"], ["b", "c"]), tmp_path / "l.png")
    assert (tmp_path / "l.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_evaluate_tells_and_writes_it(trained, tmp_path):
    (tmp_path / "a").write_text("The dog ran.\nA cat.\n")
    (tmp_path / "b").write_text("Le chien.\nUn chat.\n")
    told = done(run("evaluate", f"run={trained.first}", "source=a", "reference=b", "output=o", folder=tmp_path))
    content = json.loads((tmp_path / "o" / "scores.json").read_text())
    assert [one["sentences"] for one in content["by_length"]] == [2]
    assert content["by_length"][0]["bleu"]["signature"] == content["scores"][0]["signature"]
    assert "1–10" in told.out
    assert (tmp_path / "o" / "lengths.png").is_file()
