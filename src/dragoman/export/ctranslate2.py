"""A Transformer in CTranslate2's format: its specification, filled."""

from pathlib import Path

import torch
from ctranslate2.specs import Activation, attention_spec, common_spec, model_spec, transformer_spec
from torch import nn

from dragoman.errors import InputError
from dragoman.export.parts import (
    check,
    heads,
    inner,
    linear,
    norm,
    position_table,
    positions,
    table,
    transformer,
)
from dragoman.exported import all_pieces
from dragoman.ids import BOS, EOS, UNK
from dragoman.models import Seq2Seq, Transformer
from dragoman.models.transformer import DecoderLayer, EncoderLayer
from dragoman.text.tokenizer import Tokenizers

NAME = "ctranslate2"
FORMATS = model_spec.ACCEPTED_MODEL_TYPES
ACTIVATIONS = {"relu": Activation.RELU, "gelu": Activation.GELU, "silu": Activation.SWISH}


def write(model: Seq2Seq, tokenizers: Tokenizers, folder: Path, quantization: str) -> None:
    """model.bin, config.json and the vocabularies. InputError for what the format cannot express."""
    if quantization not in FORMATS:
        raise InputError(f"`quantization` ({quantization}) must be one of {', '.join(FORMATS)}.")
    spec = specification(transformer(model, NAME))
    source, target = (all_pieces(tokenizer) for tokenizer in tokenizers)
    spec.register_source_vocabulary(source)
    spec.register_target_vocabulary(target)
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = (target[one] for one in (UNK, BOS, EOS))
    spec.config.decoder_start_token = target[BOS]
    spec.config.add_source_eos = True
    spec.validate()
    spec.optimize(quantization)
    spec.save(str(folder))


def specification(model: Transformer) -> transformer_spec.TransformerSpec:
    """The model's structure and weights."""
    place = positions(model)
    check(NAME, "positions", place, ("sinusoidal", "learned", "rotary", "none"))
    attention = model.encoder[0].self_attention
    num_heads = attention.attention.num_heads
    first = inner(model.encoder[0].feed_forward, model.output.in_features)
    structure = {
        "num_heads": num_heads,
        "pre_norm": norm(model) == "pre",
        "activation": ACTIVATIONS[first.activation],
        "ffn_glu": first.gate is not None,
        "num_heads_kv": None if attention.sharing == 1 else num_heads // attention.sharing,
        "rotary_dim": 0 if place == "rotary" else None,  # 0: the whole head
        "rotary_interleave": False,
    }
    spec = transformer_spec.TransformerSpec(
        transformer_spec.TransformerEncoderSpec(len(model.encoder), **structure),
        transformer_spec.TransformerDecoderSpec(len(model.decoder), **structure),
    )
    spec.config.layer_norm_epsilon = model.encoder[0].around_self.norm.eps
    for stack, side in ((spec.encoder, model.source), (spec.decoder, model.target)):
        stack.scale_embeddings = True
        if place != "rotary":
            stack.position_encodings.encodings = position_table(
                side.positions, model.max_length, model.output.in_features
            )
    spec.encoder.embeddings[0].weight, spec.decoder.embeddings.weight = (
        table(model.source.table),
        table(model.target.table),
    )
    spec.decoder.projection.weight = table(model.output)
    for stack, last in ((spec.encoder, model.encoder_norm), (spec.decoder, model.decoder_norm)):
        if not isinstance(last, nn.Identity):
            fill_norm(stack.layer_norm, last)
    for layer_spec, encoder_layer in zip(spec.encoder.layer, model.encoder, strict=True):
        fill_layer(layer_spec, encoder_layer)
    for layer_spec, decoder_layer in zip(spec.decoder.layer, model.decoder, strict=True):
        fill_layer(layer_spec, decoder_layer)
        fill_cross_attention(layer_spec.attention, decoder_layer)
    return spec


def fill_layer(spec: model_spec.LayerSpec, layer: EncoderLayer | DecoderLayer) -> None:
    """Self-attention and the feed-forward network, each with the norm around it."""
    query, key, value, output = heads(layer.self_attention)
    fill_linear(spec.self_attention.linear[0], *map(torch.cat, zip(query, key, value, strict=True)))
    fill_linear(spec.self_attention.linear[1], *output)
    fill_norm(spec.self_attention.layer_norm, layer.around_self.norm)
    network = inner(layer.feed_forward, len(output.bias))
    if network.gate is None:
        fill_linear(spec.ffn.linear_0, *network.expand)
    else:
        fill_linear(spec.ffn.linear_0, *network.gate)
        fill_linear(spec.ffn.linear_0_noact, *network.expand)
    fill_linear(spec.ffn.linear_1, *network.contract)
    fill_norm(spec.ffn.layer_norm, layer.around_feed_forward.norm)


def fill_cross_attention(spec: attention_spec.MultiHeadAttentionSpec, layer: DecoderLayer) -> None:
    query, key, value, output = heads(layer.cross_attention)
    fill_linear(spec.linear[0], *query)
    fill_linear(spec.linear[1], *map(torch.cat, zip(key, value, strict=True)))
    fill_linear(spec.linear[2], *output)
    fill_norm(spec.layer_norm, layer.around_cross.norm)


def fill_linear(spec: common_spec.LinearSpec, weight: torch.Tensor, bias: torch.Tensor) -> None:
    spec.weight, spec.bias = weight, bias


def fill_norm(spec: common_spec.LayerNormSpec, module: nn.Module) -> None:
    spec.gamma, spec.beta = linear(module)
