"""A SentencePiece model from a stranger must not make a long text of a short one: how long its replacements are.

Reads the file's own encoding, protocol buffers, as sentencepiece_model.proto has it: pieces are field 1, the rules
of normalisation are field 2 of fields 3 (before cutting) and 5 (after joining).
"""

from collections.abc import Iterator

PIECE, BEFORE, AFTER, RULES = 1, 3, 5, 2
LONGEST = 1000  # bytes of a piece, or of what replaces a character; ours have some twenty


def check_growth(model: bytes) -> None:
    """ValueError for a piece or a rule of over `LONGEST` bytes; IndexError or ValueError for what is no model."""
    for number, content in fields(model):
        if number == PIECE:
            check_length(content)
        elif number in (BEFORE, AFTER):
            for inner, rules in fields(content):
                if inner == RULES:
                    trie = int.from_bytes(rules[:4], "little")
                    check_length(max(rules[4 + trie :].split(b"\0"), key=len))


def check_length(text: bytes) -> None:
    if len(text) > LONGEST:
        raise ValueError(f"a text of {len(text)} bytes")


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of the fields that are texts or messages."""
    place = 0
    while place < len(message):
        key, place = varint(message, place)
        kind = key & 7
        if kind == 0:
            _, place = varint(message, place)
        elif kind == 2:
            size, place = varint(message, place)
            yield key >> 3, message[place : place + size]
            place += size
        else:
            place += {1: 8, 5: 4}[kind]


def varint(message: bytes, place: int) -> tuple[int, int]:
    """A number, seven bits a byte, the lowest first; and the place behind it."""
    number = shift = 0
    while message[place] & 0x80:
        number |= (message[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
    return number | message[place] << shift, place + 1
