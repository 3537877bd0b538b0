"""Heat maps, forced scores, contrastive tests."""

import json
import re
from collections import Counter

import pytest
import torch

from dragoman.alignment import align
from dragoman.attention import record
from dragoman.data.batch import collate
from dragoman.evaluation.contrastive import Accuracy, accuracies, log_margins
from dragoman.evaluation.forced import log_probabilities
from dragoman.evaluation.heatmaps import Map, Tokens, attention_maps, chosen, draw, in_text, merged, tokens
from dragoman.ids import BOS, EOS
from dragoman.search import Beam
from dragoman.text.pocket import Contrast, contrasts, generate
from dragoman.text.pocket.homographs import SENSES
from dragoman.text.pocket.words import Noun
from models_for_tests import ATTENTIONS, encoder_decoder, rnnsearch, sources, transformer
from scripts_for_tests import done, run


class Letters:
    """A tokenizer in which each letter is a piece and a capital begins a word."""

    def encode(self, text):
        return [4 + ord(letter.lower()) - ord("a") for letter in text]

    def encode_all(self, texts):
        return [self.encode(text) for text in texts]

    def pieces(self, ids):
        return [("▁" if i % 3 == 0 else "") + chr(i - 4 + ord("a")) for i in ids]

    def decoded_words(self, ids):
        return list(range(len(ids)))


class Both:
    source = target = Letters()


MODELS = {f"Transformer {name}": lambda name=name: transformer(attention=name) for name in ATTENTIONS}
MODELS |= {"RNNsearch": rnnsearch, "gru": encoder_decoder, "lstm": lambda: encoder_decoder(cell="lstm")}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_drawn(name):
    found = attention_maps(MODELS[name](), Both, "abcdefgh", "hgfed", whole_words=False)
    assert set(found) == ({"encoder", "decoder", "cross"} if name.startswith("Transformer") else {"cross"})
    sizes = {"encoder": (9, 9), "decoder": (6, 6), "cross": (6, 9)}
    for place, (queries, keys, weights) in found.items():
        assert (len(queries.labels), len(keys.labels)) == sizes[place] == weights.shape[2:]
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]), rtol=1e-4, atol=1e-4)
        assert torch.isfinite(weights).all()
    assert found["cross"][0].labels[-1] == found["cross"][1].labels[-1] == "</s>"


@pytest.mark.parametrize("name", MODELS)
def test_models_without_attention_are_aligned_to_nothing_and_all_others_word_by_word(name):
    """Where all the weight is on EOS, which is no word, any pair would be invented."""
    source, target = Letters().encode("abcde"), Letters().encode("hgf")
    pairs = align(MODELS[name](), Both, source, [2, 2, 3, 4, 5], target)
    if name in ("Transformer fixed", "gru", "lstm"):
        assert pairs == []
    else:
        assert [word for _, word in pairs] == [0, 1, 2]
        assert {word for word, _ in pairs} <= {2, 3, 4, 5}


@pytest.mark.parametrize("name", MODELS)
def test_a_recording_within_another_takes_nothing_from_it(name):
    """Each sees what it would see alone, the outer one before, during and after the inner one; then nothing is left."""
    model = MODELS[name]()
    passes = [(sources(2, seed=seed), torch.tensor([[BOS, 5, 6, 7]] * 2)) for seed in (1, 2, 3)]
    alone = [recorded(model, one) for one in passes]
    with record(model) as outer:
        model(*passes[0])
        first = dict(outer)
        with record(model) as inner:
            model(*passes[1])
        second = dict(outer)
        model(*passes[2])
    for seen, expected in zip((first, second, outer), alone, strict=True):
        assert seen.keys() == expected.keys()
        assert all(torch.equal(one.weights_BHTS, expected[key].weights_BHTS) for key, one in seen.items())
    assert all(torch.equal(one.weights_BHTS, second[key].weights_BHTS) for key, one in inner.items())
    assert not any("remember" in vars(part) or part._forward_hooks for part in model.modules())


