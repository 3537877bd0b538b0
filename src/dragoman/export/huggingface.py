"""A Transformer as a model of Hugging Face transformers, with tokenizer files that give the same ids.

Post-norm is MarianMT. Pre-norm is Blenderbot, whose positions are a saved table and whose embeddings are not normed:
the name is that of its first use, the arithmetic is ours. (M2M100 is pre-norm too, with other wavelengths.)

Shapes: D model width.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
    GenerationConfig,
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
)
from transformers.utils import logging

from dragoman.attention import MultiHeadAttention
from dragoman.errors import InputError
from dragoman.export.parts import (
    Linear,
    check,
    heads,
    inner,
    linear,
    norm,
    position_table,
    positions,
    refusal,
    shared_out,
    table,
    transformer,
)
from dragoman.exported import HUGGINGFACE as NAME
from dragoman.exported import all_pieces, beam_settings
from dragoman.files import write_bytes, write_json
from dragoman.ids import BOS, EOS, PAD, UNK
from dragoman.models import Seq2Seq, Transformer
from dragoman.models.transformer import DecoderLayer, EncoderLayer
from dragoman.search import Search
from dragoman.text.tokenizer import Tokenizers

SPECIAL = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}


def write(model: Seq2Seq, tokenizers: Tokenizers, folder: Path, search: Search) -> None:
    """What `AutoModelForSeq2SeqLM` and `AutoTokenizer` load. InputError for what no model there can express."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    ours = transformer(model, NAME)
    theirs = blenderbot(ours) if norm(ours) == "pre" else marian(ours)
    theirs.generation_config = generation(ours, search)
    theirs.save_pretrained(folder)
    write_tokenizer(tokenizers, folder, ours.max_length)


def blenderbot(model: Transformer) -> PreTrainedModel:
    """Any positions that are added to embeddings."""
    check(NAME, "positions", positions(model), ("sinusoidal", "learned", "none"))
    if model.source.table.num_embeddings != model.target.table.num_embeddings:
        raise InputError(
            f"`to={NAME}` cannot express two vocabularies with `model.norm: pre`: train with `tokenizer.joint=true` or"
            " `model.norm=post`, or choose another format."
        )
    tied = model.output.weight is model.source.table.weight
    config = BlenderbotConfig(**sizes(model), encoder_no_repeat_ngram_size=0, tie_word_embeddings=tied)
    order = torch.arange(model.output.in_features)
    weights = dict(renamed(model, order))
    for side, ours in (("encoder", model.source), ("decoder", model.target)):
        weights[f"model.{side}.embed_positions.weight"] = position_table(ours.positions, model.max_length, len(order))
    return filled(BlenderbotForConditionalGeneration, config, weights)


def marian(model: Transformer) -> PreTrainedModel:
    """Its sinusoids are ours with all sines before all cosines: so is every other vector of that width."""
    if positions(model) != "sinusoidal":
        what, instead = f"norm: post` with `model.positions: {positions(model)}", ["model.positions=sinusoidal"]
        raise refusal(NAME, what, instead)
    shared = model.source.table.weight is model.target.table.weight
    config = MarianConfig(
        **sizes(model),
        decoder_vocab_size=model.target_vocab_size,
        share_encoder_decoder_embeddings=shared,
        tie_word_embeddings=model.output.weight is model.target.table.weight,
    )
    places = torch.arange(model.output.in_features)
    return filled(MarianMTModel, config, dict(renamed(model, torch.cat((places[::2], places[1::2])))))


