"""Text ↔ ids by SentencePiece. Knows nothing of batches, models or corpora beyond iterables of lines."""

import io
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import sentencepiece

from dragoman.errors import InputError
from dragoman.files import write_bytes
from dragoman.ids import BOS, EOS, PAD, UNK
from dragoman.text.growth import check_growth
from dragoman.text.normalisation import check_steps, rules_file

# What no decoded text may hold: everything at which some program would end a line, and what commands a terminal.
CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029} - {ord("\t")}, " ")
LARGEST = 1 << 24  # bytes of a model; one of 250,000 pieces has 5 million
JOINT, SOURCE, TARGET = "tokenizer.model", "tokenizer.source.model", "tokenizer.target.model"


class Tokenizer:
    """One trained SentencePiece model, whose special ids are those of `dragoman.ids`."""

    def __init__(self, model: bytes, *, name: str) -> None:
        self.model = model
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
            check_growth(model)
            special = [getattr(self._processor, f"{key}_id")() for key in ("pad", "bos", "eos", "unk")]
        except Exception as error:  # sentencepiece raises bare RuntimeErrors and worse for a damaged file
            raise InputError(f"{name} is not a SentencePiece model, or is damaged.") from error
        if special != [PAD, BOS, EOS, UNK]:
            raise InputError(
                f"{name} gives pad, bos, eos and unk the ids {special}, but Dragoman needs {[PAD, BOS, EOS, UNK]}."
            )

    def __len__(self) -> int:
        return self._processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """Text → ids, without BOS and EOS."""
        return self._processor.encode(_sound(text))

    def encode_all(self, texts: list[str]) -> list[list[int]]:
        """Many texts → ids."""
        return self._processor.encode([_sound(text) for text in texts], num_threads=1)

    def normalise_all(self, texts: list[str]) -> list[str]:
        """As texts are before they are cut: normalised, with "▁" before each word."""
        return self._processor.normalize([_sound(text) for text in texts])

    def decode(self, ids: list[int]) -> str:
        """Ids → text. Holds no line break and no control character but tabs: byte pieces could spell any of them."""
        return self._processor.decode(ids).translate(CONTROLS)

    def pieces(self, ids: list[int]) -> list[str]:
        """The piece of each id; one that begins a word begins with "▁"."""
        return [self._processor.id_to_piece(id) for id in ids]

    def words(self, text: str) -> list[int]:
        """The word of `text`, counted from 0 by white space, that each id of `encode(text)` is a part of."""
        found = self._processor.encode(_sound(text), return_type="offset_mapping")
        return _word_numbers(text, found["offsets"])

    def decoded_words(self, ids: list[int]) -> list[int]:
        """The word of `decode(ids)`, counted likewise, that each id is a part of."""
        found = self._processor.decode(ids, return_type="offset_mapping")
        return _word_numbers(found["text"].translate(CONTROLS), found["offsets"])


def _word_numbers(text: str, spans: list[tuple[int, int]]) -> list[int]:
    """What begins in white space belongs to the word behind it, or to the last one; -1 if there is no word."""
    ends = [word.end() for word in re.finditer(r"\S+", text)]
    return [min(bisect_right(ends, start), len(ends) - 1) for start, _ in spans]