def recorded(model, inputs):
    with record(model) as seen:
        model(*inputs)
    return seen


@pytest.mark.parametrize("name", ["Transformer fused", "Transformer linear", "RNNsearch"])
def test_a_search_that_drops_rows_is_no_pass_to_record(name):
    search = Beam(beam=3, nbest=1, length_penalty=1.0, max_source=64, length_ratio=1.0, length_extra=6)
    model, src = MODELS[name](), sources(8)
    message = r"forced pass, not a search: .*attention was given \d+ rows, then \d+\."
    with pytest.raises(ValueError, match=message), record(model):
        search(model, src)
    assert search(model, src)


def test_what_is_drawn_is_what_the_model_computes_with():
    """The drawn weights, put in the place of the kernel's, give the same logits."""
    model = transformer(attention="fused", num_heads=1, num_kv_heads=1).double()
    batch = collate([[5, 6, 7]], [[8, 9]])
    expected = model(batch.src_BS, batch.tgt_BT[:, :-1])
    drawn = attention_maps(model, Both, "bcd", "ef", whole_words=False)["cross"][2].double()
    handles = []
    for layer, weights_HTS in zip(model.decoder, drawn, strict=True):

        def instead(_module, inputs, _output, weights_HTS=weights_HTS):
            return weights_HTS @ inputs[1].v_BHSV

        handles.append(layer.cross_attention.attention.register_forward_hook(instead))
    torch.testing.assert_close(model(batch.src_BS, batch.tgt_BT[:, :-1]), expected, rtol=1e-5, atol=1e-5)


