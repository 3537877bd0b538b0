"""Data: each sentence once an epoch, in an order that (seed, epoch) fix, within the budget, and tokenised once."""

import logging
from collections import Counter
from itertools import islice, zip_longest
from pathlib import Path
from types import SimpleNamespace

import datasets
import lightning as L
import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset

from dragoman.data import tokenised as tokenised_module
from dragoman.data.batch import as_batch, collate, pad_sources
from dragoman.data.draws import Draws
from dragoman.data.module import TranslationData
from dragoman.data.reading import tell, train_tokenizers
from dragoman.data.sampler import START, EndlessBatches, Position, in_order, useful_share
from dragoman.data.stored import Pairs, Stored
from dragoman.data.tokenised import flat_column, tokenise
from dragoman.errors import InputError
from dragoman.ids import BOS, EOS, PAD
from dragoman.text.splits import Proportions, Splits
from dragoman.text.tokenizer import SentencePiece, Tokenizers

SEEDS = range(25)
WORDS = ["a", "dog", "runs", "over", "the", "green", "hill", "and", "sleeps", "there"]
BPE = {
    "model_type": "bpe",
    "vocab_size": 60,
    "joint": True,
    "byte_fallback": False,
    "character_coverage": 1.0,
    "symbols": None,
    "normalisation": None,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


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


def test_a_batch_is_ended_sources_and_begun_and_ended_targets():
    batch = collate([[7, 8, 9], [5]], [[4], [6, 5]])
    assert batch.src_BS.tolist() == [[7, 8, 9, EOS], [5, EOS, PAD, PAD]]
    assert batch.tgt_BT.tolist() == [[BOS, 4, EOS, PAD], [BOS, 6, 5, EOS]]
    assert pad_sources([[]]).tolist() == [[EOS]]
    assert tuple(pad_sources([]).shape) == (0, 0)


class CountingTokenizer:
    """Characters as ids from 4 on; counts what it was given. Its `model` is its name."""

    def __init__(self, name: str = "a", shift: int = 4) -> None:
        self.model, self.shift, self.encoded = name.encode(), shift, 0

    def encode_all(self, texts: list[str]) -> list[list[int]]:
        self.encoded += len(texts)
        return [[ord(letter) % 50 + self.shift for letter in text] for text in texts]


def text_of(pairs: list[tuple[str, str]]) -> Dataset:
    return Dataset.from_dict({"source": [source for source, _ in pairs], "target": [target for _, target in pairs]})


def random_text(count: int, seed: int = 0) -> Dataset:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 30, (count, 2))
    return text_of([tuple("".join(map(chr, generator.integers(97, 123, n))) for n in pair) for pair in sizes])


def counted(text: Dataset, source: CountingTokenizer, target: CountingTokenizer, max_length: int = 100):
    """The tokenised text, and how many sentences had to be encoded for it."""
    before = source.encoded + target.encoded
    found = tokenise(text, Tokenizers(source, target), max_length=max_length, name="train")
    return found, source.encoded + target.encoded - before


def usable(tokenised, max_length: int) -> list[int]:
    """The rows that validation reads."""
    return sorted(row for batch in in_order(tokenised.lengths_N2, 10**6, max_length) for row in batch)


def rows(column: pa.ChunkedArray) -> list[list[int]]:
    """A column of lists, by its flat form."""
    values, lengths = flat_column(column)
    ends = np.cumsum(lengths).tolist()
    return [values[end - length : end].tolist() for end, length in zip(ends, lengths.tolist(), strict=True)]


def ids_of(tokenised, numbers: list[int]) -> list[tuple[list[int], list[int]]]:
    table = tokenised.dataset[numbers]
    sides = [rows(table[side]) for side in ("source", "target")]
    return list(zip(*sides, strict=True))


def test_the_same_text_is_encoded_once_and_only_once():
    a, b = CountingTokenizer("a"), CountingTokenizer("b", shift=9)
    text = random_text(50)
    fresh, count = counted(text, a, b)
    assert count == 100
    for same in (text, random_text(50), Dataset.from_dict(text[:])):
        again, count = counted(same, a, b)
        assert count == 0
        assert ids_of(again, list(range(50))) == ids_of(fresh, list(range(50)))
    longer_allowed, count = counted(text, a, b, max_length=10)
    assert count == 0
    assert 0 < len(usable(longer_allowed, 10)) < len(usable(fresh, 100)) == 50


