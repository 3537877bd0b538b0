"""Other engines: the same weights give the same words and the same probabilities, for every option they can express."""

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ctranslate2
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from dragoman.attention import Flex, ScaledDot
from dragoman.data.batch import collate
from dragoman.errors import InputError
from dragoman.export import ctranslate2 as to_ctranslate2
from dragoman.export import huggingface as to_huggingface
from dragoman.exported import CTranslate2Beam, Engine, beam_settings
from dragoman.ids import BOS, EOS, PAD
from dragoman.models import Transformer
from dragoman.search import Beam, Greedy, Sampling
from dragoman.text.tokenizer import Tokenizers
from models_for_tests import ATTENTIONS, encoder_decoder, rnnsearch, sources, transformer

LENGTHS = {"max_source": 64, "length_ratio": 1.0, "length_extra": 6}
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
NORMS, FEED_FORWARDS = ("pre", "post"), ("relu", "gelu", "swiglu", "none")
POSITIONS = ("sinusoidal", "learned", "rotary", "none")
# What goes with those, in turn: with 5 of them every one meets every combination's neighbours.
OTHERS: list[dict[str, Any]] = [
    {"num_kv_heads": 4, "tied_embeddings": "all", "encoder_layers": 2, "decoder_layers": 2},
    {"num_kv_heads": 2, "tied_embeddings": "none", "encoder_layers": 3, "decoder_layers": 1},
    {"num_kv_heads": 1, "tied_embeddings": "target", "encoder_layers": 1, "decoder_layers": 2, "dim": 24},
    {"num_kv_heads": 4, "tied_embeddings": "target", "source_vocab_size": 29, "feed_forward_dim": 40},
    {"num_kv_heads": 2, "tied_embeddings": "none", "source_vocab_size": 29, "decoder_layers": 1},
]
OPTIONS = [
    {"norm": norm, "feed_forward": feed_forward, "positions": positions} | OTHERS[(number + shift) % len(OTHERS)]
    for number, (norm, feed_forward, positions) in enumerate(itertools.product(NORMS, FEED_FORWARDS, POSITIONS))
    for shift in (0, 2)
]


class Vocabulary:
    """A tokenizer's size and pieces, which is all that a model's file needs."""

    model = b""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def pieces(self, ids: list[int]) -> list[str]:
        return [SPECIAL[id] if id < len(SPECIAL) else f"p{id}" for id in ids]


def ending(seed: int, **options: Any) -> Transformer:
    """A model that ends sentences: what the last norm always adds speaks for EOS."""
    model = transformer(seed, **options)
    last = model.decoder_norm if options.get("norm", "pre") == "pre" else model.decoder[-1].around_feed_forward.norm
    with torch.no_grad():
        constant_D = last.get_parameter("bias")
        model.output.weight[EOS] += 4 * constant_D / constant_D.square().sum()
    return model


def vocabularies(model: Transformer) -> Tokenizers:
    sizes = (model.source.table.num_embeddings, model.target.table.num_embeddings)
    return Tokenizers(*map(Vocabulary, sizes))  # type: ignore[arg-type]


def engine(model: Transformer, folder: Path, quantization: str = "float32") -> Engine:
    folder.mkdir()
    to_ctranslate2.write(model, vocabularies(model), folder, quantization)
    translator = ctranslate2.Translator(str(folder), intra_threads=1)
    return Engine(translator, vocabularies(model), model.max_length)


def search(**settings: Any) -> CTranslate2Beam:
    chosen = Beam(**(LENGTHS | settings)) if settings else Greedy(**LENGTHS)
    return CTranslate2Beam(**beam_settings(chosen))


def rows(src_BS: torch.Tensor) -> list[list[int]]:
    return [[id for id in row if id not in (PAD, EOS)] for row in src_BS.tolist()]


@torch.no_grad()
def log_probs(model: Transformer, source: list[int], ids: list[int]) -> torch.Tensor:
    """By teacher forcing, (T, V): of what follows BOS and each of the ids."""
    src_BS, tgt_BT = collate([source], [ids])
    return model(src_BS, tgt_BT[:, :-1])[0].log_softmax(-1)


def forced(model: Transformer, source: list[int], ids: list[int]) -> float:
    log_probs_TV = log_probs(model, source, ids)
    return log_probs_TV[torch.arange(len(ids) + 1), torch.tensor([*ids, EOS])].sum().item()


