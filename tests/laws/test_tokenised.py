"""Tokenised text: encoded once, in any order, as long as a batch will hold it."""

import logging
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset

from dragoman.data import tokenised as tokenised_module
from dragoman.data.batch import as_batch, collate, pad_sources
from dragoman.data.sampler import in_order
from dragoman.data.stored import Pairs
from dragoman.data.tokenised import flat_column, tokenise
from dragoman.errors import InputError
from dragoman.ids import BOS, EOS, PAD
from dragoman.text.tokenizer import SentencePiece, Tokenizers

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


@pytest.mark.parametrize("damage", [lambda bytes: b"", lambda bytes: bytes[:20], lambda bytes: bytes[:-8]])
def test_lengths_that_were_half_written_are_written_anew(cache: Path, damage):
    sides, text = (CountingTokenizer("a"), CountingTokenizer("b", shift=9)), random_text(50)
    lengths = counted(text, *sides)[0].lengths_N2.tolist()
    [path] = cache.rglob("*.lengths.npy")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert counted(text, *sides)[0].lengths_N2.tolist() == lengths
    assert path.read_bytes() == whole


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
