"""The data of a training: the same batches by any number of workers, from any step on."""

from collections import Counter
from itertools import islice, zip_longest
from types import SimpleNamespace

import lightning as L
import numpy as np
from test_tokenised import BPE, WORDS, cache, text_of  # noqa: F401 (a fixture)

from dragoman.data.module import TranslationData
from dragoman.data.reading import train_tokenizers
from dragoman.data.stored import Stored
from dragoman.ids import EOS
from dragoman.text.splits import Proportions, Splits
from dragoman.text.tokenizer import SentencePiece


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