def _sound(text: str) -> str:
    """Lone surrogates, which no UTF-8 file can hold but a Python string can, become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _read(path: Path) -> Tokenizer:
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path} is no tokenizer's model: it is larger than {LARGEST >> 20} MiB.")
    return Tokenizer(path.read_bytes(), name=str(path))


def noting(lines: Iterator[str], failures: list[BaseException]) -> Iterator[str]:
    """The same lines; what goes wrong with them, Ctrl-C for one, is noted: SentencePiece makes an error of its own."""
    try:
        yield from lines
    except BaseException as failure:
        failures.append(failure)
        raise


class Tokenizers(NamedTuple):
    """The tokenizer of each side; one and the same where they share a vocabulary."""

    source: Tokenizer
    target: Tokenizer

    @classmethod
    def load(cls, folder: Path) -> "Tokenizers":
        """From a run folder; InputError where there are none or they are damaged."""
        if (folder / JOINT).is_file():
            joint = _read(folder / JOINT)
            return cls(joint, joint)
        if not (folder / SOURCE).is_file() or not (folder / TARGET).is_file():
            raise InputError(f"{folder} holds no tokenizer ({JOINT}, or {SOURCE} and {TARGET}).")
        return cls(_read(folder / SOURCE), _read(folder / TARGET))

    def save(self, folder: Path) -> None:
        """Into a run folder."""
        if self.source is self.target:
            write_bytes(folder / JOINT, self.source.model)
        else:
            write_bytes(folder / SOURCE, self.source.model)
            write_bytes(folder / TARGET, self.target.model)


class TooManyPieces(InputError):
    """A vocabulary that the text is too small for; `most` is what it allows."""

    def __init__(self, wanted: int, most: int) -> None:
        super().__init__(
            f"`tokenizer.vocab_size` ({wanted}) is larger than this corpus allows: set it to {most} or less."
        )
        self.most = most


class SentencePiece:
    """How to train tokenizers: Kudo and Richardson 2018; unigram: Kudo 2018, BPE: Sennrich et al. 2016.

    `vocab_size` pieces in all, per side unless `joint`. With `byte_fallback` a character outside `character_coverage`
    is spelt in bytes instead of becoming UNK, so that no text is lost. Each of `symbols`, say <2de>, is one piece
    wherever it stands. `normalisation` has the steps of `text/normalisation.py`; None is SentencePiece's own nmt_nfkc.
    """

    def __init__(
        self,
        *,
        model_type: str,
        vocab_size: int,
        joint: bool,
        byte_fallback: bool,
        character_coverage: float,
        symbols: list[str] | None,
        normalisation: list[str] | None,
    ) -> None:
        if model_type not in ("unigram", "bpe"):
            raise ValueError(f"`model_type` ({model_type}) must be unigram or bpe.")
        if vocab_size < 1 or not 0.98 <= character_coverage <= 1:
            raise ValueError(
                f"`vocab_size` ({vocab_size}) must be at least 1 and `character_coverage` ({character_coverage})"
                " between 0.98 and 1."
            )
        check_steps(normalisation or [])
        for symbol in symbols or []:
            if not isinstance(symbol, str) or not re.fullmatch(r"[^\s,▁]+", symbol):
                raise ValueError(f"`symbols` ({symbol!r}) must be texts without white space, commas and ▁, as <2de>.")
        self.model_type = model_type
        self.vocab_size = vocab_size
        self.joint = joint
        self.byte_fallback = byte_fallback
        self.character_coverage = character_coverage
        self.symbols = symbols or []
        self.normalisation = normalisation

    def train(self, source: Iterable[str], target: Iterable[str]) -> Tokenizers:
        """Learn from the lines of the training split; InputError where they do not allow `vocab_size` pieces."""
        if self.joint:
            joint = self._train(line for lines in (source, target) for line in lines)
            return Tokenizers(joint, joint)
        return Tokenizers(self._train(iter(source)), self._train(iter(target)))

    def _train(self, lines: Iterator[str]) -> Tokenizer:
        model = io.BytesIO()
        failures: list[BaseException] = []
        try:
            with rules_file(self.normalisation) as normalisation:
                sentencepiece.SentencePieceTrainer.train(
                    sentence_iterator=noting(lines, failures),
                    model_writer=model,
                    model_type=self.model_type,
                    vocab_size=self.vocab_size,
                    byte_fallback=self.byte_fallback,
                    character_coverage=self.character_coverage,
                    pad_id=PAD,
                    bos_id=BOS,
                    eos_id=EOS,
                    unk_id=UNK,
                    user_defined_symbols=self.symbols,
                    **normalisation,
                    max_sentence_length=1 << 16,
                    num_threads=1,  # several threads add floats in an order of their own: not the same model every time
                    minloglevel=3,
                )
        except (RuntimeError, OSError) as error:
            if failures:
                raise failures[0] from None
            raise self._explained(str(error)) from error
        return Tokenizer(model.getvalue(), name="the new tokenizer")

    def _explained(self, message: str) -> InputError:
        if too_high := re.search(r"Vocabulary size too high \(\d+\).*<= (\d+)", message):
            return TooManyPieces(self.vocab_size, int(too_high[1]))
        return InputError(self._explain(message))

    def _explain(self, message: str) -> str:
        if too_low := re.search(r"[Vv]ocabulary size is smaller than required_chars\. \d+ vs (\d+)", message):
            return (
                f"`tokenizer.vocab_size` ({self.vocab_size}) is too small for the characters of this corpus:"
                f" set it to more than {too_low[1]}, or lower `tokenizer.character_coverage`."
            )
        if "all_chars_count" in message:
            return "The training split holds no text to learn a tokenizer from; give `corpus.train` one that does."
        reason = " ".join(message.split())
        return f"SentencePiece could not learn a tokenizer with `tokenizer.vocab_size` {self.vocab_size}: {reason}."
