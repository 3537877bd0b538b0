"""Tokenizers learned from the training split, of any size."""

import logging
from collections.abc import Iterator

from datasets import Dataset

from dragoman.text.tokenizer import SentencePiece, Tokenizers

log = logging.getLogger("dragoman")
ENOUGH = 1_000_000  # pairs to learn from, taken at even distances: more change the pieces little and fill the memory


def train_tokenizers(text: Dataset, tokenizer: SentencePiece) -> Tokenizers:
    """Learn both sides' tokenizers from the training split alone."""
    log.info("learning the tokenizer: %s, %s pieces", tokenizer.model_type, f"{tokenizer.vocab_size:,}")
    if len(text) > ENOUGH:
        text = text.select(range(0, len(text), -(-len(text) // ENOUGH)))
    return tokenizer.train(side_lines(text, "source"), side_lines(text, "target"))


def side_lines(text: Dataset, side: str) -> Iterator[str]:
    """One column, in bounded memory."""
    return (line for batch in text.select_columns([side]).iter(batch_size=10_000) for line in batch[side])
