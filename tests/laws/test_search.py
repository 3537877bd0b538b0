"""Search: beam 1 = greedy, wide beam = exhaustive, a score is its forced score, a batch is its sentences."""

import itertools
import math
import random
from collections import Counter
from functools import partial

import pytest
import torch

from dragoman.ids import BOS, EOS, PAD, UNK
from dragoman.models import Ensemble, Seq2Seq
from dragoman.search import Beam, Greedy, Sampling
from dragoman.search.hypothesis import best
from models_for_tests import ATTENTIONS, EndsSentences, encoder_decoder, rnnsearch, sources, transformer

LENGTHS = {"max_source": 64, "length_ratio": 1.0, "length_extra": 6}


def beam(width: int, *, length_penalty: float = 0.6, nbest: int = 1, **lengths) -> Beam:
    return Beam(beam=width, length_penalty=length_penalty, nbest=nbest, **(LENGTHS | lengths))


def sampling(**changes) -> Sampling:
    settings = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "nbest": 1, "seed": 0}
    return Sampling(**(settings | LENGTHS | changes))


def model(seed: int = 0, bias: float = 2.0, **changes):
    return EndsSentences(transformer(seed, **changes), bias).double().eval()


def forced_score(one, src_S, ids) -> float:
    """The log-probability of ids and EOS by teacher forcing: no cache, no batch, no search."""
    with torch.no_grad():
        tgt = torch.tensor([[BOS, *ids, EOS]])
        logits = one(src_S[None, : int((src_S != PAD).sum())], tgt[:, :-1])
    return logits.log_softmax(-1)[0, torch.arange(len(ids) + 1), tgt[0, 1:]].sum().item()


def test_random_models_end_sentences_at_many_lengths():
    """Without this the other laws could pass on models that only ever stop at the limit."""
    src = sources(64)
    lengths = {len(found[0].ids) for found in Greedy(**LENGTHS)(model(), src)}
    found = zip(Greedy(**LENGTHS)(model(), src), src, strict=True)
    ended = sum(len(hypotheses[0].ids) + 1 < int((row != PAD).sum()) + 6 for hypotheses, row in found)
    assert len(lengths) >= 5
    assert ended >= 24


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.5])
def test_beam_of_one_is_greedy(length_penalty):
    src = sources(64)
    greedy = Greedy(**LENGTHS)(model(), src)
    narrow = beam(1, length_penalty=length_penalty)(model(), src)
    assert [found[0].ids for found in narrow] == [found[0].ids for found in greedy]
    for ours, theirs in zip(narrow, greedy, strict=True):
        assert ours[0].log_probability == pytest.approx(theirs[0].log_probability)
    assert len({tuple(found[0].ids) for found in greedy}) >= 32


@pytest.mark.parametrize("search", [Greedy(**LENGTHS), beam(4, nbest=4), sampling(nbest=3)])
def test_a_hypothesis_score_is_its_forced_score(search):
    src, one = sources(24), model()
    checked = 0
    for src_S, found in zip(src, search(one, src), strict=True):
        assert found == sorted(found, key=lambda h: -h.score)
        for hypothesis in found:
            assert hypothesis.log_probability == pytest.approx(forced_score(one, src_S, hypothesis.ids), abs=1e-4)
            assert not {PAD, BOS, EOS} & set(hypothesis.ids)
            checked += 1
    assert checked >= 24


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_wide_beam_is_exhaustive_search(length_penalty):
    """All sentences over a vocabulary of three words and UNK, each scored by teacher forcing."""
    longest = 4  # tokens, EOS included
    everything = [list(w) for n in range(longest) for w in itertools.product((UNK, 4, 5, 6), repeat=n)]
    assert len(everything) == 1 + 4 + 16 + 64
    different_from_greedy = 0
    for seed in range(20):
        one = model(seed, bias=1.0, source_vocab_size=7, target_vocab_size=7)
        src = sources(1, vocab_size=7, longest=5, seed=seed)
        scored = sorted(
            ((forced_score(one, src[0], ids) / ((6 + len(ids)) / 6) ** length_penalty, ids) for ids in everything),
            reverse=True,
        )
        wide = beam(85, length_penalty=length_penalty, nbest=5, length_ratio=0.0, length_extra=longest)
        found = wide(one, src)[0]
        assert [hypothesis.ids for hypothesis in found] == [ids for _, ids in scored[:5]]
        assert [h.score for h in found] == pytest.approx([score for score, _ in scored[:5]], abs=1e-5)
        greedy = Greedy(max_source=64, length_ratio=0.0, length_extra=longest)(one, src)[0][0]
        different_from_greedy += greedy.ids != found[0].ids
    assert different_from_greedy >= 3  # else greedy search would have passed too