def test_the_options_are_all_there():
    assert len(OPTIONS) == 64
    for key in ("num_kv_heads", "tied_embeddings"):
        for value in {one[key] for one in OTHERS}:
            met = [one for one in OPTIONS if one[key] == value]
            assert {one["positions"] for one in met} == {*POSITIONS}
            assert {one["feed_forward"] for one in met} == {*FEED_FORWARDS}
            assert {one["norm"] for one in met} == {*NORMS}


def test_ctranslate2_writes_the_same_words_and_finds_them_as_probable(tmp_path):
    texts, ended = set(), 0
    for number, options in enumerate(OPTIONS):
        model = ending(number, **options)
        theirs = engine(model, tmp_path / str(number))
        src_BS = sources(6, seed=number)
        found = search()(theirs, src_BS)
        ours = Greedy(**LENGTHS)(model, src_BS)
        assert [one[0].ids for one in found] == [one[0].ids for one in ours], options
        for source, (best,), limit in zip(rows(src_BS), ours, search().limits(theirs, src_BS).tolist(), strict=True):
            tokens = len(best.ids) + 1
            (probable,) = theirs.log_probabilities(source, [best.ids])
            assert probable == pytest.approx(best.log_probability, abs=1e-5 * tokens), options
            texts.add((number, *best.ids))
            ended += tokens < limit
    assert len(texts) > 250  # of 384
    assert ended > 150


def refilled_beam(model: Transformer, source: list[int], width: int, penalty: float, limit: int) -> list[list[int]]:
    """CTranslate2's search written plainly: a hypothesis that ends leaves its place to the next best one."""
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[tuple[float, float, list[int]]] = []  # as it ranks them, log-probability, ids
    for length in range(1, limit):
        candidates = []
        for total, ids in live:
            step_V = log_probs(model, source, ids)[-1]
            step_V[[PAD, BOS]] = -torch.inf
            candidates += [(total + value, ids, id) for id, value in enumerate(step_V.log_softmax(-1).tolist())]
        candidates = sorted(candidates, key=lambda one: -one[0])[: 2 * width]
        spare = (one for one in candidates[width:] if one[2] != EOS)
        live = []
        for total, ids, id in candidates[:width]:
            if id == EOS:
                finished.append((total / length, total, ids))
                total, ids, id = next(spare)
            elif length == limit - 1:
                finished.append((total / length, forced(model, source, [*ids, id]), [*ids, id]))
            live.append((total, [*ids, id]))
        if len(finished) >= width:
            break
    kept = sorted(finished, key=lambda one: -one[0])[:width]
    return [ids for _, total, ids in sorted(kept, key=lambda one: -one[1] / ((6 + len(one[2])) / 6) ** penalty)]


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_ctranslate2_searches_a_beam_as_it_is_written_down(penalty, tmp_path):
    different_from_greedy = same_as_ours = cases = 0
    for number, options in enumerate(OPTIONS[::8]):
        model = ending(number, **options)
        theirs, src_BS = engine(model, tmp_path / str(number)), sources(3, seed=number)
        beam = {"beam": 4, "length_penalty": penalty, "nbest": 4}
        found = search(**beam)(theirs, src_BS)
        ours = Beam(**beam, **LENGTHS)(model, src_BS)
        limits = search().limits(theirs, src_BS).tolist()
        for source, best, own, limit in zip(rows(src_BS), found, ours, limits, strict=True):
            assert [one.ids for one in best] == refilled_beam(model, source, 4, penalty, limit), options
            greedy = search()(theirs, torch.tensor([[*source, EOS]]))[0][0]
            different_from_greedy += greedy.ids != best[0].ids
            same_as_ours += own[0].ids == best[0].ids
            cases += 1
    assert cases == 24
    assert different_from_greedy >= 5  # else greedy search would have passed too
    assert same_as_ours >= 12


