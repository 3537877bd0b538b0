"""An exported folder: a model for another engine, its tokenizers, and a card that says what it is.

The verbs are those of `Run`, so that a translator takes either. CTranslate2 is imported when a model is asked for.

Shapes: B sentences, S source positions.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from dragoman.errors import InputError
from dragoman.files import write_text
from dragoman.ids import BOS, EOS, PAD
from dragoman.run import PlainDumper, Run, build_search, read_plain
from dragoman.search import Beam, Greedy, Hypothesis, Search
from dragoman.text.lines import open_bytes
from dragoman.text.tokenizer import Tokenizer, Tokenizers

FORMAT = 1  # of the card; a newer one is refused
CARD, WEIGHTS = "dragoman.yaml", "model.bin"
CTRANSLATE2, HUGGINGFACE = "ctranslate2", "huggingface"
CONFIG = "config.json"
SHARED, VOCABULARIES = "shared_vocabulary.json", ("source_vocabulary.json", "target_vocabulary.json")


def opened(folder: str | Path) -> "Run | Exported":
    """The run, or what was exported from one."""
    return Exported(folder) if (Path(folder) / CARD).is_file() else Run(folder)


def one_run(run: Any, purpose: str) -> str:
    """The folder, where an ensemble of several has no meaning; InputError for those."""
    if not isinstance(run, str):
        raise InputError(f"`run` must be one run folder: an ensemble cannot be {purpose}.")
    return run


def write_card(folder: Path, engine: str, facts: dict[str, Any]) -> None:
    """What makes a folder an exported one: names, numbers and a search, and no path."""
    card = {"format": FORMAT, "engine": engine, **facts}
    write_text(folder / CARD, yaml.dump(card, Dumper=PlainDumper, sort_keys=False, allow_unicode=True))


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with open_bytes(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Exported:
    """An existing folder for CTranslate2: `Exported(folder)` reads its card and nothing else.

    The folder may come from a stranger: its card is read without tags and aliases, names no path and only Dragoman's
    own searches. Everything that is wrong with it is an InputError.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.config = read_plain(self.folder / CARD)
        if self.config.get("format") != FORMAT:
            raise InputError(
                f"{self.folder / CARD} has format {self.config.get('format')}; this version of Dragoman reads format"
                f" {FORMAT}: update Dragoman."
            )
        if self.config.get("engine") != CTRANSLATE2:
            raise InputError(
                f"{self.folder} was exported for {self.config.get('engine')}: load it there, or export the run with"
                f" `to={CTRANSLATE2}`."
            )

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return self.folder / WEIGHTS

    def tokenizers(self) -> Tokenizers:
        """The tokenizers of the run; InputError where the model has other vocabularies."""
        tokenizers = Tokenizers.load(self.folder)
        for name, tokenizer in zip(self._vocabularies(), tokenizers, strict=True):
            try:
                vocabulary = json.loads((self.folder / name).read_text("utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                raise InputError(f"{self.folder / name} is missing or damaged: export the run again.") from error
            if vocabulary != all_pieces(tokenizer):
                raise InputError(
                    f"{self.folder / name} is not the vocabulary of the tokenizer beside it: export again."
                )
        return tokenizers

    def _vocabularies(self) -> tuple[str, str]:
        """The names of the files."""
        both = [(self.folder / name).is_file() for name in VOCABULARIES]
        return VOCABULARIES if any(both) else (SHARED, SHARED)

    def search(self) -> Search:
        """The search that the run was configured with."""
        part = self.config.get("search")
        if not isinstance(part, dict):
            raise InputError(f"{self.folder / CARD} lacks `search`.")
        return build_search(part)

    def corpus(self) -> Any:
        raise InputError(f"{self.folder} is exported and knows no test set: give `source=` and `reference=`.")

    def model(self, tokenizers: Tokenizers, device: torch.device) -> "Engine":
        """The model, ready to translate, with as many threads as torch has."""
        try:
            import ctranslate2
        except ImportError as error:
            raise InputError(
                f"{self.folder} needs CTranslate2: `pip install ctranslate2`, or translate with the run itself."
            ) from error
        longest = self.config.get("max_length")
        if type(longest) is not int or longest < 2:
            raise InputError(f"{self.folder / CARD}: `max_length` ({longest}) must be a whole number above 1.")
        try:
            files = {name: (self.folder / name).read_bytes() for name in {WEIGHTS, CONFIG, *self._vocabularies()}}
        except FileNotFoundError as error:
            raise InputError(f"{error.filename} is missing: copy it again, or export again.") from error
        if hashlib.sha256(files[WEIGHTS]).hexdigest() != self.config.get("sha256"):
            raise InputError(f"{self.weights} is not what was exported: copy it again, or export again.")
        try:
            translator = ctranslate2.Translator(  # with these files and no other
                str(self.folder), device.type, intra_threads=torch.get_num_threads(), files=files
            )
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.folder} cannot be loaded by CTranslate2 {ctranslate2.__version__}: {reason}."
            ) from error
        return Engine(translator, tokenizers, longest)


