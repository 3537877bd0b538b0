"""Text → ids, once: kept on disk under what the text and the tokenizers are, so that the same is never done twice.

Shapes: N pairs.
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
from datasets import Dataset, Features, List, Value

from dragoman.data.batch import Flat, flat
from dragoman.errors import InputError
from dragoman.files import replacing
from dragoman.text.hashes import cache_folder, fingerprint_of
from dragoman.text.store import WRITTEN, quiet
from dragoman.text.tokenizer import Tokenizers

log = logging.getLogger("dragoman")
SIDES = ("source", "target")
FEATURES = Features({side: List(Value("int32")) for side in SIDES})
PORTION = 1 << 18  # pairs looked at together
ALONE = 50_000  # pairs for which it is not worth starting processes


class Tokenised(NamedTuple):
    """The pairs of a split as ids, without BOS and EOS; both memory-mapped."""

    dataset: Dataset
    lengths_N2: np.ndarray  # tokens with what collate adds: source with EOS, target with BOS or EOS


def tokenise(text: Dataset, tokenizers: Tokenizers, *, max_length: int, name: str) -> Tokenised:
    """Encode both sides, by all cores; reports how many are empty on a side or longer than `max_length`."""
    content = tokenizers.source.model + tokenizers.target.model + fingerprint_of(text).encode()
    key = hashlib.sha256(content).hexdigest()[:40]  # `datasets` needs some of its 64 letters for the parts
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        dataset = encoded(text, tokenizers, folder / f"{key}.arrow", name)
        lengths_N2 = lengths_of(dataset, folder / f"{key}.lengths.npy")
    except OSError as error:
        raise InputError(
            f"The tokenised corpus cannot be kept in {folder} ({error}); make room there or set HF_DATASETS_CACHE."
        ) from error
    report(name, lengths_N2, max_length)
    return Tokenised(dataset, lengths_N2)


def encoded(text: Dataset, tokenizers: Tokenizers, path: Path, name: str) -> Dataset:
    """The ids; read from `path` if they are there."""

    def encode(table: pa.Table) -> pa.Table:
        sides = zip(SIDES, tokenizers, strict=True)
        return pa.table({side: lists(tokenizer.encode_all(table[side].to_pylist())) for side, tokenizer in sides})

    with quiet():
        return (
            text.select_columns(list(SIDES))
            .with_format("arrow")
            .map(
                encode,
                batched=True,
                batch_size=WRITTEN,
                writer_batch_size=WRITTEN,
                features=FEATURES,
                new_fingerprint=path.stem,
                cache_file_name=str(path),
                num_proc=(os.cpu_count() or 1) if len(text) > ALONE else None,
                desc=f"Tokenising {name}",
            )
        )


def lengths_of(dataset: Dataset, path: Path) -> np.ndarray:
    """The lengths, (N, 2), memory-mapped from `path`, where they are written first if they are not there.

    Written as a file and not through memory: a full disk is then an error and not the end of the process.
    """
    kept = readable(path)
    if kept is None or kept.shape != (len(dataset), len(SIDES)):
        with replacing(path) as temporary, temporary.open("wb") as file:
            shape = {"descr": "<i4", "fortran_order": False, "shape": (len(dataset), len(SIDES))}
            np.lib.format.write_array_header_1_0(file, shape)
            for table in dataset.iter(PORTION):
                sides = [pa.compute.list_value_length(table[side]).to_numpy() for side in SIDES]
                file.write((np.stack(sides, axis=1) + 1).astype("<i4").tobytes())
        kept = np.load(path, mmap_mode="r")
    return kept


def readable(path: Path) -> np.ndarray | None:
    """The array of a file; None where there is none, or where the end of a machine has left half of one."""
    try:
        return np.load(path, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError):
        return None


def report(name: str, lengths_N2: np.ndarray, max_length: int) -> None:
    """What is left out is said; InputError if that is everything."""
    empty = too_long = 0
    for part_N2 in portions(lengths_N2):
        bare = (part_N2 == 1).any(1)
        empty += int(bare.sum())
        too_long += int((~bare & (part_N2.max(1) > max_length)).sum())
    used = len(lengths_N2) - empty - too_long
    log.info("%s: %s pairs, %s used", name, f"{len(lengths_N2):,}", f"{used:,}")
    if empty or too_long:
        log.warning(
            "%s: left out %d pairs with an empty side and %d longer than `data.max_length` (%d tokens)",
            *(name, empty, too_long, max_length),
        )
    if not used:
        raise InputError(f"No pair of the {name} split can be used; `data.max_length` is {max_length} tokens.")


def portions(lengths_N2: np.ndarray) -> Iterator[np.ndarray]:
    """A memory-mapped array, a part of it in memory at a time."""
    return (np.asarray(lengths_N2[start : start + PORTION]) for start in range(0, len(lengths_N2), PORTION))


def lists(ids: Iterable[list[int]]) -> pa.ListArray:
    """Lists of numbers as a column."""
    values_N, lengths_B = flat(ids)
    return pa.ListArray.from_arrays(np.cumsum([0, *lengths_B], dtype=np.int32), values_N)


def flat_column(column: pa.ChunkedArray) -> Flat:
    """A column of lists, end to end."""
    joined = column.combine_chunks()
    return Flat(joined.flatten().to_numpy(), np.diff(joined.offsets.to_numpy()))
