"""Data sets of the Hugging Face hub, or local folders in the same shape, as text columns; none of their code is run."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset, Value, load_dataset
from datasets.exceptions import DatasetGenerationError

from dragoman.errors import InputError
from dragoman.text.base import Corpus
from dragoman.text.hashes import cache_folder
from dragoman.text.readers import SET_COLUMNS, Pair, Pairs, sides, text_of, unknown_column
from dragoman.text.splits import SplitName
from dragoman.text.store import FEATURES, fingerprint, quiet

LOCAL_ALTERNATIVE = "corpus=folder corpus.folder=PATH, or corpus.dataset=PATH of a folder that holds the data set"


@dataclass(frozen=True, kw_only=True)
class Hub(Corpus):
    """A data set of the Hugging Face hub, or a local folder in the same shape; columns by dotted path."""

    dataset: str
    configuration: str | None
    train: str
    validation: str | None
    test: str | None
    source_column: str
    target_column: str

    def read(self, name: SplitName) -> Dataset:
        return load(
            self.dataset,
            configuration=self.configuration,
            split=getattr(self, name),
            source=self.source_column,
            target=self.target_column,
        )

    def stream(self, name: SplitName) -> Callable[[], Pairs]:
        return partial(records, self.dataset, self.configuration, getattr(self, name), self.columns())

    def columns(self) -> tuple[str, str]:
        """Of the source and the target."""
        return self.source_column, self.target_column


def records(dataset: str, configuration: str | None, split: str, columns: tuple[str, str]) -> Pairs:
    """The pairs of one split as the hub sends them, kept nowhere."""
    place = f"{dataset} {split}"
    try:
        for number, record in enumerate(load_dataset(dataset, configuration, split=split, streaming=True), start=1):
            yield Pair(*sides(record, *columns), f"{place}:{number}")
    except InputError as error:
        raise InputError(f"{place}:{number}: {error}") from None
    except Exception as error:
        raise InputError(_unloadable(dataset, configuration, error)) from error


def load(dataset: str, *, configuration: str | None, split: str, source: str, target: str) -> Dataset:
    """Two columns of one split, named `source` and `target`; a dotted path reaches into a structure."""
    try:
        with quiet():
            table = load_dataset(dataset, configuration, split=split, cache_dir=_local_cache(dataset))
    # What can go wrong here (network, hub, disk, the data set itself) is all outside, in a dozen packages' exceptions.
    except Exception as error:
        raise InputError(_unloadable(dataset, configuration, error)) from error
    return _texts(table, source, target, f"{dataset}, split {split!r},")


def _local_cache(dataset: str) -> str | None:
    """A cache of its own for every content of a local folder: `datasets` itself looks only at the time stamps."""
    folder = Path(dataset)
    if not folder.is_dir():
        return None
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    # Hidden ones are no data to `datasets` either; a clone's .git may be as large as the data.
    names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    key = fingerprint([folder / name for name in names], *map(str, names))
    return str(cache_folder() / key)


def _unloadable(dataset: str, configuration: str | None, error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, DatasetGenerationError) and error.__cause__ else error
    if isinstance(cause, ConnectionError):
        reason = "the Hugging Face hub cannot be reached"
    else:
        reason = " ".join(str(cause).split()).rstrip(".") or type(cause).__name__
    name = dataset if configuration is None else f"{dataset} ({configuration})"
    return f"The data set {name} cannot be loaded: {reason}; use files of your own with {LOCAL_ALTERNATIVE}."


def _texts(table: Dataset, source: str, target: str, place: str) -> Dataset:
    if source == target:
        raise InputError(
            f"{place} cannot give {source!r} on both sides; set corpus.source_column and corpus.target_column."
        )
    if not {source, target} <= set(table.column_names):
        table = table.flatten()
    for column in (source, target):
        if column not in table.column_names:
            raise unknown_column(column, table.column_names, place)
        _require_text(table, column, place)
    table = table.select_columns([source, target])

    def pairs(batch: dict[str, list[str]], rows: list[int]) -> dict[str, list[Any]]:
        origins = [f"{place.rstrip(',')}:{row + 1}" for row in rows]
        texts = {side: list(map(text_of, batch[column])) for side, column in (("source", source), ("target", target))}
        return {**texts, "origin": origins, "flaw": [None] * len(rows)}

    with quiet():
        return table.map(pairs, batched=True, with_indices=True, remove_columns=table.column_names, features=FEATURES)


def _require_text(table: Dataset, column: str, place: str) -> None:
    feature = table.features[column]
    if not isinstance(feature, Value) or feature.dtype not in ("string", "large_string"):
        raise InputError(f"{place} holds no text in column {column!r} but {feature}; {SET_COLUMNS}.")
