"""A SentencePiece model from a stranger must not make a long text of a short one: how long its replacements are."""

from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

LONGEST = 1000  # bytes of a piece, or of what replaces a character; ours have some twenty


def check_growth(model: bytes) -> None:
    """ValueError for a piece or a rule of over `LONGEST` bytes; protobuf's own error for what is no model."""
    content = ModelProto.FromString(model)
    for piece in content.pieces:
        check_length(piece.piece.encode())
    for spec in (content.normalizer_spec, content.denormalizer_spec):
        rules = spec.precompiled_charsmap  # the length of a trie, the trie, and what it leads to
        trie = int.from_bytes(rules[:4], "little")
        check_length(max(rules[4 + trie :].split(b"\0"), key=len))


def check_length(text: bytes) -> None:
    if len(text) > LONGEST:
        raise ValueError(f"a text of {len(text)} bytes")
