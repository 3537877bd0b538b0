"""Models: one bite or many, causality, padding, a batch is its sentences."""

import itertools

import pytest
import torch
from torch import nn

from dragoman.attention import Additive, Fixed, Linear
from dragoman.ids import BOS, EOS, PAD
from dragoman.models import Ensemble, select
from models_for_tests import ATTENTIONS, encoder_decoder, fits, goes_with, rnnsearch, sources, transformer

SETTINGS = [
    {
        "norm": norm,
        "feed_forward": feed_forward,
        "positions": positions,
        "tied_embeddings": tied,
        "attention": attention,
    }
    for (norm, feed_forward), positions, (tied, attention) in itertools.product(
        [("pre", "relu"), ("post", "gelu"), ("pre", "swiglu")],
        ["sinusoidal", "learned"],
        [("none", "fused"), ("all", "dot"), ("target", "fused")],
    )
]
MODELS = {" ".join(one.values()): lambda one=one: transformer(**one).double() for one in SETTINGS}
MODELS |= {
    f"{attention} {positions}": lambda attention=attention, positions=positions: transformer(
        attention=attention, positions=positions
    ).double()
    for attention in ATTENTIONS
    for positions in ("none", "rotary", "alibi")
    if goes_with(attention, positions)
}
MODELS |= {
    f"{attention}, {heads} heads of keys": lambda attention=attention, heads=heads: transformer(
        attention=attention, num_kv_heads=heads
    ).double()
    for attention in ("fused", "additive", "linear", "sparse")
    for heads in (1, 2)
}
MODELS |= {
    f"{norm} {feed_forward}, fixed": lambda norm=norm, feed_forward=feed_forward: transformer(
        norm=norm, feed_forward=feed_forward, attention="fixed"
    ).double()
    for norm, feed_forward in itertools.product(("pre", "post"), ("relu", "none"))
}
TRANSFORMERS = dict(MODELS)
MODELS |= {
    f"RNNsearch {attention}": lambda attention=attention: rnnsearch(attention=attention).double()
    for attention in ATTENTIONS
    if fits(attention, "cross")
}
MODELS |= {cell: lambda cell=cell: encoder_decoder(cell=cell).double() for cell in ("gru", "lstm")}
MODELS["ensemble"] = lambda: Ensemble([transformer(0), transformer(1)]).double().eval()
every_model = pytest.mark.parametrize("make_model", MODELS.values(), ids=MODELS.keys())


def targets(count: int, length: int):
    generator = torch.Generator().manual_seed(3)
    words = torch.randint(4, 23, (count, length - 1), generator=generator)
    return torch.cat((torch.full((count, 1), BOS), words), 1)


@every_model
@torch.no_grad()
def test_one_bite_or_many(make_model):
    model, src, tgt = make_model(), sources(4), targets(4, 11)
    whole = model(src, tgt)
    for bites in ([1] * 11, [3, 8], [1, 9, 1]):
        memory = model.encode(src)
        state, pieces = model.start(memory), []
        for bite in tgt.split(bites, dim=1):
            logits, state = model.advance(bite, state, memory)
            pieces.append(logits)
        torch.testing.assert_close(torch.cat(pieces, 1), whole)


@every_model
@torch.no_grad()
def test_causality(make_model):
    model, src, tgt = make_model(), sources(4), targets(4, 11)
    before = model(src, tgt)
    changed = tgt.clone()
    changed[:, 5] = (tgt[:, 5] - 4 + 1) % 19 + 4
    after = model(src, changed)
    torch.testing.assert_close(after[:, :5], before[:, :5], rtol=0, atol=1e-12)
    assert (after[:, 5:8] != before[:, 5:8]).any(-1).all()  # what may change does, within the narrowest window's reach


@every_model
@torch.no_grad()
def test_source_padding_changes_nothing(make_model):
    model, src, tgt = make_model(), sources(4), targets(4, 11)
    longer = torch.cat((src, torch.full((4, 5), PAD)), 1)
    torch.testing.assert_close(model(longer, tgt), model(src, tgt))


@every_model
@torch.no_grad()
def test_a_batch_is_its_sentences(make_model):
    model, src, tgt = make_model(), sources(5), targets(5, 11)
    together = model(src, tgt)
    assert len({int((row != PAD).sum()) for row in src}) > 1  # several lengths, or padding was never tried
    for i in range(5):
        alone = model(src[i : i + 1, : int((src[i] != PAD).sum())], tgt[i : i + 1])
        torch.testing.assert_close(alone[0], together[i])


@every_model
@torch.no_grad()
def test_rows_of_a_sentence_share_its_memory(make_model):
    model, src, tgt = make_model(), sources(3), targets(6, 11)
    memory = model.encode(src)
    rows = torch.tensor([0, 0, 1, 1, 2, 2])
    shared = model.advance(tgt, select(model.start(memory), rows), memory)[0]
    repeated = model(src[rows], tgt)
    torch.testing.assert_close(shared, repeated)


@pytest.mark.parametrize("make_model", TRANSFORMERS.values(), ids=TRANSFORMERS.keys())
def test_half_precision_weights_give_logits_and_gradients_of_theirs(make_model):
    model, src, tgt = make_model(), sources(4), targets(4, 11)
    expected = model(src, tgt)
    logits = model.bfloat16()(src, tgt)
    assert logits.dtype == torch.bfloat16
    assert ((logits - expected).norm() / expected.norm()).item() < 0.05
    logits.sum().backward()
    assert all(torch.isfinite(one.grad).all() for one in model.parameters() if one.grad is not None)