def test_a_beam_of_one_is_greedy_and_no_limit_is_exceeded(tmp_path):
    model = ending(3)
    theirs, src_BS = engine(model, tmp_path / "engine"), sources(12)
    assert search(beam=1, length_penalty=1.0, nbest=1)(theirs, src_BS) != []
    narrow = search(beam=1, length_penalty=0.0, nbest=1)(theirs, src_BS)
    assert narrow == search()(theirs, src_BS)
    reached = 0
    for extra in (1, 2, 3, 5):
        short = {"length_ratio": 0.0, "length_extra": extra}
        for beam in (1, 3):
            settings = {"beam": beam, "length_penalty": 1.0, "nbest": beam}
            found = search(**settings, **short)(theirs, src_BS)
            ours = Beam(**settings, **(LENGTHS | short))(model, src_BS)
            for source, best, own in zip(rows(src_BS), found, ours, strict=True):
                assert len({tuple(one.ids) for one in best}) == len(best) > 0
                assert all(len(one.ids) < extra for one in best)
                for one in best:
                    reached += len(one.ids) + 1 == extra
                    assert one.log_probability >= forced(model, source, one.ids) - 1e-4
                if beam == 1:
                    assert best[0].ids == own[0].ids
    assert reached > 40


def test_scores_are_those_of_a_model_that_cannot_write_pad_or_bos(tmp_path):
    model = ending(5)
    theirs, src_BS = engine(model, tmp_path / "engine"), sources(8)
    for source, (best,) in zip(rows(src_BS), search()(theirs, src_BS), strict=True):
        log_probs_TV = log_probs(model, source, best.ids)
        log_probs_TV[:, [PAD, BOS]] = -torch.inf
        picked = log_probs_TV.log_softmax(-1)[torch.arange(len(best.ids) + 1), torch.tensor([*best.ids, EOS])]
        assert best.score == best.log_probability == pytest.approx(picked.sum().item(), abs=1e-4)


