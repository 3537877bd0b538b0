"""Corpus → tokenised once → batches by token budget, as Lightning wants it."""

import logging
from collections.abc import Iterator
from typing import Any

import lightning as L
import numpy as np
from datasets import Dataset
from lightning.pytorch.accelerators import CUDAAccelerator
from torch.utils import data as torch_data

from dragoman.data.batch import Batch, collate
from dragoman.data.sampler import EndlessBatches, bucket, useful_share
from dragoman.data.tokenised import Tokenised, rows, tokenise
from dragoman.text.splits import Splits
from dragoman.text.tokenizer import SentencePiece, Tokenizers

log = logging.getLogger("dragoman")


class Pairs(torch_data.Dataset):
    """The usable pairs of a split; a whole batch is fetched at once."""

    def __init__(self, tokenised: Tokenised) -> None:
        self.dataset = tokenised.dataset
        self.kept = tokenised.kept
        self.lengths_N2 = tokenised.lengths_N2[tokenised.kept]

    def __len__(self) -> int:
        return len(self.kept)

    def __getitems__(self, indices: list[int]) -> Batch:
        table = self.dataset[self.kept[indices]]
        return collate(rows(table["source"]), rows(table["target"]))


def as_it_is(batch: Any) -> Any:
    """What the dataset fetched is a batch already."""
    return batch


class TranslationData(L.LightningDataModule):
    """Training batches without end and validation batches in order, from the text of a corpus and its tokenizers.

    `batch_tokens` bounds sentences × longest sentence of either side, in tokens, padding included; pairs longer than
    `max_length` tokens are left out.
    """

    def __init__(
        self, splits: Splits, tokenizers: Tokenizers, *, batch_tokens: int, max_length: int, seed: int, num_workers: int
    ) -> None:
        super().__init__()
        self.splits = splits
        self.tokenizers = tokenizers
        self.batch_tokens = batch_tokens
        self.max_length = max_length
        self.seed = seed
        self.num_workers = num_workers

    def setup(self, stage: str | None = None) -> None:
        """Tokenise what training needs; quick when it has been done before. Reports what padding costs."""
        if hasattr(self, "train"):
            return
        self.train = self._pairs(self.splits.train, "train")
        self.validation = self._pairs(self.splits.validation, "validation")
        epoch = self._sampler().epoch(0)
        log.info(
            "an epoch has %s batches of %d sentences on average; %.1f %% of their tokens are useful, the rest padding",
            *(f"{len(epoch):,}", len(self.train) / len(epoch), 100 * useful_share(self.train.lengths_N2, epoch)),
        )

    def _pairs(self, text: Dataset, name: str) -> Pairs:
        return Pairs(tokenise(text, self.tokenizers, max_length=self.max_length, name=name))

    def _sampler(self, **position: int) -> EndlessBatches:
        return EndlessBatches(self.train.lengths_N2, batch_tokens=self.batch_tokens, seed=self.seed, **position)

    def train_dataloader(self) -> torch_data.DataLoader:
        """Endless; begins behind the batches that the trainer has already seen."""
        trainer = self.trainer
        assert trainer is not None
        seen = trainer.global_step * trainer.accumulate_grad_batches
        return self._loader(self.train, self._sampler(start=seen, rank=trainer.global_rank, world=trainer.world_size))

    def val_dataloader(self) -> torch_data.DataLoader:
        """Every usable validation pair, once, in the same batches each time."""
        lengths_N2 = self.validation.lengths_N2
        batches = bucket(lengths_N2, self.batch_tokens, np.arange(len(lengths_N2)))
        return self._loader(self.validation, [batch.tolist() for batch in batches])

    def _loader(self, pairs: Pairs, batches: Any) -> torch_data.DataLoader:
        return torch_data.DataLoader(
            pairs,
            batch_sampler=batches,
            collate_fn=as_it_is,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=self.trainer is not None and isinstance(self.trainer.accelerator, CUDAAccelerator),
        )


def train_tokenizers(text: Dataset, tokenizer: SentencePiece) -> Tokenizers:
    """Learn both sides' tokenizers from the training split alone."""
    log.info("learning the tokenizer: %s, %s pieces", tokenizer.model_type, f"{tokenizer.vocab_size:,}")
    return tokenizer.train(side_lines(text, "source"), side_lines(text, "target"))


def side_lines(text: Dataset, side: str) -> Iterator[str]:
    """One column, in bounded memory."""
    return (line for batch in text.select_columns([side]).iter(batch_size=10_000) for line in batch[side])