def plain_beam(one, src_S, width, length_penalty, nbest, limit):
    """Beam search written plainly: one sentence, no cache, no early stop. Shares no code with the subject."""
    live, finished = [([], 0.0)], []
    for length in range(1, limit + 1):
        candidates = []
        for ids, log_probability in live:
            with torch.no_grad():
                step = one(src_S[None], torch.tensor([[BOS, *ids]]))[0, -1].log_softmax(-1).tolist()
            tokens = [EOS] if length == limit else [t for t in range(len(step)) if t not in (PAD, BOS)]
            candidates += [(log_probability + step[token], ids, token) for token in tokens]
        candidates.sort(key=lambda c: -c[0])
        live_next = []
        for total, ids, token in candidates[: width - len(finished)]:
            if token == EOS:
                finished.append((total / ((5 + length) / 6) ** length_penalty, ids))
            else:
                live_next.append(([*ids, token], total))
        live = live_next
        if not live:
            break
    return [ids for _, ids in sorted(finished, key=lambda f: -f[0])[:nbest]]


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 2.0])
@pytest.mark.parametrize(("width", "nbest"), [(2, 1), (5, 1), (5, 5)])
def test_stopping_early_and_batching_change_nothing(length_penalty, width, nbest):
    src, one = sources(16), model(bias=1.0)
    together = beam(width, length_penalty=length_penalty, nbest=nbest)(one, src)
    for src_S, found in zip(src, together, strict=True):
        bare = src_S[: int((src_S != PAD).sum())]
        expected = plain_beam(one, bare, width, length_penalty, nbest, len(bare) + 6)
        assert [hypothesis.ids for hypothesis in found] == expected


class LateEnd(Seq2Seq):
    """Ends at once with probability 0.5; having begun with another word, of 0.4, it ends at the fifth token alone."""

    max_length, target_vocab_size = 64, 5

    def encode(self, src_BS):
        return src_BS

    def start(self, memory):
        return 0  # tokens read, BOS among them

    def advance(self, tokens_RT, state, memory):
        probs_V = torch.full((5,), 1e-9)
        if state == 0:
            probs_V[[EOS, 4, UNK]] = torch.tensor([0.5, 0.4, 0.1])
        else:
            probs_V[EOS if state == 4 else 4] = 1.0
        return probs_V.log().expand(len(tokens_RT), 1, -1), state + 1


def test_a_search_goes_on_while_length_can_still_make_up_for_probability():
    """log 0.4 / (10/6) is more than log 0.5, though log 0.4 is less: what bounds it is the limit, not its length."""
    (found,) = beam(2, length_penalty=1.0, length_ratio=0.0, length_extra=7)(LateEnd(), sources(1))
    assert found[0].ids == [4] * 4
    assert found[0].score == pytest.approx(math.log(0.4) / (10 / 6), abs=1e-6)
    assert found[0].score > math.log(0.5) > found[0].log_probability


EVERY = {name: partial(transformer, attention=name) for name in ATTENTIONS}
EVERY |= {
    f"{name}, one head of keys": partial(transformer, attention=name, num_kv_heads=1) for name in ("fused", "linear")
}
EVERY |= {f"RNNsearch {name}": partial(rnnsearch, attention=name) for name in ("additive", "linear")}
EVERY |= {cell: partial(encoder_decoder, cell=cell) for cell in ("gru", "lstm")}


