"""Text → ids, once: kept on disk under the hash of the text and the tokenizers, so that the same is never done twice.

Shapes: N pairs.
"""

import hashlib
import logging
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute
from datasets import Dataset, Features, List, Value

from dragoman.errors import InputError
from dragoman.text.store import quiet
from dragoman.text.tokenizer import Tokenizers

log = logging.getLogger("dragoman")
FEATURES = Features({"source": List(Value("int32")), "target": List(Value("int32"))})


class Tokenised(NamedTuple):
    """The pairs of a split as ids, without BOS and EOS, and the numbers of those that can be trained on."""

    dataset: Dataset
    lengths_N2: np.ndarray  # tokens with what collate adds: source with EOS, target with BOS or EOS
    kept: np.ndarray


def tokenise(text: Dataset, tokenizers: Tokenizers, *, max_length: int, name: str) -> Tokenised:
    """Encode both sides; what is empty on one side or longer than `max_length` is left out, counted and reported."""
    cache = Path(datasets.config.HF_DATASETS_CACHE) / "dragoman"
    key = content_key(text, tokenizers)

    def encode(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {
            "source": tokenizers.source.encode_all(batch["source"]),
            "target": tokenizers.target.encode_all(batch["target"]),
        }

    try:
        cache.mkdir(parents=True, exist_ok=True)
        with quiet():
            dataset = text.map(
                encode,
                batched=True,
                features=FEATURES,
                new_fingerprint=key,
                cache_file_name=str(cache / f"{key}.arrow"),
                desc=f"Tokenising {name}",
            )
    except OSError as error:
        raise InputError(
            f"The tokenised corpus cannot be kept in {cache} ({error}); make room there or set HF_DATASETS_CACHE."
        ) from error
    dataset = dataset.with_format("arrow")
    lengths_N2 = np.stack([side_lengths(dataset, side) for side in ("source", "target")], axis=1) + 1
    empty = (lengths_N2 == 1).any(1)
    too_long = ~empty & (lengths_N2.max(1) > max_length)
    kept = np.flatnonzero(~empty & ~too_long)
    report(name, len(dataset), empty=int(empty.sum()), too_long=int(too_long.sum()), max_length=max_length)
    if not len(kept):
        raise InputError(f"No pair of the {name} split can be used; `data.max_length` is {max_length} tokens.")
    return Tokenised(dataset, lengths_N2, kept)


def report(name: str, pairs: int, *, empty: int, too_long: int, max_length: int) -> None:
    """What is left out is said."""
    log.info("%s: %s pairs, %s used", name, f"{pairs:,}", f"{pairs - empty - too_long:,}")
    if empty or too_long:
        log.warning(
            "%s: left out %d pairs with an empty side and %d longer than `data.max_length` (%d tokens)",
            *(name, empty, too_long, max_length),
        )


def content_key(text: Dataset, tokenizers: Tokenizers) -> str:
    """SHA-256 over every text and both tokenizers."""
    digest = hashlib.sha256(tokenizers.source.model + tokenizers.target.model)
    for table in text.with_format("arrow").iter(batch_size=10_000):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema.remove_metadata()) as writer:
            writer.write_table(table.combine_chunks().replace_schema_metadata())
        digest.update(sink.getvalue())
    return digest.hexdigest()


def side_lengths(dataset: Dataset, side: str) -> np.ndarray:
    """Tokens of every sentence of one side, (N,)."""
    chunks = [pa.compute.list_value_length(table[side]).to_numpy() for table in dataset.iter(batch_size=100_000)]
    return np.concatenate(chunks).astype(np.int64)


def rows(column: pa.ChunkedArray) -> list[np.ndarray]:
    """A column of lists as arrays that share its memory."""
    joined = column.combine_chunks()
    values, offsets = joined.flatten().to_numpy(), joined.offsets.to_numpy()
    return np.split(values, offsets[1:-1] - offsets[0])