@every_model
@torch.no_grad()
def test_an_empty_source_gives_numbers(make_model):
    model = make_model()
    src = torch.tensor([[EOS, PAD, PAD], [5, 6, EOS], [PAD, PAD, PAD]])
    logits = model(src, targets(3, 4))
    assert torch.isfinite(logits).all()


@every_model
def test_dropout_acts_in_training_and_never_in_eval(make_model):
    model, src, tgt = make_model(), sources(4), targets(4, 7)
    assert torch.equal(model.eval()(src, tgt), model(src, tgt))
    assert not torch.equal(model.train()(src, tgt), model(src, tgt))


@every_model
def test_every_parameter_gets_a_gradient_or_is_frozen(make_model):
    """Ranks that train together wait for the gradient of everything that is trained."""
    model = make_model()
    frozen = [name for name, one in model.named_parameters() if not one.requires_grad]
    model.requires_grad_(True)
    model(sources(4), targets(4, 7)).pow(2).sum().backward()
    silent = [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()]
    assert silent == frozen


@pytest.mark.parametrize(("norm_first", "norm"), [(True, "pre"), (False, "post")])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@torch.no_grad()
def test_ours_is_the_transformer_of_torch_with_copied_weights(norm_first, norm, activation):
    ours = transformer(norm=norm, feed_forward=activation, dim=16, num_heads=4).double()
    theirs = (
        nn.Transformer(16, 4, 2, 2, 32, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first)
        .double()
        .eval()
    )
    if not norm_first:  # torch normalises once more after the last layer even then
        theirs.encoder.norm = theirs.decoder.norm = None
    for layer, own in zip(theirs.encoder.layers, ours.encoder, strict=True):
        copy_attention(layer.self_attn, own.self_attention)
        copy_rest(layer, own, [(layer.norm1, own.around_self), (layer.norm2, own.around_feed_forward)])
    for layer, own in zip(theirs.decoder.layers, ours.decoder, strict=True):
        copy_attention(layer.self_attn, own.self_attention)
        copy_attention(layer.multihead_attn, own.cross_attention)
        norms = [
            (layer.norm1, own.around_self),
            (layer.norm2, own.around_cross),
            (layer.norm3, own.around_feed_forward),
        ]
        copy_rest(layer, own, norms)
    if norm_first:
        theirs.encoder.norm.load_state_dict(ours.encoder_norm.state_dict())
        theirs.decoder.norm.load_state_dict(ours.decoder_norm.state_dict())
    src, tgt = sources(5), targets(5, 7)
    hidden = theirs(
        ours.source(src, 0),
        ours.target(tgt, 0),
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(7).double(),
        src_key_padding_mask=src == PAD,
        memory_key_padding_mask=src == PAD,
    )
    torch.testing.assert_close(ours(src, tgt), hidden @ ours.output.weight.T)


def copy_attention(theirs, ours):
    theirs.in_proj_weight.copy_(torch.cat((ours.query.weight, ours.key_value.weight)))
    theirs.in_proj_bias.copy_(torch.cat((ours.query.bias, ours.key_value.bias)))
    theirs.out_proj.load_state_dict(ours.output.state_dict())


def copy_rest(theirs, ours, norms):
    theirs.linear1.load_state_dict(ours.feed_forward.expand.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.contract.state_dict())
    for norm, around in norms:
        norm.load_state_dict(around.norm.state_dict())


def test_tied_embeddings_are_one_tensor():
    tied = transformer(tied_embeddings="all")
    assert tied.output.weight is tied.target.table.weight is tied.source.table.weight
    half = transformer(tied_embeddings="target", source_vocab_size=40)
    assert half.output.weight is half.target.table.weight is not half.source.table.weight
    with pytest.raises(ValueError, match="source has 40 pieces and the target 23"):
        transformer(tied_embeddings="all", source_vocab_size=40)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "middle"}, r"`norm` \(middle\) must be one of pre, post\."),
        ({"positions": "polar"}, r"`positions` \(polar\) must be one of sinusoidal, learned, rotary, alibi, none\."),
        ({"dim": 18}, r"`dim` \(18\) must be a multiple of `num_heads` \(4\)\."),
        ({"dropout": 1.0}, r"dropout probability \(1\.0\)"),
        ({"decoder_layers": 0}, "must be at least 1"),
        ({"num_kv_heads": 3}, r"`num_heads` \(4\) must be a multiple of `num_kv_heads` \(3\)\."),
        ({"positions": "rotary", "dim": 12}, "needs heads of an even width, but `dim` / `num_heads` is 3"),
        ({"cross_attention": ATTENTIONS["window"]}, "`cross_attention`: SlidingWindow has no meaning there; choose"),
        ({"encoder_attention": Fixed}, "`encoder_attention`: Fixed has no meaning there; choose fused"),
        ({"decoder_attention": Additive, "positions": "rotary"}, "Additive does not go with `positions: rotary`"),
        ({"encoder_attention": Linear, "positions": "alibi"}, "Linear does not go with `positions: alibi`; choose sin"),
        ({"cross_attention": Fixed, "attention_dropout": 0.1}, "fixed attention .* set `attention_dropout`"),
        ({"decoder_attention": Linear, "attention_dropout": 0.1}, "set `attention_dropout` \\(0.1\\) to 0"),
    ],
)
def test_messages(changes, message):
    with pytest.raises(ValueError, match=message):
        transformer(**changes)