@pytest.mark.parametrize("make_model", EVERY.values(), ids=EVERY.keys())
def test_every_model_is_searched_as_if_alone_and_without_a_cache(make_model):
    """The plain beam forces every prefix anew: no state, no shared memory, no rows that leave."""
    src, one = sources(12), EndsSentences(make_model(), 1.0).double().eval()
    found = [best[0].ids for best in beam(3)(one, src)]
    bare = [row[: int((row != PAD).sum())] for row in src]
    assert found == [plain_beam(one, row, 3, 0.6, 1, len(row) + 6)[0] for row in bare]
    assert len({len(ids) for ids in found}) >= 3


@pytest.mark.parametrize("search", [Greedy(**LENGTHS), beam(4), sampling(nbest=2), sampling(top_p=0.8)])
def test_a_batch_is_its_sentences_in_any_order(search):
    src, one = sources(24), model()
    together = [[h.ids for h in found] for found in search(one, src)]
    backwards = [[h.ids for h in found] for found in search(one, src.flip(0))][::-1]
    alone = [[h.ids for h in search(one, row[None, : int((row != PAD).sum())])[0]] for row in src]
    assert together == backwards == alone


def test_no_hypothesis_is_longer_than_its_limit():
    src, one = sources(32), model(bias=-500.0)  # would never end by itself
    for search in (Greedy(**LENGTHS), beam(3), sampling()):
        for src_S, found in zip(src, search(one, src), strict=True):
            assert len(found[0].ids) + 1 == int((src_S != PAD).sum()) + 6


def test_limits_stop_at_what_the_model_can_hold():
    src, one = sources(4), model(bias=-500.0, max_length=10)
    assert {len(found[0].ids) + 1 for found in beam(3, length_extra=20)(one, src)} == {10}


def test_at_a_limit_of_one_token_a_beam_finds_the_empty_hypothesis_alone():
    src, nothing = sources(3), {"length_ratio": 0.0, "length_extra": 1}
    assert [[h.ids for h in found] for found in beam(4, nbest=4, **nothing)(model(), src)] == [[[]]] * 3
    assert [[h.ids for h in found] for found in sampling(nbest=4, **nothing)(model(), src)] == [[[]] * 4] * 3


def narrowed(probabilities: list[float], temperature=1.0, top_k=0, top_p=1.0) -> dict[int, float]:
    """What each token that may be drawn is drawn with, the likeliest first: by hand, token after token."""
    weights = {token: p ** (1 / temperature) for token, p in enumerate(probabilities) if p > 0}
    kept, reached = {}, 0.0
    for token in sorted(weights, key=lambda t: -weights[t])[: top_k or None]:
        if reached < top_p:
            kept[token] = weights[token]
            reached += weights[token] / sum(weights.values())
    return {token: weight / sum(kept.values()) for token, weight in kept.items()}


NARROW = [{}, {"temperature": 0.7}, {"top_p": 0.6}, {"top_k": 3, "top_p": 0.8, "temperature": 1.5}]


@pytest.mark.parametrize("narrow", NARROW)
def test_samples_follow_the_models_distribution_as_it_is_narrowed(narrow):
    """The first token's frequencies over many draws against the probabilities, by a chi-squared bound."""
    one, src = model(source_vocab_size=9, target_vocab_size=9), sources(1, vocab_size=9)
    with torch.no_grad():
        probabilities = one(src, torch.tensor([[BOS]]))[0, 0].softmax(-1)
    probabilities[[PAD, BOS]] = 0
    expected = narrowed(probabilities.tolist(), **narrow)
    assert len(expected) >= 2  # else the best token alone would do
    found = sampling(nbest=4000, length_ratio=0.0, length_extra=3, **narrow)(one, src)[0]
    counts = Counter(hypothesis.ids[0] if hypothesis.ids else EOS for hypothesis in found)
    assert set(counts) <= set(expected)
    chi_squared = sum((counts[token] - 4000 * p) ** 2 / (4000 * p) for token, p in expected.items())
    freedom = len(expected) - 1
    assert chi_squared < freedom + 5 * math.sqrt(2 * freedom)


class Highest(random.Random):
    """Draws the largest number below 1 that `random` gives, which single precision knows as 1."""

    def random(self) -> float:
        return 1 - 2**-53


