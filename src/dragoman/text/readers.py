"""Readers: one file of a known format → its sentence pairs, one at a time.

Every reader checks every row and names file and line (or row) of the first bad one. CSV, JSON lines and Parquet are
read here and not by the loaders of `datasets`, which lose the line number, read "NA" as missing and, in JSON,
"2020-01-01" as a date.
This file knows nothing of splits, of storage or of configuration, but for the two keys its messages name.
"""

import csv
import json
import re
import reprlib
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet

from dragoman.errors import InputError
from dragoman.text.lines import ESCAPED, read_lines, read_parallel


class Pair(NamedTuple):
    """A sentence, its translation, and where they stand: "train.tsv:17". May hold what `flaw_of` objects to."""

    source: str
    target: str
    origin: str


Pairs = Iterator[Pair]
Column = str | int

ROWS = 100  # of Parquet at a time: a file of 1 MiB can say that a sentence of 1 MiB stands in every row
SET_COLUMNS = "set corpus.source_column and corpus.target_column"
NOT_UTF8 = "not UTF-8"
OTHER_SEPARATORS = {one: f"'corpus.separator=\"{one}\"'" for one in ";|,"} | {"\t": "corpus=tsv"}


class NotText(str):
    """A number, a date or whatever else a cell holds in the place of a text, spelt out."""


def read_text(source: Path, target: Path) -> Pairs:
    """Two files, line n of one the translation of line n of the other; of a bad line the origin names its own file."""
    both = together(source, target)
    for number, (ours, theirs) in enumerate(read_parallel(source, target, ESCAPED), start=1):
        own = next((path for path, text in ((source, ours), (target, theirs)) if flaw_of(text)), both)
        yield Pair(ours, theirs, f"{own}:{number}")


def together(source: Path, target: Path) -> str:
    """Two names as a shell writes them: "DATA/train.{en,de}"."""
    parts = re.fullmatch(r"(.*[./]|)(.*)\0\1(.*)", f"{source}\0{target}", re.DOTALL)
    assert parts  # the beginning that they share may be empty
    return f"{parts[1]}{{{parts[2]},{parts[3]}}}"


def read_tsv(path: Path, source: Column, target: Column) -> Pairs:
    """Lines cut at every tab, without quoting; columns by name, then line 1 is the header, or by number from 1."""
    rows = ((number, line.split("\t")) for number, line in enumerate(read_lines(path, ESCAPED), start=1))
    yield from pairs_of_cells(path, rows, source, target)


def read_csv(path: Path, separator: str, source: Column, target: Column) -> Pairs:
    """Rows as in RFC 4180, all equally wide; "NA" is text like any other; columns as in `read_tsv`."""
    if len(separator) != 1 or separator in '"\r\n':
        raise InputError(f"corpus.separator is {separator!r}, but must be one character, and no quote or line end.")
    yield from pairs_of_cells(path, _csv_rows(path, separator), source, target)


def read_jsonl(path: Path, source: str, target: str) -> Pairs:
    """One JSON object a line, blank lines skipped; columns by name or, in nested objects, by dotted path."""
    for number, line in enumerate(read_lines(path, ESCAPED), start=1):
        if line.strip():
            try:
                found = sides(_parse_object(line), source, target)
            except InputError as error:
                raise InputError(f"{path}, line {number}: {error}") from None
            yield Pair(*found, f"{path}:{number}")


def read_parquet(path: Path, source: str, target: str) -> Pairs:
    """The rows of a Parquet file; columns by name or, in structures, by dotted path."""
    number = 0
    try:
        for record in _parquet_records(path, source, target):
            number += 1
            yield Pair(*sides(record, source, target), f"{path}:{number}")
    except InputError as error:
        raise InputError(f"{path}, row {number}: {error}" if number else str(error)) from None
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as Parquet ({error}); give an undamaged Parquet file.") from error


def unknown_column(column: Column, known: Iterable[str], place: str) -> InputError:
    """The error for a column that is not there: names those that are, and the one most like it."""
    names = list(known)
    nearest = get_close_matches(str(column), names, n=1, cutoff=0.4)
    return InputError(
        f"{place} has no column {column!r} but {', '.join(map(repr, names))}"
        f"{f' (did you mean {nearest[0]!r}?)' if nearest else ''}; "
        f"{SET_COLUMNS}."
    )


def _parquet_records(path: Path, source: str, target: str) -> Iterator[dict[str, Any]]:
    with pyarrow.parquet.ParquetFile(path) as file:
        known = [file.schema.column(index).path for index in range(len(file.schema))]
        for column in (source, target):
            if column not in known:
                raise unknown_column(column, known, str(path))
        for batch in file.iter_batches(columns=[source, target], batch_size=ROWS):
            yield from batch.to_pylist()


