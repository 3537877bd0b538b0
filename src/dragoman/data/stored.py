"""Training batches from ids that were made once and kept: the default."""

from collections.abc import Iterable

from datasets import Dataset
from torch.utils.data import Dataset as TorchDataset

from dragoman.data.batch import Arrays, Batch, arrays
from dragoman.data.draws import Draws
from dragoman.data.reading import Fetching, Reading, draws_of, tell
from dragoman.data.sampler import START, EndlessBatches, Place, Position
from dragoman.data.tokenised import Tokenised, flat_column, tokenise
from dragoman.text.splits import Proportions
from dragoman.text.tokenizer import Tokenizers


class Pairs(TorchDataset):
    """The pairs of a split; a whole batch is fetched at once."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, indices: list[int]) -> Arrays:
        table = self.dataset[indices]
        return arrays(flat_column(table["source"]), flat_column(table["target"]))


class Stored(Reading):
    """Each text is tokenised once, before training; the order is another in each epoch."""

    def prepare(self, text: Dataset, tokenizers: Tokenizers, proportions: Proportions, seed: int) -> "StoredStream":
        tokenised = tokenise(text, tokenizers, max_length=self.max_length, name="train")
        return StoredStream(self, tokenised, draws_of(text, proportions, seed))


class StoredStream:
    """The training batches of a tokenised corpus."""

    def __init__(self, reading: Reading, tokenised: Tokenised, draws: Draws) -> None:
        self.reading = reading
        self.tokenised = tokenised
        self.draws = draws
        batches = self.batches(START)
        tell(tokenised.lengths_N2, batches.shard(0, 0), batches.parts)

    def batches(self, position: Position) -> EndlessBatches:
        """Which pairs make each batch."""
        return EndlessBatches(
            self.tokenised.lengths_N2,
            self.draws,
            batch_tokens=self.reading.batch_tokens,
            max_length=self.reading.max_length,
            position=position,
        )

    def loader(self, position: Position, fetching: Fetching) -> Iterable[Batch]:
        self.sampler = self.batches(position)
        return fetching.batches(Pairs(self.tokenised.dataset), self.sampler)

    def place(self, seen: int) -> Place:
        return self.sampler.place(seen)