@pytest.mark.parametrize("narrow", NARROW)
def test_the_highest_draw_is_the_last_token_that_may_be_drawn(narrow):
    torch.manual_seed(0)
    log_probs_RV = (2 * torch.randn(50, 300)).log_softmax(-1)
    log_probs_RV[:, [PAD, BOS]] = -torch.inf
    log_probs_RV[25:, [UNK, *range(4, 300)]] = -torch.inf  # at the limit
    last = (lambda tokens: tokens[-1]) if narrow.keys() & {"top_k", "top_p"} else max  # of the sorted, or of all
    expected = [last(list(narrowed([math.exp(p) for p in row], **narrow))) for row in log_probs_RV.tolist()]
    assert set(expected[25:]) == {EOS}
    assert EOS not in expected[:25]
    assert sampling(**narrow).pick(log_probs_RV, [Highest()] * 50).tolist() == expected


def test_top_k_and_top_p_and_temperature_narrow_the_choice():
    src, one = sources(8), model(bias=0.0)
    greedy = [found[0].ids for found in Greedy(**LENGTHS)(one, src)]
    for narrow in (sampling(top_k=1), sampling(top_p=1e-9), sampling(temperature=1e-6)):
        assert [found[0].ids for found in narrow(one, src)] == greedy
    assert [found[0].ids for found in sampling()(one, src)] != greedy
    assert [f[0].ids for f in sampling(seed=1)(one, src)] != [f[0].ids for f in sampling(seed=2)(one, src)]
    few = {h.ids[0] if h.ids else EOS for h in sampling(top_k=2, nbest=200)(one, src[:1])[0]}
    assert len(few) == 2


def test_an_ensemble_of_one_model_twice_is_that_model():
    src, one = sources(8), model()
    twice = Ensemble([one, one]).eval()
    assert [f[0].ids for f in beam(4)(twice, src)] == [f[0].ids for f in beam(4)(one, src)]
    other = Ensemble([one, model(seed=5)]).eval()
    logits = other(src, torch.full((8, 1), BOS))
    mean = (one(src, torch.full((8, 1), BOS)).softmax(-1) + model(seed=5)(src, torch.full((8, 1), BOS)).softmax(-1)) / 2
    torch.testing.assert_close(logits.exp(), mean)
    with pytest.raises(ValueError, match=r"share one vocabulary; their sizes are \[11, 23\]"):
        Ensemble([model(), model(target_vocab_size=11)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: beam(0), r"`beam` \(0\) must be at least 1"),
        (lambda: beam(2, nbest=3), r"`nbest` \(3\) between 1 and `beam`"),
        (lambda: beam(2, length_penalty=-1.0), r"`length_penalty` \(-1\.0\) at least 0"),
        (lambda: sampling(temperature=0.0), r"`temperature` \(0\.0\) must be between 1e-6 and 1e6"),
        (lambda: sampling(temperature=float("nan")), r"`temperature` \(nan\)"),
        (lambda: sampling(nbest=10**9), r"`nbest` \(1000000000\) at least 1 and at most 10000"),
        (lambda: beam(10**9), r"`beam` \(1000000000\) must be at least 1 and at most 1000"),
        (lambda: beam(2, length_penalty=float("nan")), r"`length_penalty` \(nan\)"),
        (lambda: beam(2, length_ratio=float("nan")), r"`length_ratio` \(nan\) at least 0"),
        (lambda: Greedy(max_source=64, length_ratio=1.0, length_extra=0), r"`length_extra` \(0\) at least 1"),
    ],
)
def test_messages(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("V", [7, 255, 256, 1000, 8001])
@pytest.mark.parametrize("count", [1, 4, 7])
def test_the_best_of_rows_are_those_of_a_sort(V, count):
    torch.manual_seed(V)
    scores = torch.randn(50, V)
    scores[:10] = scores[:10].round()  # ties
    scores[10:20, 2:] = -torch.inf
    scores[20:30, -5:] += 9  # the best among the last columns, which fill no group
    highest, places = best(scores.clone(), count)
    assert torch.equal(highest, scores.sort(descending=True).values[:, :count])
    assert torch.equal(scores.gather(1, places), highest)
    assert all(len(set(row)) == count for row in places.tolist())