def test_words_take_the_sum_of_their_keys_and_the_mean_of_their_queries():
    queries, keys = Tokens(["ab", "c"], [0, 0, 1]), Tokens(["x", "yz"], [0, 1, 1])
    weights = torch.tensor([[0.2, 0.3, 0.5], [0.4, 0.6, 0.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(merged(weights, queries, keys), torch.tensor([[0.3, 0.7], [1.0, 0.0]]))


def test_labels_of_words_are_joined_pieces():
    class Given:
        def pieces(self, ids):
            return ["▁The", "▁", "it", "em", "▁runs", "."]

    read = tokens(Given(), [], True, last="</s>")
    assert read == Tokens(["The", "item", "runs.", "</s>"], [0, 1, 1, 1, 2, 2, 3])
    assert tokens(Given(), [], True, first="<s>").labels == ["<s>", "The", "item", "runs."]
    assert tokens(Given(), [], False, last="</s>").labels == ["▁The", "▁", "it", "em", "▁runs", ".", "</s>"]


def test_layers_and_heads_are_picked_counted_from_one():
    weights = torch.arange(2 * 3 * 1 * 2).view(2, 3, 1, 2).float()
    one, two = Tokens(["q"], [0]), Tokens(["a", "b"], [0, 1])
    everything = chosen("cross", one, two, weights, "all", "all")
    assert [[m.title for m in row] for row in everything] == [
        [f"layer {layer}, head {head}" for head in (1, 2, 3)] for layer in (1, 2)
    ]
    assert everything[1][2].weights_TS.tolist() == [[10, 11]]
    ((mean,),) = chosen("cross", one, two, weights, "mean", "mean")
    assert mean.weights_TS.tolist() == [[5, 6]]
    assert mean.title == "mean of 2 layers, mean of 3 heads"
    with pytest.raises(ValueError, match=r"`head` \(4\) must be mean, all, or a number from 1 to 3\."):
        chosen("cross", one, two, weights, 1, 4)


def test_a_map_in_text_has_a_row_for_each_query_and_its_darkest_shade_at_the_largest_weight():
    weights = torch.tensor([[0.0, 0.1, 0.9], [1.0, 0.0, 0.0]])
    lines = list(in_text(Map("cross", "layer 1, head 1", ["eins", "zwei"], ["a", "bc", "d"], weights)))
    assert lines == ["cross: layer 1, head 1", "       b", "     a c d", "eins   ··██", "zwei ██"]


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_a_picture_is_written_in_each_format(form, tmp_path):
    weights = torch.rand(3, 5)
    one = Map("cross", "t", list("abc"), ["ein", "sehr", "langes", "Wort", "hier"], weights)
    draw([[one, one], [one, one]], tmp_path / "new" / f"cross.{form}")
    head = (tmp_path / "new" / f"cross.{form}").read_bytes()[:300]
    assert {"png": b"PNG", "svg": b"svg", "pdf": b"%PDF"}[form] in head


def test_forced_scores_are_those_of_each_pair_alone_in_the_order_given():
    model = transformer().double()
    pairs = [("abcdefgh", "b"), ("c", "defgh"), ("", "a"), ("ab", ""), ("abc", "cba")]
    found = log_probabilities(model, Both, pairs, batch_tokens=12)
    for (source, target), value in zip(pairs, found, strict=True):
        src = torch.tensor([[*Letters().encode(source), EOS]])
        tgt = torch.tensor([[BOS, *Letters().encode(target), EOS]])
        log_probs = model(src, tgt[:, :-1]).log_softmax(-1)[0]
        expected = sum(log_probs[place, token].item() for place, token in enumerate(tgt[0, 1:].tolist()))
        assert value == pytest.approx(expected, rel=1e-5)
    margins = log_margins(model, Both, [Contrast("abc", "cba", "ab", "x")], batch_tokens=100)
    assert margins == [pytest.approx(found[4] - log_probabilities(model, Both, [("abc", "ab")], batch_tokens=9)[0])]


def test_accuracies_with_wilsons_interval():
    items = [Contrast(str(i), "r", "w", "one" if i < 10 else "two") for i in range(12)]
    one, two, everything = accuracies(items, [1.0] * 8 + [-1.0, 0.0] + [2.0, -2.0])
    assert one == Accuracy("one", 8, 10, 80.0, pytest.approx(49.02, abs=0.01), pytest.approx(94.33, abs=0.01))
    assert (two.right, two.total, everything.right, everything.total) == (1, 2, 9, 12)


class TestPocketContrasts:
    """The sets tell understanding from guessing."""

    found = contrasts(size=600, seed=3)

    def test_they_are_many_and_different(self):
        assert len(self.found) == len({one.source for one in self.found}) == 600
        assert all(one.right != one.wrong for one in self.found)

    def test_none_stands_in_training(self):
        train = {pair.source for pair in generate("train", size=8000, seed=3)}
        assert train.isdisjoint(one.source for one in self.found)

    def test_position_and_gender_alone_are_right_half_of_the_time(self):
        its = [one for one in self.found if one.phenomenon.startswith("it")]
        assert len(its) == 300
        assert sum("first" in one.phenomenon for one in its) == pytest.approx(150, abs=6)
        assert sum("qu'il " in one.right for one in its) == pytest.approx(150, abs=6)
        for one in its:
            assert ("qu'il " in one.right) != ("qu'il " in one.wrong)
            assert ("qu'elle " in one.right) == ("qu'il " in one.wrong)

    def test_every_sense_is_as_often_right_as_wrong(self):
        """In each pair of senses of a word: so that preferring one of them is right half of the time."""
        counts: Counter[tuple[str, str]] = Counter()
        for one in contrasts(size=4000, seed=4)[2000:]:
            assert one.phenomenon == "homograph"
            counts[self.sense(one.right, one.wrong), self.sense(one.wrong, one.right)] += 1
        assert len(counts) >= 40  # both orders of some twenty pairs
        for right, wrong in counts:
            assert counts[right, wrong] == pytest.approx(counts[wrong, right], rel=0.15)

    def sense(self, text: str, other: str) -> str:
        """The noun that only this translation holds."""
        (key,) = {one.noun.key for one in SENSES if self.names(text, one.noun) > self.names(other, one.noun)}
        return key

    def names(self, text: str, noun: Noun) -> int:
        return len(re.findall(rf"\b({noun.french}|{noun.french_plural or noun.french})\b", text))


def test_the_scripts_print_and_write(trained, tmp_path):
    (tmp_path / "a").write_text("The dog ran.\nA cat.\n")
    (tmp_path / "b").write_text("Le chien.\nUn chat.\n")
    scored = done(run("score", f"run={trained.first}", "source=a", "reference=b", folder=tmp_path))
    assert [float(line) < 0 for line in scored.out.splitlines()] == [True, True]
    (tmp_path / "c.tsv").write_text("The dog ran.\tLe chien.\tLa chien.\tgender\n")
    tested = done(run("contrast", f"run={trained.first}", "pairs=c.tsv", "output=o", folder=tmp_path))
    content = json.loads((tmp_path / "o" / "contrastive.json").read_text())
    assert content["accuracy"][0]["phenomenon"] == "gender"
    assert str(Accuracy(**content["accuracy"][1])) in tested.out
    folder = tmp_path / "pictures"
    text = "text=A dog = [x], it's ~null"
    told = done(run("attend", f"run={trained.first}", text, f"output={folder}", folder=tmp_path))
    assert {path.name for path in folder.iterdir()} == {"encoder.png", "decoder.png", "cross.png"}
    assert f"drawn in {folder / 'cross.png'}" in told.out


BAD = {
    ("attend", "text= "): "`text` is empty",
    ("attend", "text=A", "place=middle"): r"`place` \(middle\) must be all, encoder, decoder, cross",
    ("attend", "text=A", "layer=9"): r"`layer` \(9\) must be mean, all, or a number from 1 to",
    ("attend", "text=A", "words=maybe"): r"`words` \(maybe\) must be true or false",
    ("translate", "text=A", "alignment=maybe"): r"`alignment` \(maybe\) must be true or false",
    ("attend", "text=A", "format=bmp"): r"`format` \(bmp\) must be one of png, svg, pdf",
    ("contrast",): "Only the pocket corpus, from en to fr, has contrastive sets of its own: give a file by `pairs=`",
    ("contrast", "pairs=two.tsv"): "two.tsv, line 2 has 3 fields, but must have 4",
    ("contrast", "pairs=empty.tsv"): "empty.tsv is empty",
    ("contrast", "pairs=two.tsv", "batch_tokens=some"): r"`batch_tokens` \(some\) must be at least 1",
    ("contrast", "size=0"): r"`size` \(0\) must be at least 1",
    ("contrast", "run=[a,b]"): "`run` must be one run folder: an ensemble cannot be tested so",
    ("score", "source=x", "reference=y", "run=[a,b]"): "`run` must be one run folder: an ensemble cannot be asked for",
    ("score", "source=x", "reference=y", "batch_tokens=-5"): r"`batch_tokens` \(-5\) must be at least 1",
    ("attend", "text=A", "run=[a,b]"): "`run` must be one run folder: an ensemble cannot be drawn",
    ("attend", "text=A", f"translation={'x ' * 3000}"): "tokens, but the model holds 1024 at most",
    ("score", "source=two.tsv", "reference=empty.tsv"): "two.tsv has 2 lines and empty.tsv has 0, but line n",
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_is_one_sentence(arguments, trained, tmp_path):
    (tmp_path / "two.tsv").write_text("a\tb\tc\td\na\tb\tc\n")
    (tmp_path / "empty.tsv").write_text("")
    answer = run(arguments[0], f"run={trained.first}", *arguments[1:], folder=tmp_path)
    assert (answer.status, answer.out) == (1, "")
    assert len(answer.err.splitlines()) == 1
    assert re.search(BAD[arguments], answer.err), answer.err
