"""Text as lines: the one law of what a line is, for corpora, standard input and outputs alike.

A line ends at "\\n" and nowhere else. `str.splitlines` and text mode also split at "\\r", U+2028, U+0085 or a form
feed, and one such character inside a sentence shifts every later pair of a parallel corpus.
"""

import codecs
import os
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from dragoman.errors import InputError
from dragoman.files import replacing
from dragoman.text.packing import SUFFIXES, TOOLS, Damaged, pack, unpack

ESCAPED = "surrogateescape"  # bytes that are not UTF-8 as lone surrogates, which no text holds (PEP 383)
LONGEST = 1 << 26  # bytes of a line: what unpacks to more is no text but an accident, or an attack


def side_of(folder: Path, stem: str, language: str) -> Path:
    """The file of one side, plain or packed; InputError if there is neither."""
    plain = folder / f"{stem}.{language}"
    for path in (plain, *(plain.with_name(plain.name + suffix) for suffix in SUFFIXES)):
        if path.is_file():
            return path
    raise InputError(
        f"{plain} is not a file, nor is it with {', '.join(SUFFIXES)} behind it; set corpus.folder, the stems"
        " (corpus.train, corpus.validation, corpus.test; null cuts one of the latter two off the first) and the"
        " languages (corpus.source_language, corpus.target_language)."
    )


def read_lines(path: str | Path, errors: str = "strict") -> Iterator[str]:
    """The lines of a UTF-8 file, plain, `.gz`, `.xz` or `.zst`, one at a time: see `decode_lines`."""
    with open_bytes(path) as stream:
        yield from decode_lines(unpack(stream, Path(path).suffix), str(path), errors)


def read_parallel(source: str | Path, target: str | Path, errors: str = "strict") -> Iterator[tuple[str, str]]:
    """The lines of two files side by side; files of unequal length are an InputError with both counts."""
    sources, targets = read_lines(source, errors), read_lines(target, errors)
    for before, (ours, theirs) in enumerate(zip_longest(sources, targets)):
        if ours is None or theirs is None:
            source_count = before + (ours is not None) + sum(1 for _ in sources)
            target_count = before + (theirs is not None) + sum(1 for _ in targets)
            raise InputError(
                f"{source} has {source_count} lines and {target} has {target_count}, but line n of one must translate "
                "line n of the other; give two files of equal length."
            )
        yield ours, theirs


def decode_lines(stream: BinaryIO, name: str, errors: str = "strict") -> Iterator[str]:
    """The lines of a byte stream, without their line ends ("\\n" or "\\r\\n") and without a leading byte order mark.

    `name` stands for the stream in error messages. The stream is read as the lines are asked for; a last line without
    "\\n" counts. Bytes that are not UTF-8, damaged packed data and a line of over `LONGEST` bytes are an InputError
    that names the line. With `errors` as `ESCAPED` such bytes become surrogates; a UTF-16 file is refused all the same.
    """
    for number, raw in enumerate(_raw_lines(stream, name), start=1):
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        utf16 = number == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        try:
            line = raw.decode("utf-8", "strict" if utf16 else errors)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name}, line {number}: byte {error.start + 1} of the line (0x{raw[error.start]:02X}) is not UTF-8; "
                f"convert it, for example with `iconv -f {'UTF-16' if utf16 else 'LATIN1'} -t UTF-8`."
            ) from None
        yield line.removesuffix("\n").removesuffix("\r")


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines, each ended by "\\n", packed if the name says so: all of them or, on any error, nothing."""
    # Through a link, or os.replace would put a file in the link's place.
    final = Path(os.path.realpath(path))
    if final.exists() and not final.is_file():
        raise InputError(f"{path} is a folder or a device and cannot be written as a file; give the path of a file.")
    try:
        with replacing(final) as temporary, open(temporary, "wb") as plain, pack(plain, final.suffix) as stream:
            for number, line in enumerate(lines, start=1):
                stream.write(_encode(line, f"{path}, line {number}"))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); give another path.") from error


def open_bytes(path: str | Path) -> BufferedReader:
    """A file opened for reading its bytes as they are; what cannot be opened is an InputError."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise InputError(f"{path} is a folder where a file is needed; give the path of a file in it.")
        return open(path, "rb")
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist; give a path that does (relative ones start at {os.getcwd()})."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); give a file that can.") from error


def _raw_lines(stream: BinaryIO, name: str) -> Iterator[bytes]:
    number = 1
    try:
        while raw := stream.readline(LONGEST + 1):
            if len(raw) > LONGEST:
                raise InputError(f"{name}, line {number} has over {LONGEST >> 20} MiB, which no sentence has.")
            yield raw
            number += 1
    except Damaged as error:
        tool = TOOLS[Path(name).suffix]
        raise InputError(
            f"{name}, line {number}: the {tool} data are damaged ({error}); check with `{tool} -t` and compress anew."
        ) from error
    except OSError as error:
        raise InputError(f"{name}, line {number}: cannot be read ({error.strerror or error}).") from error


def _encode(line: str, place: str) -> bytes:
    if "\n" in line:
        raise InputError(f"{place}: the text holds a line feed and would become two lines; replace it by a space.")
    try:
        return line.encode("utf-8") + b"\n"
    except UnicodeEncodeError:
        raise InputError(f"{place}: the text {line!r} holds half a character and has no UTF-8 form; mend it.") from None