@pytest.mark.parametrize("quantization", ["int8", "int16", "bfloat16", "float16"])
def test_fewer_bits_take_less_room_and_leave_the_model_that_was_exported_alone(quantization, tmp_path):
    model = ending(7, dim=64, feed_forward_dim=64)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    engine(model, tmp_path / "plain")
    small, src_BS = engine(model, tmp_path / "small", quantization), sources(24)
    ours, found = Greedy(**LENGTHS)(model, src_BS), search()(small, src_BS)
    same = sum(one[0].ids == other[0].ids for one, other in zip(ours, found, strict=True))
    assert same >= 12
    sizes = [(tmp_path / name / "model.bin").stat().st_size for name in ("plain", "small")]
    assert sizes[1] < 0.7 * sizes[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def theirs_of(model: Transformer, folder: Path, chosen: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(to_huggingface, "write_tokenizer", lambda *_: None)
    to_huggingface.write(model, vocabularies(model), folder, chosen)
    return AutoModelForSeq2SeqLM.from_pretrained(folder)


def expressible(options: dict[str, Any]) -> bool:
    """What a model of Hugging Face can hold: as docs/export.md says."""
    if options["feed_forward"] == "swiglu":
        return False
    if options["norm"] == "post":
        return options["positions"] == "sinusoidal"
    return options["positions"] != "rotary" and "source_vocab_size" not in options


def test_transformers_computes_the_same_logits_and_generates_the_same_words(tmp_path, monkeypatch):
    texts, models, refused = set(), 0, 0
    for number, options in enumerate(OPTIONS):
        model = ending(number, **options)
        if not expressible(options):
            with pytest.raises(InputError, match="`to=huggingface` cannot express"):
                theirs_of(model, tmp_path / str(number), Greedy(**LENGTHS), monkeypatch)
            refused += 1
            continue
        theirs = theirs_of(model, tmp_path / str(number), Greedy(**LENGTHS), monkeypatch)
        src_BS, tgt_BT = sources(4, seed=number), sources(4, seed=number + 1)
        tgt_BT = torch.cat((torch.full((4, 1), BOS), tgt_BT), dim=1)
        with torch.inference_mode():
            given = {"input_ids": src_BS, "attention_mask": (src_BS != PAD).long(), "decoder_input_ids": tgt_BT}
            logits_BTV, ours_BTV = theirs(**given).logits, model(src_BS, tgt_BT)
        scale = ours_BTV.abs().max().item()
        assert (logits_BTV - ours_BTV).abs().max().item() < 1e-5 * scale, options
        for source, (best,) in zip(rows(src_BS), Greedy(**LENGTHS)(model, src_BS), strict=True):
            limit = len(source) + 1 + LENGTHS["length_extra"]
            row_BS = torch.tensor([[*source, EOS]])
            written = theirs.generate(row_BS, attention_mask=torch.ones_like(row_BS), max_new_tokens=limit)
            assert written[0].tolist() == [BOS, *best.ids, EOS], options
            texts.add((number, *best.ids))
        models += 1
    assert models >= 15
    assert models + refused == 64
    assert len(texts) > 2.5 * models


@pytest.mark.parametrize("kind", ["dot", "unscaled", "flex"])
def test_every_way_to_compute_the_usual_attention_is_the_usual_attention(kind, tmp_path, monkeypatch):
    attention = Flex if kind == "flex" else partial(ScaledDot, scale=kind == "dot")
    places = dict.fromkeys(("encoder_attention", "decoder_attention", "cross_attention"), attention)
    model = ending(11, **places)
    src_BS = sources(6)
    ours = [best.ids for (best,) in Greedy(**LENGTHS)(model, src_BS)]
    assert [best.ids for (best,) in search()(engine(model, tmp_path / "engine"), src_BS)] == ours
    theirs = theirs_of(model, tmp_path / "theirs", Greedy(**LENGTHS), monkeypatch)
    with torch.inference_mode():
        tgt_BT = torch.tensor([[BOS, 5, 6]] * 6)
        given = {"input_ids": src_BS, "attention_mask": (src_BS != PAD).long(), "decoder_input_ids": tgt_BT}
        assert torch.allclose(theirs(**given).logits, model(src_BS, tgt_BT), atol=1e-4)


def refusals() -> Iterator[tuple[str, Any, str]]:
    """The format, the model, and what the sentence must say."""
    for to in ("ctranslate2", "huggingface"):
        yield to, rnnsearch(), "holds Transformers only, not RNNsearch: train with `model=transformer`"
        yield to, encoder_decoder(), "holds Transformers only, not RNNEncoderDecoder"
        alibi = transformer(positions="alibi")
        yield to, alibi, "cannot express `model.positions: alibi`: train with `model.positions=sinusoidal` or"
        for name, place in itertools.product(
            ("additive", "linear", "window", "fixed"), ("encoder", "decoder", "cross")
        ):
            if {"encoder": "self", "decoder": "causal", "cross": "cross"}[place] in kinds(name):
                key = f"{place}_attention"
                swapped = transformer(**{key: ATTENTIONS[name]})
                yield to, swapped, rf"`model.{key}: \w+`: train with `attention@model.{key}=fused`"
    hf = "huggingface"
    yield hf, transformer(feed_forward="swiglu"), "feed_forward: swiglu`: train with `model.feed_forward=relu` or"
    yield hf, transformer(positions="rotary"), "positions: rotary`: train with `model.positions=sinusoidal` or"
    for positions in ("learned", "rotary", "none"):
        post = transformer(norm="post", positions=positions)
        yield hf, post, f"`model.norm: post` with `model.positions: {positions}`: train with `model.positions=sinus"
    yield hf, transformer(source_vocab_size=29), "two vocabularies with `model.norm: pre`: train with `tokenizer.joint"


WRITERS: dict[str, tuple[Any, Any]] = {
    "ctranslate2": (to_ctranslate2.write, "float32"),
    "huggingface": (to_huggingface.write, Greedy(**LENGTHS)),
}


def kinds(name: str) -> frozenset[str]:
    return getattr(ATTENTIONS[name], "func", ATTENTIONS[name]).kinds


def test_what_a_format_cannot_express_is_refused_in_one_sentence_that_says_what_instead(tmp_path):
    refused = 0
    for to, model, message in refusals():
        folder = tmp_path / str(refused)
        folder.mkdir()
        tokenizers = Tokenizers(Vocabulary(23), Vocabulary(23))  # type: ignore[arg-type]
        write, last = WRITERS[to]
        with pytest.raises(InputError, match=message) as caught:
            write(model, tokenizers, folder, last)
        assert "\n" not in str(caught.value)
        assert list(folder.iterdir()) == []
        refused += 1
    assert refused > 20


def test_a_search_that_draws_at_random_is_refused():
    sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, nbest=1, seed=1, **LENGTHS)
    with pytest.raises(InputError, match="engine can repeat `search` Sampling: choose greedy or beam"):
        beam_settings(sampling)
