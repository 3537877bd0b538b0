"""Shards: an epoch of any size is cut into parts, no row is lost, every corpus of a mix turns like a ring."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from dragoman.data import sampler
from dragoman.data.draws import Draws, scramble, shares
from dragoman.data.sampler import START, EndlessBatches, Place, Position

SIZES = [*range(1, 40), 63, 64, 65, 1000, 4097]


@pytest.mark.parametrize("size", SIZES)
def test_a_scramble_is_a_permutation_that_its_key_fixes(size):
    images = scramble(np.arange(size), size, (3, 1))
    assert sorted(images) == list(range(size))
    some = np.random.default_rng(0).integers(0, size, 20)
    assert scramble(some, size, (3, 1)).tolist() == images[some].tolist()


def test_scrambles_of_other_keys_differ_and_none_is_near_the_identity():
    size = 5000
    found = [scramble(np.arange(size), size, key) for key in ((0,), (1,), (0, 1), (2, 1), (7, 7))]
    for number, images in enumerate(found):
        assert abs(np.corrcoef(images, np.arange(size))[0, 1]) < 0.06  # 4 times the deviation of a random one
        assert abs(np.corrcoef(images[1:], images[:-1])[0, 1]) < 0.06
        assert (images == np.arange(size)).sum() < 8  # a random one has 1 on average
        assert all((images == other).sum() < 8 for other in found[number + 1 :])


def test_every_first_place_of_a_small_range_is_reached_equally_often():
    counts = Counter(int(scramble(np.array([0]), 6, (seed,))[0]) for seed in range(3000))
    assert set(counts) == set(range(6))
    assert sum((count - 500) ** 2 / 500 for count in counts.values()) < 20.5  # chi square, 5 degrees, p = 0.001


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [5, 64, 1000])
def test_the_shards_of_an_epoch_hold_every_row_once(size, world):
    draws = Draws([100, 1, 60], [100, 1, 60], seed=1)
    for epoch in range(3):
        shards = [draws.shard(epoch, n, size, rank, world) for n in range(170) for rank in range(world)]
        assert Counter(np.concatenate(shards).tolist()) == Counter(range(161))
        assert all(len(shard) <= size for shard in shards)


@pytest.mark.parametrize("share", [1, 7, 10, 13, 25, 30])
def test_a_corpus_is_read_round_after_round_whatever_its_share(share):
    """Ten rows after five others: after any number of epochs none has been read twice more than another."""
    draws, seen = Draws([5, 10], [5, share], seed=4), Counter()
    for epoch in range(12):
        rows = draws.shard(epoch, 0, 1000)
        assert Counter(rows[rows < 5].tolist()) == Counter(range(5))
        seen.update(rows[rows >= 5].tolist())
        counts = [seen[row] for row in range(5, 15)]
        assert sum(counts) == (epoch + 1) * share
        assert max(counts) - min(counts) <= 1


def test_part_of_a_corpus_is_another_part_in_each_round():
    draws = Draws([1000], [100], seed=0)
    rounds = [[frozenset(draws.shard(10 * turn + epoch, 0, 1000).tolist()) for epoch in range(10)] for turn in range(4)]
    assert len({part for turn in rounds for part in turn}) == 40


def test_shares_are_weights_times_sizes_and_temperature_levels_them():
    assert shares([100, 10, 1], [1, 2.5, 1], 1) == [100, 25, 1]
    assert shares([100, 10], [0.001, 1], 1) == [1, 10]  # never none
    warm = shares([10_000, 100], [1, 1], 5)
    assert sum(warm) == pytest.approx(10_100, abs=1)
    assert warm[0] / warm[1] == pytest.approx(100 ** (1 / 5), rel=1e-3)
    assert shares([10_000, 100], [1, 1], 1e9) == [5050, 5050]


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(sampler, "SHARD", 50)


def stream(position: Position = START, seed: int = 2) -> EndlessBatches:
    lengths_N2 = np.random.default_rng(0).integers(1, 20, (330, 2))
    return EndlessBatches(lengths_N2, Draws([330], [330], seed), batch_tokens=100, max_length=18, position=position)


@pytest.mark.usefixtures("small_shards")
def test_every_usable_pair_is_seen_once_an_epoch_also_in_shards():
    batches = stream()
    assert batches.shards == 7
    usable = [row for row, (a, b) in enumerate(batches.lengths_N2) if min(a, b) > 1 and max(a, b) <= 18]
    assert 200 < len(usable) < 330
    for epoch in range(3):
        assert Counter(np.concatenate(batches.epoch(epoch)).tolist()) == Counter(usable)
    companies = [{frozenset(batch.tolist()) for batch in batches.epoch(epoch)} for epoch in range(2)]
    assert len(companies[0] & companies[1]) < 3


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_place_saves_counting_and_changes_nothing(world):
    """From every number of batches seen, with the place of then: the same stream, which begins there."""
    length = sum(len(stream().epoch(epoch)) for epoch in range(2))
    count = length // world
    for rank in range(world):
        whole = stream(Position(rank=rank, world=world))
        flow = iter(whole)
        given = [next(flow) for _ in range(count + 5)]
        later = 0
        for seen in range(count):
            since = whole.place(seen)
            resumed = stream(Position(seen, since, rank, world))
            assert list(islice(resumed, 5)) == given[seen : seen + 5]
            later += since != Place(0, 0, 0)
        assert later > count / 2
