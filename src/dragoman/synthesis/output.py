"""What a long translation writes: portion by portion, so that it can be stopped anywhere and go on.

While it runs, its files bear `.partial` behind their names, and the record beside them says how much of them counts.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.errors import InputError
from dragoman.files import write_json
from dragoman.run import differences
from dragoman.text.packing import SUFFIXES, pack


class Record(NamedTuple):
    """How far it is: lines of the source read, pairs kept, lines rejected by reason, bytes written of each file."""

    settings: dict[str, Any]
    lines: int = 0
    kept: int = 0
    rejected: dict[str, int] = {}  # noqa: RUF012 (never changed in place)
    sizes: tuple[int, ...] = (0, 0)
    finished: bool = False

    def __str__(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.rejected.items()))
        told = f"{self.lines:,} lines, {self.kept:,} pairs, {sum(self.rejected.values()):,} rejected"
        return f"{told} ({reasons})" if reasons else told


class Output:
    """The pairs in `path`, what was rejected in `path.rejected` (back.tsv.rejected.gz beside back.tsv.gz), and in
    `path.json` the record.

    Each portion of a packed file is a frame of its own. InputError where `path` holds what other settings made, or
    what nobody recorded.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        packing = path.suffix if path.suffix in SUFFIXES else ""
        self.files = [path, path.with_name(f"{path.name.removesuffix(packing)}.rejected{packing}")]
        self.partial = [file.with_name(f"{file.name}.partial") for file in self.files]
        self.packing = packing
        self.place = path.with_name(f"{path.name}.json")
        self.record = self._found(settings)
        if self.record.finished:
            self._name()

    def _found(self, settings: dict[str, Any]) -> Record:
        """The record of an earlier start, or a new one."""
        path = self.files[0]
        if not self.place.is_file():
            if path.exists():
                raise InputError(f"{path} exists: remove it, or choose another `output`.")
            return Record(settings)
        try:
            content = json.loads(self.place.read_text("utf-8"))
            record = Record(**content)
            different = differences(record.settings, settings)
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.place} is not the record of {path}; choose another `output`.") from error
        if different:
            told = "; ".join(f"{key}: {old} there, {new} here" for key, (old, new) in different.items())
            raise InputError(
                f"{path} was made with other settings ({told}): remove {path} and {self.place}, or choose another"
                " `output`."
            )
        if record.finished and not (path.exists() or self.partial[0].exists()):
            raise InputError(f"{path} is gone, though it was finished: remove {self.place} to make it anew.")
        return record

    def begin(self) -> None:
        """Drop whatever was written behind the last record."""
        self.files[0].parent.mkdir(parents=True, exist_ok=True)
        for path, size in zip(self.partial, self.record.sizes, strict=True):
            with path.open("ab") as file:
                if file.tell() < size:
                    raise InputError(f"{path} has lost a part: remove it and {self.place} to start anew.")
                file.truncate(size)

    def add(self, kept: Iterable[str], rejected: Iterable[str], reasons: Counter[str]) -> None:
        """A portion of lines for either file: written, then recorded."""
        portions = [list(kept), list(rejected)]
        sizes = [append(*one, self.packing) for one in zip(self.partial, portions, strict=True)]
        self._write(
            self.record._replace(
                lines=self.record.lines + sum(map(len, portions)),
                kept=self.record.kept + len(portions[0]),
                rejected=dict(Counter(self.record.rejected) + reasons),
                sizes=tuple(sizes),
            )
        )

    def finish(self) -> None:
        """Give the files their names."""
        self._write(self.record._replace(finished=True))
        self._name()

    def _name(self) -> None:
        """Also where a start was stopped between the two."""
        for partial, path in zip(self.partial, self.files, strict=True):
            if partial.exists():
                os.replace(partial, path)

    def _write(self, record: Record) -> None:
        self.record = record
        write_json(self.place, record._asdict())


def append(path: Path, lines: list[str], packing: str) -> int:
    """Write lines behind a file, none of them as an empty frame; returns its size then."""
    with path.open("ab") as plain:
        with pack(plain, packing) as stream:
            stream.write("".join(f"{line}\n" for line in lines).encode("utf-8"))
        plain.flush()
        os.fsync(plain.fileno())
        return plain.tell()
