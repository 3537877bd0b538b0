"""Batches: each sentence once an epoch, in an order that (seed, epoch) fix, within the budget."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from dragoman.data.draws import Draws
from dragoman.data.reading import tell
from dragoman.data.sampler import START, EndlessBatches, Position, useful_share
from dragoman.errors import InputError

SEEDS = range(25)


def lengths(seed: int) -> np.ndarray:
    """Pairs of lengths: by turns alike, of any ratio, with a few monsters, all equal; every fifth time only a few."""
    generator = np.random.default_rng(1000 + seed)
    count, longest = int(generator.integers(1, 8 if seed % 5 == 0 else 400)), int(generator.integers(2, 90))
    kind = seed % 4
    source = generator.integers(2, longest + 1, count)
    target = (
        np.clip(source + generator.integers(-1, 2, count), 2, longest) if kind == 0 else generator.permutation(source)
    )
    pairs = np.stack([source, target], 1)
    if kind == 2:
        pairs[generator.integers(0, count, 3)] = [longest * 3, 2]
    return np.full_like(pairs, longest) if kind == 3 else pairs


def batches_of(lengths_N2: np.ndarray, batch_tokens: int, seed: int, position: Position = START) -> EndlessBatches:
    draws = Draws([len(lengths_N2)], [len(lengths_N2)], seed)
    return EndlessBatches(lengths_N2, draws, batch_tokens=batch_tokens, max_length=10**6, position=position)


def stream(lengths_N2: np.ndarray, seed: int = 0, **position: int) -> EndlessBatches:
    budget = int(lengths_N2.max()) * (1 + seed % 7)
    return batches_of(lengths_N2, budget, seed, Position(**position))


def per_epoch(pairs: np.ndarray, seed: int) -> int:
    return len(stream(pairs, seed).epoch(0))


def first(batches: EndlessBatches, count: int) -> list[list[int]]:
    return list(islice(batches, count))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_sentence_is_seen_exactly_once_an_epoch(seed):
    pairs = lengths(seed)
    batches = stream(pairs, seed)
    flow = iter(batches)
    for _ in range(4):
        seen = Counter(index for batch in islice(flow, per_epoch(pairs, seed)) for index in batch)
        assert seen == Counter(range(len(pairs)))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_batch_exceeds_the_budget_and_there_are_no_more_than_it_takes(seed):
    pairs = lengths(seed)
    batches = stream(pairs, seed)
    for number in range(3):
        epoch = batches.epoch(number)
        assert len(epoch) == len(batches.epoch(0))
        assert all(len(batch) > 0 for batch in epoch)
        assert max(len(batch) * pairs[batch].max() for batch in epoch) <= batches.batch_tokens
        assert len(epoch) == fewest(pairs.max(1).tolist(), batches.batch_tokens)


def fewest(longest: list[int], budget: int) -> int:
    """Batches that it takes when each takes the shortest sentences that are left, as many as the budget allows."""
    left, count = sorted(longest), 0
    while left:
        fitting = [n for n in range(1, len(left) + 1) if n * left[n - 1] <= budget]
        left, count = left[fitting[-1] :], count + 1
    return count


def test_the_budget_law_was_tested_on_many_batches_and_distributions():
    epochs = [stream(lengths(seed), seed).epoch(0) for seed in SEEDS]
    assert sum(map(len, epochs)) > 500
    assert sum(len(epoch) > 1 for epoch in epochs) >= 20
    assert sum(len(batch) > 1 for epoch in epochs for batch in epoch) > 200


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_is_a_function_of_seed_and_epoch(seed):
    pairs = lengths(seed)
    assert first(stream(pairs, seed), 60) == first(stream(pairs.copy(), seed), 60)


def test_seeds_and_epochs_differ_in_order_and_in_company():
    pairs = np.random.default_rng(0).integers(2, 20, (500, 2))
    epochs = [batches_of(pairs, 100, seed).epoch(number) for seed in range(5) for number in range(5)]
    orders = {tuple(tuple(batch) for batch in epoch) for epoch in epochs}
    companies = {frozenset(frozenset(batch.tolist()) for batch in epoch) for epoch in epochs}
    assert len(orders) == len(companies) == 25


def test_an_epoch_is_not_a_walk_from_short_to_long():
    pairs = np.random.default_rng(0).integers(2, 60, (2000, 2))
    longest = [pairs[batch].max() for batch in batches_of(pairs, 200, seed=3).epoch(0)]
    assert len(longest) > 100
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_start_anywhere_continues_the_same_stream(seed):
    pairs = lengths(seed)
    length = per_epoch(pairs, seed)
    whole = first(stream(pairs, seed), 3 * length + 10)
    for seen in {0, 1, length - 1, length, length + 1, 2 * length, 2 * length + 3}:
        assert first(stream(pairs, seed, seen=seen), len(whole) - seen) == whole[seen:]


@pytest.mark.parametrize("world", [2, 3, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_ranks_take_turns_in_the_one_stream(seed, world):
    """Also where an epoch has fewer batches than there are ranks, and from any start."""
    pairs = lengths(seed)
    count = 10 + 2 * per_epoch(pairs, seed) // world  # of each rank: into the third epoch
    whole = first(stream(pairs, seed), (count + 7) * world)
    for start in (0, 1, 7):
        share = [first(stream(pairs, seed, seen=start, rank=rank, world=world), count) for rank in range(world)]
        in_turns = [batch for turn in zip(*share, strict=True) for batch in turn]
        assert in_turns == whole[start * world : (start + count) * world]


def test_the_turns_were_tested_on_epochs_shorter_than_the_world():
    counts = [per_epoch(lengths(seed), seed) for seed in SEEDS]
    assert sum(count < 5 for count in counts) >= 2
    assert sum(count > 5 for count in counts) >= 15


def test_a_sentence_longer_than_the_budget_is_the_users_to_mend():
    with pytest.raises(InputError, match=r"`data\.batch_tokens` \(20\) must hold the longest sentence \(21 tokens\)"):
        batches_of(np.array([[3, 4], [2, 21]]), 20, seed=0).epoch(0)
    assert len(batches_of(np.array([[3, 4], [2, 20]]), 20, seed=0).epoch(0)) == 2


@pytest.mark.parametrize("batch_tokens", [2048, 3072, 4096])
def test_captions_are_hardly_padded(batch_tokens):
    """A corpus like Multi30k: 29,000 pairs of about 13 tokens, a target some 5 % longer, give or take 15 %."""
    generator = np.random.default_rng(batch_tokens)
    source = generator.lognormal(np.log(13), 0.35, 29_000).round().clip(4, 60)
    target = (source * generator.lognormal(np.log(1.05), 0.15, 29_000)).round().clip(4, 60)
    pairs = np.stack([source, target], 1).astype(np.int64)
    epoch = batches_of(pairs, batch_tokens, seed=1).epoch(0)
    padded = sum(len(batch) * int(pairs[batch, side].max()) for batch in epoch for side in (0, 1))
    assert pairs.sum() / padded >= 0.93
    assert useful_share(pairs, epoch) == pytest.approx(pairs.sum() / padded)


def test_sentences_of_one_length_stand_beside_translations_of_one_length():
    """Else sources of any length would meet in the batches of long targets."""
    source = np.random.default_rng(0).integers(2, 41, 4000)
    pairs = np.stack([source, np.full(4000, 40)], 1)
    epoch = batches_of(pairs, 1600, seed=1).epoch(0)
    assert useful_share(pairs, epoch) >= 0.98
    assert useful_share(pairs, np.split(np.arange(4000), 100)) < 0.8


@pytest.mark.parametrize(
    ("parts", "beginning"), [(None, "batches of 2 "), (1.0, "an epoch has 2 ba"), (3.0, "an epoch has about 6 ba")]
)
def test_what_an_epoch_is_is_told_if_it_is_known(parts, beginning, caplog):
    caplog.set_level("INFO")
    tell(np.full((4, 2), 3), [np.array([0, 1]), np.array([2, 3])], parts)
    assert caplog.messages[0].startswith(beginning)
    tell(np.full((4, 2), 3), [], parts)  # nothing that can be used: nothing to tell
    assert len(caplog.messages) == 1
