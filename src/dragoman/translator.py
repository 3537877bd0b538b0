"""Sentences → sentences: what a program imports. Loads neither lightning nor datasets nor hydra."""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dragoman.alignment import align
from dragoman.batching import in_batches, side_by_side
from dragoman.data.batch import pad_sources
from dragoman.errors import InputError
from dragoman.exported import CTranslate2Beam, Engine, Exported, beam_settings, opened
from dragoman.models import Ensemble, Seq2Seq
from dragoman.models.packed import packed
from dragoman.run import Run
from dragoman.search import Hypothesis, Search
from dragoman.text.tokenizer import Tokenizers

log = logging.getLogger("dragoman")

LARGEST_CHUNK = 1 << 22  # characters, and the rest of a line
SENTENCE_END = re.compile(r"[.!?…。！？]['\"»”’)\]]*$")


class Translation(NamedTuple):
    """One translation of a line. `score` is the search's and `alignment` pairs of word numbers, source then target.

    `log_probability` is natural, `tokens` are what it is a sum over, EOS included, and `at_limit` says whether the
    search allowed no more of them, so that its limit may have cut it short.
    """

    text: str
    score: float
    alignment: list[tuple[int, int]]
    log_probability: float = 0.0
    tokens: int = 0
    at_limit: bool = False


class Piece(NamedTuple):
    """A part of a line that is translated in one go, and the word of the line that each id is of if that is asked."""

    line: int
    ids: list[int]
    words: list[int]


class Translator:
    """Translates lines of text with a model, its tokenizers and a search.

    Lines are sorted by length, cut into batches of at most `batch_tokens` source tokens, padding included, and come
    back in their own order. A line without words becomes an empty line; one that is longer than `search.max_source`
    tokens is cut at sentence ends, translated in pieces and rejoined, with a warning. On a CPU several batches are
    translated at once, each on its share of the threads that torch has when the translator is made. Several threads may
    share a translator, and so may a process that is forked, which computes on one thread.
    """

    def __init__(
        self,
        model: Seq2Seq | Engine,
        tokenizers: Tokenizers,
        search: Search,
        *,
        batch_tokens: int = 2048,
        aligned: bool = False,
    ) -> None:
        if search.max_source > model.max_length:
            raise InputError(
                f"`search.max_source` ({search.max_source}) must not exceed the model's `max_length`"
                f" ({model.max_length})."
            )
        check_positive("batch_tokens", batch_tokens)
        check_switch("alignment", aligned)
        self.model: Any = model
        self.tokenizers = tokenizers
        self.search = search
        self.batch_tokens = batch_tokens
        self.aligned = aligned
        self.process = os.getpid()
        self.threads = torch.get_num_threads()

    @classmethod
    def load(
        cls,
        run: str | Path | Sequence[str | Path],
        *,
        search: Search | None = None,
        device: str = "auto",
        precision: str = "fp32",
        batch_tokens: int = 2048,
        aligned: bool = False,
    ) -> "Translator":
        """From a run folder, or several for an ensemble; with the run's own search unless another is given.

        `device`: cpu, cuda or auto. `precision`, that of linear layers: fp32, bf16, or int8 on a CPU. A folder that
        a run was exported to, alone, translates with CTranslate2, in its own precision. InputError where a folder
        is not a finished run, or the runs do not share their vocabularies.
        """
        folders = [run] if isinstance(run, str | Path) else list(run)
        if len(folders) == 1 and isinstance(exported := opened(folders[0]), Exported):
            if aligned:
                raise InputError(
                    f"`alignment=true` needs attention weights, which {folders[0]} keeps to itself: use a run."
                )
            beam = CTranslate2Beam(**beam_settings(search or exported.search()))
            tokenizers = exported.tokenizers()
            engine = exported.model(tokenizers, find_device(device))
            return cls(engine, tokenizers, beam, batch_tokens=batch_tokens)
        runs = [Run(folder) for folder in folders]
        if not runs:
            raise InputError("`run` names no run folder.")
        tokenizers = runs[0].tokenizers()
        for other in runs[1:]:
            theirs = other.tokenizers()
            if [side.model for side in theirs] != [side.model for side in tokenizers]:
                raise InputError(f"{runs[0].folder} and {other.folder} have different tokenizers: no ensemble of them.")
        models = [one.model() for one in runs]
        model = models[0] if len(models) == 1 else Ensemble(models).eval()
        chosen = search or runs[0].search()
        ready = packed(model.to(find_device(device)), precision)
        return cls(ready, tokenizers, chosen, batch_tokens=batch_tokens, aligned=aligned)

    def __call__(self, lines: Iterable[str]) -> list[str]:
        """The best translation of each line."""
        return [best[0].text for best in self.translate(lines)]

    def translate(self, lines: Iterable[str], *, chunk: int = 4096, before: int = 0) -> Iterator[list[Translation]]:
        """The translations of each line, best first, as they come: `chunk` lines are read and sorted at a time.

        Fewer where they hold over `LARGEST_CHUNK` characters, so that memory stays flat however long the input is.
        `before`: how many lines came before the first one, for the messages that number them.
        """
        if isinstance(lines, str):
            raise InputError("Give a list of lines, not one text: its characters would be taken for lines.")
        check_positive("chunk", chunk)
        iterator = enumerate(lines, start=before + 1)
        while numbered := take(iterator, chunk):
            yield from self._translate_chunk(numbered)

    def _translate_chunk(self, numbered: list[tuple[int, str]]) -> list[list[Translation]]:
        # Of a process that is forked only one thread goes on, and OpenMP waits for all.
        threads = self.threads if os.getpid() == self.process else 1
        pieces = [piece for number, line in numbered for piece in self._cut(number, line)]
        parts: dict[int, list[list[Translation]]] = {number: [] for number, _ in numbered}
        translated: list[list[Translation]] = [[] for _ in pieces]
        batches = list(in_batches([len(piece.ids) + 1 for piece in pieces], self.batch_tokens))
        chosen = [[pieces[index] for index in batch] for batch in batches]
        made = side_by_side(self._translate_batch, chosen, self.model.device, threads)
        for batch, found in zip(batches, made, strict=True):
            for index, best in zip(batch, found, strict=True):
                translated[index] = best
        for piece, best in zip(pieces, translated, strict=True):
            parts[piece.line].append(best)
        return [join(parts[number]) for number, _ in numbered]

    def _translate_batch(self, pieces: list[Piece]) -> list[list[Translation]]:
        src_BS = pad_sources([piece.ids for piece in pieces]).to(self.model.device)
        found, limits = self.search(self.model, src_BS), self.search.limits(self.model, src_BS).tolist()
        return [
            [self._translation(piece, hypothesis, limit) for hypothesis in hypotheses]
            for piece, hypotheses, limit in zip(pieces, found, limits, strict=True)
        ]

    def _translation(self, piece: Piece, hypothesis: Hypothesis, limit: int) -> Translation:
        text = self.tokenizers.target.decode(hypothesis.ids)
        tokens = len(hypothesis.ids) + 1
        pairs = align(self.model, self.tokenizers, piece.ids, piece.words, hypothesis.ids) if self.aligned else []
        return Translation(text, hypothesis.score, pairs, hypothesis.log_probability, tokens, tokens >= limit)

    def _cut(self, number: int, line: str) -> list[Piece]:
        """One piece for an ordinary line, none for one without words, several for one that is too long."""
        ids = self.tokenizers.source.encode(line) if line.strip() else []
        words = self.tokenizers.source.words(line) if self.aligned else []
        limit = self.search.max_source - 1  # EOS takes a place
        if len(ids) <= limit:
            return [Piece(number, ids, words)] if ids else []
        pieces = self.tokenizers.source.pieces(ids)
        ends = cut_points(pieces, limit)
        log.warning(
            "Line %d has %d tokens, more than `search.max_source` (%d): translated in %d pieces.",
            *(number, len(ids) + 1, self.search.max_source, len(ends)),
        )
        starts = [0, *ends[:-1]]
        return [Piece(number, ids[a:b], words[a:b]) for a, b in zip(starts, ends, strict=True)]


