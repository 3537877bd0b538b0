"""Corpus → batches, as Lightning wants them: training without end, validation in order."""

from collections.abc import Iterable
from typing import Any

import lightning as L
import torch
from datasets import Dataset
from lightning.pytorch.accelerators import CUDAAccelerator

from dragoman.data.batch import Batch
from dragoman.data.reading import Batches, Fetching, Reading
from dragoman.data.sampler import Place, Position, in_order
from dragoman.data.stored import Pairs
from dragoman.data.tokenised import tokenise
from dragoman.errors import InputError
from dragoman.text.hashes import fingerprint_of
from dragoman.text.splits import Proportions, Splits
from dragoman.text.tokenizer import Tokenizers


class TranslationData(L.LightningDataModule):
    """The text of a corpus and its tokenizers; `reading` says how the training split becomes batches,
    `proportions` how much of each corpus makes an epoch.

    What it saves in a checkpoint is, for each process, the place in its stream from which on batches must be counted.
    """

    def __init__(
        self,
        splits: Splits,
        tokenizers: Tokenizers,
        reading: Reading,
        proportions: Proportions,
        *,
        seed: int,
        num_workers: int,
    ) -> None:
        super().__init__()
        self.splits = splits
        self.tokenizers = tokenizers
        self.reading = reading
        self.proportions = proportions
        self.seed = seed
        self.num_workers = num_workers
        self.since: list[Place] = []

    def setup(self, stage: str | None = None) -> None:
        """Prepare what training needs; quick when it has been done before. Reports what padding costs."""
        if hasattr(self, "train"):
            return
        self.train = self.reading.prepare(self.splits.train, self.tokenizers, self.proportions, self.seed)
        limit = self.reading.max_length
        self.validation = tokenise(self.splits.validation, self.tokenizers, max_length=limit, name="validation")

    def train_dataloader(self) -> Iterable[Batch]:
        """Endless; begins behind the batches that the trainer has already seen."""
        trainer = self._trainer()
        rank, world = trainer.global_rank, trainer.world_size
        since = self.since[rank] if self.since else Place(0, 0, 0)
        return self.train.loader(Position(self._seen(), since, rank, world), self._fetching())

    def val_dataloader(self) -> Batches:
        """Every usable validation pair, once, in the same batches each time."""
        batches = in_order(self.validation.lengths_N2, self.reading.batch_tokens, self.reading.max_length)
        return self._fetching().batches(Pairs(self.validation.dataset), batches)

    def state_dict(self) -> dict[str, Any]:
        place = tuple(self.train.place(self._seen()))
        places = [place]
        if torch.distributed.is_initialized():
            places = [place] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(places, place)
        return {"since": places}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """InputError where another number of processes saved it: theirs would be other batches."""
        before, now = len(state_dict["since"]), self._trainer().world_size
        if before != now:
            raise InputError(
                f"This run was trained with {before} processes (`trainer.devices` × `trainer.num_nodes`), and {now}"
                " would skip or repeat text: set them as before, or begin another run from it with `init`."
            )
        self.since = [Place(*place) for place in state_dict["since"]]

    def fingerprints(self) -> dict[str, str | None]:
        """What each split is known by: other text, another name. None for a stream."""
        splits = self.splits._asdict().items()
        return {name: fingerprint_of(split) if isinstance(split, Dataset) else None for name, split in splits}

    def _seen(self) -> int:
        trainer = self._trainer()
        return trainer.global_step * trainer.accumulate_grad_batches

    def _fetching(self) -> Fetching:
        return Fetching(self.num_workers, isinstance(self._trainer().accelerator, CUDAAccelerator))

    def _trainer(self) -> L.Trainer:
        assert self.trainer is not None
        return self.trainer
