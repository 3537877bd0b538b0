"""RNNsearch and the RNN encoder-decoder against the equations of Bahdanau et al. 2015, appendix A."""

import numpy as np
import pytest
import torch

from dragoman.attention import record
from dragoman.ids import BOS, EOS
from dragoman.models import RNNEncoderDecoder, RNNsearch
from models_for_tests import ATTENTIONS, encoder_decoder, rnnsearch, sources


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numbers(model):
    return {name: value.detach().double().numpy() for name, value in model.state_dict().items()}


def read(words_SE, w, name):
    """torch's GRU, as its documentation writes it: the reset gate comes after the product with U."""
    Wr, Wz, Wn = np.split(w[f"{name}.weight_ih_l0"], 3)
    Ur, Uz, Un = np.split(w[f"{name}.weight_hh_l0"], 3)
    br, bz, bn = np.split(w[f"{name}.bias_ih_l0"], 3)
    cr, cz, cn = np.split(w[f"{name}.bias_hh_l0"], 3)
    h, states = np.zeros(len(Ur)), []
    for e in words_SE:
        r, z = sigmoid(Wr @ e + br + Ur @ h + cr), sigmoid(Wz @ e + bz + Uz @ h + cz)
        h = (1 - z) * np.tanh(Wn @ e + bn + r * (Un @ h + cn)) + z * h
        states.append(h)
    return np.array(states)


def step(w, s, c, e):
    """Logits and next state: sections A.1.1 and A.2.2."""
    (Wz, Wr, W), (bz, br, b) = np.split(w["cell.word.weight"], 3), np.split(w["cell.word.bias"], 3)
    Cz, Cr, C = np.split(w["cell.context.weight"], 3)
    Uz, Ur = np.split(w["cell.gate.weight"], 2)
    z, r = sigmoid(Wz @ e + bz + Uz @ s + Cz @ c), sigmoid(Wr @ e + br + Ur @ s + Cr @ c)
    proposal = np.tanh(W @ e + b + w["cell.proposal.weight"] @ (r * s) + C @ c)
    t = w["readout.state.weight"] @ s + w["readout.word.weight"] @ e + w["readout.word.bias"]
    t = t + w["readout.context.weight"] @ c
    t = np.array([max(t[2 * i], t[2 * i + 1]) for i in range(len(t) // 2)])
    return w["readout.output.weight"] @ t, (1 - z) * s + z * proposal


@torch.no_grad()
def test_rnnsearch_is_that_of_the_paper():
    model = rnnsearch().double()
    src, tgt = [5, 9, 4, 17, EOS], [BOS, 8, 8, 12, 6]
    w = numbers(model)
    words = w["source.weight"][src]
    right, left = read(words, w, "forwards"), read(words[::-1], w, "backwards")[::-1]
    h = np.concatenate((right, left), axis=1)
    s = np.tanh(w["first.weight"] @ left[0] + w["first.bias"])
    got, weights = forced(model, src, tgt)
    for i, token in enumerate(tgt):
        query = w["query_projection.weight"] @ s + w["query_projection.bias"]
        energies = [
            w["attention.v_HK"][0] @ np.tanh(query + w["key_projection.weight"] @ hj + w["key_projection.bias"])
            for hj in h
        ]
        alpha = np.exp(energies) / np.exp(energies).sum()
        np.testing.assert_allclose(weights[i], alpha, rtol=1e-9)
        logits, s = step(w, s, alpha @ h, w["target.weight"][token])
        np.testing.assert_allclose(got[i], logits, rtol=1e-9)


@torch.no_grad()
def test_the_encoder_decoder_writes_from_the_last_state_alone():
    model = encoder_decoder().double()
    src, tgt = [5, 9, 4, 17, EOS], [BOS, 8, 8, 12, 6]
    w = numbers(model)
    c = read(w["source.weight"][src], w, "forwards")[-1]
    s = np.tanh(w["first.weight"] @ c + w["first.bias"])
    got, weights = forced(model, src, tgt)
    assert weights.tolist() == [[0, 0, 0, 0, 1]] * 5
    for i, token in enumerate(tgt):
        logits, s = step(w, s, c, w["target.weight"][token])
        np.testing.assert_allclose(got[i], logits, rtol=1e-9)


def forced(model, src, tgt):
    """Logits of each step, and the weights that a watcher sees."""
    with record(model) as seen:
        logits = model(torch.tensor([src]), torch.tensor([tgt]))[0].numpy()
    return logits, seen["attention"].weights_BHTS[0, 0].numpy()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@torch.no_grad()
def test_two_sources_with_the_same_last_state_are_the_same_to_it(cell):
    model = encoder_decoder(cell=cell).double()
    one, other = model.encode(sources(1, seed=1)), model.encode(sources(1, seed=2))
    tgt = torch.tensor([[BOS, 8, 12]])
    assert not torch.allclose(
        model.advance(tgt, model.start(one), one)[0], model.advance(tgt, model.start(other), other)[0]
    )
    same = other._replace(past=one.past, start=one.start)
    assert torch.equal(model.advance(tgt, model.start(same), same)[0], model.advance(tgt, model.start(one), one)[0])
    for memory in (one, other):  # and s_0 holds nothing that the vector does not
        first = model.cell.begin(model.first(memory.past.v_BHSV[:, 0, 0]))
        for got, expected in zip(memory.start, first, strict=True):
            assert torch.equal(got, expected)


def test_a_wrong_cell_or_attention_is_refused_with_the_ones_there_are():
    sizes = {"source_vocab_size": 9, "target_vocab_size": 9, "embedding_dim": 4, "dim": 4, "readout_dim": 4}
    with pytest.raises(ValueError, match=r"`cell` \(elman\) must be one of gru, lstm\."):
        RNNEncoderDecoder(**sizes, max_length=9, cell="elman", dropout=0.0)
    with pytest.raises(ValueError, match="`cross_attention`: SlidingWindow has no meaning there; choose fused"):
        RNNsearch(
            **sizes,
            attention_dim=4,
            max_length=9,
            dropout=0.0,
            attention_dropout=0.0,
            cross_attention=ATTENTIONS["window"],
        )