def find_device(name: str) -> torch.device:
    """A device that is there; auto: the GPU, if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, TypeError) as error:  # a torch built without CUDA asserts
        raise InputError(f"`device` ({name}) is not to be had here; choose cpu, cuda or auto.") from error


def check_switch(key: str, value: object) -> None:
    """A word like maybe would count as true."""
    if not isinstance(value, bool):
        raise InputError(f"`{key}` ({value}) must be true or false.")


def check_positive(key: str, value: int) -> None:
    """0 lines at a time would be none at all, without a word."""
    if type(value) is not int or value < 1:
        raise InputError(f"`{key}` ({value}) must be at least 1.")


def take(numbered: Iterator[tuple[int, str]], chunk: int) -> list[tuple[int, str]]:
    """The next lines: `chunk` of them, or as many as it takes to reach `LARGEST_CHUNK` characters."""
    taken, characters = [], 0
    for number, line in islice(numbered, chunk):
        taken.append((number, line))
        characters += len(line)
        if characters >= LARGEST_CHUNK:
            break
    return taken


def cut_points(pieces: list[str], limit: int) -> list[int]:
    """Where to end each part so that none has over `limit` pieces: after a sentence, else a word, else anywhere."""
    ends, start = [], 0
    while len(pieces) - start > limit:
        word_starts = [i for i in range(start + 1, start + limit + 1) if pieces[i].startswith("▁")]
        sentence_starts = [i for i in word_starts if SENTENCE_END.search(pieces[i - 1])]
        start = (sentence_starts or word_starts or [start + limit])[-1]
        ends.append(start)
    return [*ends, len(pieces)]


def join(parts: list[list[Translation]]) -> list[Translation]:
    """The n-best translations of a line from those of its parts: rank by rank, scores added, words counted on."""
    if not parts:
        return [Translation("", 0.0, [])]
    whole = []
    for same_rank in zip(*parts, strict=False):
        words_before, alignment = 0, []
        for part in same_rank:
            alignment += [(source, target + words_before) for source, target in part.alignment]
            words_before += len(part.text.split())
        text = " ".join(part.text for part in same_rank if part.text)
        score, log_probability, tokens = (
            sum(values)
            for values in zip(*((one.score, one.log_probability, one.tokens) for one in same_rank), strict=True)
        )
        at_limit = any(part.at_limit for part in same_rank)
        whole.append(Translation(text, score, alignment, log_probability, tokens, at_limit))
    return whole