def sizes(model: Transformer) -> dict[str, Any]:
    """What both kinds of model are told alike."""
    network = inner(model.encoder[0].feed_forward, model.output.in_features)
    if network.gate is not None:
        raise refusal(NAME, "feed_forward: swiglu", ["model.feed_forward=relu", "model.feed_forward=gelu"])
    num_heads, width = model.encoder[0].self_attention.attention.num_heads, len(network.expand.bias)
    return {
        "vocab_size": model.source.table.num_embeddings,
        "d_model": model.output.in_features,
        "encoder_layers": len(model.encoder),
        "decoder_layers": len(model.decoder),
        **{f"{side}_attention_heads": num_heads for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": width for side in ("encoder", "decoder")},
        "activation_function": network.activation,
        "max_position_embeddings": model.max_length,
        "scale_embedding": True,
        "decoder_start_token_id": BOS,
        "forced_eos_token_id": EOS,
        **SPECIAL,
    }


def renamed(model: Transformer, order_D: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Their names and our weights, with the numbers of every vector of the model's width in the order `order_D`."""
    for name, embedded in (("encoder", model.source), ("decoder", model.target)):
        yield f"model.{name}.embed_tokens.weight", table(embedded.table)[:, order_D]
    yield "model.shared.weight", table(model.source.table)[:, order_D]
    yield "lm_head.weight", table(model.output)[:, order_D]
    yield "final_logits_bias", torch.zeros(1, model.target_vocab_size)
    for name, last in (("encoder", model.encoder_norm), ("decoder", model.decoder_norm)):
        if not isinstance(last, nn.Identity):
            yield from named(f"model.{name}.layer_norm", linear(last), by(order_D))
    stacks: dict[str, Sequence[EncoderLayer | DecoderLayer]] = {"encoder": model.encoder, "decoder": model.decoder}
    for name, layers in stacks.items():
        for number, layer in enumerate(layers):
            place = f"model.{name}.layers.{number}"
            yield from attention(f"{place}.self_attn", layer.self_attention, layer.around_self.norm, order_D)
            network = inner(layer.feed_forward, len(order_D))
            yield from named(f"{place}.fc1", network.expand, reads(order_D))
            yield from named(f"{place}.fc2", network.contract, by(order_D))
            yield from named(f"{place}.final_layer_norm", linear(layer.around_feed_forward.norm), by(order_D))
    for number, decoder_layer in enumerate(model.decoder):
        place = f"model.decoder.layers.{number}.encoder_attn"
        yield from attention(place, decoder_layer.cross_attention, decoder_layer.around_cross.norm, order_D)


def attention(place: str, ours: MultiHeadAttention, around: nn.Module, order_D: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Keys and values for every head of queries: there they are never shared."""
    query, key, value, output = heads(ours)
    key, value = (shared_out(one, ours.head_dim, ours.sharing) for one in (key, value))
    for letter, projection in (("q", query), ("k", key), ("v", value)):
        yield from named(f"{place}.{letter}_proj", projection, reads(order_D))
    yield from named(f"{place}.out_proj", output, by(order_D))
    yield from named(f"{place}_layer_norm", linear(around), by(order_D))


def named(name: str, one: Linear, ordered: Callable[[Linear], Linear]) -> Iterator[tuple[str, Tensor]]:
    for part, tensor in ordered(one)._asdict().items():
        yield f"{name}.{part}", tensor


def reads(order_D: Tensor) -> Callable[[Linear], Linear]:
    """For what reads vectors of the model's width."""
    return lambda one: Linear(one.weight[:, order_D], one.bias)


def by(order_D: Tensor) -> Callable[[Linear], Linear]:
    """For what gives them."""
    return lambda one: Linear(one.weight[order_D], one.bias[order_D])


def filled(kind: type[PreTrainedModel], config: Any, weights: dict[str, Tensor]) -> PreTrainedModel:
    """A model of that kind, all of whose parameters are ours: but for positions that it works out itself."""
    model = kind(config)
    theirs = model.state_dict()
    given = {name: weight for name, weight in weights.items() if name in theirs}
    missing = [name for name in theirs if name not in given and not name.endswith("embed_positions.weight")]
    assert not missing, missing
    model.load_state_dict(given, strict=False)
    return model.eval()


def generation(model: Transformer, search: Search) -> GenerationConfig:
    """What `generate` does unless it is told otherwise: as near to the search as it can.

    Its length penalty divides by tokens ** penalty, ours by ((5 + tokens) / 6) ** penalty.
    """
    longest = min(model.max_length, int(search.max_source * search.length_ratio + search.length_extra))
    beam = beam_settings(search)
    wide = {"num_return_sequences": beam["nbest"], "length_penalty": beam["length_penalty"]} if beam["beam"] > 1 else {}
    return GenerationConfig(
        num_beams=beam["beam"],
        max_length=longest,
        do_sample=False,
        decoder_start_token_id=BOS,
        forced_eos_token_id=EOS,
        suppress_tokens=[PAD, BOS],
        **wide,
        **SPECIAL,
    )


def write_tokenizer(tokenizers: Tokenizers, folder: Path, max_length: int) -> None:
    """SentencePiece's own models, which normalise as they do here, and their pieces with our ids."""
    source, target = tokenizers
    for name, tokenizer in (("source.spm", source), ("target.spm", target)):
        write_bytes(folder / name, tokenizer.model)
    vocabularies = {"vocab.json": source}
    if target.model != source.model:
        vocabularies["target_vocab.json"] = target
    for name, tokenizer in vocabularies.items():
        write_json(folder / name, {piece: id for id, piece in enumerate(all_pieces(tokenizer))})
    special = all_pieces(source)
    config = {
        "tokenizer_class": "MarianTokenizer",
        "separate_vocabs": len(vocabularies) == 2,
        "model_max_length": max_length,
        **{f"{name}_token": special[id] for name, id in (("pad", PAD), ("bos", BOS), ("eos", EOS), ("unk", UNK))},
        "split_special_tokens": True,  # "</s>" in a text is text
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", config)