def test_several_processes_encode_what_one_does(monkeypatch):
    sides = [SentencePiece(**BPE).train(WORDS * 20, []).source, CountingTokenizer("b")]
    text = text_of([(" ".join(WORDS[n % 7 :]), f"{n} x") for n in range(53)])
    alone = tokenise(text, Tokenizers(*sides), max_length=99, name="train")
    monkeypatch.setattr(tokenised_module, "ALONE", 10)
    monkeypatch.setattr(tokenised_module.os, "cpu_count", lambda: 3)
    text = text.filter(lambda row: True, new_fingerprint="another")
    together = tokenise(text, Tokenizers(*sides), max_length=99, name="train")
    assert len(list(Path(datasets.config.HF_DATASETS_CACHE).rglob("*_of_00003.arrow"))) == 3
    assert ids_of(together, list(range(53))) == ids_of(alone, list(range(53)))
    assert together.lengths_N2.tolist() == alone.lengths_N2.tolist()


@pytest.mark.parametrize(
    "change",
    {
        "one letter": lambda text: text_of([*zip(text["source"][:-1], text["target"][:-1], strict=True), ("x", "y")]),
        "a part": lambda text: text.select(range(10, 40)),
        "scattered rows": lambda text: text.select([3, 1, 4, 15, 9, 2, 6]),
        "another order": lambda text: text.shuffle(seed=1),
        "one more": lambda text: datasets.concatenate_datasets([text, text.select([0])]),
        "the other direction": lambda text: text_of([*zip(text["target"], text["source"], strict=True)]),
        "text that moves between the sides": lambda text: text_of(
            [
                (source + target[:1], target[1:] or "z")
                for source, target in zip(text["source"], text["target"], strict=True)
            ]
        ),
    }.items(),
    ids=lambda item: item[0],
)
def test_other_text_is_encoded_anew_and_is_what_it_says(change):
    a, b = CountingTokenizer("a"), CountingTokenizer("b", shift=9)
    text = random_text(50)
    counted(text, a, b)
    other = change[1](text)
    found, count = counted(other, a, b)
    assert count == 2 * len(other)
    expected = [
        (CountingTokenizer().encode_all([s])[0], CountingTokenizer(shift=9).encode_all([t])[0])
        for s, t in zip(other["source"], other["target"], strict=True)
    ]
    assert ids_of(found, list(range(len(other)))) == expected


def test_another_tokenizer_on_either_side_encodes_anew():
    text = random_text(20)
    names = [("a", "b"), ("a", "c"), ("c", "b"), ("b", "a")]
    counts = [counted(text, CountingTokenizer(one), CountingTokenizer(two))[1] for one, two in names * 2]
    assert counts == [40] * 4 + [0] * 4


def test_empty_and_overlong_pairs_are_left_out_and_reported(caplog):
    text = text_of([("ab", "cd"), ("", "x"), ("x", ""), ("", ""), ("a" * 12, "b"), ("c", "d" * 9), ("e" * 8, "f" * 9)])
    with caplog.at_level(logging.INFO, "dragoman"):
        found, _ = counted(text, CountingTokenizer("a"), CountingTokenizer("b"), max_length=9)
    assert usable(found, 9) == [0]
    messages = [record.getMessage() for record in caplog.records]
    assert "train: 7 pairs, 1 used" in messages
    assert "train: left out 3 pairs with an empty side and 3 longer than `data.max_length` (9 tokens)" in messages
    caplog.clear()
    with caplog.at_level(logging.INFO, "dragoman"):
        again, _ = counted(text, CountingTokenizer("a"), CountingTokenizer("b"), max_length=10)
        assert usable(again, 10) == [0, 5, 6]
        counted(text.select([0]), CountingTokenizer("a"), CountingTokenizer("b"))
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1


def test_a_split_without_a_usable_pair_is_the_users_to_mend():
    with pytest.raises(InputError, match=r"No pair of the train split can be used; `data\.max_length` is 3 tokens"):
        counted(text_of([("abcd", "x"), ("", "y")]), CountingTokenizer(), CountingTokenizer(), max_length=3)


def test_a_cache_that_cannot_be_written_is_the_users_to_mend(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "file")
    with pytest.raises(InputError, match=r"cannot be kept in .*HF_DATASETS_CACHE"):
        counted(random_text(3), CountingTokenizer(), CountingTokenizer())


def test_lengths_are_what_a_batch_will_hold():
    text = random_text(60)
    found, _ = counted(text, CountingTokenizer("a"), CountingTokenizer("b"))
    expected = [[len(s) + 1, len(t) + 1] for s, t in zip(text["source"], text["target"], strict=True)]
    assert found.lengths_N2.tolist() == expected
    batch = as_batch(*Pairs(found.dataset).__getitems__(list(range(60))))
    assert (batch.src_BS != PAD).sum(1).tolist() == [source for source, _ in expected]
    assert (batch.tgt_BT[:, 1:] != PAD).sum(1).tolist() == [target for _, target in expected]