class Engine:
    """What `CTranslate2Beam` searches: CTranslate2's translator, which knows ids by their pieces."""

    device = torch.device("cpu")  # of the ids that it is given, wherever it computes

    def __init__(self, translator: Any, tokenizers: Tokenizers, max_length: int) -> None:
        self.translator = translator
        self.max_length = max_length
        self.source, self.target = (all_pieces(tokenizer) for tokenizer in tokenizers)
        self.ids = {piece: id for id, piece in enumerate(self.target)}

    def log_probabilities(self, source: list[int], targets: list[list[int]]) -> list[float]:
        """Of translations of one sentence, that of EOS included."""
        words = [[self.target[id] for id in row] for row in targets]
        sources = [[self.source[id] for id in source]] * len(words)
        results = self.translator.score_batch(sources, words, max_input_length=0)
        return [sum(result.log_probs) for result in results]


class CTranslate2Beam(Beam):
    """CTranslate2's beam search, with the settings and the scores of ours; beam 1 is greedy search.

    It differs from `Beam` in one thing: a hypothesis that ends leaves its place to the next best one, and the search
    stops once `beam` have ended. PAD and BOS are made impossible before the softmax, not after it.
    """

    def __call__(self, model: Any, src_BS: Tensor) -> list[list[Hypothesis]]:
        """The sentences of one limit, which are mostly of one length, are searched together."""
        limits = self.limits(model, src_BS).tolist()
        found: list[list[Hypothesis]] = [[] for _ in limits]
        for limit in sorted({*limits}):
            chosen = [number for number, its_limit in enumerate(limits) if its_limit == limit]
            sources = [[id for id in row if id not in (PAD, EOS)] for row in src_BS[chosen].tolist()]
            for number, hypotheses in zip(chosen, self._found(model, sources, limit), strict=True):
                found[number] = hypotheses
        return found

    def _found(self, engine: Engine, sources: list[list[int]], limit: int) -> Iterator[list[Hypothesis]]:
        results = engine.translator.translate_batch(
            [[engine.source[id] for id in row] for row in sources],
            beam_size=self.beam,
            num_hypotheses=self.beam,
            length_penalty=1,  # scores are log-probabilities per token, EOS included
            min_decoding_length=0,
            max_decoding_length=max(1, limit - 1),  # and EOS
            max_input_length=0,
            suppress_sequences=[[engine.target[PAD]], [engine.target[BOS]]],
            return_scores=True,
            return_end_token=True,
        )
        for source, result in zip(sources, results, strict=True):
            written = [[engine.ids[piece] for piece in pieces] for pieces in result.hypotheses]
            scored = zip(written, result.scores, strict=True)
            found = {tuple(row[:-1]): score * len(row) for row, score in scored if row[-1] == EOS}
            cut = [row[: limit - 1] for row in written if row[-1] != EOS]
            found |= zip(map(tuple, cut), engine.log_probabilities(source, cut), strict=True)
            ranked = [Hypothesis([*row], value / self.penalty(len(row) + 1), value) for row, value in found.items()]
            yield sorted(ranked, key=lambda one: -one.score)[: self.nbest]


def beam_settings(search: Search) -> dict[str, Any]:
    """What makes a `Beam` the same search: greedy is a beam of 1. InputError for one that is no beam at all."""
    match search:
        case Beam():
            own = {"beam": search.beam, "length_penalty": search.length_penalty, "nbest": search.nbest}
        case Greedy():
            own = {"beam": 1, "length_penalty": 0.0, "nbest": 1}
        case _:
            raise InputError(f"No other engine can repeat `search` {type(search).__name__}: choose greedy or beam.")
    return own | {key: getattr(search, key) for key in ("max_source", "length_ratio", "length_extra")}


def all_pieces(tokenizer: Tokenizer) -> list[str]:
    """The vocabulary, by id."""
    return tokenizer.pieces(list(range(len(tokenizer))))
