"""Readers of gettext catalogues, PO and MO → sentence pairs; polib reads whatever is left of a damaged one."""

import re
import struct
from pathlib import Path

from dragoman.errors import InputError
from dragoman.text.readers import Pair, Pairs

CLOSED = re.compile(rb'[^"]*"(?:[^"\\]|\\.)*"')  # a line of a PO file whose text has its closing quote
ORDERS = {b"\xde\x12\x04\x95": "<", b"\x95\x04\x12\xde": ">"}  # of the bytes of a MO file, by its first ones
Spans = list[tuple[int, int]]


def read_gettext(path: Path, msgid: str, source: str, target: str) -> Pairs:
    """A PO or MO catalogue whose message ids are in the language `msgid`; fuzzy and obsolete entries are left out.

    Of a plural entry the first and the last form are two pairs.
    """
    import polib  # here: most never need it

    if msgid not in (source, target):
        raise InputError(
            f"corpus.msgid_language ({msgid}) must be one of the two languages, {source} and {target}: message ids are"
            " one side of every pair."
        )
    try:
        if is_cut(content := path.read_bytes(), path.suffix):
            raise InputError(
                f"{path} ends inside an entry, cut off or damaged: fetch or make the catalogue anew, or leave it out."
            )
        if path.suffix == ".mo":
            refuse_overlap(content)
        entries = polib.mofile(str(path)) if path.suffix == ".mo" else polib.pofile(str(path))
    except InputError:
        raise
    except Exception as error:  # a damaged file can fail in as many ways as there are lines in its reader
        told = " ".join(str(error).split()).removeprefix(f"{path}: ")
        raise InputError(f"{path} cannot be read as a gettext catalogue ({told}); mend it, or leave it out.") from error
    for number, entry in enumerate(entries, start=1):
        if entry.obsolete or "fuzzy" in entry.flags:
            continue
        forms = [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)] or [entry.msgstr]
        ids = [entry.msgid, entry.msgid_plural] if entry.msgid_plural else [entry.msgid]
        for text, translation in zip(ids, (forms[0], forms[-1]), strict=False):
            if text.strip() and translation.strip():
                origin = f"{path}:{number if path.suffix == '.mo' else entry.linenum}"  # .mo files have no lines
                yield Pair(text, translation, origin) if msgid == source else Pair(translation, text, origin)


def is_cut(content: bytes, suffix: str) -> bool:
    """Whether a catalogue ends too early."""
    if suffix != ".mo":
        lines = [line.strip() for line in content.splitlines()]
        lines = [line for line in lines if line and not line.startswith(b"#")]
        keyword = next((line for line in reversed(lines) if line.startswith(b"msg")), b"msgstr")
        return bool(lines) and not (keyword.startswith(b"msgstr") and CLOSED.fullmatch(lines[-1]))
    try:
        return any(start + length > len(content) for length, start in spans(content))
    except struct.error:
        return True


def refuse_overlap(content: bytes) -> None:
    """ValueError where the texts of a MO file are longer than it: one text many times over fills any memory."""
    if sum(length for length, _ in spans(content)) > len(content):
        raise ValueError("its texts overlap")


def spans(content: bytes) -> Spans:
    """Length and place of every text of a MO file; none where it is another kind of file, which polib refuses."""
    order = ORDERS.get(content[:4])
    if order is None and len(content) >= 4:
        return []
    count, *tables = struct.unpack_from(f"{order}3I", content, 8)
    return [struct.unpack_from(f"{order}2I", content, table + 8 * row) for table in tables for row in range(count)]