@pytest.mark.parametrize("seed", range(10))
def test_any_choice_of_pairs_is_fetched_as_it_was_tokenised(seed):
    """Shuffled, repeated, alone, in a row."""
    text = [*zip(*random_text(80, seed).to_dict().values(), strict=True)]
    a, b = CountingTokenizer("a"), CountingTokenizer("b", shift=9)
    pairs = Pairs(counted(text_of(text), a, b)[0].dataset)
    assert len(pairs) == 80
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(pairs))
    choices = [shuffled, shuffled[:1], generator.integers(0, len(pairs), 30), np.arange(5, 25), np.array([3, 3, 3])]
    for choice in choices:
        batch = as_batch(*pairs.__getitems__(choice.tolist()))
        for number, src, tgt in zip(choice, batch.src_BS.tolist(), batch.tgt_BT.tolist(), strict=True):
            source, target = text[number]
            assert [id for id in src if id != PAD] == [*a.encode_all([source])[0], EOS]
            assert [id for id in tgt if id != PAD] == [BOS, *b.encode_all([target])[0], EOS]


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_the_lists_of_a_column_however_it_is_cut(seed):
    generator = np.random.default_rng(seed)
    lists = [generator.integers(0, 99, n).tolist() for n in generator.integers(0, 6, 30)]
    column = pa.chunked_array([pa.array(lists[start : start + 10], pa.list_(pa.int32())) for start in (0, 10, 20)])
    for start, end in ((0, 30), (7, 9), (12, 30), (3, 25), (29, 30)):
        assert rows(column.slice(start, end - start)) == lists[start:end]


def module(num_workers: int, seed: int = 1) -> TranslationData:
    """Real tokenizers, and a trainer's position in place of a trainer."""
    generator = np.random.default_rng(0)
    lines = [" ".join(generator.choice(WORDS, generator.integers(1, 9))) for _ in range(400)]
    splits = Splits(
        *(text_of([*zip(part, part[::-1], strict=True)]) for part in (lines[:300], lines[300:350], lines[350:]))
    )
    reading = Stored(batch_tokens=300, max_length=64)
    data = TranslationData(
        splits,
        train_tokenizers(reading, splits.train, SentencePiece(**BPE)),
        reading,
        Proportions(),
        seed=seed,
        num_workers=num_workers,
    )
    data.setup()
    return data


def at(data: TranslationData, step: int, accumulate: int = 1, rank: int = 0, world: int = 1) -> TranslationData:
    data.trainer = SimpleNamespace(
        global_step=step, accumulate_grad_batches=accumulate, global_rank=rank, world_size=world, accelerator=None
    )
    return data


def same(one, two) -> bool:
    return all(
        a is not None and b is not None and a.src_BS.equal(b.src_BS) and a.tgt_BT.equal(b.tgt_BT)
        for a, b in zip_longest(one, two)
    )


def test_workers_change_nothing_in_the_batches():
    alone, two = at(module(0), step=3), at(module(2), step=3)
    train = [list(islice(data.train_dataloader(), 40)) for data in (alone, two)]
    validation = [list(data.val_dataloader()) for data in (alone, two)]
    assert len(train[0]) == 40
    assert len(validation[0]) > 1
    assert same(*train)
    assert same(*validation)


def test_training_goes_on_behind_the_batches_already_seen():
    data = module(0)
    whole = list(islice(at(data, step=0).train_dataloader(), 60))
    assert same(islice(at(data, step=20).train_dataloader(), 40), whole[20:])
    assert same(islice(at(data, step=20, accumulate=2).train_dataloader(), 20), whole[40:])
    assert same(islice(at(data, step=10, rank=1, world=2).train_dataloader(), 20), whole[21::2])
    assert not same(islice(at(module(0, seed=2), step=0).train_dataloader(), 60), whole)


def test_validation_is_every_usable_pair_once_and_the_same_each_time():
    data = at(module(0), step=0)
    first_time, second_time = list(data.val_dataloader()), list(at(data, step=9).val_dataloader())
    assert same(first_time, second_time)
    seen = Counter(tuple(id for id in row if id > EOS) for batch in first_time for row in batch.src_BS.tolist())
    expected = Counter(tuple(data.tokenizers.source.encode(line)) for line in data.splits.validation["source"])
    assert seen == expected
    assert sum(seen.values()) == 50


def test_the_module_is_lightnings_and_tokenises_once():
    data = module(0)
    train = data.train
    data.setup("fit")
    assert isinstance(data, L.LightningDataModule)
    assert data.train is train


@pytest.mark.parametrize(
    ("parts", "beginning"), [(None, "batches of 2 "), (1.0, "an epoch has 2 ba"), (3.0, "an epoch has about 6 ba")]
)
def test_what_an_epoch_is_is_told_if_it_is_known(parts, beginning, caplog):
    caplog.set_level("INFO")
    tell(np.full((4, 2), 3), [np.array([0, 1]), np.array([2, 3])], parts)
    assert caplog.messages[0].startswith(beginning)