def _refuse_unsplit(path: Path, separator: str, first: list[str]) -> None:
    """A first row in one cell that another separator would cut."""
    found = next((other for other in OTHER_SEPARATORS if other in first[0]), None)
    if len(first) == 1 and found:
        raise InputError(
            f"{path} has no {separator!r} in its first row: the separator seems to be {found!r}; set"
            f" {OTHER_SEPARATORS[found]}."
        )


def _csv_rows(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    lines = (line + "\n" for line in read_lines(path, ESCAPED))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    width = None
    while True:
        # Where the row starts: a quoted cell may run over several lines.
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InputError(
                f"{path}, line {number}: {error}; quote the cells of a CSV file as RFC 4180 has it."
            ) from None
        if cells is None:
            return
        if cells:
            if width is None:
                _refuse_unsplit(path, separator, cells)
                width = len(cells)
            if len(cells) != width:
                raise InputError(
                    f"{path}, line {number} has {counted(len(cells), 'cell')} where the first row has {width}; "
                    f"put cells that hold {separator!r} into quotes."
                )
            yield number, cells


def pairs_of_cells(
    path: Path, rows: Iterator[tuple[int, list[str]]], source: Column, target: Column, row: str = "line"
) -> Pairs:
    """The two columns of numbered rows; by name, then the first row is the header."""
    if isinstance(source, int) and isinstance(target, int):
        first, second = source - 1, target - 1
        if min(first, second) < 0:
            raise InputError(f"Columns {source} and {target} of {path}: numbers start at 1; {SET_COLUMNS}.")
    else:
        header = next(rows, (1, []))[1]
        if not header:
            return
        first, second = _position(header, source, path), _position(header, target, path)
    needed = max(first, second) + 1
    for number, cells in rows:
        if len(cells) < needed:
            raise InputError(
                f"{path}, {row} {number} has {counted(len(cells), 'column')}, but column {needed} is asked for; "
                f"mend the {row}, or {SET_COLUMNS}."
            )
        yield Pair(cells[first], cells[second], f"{path}:{number}")


def _position(header: list[str], column: Column, path: Path) -> int:
    if column not in header:
        raise unknown_column(column, header, f"{path}, line 1,")
    if header.count(str(column)) > 1:
        raise InputError(f"{path}, line 1 names the column {column!r} twice; give every column a name of its own.")
    return header.index(str(column))


def _parse_object(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is not JSON ({error}); write one JSON object per line.") from None
    if not isinstance(record, dict):
        raise InputError(f"{reprlib.repr(record)} is not a JSON object; write one JSON object per line.")
    return record


def sides(record: dict[str, Any], source: str, target: str) -> tuple[str, str]:
    """The texts of two columns, by name or, in structures, by dotted path."""
    return text_of(_value(record, source)), text_of(_value(record, target))


def _value(record: dict[str, Any], column: str) -> object:
    if column in record:
        return record[column]
    value: object = record
    for key in column.split("."):
        if value is None:
            return None
        if not isinstance(value, dict) or key not in value:
            raise unknown_column(column, _leaves(record), "the object")
        value = value[key]
    return value


def _leaves(record: dict[str, Any]) -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from (f"{name}.{leaf}" for leaf in _leaves(value))
        else:
            yield name


def counted(count: int, noun: str) -> str:
    """1 cell, 2 cells."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def text_of(value: object) -> str:
    """The value, if it is text; null is an empty one. Half a character (a lone surrogate) makes a text none."""
    if value is None:
        return ""
    try:
        if isinstance(value, str) and value.encode("utf-8", ESCAPED) is not None:
            return value
    except UnicodeEncodeError:
        pass
    return NotText(repr(value) if isinstance(value, str) else value)


def flaw_of(text: str) -> str | None:
    """What keeps a text that a reader gave from being one; None if nothing does."""
    if isinstance(text, NotText):
        return f"{text if len(text) <= 40 else text[:39] + '…'} is not text"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        before = len(text[: error.start].encode("utf-8"))
        return f"byte {before + 1} of the text (0x{ord(text[error.start]) - 0xDC00:02X}) is {NOT_UTF8}"
    return None


def remedy(flaw: str) -> str:
    """What to do about it."""
    return "convert it, for example with `iconv -f LATIN1 -t UTF-8`" if NOT_UTF8 in flaw else "mend or remove it"
